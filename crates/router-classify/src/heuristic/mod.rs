//! Task, topic, difficulty and answer length by rules of thumb over the features: no training, no files, some
//! microseconds. Each part says what its numbers rest on.

mod complexity;
mod output;
mod task;
mod topic;

use router_core::attributes::{AttributeSet, Attributes, Task};

use crate::chain::{Classifier, RequestView};

/// Tells `task`, `topic`, `complexity_score`, `confidence` and `expected_output_tokens`.
pub struct Heuristic;

impl Classifier for Heuristic {
    fn provides(&self) -> AttributeSet {
        AttributeSet::CLASSIFIED.difference(AttributeSet::LANGUAGE)
    }

    fn classify(
        &self,
        request: &RequestView<'_>,
        wanted: AttributeSet,
        found: &mut Attributes,
    ) -> AttributeSet {
        let wanted = wanted & self.provides();
        let features = request.features();
        let verdict = task::judge(features);
        let task = verdict.map_or(Task::Other, |verdict| verdict.task);
        if wanted.contains(AttributeSet::TASK) {
            found.task = verdict.map(|verdict| verdict.task);
        }
        if wanted.contains(AttributeSet::CONFIDENCE) {
            found.confidence = verdict.map(|verdict| verdict.confidence);
        }
        if wanted.contains(AttributeSet::TOPIC) {
            found.topic = topic::judge(features, verdict);
        }
        if wanted.contains(AttributeSet::COMPLEXITY_SCORE) {
            found.complexity_score = verdict.map(|_| complexity::score(features, task));
        }
        if wanted.contains(AttributeSet::EXPECTED_OUTPUT_TOKENS) {
            found.expected_output_tokens = verdict.map(|_| output::expected_tokens(features, task));
        }
        wanted
    }
}
