//! The admin listener: metrics, what is in force, reports, reload. Its own address and its own key.

pub(crate) mod deployments;
mod keys;

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use router_core::config::Secret;
use router_core::health::Subject;
use router_ledger::{By, Ledger, ReportQuery};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli::span;
use crate::control::Control;
use crate::error::ApiError;
use crate::ingress::{Times, connection, only_local};
use crate::keys::Changes;
use crate::respond;
use crate::rotation::Rotation;
use crate::stream::Body;

/// A request's body must be complete by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections served at once: scrapers and people.
const MAX_CONNECTIONS: usize = 64;
/// Longest body.
const MAX_BODY: usize = 64 * 1024;

/// The admin service.
pub(crate) struct Admin {
    control: Arc<Control>,
    key: Option<Secret>,
    ledger: Arc<dyn Ledger>,
    rotation: Arc<Rotation>,
    changes: Changes,
}

impl Admin {
    /// For this server.
    pub(crate) fn new(
        control: Arc<Control>,
        key: Option<Secret>,
        ledger: Arc<dyn Ledger>,
        (rotation, changes): (Arc<Rotation>, Changes),
    ) -> Self {
        Self { control, key, ledger, rotation, changes }
    }

    /// Its key, compared in constant time; without one only loopback is listened on, and neither a
    /// web page (one that made its name mean this machine, too) nor a proxy may ask.
    fn may(&self, request: &Request<Incoming>) -> Result<(), ApiError> {
        let Some(key) = &self.key else {
            return only_local(request.headers(), "server.admin_key");
        };
        let given = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let given = given.strip_prefix("Bearer ").unwrap_or_default();
        let same: bool =
            Sha256::digest(given.as_bytes()).ct_eq(&Sha256::digest(key.expose().as_bytes())).into();
        if same { Ok(()) } else { Err(ApiError::new("invalid_api_key", "the admin key is missing or wrong")) }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        let path = request.uri().path().to_owned();
        if path == "/healthz" {
            return Ok(respond::json(StatusCode::OK, r#"{"status":"ok"}"#));
        }
        if path == "/readyz" {
            let shared = &self.control.shared;
            return Ok(respond::ready(shared, &shared.engine.load_full()));
        }
        self.may(&request)?;
        if path == keys::PATH || path.strip_prefix(keys::PATH).is_some_and(|rest| rest.starts_with('/')) {
            return keys::answer(self, request).await;
        }
        match (request.method(), path.as_str()) {
            (&Method::GET, "/metrics") => Ok(self.metrics()),
            (&Method::GET, "/admin/v1/config") => Ok(self.config()),
            (&Method::GET, "/admin/v1/deployments") => Ok(self.deployments()),
            (&Method::GET, "/admin/v1/report") => {
                self.report(request.uri().query().unwrap_or_default()).await
            }
            (&Method::POST, "/admin/v1/reload") => self.reload(),
            (&Method::POST, path) if order_of(path).is_some() => {
                let Some(target) = order_of(path) else { return Err(unserved()) };
                self.order(target, read(request.into_body()).await?).await
            }
            (method, path) if served_by(path).is_some() => {
                Err(ApiError::new("method_not_allowed", format!("{path} is not served by {method}")))
            }
            _ => Err(unserved()),
        }
    }

    fn metrics(&self) -> Response<Body> {
        let shared = &self.control.shared;
        let engine = shared.engine.load_full();
        let now = shared.clock.now();
        let ids = engine.compiled.deployments.iter().map(|d| Arc::clone(&d.id));
        let states = engine.slots.iter().map(|slot| i64::from(slot.snapshot(now).breaker.value()));
        shared.metrics.budgets_left(shared.treasury.rests());
        let text = shared.metrics.encode(&engine.compiled.config_hash, shared.spool.bytes(), ids.zip(states));
        let mut response = respond::json(StatusCode::OK, text);
        let openmetrics =
            HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, openmetrics);
        response
    }

    fn config(&self) -> Response<Body> {
        let engine = self.control.shared.engine.load_full();
        let text = json!({
            "hash": &*engine.compiled.config_hash,
            "catalog_hash": &*engine.compiled.catalog_hash,
            "loaded_at": engine.loaded_at.rfc3339(),
            "source": self.control.source.to_string(),
            "rules": engine.compiled.rules.iter().map(|r| &*r.name).collect::<Vec<_>>(),
            "tiers": engine.compiled.named_tiers().map(|t| &*t.name).collect::<Vec<_>>(),
        });
        respond::json(StatusCode::OK, text.to_string())
    }

    async fn report(&self, query: &str) -> Result<Response<Body>, ApiError> {
        let wrong = |what: String| ApiError::new("invalid_request", what);
        let since = span(parameter(query, "since").as_deref().unwrap_or("24h")).map_err(wrong)?;
        let by = parameter(query, "by")
            .filter(|by| !by.is_empty())
            .map(|by| by.split(',').map(str::parse::<By>).collect());
        let by = by.transpose().map_err(|e: router_ledger::Error| wrong(e.to_string()))?.unwrap_or_default();
        let query = ReportQuery { since: self.control.shared.clock.now() - since, by };
        let failed = |e: router_ledger::Error| ApiError::new("ledger_unavailable", e.to_string());
        let report = self.ledger.report(&query).await.map_err(failed)?;
        let text =
            serde_json::to_string(&report).map_err(|e| ApiError::new("internal_error", e.to_string()))?;
        Ok(respond::json(StatusCode::OK, text))
    }

    fn reload(&self) -> Result<Response<Body>, ApiError> {
        let done = self.control.reload().map_err(|e| ApiError::new("invalid_request", e.to_string()))?;
        Ok(respond::json(StatusCode::OK, json!({ "before": done.before, "after": done.after }).to_string()))
    }
}

/// Serves until told to stop.
pub(crate) async fn serve(admin: Admin, sockets: Vec<StdListener>, mut stop: watch::Receiver<bool>) {
    let Some(Ok(listener)) = sockets.into_iter().next().map(TcpListener::from_std) else {
        tracing::error!("the admin listener cannot be used");
        return;
    };
    let admin = Arc::new(admin);
    let places = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (admin, stop) = (Arc::clone(&admin), stop.clone());
        tokio::spawn(async move {
            let shared = &admin.control.shared;
            let on = (shared.clock, Times::of(&shared.limits));
            connection(stream, on, |request| answered(&admin, request), stop).await;
            drop(place);
        });
    }
}

/// Answers one request, whatever happens.
async fn answered(admin: &Admin, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let mut response = admin.answer(request).await.unwrap_or_else(|error| refused(&error));
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let methods = served_by(&path).unwrap_or_default();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    }
    response
}

/// The methods a path is served by; `None`: it is not served.
fn served_by(path: &str) -> Option<&'static str> {
    match path {
        "/metrics" | "/admin/v1/config" | "/admin/v1/deployments" | "/admin/v1/report" => Some("GET"),
        "/admin/v1/reload" => Some("POST"),
        path => keys::served_by(path).or_else(|| order_of(path).map(|_| "POST")),
    }
}

/// A body, whole.
///
/// # Errors
/// 413 over [`MAX_BODY`], 408 when it takes too long, 400 when it breaks off.
async fn read(body: Incoming) -> Result<Bytes, ApiError> {
    let unread = |e: Box<dyn std::error::Error + Send + Sync>| match e.is::<LengthLimitError>() {
        true => ApiError::new("request_too_large", format!("the body is larger than {MAX_BODY} bytes")),
        false => ApiError::new("invalid_request", format!("the body broke off: {e}")),
    };
    let late = |_| ApiError::new("request_timeout", format!("no body within {} s", BODY_TIMEOUT.as_secs()));
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect());
    Ok(read.await.map_err(late)?.map_err(unread)?.to_bytes())
}

/// A parameter of a query, decoded as forms encode it: a plus is a space.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let value = value.replace('+', " ");
    Some(percent_encoding::percent_decode_str(&value).decode_utf8_lossy().into_owned())
}

/// The order a path stands for.
fn order_of(path: &str) -> Option<(Subject, &str)> {
    deployments::target(path.strip_prefix("/admin/v1/")?)
}

fn unserved() -> ApiError {
    ApiError::new(
        "not_found",
        "served: GET /metrics, /healthz, /readyz, /admin/v1/{config,deployments,keys,report}, POST \
         /admin/v1/{keys,reload}, /admin/v1/{deployments,providers}/{id}/{disable,enable,drain,reset}, PATCH and \
         DELETE /admin/v1/keys/{id}",
    )
}

fn refused(error: &ApiError) -> Response<Body> {
    let text = json!({ "error": { "code": error.code, "message": error.message } });
    respond::json(error.status, text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_by_what_it_is_served() {
        for (path, expected) in [
            ("/metrics", Some("GET")),
            ("/admin/v1/reload", Some("POST")),
            ("/admin/v1/keys", Some("GET, POST")),
            ("/admin/v1/keys/", Some("GET, POST")),
            ("/admin/v1/keys/a%2Fb", Some("PATCH, DELETE")),
            ("/admin/v1/keys/a/rotate", Some("POST")),
            ("/admin/v1/keys/a/revoke", None),
            ("/admin/v1/keysx", None),
            ("/admin/v1/deployments/a/b/disable", Some("POST")),
            ("/nope", None),
        ] {
            assert_eq!(served_by(path), expected, "{path}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let query = "by=provider%2Cmodel&bya=x&cursor=config%3Amy+key&since=";
        for (name, expected) in [
            ("by", Some("provider,model")),
            ("cursor", Some("config:my key")),
            ("since", Some("")),
            ("limit", None),
        ] {
            assert_eq!(parameter(query, name).as_deref(), expected, "{name}");
        }
    }
}
