//! Rules: JSON Schemas over attributes, a closed subset in which no slip of the pen matches everything (DESIGN D2).

mod analyse;
mod attribute;
mod compile;
mod meta;
mod parse;
mod point;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::{Location, LocationSegment};
use serde_json::Value;

use crate::attributes::AttributeSet;
use crate::compiled::{DeploymentIdx, Strategy};
use crate::money::Usd;

pub(crate) use analyse::covered;
pub(crate) use compile::{Condition, condition};
pub(crate) use meta::when_schema;

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
    /// Whether a session keeps to one deployment; `None`: as the model says.
    pub sticky: Option<bool>,
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

/// The first rule whose schema these attributes (an object, absent ones left out) satisfy.
pub fn first_match(rules: &[Rule], attributes: &Value) -> Option<usize> {
    rules.iter().position(|rule| rule.validator.is_valid(attributes))
}

/// The path, in the rule as written, of the first condition that these attributes fail: `/complexity_score/maximum`,
/// `/anyOf`, `/allOf/1/task/enum`, `/not`; `/complexity_score/required` when that attribute has no value. Empty when the
/// rule matches.
pub fn failed_path(rule: &Rule, attributes: &Value) -> String {
    let (mut absent, mut failed) = (None, None);
    for error in rule.validator.iter_errors(attributes) {
        let path = as_written(error.schema_path());
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let parent = path.trim_end_matches("/required");
                let name = property.as_str().unwrap_or_default();
                absent = absent.or_else(|| Some(format!("{parent}/{name}/required")));
            }
            _ => failed = failed.or(Some(path)),
        }
    }
    // That a value is missing says more than a condition on another attribute.
    absent.or(failed).unwrap_or_default()
}

/// A place in the compiled schema as a place in the rule, where attributes stand without `properties`.
fn as_written(location: &Location) -> String {
    let mut path = String::new();
    for segment in location.segments() {
        match segment {
            LocationSegment::Property(name) if name == "properties" => {}
            LocationSegment::Property(name) => path.extend(["/", &name]),
            LocationSegment::Index(at) => path.push_str(&format!("/{at}")),
        }
    }
    path
}
