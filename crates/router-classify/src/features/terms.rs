//! Compiles the term tables to automata and weighs what they find in a folded text.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use router_core::attributes::{Task, Topic};

use super::tables::{self, Cue};

/// How much terms say for each task, topic and cue. Not probabilities: sums of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// By task, in the order of [`Task::ALL`].
    pub tasks: [f32; Task::ALL.len()],
    /// By topic, in the order of [`Topic::ALL`].
    pub topics: [f32; Topic::ALL.len()],
    /// By cue, in the order of [`Cue::ALL`].
    pub cues: [f32; Cue::ALL.len()],
}

impl Evidence {
    /// What was found for a cue.
    pub fn cue(&self, cue: Cue) -> f32 {
        self.cues.get(cue as usize).copied().unwrap_or(0.0)
    }

    /// Every weight with its name, in a fixed order.
    pub fn named(&self) -> impl Iterator<Item = (String, f32)> + use<> {
        let tasks = Task::ALL.iter().zip(self.tasks).map(|(task, w)| (format!("task_{}", task.name()), w));
        let topics =
            Topic::ALL.iter().zip(self.topics).map(|(topic, w)| (format!("topic_{}", topic.name()), w));
        let cues = Cue::ALL.iter().zip(self.cues).map(|(cue, w)| (format!("cue_{}", cue.name()), w));
        tasks.chain(topics).chain(cues)
    }

    pub(super) fn add_tasks(&mut self, other: &Self, weight: f32) {
        for (mine, theirs) in self.tasks.iter_mut().zip(other.tasks) {
            *mine += weight * theirs;
        }
    }

    pub(super) fn add_topics(&mut self, other: &Self, weight: f32) {
        for (mine, theirs) in self.topics.iter_mut().zip(other.topics) {
            *mine += weight * theirs;
        }
    }

    fn add(&mut self, signal: Signal, weight: f32) {
        let slot = match signal {
            Signal::Task(task) => self.tasks.get_mut(task as usize),
            Signal::Topic(topic) => self.topics.get_mut(topic as usize),
            Signal::Cue(cue) => self.cues.get_mut(cue as usize),
        };
        if let Some(slot) = slot {
            *slot += weight;
        }
    }
}

/// What a term speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Task(Task),
    Topic(Topic),
    Cue(Cue),
}

/// A term of the tables: `^` at its start means "only where a sentence or the text begins", `*` at either end "also
/// inside a longer word".
#[derive(Clone, Copy, Debug)]
struct Term {
    signal: Signal,
    weight: f32,
    leads: bool,
    open_start: bool,
    open_end: bool,
}

/// The second time a term is found it says half as much; after that, nothing.
const REPEAT_WEIGHTS: [f32; 2] = [1.0, 0.5];
/// Words that may stand between the beginning of a sentence and a leading term.
const POLITE: &str = "please kindly can could would will you i i'd want need like to have help me us let's just now then \
    and so also first ok okay hi hello hey bitte kannst konntest du sie mir ich mochte peux pourriez vous tu je veux \
    voudrais puedes podrias me por favor quiero puoi potresti vorrei pode poderia kun je wil graag mozesz prosze \
    пожалуйста можешь вы ты мне и und et y e";
/// Bytes looked back for the beginning of a sentence: room for a dozen polite words.
const LEAD_BYTES: usize = 64;

/// The compiled tables. Terms in ASCII, which every text is searched for, have a table-driven automaton (fast, some
/// MiB); the others, for texts in other scripts only, a compact one.
pub(super) struct Terms {
    ascii: Matcher,
    other: Matcher,
}

impl Terms {
    pub(super) fn new() -> Self {
        let (ascii, other): (Vec<_>, Vec<_>) = all().partition(|(term, _, _)| term.is_ascii());
        Self {
            ascii: Matcher::new(ascii, AhoCorasickKind::DFA),
            other: Matcher::new(other, AhoCorasickKind::ContiguousNFA),
        }
    }

    /// What the terms in `folded` say, on their own.
    pub(super) fn found_in(&self, folded: &str) -> Evidence {
        let mut evidence = Evidence::default();
        self.ascii.scan(folded, &mut evidence);
        if !folded.is_ascii() {
            self.other.scan(folded, &mut evidence);
        }
        evidence
    }
}

struct Matcher {
    automaton: AhoCorasick,
    terms: Vec<Term>,
}

impl Matcher {
    #[expect(clippy::expect_used, reason = "the patterns are constants; every test builds them")]
    fn new(rows: Vec<(&'static str, Signal, f32)>, kind: AhoCorasickKind) -> Self {
        let (patterns, terms): (Vec<&str>, Vec<Term>) =
            rows.into_iter().map(|(term, signal, weight)| parse(term, signal, weight)).unzip();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(patterns)
            .expect("the term tables are far below the automaton's limits");
        Self { automaton, terms }
    }

    fn scan(&self, folded: &str, evidence: &mut Evidence) {
        let mut seen = vec![0u8; self.terms.len()];
        let Ok(found) = self.automaton.try_find_overlapping_iter(folded) else { return };
        for hit in found {
            let id = hit.pattern().as_usize();
            let (Some(term), Some(times)) = (self.terms.get(id), seen.get_mut(id)) else { continue };
            let Some(repeat) = REPEAT_WEIGHTS.get(usize::from(*times)) else { continue };
            if stands_alone(folded, hit.start(), hit.end(), *term) {
                *times += 1;
                evidence.add(term.signal, term.weight * repeat);
            }
        }
    }
}

/// Every term of every table with what it speaks for.
fn all() -> impl Iterator<Item = (&'static str, Signal, f32)> {
    let tasks = tables::TASKS.iter().map(|(task, weight, terms)| (Signal::Task(*task), *weight, *terms));
    let topics = tables::TOPICS.iter().map(|(topic, weight, terms)| (Signal::Topic(*topic), *weight, *terms));
    let cues = tables::CUES.iter().map(|(cue, weight, terms)| (Signal::Cue(*cue), *weight, *terms));
    tasks.chain(topics).chain(cues).flat_map(|(signal, weight, terms)| {
        terms
            .split('|')
            .map(str::trim)
            .filter(|term| !term.is_empty())
            .map(move |term| (term, signal, weight))
    })
}

fn parse(term: &'static str, signal: Signal, weight: f32) -> (&'static str, Term) {
    let leads = term.starts_with('^');
    let text = term.trim_start_matches('^');
    let open_start = text.starts_with('*');
    let open_end = text.ends_with('*');
    (text.trim_matches('*'), Term { signal, weight, leads, open_start, open_end })
}

/// The hit is a word of its own, as far as the term asks for that, and stands where the term has to.
fn stands_alone(text: &str, start: usize, end: usize, term: Term) -> bool {
    // Most hits are short terms inside longer ASCII words: seen by two bytes.
    let bytes = text.as_bytes();
    let letter = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    let cut_off =
        |open: bool, outer: Option<usize>, inner: Option<usize>| !open && letter(outer) && letter(inner);
    if cut_off(term.open_start, start.checked_sub(1), Some(start))
        || cut_off(term.open_end, Some(end), end.checked_sub(1))
    {
        return false;
    }
    let before = text.get(..start).unwrap_or_default();
    let inside = text.get(start..end).unwrap_or_default();
    let after = text.get(end..).unwrap_or_default();
    let joins = |a: Option<char>, b: Option<char>| a.is_some_and(in_word) && b.is_some_and(in_word);
    let starts = term.open_start || !joins(before.chars().next_back(), inside.chars().next());
    let ends = term.open_end || !joins(inside.chars().next_back(), after.chars().next());
    starts && ends && (!term.leads || leads(before))
}

/// A letter or digit of a script that puts spaces between words.
fn in_word(c: char) -> bool {
    c.is_alphanumeric() && c < '\u{e00}'
}

/// Nothing but politeness stands between the beginning of the sentence and here.
fn leads(before: &str) -> bool {
    let near =
        before.get(before.floor_char_boundary(before.len().saturating_sub(LEAD_BYTES))..).unwrap_or(before);
    let ends = |c: char| matches!(c, '.' | '!' | '?' | ':' | ';' | ',' | '\n' | '。' | '，' | '！' | '？');
    let sentence = match near.rfind(ends) {
        Some(at) => near.get(at..).unwrap_or_default().trim_start_matches(ends),
        None if near.len() == before.len() => near,
        None => return false,
    };
    let words = sentence.split(|c: char| !(c.is_alphanumeric() || c == '\'')).filter(|word| !word.is_empty());
    words.into_iter().all(|word| POLITE.split_ascii_whitespace().any(|polite| polite == word))
}

#[cfg(test)]
mod tests {
    use super::super::fold::fold;
    use super::*;

    #[test]
    fn tables_are_folded_and_name_each_term_once_per_signal() {
        let mut seen = Vec::new();
        for (term, signal, weight) in all() {
            assert_eq!(fold(term), term, "terms are matched against folded text");
            assert!(weight > 0.0 && !parse(term, signal, weight).0.is_empty(), "{term}");
            assert!(!seen.contains(&(term, signal)), "{term} twice for {signal:?}");
            seen.push((term, signal));
        }
        assert!(seen.len() > 1000, "{}", seen.len());
    }

    #[test]
    fn terms_are_whole_words_unless_they_say_otherwise() {
        let terms = Terms::new();
        let legal = |text: &str| terms.found_in(&fold(text)).topics[Topic::Legal as usize] > 0.0;
        for text in ["a lawsuit", "Mietvertrag", "le contrat, signé", "这份合同", "Договоры"] {
            assert!(legal(text), "{text}");
        }
        for text in ["flawless", "outlaws of physics", "contra"] {
            assert!(!legal(text), "{text}");
        }
    }

    #[test]
    fn leading_terms_begin_a_sentence_but_for_politeness() {
        let terms = Terms::new();
        let knows = |text: &str| terms.found_in(&fold(text)).tasks[Task::Knowledge as usize] >= 2.0;
        for text in
            ["When did it end?", "Hi, please explain it", "It rains. Where is it?", "Could you define it"]
        {
            assert!(knows(text), "{text}");
        }
        for text in ["Tell her when it ends", "the place where it is", "a set to define"] {
            assert!(!knows(text), "{text}");
        }
    }

    #[test]
    fn the_automata_stay_small() {
        let terms = Terms::new();
        let bytes = terms.ascii.automaton.memory_usage() + terms.other.automaton.memory_usage();
        println!("{bytes} bytes");
        assert!(bytes < 6 * 1024 * 1024, "{bytes}");
    }

    #[test]
    fn repeats_fade() {
        let terms = Terms::new();
        let weight = |text: &str| terms.found_in(text).topics[Topic::Legal as usize];
        assert!(weight("lawsuit lawsuit") > weight("lawsuit"));
        assert_eq!(weight("lawsuit lawsuit lawsuit"), weight("lawsuit lawsuit"));
    }
}
