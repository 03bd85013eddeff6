//! The difficulty of a request, 0..=1, by a formula from its features.
//!
//! Independent reasons for difficulty add up like independent chances to fail: `1 - product of (1 - part)`. Each part
//! is `most * x / (x + half)`: nothing at 0, half of its most at `half`, never above it. So every reason raises the
//! score, none alone decides it, and it cannot leave 0..=1. The numbers are judgements: a short question of fact comes
//! out near 0.1, a long request for code under strict JSON above 0.7.

use router_core::attributes::{Task, Topic};

use crate::features::{Cue, Features, for_topic};

/// The score, rounded to three decimals: rules compare it with numbers typed in by hand.
pub(super) fn score(features: &Features, task: Task) -> f64 {
    let ease: f64 = parts(features, task).iter().map(|part| 1.0 - f64::from(*part)).product();
    ((1.0 - ease).clamp(0.0, 1.0) * 1000.0).round() / 1000.0
}

/// The part of `x`: at most `most`, half of it at `half`.
fn part(most: f32, x: f32, half: f32) -> f32 {
    most * x / (x + half)
}

fn parts(features: &Features, task: Task) -> [f32; 15] {
    let question = &features.question;
    let evidence = &features.evidence;
    let expert = [Topic::Legal, Topic::Medical, Topic::Finance].map(|topic| for_topic(evidence, topic));
    [
        base(task),
        part(0.30, question.bytes, 1200.0),
        part(0.25, features.input_bytes, 12_000.0),
        part(0.35, features.code_bytes, 2500.0),
        part(0.20, features.material_bytes, 20_000.0),
        part(0.30, evidence.cue(Cue::Constraint), 4.0),
        part(0.20, evidence.cue(Cue::Step), 3.0),
        part(0.45, evidence.cue(Cue::Proof), 1.0),
        part(0.45, evidence.cue(Cue::Depth), 2.5),
        part(0.20, (question.question_marks - 1.0).max(0.0) + question.list_items, 4.0),
        part(0.20, question.math_symbols + 2.0 * question.latex, 12.0),
        part(0.10, expert.into_iter().fold(0.0, f32::max), 3.0),
        part(0.15, features.tools, 4.0),
        part(0.15, (features.turns - 2.0).max(0.0), 12.0),
        0.20 * features.wants_schema + 0.08 * features.wants_json + 0.25 * features.wants_reasoning,
    ]
}

/// What a task is worth before anything else is known of the request.
fn base(task: Task) -> f32 {
    match task {
        Task::Chat => 0.02,
        Task::Knowledge => 0.06,
        Task::Classification | Task::Other => 0.08,
        Task::Translation | Task::Extraction => 0.10,
        Task::Summarisation | Task::Writing => 0.14,
        Task::ToolUse => 0.18,
        Task::Math => 0.25,
        Task::Code | Task::Reasoning => 0.30,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_raises_the_score_and_none_leaves_the_range() {
        let nothing = Features::default();
        assert_eq!(score(&nothing, Task::Chat), 0.02);
        let mut hard = nothing.clone();
        hard.question.bytes = 1e9;
        assert!(score(&hard, Task::Chat) > 0.3);
        hard.evidence.cues = [1e9; Cue::ALL.len()];
        hard.code_bytes = 1e9;
        hard.turns = 1e9;
        hard.tools = 1e9;
        hard.wants_json = 1.0;
        hard.wants_schema = 1.0;
        hard.wants_reasoning = 1.0;
        let most = score(&hard, Task::Code);
        assert!(most > 0.9 && most <= 1.0, "{most}");
    }
}
