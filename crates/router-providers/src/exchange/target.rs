//! What a deployment's calls need, worked out once per reload: addresses, headers with the credential in them, quirks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use router_core::capability::Capabilities;
use router_core::chat::DialectId;
use router_core::config::Secret;

use crate::dialect::{Upstream, upstream};
use crate::provider::{self, Auth, Prefill, Quirks};

/// A deployment as the configuration has it.
#[derive(Clone, Debug)]
pub struct TargetSpec<'a> {
    /// The known host it is at; `None`: any compatible address.
    pub host: Option<&'a str>,
    /// Wire format.
    pub dialect: DialectId,
    /// Base URL, without a slash at its end.
    pub base_url: &'a str,
    /// The credential, if one is sent.
    pub credential: Option<Secret>,
    /// The name the upstream knows the model by.
    pub upstream_model: &'a str,
    /// What the deployment can do.
    pub capabilities: Capabilities,
    /// Its longest output.
    pub max_output_tokens: Option<u64>,
}

/// A deployment that cannot be called as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No such dialect is built.
    #[error("dialect {0} is not available")]
    Dialect(&'static str),
    /// The address is none.
    #[error("\"{0}\" is not an http or https address")]
    Address(String),
    /// The credential cannot stand in a header.
    #[error("the credential holds characters that cannot be sent in a header")]
    Credential,
    /// The model's name cannot be sent.
    #[error("\"{0}\" is not the name of a model: it is empty or holds control characters")]
    Model(String),
}

/// A deployment ready to be called.
pub struct Target {
    pub(super) upstream: &'static dyn Upstream,
    pub(super) dialect: DialectId,
    pub(super) model: Arc<str>,
    pub(super) capabilities: Capabilities,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) quirks: Quirks,
    /// How it goes on from a last message by the assistant, if it does.
    pub(super) prefill: Option<Prefill>,
    base_url: String,
    /// Path and address of JSON calls and of streamed ones.
    known: [(String, Uri); 2],
    headers: HeaderMap,
    credential: Option<Secret>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("dialect", &self.dialect)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Works out what calls need.
    ///
    /// # Errors
    /// What of the configuration cannot be sent.
    pub fn new(spec: &TargetSpec<'_>) -> Result<Self, TargetError> {
        let model = spec.upstream_model;
        if model.is_empty() || model.chars().any(char::is_control) {
            return Err(TargetError::Model(model.escape_debug().to_string()));
        }
        let upstream = upstream(spec.dialect).ok_or(TargetError::Dialect(spec.dialect.name()))?;
        let row = spec.host.and_then(provider::host);
        let base_path = row.map_or("", |row| row.base_path);
        let base_url = match spec.base_url.strip_suffix(base_path) {
            Some(_) => spec.base_url.to_owned(),
            None => format!("{}{base_path}", spec.base_url),
        };
        let known = |stream| {
            let path = upstream.path(model, stream);
            address(&base_url, &path).map(|url| (path, url))
        };
        let quirks = row.map_or(Quirks::COMPATIBLE, |row| row.quirks);
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Answers are read and spliced, so compression would only cost.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(credential) = &spec.credential {
            let auth = row.map_or_else(|| Auth::of(spec.dialect), |row| row.auth);
            let text = match auth {
                Auth::Bearer => format!("Bearer {}", credential.expose()),
                Auth::XApiKey | Auth::XGoogApiKey | Auth::ApiKey => credential.expose().to_owned(),
            };
            let mut value = HeaderValue::from_str(&text).map_err(|_| TargetError::Credential)?;
            value.set_sensitive(true);
            headers.insert(auth.header(), value);
        }
        Ok(Self {
            upstream,
            dialect: spec.dialect,
            model: spec.upstream_model.into(),
            capabilities: spec.capabilities,
            max_output_tokens: spec.max_output_tokens,
            quirks,
            prefill: prefill(spec, quirks, row.is_some_and(|row| row.base_url == base_url)),
            known: [known(false)?, known(true)?],
            base_url,
            headers,
            credential: spec.credential.clone(),
        })
    }

    /// The address of a path below the base URL.
    pub(super) fn url(&self, path: &str) -> Result<Uri, TargetError> {
        match self.known.iter().find(|(known, _)| known == path) {
            Some((_, url)) => Ok(url.clone()),
            None => address(&self.base_url, path),
        }
    }

    /// The address of a call that passes through.
    pub(super) fn known_url(&self, stream: bool) -> Uri {
        let [whole, streamed] = &self.known;
        if stream { streamed.1.clone() } else { whole.1.clone() }
    }

    /// The headers of a call, with those the dialect adds.
    pub(super) fn headers(&self, more: &[(&'static str, String)]) -> HeaderMap {
        let mut headers = self.headers.clone();
        for (name, value) in more {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }

    /// A provider's text with our credential, should it be in there, taken out.
    pub(super) fn without_credential(&self, text: String) -> String {
        match self.credential.as_ref().map(Secret::expose) {
            Some(secret) if secret.len() >= 4 && text.contains(secret) => text.replace(secret, "[redacted]"),
            _ => text,
        }
    }
}

/// How a deployment goes on from a last message by the assistant. A path of its own is known only below the host's own
/// address, not below that of a proxy before it.
fn prefill(spec: &TargetSpec<'_>, quirks: Quirks, own_address: bool) -> Option<Prefill> {
    if !spec.capabilities.contains(Capabilities::PREFILL) {
        return None;
    }
    match spec.dialect {
        DialectId::OpenaiChat => quirks.prefill.filter(|prefill| prefill.path.is_empty() || own_address),
        // These dialects have it, and every model of theirs with the capability does it in the same way.
        _ => Some(Prefill::PLAIN),
    }
}

fn address(base: &str, path: &str) -> Result<Uri, TargetError> {
    let text = format!("{base}{path}");
    let url = Uri::from_str(&text).ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|a| !a.as_str().contains('@'))
    });
    url.ok_or_else(|| TargetError::Address(base.escape_debug().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customers_own_address_is_completed_once() {
        let check = |base_url: &str| {
            let spec = TargetSpec {
                host: Some("azure"),
                dialect: DialectId::OpenaiChat,
                base_url,
                credential: Some(Secret::new("hush".to_owned())),
                upstream_model: "prod-4o",
                capabilities: Capabilities::empty(),
                max_output_tokens: None,
            };
            let target = Target::new(&spec).unwrap();
            let url = target.known_url(false).to_string();
            assert_eq!(url, "https://acme.example/openai/v1/chat/completions");
            assert_eq!(target.headers(&[])["api-key"], "hush");
        };
        check("https://acme.example");
        check("https://acme.example/openai/v1");
    }
}
