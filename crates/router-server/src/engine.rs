//! A configuration in the form that serves: what core decides with, plus addresses, credentials and health by index.
//! Built whole at start and at each reload; a request keeps the one it began with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use router_classify::Chain;
use router_core::chat::DialectId;
use router_core::compiled::{Compiled, Deployment, DeploymentIdx};
use router_core::config::{Checked, Credential, Problem};
use router_core::health::Control;
use router_core::money::Usd;
use router_core::price::ServiceTier;
use router_core::record::RequestRecord;
use router_core::select::{
    self, AUTO, Decision, DecisionInput, DeploymentState, DeploymentView, Disabled, Hashes, VerdictKind,
};
use router_core::time::Timestamp;
use router_providers::exchange::{Target, TargetSpec};

use crate::error::ApiError;
use crate::keys::Key;
use crate::state::{self, Neighbours, Slot};

/// Where attempts of one deployment go: one per credential.
type Targets = Vec<Arc<Target>>;

/// Everything that serves requests under one configuration.
pub(crate) struct Engine {
    /// What core decides with.
    pub(crate) compiled: Arc<Compiled>,
    /// Which configuration, catalog and model.
    pub(crate) hashes: Hashes,
    /// When it was loaded.
    pub(crate) loaded_at: Timestamp,
    /// Classification.
    pub(crate) chain: Arc<Chain>,
    /// Dialects that some deployment speaks.
    pub(crate) dialects: Vec<DialectId>,
    /// Where attempts go, by deployment index: one per credential.
    targets: Vec<Targets>,
    /// Health, by deployment index.
    pub(crate) slots: Vec<Arc<Slot>>,
    /// Who shares an address or a credential with whom.
    pub(crate) neighbours: Neighbours,
    /// Decisions made, by model name.
    turns: BTreeMap<Arc<str>, AtomicU64>,
    /// The dearest deployment of any tier: what "always premium" would cost.
    reference: Option<DeploymentIdx>,
}

impl Engine {
    /// From a checked configuration; health and rates of what it keeps are carried over.
    ///
    /// # Errors
    /// A deployment that cannot be called as it is configured.
    pub(crate) fn new(checked: &Checked, old: Option<&Self>, now: Timestamp) -> Result<Self, Problem> {
        let compiled = Arc::clone(&checked.compiled);
        // Whatever can fail comes first: below, what the old configuration serves with is given the new numbers.
        let targets = targets(checked)?;
        let ids = compiled.deployments.iter().map(|d| Arc::clone(&d.id));
        let names = compiled.models.keys().map(|name| Arc::from(name.as_str()));
        let turns = std::iter::once(Arc::from(AUTO))
            .chain(names)
            .chain(ids)
            .map(|n| (n, AtomicU64::new(0)))
            .collect();
        let mut dialects: Vec<_> = compiled.providers.iter().map(|p| p.dialect).collect();
        dialects.sort_unstable();
        dialects.dedup();
        let slots = state::slots(&compiled, old, now);
        for (slot, deployment) in slots.iter().zip(&compiled.deployments) {
            slot.set_credentials(&weights(checked, usize::from(deployment.provider_idx)));
        }
        Ok(Self {
            dialects,
            hashes: Hashes {
                config: Arc::clone(&compiled.config_hash),
                catalog: Arc::clone(&compiled.catalog_hash),
                model: Arc::from(""),
            },
            loaded_at: now,
            chain: old.map_or_else(|| Arc::new(Chain::standard()), |o| Arc::clone(&o.chain)),
            targets,
            slots,
            neighbours: Neighbours::new(&compiled, |provider| weights(checked, provider).len()),
            turns,
            reference: reference(&compiled),
            compiled,
        })
    }

    /// Health and limits of a deployment.
    pub(crate) fn slot(&self, at: DeploymentIdx) -> &Slot {
        &self.slots[at.get()]
    }

    /// Where an attempt with this credential goes.
    pub(crate) fn target(&self, at: DeploymentIdx, credential: usize) -> Arc<Target> {
        let targets = &self.targets[at.get()];
        Arc::clone(targets.get(credential).unwrap_or(&targets[0]))
    }

    /// Those of the board that are taken out by hand, with the reasons.
    pub(crate) fn disabled(&self, board: &[DeploymentView], now: Timestamp) -> Vec<Disabled> {
        let out =
            self.compiled.indices().zip(board).filter(|(_, view)| view.state == DeploymentState::Disabled);
        let told = out.filter_map(|(deployment, _)| {
            let Control { reason, until, .. } = self.slot(deployment).control(now)?;
            Some(Disabled { deployment, reason, until })
        });
        told.collect()
    }

    /// The n-th decision for this model, for `round_robin`.
    pub(crate) fn next_turn(&self, model: &str) -> u64 {
        self.turns.get(model).map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed))
    }

    /// The model's name as the configuration has it: free text from a client never becomes a label.
    pub(crate) fn known_model(&self, model: &str) -> Arc<str> {
        self.turns.get_key_value(model).map_or_else(|| Arc::from("unknown"), |(name, _)| Arc::clone(name))
    }

    /// Decides.
    ///
    /// # Errors
    /// 404 for a model nobody knows, 403 for one that the key may not use.
    pub(crate) fn decide(&self, input: &DecisionInput) -> Result<Decision, ApiError> {
        let model = input.attributes.model.as_deref().unwrap_or_default();
        if select::resolve(&self.compiled, model).is_none() {
            let text = format!("there is no model \"{model}\"; GET /v1/models lists them");
            return Err(ApiError::new("model_not_found", text).at("/model"));
        }
        if !select::may_ask(&self.compiled, model, &input.key_models) {
            let text = format!("this key may not use the model \"{model}\"");
            return Err(ApiError::new("model_not_allowed", text).at("/model"));
        }
        let options = &input.options;
        if let Some(tier) = options.tier.as_ref().filter(|tier| self.compiled.tier_named(tier).is_none()) {
            return Err(
                ApiError::new("invalid_request", format!("there is no tier \"{tier}\"")).at("/router/tier")
            );
        }
        Ok(select::decide(&self.compiled, input))
    }

    /// The error when nobody may answer: the first reason against each candidate.
    pub(crate) fn nobody(&self, decision: &Decision) -> ApiError {
        let refused = decision.verdicts.iter().filter(|v| v.kind == VerdictKind::Refused);
        let reasons: Vec<_> = refused
            .filter_map(|v| {
                let detail = v.detail.as_ref().map(ToString::to_string);
                Some((self.compiled.deployment(v.deployment).id.to_string(), v.reason?, detail))
            })
            .collect();
        ApiError::nobody(&reasons)
    }

    /// What the request's tokens would have cost on the dearest deployment of any tier, if the rules were free to send
    /// it there; its own cost otherwise.
    pub(crate) fn reference_cost(&self, request: &RequestRecord, tier: ServiceTier) -> Usd {
        let free = &*request.model == AUTO;
        let price =
            self.reference.filter(|_| free).and_then(|at| self.compiled.deployment(at).price.as_ref());
        price.map_or(request.cost, |p| p.cost(&request.usage, tier).max(request.cost))
    }

    /// `GET /v1/models`.
    pub(crate) fn models_json(&self, key: Option<&Key>) -> String {
        let created = self.loaded_at.as_secs();
        let data: Vec<_> = self.models(key).map(|(id, owner)| model_object(id, owner, created)).collect();
        serde_json::json!({ "object": "list", "data": data }).to_string()
    }

    /// `GET /v1/models/{id}`; `None`: not there, or not for this key.
    pub(crate) fn model_json(&self, key: Option<&Key>, wanted: &str) -> Option<String> {
        let (id, owner) = self.models(key).find(|(id, _)| *id == wanted)?;
        Some(model_object(id, owner, self.loaded_at.as_secs()).to_string())
    }

    /// Names a key may ask for: `auto`, the models, the deployments.
    fn models<'a>(&'a self, key: Option<&'a Key>) -> impl Iterator<Item = (&'a str, &'a str)> {
        let allowed = key.map_or(&[][..], |key| key.spec.models.as_slice());
        let names = std::iter::once((AUTO, "router"))
            .chain(self.compiled.models.keys().map(|n| (n.as_str(), "router")));
        let deployments = self.compiled.deployments.iter().map(|d| (&*d.id, &*d.provider));
        names.chain(deployments).filter(move |(name, _)| select::may_ask(&self.compiled, name, allowed))
    }
}

/// One model as OpenAI's list has it.
fn model_object(id: &str, owner: &str, created: u64) -> serde_json::Value {
    serde_json::json!({ "id": id, "object": "model", "created": created, "owned_by": owner })
}

/// By input and output price together: no request's mix is known beforehand.
fn reference(compiled: &Compiled) -> Option<DeploymentIdx> {
    let price = |at: &DeploymentIdx| {
        let rates = compiled.deployment(*at).price.as_ref()?.base;
        Some(rates.input?.micro() + rates.output?.micro())
    };
    let in_tiers = compiled.tiers.iter().flat_map(|t| t.deployments.iter().copied());
    in_tiers.filter_map(|at| Some((price(&at)?, at))).max().map(|(_, at)| at)
}

/// The weights of a provider's credentials.
fn weights(checked: &Checked, provider: usize) -> Vec<u32> {
    checked.credentials.get(provider).into_iter().flatten().map(|credential| credential.weight).collect()
}

/// One target per credential; one without for a provider that needs none.
fn targets(checked: &Checked) -> Result<Vec<Targets>, Problem> {
    let of = |deployment: &Deployment| {
        let provider = &checked.compiled.providers[usize::from(deployment.provider_idx)];
        let credentials =
            checked.credentials.get(usize::from(deployment.provider_idx)).map_or(&[][..], Vec::as_slice);
        let target = |credential: Option<&Credential>| {
            let spec = TargetSpec {
                host: provider.host.as_deref(),
                dialect: provider.dialect,
                base_url: &provider.base_url,
                credential: credential.map(|c| c.secret.clone()),
                upstream_model: &deployment.upstream_model,
                capabilities: deployment.capabilities,
                max_output_tokens: deployment.max_output_tokens,
            };
            let target = Target::new(&spec)
                .map_err(|e| Problem::new(format!("deployments[{}]", deployment.id), e.to_string()))?;
            Ok(Arc::new(target))
        };
        if credentials.is_empty() {
            return Ok(vec![target(None)?]);
        }
        credentials.iter().map(|c| target(Some(c))).collect()
    };
    checked.compiled.deployments.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load};

    #[test]
    fn a_configuration_that_cannot_serve_changes_nothing_of_the_one_in_force() {
        let load = |rpm: u32| {
            let text = format!(
                r#"{{ "providers": {{ "p": {{ "dialect": "openai_chat", "base_url": "http://127.0.0.1:1/v1",
                        "api_key": "good" }} }},
                    "deployments": [{{ "id": "p/m", "limits": {{ "rpm": {rpm} }},
                        "price_usd_per_million": {{ "input": 0, "output": 0 }} }}] }}"#
            );
            load(&Source::Text { text, base: ".".into() }).unwrap().checked
        };
        let now = Timestamp::from_millis(1_000_000);
        let serving = Engine::new(&load(1_000), None, now).unwrap();
        let mut bad = load(1);
        let secret = router_core::config::Secret::new("no\nheader".to_owned());
        bad.credentials = vec![vec![Credential { secret, weight: 1 }]; bad.credentials.len()];
        assert!(Engine::new(&bad, Some(&serving), now).is_err());
        let slot = serving.slot(serving.compiled.deployment_named("p/m").unwrap());
        let place = router_core::failover::Place::Now;
        let ask = router_core::health::Ask { seed: 0, tokens: 1, stream: false, last_resort: false, place };
        for n in 0..10 {
            assert!(slot.admit(now, &ask).is_ok(), "request {n}");
        }
    }
}
