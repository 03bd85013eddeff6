//! The joint between what a client has seen and what the next model writes: decides how much of the beginning of a
//! continuation repeats what was shown, and holds structured output to being JSON. Text in, text out.
//!
//! The beginning is held back until it is decided:
//! - A continuation that begins like the answer itself is a restart: it is dropped as far as the answer was shown. One that
//!   differs from what was shown after [`RESTART_BYTES`] or more cannot be joined to it, and fails.
//! - One that begins with the last words shown overlaps; the longest overlap is dropped. An overlap counts when it is at
//!   least [`OVERLAP_BYTES`] long, or is whole last words of a line; a shorter one is more likely to be the rest of a word ("hel",
//!   "lo") than a repetition. Where white space follows the last word shown, it must end there, too ("cat ", "catalog").
//! - None does where what was shown repeats itself and the continuation only does so once more ("ha ha", " ha ha"; rows,
//!   lines and rules that are alike): that is what the right one looks like.
//! - White space that was shown at the end is not shown again.
//!
//! A model that was given the shown text as the beginning of its own answer (prefill) repeats only by a mistake of its
//! host, so there only a restart is looked for: prose and code may well repeat a line.

use crate::json::prefix::{NotJson, Prefix};

/// From this length on, an overlap is no coincidence: longer than nearly every English word with its neighbouring spaces.
const OVERLAP_BYTES: usize = 12;

/// A continuation that has begun like the answer for so long restarts it.
const RESTART_BYTES: usize = 24;

/// Overlaps are looked for in so much of the end of what was shown; a longer one is only ever a restart.
const TAIL_BYTES: usize = 4096;

/// Letters that a shorter overlap has at least.
const OVERLAP_LETTERS: usize = 3;

/// How the model was asked to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// It was given the text as the beginning of its own answer; `echoes`: and the host repeats it.
    Prefill { echoes: bool },
    /// It was told to go on.
    Instruct,
}

/// What cannot be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unjoined {
    /// It restarts the answer and then says something else.
    #[error("the continuation begins the answer again and then differs from what was shown")]
    Differs,
    /// Structured output that would not be JSON.
    #[error("the continuation does not make one JSON value with what was shown")]
    NotJson,
    /// Structured output whose model stopped too early.
    #[error("the continuation ends before the JSON value does")]
    Unfinished,
    /// Structured output that lacks what its schema asks for.
    #[error("the JSON value is not of the form asked for")]
    Form,
}

/// What is known of the beginning of a continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing yet: more must come.
    Wait,
    /// So many bytes repeat what was shown; `true`: and what follows stands right behind it, white space to be matched.
    Drop(usize, bool),
    /// It cannot be joined.
    Differs,
}

/// Joins one continuation.
#[derive(Debug)]
pub(super) struct Splice {
    join: Join,
    /// What was shown, without the white space at its end.
    shown: String,
    /// The white space at its end.
    space: String,
    /// The beginning of the continuation; `None`: decided.
    held: Option<String>,
    /// Bytes of it that are known to restart the answer.
    same: usize,
    /// Bytes of `space` that may still come again.
    due: usize,
    json: Option<Prefix>,
    /// The model has written something, shown or not.
    wrote: bool,
}

impl Splice {
    /// For what was shown. `json`: it is structured output.
    ///
    /// # Errors
    /// Structured output whose beginning is not one.
    pub(super) fn new(shown: &str, join: Join, json: bool) -> Result<Self, NotJson> {
        let json = match json {
            true => {
                let mut prefix = Prefix::new();
                prefix.push(shown)?;
                Some(prefix)
            }
            false => None,
        };
        let text = shown.trim_end();
        Ok(Self {
            join,
            shown: text.to_owned(),
            space: shown.get(text.len()..).unwrap_or_default().to_owned(),
            held: Some(String::new()),
            same: 0,
            due: 0,
            json,
            wrote: false,
        })
    }

    /// Whether the model has written anything, shown or not.
    pub(super) const fn wrote(&self) -> bool {
        self.wrote
    }

    /// More of the continuation; returns what of it, and of what was held, is for the client.
    ///
    /// # Errors
    /// It cannot be joined; nothing of `more` is for the client.
    pub(super) fn push(&mut self, more: &str) -> Result<String, Unjoined> {
        self.wrote |= !more.is_empty();
        self.step(more, false)
    }

    /// The text is over: what was held is decided.
    ///
    /// # Errors
    /// As [`Splice::push`].
    pub(super) fn flush(&mut self) -> Result<String, Unjoined> {
        self.step("", true)
    }

    /// Whether structured output is whole; any other text always is.
    pub(super) fn is_whole(&self) -> bool {
        self.json.as_ref().is_none_or(Prefix::is_whole)
    }

    fn step(&mut self, more: &str, last: bool) -> Result<String, Unjoined> {
        let text = match self.held.take() {
            None => self.after_space(more).to_owned(),
            Some(mut held) => {
                held.push_str(more);
                match self.verdict(&held, last) {
                    Verdict::Wait => {
                        self.held = Some(held);
                        return Ok(String::new());
                    }
                    Verdict::Differs => return Err(Unjoined::Differs),
                    Verdict::Drop(bytes, spaced) => {
                        self.due = if spaced { self.space.len() } else { 0 };
                        self.after_space(held.get(bytes..).unwrap_or_default()).to_owned()
                    }
                }
            }
        };
        let Some(json) = &mut self.json else { return Ok(text) };
        let belongs = json.push(&text).map_err(|NotJson| Unjoined::NotJson)?;
        // What follows a whole value is no answer: the end of a code fence, a remark.
        Ok(text.get(..belongs).unwrap_or_default().to_owned())
    }

    /// The text without the white space that was shown already and comes again.
    fn after_space<'a>(&mut self, text: &'a str) -> &'a str {
        let shown = self.space.get(self.space.len() - self.due..).unwrap_or_default();
        if text.is_empty() || shown.is_empty() {
            return text;
        }
        let again: usize =
            shown.chars().zip(text.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
        self.due = if again == text.len() { self.due - again } else { 0 };
        text.get(again..).unwrap_or_default()
    }

    fn verdict(&mut self, held: &str, last: bool) -> Verdict {
        let start = self.start(held);
        let Some(text) = held.get(start..).filter(|text| !text.is_empty()) else {
            let wait = !last && (held.is_empty() || start > 0);
            return if wait { Verdict::Wait } else { Verdict::Drop(0, false) };
        };
        match self.restart(text, last) {
            Some(Verdict::Drop(bytes, spaced)) => return Verdict::Drop(start + bytes, spaced),
            Some(verdict) => return verdict,
            None => {}
        }
        if matches!(self.join, Join::Prefill { .. }) {
            return Verdict::Drop(0, true);
        }
        match self.overlap(held, start, last) {
            Some(Verdict::Drop(bytes, spaced)) => Verdict::Drop(start + bytes, spaced),
            Some(verdict) => verdict,
            None if self.begins_again() => Verdict::Differs,
            None => Verdict::Drop(self.opening(held), false),
        }
    }

    /// Where the text of a continuation begins: models that were told to go on like to begin with white space, and put JSON
    /// into a code fence.
    fn start(&self, held: &str) -> usize {
        if self.join != Join::Instruct {
            return 0;
        }
        let text = held.trim_start();
        let blank = held.len() - text.len();
        let outside = self.json.as_ref().is_some_and(|json| !json.in_string());
        if !outside || text.is_empty() {
            return blank;
        }
        match text.strip_prefix("```") {
            Some(fenced) => blank + fenced.find('\n').map_or(text.len(), |end| 3 + end + 1),
            None if "```".starts_with(text) => held.len(),
            None => blank,
        }
    }

    /// What of a continuation that is neither a restart nor overlaps is not shown.
    fn opening(&self, held: &str) -> usize {
        let start = self.start(held);
        let fenced = held.get(..start).is_some_and(|opening| opening.contains('`'));
        // A space between two words that is there already; indentation stays.
        let doubled = self.space == " " && held.starts_with(' ') && start == 1;
        if fenced || doubled { start } else { 0 }
    }

    /// A continuation that begins like the answer.
    fn restart(&mut self, text: &str, last: bool) -> Option<Verdict> {
        let answer = self.shown.trim_start();
        if answer.is_empty() {
            return None;
        }
        let pairs = answer.as_bytes().iter().zip(text.as_bytes()).skip(self.same);
        self.same += pairs.take_while(|(a, b)| a == b).count();
        if self.same == answer.len() {
            let ends = self.ends_there(text.get(answer.len()..).unwrap_or_default(), last);
            return match (self.is_restart(answer), ends) {
                (true, Some(true)) => Some(Verdict::Drop(answer.len(), true)),
                (true, None) => Some(Verdict::Wait),
                _ => None,
            };
        }
        if self.same < text.len() {
            // It differs.
            return None;
        }
        match last {
            false => self.is_restart(answer).then_some(Verdict::Wait),
            true => (self.join == Join::Instruct && self.begins_again()).then_some(Verdict::Differs),
        }
    }

    /// Whether what is known to be the same as the answer's beginning is long, and no line that the answer repeats anyway.
    fn begins_again(&self) -> bool {
        let answer = self.shown.trim_start().as_bytes();
        let (Some(beginning), Some(rest)) = (answer.get(..self.same), answer.get(1..)) else { return false };
        self.same >= RESTART_BYTES && memchr::memmem::find(rest, beginning).is_none()
    }

    /// Whether a continuation that begins with all of the answer restarts it.
    fn is_restart(&self, answer: &str) -> bool {
        match self.join {
            Join::Prefill { echoes } => echoes || answer.len() >= RESTART_BYTES,
            // Two objects never stand side by side; nested arrays do.
            Join::Instruct if self.json.is_some() => answer.starts_with('{') || answer.len() >= OVERLAP_BYTES,
            Join::Instruct => true,
        }
    }

    /// A continuation whose text, from `start` on, begins with the end of what was shown: the longest such end that counts.
    fn overlap(&self, held: &str, start: usize, last: bool) -> Option<Verdict> {
        // Between the parts of a JSON value, items that look alike are no repetition.
        if self.json.as_ref().is_some_and(|json| !json.in_string()) {
            return None;
        }
        let text = held.get(start..).unwrap_or_default();
        let from = self.shown.len().saturating_sub(TAIL_BYTES);
        let ends = (from..self.shown.len()).filter_map(|at| self.shown.get(at..).map(|end| (at, end)));
        let between = [self.space.as_str(), held.get(..start).unwrap_or_default()];
        let of_lines = between.iter().any(|space| space.contains('\n'));
        let counts =
            |at: usize, end: &str| end.len() >= OVERLAP_BYTES || (!of_lines && self.is_words(at, end));
        for end in ends.filter(|(at, end)| counts(*at, end)).map(|(_, end)| end) {
            let Some(rest) = text.strip_prefix(end) else {
                if !last && end.starts_with(text) {
                    return Some(Verdict::Wait);
                }
                continue;
            };
            match self.ends_there(rest, last) {
                None => return Some(Verdict::Wait),
                Some(true) if self.repeats(held.get(..start + end.len()).unwrap_or_default()) => return None,
                Some(true) => return Some(Verdict::Drop(end.len(), true)),
                Some(false) => {}
            }
        }
        None
    }

    /// Whether this end of what was shown, which stands at `at`, is whole words. Of a line of its own that says nothing:
    /// blocks end alike ("end", "done").
    fn is_words(&self, at: usize, end: &str) -> bool {
        let before = self.shown.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(is_of_word)
            && end.chars().next().is_some_and(is_of_word)
            && end.chars().filter(|c| c.is_alphabetic()).count() >= OVERLAP_LETTERS
    }

    /// Whether what was shown can end where it did if this follows its repetition: a word that was shown with white space
    /// after it does not go on. `None`: more must come.
    fn ends_there(&self, rest: &str, last: bool) -> Option<bool> {
        if self.space.is_empty() || !self.shown.ends_with(is_of_word) {
            return Some(true);
        }
        match rest.chars().next() {
            Some(next) => Some(!is_of_word(next)),
            None => last.then_some(true),
        }
    }

    /// Whether what was shown repeats itself at its end, twice or more, and these bytes go on with that.
    fn repeats(&self, more: &str) -> bool {
        let from = self.shown.len().saturating_sub(TAIL_BYTES);
        let tail = [self.shown.as_bytes().get(from..).unwrap_or_default(), self.space.as_bytes()].concat();
        // The white space between may be the continuation's: two periods without the first of it.
        (1..=tail.len().div_ceil(2)).any(|period| {
            let (Some(twice), Some(once)) =
                (tail.get(tail.len() + 1 - 2 * period..), tail.get(tail.len() - period..))
            else {
                return false;
            };
            let is_period = twice.iter().zip(twice.iter().skip(period)).all(|(a, b)| a == b);
            is_period && more.bytes().zip(once.iter().cycle()).all(|(a, b)| a == *b)
        })
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests;
