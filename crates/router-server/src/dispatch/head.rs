//! Heads of answers, and the error that a request ends with.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use router_core::attempt::FailureKind;
use router_core::compiled::DeploymentIdx;
use router_core::failover::Finish;
use router_core::time::Timestamp;
use router_providers::exchange::JsonReply;
use router_providers::transport::joined;
use smallvec::SmallVec;

use super::books::Books;
use super::rescue::Broken;
use super::run::{End, FailedAttempt};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::ingress::Asked;
use crate::respond;
use crate::stream::Body;

const X_ROUTER_MODEL: HeaderName = HeaderName::from_static("x-router-model");
const X_ROUTER_DEPLOYMENT: HeaderName = HeaderName::from_static("x-router-deployment");
const X_ROUTER_RULE: HeaderName = HeaderName::from_static("x-router-rule");
const X_ROUTER_ATTEMPTS: HeaderName = HeaderName::from_static("x-router-attempts");
const X_ROUTER_COST_USD: HeaderName = HeaderName::from_static("x-router-cost-usd");
const X_ROUTER_OVERHEAD_US: HeaderName = HeaderName::from_static("x-router-overhead-us");
const X_ROUTER_CLAMPED: HeaderName = HeaderName::from_static("x-router-clamped");
const X_ROUTER_CUT: HeaderName = HeaderName::from_static("x-router-cut");
const X_ROUTER_BUDGET_LEFT_USD: HeaderName = HeaderName::from_static("x-router-budget-left-usd");
const X_ROUTER_SIMULATED: HeaderName = HeaderName::from_static("x-router-simulated");

/// Who answered, and what its headers said of its rate limits.
type Answered<'a> = (DeploymentIdx, Option<&'a HeaderMap>);

/// What is known when the first byte goes out.
fn common(
    headers: &mut HeaderMap,
    engine: &Engine,
    asked: &Asked,
    books: &Books,
    (at, rate_limits): Answered<'_>,
) {
    let deployment = engine.compiled.deployment(at);
    headers.insert(X_ROUTER_MODEL, respond::value(&deployment.model));
    headers.insert(X_ROUTER_DEPLOYMENT, respond::value(&deployment.id));
    if let Some(rule) = books.rule() {
        headers.insert(X_ROUTER_RULE, respond::value(rule));
    }
    headers.insert(X_ROUTER_ATTEMPTS, HeaderValue::from(books.attempts()));
    let overhead = u64::try_from(books.overhead().as_micros()).unwrap_or(u64::MAX);
    headers.insert(X_ROUTER_OVERHEAD_US, HeaderValue::from(overhead));
    // As the adapter writes it: never more than the deployment can put out.
    let asked = asked.envelope().max_tokens.as_ref().map(|m| m.value);
    let longest = deployment.max_output_tokens.filter(|longest| asked > Some(*longest));
    // Or what there was money for.
    if let Some(most) = books.cap(at).or(longest) {
        headers.insert(X_ROUTER_CLAMPED, respond::value(&format!("max_tokens={most}")));
    }
    if let Some(left) = books.budget_left() {
        headers.insert(X_ROUTER_BUDGET_LEFT_USD, respond::value(&left.to_string()));
    }
    for (name, value) in rate_limits.into_iter().flatten() {
        headers.append(name, value.clone());
    }
    if deployment.simulated {
        headers.insert(X_ROUTER_SIMULATED, HeaderValue::from_static("true"));
    }
}

/// The head of a streamed answer; its body follows.
pub(super) fn stream(
    engine: &Engine,
    asked: &Asked,
    books: &Books,
    answered: Answered<'_>,
) -> Response<Body> {
    let mut response = Response::new(Body::Whole(SmallVec::new()));
    common(response.headers_mut(), engine, asked, books, answered);
    response
}

/// Says that an answer was ended because the money was, when that is known before its head is sent.
pub(super) fn say_cut(response: &mut Response<Body>) {
    response.headers_mut().insert(X_ROUTER_CUT, HeaderValue::from_static("budget"));
}

/// A whole answer.
pub(super) fn whole(
    engine: &Engine,
    asked: &Asked,
    books: &Books,
    at: DeploymentIdx,
    reply: Box<JsonReply>,
) -> Response<Body> {
    let mut response = respond::json(StatusCode::OK, bytes::Bytes::new());
    common(response.headers_mut(), engine, asked, books, (at, Some(&reply.headers.rate_limits)));
    // The same cost in both, of every attempt, the loser of a race included.
    let cost = books.cost();
    let priced = engine.compiled.deployment(at).price.is_some();
    *response.body_mut() = Body::Whole(joined(reply.into_body(priced.then_some(cost))));
    response.headers_mut().insert(X_ROUTER_COST_USD, respond::value(&cost.to_string()));
    response
}

/// What led to an error: the attempts that failed, and the stream that broke off.
type Led<'a> = (&'a [FailedAttempt], Option<&'a Broken>);

/// The error for a request that got no answer, or not all of it.
pub(super) fn error(engine: &Engine, end: End, (failed, broken): Led<'_>, now: Timestamp) -> ApiError {
    let listed = list(engine, failed);
    let error = match end {
        End::LedgerUnavailable => {
            let text = "the ledger cannot be written and ledger.on_full is refuse";
            ApiError::new("ledger_unavailable", text)
        }
        End::ShuttingDown => ApiError::new("shutting_down", "the server is shutting down"),
        End::Finish(Finish::Busy(until)) => {
            let text = format!("every deployment's own limit is spent{listed}");
            ApiError::new("rate_limit_exceeded", text).retry_after(until.since(now))
        }
        End::Finish(Finish::NoMoney) => {
            ApiError::new("budget_exceeded", "the money left does not cover an attempt")
        }
        End::Finish(Finish::OverCostCeiling(last)) => {
            let code = last.map_or("no_eligible_deployment", |_| "all_attempts_failed");
            let text = "over_cost_ceiling: whoever is left would cost more than the request may";
            ApiError::new(code, format!("{text}{listed}"))
        }
        End::Finish(Finish::DeadlineExceeded) => {
            ApiError::new("deadline_exceeded", format!("no answer before the deadline{listed}"))
        }
        End::Finish(Finish::Broken(_, FailureKind::Timeout)) => {
            let text = format!("the deadline came before the end of the answer{listed}");
            ApiError::new("deadline_exceeded", text)
        }
        End::Finish(Finish::Broken(_, kind)) => {
            let why = match broken {
                Some(Broken::For(why)) => format!(", for {why}"),
                _ => String::new(),
            };
            let text = format!("the stream broke off ({}) and cannot be completed{why}{listed}", kind.name());
            ApiError::new("all_attempts_failed", text)
        }
        End::Finish(Finish::Failed(kind)) => exhausted(kind, failed, &listed),
        End::Finish(Finish::Answered(_) | Finish::ClientGone) => {
            ApiError::new("internal_error", "ended without an answer")
        }
    };
    ApiError { retried: error.retried || !failed.is_empty(), ..error }
}

/// Every way is used up. A refusal of the request itself is passed on as such; limits everywhere are a 429. When every
/// attempt was told when to come back, so is the client.
fn exhausted(kind: Option<FailureKind>, failed: &[FailedAttempt], listed: &str) -> ApiError {
    // What could not be written for one deployment is the answer only if nobody was asked: others may do better later.
    let last = failed.iter().rev().find(|f| f.kind != FailureKind::Inexpressible).or(failed.last());
    if let Some(error) = last.and_then(|f| ApiError::refused_upstream(f.kind, &f.message)) {
        return error;
    }
    let all_limited = !failed.is_empty() && failed.iter().all(|f| f.kind == FailureKind::RateLimited);
    let (code, text) = if all_limited {
        ("rate_limit_exceeded", "every deployment is limited by its provider")
    } else {
        ("all_attempts_failed", "every attempt failed")
    };
    let kind = kind.map_or("no attempt", FailureKind::name);
    let error = ApiError { retried: true, ..ApiError::new(code, format!("{text}, last: {kind}{listed}")) };
    let told = failed.iter().filter_map(|f| f.retry_after);
    let all_told = all_limited || failed.iter().all(|f| f.retry_after.is_some());
    match told.min().filter(|_| all_told) {
        Some(span) => error.retry_after(span),
        None => error,
    }
}

fn list(engine: &Engine, failed: &[FailedAttempt]) -> String {
    let items = failed.iter().map(|f| {
        let id = &engine.compiled.deployment(f.deployment).id;
        let status = f.status.map(|s| format!(" {s}")).unwrap_or_default();
        format!("{id}: {}{status} ({})", f.kind.name(), f.message)
    });
    let items: Vec<_> = items.collect();
    if items.is_empty() { String::new() } else { format!(": {}", items.join("; ")) }
}
