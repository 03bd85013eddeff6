//! The task: terms found for it, plus what the shape of the request says.

use router_core::attributes::Task;

use crate::features::{Cue, Features, for_task};

/// The task and how clearly it stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) task: Task,
    /// 0..=1: the lead over the second task as a share of all that speaks for both. 0 for `other`.
    pub(super) confidence: f64,
}

/// Below this, nothing speaks for any task: `other`.
const ENOUGH: f32 = 0.9;
/// Evidence that a lead is measured against beside the two tasks' own, so that one weak term alone is not certainty.
const DOUBT: f32 = 1.0;

/// The task. `None`: the request holds nothing to judge.
pub(super) fn judge(features: &Features) -> Option<Verdict> {
    if features.input_bytes == 0.0 {
        return None;
    }
    let mut scores = features.evidence.tasks;
    for (task, score) in Task::ALL.iter().zip(scores.iter_mut()) {
        *score += by_shape(features, *task);
    }
    quieten(features, &mut scores);
    let mut ranked: Vec<(Task, f32)> = Task::ALL.iter().copied().zip(scores).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (first, second) = (ranked.first()?, ranked.get(1)?);
    if first.1 < ENOUGH {
        return Some(Verdict { task: Task::Other, confidence: 0.0 });
    }
    let confidence = f64::from((first.1 - second.1.max(0.0)) / (first.1 + second.1.max(0.0) + DOUBT));
    Some(Verdict { task: first.0, confidence: confidence.clamp(0.0, 1.0) })
}

/// What the shape of the request says for a task, in the weights of the terms.
fn by_shape(features: &Features, task: Task) -> f32 {
    let question = &features.question;
    let evidence = &features.evidence;
    let short = question.bytes <= 240.0;
    match task {
        Task::Code => {
            let alone = if question.bytes == 0.0 && features.code_bytes > 0.0 { 3.0 } else { 0.0 };
            let given = if features.code_bytes > 0.0 { 2.5 } else { 0.0 };
            alone + given + question.back_quotes.min(2.0) * 0.5
        }
        Task::Math => {
            let word_problem = evidence.cue(Cue::HowMany) > 0.0 && question.numbers >= 2.0;
            // A short story with three numbers that ends in a question, and nothing to choose from.
            let story =
                question.numbers >= 3.0 && question.sentences >= 1.0 && question.question_marks == 1.0;
            let problem = match (word_problem, story && question.choices == 0.0) {
                (true, _) => 3.5,
                (false, true) => 2.0,
                (false, false) => 0.0,
            };
            let symbols = if question.bytes < 800.0 { question.math_symbols.min(6.0) * 0.35 } else { 0.0 };
            problem
                + symbols
                + question.sums.min(2.0) * 2.5
                + question.latex.min(4.0) * 0.8
                + evidence.cue(Cue::Proof).min(2.0)
        }
        Task::Knowledge => {
            let asks = question.question_marks > 0.0 && evidence.cue(Cue::Question) > 0.0;
            let factual = if asks && short { 0.8 } else { 0.0 };
            // What is asked and looks like nothing else is a question of fact.
            let open = if question.question_marks > 0.0 { ENOUGH } else { 0.0 };
            open + factual + if question.choices >= 3.0 { 1.5 } else { 0.0 }
        }
        Task::ToolUse => {
            let actions = evidence.cue(Cue::Action).min(2.0);
            let offered = if features.tools > 0.0 { 0.8 + 2.2 * actions } else { 0.6 * actions };
            offered + 1.2 * features.after_tool_result
        }
        Task::Reasoning => 0.4 * evidence.cue(Cue::Depth).min(3.0) + features.wants_reasoning,
        Task::Extraction if features.material_bytes > 0.0 => 0.8 * features.wants_json,
        _ => 0.0,
    }
}

/// Politeness is no task: small talk counts less the more else is said, and question words less beside an instruction.
fn quieten(features: &Features, scores: &mut [f32; Task::ALL.len()]) {
    let words = features.question.words;
    // Almost every question has question words; they decide only when little speaks for a task that needs skill.
    let skilled = [Task::Code, Task::Math, Task::Reasoning, Task::Classification];
    let needed = skilled.iter().filter_map(|task| scores.get(*task as usize)).any(|score| *score >= 2.0);
    if needed && let Some(knowledge) = scores.get_mut(Task::Knowledge as usize) {
        *knowledge *= 0.6;
    }
    if let Some(chat) = scores.get_mut(Task::Chat as usize) {
        *chat *= if words > 14.0 { 0.3 } else { 1.0 };
    }
    let instructed = [Task::Summarisation, Task::Translation, Task::Extraction, Task::Classification]
        .iter()
        .any(|task| for_task(&features.evidence, *task) >= 3.5);
    if instructed {
        for task in [Task::Knowledge, Task::Chat, Task::Writing, Task::Reasoning] {
            if let Some(score) = scores.get_mut(task as usize) {
                *score *= 0.5;
            }
        }
    }
}
