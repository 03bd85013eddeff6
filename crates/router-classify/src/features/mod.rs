//! The numbers a request is judged by: the only feature code. Heuristics decide from them now, a model learns from the
//! very same ones; no attribute is decided in here.

mod counts;
mod fold;
mod lengths;
mod tables;
mod terms;

use router_core::attributes::{Task, Topic};
use router_core::capability::Capabilities;
use router_core::chat::{Envelope, TextKind};

pub use counts::Counts;
pub use tables::Cue;
pub use terms::Evidence;

use crate::text::RequestText;
use lengths::Lengths;
use terms::Terms;

/// How much a term in the earlier question counts, when this one cannot be understood without it.
const FOLLOW_UP_WEIGHT: f32 = 0.8;
/// How much a term in the earlier question counts otherwise: an unrelated short question is as likely.
const CONTEXT_WEIGHT: f32 = 0.2;
/// How much a term in pasted material counts towards a topic.
const MATERIAL_WEIGHT: f32 = 0.4;
/// How much a term in the system text counts: it holds for all questions, so it says less about this one.
const SYSTEM_WEIGHT: f32 = 0.35;

/// The numbers of one request. Lengths are bytes, everything else counts unless it says otherwise; no value is
/// negative or not a number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Counts over the question.
    pub question: Counts,
    /// Terms found in the question and around it, by task, topic and cue.
    pub evidence: Evidence,
    /// Bytes of the whole input, as sent.
    pub input_bytes: f32,
    /// Bytes of all system texts, as sent.
    pub system_bytes: f32,
    /// Bytes pasted or quoted with the question.
    pub material_bytes: f32,
    /// Blocks of code with the question.
    pub code_blocks: f32,
    /// Bytes of code with the question.
    pub code_bytes: f32,
    /// Messages.
    pub turns: f32,
    /// Tools offered.
    pub tools: f32,
    /// Images in the input.
    pub images: f32,
    /// The client's output limit in tokens, 0 for none.
    pub max_tokens: f32,
    /// 1: the question goes on from an earlier one.
    pub follow_up: f32,
    /// 1: the last message is a tool's result.
    pub after_tool_result: f32,
    /// 1: the answer must be JSON.
    pub wants_json: f32,
    /// 1: the answer must keep to a JSON Schema.
    pub wants_schema: f32,
    /// 1: reasoning was asked for.
    pub wants_reasoning: f32,
    /// Output tokens that the question itself asks for ("in two sentences"), 0 when it does not say.
    pub asked_tokens: f32,
}

impl Features {
    /// Every feature with its name, in a fixed order: the inputs of a model.
    pub fn named(&self) -> Vec<(String, f32)> {
        let own = [
            ("input_bytes", self.input_bytes),
            ("system_bytes", self.system_bytes),
            ("material_bytes", self.material_bytes),
            ("code_blocks", self.code_blocks),
            ("code_bytes", self.code_bytes),
            ("turns", self.turns),
            ("tools", self.tools),
            ("images", self.images),
            ("max_tokens", self.max_tokens),
            ("follow_up", self.follow_up),
            ("after_tool_result", self.after_tool_result),
            ("wants_json", self.wants_json),
            ("wants_schema", self.wants_schema),
            ("wants_reasoning", self.wants_reasoning),
            ("asked_tokens", self.asked_tokens),
        ];
        let mut all: Vec<(String, f32)> = own.map(|(name, value)| (name.to_owned(), value)).into();
        all.extend(self.question.named().map(|(name, value)| (format!("question_{name}"), value)));
        all.extend(self.evidence.named());
        all
    }
}

/// Reads features. Holds the compiled term tables: built once, shared.
pub struct Reader {
    terms: Terms,
    lengths: Lengths,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// Compiles the term tables.
    pub fn new() -> Self {
        Self { terms: Terms::new(), lengths: Lengths::new() }
    }

    /// The features of a request whose text was read before.
    pub fn features(&self, envelope: &Envelope, text: &RequestText) -> Features {
        let folded = fold::fold(text.question());
        let bytes_of = |wanted: Option<TextKind>| -> usize {
            let texts = envelope.texts.iter().filter(|text| wanted.is_none_or(|kind| text.kind == kind));
            texts.map(|text| text.span.len()).sum()
        };
        let needs = |capability| f32::from(u8::from(envelope.needs.intersects(capability)));
        Features {
            question: Counts::of(text.question()),
            evidence: self.evidence(text, &folded),
            input_bytes: bytes_of(None) as f32,
            system_bytes: bytes_of(Some(TextKind::System)) as f32,
            material_bytes: text.material_bytes() as f32,
            code_blocks: text.code_blocks() as f32,
            code_bytes: text.code_bytes() as f32,
            turns: envelope.turns as f32,
            tools: envelope.tools as f32,
            images: envelope.images as f32,
            max_tokens: envelope.max_tokens.as_ref().map_or(0.0, |limit| limit.value as f32),
            follow_up: f32::from(u8::from(text.is_follow_up())),
            after_tool_result: f32::from(u8::from(envelope.after_tool_result)),
            wants_json: needs(Capabilities::JSON_OBJECT | Capabilities::JSON_SCHEMA),
            wants_schema: needs(Capabilities::JSON_SCHEMA),
            wants_reasoning: needs(Capabilities::REASONING),
            asked_tokens: self.lengths.asked_tokens(&folded).unwrap_or(0.0),
        }
    }

    /// The terms of the question in full, those around it by less.
    fn evidence(&self, text: &RequestText, folded: &str) -> Evidence {
        let mut evidence = self.terms.found_in(folded);
        let around = |text: &str| self.terms.found_in(&fold::fold(text));
        if let Some(context) = text.context() {
            let weight = if text.is_follow_up() { FOLLOW_UP_WEIGHT } else { CONTEXT_WEIGHT };
            let context = around(context);
            evidence.add_tasks(&context, weight);
            evidence.add_topics(&context, weight);
        }
        if !text.material().is_empty() {
            evidence.add_topics(&around(text.material()), MATERIAL_WEIGHT);
        }
        if !text.system().is_empty() {
            let system = around(text.system());
            evidence.add_tasks(&system, SYSTEM_WEIGHT);
            evidence.add_topics(&system, SYSTEM_WEIGHT);
        }
        evidence
    }
}

/// Terms found for a task.
pub(crate) fn for_task(evidence: &Evidence, task: Task) -> f32 {
    evidence.tasks.get(task as usize).copied().unwrap_or(0.0)
}

/// Terms found for a topic.
pub(crate) fn for_topic(evidence: &Evidence, topic: Topic) -> f32 {
    evidence.topics.get(topic as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
