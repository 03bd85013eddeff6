//! The points at which conditions are tried. A condition can change its mind only at the bounds and values it names, so
//! trying each of them, and one point between any two, decides a condition for every request there can be.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::attributes::AttributeSet;
use crate::rules::attribute::{Kind, kind};
use crate::rules::parse::{Keyword, Pattern, When};

/// A value an attribute may have, as far as conditions can tell it from others.
#[derive(Clone, Debug)]
pub(super) enum Point {
    /// It has no value.
    Absent,
    /// This value.
    Is(Value),
    /// A text that no condition names, which these patterns (by index, as bits) match.
    Other(u32),
    /// A list of so many items, of which these `contains` (by index, as bits) hold.
    Items(u64, u32),
}

/// What conditions say about one attribute (or about the items of a list).
#[derive(Debug, Default)]
pub(super) struct Mentions {
    values: Vec<Value>,
    bounds: Vec<f64>,
    counts: BTreeSet<u64>,
    patterns: Vec<Pattern>,
    contains: Vec<String>,
}

impl Mentions {
    /// Everything some conditions say about an attribute.
    pub(super) fn of<'a>(attribute: AttributeSet, whens: impl Iterator<Item = &'a When>) -> Self {
        let mut all = Self::default();
        whens.for_each(|when| all.collect(attribute, when));
        all
    }

    fn collect(&mut self, attribute: AttributeSet, when: &When) {
        for (_, keywords) in when.attributes.iter().filter(|(a, _)| *a == attribute) {
            self.add(keywords);
        }
        when.children().for_each(|inside| self.collect(attribute, inside));
    }

    /// Adds what one schema says.
    pub(super) fn add(&mut self, keywords: &[Keyword]) {
        for keyword in keywords {
            match keyword {
                Keyword::Values(values) => self.values.extend(values.iter().cloned()),
                Keyword::Min { bound, .. } | Keyword::Max { bound, .. } => self.bounds.push(*bound),
                Keyword::MinItems(n) | Keyword::MaxItems(n) => {
                    self.counts.extend([n.saturating_sub(1), *n, n.saturating_add(1)]);
                }
                Keyword::Pattern(pattern) if self.pattern(&pattern.text).is_none() => {
                    self.patterns.push(pattern.clone());
                }
                Keyword::Contains(text, _) if !self.contains.contains(text) => {
                    self.contains.push(text.clone());
                }
                Keyword::Pattern(_) | Keyword::Contains(..) => {}
            }
        }
    }

    fn pattern(&self, text: &str) -> Option<usize> {
        self.patterns.iter().position(|p| p.text == text)
    }

    /// The values to try, without absence. `None`: too many to try.
    pub(super) fn points(&self, kind: Kind) -> Option<Vec<Point>> {
        Some(match kind {
            Kind::Truth => vec![Point::Is(json!(true)), Point::Is(json!(false))],
            Kind::Names(names) => names().into_iter().map(|n| Point::Is(json!(n))).collect(),
            Kind::Whole(low, high) => self.numbers(low, high, 1.0),
            Kind::Real(low, high) => self.numbers(low, high, 0.0),
            Kind::Language if self.patterns.is_empty() => {
                let letters = |n: u32| [n / 26, n % 26].map(|l| char::from(b'a' + l as u8));
                let all = (0..676).map(|n| json!(String::from_iter(letters(n))));
                let unnamed = all.filter(|l| !self.values.contains(l)).take(1);
                self.values.iter().cloned().chain(unnamed).map(Point::Is).collect()
            }
            Kind::Text | Kind::Language => {
                let others = self.subsets(self.patterns.len())?.map(Point::Other);
                self.values.iter().cloned().map(Point::Is).chain(others).collect()
            }
            Kind::List(_, longest) => {
                let mut counts = self.counts.clone();
                counts.extend([0, 1, longest.min(64)]);
                let mut points = vec![Point::Items(0, 0)];
                for n in counts.into_iter().filter(|n| (1..=longest).contains(n)) {
                    points.extend(self.subsets(self.contains.len())?.map(|held| Point::Items(n, held)));
                }
                points
            }
        })
    }

    /// All subsets of so many things, as bits.
    fn subsets(&self, things: usize) -> Option<std::ops::Range<u32>> {
        (things <= 8).then(|| 0..1 << things)
    }

    /// Each number named, its neighbours (whole numbers) or one between any two (others), and both ends.
    fn numbers(&self, low: f64, high: f64, step: f64) -> Vec<Point> {
        let mut named: Vec<f64> = self.values.iter().filter_map(Value::as_f64).collect();
        named.extend(&self.bounds);
        named.push(low);
        named.push(if high.is_finite() { high } else { named.iter().copied().fold(low, f64::max) + 1.0 });
        named.sort_by(f64::total_cmp);
        let between: Vec<f64> = if step > 0.0 {
            named.iter().flat_map(|n| [n.floor() - 1.0, n.floor(), n.ceil(), n.ceil() + 1.0]).collect()
        } else {
            named.iter().zip(named.iter().skip(1)).map(|(a, b)| a + (b - a) / 2.0).collect()
        };
        let mut all: Vec<f64> = if step > 0.0 { between } else { named.into_iter().chain(between).collect() };
        all.retain(|n| (low..=high).contains(n));
        all.sort_by(f64::total_cmp);
        all.dedup();
        all.into_iter().map(|n| Point::Is(json!(n))).collect()
    }

    /// Whether a schema accepts a point.
    pub(super) fn accepts(&self, keywords: &[Keyword], point: &Point) -> bool {
        keywords.iter().all(|keyword| self.holds(keyword, point))
    }

    fn holds(&self, keyword: &Keyword, point: &Point) -> bool {
        let number = match point {
            Point::Is(value) => value.as_f64(),
            _ => None,
        };
        match (keyword, point) {
            (_, Point::Absent) => false,
            (Keyword::Values(values), Point::Is(value)) => values.iter().any(|v| same(v, value)),
            (Keyword::Min { bound, open }, _) => number.is_some_and(|n| n > *bound || (!open && n == *bound)),
            (Keyword::Max { bound, open }, _) => number.is_some_and(|n| n < *bound || (!open && n == *bound)),
            (Keyword::Pattern(pattern), Point::Is(value)) => {
                value.as_str().is_some_and(|text| pattern.matches(text))
            }
            (Keyword::Pattern(p), Point::Other(held)) => {
                self.pattern(&p.text).is_some_and(|at| held & (1 << at) != 0)
            }
            (Keyword::Contains(text, _), Point::Items(_, held)) => {
                self.contains.iter().position(|c| c == text).is_some_and(|at| held & (1 << at) != 0)
            }
            (Keyword::MinItems(least), Point::Items(n, _)) => n >= least,
            (Keyword::MaxItems(most), Point::Items(n, _)) => n <= most,
            _ => false,
        }
    }
}

/// JSON equality, under which 1 and 1.0 are one number.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// The points of each of some attributes, with the conditions that mention them.
#[derive(Debug)]
pub(super) struct Space {
    axes: Vec<(AttributeSet, Mentions, Vec<Point>)>,
}

/// More combinations than this are not tried; nothing is concluded then.
const MAX_COMBINATIONS: usize = 50_000;

impl Space {
    /// The space of some attributes under some conditions; `None`: too big.
    pub(super) fn new(attributes: AttributeSet, whens: &[&When], with_absent: bool) -> Option<Self> {
        let (mut axes, mut size) = (Vec::new(), 1_usize);
        for attribute in attributes.iter() {
            let mentions = Mentions::of(attribute, whens.iter().copied());
            let mut points = mentions.points(kind(attribute))?;
            if with_absent {
                points.push(Point::Absent);
            }
            size = size.saturating_mul(points.len());
            axes.push((attribute, mentions, points));
        }
        (size <= MAX_COMBINATIONS).then_some(Self { axes })
    }

    /// Whether something holds at some combination.
    pub(super) fn any(&self, holds: impl Fn(&Here<'_>) -> bool) -> bool {
        let mut at = vec![0_usize; self.axes.len()];
        loop {
            if holds(&Here { space: self, at: &at }) {
                return true;
            }
            let mut axis = 0;
            loop {
                let (Some(digit), Some((_, _, points))) = (at.get_mut(axis), self.axes.get(axis)) else {
                    return false;
                };
                *digit += 1;
                if *digit < points.len() {
                    break;
                }
                *digit = 0;
                axis += 1;
            }
        }
    }
}

/// One combination of a space.
#[derive(Debug)]
pub(super) struct Here<'a> {
    space: &'a Space,
    at: &'a [usize],
}

impl Here<'_> {
    /// Whether a map of conditions holds here. Attributes outside the space have no value.
    pub(super) fn satisfies(&self, when: &When) -> bool {
        when.attributes.iter().all(|(attribute, keywords)| self.accepts(*attribute, keywords))
            && when.all_of.iter().all(|inside| self.satisfies(inside))
            && when.any_of.as_ref().is_none_or(|any| any.iter().any(|inside| self.satisfies(inside)))
            && when.not.as_ref().is_none_or(|not| self.has(not.names()) && !self.satisfies(not))
    }

    fn accepts(&self, attribute: AttributeSet, keywords: &[Keyword]) -> bool {
        self.point(attribute).is_some_and(|(mentions, point)| mentions.accepts(keywords, point))
    }

    fn has(&self, attributes: AttributeSet) -> bool {
        attributes.iter().all(|a| self.point(a).is_some_and(|(_, point)| !matches!(point, Point::Absent)))
    }

    fn point(&self, attribute: AttributeSet) -> Option<(&Mentions, &Point)> {
        let axis = self.space.axes.iter().position(|(a, _, _)| *a == attribute)?;
        let (_, mentions, points) = self.space.axes.get(axis)?;
        Some((mentions, points.get(*self.at.get(axis)?)?))
    }
}
