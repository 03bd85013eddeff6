//! The topic: the terms found for it, with the task as a hint.

use router_core::attributes::{Task, Topic};

use super::task::Verdict;
use crate::features::{Features, for_topic};

/// Below this, nothing speaks for any topic: `other`.
const ENOUGH: f32 = 1.4;
/// Topics whose rules guard against mistakes (law, medicine, money) win ties: by this factor.
const GUARDED: f32 = 1.15;

/// The topic. `None`: the request holds nothing to judge.
pub(super) fn judge(features: &Features, verdict: Option<Verdict>) -> Option<Topic> {
    let task = verdict?.task;
    let weigh = |topic: Topic| {
        let hint = match (topic, task) {
            (Topic::Science, Task::Math) | (Topic::Technology, Task::Code) => 2.0,
            _ => 0.0,
        };
        let guarded = matches!(topic, Topic::Legal | Topic::Medical | Topic::Finance);
        (for_topic(&features.evidence, topic) + hint) * if guarded { GUARDED } else { 1.0 }
    };
    let best = Topic::ALL.iter().map(|topic| (*topic, weigh(*topic))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(if best.1 >= ENOUGH { best.0 } else { Topic::Other })
}
