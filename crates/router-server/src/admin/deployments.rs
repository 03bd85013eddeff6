//! Deployments as administrators see them, and their orders: disable, enable, drain, reset.

use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use router_core::health::{Control, Removal, Subject};
use router_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use crate::cli::span;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::respond;
use crate::rotation::Order;
use crate::stream::Body;

/// Longest reason.
const MAX_REASON: usize = 1_000;

/// What comes with an order.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Terms {
    /// It comes back then by itself: RFC 3339, or a span from now.
    until: Option<String>,
    /// For those who find it out of rotation.
    reason: Option<String>,
}

/// An order from its word; the text says what is wrong.
pub(crate) fn order(
    word: &str,
    until: Option<&str>,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Order, String> {
    let removal = match word {
        "disable" => Removal::Disable,
        "drain" => Removal::Drain,
        "enable" | "reset" if until.is_some() => return Err(format!("until: \"{word}\" takes none")),
        "enable" => return Ok(Order::Enable),
        "reset" => return Ok(Order::Reset),
        other => return Err(format!("\"{other}\" is none of disable, enable, drain, reset")),
    };
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    let reason =
        reason.ok_or_else(|| format!("reason: missing; \"{word}\" must tell those who find it so"))?;
    if reason.len() > MAX_REASON {
        return Err(format!("reason: {} bytes, at most {MAX_REASON}", reason.len()));
    }
    let until = until.map(|text| moment(text, now)).transpose()?;
    Ok(Order::Remove(Control { removal, reason: reason.into(), until, since: now }))
}

/// A moment, or a span from now.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let at = Timestamp::from_rfc3339(text).or_else(|| span(text).ok().map(|span| now + span));
    let at = at.ok_or_else(|| {
        format!("until: \"{text}\" is neither a moment (2026-11-22T11:50:00Z) nor a span (30m)")
    })?;
    if at > now { Ok(at) } else { Err(format!("until: \"{text}\" is past")) }
}

/// The subject and the order's word of a path behind `/admin/v1/`; `None`: it is no such path. An id may also be written
/// with its slashes as they are.
pub(super) fn target(path: &str) -> Option<(Subject, &str)> {
    let (kind, rest) = path.split_once('/')?;
    let (id, word) = rest.rsplit_once('/')?;
    let id = percent_decode_str(id).decode_utf8().ok().filter(|id| !id.is_empty())?;
    let subject = match kind {
        "deployments" => Subject::Deployment(id.into()),
        "providers" => Subject::Provider(id.into()),
        _ => return None,
    };
    Some((subject, word))
}

/// Whether the configuration knows it.
///
/// # Errors
/// What it does not know.
pub(crate) fn known(engine: &Engine, subject: &Subject) -> Result<(), String> {
    let all = &engine.compiled.deployments;
    match subject {
        Subject::Deployment(id) if !all.iter().any(|d| d.id == *id) => {
            Err(format!("there is no deployment \"{id}\""))
        }
        Subject::Provider(name) if !engine.compiled.providers.iter().any(|p| p.name == *name) => {
            Err(format!("there is no provider \"{name}\", or it is off"))
        }
        _ => Ok(()),
    }
}

impl Admin {
    /// `POST /admin/v1/{deployments,providers}/{id}/{disable,enable,drain,reset}`.
    pub(super) async fn order(
        &self,
        (subject, word): (Subject, &str),
        body: Bytes,
    ) -> Result<Response<Body>, ApiError> {
        let wrong = |text: String| ApiError::new("invalid_request", text);
        let engine = self.control.shared.engine.load_full();
        known(&engine, &subject).map_err(|text| ApiError::new("not_found", text))?;
        let terms: Terms = match body.trim_ascii() {
            [] => Terms::default(),
            text => serde_json::from_slice(text).map_err(|e| wrong(format!("body: {e}")))?,
        };
        let now = self.control.shared.clock.now();
        let order = order(word, terms.until.as_deref(), terms.reason.as_deref(), now).map_err(wrong)?;
        let stored = self.rotation.order(&subject, order).await;
        let controls = self.control.shared.state.controls();
        let held = controls.iter().find(|(other, _)| **other == subject).map(|(_, control)| shown(control));
        // `stored: false`: the ledger is away; it holds here, and elsewhere when the ledger is back.
        let text = json!({ "subject": subject.text(), "control": held, "stored": stored });
        Ok(respond::json(StatusCode::OK, text.to_string()))
    }

    /// `GET /admin/v1/deployments`.
    pub(super) fn deployments(&self) -> Response<Body> {
        let shared = &self.control.shared;
        let engine = shared.engine.load_full();
        let now = shared.clock.now();
        let rows = engine.compiled.deployments.iter().zip(&engine.slots).map(|(d, slot)| {
            let health = slot.snapshot(now);
            json!({
                "id": &*d.id, "provider": &*d.provider, "model": &*d.model, "upstream_model": &*d.upstream_model,
                "region": d.region, "simulated": d.simulated, "capabilities": d.capabilities,
                "control": slot.control(now).as_ref().map(shown),
                "breaker": health.breaker.name(), "returns_in_ms": health.returns_in_ms,
                "suspect": health.suspect, "in_flight": health.in_flight,
                "window_requests": health.window_requests, "window_failures": health.window_failures,
                "credentials": health.credentials, "credentials_refused": health.credentials_refused,
                "p95_total_ms": health.p95_total_ms, "p95_first_byte_ms": health.p95_first_byte_ms,
            })
        });
        let rows: Vec<_> = rows.collect();
        respond::json(StatusCode::OK, json!({ "deployments": rows }).to_string())
    }
}

fn shown(control: &Control) -> Value {
    json!({
        "state": control.removal.name(), "reason": &*control.reason, "since": control.since.rfc3339(),
        "until": control.until.map(Timestamp::rfc3339),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_a_subject_and_an_order() {
        let check = |path: &str, expected: Option<(&str, &str)>| {
            let got = target(path).map(|(subject, word)| (subject.text(), word));
            assert_eq!(got, expected.map(|(subject, word)| (subject.to_owned(), word)), "{path}");
        };
        check("deployments/openai%2Fgpt-4o/disable", Some(("deployment:openai/gpt-4o", "disable")));
        check("deployments/openai/gpt-4o%3Afree/drain", Some(("deployment:openai/gpt-4o:free", "drain")));
        check("providers/openai/enable", Some(("provider:openai", "enable")));
        for none in
            ["deployments", "deployments/x", "deployments//disable", "keys/x/disable", "providers/%ff/enable"]
        {
            check(none, None);
        }
    }

    #[test]
    fn orders_need_a_reason_and_a_time_to_come() {
        let now = Timestamp::from_rfc3339("2026-11-22T11:50:00Z").unwrap();
        let check =
            |word: &str, until: Option<&str>, reason: Option<&str>, expected: Result<Option<&str>, &str>| {
                let got = order(word, until, reason, now).map(|order| match order {
                    Order::Remove(control) => control.until.map(|t| t.rfc3339().to_string()),
                    _ => None,
                });
                let got = got.as_ref().map(Option::as_deref).map_err(String::as_str);
                assert!(
                    got == expected
                        || matches!((&got, expected), (Err(text), Err(part)) if text.contains(part)),
                    "{got:?}"
                );
            };
        check("disable", None, Some("broken"), Ok(None));
        check("drain", Some("30m"), Some("x"), Ok(Some("2026-11-22T12:20:00.000000Z")));
        check(
            "disable",
            Some("2026-11-22T13:00:00+01:00"),
            Some("x"),
            Ok(Some("2026-11-22T12:00:00.000000Z")),
        );
        check("enable", None, None, Ok(None));
        check("reset", None, Some("fixed"), Ok(None));
        check("disable", None, None, Err("reason: missing"));
        check("disable", None, Some("  "), Err("reason: missing"));
        check("drain", Some("soon"), Some("x"), Err("until: \"soon\""));
        check("drain", Some("2026-11-22T11:50:00Z"), Some("x"), Err("is past"));
        check("reset", Some("30m"), None, Err("takes none"));
        check("stop", None, None, Err("none of disable"));
    }
}
