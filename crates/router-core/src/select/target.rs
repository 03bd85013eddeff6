//! What a requested name means, and whether a key may ask for it and be answered by what.

use smallvec::SmallVec;

use crate::attributes::AttributeSet;
use crate::chat::RequestOptions;
use crate::compiled::{Compiled, Deployment, DeploymentIdx, Model};

/// The name by which the rules decide.
pub const AUTO: &str = "auto";

/// What a requested model name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The rules decide: `auto` itself (`None`), or a name under `models` that is decided like it.
    Auto(Option<&'a Model>),
    /// A name under `models`: its deployments.
    Model(&'a Model),
    /// Exactly this deployment.
    Deployment(DeploymentIdx),
}

impl<'a> Target<'a> {
    /// The entry under `models`, if it is one.
    pub(super) const fn model(self) -> Option<&'a Model> {
        match self {
            Self::Auto(model) => model,
            Self::Model(model) => Some(model),
            Self::Deployment(_) => None,
        }
    }
}

/// What a requested name means; `None`: nobody knows it (404 `model_not_found`).
///
/// A name under `models` comes before a deployment's id.
pub fn resolve<'a>(compiled: &'a Compiled, name: &str) -> Option<Target<'a>> {
    if let Some(model) = compiled.models.get(name) {
        let by_rules = model.auto || model.rules;
        return Some(if by_rules { Target::Auto(Some(model)) } else { Target::Model(model) });
    }
    if name == AUTO {
        return Some(Target::Auto(None));
    }
    compiled.deployment_named(name).map(Target::Deployment)
}

/// Whether a key limited to `key_models` may ask for this name; if not: 403 `model_not_allowed`. An empty list allows
/// everything.
///
/// A name may be asked for when it is listed. Beside that, a deployment may be asked for by its id when a listed name
/// (but `auto`) holds it, and `auto` (or a model decided like it) when a tier is listed, since a tier has no other door.
pub fn may_ask(compiled: &Compiled, name: &str, key_models: &[String]) -> bool {
    if key_models.is_empty() || key_models.iter().any(|listed| listed == name) {
        return true;
    }
    match resolve(compiled, name) {
        Some(Target::Auto(_)) => key_models.iter().any(|listed| compiled.tier_named(listed).is_some()),
        Some(Target::Deployment(idx)) => {
            key_models.iter().any(|listed| held(compiled, listed).is_some_and(|held| held.contains(&idx)))
        }
        Some(Target::Model(_)) | None => false,
    }
}

/// Of the attributes a classifier computes, those that deciding on this request reads. All that the configuration reads
/// where rules may be asked, be it for a fallback; where there is only a choice between named deployments, the answer's
/// expected length, which their cost comes from; nothing where there is no choice and no limit on the cost.
pub fn reads(compiled: &Compiled, name: &str, options: &RequestOptions) -> AttributeSet {
    let own = resolve(compiled, name);
    let of_model = own
        .and_then(Target::model)
        .map_or([&[][..]; 3], |model| [&model.fallbacks, &model.context_fallbacks, &model.filter_fallbacks]);
    let more =
        of_model.into_iter().flatten().chain(&options.fallbacks).filter_map(|name| resolve(compiled, name));
    let mut choice = options.max_cost_usd.is_some();
    for target in own.into_iter().chain(more) {
        match target {
            Target::Auto(_) => return compiled.reads & AttributeSet::CLASSIFIED,
            Target::Model(model) => choice |= model.deployments.len() > 1,
            Target::Deployment(_) => {}
        }
    }
    if choice { AttributeSet::EXPECTED_OUTPUT_TOKENS } else { AttributeSet::empty() }
}

/// The deployments that a name in a list of those allowed stands for; `None`: all.
///
/// What a model, a tier, a deployment's id, a catalog model or a provider holds, in this order. `auto`, or a model decided
/// like it without deployments of its own, holds all: to bound what `auto` may use, list tiers in its place.
pub(super) fn held(compiled: &Compiled, name: &str) -> Option<SmallVec<[DeploymentIdx; 16]>> {
    let listed = deployments(compiled, name);
    if !listed.is_empty() {
        return Some(listed.iter().copied().collect());
    }
    match resolve(compiled, name) {
        Some(Target::Auto(_)) => return None,
        Some(Target::Deployment(idx)) => return Some([idx].into_iter().collect()),
        Some(Target::Model(_)) => return Some(SmallVec::new()),
        None => {}
    }
    let of = |by: &dyn Fn(&Deployment) -> bool| -> SmallVec<[DeploymentIdx; 16]> {
        compiled.indices().filter(|idx| by(compiled.deployment(*idx))).collect()
    };
    let models = of(&|deployment| *deployment.model == *name);
    if models.is_empty() && compiled.tier_named(name).is_none() {
        return Some(of(&|deployment| compiled.admits(deployment, name)));
    }
    Some(models)
}

/// Whether anybody knows this name in a list of those allowed: it may be of something that is off.
pub fn may_be_allowed(compiled: &Compiled, name: &str) -> bool {
    resolve(compiled, name).is_some()
        || compiled.tier_named(name).is_some()
        || compiled.knows_provider(name)
        || compiled.deployments.iter().any(|deployment| *deployment.model == *name)
}

/// The deployments listed under this model or tier name; empty for any other name.
fn deployments<'a>(compiled: &'a Compiled, name: &str) -> &'a [DeploymentIdx] {
    if let Some(model) = compiled.models.get(name) {
        return &model.deployments;
    }
    let tier = compiled.tier_named(name).and_then(|at| compiled.tiers.get(usize::from(at)));
    tier.map_or(&[], |tier| &tier.deployments)
}
