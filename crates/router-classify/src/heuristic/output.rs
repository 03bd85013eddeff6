//! How long the answer is likely to be, in tokens: what the question asks for outright, or what such tasks usually take,
//! stretched by what it says about length, within the client's limit.

use router_core::attributes::Task;

use crate::features::{Cue, Features};

/// Bytes per token of running text, for lengths that follow the input's.
const BYTES_PER_TOKEN: f32 = 4.0;
/// No estimate is below this: even "yes" is wrapped in something.
const LEAST: f32 = 4.0;
/// No estimate is above this: answers beyond it are rare enough not to be expected.
const MOST: f32 = 16_000.0;

/// Expected output tokens of one answer.
pub(super) fn expected_tokens(features: &Features, task: Task) -> u64 {
    let asked = features.asked_tokens;
    let mut tokens = if asked > 0.0 { asked } else { usual(features, task) * stretch(features) };
    if features.max_tokens > 0.0 {
        tokens = tokens.min(features.max_tokens);
    }
    tokens.clamp(LEAST.min(features.max_tokens.max(1.0)), MOST).round() as u64
}

/// What a task usually takes.
fn usual(features: &Features, task: Task) -> f32 {
    let question = features.question.bytes / BYTES_PER_TOKEN;
    let material = features.material_bytes / BYTES_PER_TOKEN;
    let code = features.code_bytes / BYTES_PER_TOKEN;
    match task {
        Task::Chat => 40.0,
        Task::Classification => 12.0,
        Task::ToolUse => 80.0,
        Task::Knowledge => 120.0,
        Task::Translation => 10.0 + material.max(question),
        Task::Extraction => 60.0 + (0.15 * material.max(question)).min(800.0),
        Task::Summarisation => 120.0 + (0.05 * material.max(question)).min(400.0),
        Task::Math => 300.0 + (0.5 * question).min(300.0),
        Task::Reasoning => 400.0 + (0.3 * question).min(400.0),
        Task::Writing => 450.0,
        Task::Code => 350.0 + (0.6 * code + 0.3 * question).min(1500.0),
        Task::Other => 200.0,
    }
}

/// What the question says about length, as a factor.
fn stretch(features: &Features) -> f32 {
    let evidence = &features.evidence;
    let detail = 1.0 + 0.5 * evidence.cue(Cue::Detail).min(2.0) + 0.15 * evidence.cue(Cue::Depth).min(3.0);
    let parts =
        1.0 + 0.1 * (features.question.list_items + features.question.question_marks - 1.0).clamp(0.0, 10.0);
    let brief = if evidence.cue(Cue::Brief) > 0.0 { 0.5 } else { 1.0 };
    let only = if evidence.cue(Cue::OnlyAnswer) > 0.0 { 0.15 } else { 1.0 };
    detail * parts * brief * only
}
