//! What conditions amount to: refused are those that can never hold, those that always hold although they name an
//! attribute, and rules that no request can reach because earlier ones take them all.

use crate::attributes::AttributeSet;
use crate::config::Problem;
use crate::rules::Condition;
use crate::rules::attribute::{Kind, kind};
use crate::rules::parse::{Keyword, When};
use crate::rules::point::{Mentions, Space};

/// Reports every condition in `when` that always holds or never does.
pub(super) fn meaning(when: &When, path: &str, problems: &mut Vec<Problem>) {
    let before = problems.len();
    for (attribute, keywords) in &when.attributes {
        let name = attribute.names().next().unwrap_or_default();
        schema(keywords, kind(*attribute), &format!("{path}.{name}"), problems);
    }
    for (at, inside) in when.all_of.iter().enumerate() {
        meaning(inside, &format!("{path}.allOf[{at}]"), problems);
    }
    for (at, inside) in when.any_of.iter().flatten().enumerate() {
        meaning(inside, &format!("{path}.anyOf[{at}]"), problems);
    }
    if let Some(inside) = &when.not {
        meaning(inside, &format!("{path}.not"), problems);
    }
    // Only when every part is sound by itself: together they may still amount to all or nothing.
    if problems.len() == before && !when.names().is_empty() {
        if let Some(any) = &when.any_of {
            let only = When { any_of: Some(any.clone()), ..When::default() };
            whole(&only, &format!("{path}.anyOf"), problems);
        }
        if problems.len() == before {
            whole(when, path, problems);
        }
    }
}

fn whole(when: &When, path: &str, problems: &mut Vec<Problem>) {
    let Some(space) = Space::new(when.names(), &[when], false) else { return };
    if !space.any(|here| here.satisfies(when)) {
        problems.push(Problem::new(path, "can never hold: its conditions contradict each other"));
    } else if !space.any(|here| !here.satisfies(when)) {
        problems.push(Problem::new(path, "accepts everything, although it names an attribute"));
    }
}

/// One attribute's schema, or that of a list's items.
fn schema(keywords: &[Keyword], kind: Kind, path: &str, problems: &mut Vec<Problem>) {
    for keyword in keywords {
        if let (Keyword::Contains(_, inside), Kind::List(item, _)) = (keyword, kind) {
            // Among items, accepting all of them still says that there is one.
            let text = constant(inside, *item).filter(|always| !always);
            if text.is_some() {
                problems.push(Problem::new(format!("{path}.contains"), "can never hold"));
            }
        }
    }
    match constant(keywords, kind) {
        Some(true) => problems.push(Problem::new(path, format!("accepts everything: it is {kind} anyway"))),
        Some(false) => problems.push(Problem::new(path, format!("can never hold: it is {kind}"))),
        None => {}
    }
}

/// `Some(true)`: accepts every value; `Some(false)`: accepts none; `None`: some, or not known.
fn constant(keywords: &[Keyword], kind: Kind) -> Option<bool> {
    if keywords.iter().any(accepts_every_text) && keywords.len() == 1 {
        return Some(true);
    }
    let mut mentions = Mentions::default();
    mentions.add(keywords);
    let points = mentions.points(kind)?;
    let accepted = points.iter().filter(|point| mentions.accepts(keywords, point)).count();
    match accepted {
        0 => Some(false),
        all if all == points.len() => Some(true),
        _ => None,
    }
}

/// A pattern found in every single ASCII character, in other scripts and in longer texts is found in everything.
fn accepts_every_text(keyword: &Keyword) -> bool {
    let Keyword::Pattern(pattern) = keyword else { return false };
    let single = (' '..='~').map(String::from);
    let longer =
        ["gpt-4o", "a/b:c", "\u{e9}t\u{e9}", "\u{65e5}\u{672c}\u{8a9e}", "x y z 0 1 2 3 4 5 6 7 8 9"];
    single.chain(longer.map(String::from)).all(|text| pattern.matches(&text))
}

/// The earlier conditions (by index) that together take everything this one would: nothing can reach it. `None`: it
/// can be reached, or there are too many combinations to know.
pub(crate) fn covered(earlier: &[&Condition], later: &Condition) -> Option<Vec<usize>> {
    if let Some(all) = earlier.iter().position(|e| e.reads.is_empty()) {
        return Some(vec![all]);
    }
    // A condition holds only if what it names has a value, so one that must read what `later` does not may fail.
    let near: Vec<usize> = earlier
        .iter()
        .enumerate()
        .filter(|(_, e)| later.reads.contains(must_have(&e.when)))
        .map(|(at, _)| at)
        .collect();
    let taken = |by: &[usize]| {
        let mut whens: Vec<&When> = by.iter().filter_map(|at| earlier.get(*at)).map(|e| &e.when).collect();
        let count = whens.len();
        whens.push(&later.when);
        let Some(space) = Space::new(later.reads, &whens, true) else { return false };
        let before = whens.get(..count).unwrap_or_default();
        !space.any(|here| here.satisfies(&later.when) && !before.iter().any(|when| here.satisfies(when)))
    };
    let alone = near.iter().find(|at| taken(&[**at])).map(|at| vec![*at]);
    alone.or_else(|| (near.len() > 1 && taken(&near)).then_some(near))
}

/// Attributes without which the conditions cannot hold.
fn must_have(when: &When) -> AttributeSet {
    let direct = when.attributes.iter().map(|(a, _)| *a);
    let inside = when.all_of.iter().map(must_have);
    direct.chain(inside).chain(when.not.iter().map(|not| not.names())).collect()
}
