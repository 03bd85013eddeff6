//! Who is it, may it: client keys by hash, and what is refused while there are none.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use router_core::time::Timestamp;

use crate::error::ApiError;
use crate::keys::{Access, Found, Key, KeyTable};

/// Headers a client key may come in, beside `Authorization: Bearer`.
const KEY_HEADERS: [&str; 4] = ["x-api-key", "api-key", "x-goog-api-key", "x-litellm-api-key"];
/// Headers that show that a proxy stands between the client and us.
const FORWARDING_HEADERS: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// When to come back while the ledger's keys cannot be read.
const UNREAD_WAIT: Duration = Duration::from_secs(5);

/// Which key this request carries; `None` when there are none at all.
///
/// # Errors
/// 401 without a key that is accepted; 503 for one that is not known while the ledger's keys could not be read; without
/// keys 403 for what a browser or a proxy may have sent.
pub(crate) fn authenticate(
    keys: &KeyTable,
    (headers, query): (&HeaderMap, Option<&str>),
    now: Timestamp,
) -> Result<Option<Arc<Key>>, ApiError> {
    if keys.access == Access::Open {
        return only_local(headers, "keys").map(|()| None);
    }
    let (mut any, mut expired) = (false, false);
    for secret in presented(headers, query) {
        any = true;
        match keys.find(&secret, now) {
            Some(Found::Key(key)) => return Ok(Some(Arc::clone(key))),
            Some(Found::Expired) => expired = true,
            None => {}
        }
    }
    if expired {
        return Err(ApiError::new("invalid_api_key", "this api key has expired"));
    }
    if keys.access == Access::Unread {
        let text = "the ledger, which has the client keys, cannot be reached yet";
        return Err(ApiError::new("ledger_unavailable", text).retry_after(UNREAD_WAIT));
    }
    Err(ApiError::new(
        "invalid_api_key",
        if any {
            "this api key is not known here"
        } else {
            "no api key: send it as \"authorization: Bearer ...\""
        },
    ))
}

/// Every key a request carries, in the order they count: an SDK that must send some key in its own header may carry ours
/// in another.
fn presented<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> impl Iterator<Item = Cow<'a, str>> {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str()).and_then(without_scheme);
    let others = KEY_HEADERS.iter().filter_map(move |name| {
        let value = text(name)?;
        Some(without_scheme(value).unwrap_or(value))
    });
    let parameter = query.into_iter().flat_map(|q| q.split('&')).find_map(|pair| pair.strip_prefix("key="));
    let parameter = parameter.and_then(|raw| percent_encoding::percent_decode_str(raw).decode_utf8().ok());
    bearer.into_iter().chain(others).map(Cow::Borrowed).chain(parameter)
}

/// What follows `Bearer`.
fn without_scheme(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Without keys anybody on this machine may ask, but no web page and nothing that comes through a proxy.
///
/// # Errors
/// 403 that names what to configure.
pub(crate) fn only_local(headers: &HeaderMap, missing: &str) -> Result<(), ApiError> {
    let refuse = |what: &str| {
        Err(ApiError::new(
            "request_not_allowed",
            format!("no keys are configured, so {what} is refused: add `{missing}`"),
        ))
    };
    if headers.contains_key(ORIGIN) {
        return refuse("a request with an origin header (a web page)");
    }
    if let Some(name) = FORWARDING_HEADERS.iter().find(|name| headers.contains_key(**name)) {
        return refuse(&format!("a forwarded request ({name})"));
    }
    let host = headers.get(HOST).and_then(|v| v.to_str().ok()).unwrap_or("localhost");
    if !is_loopback(host) {
        return refuse("a host that is not loopback");
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A POST must be JSON: browsers cannot send that elsewhere without asking first.
///
/// # Errors
/// 415 for another content type.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json") {
        return Ok(());
    }
    Err(ApiError::new(
        "unsupported_media_type",
        format!("content-type must be application/json, not \"{essence}\""),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::table;

    const NOW: Timestamp = Timestamp::from_millis(1_795_348_200_000);

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    fn name(keys: &KeyTable, headers: &HeaderMap, query: Option<&str>) -> String {
        authenticate(keys, (headers, query), NOW).unwrap().unwrap().spec.name.to_string()
    }

    #[test]
    fn a_key_is_found_in_every_place_it_may_come_in() {
        let keys = table(&["one", "two", "three"], Access::Keys);
        for header in [
            ("authorization", "Bearer two"),
            ("x-api-key", "two"),
            ("api-key", "two"),
            ("x-goog-api-key", "two"),
            ("x-litellm-api-key", "two"),
            ("x-litellm-api-key", "Bearer two"),
        ] {
            assert_eq!(name(&keys, &headers(&[header]), None), "two", "{header:?}");
        }
        let beside_another = headers(&[("authorization", "Bearer sk-dummy"), ("x-api-key", "two")]);
        assert_eq!(name(&keys, &beside_another, None), "two");
        assert_eq!(name(&keys, &headers(&[]), Some("alt=sse&key=thre%65")), "three");
    }

    #[test]
    fn an_unknown_or_missing_key_is_401_and_503_while_the_ledgers_are_not_read() {
        for (access, expected) in
            [(Access::Keys, (401, "invalid_api_key")), (Access::Unread, (503, "ledger_unavailable"))]
        {
            let keys = table(&["one"], access);
            assert_eq!(name(&keys, &headers(&[("x-api-key", "one")]), None), "one");
            for given in [
                &[][..],
                &[("authorization", "Bearer on")],
                &[("authorization", "Basic one")],
                &[("x-api-key", "")],
            ] {
                let error = authenticate(&keys, (&headers(given), None), NOW).unwrap_err();
                assert_eq!((error.status.as_u16(), error.code), expected, "{given:?}");
                assert!(!error.message.contains("on\""));
            }
        }
    }

    #[test]
    fn without_keys_only_this_machine_may_ask() {
        let open = table(&[], Access::Open);
        for good in
            [&[("host", "127.0.0.1:4000")][..], &[("host", "localhost")], &[("host", "[::1]:4000")], &[]]
        {
            assert!(authenticate(&open, (&headers(good), None), NOW).unwrap().is_none(), "{good:?}");
        }
        for bad in [
            ("origin", "http://evil.example"),
            ("host", "rebind.example:4000"),
            ("x-forwarded-for", "10.0.0.1"),
        ] {
            assert_eq!(
                authenticate(&open, (&headers(&[bad]), None), NOW).unwrap_err().status.as_u16(),
                403,
                "{bad:?}"
            );
        }
    }
}
