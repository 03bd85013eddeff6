//! Rules: JSON Schemas over attributes, a closed subset in which no slip of the pen matches everything (DESIGN D2).

use std::sync::Arc;

use crate::attributes::AttributeSet;
use crate::compiled::{DeploymentIdx, Strategy};
use crate::money::Usd;

/// What a matching rule says to use, checked.
#[derive(Clone, Debug, Default)]
pub struct Use {
    /// Tier to choose from.
    pub tier: Option<u16>,
    /// Deployments to choose from, in place of a tier (`models`, `only`).
    pub only: Vec<DeploymentIdx>,
    /// Ranked before all others.
    pub prefer: Vec<DeploymentIdx>,
    /// Ranked after all others.
    pub avoid: Vec<DeploymentIdx>,
    /// How to spread.
    pub strategy: Option<Strategy>,
    /// Quality wanted.
    pub quality: Option<f64>,
    /// Most the request may cost.
    pub max_cost: Option<Usd>,
    /// Expected total time wanted, in milliseconds.
    pub latency_budget_ms: Option<u64>,
    /// Hard limit, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// Models to fall back to.
    pub fallbacks: Vec<String>,
    /// Regions allowed.
    pub regions: Vec<String>,
}

/// A compiled rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: Arc<str>,
    /// The attributes it reads.
    pub reads: AttributeSet,
    /// The standard JSON Schema it was compiled to; `check --json` shows it.
    pub schema: serde_json::Value,
    /// The compiled schema.
    pub validator: jsonschema::Validator,
    /// What to use.
    pub then: Use,
}

/// The index of the first rule whose schema the attributes satisfy. (Replaced by the rules module's own.)
pub fn first_match(rules: &[Rule], attributes: &serde_json::Value) -> Option<usize> {
    rules.iter().position(|rule| rule.validator.is_valid(attributes))
}

/// The path of the first condition of this rule that the attributes fail; empty when none does. (Replaced likewise.)
pub fn failed_path(rule: &Rule, attributes: &serde_json::Value) -> String {
    rule.validator.iter_errors(attributes).next().map(|e| e.instance_path().to_string()).unwrap_or_default()
}
