//! From a scanned request to the value `decide` takes: attributes, the key's limits, the board.

use router_core::attributes::{AttributeSet, Attributes};
use router_core::chat::Envelope;
use router_core::select::{self, DecisionInput, DeploymentView};
use router_providers::exchange;

use crate::engine::Engine;
use crate::ingress::Arrival;
use crate::keys::Key;

/// Gathers everything a decision may look at.
pub(crate) fn decision_input(
    engine: &Engine,
    request: &exchange::Request,
    key: Option<&Key>,
    arrival: Arrival,
    board: Vec<DeploymentView>,
) -> DecisionInput {
    let envelope = request.envelope();
    let mut attributes = attributes(envelope, key, arrival);
    // Classifying costs more than all the rest of a decision: only what this one reads.
    let wanted = select::reads(&engine.compiled, &envelope.model, &envelope.options);
    let classified = engine.chain.classify(envelope, wanted, &mut attributes);
    let key = key.map(|key| &key.spec);
    DecisionInput {
        seed: arrival.seed(),
        now: arrival.received,
        hashes: engine.hashes.clone(),
        computed: (AttributeSet::all() - AttributeSet::CLASSIFIED) | classified,
        attributes,
        stats: envelope.stats,
        images: envelope.images,
        n: envelope.n,
        options: envelope.options.clone(),
        key_models: key.map(|k| k.models.clone()).unwrap_or_default(),
        key_providers: key.map(|k| k.providers.clone()).unwrap_or_default(),
        key_regions: key.map(|k| k.regions.clone()).unwrap_or_default(),
        barred_dialects: exchange::barred_dialects(request, &engine.dialects),
        turn: engine.next_turn(&envelope.model),
        budget_left: None,
        disabled: engine.disabled(&board, arrival.received),
        board,
    }
}

/// What is known without looking into the texts.
fn attributes(envelope: &Envelope, key: Option<&Key>, arrival: Arrival) -> Attributes {
    let key = key.map(|key| &key.spec);
    let mut tags = envelope.options.tags.clone();
    tags.extend(key.iter().flat_map(|k| k.tags.iter().map(ToString::to_string)));
    Attributes {
        tags: (!tags.is_empty()).then_some(tags),
        key: key.map(|k| k.name.to_string()),
        owner: key.and_then(|k| k.owner.as_ref()).map(ToString::to_string),
        hour_utc: Some(arrival.received.hour_utc()),
        weekday_utc: Some(arrival.received.weekday_utc()),
        ..scanned_attributes(envelope)
    }
}

/// What the request alone says, without looking into its texts.
pub(crate) fn scanned_attributes(envelope: &Envelope) -> Attributes {
    Attributes {
        model: Some(envelope.model.clone()),
        dialect: Some(envelope.dialect),
        input_tokens: Some(envelope.stats.estimate()),
        max_tokens: envelope.max_tokens.as_ref().map(|m| m.value),
        temperature: envelope.temperature,
        stream: Some(envelope.stream),
        turns: Some(u64::from(envelope.turns)),
        tools: Some(u64::from(envelope.tools)),
        capabilities: Some(envelope.needs | envelope.options.required_capabilities),
        latency_budget_ms: envelope.options.latency_budget_ms,
        quality: envelope.options.quality,
        session_id: envelope.options.session_id.clone().or_else(|| envelope.user.clone()),
        ..Attributes::default()
    }
}
