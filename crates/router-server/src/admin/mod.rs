//! The admin listener: metrics, what is in force, reports, reload. Its own address and its own key.

mod keys;

use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use router_core::config::Secret;
use router_ledger::{By, Ledger, ReportQuery};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli::span;
use crate::control::Control;
use crate::error::ApiError;
use crate::ingress::only_local;
use crate::keys::Changes;
use crate::respond;
use crate::stream::Body;

/// A request's headers must be complete by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections served at once: scrapers and people.
const MAX_CONNECTIONS: usize = 64;

/// The admin service.
pub(crate) struct Admin {
    control: Arc<Control>,
    key: Option<Secret>,
    ledger: Arc<dyn Ledger>,
    changes: Changes,
}

impl Admin {
    /// For this server.
    pub(crate) fn new(
        control: Arc<Control>,
        key: Option<Secret>,
        ledger: Arc<dyn Ledger>,
        changes: Changes,
    ) -> Self {
        Self { control, key, ledger, changes }
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
            _ => Err(ApiError::new(
                "not_found",
                "served: GET /metrics, /healthz, /readyz, /admin/v1/{config,deployments,keys,report}, POST \
                 /admin/v1/{keys,reload}, PATCH and DELETE /admin/v1/keys/{id}",
            )),
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

    fn deployments(&self) -> Response<Body> {
        let shared = &self.control.shared;
        let engine = shared.engine.load_full();
        let now = shared.clock.now();
        let rows = engine.compiled.deployments.iter().zip(&engine.slots).map(|(d, slot)| {
            let health = slot.snapshot(now);
            json!({
                "id": &*d.id, "provider": &*d.provider, "model": &*d.model, "upstream_model": &*d.upstream_model,
                "region": d.region, "simulated": d.simulated, "capabilities": d.capabilities,
                "breaker": health.breaker.name(), "suspect": health.suspect, "in_flight": health.in_flight,
                "window_requests": health.window_requests, "window_failures": health.window_failures,
                "p95_total_ms": health.p95_total_ms, "p95_first_byte_ms": health.p95_first_byte_ms,
            })
        });
        let rows: Vec<_> = rows.collect();
        respond::json(StatusCode::OK, json!({ "deployments": rows }).to_string())
    }

    async fn report(&self, query: &str) -> Result<Response<Body>, ApiError> {
        let parameter =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let wrong = |what: String| ApiError::new("invalid_request", what);
        let since = span(parameter("since").unwrap_or("24h")).map_err(wrong)?;
        let by = parameter("by")
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
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(admin.answer(request).await.unwrap_or_else(|e| refused(&e))) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

fn refused(error: &ApiError) -> Response<Body> {
    let text = json!({ "error": { "code": error.code, "message": error.message } });
    respond::json(error.status, text.to_string())
}
