//! The Decision as people and scripts read it: `explain --json` and its kin (INTERFACE section 1). Never on the way of a
//! request.

use std::sync::Arc;

use serde_json::{Value, json};

use super::decision::{Decision, Reason, Verdict, VerdictKind};
use super::input::DecisionInput;
use super::target::{AUTO, Target, resolve};
use crate::compiled::{Compiled, DeploymentIdx};
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

/// The whole Decision as JSON: `rule`, `tier`, `rules_passed_over`, `plan` (ids, in the order to try), `verdicts` (one per
/// deployment of the configuration, in the order of their ids), `attributes`, `deadline_ms`, `max_cost_usd`.
pub fn explain(compiled: &Compiled, input: &DecisionInput, decision: &Decision) -> Value {
    let passed = rules_passed_over(compiled, input, decision);
    let passed: Vec<_> = passed.iter().map(|(name, path)| json!({ "name": name, "path": path })).collect();
    let plan: Vec<_> = decision.plan.iter().map(|idx| &*compiled.deployment(idx).id).collect();
    let verdicts: Vec<_> = compiled.indices().map(|idx| verdict(compiled, decision, idx)).collect();
    let mut value = json!({
        "rule": decision.rule,
        "tier": decision.tier,
        "rules_passed_over": passed,
        "plan": plan,
        "verdicts": verdicts,
        "attributes": input.attributes,
    });
    put(&mut value, "deadline_ms", decision.deadline_ms);
    put(&mut value, "max_cost_usd", decision.max_cost);
    value
}

fn verdict(compiled: &Compiled, decision: &Decision, idx: DeploymentIdx) -> Value {
    let id = &compiled.deployment(idx).id;
    match decision.verdict(idx) {
        Some(verdict) => considered(id, verdict),
        None => json!({
            "deployment": id, "class": VerdictKind::Refused, "reason": Reason::NotInSet, "propensity": 0.0,
        }),
    }
}

fn considered(id: &str, verdict: &Verdict) -> Value {
    let mut value = json!({
        "deployment": id,
        "class": verdict.kind,
        "input_tokens": verdict.input_tokens,
        "propensity": verdict.propensity,
    });
    put(&mut value, "reason", verdict.reason);
    put(&mut value, "detail", verdict.detail.as_ref());
    put(&mut value, "score", verdict.score);
    put(&mut value, "cost_usd", verdict.cost);
    put(&mut value, "quality", verdict.quality);
    value
}

/// Adds a member that has a value; one without is absent, never null.
fn put(object: &mut Value, name: &str, member: Option<impl serde::Serialize>) {
    if let Some(member) = member.and_then(|member| serde_json::to_value(member).ok()) {
        object[name] = member;
    }
}
