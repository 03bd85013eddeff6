//! Routing wishes from headers (`x-router-*`) beside those from the body; the body's win.

use hyper::HeaderMap;
use router_core::chat::RequestOptions;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// How a header's text becomes JSON.
#[derive(Clone, Copy)]
enum Form {
    List,
    Number,
    Text,
    Switch,
}

impl Form {
    const fn wanted(self) -> &'static str {
        match self {
            Self::List | Self::Text => "is not text",
            Self::Number => "is not a number",
            Self::Switch => "is not true or false",
        }
    }
}

/// What the names of these headers begin with.
const PREFIX: &str = "x-router-";

/// Every wish that can be made by header, as `x-router-<name with - for _>`.
const WISHES: [(&str, Form); 12] = [
    ("required_capabilities", Form::List),
    ("latency_budget_ms", Form::Number),
    ("deadline_ms", Form::Number),
    ("max_cost_usd", Form::Text),
    ("quality", Form::Number),
    ("tier", Form::Text),
    ("tags", Form::List),
    ("session_id", Form::Text),
    ("fallbacks", Form::List),
    ("allow_fallbacks", Form::Switch),
    ("regions", Form::List),
    ("num_retries", Form::Number),
];

/// The body's wishes, completed by the headers'.
///
/// # Errors
/// 400 with the JSON pointer of a wish that is wrong.
pub(super) fn merge(body: RequestOptions, headers: &HeaderMap) -> Result<RequestOptions, ApiError> {
    // Most requests carry none.
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return check(body);
    }
    let mut wishes = Map::new();
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else { continue };
        let name = name.replace('-', "_");
        let Some((_, form)) = WISHES.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = WISHES.iter().map(|(name, _)| name.replace('_', "-")).collect();
            return Err(wrong(&name, &format!("is no wish; known: {}", known.join(", "))));
        };
        let text = value.to_str().map_err(|_| wrong(&name, "is not text"))?.trim();
        let value = json(*form, text).ok_or_else(|| wrong(&name, form.wanted()))?;
        // Each by itself, so that the one to blame is known.
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        serde_json::from_value::<RequestOptions>(Value::Object(alone))
            .map_err(|e| wrong(&name, &e.to_string()))?;
        wishes.insert(name, value);
    }
    let from_headers: RequestOptions =
        serde_json::from_value(Value::Object(wishes)).map_err(|e| wrong("", &e.to_string()))?;
    check(RequestOptions {
        required_capabilities: body.required_capabilities | from_headers.required_capabilities,
        latency_budget_ms: body.latency_budget_ms.or(from_headers.latency_budget_ms),
        deadline_ms: body.deadline_ms.or(from_headers.deadline_ms),
        max_cost_usd: body.max_cost_usd.or(from_headers.max_cost_usd),
        quality: body.quality.or(from_headers.quality),
        tier: body.tier.or(from_headers.tier),
        tags: either(body.tags, from_headers.tags),
        session_id: body.session_id.or(from_headers.session_id),
        fallbacks: either(body.fallbacks, from_headers.fallbacks),
        allow_fallbacks: body.allow_fallbacks.or(from_headers.allow_fallbacks),
        regions: either(body.regions, from_headers.regions),
        num_retries: body.num_retries.or(from_headers.num_retries),
        // Objects, which no header holds.
        allow: body.allow,
        provider: body.provider,
    })
}

fn either(first: Vec<String>, second: Vec<String>) -> Vec<String> {
    if first.is_empty() { second } else { first }
}

fn wrong(name: &str, why: &str) -> ApiError {
    let text = format!("header {PREFIX}{}: {why}", name.replace('_', "-"));
    ApiError::new("invalid_request", text).at(format!("/router/{name}"))
}

fn json(form: Form, text: &str) -> Option<Value> {
    match form {
        Form::Text => Some(Value::from(text)),
        Form::List => {
            Some(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Value::from).collect())
        }
        Form::Switch => text.parse::<bool>().ok().map(Value::from),
        Form::Number => serde_json::from_str::<serde_json::Number>(text).ok().map(Value::Number),
    }
}

/// What types cannot say: ranges, as in the published schema.
fn check(options: RequestOptions) -> Result<RequestOptions, ApiError> {
    let refuse = |name: &str, why: &str| {
        Err(ApiError::new("invalid_request", format!("router.{name} {why}")).at(format!("/router/{name}")))
    };
    if options.quality.is_some_and(|q| !(0.0..=1.0).contains(&q)) {
        return refuse("quality", "must lie between 0 and 1");
    }
    if options.latency_budget_ms == Some(0) {
        return refuse("latency_budget_ms", "must be at least 1");
    }
    if options.deadline_ms == Some(0) {
        return refuse("deadline_ms", "must be at least 1");
    }
    if options.max_cost_usd.is_some_and(|c| c.nano() < 0) {
        return refuse("max_cost_usd", "must not be negative");
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn headers_complete_the_body_and_the_body_wins() {
        let body = RequestOptions { tier: Some("premium".into()), ..RequestOptions::default() };
        let given = headers(&[
            ("x-router-tier", "economy"),
            ("x-router-latency-budget-ms", "1500"),
            ("x-router-tags", "a, b"),
            ("x-router-max-cost-usd", "0.01"),
            ("x-router-allow-fallbacks", "false"),
            ("x-router-required-capabilities", "tools,vision"),
        ]);
        let merged = merge(body, &given).unwrap();
        assert_eq!(merged.tier.as_deref(), Some("premium"));
        assert_eq!(merged.latency_budget_ms, Some(1_500));
        assert_eq!(merged.tags, ["a", "b"]);
        assert_eq!(merged.max_cost_usd.unwrap().nano(), 10_000_000);
        assert_eq!(merged.allow_fallbacks, Some(false));
        assert_eq!(merged.required_capabilities.names().collect::<Vec<_>>(), ["tools", "vision"]);
    }

    #[test]
    fn a_wrong_wish_is_400_with_its_place() {
        for (header, place) in [
            (("x-router-quality", "1.5"), "/router/quality"),
            (("x-router-deadline-ms", "soon"), "/router/deadline_ms"),
            (("x-router-deadline-ms", "0"), "/router/deadline_ms"),
            (("x-router-max-cost-usd", "-1"), "/router/max_cost_usd"),
            (("x-router-required-capabilities", "tool"), "/router/required_capabilities"),
            (("x-router-allow-fallbacks", "maybe"), "/router/allow_fallbacks"),
            (("x-router-qualty", "0.5"), "/router/qualty"),
        ] {
            let error = merge(RequestOptions::default(), &headers(&[header])).unwrap_err();
            assert_eq!((error.status.as_u16(), error.pointer.as_deref()), (400, Some(place)), "{header:?}");
        }
    }
}
