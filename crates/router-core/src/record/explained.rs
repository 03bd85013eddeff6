//! A decision in the words of the interface: what `explain --json` prints and the decision log carries, borrowed.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::attributes::Attributes;
use crate::compiled::{Compiled, DeploymentIdx};
use crate::money::Usd;
use crate::select::{
    Decision, DecisionInput, Detail, Reason, ScoreParts, Verdict, VerdictKind, rules_passed_over,
};

/// A decision in the words of the interface: what `explain --json` prints and the log carries.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explained<'a> {
    /// The rule that matched; null: none.
    pub rule: Option<&'a str>,
    /// The tier chosen from, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<&'a str>,
    /// Rules before it, each with the first condition that failed. Worked out only for who asks: never in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules_passed_over: Option<Vec<PassedOver>>,
    /// Deployment ids in the order to try, deferred ones last.
    #[schemars(with = "Vec<String>")]
    pub plan: Plan<'a>,
    /// One per deployment considered.
    #[schemars(with = "Vec<VerdictView<'static>>")]
    pub verdicts: Verdicts<'a>,
    /// What the rules saw of the request.
    pub attributes: &'a Attributes,
    /// Hard limit from the rule or the request, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Most the request may cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<UsdText>")]
    pub max_cost_usd: Option<Usd>,
}

impl<'a> Explained<'a> {
    /// A decision with the verdicts of the deployments considered, as the log has it.
    pub fn new(compiled: &'a Compiled, input: &'a DecisionInput, decision: &'a Decision) -> Self {
        Self {
            rule: decision.rule.as_deref(),
            tier: decision.tier.as_deref(),
            rules_passed_over: None,
            plan: Plan { compiled, decision },
            verdicts: Verdicts { compiled, decision, all: false },
            attributes: &input.attributes,
            deadline_ms: decision.deadline_ms,
            max_cost_usd: decision.max_cost,
        }
    }

    /// The same with the rules passed over and a verdict for every deployment of the configuration.
    pub fn complete(compiled: &'a Compiled, input: &'a DecisionInput, decision: &'a Decision) -> Self {
        let passed = rules_passed_over(compiled, input, decision);
        let passed = passed.into_iter().map(|(name, path)| PassedOver { name, path }).collect();
        let verdicts = Verdicts { compiled, decision, all: true };
        Self { rules_passed_over: Some(passed), verdicts, ..Self::new(compiled, input, decision) }
    }
}

/// A rule that did not match.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PassedOver {
    /// Its name.
    pub name: Arc<str>,
    /// The path of the first condition that failed.
    pub path: String,
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
    all: bool,
}

impl Serialize for Verdicts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.all {
            let considered = self.decision.verdicts.iter();
            return serializer
                .collect_seq(considered.map(|verdict| VerdictView::new(self.compiled, verdict)));
        }
        serializer.collect_seq(self.compiled.indices().map(|at| match self.decision.verdict(at) {
            Some(verdict) => VerdictView::new(self.compiled, verdict).in_full(),
            None => VerdictView::not_in_set(self.compiled, at),
        }))
    }
}

/// One deployment's verdict, with its id.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VerdictView<'a> {
    /// Deployment id.
    pub deployment: &'a str,
    /// Which of the three classes.
    pub class: VerdictKind,
    /// The first reason against it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What exactly: the capability, the limit and the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub detail: Option<&'a Detail>,
    /// What it is ranked by; lower is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<ScoreParts>,
    /// Expected cost, when priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<UsdText>")]
    pub cost_usd: Option<Usd>,
    /// Predicted quality. An explanation says null where it is not known, the log leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    pub quality: Option<Option<f64>>,
    /// Probability with which this request would have chosen it first.
    pub propensity: f64,
    /// Expected input tokens on this deployment.
    pub input_tokens: u64,
}

impl<'a> VerdictView<'a> {
    fn new(compiled: &'a Compiled, verdict: &'a Verdict) -> Self {
        Self {
            deployment: id(compiled, verdict.deployment),
            class: verdict.kind,
            reason: verdict.reason,
            detail: verdict.detail.as_ref(),
            score: verdict.score,
            cost_usd: verdict.cost,
            quality: verdict.quality.map(Some),
            propensity: verdict.propensity,
            input_tokens: verdict.input_tokens,
        }
    }

    fn not_in_set(compiled: &'a Compiled, at: DeploymentIdx) -> Self {
        Self {
            deployment: id(compiled, at),
            class: VerdictKind::Refused,
            reason: Some(Reason::NotInSet),
            detail: None,
            score: None,
            cost_usd: None,
            quality: Some(None),
            propensity: 0.0,
            input_tokens: 0,
        }
    }

    /// The same as an explanation has it.
    fn in_full(self) -> Self {
        Self { quality: self.quality.or(Some(None)), ..self }
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
