//! `/admin/v1/keys`: client keys listed, made, changed, rotated and revoked. Those of the configuration are listed, and
//! changed in the configuration alone.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use router_ledger::{Error, ErrorKind, KeyRow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, parameter};
use crate::cli::span;
use crate::error::ApiError;
use crate::ingress::require_json;
use crate::keys::secret;
use crate::keys::wish::{GRACE, Wish, named, shown, shown_configured};
use crate::keys::{KeyTable, config_id};
use crate::respond;
use crate::stream::Body;

/// Where this part of the API is.
pub(super) const PATH: &str = "/admin/v1/keys";
/// Keys per page, unless `limit` says otherwise.
const PAGE: usize = 100;
/// Most keys per page.
const MAX_PAGE: usize = 1_000;
/// A list that takes longer is made of what is known here.
const LIST_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    grace: Option<String>,
}

/// Answers a request whose path begins with [`PATH`].
///
/// # Errors
/// 400 for what no key can have, 404 for a key that is not there, 409 for a name that is taken or a key of the
/// configuration, 503 while the ledger is away.
pub(super) async fn answer(admin: &Admin, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let path = request.uri().path().strip_prefix(PATH).unwrap_or_default().trim_matches('/').to_owned();
    let (id, action) = match path.split_once('/') {
        Some((id, action)) => (id, Some(action)),
        None => (path.as_str(), None),
    };
    let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned();
    match (request.method().clone(), id.is_empty(), action) {
        (Method::GET, true, None) => list(admin, request.uri().query().unwrap_or_default()).await,
        (Method::POST, true, None) => create(admin, body(request).await?).await,
        (Method::PATCH, false, None) => update(admin, &id, &body(request).await?).await,
        (Method::DELETE, false, None) => revoke(admin, &id).await,
        (Method::POST, false, Some("rotate")) => rotate(admin, &id, &body(request).await?).await,
        (method, ..) => {
            let code =
                if served_by(request.uri().path()).is_some() { "method_not_allowed" } else { "not_found" };
            let text = format!(
                "{method} is not served here: GET and POST {PATH}, PATCH and DELETE {PATH}/{{id}}, POST \
                 {PATH}/{{id}}/rotate"
            );
            Err(ApiError::new(code, text))
        }
    }
}

/// The methods a path is served by; `None`: it is none of these.
pub(super) fn served_by(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix(PATH).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    match rest.trim_matches('/').split_once('/') {
        None if rest.trim_matches('/').is_empty() => Some("GET, POST"),
        None => Some("PATCH, DELETE"),
        Some((_, "rotate")) => Some("POST"),
        Some(_) => None,
    }
}

/// A JSON body; nothing sent stands for its defaults.
async fn body<T: Default + serde::de::DeserializeOwned>(request: Request<Incoming>) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let bytes = super::read(body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    require_json(&head.headers)?;
    serde_json::from_slice(&bytes).map_err(|e| ApiError::new("invalid_request", format!("the body: {e}")))
}

async fn list(admin: &Admin, query: &str) -> Result<Response<Body>, ApiError> {
    let limit = match parameter(query, "limit") {
        None => PAGE,
        Some(text) => text.parse().ok().filter(|n| (1..=MAX_PAGE).contains(n)).ok_or_else(|| {
            ApiError::new("invalid_request", format!("limit: \"{text}\" is not in 1..={MAX_PAGE}"))
        })?,
    };
    let after = parameter(query, "cursor").unwrap_or_default();
    let keyring = &admin.control.shared.keys;
    let (configured, known) = keyring.listed();
    // What other processes have just done is seen here before it counts here.
    let rows = match tokio::time::timeout(LIST_PATIENCE, admin.ledger.keys()).await {
        Ok(Ok(rows)) => rows,
        _ => known,
    };
    let table = keyring.load_full();
    let used = |table: &KeyTable, id: &str| table.by_id(id).and_then(|key| key.last_used());
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for (sha256, key) in &configured {
        let id = config_id(&key.name);
        all.insert(id.to_string(), shown_configured(&id, key, sha256, used(&table, &id)));
    }
    for row in &rows {
        all.insert(row.id.clone(), shown(row, used(&table, &row.id)));
    }
    let mut page = all.into_iter().filter(|(id, _)| *id > after);
    let mut keys: Vec<(String, Value)> = page.by_ref().take(limit).collect();
    let next = page.next().and_then(|_| keys.last()).map(|(id, _)| id.clone());
    let keys: Vec<Value> = keys.drain(..).map(|(_, key)| key).collect();
    Ok(respond::json(StatusCode::OK, json!({ "keys": keys, "next_cursor": next }).to_string()))
}

async fn create(admin: &Admin, wish: Wish) -> Result<Response<Body>, ApiError> {
    if let Some(name) = &wish.name {
        free_of_configuration(admin, name)?;
    }
    let secret =
        secret::new().map_err(|e| ApiError::new("internal_error", format!("no random numbers: {e}")))?;
    let new = wish.new_key(secret::hash(&secret), admin.control.shared.clock.now()).map_err(invalid)?;
    let row = admin.ledger.create_key(&new).await.map_err(|e| refused(&e))?;
    admin.changes.made().await;
    Ok(respond::json(StatusCode::CREATED, with_secret(&row, secret.expose())))
}

async fn update(admin: &Admin, id: &str, wish: &Wish) -> Result<Response<Body>, ApiError> {
    let row = find(admin, id).await?;
    if let Some(name) = &wish.name {
        free_of_configuration(admin, name)?;
    }
    let change = wish.change(&row, admin.control.shared.clock.now()).map_err(invalid)?;
    let row = admin.ledger.update_key(&row.id, &change).await.map_err(|e| refused(&e))?;
    let row = row.ok_or_else(|| no_such(id))?;
    admin.changes.made().await;
    let used = admin.control.shared.keys.load().by_id(&row.id).and_then(|key| key.last_used());
    Ok(respond::json(StatusCode::OK, shown(&row, used).to_string()))
}

async fn rotate(admin: &Admin, id: &str, rotation: &Rotation) -> Result<Response<Body>, ApiError> {
    let row = find(admin, id).await?;
    let grace = rotation.grace.as_deref().map(span).transpose();
    let grace = grace.map_err(|e| ApiError::new("invalid_request", format!("grace: {e}")))?.unwrap_or(GRACE);
    let secret =
        secret::new().map_err(|e| ApiError::new("internal_error", format!("no random numbers: {e}")))?;
    let until = admin.control.shared.clock.now() + grace;
    let row =
        admin.ledger.rotate_key(&row.id, secret::hash(&secret), until).await.map_err(|e| refused(&e))?;
    admin.changes.made().await;
    Ok(respond::json(StatusCode::OK, with_secret(&row, secret.expose())))
}

async fn revoke(admin: &Admin, id: &str) -> Result<Response<Body>, ApiError> {
    let row = find(admin, id).await?;
    let at = admin.control.shared.clock.now();
    admin.ledger.revoke_key(&row.id, at).await.map_err(|e| refused(&e))?;
    admin.changes.made().await;
    let text = json!({ "id": row.id, "name": row.name, "revoked_at": at.rfc3339() });
    Ok(respond::json(StatusCode::OK, text.to_string()))
}

/// A key of the ledger, by its id or name.
async fn find(admin: &Admin, which: &str) -> Result<KeyRow, ApiError> {
    let rows = admin.ledger.keys().await.map_err(|e| refused(&e))?;
    if let Some(row) = named(&rows, which) {
        return Ok(row.clone());
    }
    let (configured, _) = admin.control.shared.keys.listed();
    if configured.iter().any(|(_, key)| &*key.name == which || &*config_id(&key.name) == which) {
        return Err(read_only(which));
    }
    Err(no_such(which))
}

/// Two keys of one name would be one in reports and budgets.
fn free_of_configuration(admin: &Admin, name: &str) -> Result<(), ApiError> {
    let (configured, _) = admin.control.shared.keys.listed();
    if configured.iter().any(|(_, key)| &*key.name == name) {
        return Err(ApiError::new("conflict", format!("a key named \"{name}\" is in the configuration")));
    }
    Ok(())
}

fn read_only(which: &str) -> ApiError {
    let text = format!("the key \"{which}\" is in the configuration, and read-only here: change it there");
    ApiError::new("conflict", text)
}

fn no_such(which: &str) -> ApiError {
    ApiError::new("not_found", format!("no key with the id or name \"{which}\" lives"))
}

fn invalid(problem: String) -> ApiError {
    ApiError::new("invalid_request", problem)
}

fn refused(error: &Error) -> ApiError {
    let code = match error.kind() {
        ErrorKind::NameTaken | ErrorKind::HashKnown => "conflict",
        ErrorKind::NoSuchKey => "not_found",
        ErrorKind::Invalid => "invalid_request",
        _ => "ledger_unavailable",
    };
    ApiError::new(code, error.to_string())
}

/// The one answer that has a secret in it.
fn with_secret(row: &KeyRow, secret: &str) -> String {
    let mut value = shown(row, None);
    if let Value::Object(members) = &mut value {
        members.insert("secret".to_owned(), secret.into());
    }
    value.to_string()
}
