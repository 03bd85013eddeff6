//! Why the rules before the one that matched did not: for whoever asks, never on the way of a request.

use std::sync::Arc;

use super::decision::Decision;
use super::input::DecisionInput;
use super::target::{AUTO, Target, resolve};
use crate::compiled::Compiled;
use crate::rules;

/// The rules passed over, each with the path of the first condition that failed. None when the model asked for is not
/// decided by rules.
pub fn rules_passed_over(
    compiled: &Compiled,
    input: &DecisionInput,
    decision: &Decision,
) -> Vec<(Arc<str>, String)> {
    let name = input.attributes.model.as_deref().unwrap_or(AUTO);
    if !matches!(resolve(compiled, name), Some(Target::Auto(_))) {
        return Vec::new();
    }
    let attributes = serde_json::to_value(&input.attributes).unwrap_or_default();
    let before = compiled.rules.iter().take_while(|rule| decision.rule.as_ref() != Some(&rule.name));
    before.map(|rule| (Arc::clone(&rule.name), rules::failed_path(rule, &attributes))).collect()
}
