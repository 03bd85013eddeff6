//! A decision in the words of the interface: what `explain --json` prints and the decision log carries, borrowed.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::attributes::Attributes;
use crate::compiled::{Compiled, DeploymentIdx};
use crate::money::Usd;
use crate::select::{Decision, DecisionInput, Reason, ScoreParts, Verdict, VerdictKind};

/// A decision in the words of the interface: what `explain --json` prints and the log carries.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explained<'a> {
    /// The rule that matched, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// The tier chosen from, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<&'a str>,
    /// Rules before it, each with the first condition that failed.
    #[schemars(with = "Vec<PassedOver<'static>>")]
    pub rules_passed_over: PassedOverList<'a>,
    /// Deployment ids in the order to try, deferred ones last.
    #[schemars(with = "Vec<String>")]
    pub plan: Plan<'a>,
    /// One per deployment considered.
    #[schemars(with = "Vec<VerdictView<'static>>")]
    pub verdicts: Verdicts<'a>,
    /// What the rules saw of the request.
    pub attributes: &'a Attributes,
}

impl<'a> Explained<'a> {
    /// A decision with a verdict for every deployment of the configuration.
    pub fn new(compiled: &'a Compiled, input: &'a DecisionInput, decision: &'a Decision) -> Self {
        Self {
            rule: decision.rule.as_deref(),
            tier: decision.tier.as_deref(),
            rules_passed_over: PassedOverList(decision),
            plan: Plan { compiled, decision },
            verdicts: Verdicts { compiled, decision, left_out: None },
            attributes: &input.attributes,
        }
    }

    /// The same without the verdicts that have this reason.
    #[must_use]
    pub fn without(mut self, reason: Reason) -> Self {
        self.verdicts.left_out = Some(reason);
        self
    }
}

/// A rule that did not match.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PassedOver<'a> {
    /// Its name.
    pub name: &'a str,
    /// The path of the first condition that failed.
    pub path: &'a str,
}

/// The rules of a decision that did not match, as they are written.
#[derive(Clone, Copy, Debug)]
pub struct PassedOverList<'a>(&'a Decision);

impl Serialize for PassedOverList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rules = self.0.rules_passed_over.iter();
        serializer.collect_seq(rules.map(|(name, path)| PassedOver { name, path }))
    }
}

/// The plan of a decision, written as deployment ids.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    compiled: &'a Compiled,
    decision: &'a Decision,
}

impl Serialize for Plan<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = &self.decision.plan;
        serializer.collect_seq(plan.ranked.iter().chain(&plan.deferred).map(|idx| id(self.compiled, *idx)))
    }
}

/// The verdicts of a decision, written as [`VerdictView`]s.
#[derive(Clone, Copy, Debug)]
pub struct Verdicts<'a> {
    compiled: &'a Compiled,
    decision: &'a Decision,
    left_out: Option<Reason>,
}

impl Serialize for Verdicts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kept =
            self.decision.verdicts.iter().filter(|v| self.left_out.is_none() || v.reason != self.left_out);
        serializer.collect_seq(kept.map(|verdict| VerdictView::new(self.compiled, verdict)))
    }
}

/// One deployment's verdict, with its id.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VerdictView<'a> {
    /// Deployment id.
    pub deployment: &'a str,
    /// Class.
    pub kind: VerdictKind,
    /// The first reason against it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What exactly: the capability, the limit and the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// What it is ranked by; lower is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<ScoreParts>,
    /// Expected cost, when priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<UsdText>")]
    pub cost_usd: Option<Usd>,
    /// Predicted quality, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<f64>,
    /// Probability with which this request would have chosen it first.
    pub propensity: f64,
    /// Expected input tokens on this deployment.
    pub input_tokens: u64,
}

impl<'a> VerdictView<'a> {
    fn new(compiled: &'a Compiled, verdict: &'a Verdict) -> Self {
        Self {
            deployment: id(compiled, verdict.deployment),
            kind: verdict.kind,
            reason: verdict.reason,
            detail: verdict.detail.as_deref(),
            score: verdict.score,
            cost_usd: verdict.cost,
            quality: verdict.quality,
            propensity: verdict.propensity,
            input_tokens: verdict.input_tokens,
        }
    }
}

/// A deployment's id; empty for an index of another configuration, so that a log line is never worth a panic.
fn id(compiled: &Compiled, idx: DeploymentIdx) -> &str {
    compiled.deployments.get(idx.get()).map_or("", |d| &d.id)
}

/// Schema of money in outputs: unlike in configuration, always a string.
pub(super) struct UsdText;

impl JsonSchema for UsdText {
    fn schema_name() -> Cow<'static, str> {
        "UsdText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "USD as a decimal string.", "type": "string", "pattern": r"^-?\d+(\.\d{1,9})?$"
        })
    }
}
