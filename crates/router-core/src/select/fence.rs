//! Hard limits on who may answer: of the key, the model, the request, the rule. Where they meet, each holds; the first one
//! that speaks against a deployment is named.

use std::fmt;

use smallvec::SmallVec;

use super::decision::{Detail, Reason};
use super::eligible::Against;
use super::input::DecisionInput;
use super::scope::{Group, Scope};
use super::set::Set;
use super::target::held;
use crate::chat::ProviderWishes;
use crate::compiled::{Allow, Compiled, DataCollection, Deployment, DeploymentIdx};

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// The client key.
    Key,
    /// The model asked for: `models.<name>.allow`.
    Model,
    /// The model that is a fallback: its own `allow`.
    Fallback,
    /// The request: `router.allow`, `router.regions`.
    Request,
    /// The rule: `use.regions`.
    Rule,
}

impl LimitOf {
    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Model => "model",
            Self::Fallback => "fallback model",
            Self::Request => "request",
            Self::Rule => "rule",
        }
    }
}

impl fmt::Display for LimitOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which limit speaks against a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Not among the deployments that the names under `models` hold.
    Models(LimitOf),
    /// Its provider is not among `providers`.
    Providers(LimitOf),
    /// The request's `provider.only`.
    Only,
    /// The request's `provider.order`, with `allow_fallbacks: false`.
    Order,
    /// The request's `provider.ignore`.
    Ignore,
    /// The request's `provider.data_collection: deny`.
    DataCollection,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Models(of) => write!(f, "not among the {of}'s models"),
            Self::Providers(of) => write!(f, "not among the {of}'s providers"),
            Self::Only => f.write_str("not among the request's provider.only"),
            Self::Order => f.write_str("not among the request's provider.order"),
            Self::Ignore => f.write_str("among the request's provider.ignore"),
            Self::DataCollection => f.write_str("not known to collect no data"),
        }
    }
}

/// One limit on models, providers and regions.
struct Fence<'a> {
    of: LimitOf,
    /// What its models hold; `None`: all.
    models: Option<Set>,
    providers: &'a [String],
    regions: [&'a [String]; 2],
}

impl<'a> Fence<'a> {
    fn new(compiled: &Compiled, of: LimitOf, allow: &'a Allow) -> Self {
        let models = allowed(compiled, &allow.models);
        Self { of, models, providers: &allow.providers, regions: [&allow.regions, &[]] }
    }
}

/// All limits on one request.
pub(super) struct Fences<'a> {
    compiled: &'a Compiled,
    wishes: &'a ProviderWishes,
    all: SmallVec<[Fence<'a>; 3]>,
}

impl<'a> Fences<'a> {
    pub(super) fn new(compiled: &'a Compiled, input: &'a DecisionInput, scope: &Scope<'a>) -> Self {
        let options = &input.options;
        let key = Fence {
            of: LimitOf::Key,
            models: allowed(compiled, &input.key_models),
            providers: &input.key_providers,
            regions: [&input.key_regions, &[]],
        };
        let mut all: SmallVec<[Fence<'_>; 3]> = SmallVec::new();
        all.push(key);
        all.extend(scope.allow.map(|allow| Fence::new(compiled, LimitOf::Model, allow)));
        let request = Fence::new(compiled, LimitOf::Request, &options.allow);
        all.push(Fence { regions: [&options.allow.regions, &options.regions], ..request });
        Self { compiled, wishes: &options.provider, all }
    }

    /// The first limit against a deployment, as a candidate of this group.
    pub(super) fn against(
        &self,
        idx: DeploymentIdx,
        deployment: &Deployment,
        group: &Group<'_>,
    ) -> Option<Against> {
        let own = group.allow.map(|allow| Fence::new(self.compiled, LimitOf::Fallback, allow));
        let fences = || self.all.iter().chain(&own);
        let names = fences().find_map(|fence| self.by_name(fence, idx, deployment));
        if let Some(limit) = names.or_else(|| self.by_wish(deployment)) {
            return Some((Reason::NotAllowed, Some(Detail::Limit(limit))));
        }
        let region = deployment.region.as_deref();
        let outside = |regions: &[String]| {
            !regions.is_empty() && !region.is_some_and(|own| regions.iter().any(|region| region == own))
        };
        let of = fences().find(|fence| fence.regions.into_iter().any(outside)).map(|fence| fence.of);
        let of = of.or_else(|| outside(group.regions).then_some(LimitOf::Rule))?;
        Some((Reason::RegionNotAllowed, Some(Detail::Region(of, deployment.region.clone()))))
    }

    fn by_name(&self, fence: &Fence<'_>, idx: DeploymentIdx, deployment: &Deployment) -> Option<Limit> {
        if fence.models.as_ref().is_some_and(|models| !models.contains(idx)) {
            return Some(Limit::Models(fence.of));
        }
        let outside = !fence.providers.is_empty() && !self.is_admitted(deployment, fence.providers);
        outside.then_some(Limit::Providers(fence.of))
    }

    /// What OpenRouter's `provider` object says against it.
    fn by_wish(&self, deployment: &Deployment) -> Option<Limit> {
        let wishes = self.wishes;
        for (limit, names) in [(Limit::Only, &*wishes.only), (Limit::Order, wishes.order_as_limit())] {
            if !names.is_empty() && !self.is_admitted(deployment, names) {
                return Some(limit);
            }
        }
        if wishes.ignore.iter().any(|name| self.compiled.is_of(deployment, name)) {
            return Some(Limit::Ignore);
        }
        let provider = self.compiled.providers.get(usize::from(deployment.provider_idx));
        let collects = provider.and_then(|p| p.data_collection) != Some(DataCollection::Deny);
        (wishes.data_collection == Some(DataCollection::Deny) && collects).then_some(Limit::DataCollection)
    }

    fn is_admitted(&self, deployment: &Deployment, names: &[String]) -> bool {
        names.iter().any(|name| self.compiled.admits(deployment, name))
    }

    /// The place of a deployment's provider in the order wished for; those outside it come last.
    pub(super) fn place(&self, idx: DeploymentIdx) -> usize {
        let (order, deployment) = (&self.wishes.order, self.compiled.deployment(idx));
        order.iter().position(|name| self.compiled.is_of(deployment, name)).unwrap_or(order.len())
    }
}

/// The deployments that a list of names allows; `None`: all.
fn allowed(compiled: &Compiled, names: &[String]) -> Option<Set> {
    if names.is_empty() {
        return None;
    }
    let mut set = Set::default();
    for name in names {
        set.extend(held(compiled, name)?);
    }
    Some(set)
}
