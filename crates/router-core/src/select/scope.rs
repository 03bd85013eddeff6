//! Who may be considered at all: the requested model's own deployments, then those of its fallbacks, each group with the
//! wishes that hold for it. Only fallbacks widen the set.

use smallvec::SmallVec;

use super::input::DecisionInput;
use super::target::{AUTO, Target, resolve};
use crate::compiled::{Compiled, DeploymentIdx, Model, Strategy};
use crate::money::Usd;
use crate::rules::{self, Rule, Use};

/// When the deployments of a group may be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum When {
    #[default]
    Always,
    /// After the request was found too long.
    TooLong,
    /// After a content filter refused it.
    Filtered,
}

/// Deployments that stand together: those of the model asked for, or of one fallback.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    /// In the order given.
    pub(super) members: SmallVec<[DeploymentIdx; 32]>,
    pub(super) strategy: Strategy,
    /// Quality wanted; `None`: all the same.
    pub(super) quality: Option<f64>,
    pub(super) latency_budget_ms: Option<u64>,
    pub(super) prefer: &'a [DeploymentIdx],
    pub(super) avoid: &'a [DeploymentIdx],
    /// Regions the rule allows; empty: all.
    pub(super) regions: &'a [String],
    pub(super) when: When,
}

/// What a request ranges over.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// The model's own group first, those kept for some kind of failure last.
    pub(super) groups: SmallVec<[Group<'a>; 2]>,
    /// The rule that decides the model's own group.
    pub(super) rule: Option<&'a Rule>,
    /// Index of the tier chosen from.
    pub(super) tier: Option<u16>,
    pub(super) max_cost: Option<Usd>,
    /// From the rule, when tighter than the request's own.
    pub(super) deadline_ms: Option<u64>,
}

/// The wishes of one request while its scope is made.
struct Builder<'a> {
    compiled: &'a Compiled,
    input: &'a DecisionInput,
    /// The first rule that matches, looked for at most once.
    matched: Option<Option<&'a Rule>>,
}

impl<'a> Scope<'a> {
    pub(super) fn of(compiled: &'a Compiled, input: &'a DecisionInput) -> Self {
        let mut builder = Builder { compiled, input, matched: None };
        let mut scope =
            Scope { groups: SmallVec::new(), rule: None, tier: None, max_cost: None, deadline_ms: None };
        let name = input.attributes.model.as_deref().unwrap_or(AUTO);
        let target = resolve(compiled, name);
        let (own, tier) = target.map_or_else(Default::default, |target| builder.group(target));
        scope.groups.push(own);
        scope.tier = tier;
        if matches!(target, Some(Target::Auto(_))) {
            scope.rule = builder.rule();
        }
        let then = scope.rule.map(|rule| &rule.then);
        let options = &input.options;
        scope.max_cost = tighter(options.max_cost_usd, then.and_then(|then| then.max_cost));
        let deadline = then.and_then(|then| then.deadline_ms);
        scope.deadline_ms = deadline.filter(|ms| options.deadline_ms.is_none_or(|own| *ms < own));
        if options.allow_fallbacks != Some(false) {
            let model = match target {
                Some(Target::Auto(Some(model)) | Target::Model(model)) => Some(model),
                _ => None,
            };
            let of_model = model.map_or(&[][..], |model| &model.fallbacks);
            let of_rule = then.map_or(&[][..], |then| &then.fallbacks);
            for fallback in of_rule.iter().chain(of_model).chain(&options.fallbacks) {
                let target = resolve(compiled, fallback);
                scope.groups.extend(target.map(|target| builder.group(target).0));
            }
            let too_long = model.map_or(&[][..], |model| &model.context_fallbacks);
            let filtered = model.map_or(&[][..], |model| &model.filter_fallbacks);
            for (when, names) in [(When::TooLong, too_long), (When::Filtered, filtered)] {
                let targets = names.iter().filter_map(|name| resolve(compiled, name));
                scope.groups.extend(targets.map(|target| Group { when, ..builder.group(target).0 }));
            }
        }
        scope
    }
}

/// The smaller of two limits, of which either may be missing.
fn tighter<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl<'a> Builder<'a> {
    /// The first rule that matches.
    fn rule(&mut self) -> Option<&'a Rule> {
        let (compiled, input) = (self.compiled, self.input);
        *self.matched.get_or_insert_with(|| {
            if compiled.rules.is_empty() {
                return None;
            }
            let attributes = serde_json::to_value(&input.attributes).ok()?;
            compiled.rules.get(rules::first_match(&compiled.rules, &attributes)?)
        })
    }

    /// The group a target stands for, and the tier it was chosen from.
    fn group(&mut self, target: Target<'a>) -> (Group<'a>, Option<u16>) {
        let options = &self.input.options;
        // A name that stands for certain deployments is taken at its word: no tier, no rule, and quality counts only
        // when the request asks.
        let named = Group {
            quality: options.quality,
            latency_budget_ms: options.latency_budget_ms,
            ..Group::default()
        };
        match target {
            Target::Deployment(idx) => (Group { members: [idx].into_iter().collect(), ..named }, None),
            Target::Model(model) => {
                let members = model.deployments.iter().copied().collect();
                (Group { members, strategy: model.strategy, ..named }, None)
            }
            Target::Auto(model) => self.by_rules(model),
        }
    }

    /// The group the rules choose, within the model's own deployments when it has any.
    fn by_rules(&mut self, model: Option<&'a Model>) -> (Group<'a>, Option<u16>) {
        let (compiled, options) = (self.compiled, &self.input.options);
        let then = self.rule().map(|rule| &rule.then);
        let within = model.map(|model| &*model.deployments).filter(|own| !own.is_empty());
        let (mut members, tier) = self.base(then, within);
        if let Some(only) = then.map(|then| &then.only).filter(|only| !only.is_empty()) {
            members.retain(|idx| only.contains(idx));
        }
        // What the operator prefers is thereby among what he allows, but neither the client's tier nor `only` gives way.
        let prefer = then.map_or(&[][..], |then| &then.prefer);
        if options.tier.is_none() && then.is_some_and(|then| then.only.is_empty()) {
            let more = prefer.iter().filter(|idx| !members.contains(idx)).copied();
            let more: SmallVec<[_; 4]> = more.collect();
            members.extend(more);
        }
        if let Some(within) = within {
            members.retain(|idx| within.contains(idx));
        }
        let wanted = options.quality.or_else(|| model.and_then(|model| model.auto_quality));
        let group = Group {
            members,
            strategy: then.and_then(|then| then.strategy).or(model.map(|m| m.strategy)).unwrap_or_default(),
            quality: Some(
                wanted.or_else(|| then.and_then(|then| then.quality)).unwrap_or(compiled.selection.quality),
            ),
            latency_budget_ms: options
                .latency_budget_ms
                .or_else(|| then.and_then(|then| then.latency_budget_ms)),
            prefer,
            avoid: then.map_or(&[][..], |then| &then.avoid),
            regions: then.map_or(&[][..], |then| &then.regions),
            when: When::Always,
        };
        (group, tier)
    }

    /// The deployments to choose from before `only` and `prefer`: the client's tier (nothing when nobody knows it), the
    /// rule's, the rule's `only`, the model's own deployments, the default tier, everything.
    fn base(
        &self,
        then: Option<&Use>,
        within: Option<&[DeploymentIdx]>,
    ) -> (SmallVec<[DeploymentIdx; 32]>, Option<u16>) {
        let compiled = self.compiled;
        let tier = match &self.input.options.tier {
            Some(name) => match compiled.tier_named(name) {
                Some(tier) => Some(tier),
                None => return (SmallVec::new(), None),
            },
            None => then.and_then(|then| then.tier),
        };
        let only = then.map(|then| &*then.only).filter(|only| !only.is_empty());
        if let (None, Some(listed)) = (tier, only.or(within)) {
            return (listed.iter().copied().collect(), None);
        }
        let tier = tier.or(compiled.selection.default_tier);
        match tier.and_then(|at| compiled.tiers.get(usize::from(at))) {
            Some(found) => (found.deployments.iter().copied().collect(), tier),
            None => (compiled.indices().collect(), None),
        }
    }
}
