//! The seam every classifier stands behind, and the chain that asks them in order. No classifier is in here.

use std::cell::OnceCell;

use router_core::attributes::{AttributeSet, Attributes};
use router_core::capability::Capabilities;
use router_core::chat::{DialectId, Envelope, RequestOptions, TextKind, TextSpan};
use router_core::tokens::TextStats;

use crate::features::{Features, Reader};
use crate::heuristic::Heuristic;
use crate::language::LanguageDetector;
use crate::text::RequestText;

/// One request as classifiers see it: what is read of its text, and its features, each made when first asked for.
pub struct RequestView<'a> {
    envelope: &'a Envelope,
    reader: &'a Reader,
    text: OnceCell<RequestText>,
    features: OnceCell<Features>,
}

impl<'a> RequestView<'a> {
    /// Nothing is read yet.
    pub fn new(envelope: &'a Envelope, reader: &'a Reader) -> Self {
        Self { envelope, reader, text: OnceCell::new(), features: OnceCell::new() }
    }

    /// The request itself.
    pub fn envelope(&self) -> &'a Envelope {
        self.envelope
    }

    /// The question and what stands around it.
    pub fn text(&self) -> &RequestText {
        self.text.get_or_init(|| RequestText::read(self.envelope))
    }

    /// The numbers that heuristics and models decide from.
    pub fn features(&self) -> &Features {
        self.features.get_or_init(|| self.reader.features(self.envelope, self.text()))
    }
}

/// Something that can tell attributes of a request.
pub trait Classifier: Send + Sync {
    /// The attributes it can tell; it is asked for no other.
    fn provides(&self) -> AttributeSet;

    /// Looks for the attributes in `wanted` (a subset of [`Classifier::provides`]) and writes those that have a value to
    /// `found`. `found` holds what earlier classifiers of the chain said, so a better-informed one may keep or replace
    /// it. Returns what was looked for: an attribute in that set without a value in `found` has none.
    fn classify(
        &self,
        request: &RequestView<'_>,
        wanted: AttributeSet,
        found: &mut Attributes,
    ) -> AttributeSet;
}

/// Classifiers in the order they are asked, cheapest first; a later one may replace what an earlier one said.
pub struct Chain {
    reader: Reader,
    stages: Vec<Box<dyn Classifier>>,
}

impl Chain {
    /// Language detection and the heuristics: all of [`AttributeSet::CLASSIFIED`], with nothing to load. Builds its
    /// term tables (some milliseconds): made once per process, shared by reference.
    pub fn standard() -> Self {
        Self::new(vec![Box::new(LanguageDetector::new()), Box::new(Heuristic)])
    }

    /// A chain of these classifiers, in this order.
    pub fn new(stages: Vec<Box<dyn Classifier>>) -> Self {
        Self { reader: Reader::new(), stages }
    }

    /// What this chain can tell.
    pub fn provides(&self) -> AttributeSet {
        self.stages.iter().fold(AttributeSet::empty(), |all, stage| all | stage.provides())
    }

    /// Computes the attributes in `wanted` that this chain can tell, and returns which those were. An attribute that was
    /// computed and has no value is `None`. Attributes outside the returned set are not touched.
    pub fn classify(
        &self,
        envelope: &Envelope,
        wanted: AttributeSet,
        attributes: &mut Attributes,
    ) -> AttributeSet {
        let view = RequestView::new(envelope, &self.reader);
        let mut computed = AttributeSet::empty();
        for stage in &self.stages {
            let asked = wanted & stage.provides();
            if !asked.is_empty() {
                computed |= stage.classify(&view, asked, attributes) & asked;
            }
        }
        computed
    }

    /// The same for a bare prompt, as if it were the only user message of a chat.
    pub fn classify_prompt(
        &self,
        prompt: &str,
        wanted: AttributeSet,
        attributes: &mut Attributes,
    ) -> AttributeSet {
        self.classify(&prompt_envelope(prompt), wanted, attributes)
    }
}

/// An envelope whose only text is the prompt. Its body is the prompt and no JSON: good for classification alone.
fn prompt_envelope(prompt: &str) -> Envelope {
    Envelope {
        body: prompt.as_bytes().to_vec().into(),
        dialect: DialectId::OpenaiChat,
        model: String::new(),
        model_span: 0..0,
        stream: false,
        include_usage: false,
        stream_options_span: None,
        max_tokens: None,
        temperature: None,
        n: 1,
        texts: vec![TextSpan { message: 0, kind: TextKind::User, span: 0..prompt.len(), escaped: false }],
        turns: 1,
        tools: 0,
        tools_span: None,
        images: 0,
        after_tool_result: false,
        needs: Capabilities::empty(),
        stats: TextStats::default(),
        options: RequestOptions::default(),
        habits: router_core::chat::Habits::default(),
        own_spans: Vec::new(),
        user: None,
        service_tier: None,
        unmapped: Vec::new(),
        insert_at: 0,
    }
}
