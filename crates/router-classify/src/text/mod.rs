//! What is the question in this request: found by position and structure, from a bounded reading of its texts.

mod blocks;
mod openings;
mod unescape;

use std::borrow::Cow;

use router_core::chat::{Envelope, TextKind, TextSpan};

use blocks::{Block, BlockKind, Open};

/// Bytes read from the start and from the end of one text of the message that asks.
const EXCERPT_BYTES: usize = 4 * 1024;
/// Parts of one message that are read: the first and the last few.
const PARTS_LIMIT: usize = 8;
/// Bytes read of one message, over all its parts.
const MESSAGE_BYTES: usize = 2 * EXCERPT_BYTES;
/// User messages looked through for one that asks something.
const MESSAGES_LIMIT: usize = 6;
/// Prose up to this length is the question as a whole; of more, the paragraphs that ask are chosen.
const WHOLE_BYTES: usize = 2000;
/// The longest question kept.
const QUESTION_BYTES: usize = 2 * 1024;
/// Kept of each end of a paragraph that is too long to be all question.
const END_BYTES: usize = 512;
/// Kept of pasted material, of the earlier question and of the system text each: enough to tell what they are about.
const AROUND_BYTES: usize = 1024;
/// A question up to this length may be the continuation of an earlier one.
const FOLLOW_UP_BYTES: usize = 64;

/// The question of a request and what stands around it. Reading costs at most some tens of KiB, whatever the request's size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestText {
    question: String,
    context: String,
    material: String,
    system: String,
    code_fences: u32,
    code_bytes: usize,
    material_bytes: usize,
    follow_up: bool,
}

impl RequestText {
    /// Reads the question from the last user message that has one; earlier ones only as far as needed.
    pub fn read(envelope: &Envelope) -> Self {
        let mut read = Self::default();
        let mut messages = user_messages(&envelope.texts).take(MESSAGES_LIMIT);
        for message in messages.by_ref() {
            read.message(envelope, message);
            if !read.question.is_empty() {
                break;
            }
        }
        if read.question.len() <= FOLLOW_UP_BYTES {
            let earlier = messages.find_map(|message| {
                let mut earlier = Self::default();
                earlier.message(envelope, message);
                (!earlier.question.is_empty()).then_some(earlier.question)
            });
            read.follow_up = earlier.is_some() && openings::continues(&read.question);
            read.context = earlier.map(|text| clip(&text, AROUND_BYTES).to_owned()).unwrap_or_default();
        }
        read.system = envelope
            .texts
            .iter()
            .find(|text| text.kind == TextKind::System)
            .map(|text| unescape::head(raw(envelope, text), text.escaped, AROUND_BYTES).into_owned())
            .unwrap_or_default();
        read
    }

    /// What is asked, without pasted material, code and harness noise. Empty when nothing is asked in words.
    pub fn question(&self) -> &str {
        &self.question
    }

    /// The user's question before this one, when this one is short enough to depend on it.
    pub fn context(&self) -> Option<&str> {
        (!self.context.is_empty()).then_some(&*self.context)
    }

    /// This question cannot be understood without [`RequestText::context`].
    pub fn is_follow_up(&self) -> bool {
        self.follow_up
    }

    /// The beginning of what was pasted or quoted with the question.
    pub fn material(&self) -> &str {
        &self.material
    }

    /// The beginning of the system text.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Blocks of code with the question.
    pub fn code_blocks(&self) -> u32 {
        self.code_fences
    }

    /// Bytes of code with the question, of the part that was read.
    pub fn code_bytes(&self) -> usize {
        self.code_bytes
    }

    /// Bytes of pasted or quoted text with the question, including what was not read.
    pub fn material_bytes(&self) -> usize {
        self.material_bytes
    }

    /// Reads one message: `texts` are its parts.
    fn message(&mut self, envelope: &Envelope, texts: &[TextSpan]) {
        let skipped = texts.len().saturating_sub(PARTS_LIMIT);
        let half = PARTS_LIMIT / 2;
        let chosen =
            texts.iter().enumerate().filter(|(i, _)| skipped == 0 || *i < half || *i >= half + skipped);
        let share = MESSAGE_BYTES / texts.len().clamp(1, PARTS_LIMIT);
        let mut unread = 0;
        let mut excerpts = Vec::new();
        for (_, text) in chosen {
            let excerpt = Excerpt::of(raw(envelope, text), text.escaped, share);
            unread += excerpt.unread;
            excerpts.push(excerpt);
        }
        let mut blocks = Vec::new();
        for excerpt in &excerpts {
            excerpt.split(&mut blocks);
        }
        self.take(&blocks, unread);
    }

    /// Sorts the blocks of the asking message into question and surroundings. Pasted material of a message without a
    /// question stays: the question before it may be about it.
    fn take(&mut self, blocks: &[Block<'_>], unread: usize) {
        let asked = blocks.iter().any(|block| block.kind == BlockKind::Asked);
        let question = if asked { BlockKind::Asked } else { BlockKind::Prose };
        let prose: Vec<&str> = blocks.iter().filter(|b| b.kind == question).map(|b| b.text).collect();
        let chosen = choose(&prose, unread > 0);
        for (text, is_question) in prose.iter().zip(&chosen) {
            match (is_question, text.len() <= WHOLE_BYTES) {
                (true, true) => append(&mut self.question, text, QUESTION_BYTES),
                (true, false) => self.ends_of(text),
                (false, _) => self.add_material(text),
            }
        }
        for block in blocks {
            match block.kind {
                BlockKind::Code => {
                    self.code_fences += 1;
                    self.code_bytes += block.text.len();
                }
                BlockKind::Material => self.add_material(block.text),
                BlockKind::Prose if asked => self.add_material(block.text),
                BlockKind::Prose | BlockKind::Asked | BlockKind::Noise => {}
            }
        }
        self.material_bytes += unread;
    }

    fn add_material(&mut self, text: &str) {
        self.material_bytes += text.len();
        append(&mut self.material, text, AROUND_BYTES);
    }

    /// A paragraph too long to be all question: its first words and its last sentence, where an instruction stands.
    fn ends_of(&mut self, paragraph: &str) {
        let last = openings::last_sentence(paragraph);
        let ends = last.len() <= END_BYTES && openings::asks(last);
        if !ends || openings::opens(paragraph) {
            append(&mut self.question, clip(paragraph, END_BYTES), QUESTION_BYTES);
        }
        if ends {
            append(&mut self.question, last, QUESTION_BYTES);
        }
        self.add_material(paragraph);
    }
}

/// The parts of each user message, the last message first.
fn user_messages(texts: &[TextSpan]) -> impl Iterator<Item = &[TextSpan]> {
    texts
        .chunk_by(|a, b| a.message == b.message && a.kind == b.kind)
        .rev()
        .filter(|parts| parts.first().is_some_and(|text| text.kind == TextKind::User))
}

fn raw<'a>(envelope: &'a Envelope, text: &TextSpan) -> &'a [u8] {
    envelope.body.get(text.span.clone()).unwrap_or_default()
}

/// A text, or its two ends.
struct Excerpt<'a> {
    head: Cow<'a, str>,
    tail: Option<Cow<'a, str>>,
    unread: usize,
}

impl<'a> Excerpt<'a> {
    fn of(raw: &'a [u8], escaped: bool, limit: usize) -> Self {
        if raw.len() <= limit {
            return Self { head: unescape::head(raw, escaped, limit), tail: None, unread: 0 };
        }
        let half = limit / 2;
        // The head is bounded before unescaping, so that it cannot reach into the tail.
        let head = unescape::head(raw.get(..raw.len() - half).unwrap_or_default(), escaped, half);
        let tail = unescape::tail(raw, escaped, half);
        Self { head, tail: Some(tail), unread: raw.len() - limit }
    }

    fn split<'t>(&'t self, out: &mut Vec<Block<'t>>) {
        let open = blocks::split(&self.head, &Open::Nothing, out);
        if let Some(tail) = &self.tail {
            blocks::split(tail, &blocks::open_at_tail(open, tail), out);
        }
    }
}

/// Which paragraphs are the question. Short texts are it as a whole, but for what follows "...the following text:"; of
/// long ones the first or last paragraphs that ask, or the first when none does.
fn choose(paragraphs: &[&str], cut: bool) -> Vec<bool> {
    let total: usize = paragraphs.iter().map(|text| text.len()).sum();
    let last = paragraphs.len().saturating_sub(1);
    let introduces =
        paragraphs.first().is_some_and(|text| text.ends_with([':', '：']) && openings::points(text));
    let asking_end =
        |i: usize| (i < 2 || i + 2 > last) && paragraphs.get(i).is_some_and(|text| openings::asks(text));
    if introduces && last > 0 {
        return (0..=last).map(|i| i == 0 || is_list(paragraphs, i) || i == last && asking_end(i)).collect();
    }
    if total <= WHOLE_BYTES && !cut {
        return vec![true; paragraphs.len()];
    }
    let mut chosen: Vec<bool> = (0..paragraphs.len()).map(asking_end).collect();
    let none = !chosen.contains(&true);
    if let Some(first) = chosen.first_mut() {
        *first |= none;
    }
    chosen
}

/// A list that belongs to the paragraph before it.
fn is_list(paragraphs: &[&str], at: usize) -> bool {
    paragraphs.get(at).is_some_and(|text| text.starts_with(['-', '*', '•']) || text.starts_with("1."))
}

/// Adds a line to `to`, which stays within `limit` bytes.
fn append(to: &mut String, text: &str, limit: usize) {
    if !to.is_empty() && to.len() < limit {
        to.push('\n');
    }
    to.push_str(clip(text, limit.saturating_sub(to.len())));
}

/// The longest prefix of at most `limit` bytes that does not cut a character.
fn clip(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
