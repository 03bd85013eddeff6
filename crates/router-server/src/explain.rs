//! A decision explained: for a live server, and for a configuration without one. Nobody is called.

use router_core::record::explained::Explained;
use router_core::select::DecisionInput;
use router_providers::exchange;

use crate::dispatch::decision_input;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::ingress::Arrival;
use crate::keys::Key;
use crate::worker::Shared;

/// The Decision for a request as JSON, with the server's health and limits as they are.
///
/// # Errors
/// 404 or 403 for the model asked for.
pub(crate) fn live(
    shared: &Shared,
    engine: &Engine,
    request: &exchange::Request,
    key: Option<&Key>,
    arrival: Arrival,
) -> Result<String, ApiError> {
    let board = shared.state.view(engine, arrival.seed(), arrival.received);
    let mut input = decision_input(engine, request, key, arrival, board);
    let payer = key.map(|key| &*key.spec);
    let accounts = shared.treasury.accounts(&engine.compiled, payer, &request.envelope().model);
    input.budget_left = shared.treasury.left_anywhere(&accounts);
    explained(engine, &input).map(|(text, _)| text.to_string())
}

/// The Decision as JSON, and whether anybody may answer.
///
/// # Errors
/// 404 or 403 for the model asked for.
pub(crate) fn explained(
    engine: &Engine,
    input: &DecisionInput,
) -> Result<(serde_json::Value, bool), ApiError> {
    let decision = engine.decide(input)?;
    let somebody = !decision.plan.ranked.is_empty() || !decision.plan.deferred.is_empty();
    let explained = Explained::complete(&engine.compiled, input, &decision);
    let value =
        serde_json::to_value(explained).map_err(|e| ApiError::new("internal_error", e.to_string()))?;
    Ok((value, somebody))
}
