//! What a request wishes, gathered from wherever it says so: the body's `router` object, headers, and other gateways' words
//! (OpenRouter's `models` and `provider`, LiteLLM's habits). Every name in it is one that the configuration knows.

use hyper::HeaderMap;
use router_core::chat::{Envelope, Habits, ProviderWishes, RequestOptions};
use router_core::compiled::Compiled;
use router_core::money::Usd;
use router_core::select;

use super::options;
use crate::error::ApiError;

/// Gathers the wishes of a scanned request into its options.
///
/// # Errors
/// 400 with the JSON pointer of a wish that is wrong, or of a name nobody knows; 404 for the model itself.
pub(crate) fn settle(
    envelope: &mut Envelope,
    headers: &HeaderMap,
    compiled: &Compiled,
) -> Result<(), ApiError> {
    let mut habits = std::mem::take(&mut envelope.habits);
    known(envelope, &habits, compiled)?;
    let cache_key = habits.cache_key.take();
    let mut wishes = options::merge(std::mem::take(&mut envelope.options), headers)?;
    adopt(&mut wishes, habits)?;
    litellm_headers(&mut wishes, headers)?;
    // What shares a prompt cache stays together, rather than what comes from one user.
    wishes.session_id = wishes.session_id.or(cache_key);
    envelope.options = wishes;
    Ok(())
}

/// Other gateways' words as ours. Where both are there, ours win.
fn adopt(wishes: &mut RequestOptions, habits: Habits) -> Result<(), ApiError> {
    if let Some(provider) = habits.provider {
        if !wishes.provider.is_empty() {
            let text = "give `provider` or `router.provider`, not both";
            return Err(ApiError::new("invalid_request", text).at("/provider"));
        }
        wishes.provider = provider;
    }
    wishes.fallbacks.splice(0..0, habits.models);
    wishes.fallbacks.extend(habits.fallbacks);
    tag(wishes, habits.tags);
    wishes.num_retries = wishes.num_retries.or(habits.num_retries);
    if habits.disable_fallbacks {
        wishes.allow_fallbacks = wishes.allow_fallbacks.or(Some(false));
    }
    Ok(())
}

fn tag(wishes: &mut RequestOptions, tags: impl IntoIterator<Item = String>) {
    for tag in tags {
        if !wishes.tags.contains(&tag) {
            wishes.tags.push(tag);
        }
    }
}

/// `x-litellm-*`, as far as they are wishes; there are others, which mean nothing here.
fn litellm_headers(wishes: &mut RequestOptions, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str, pointer: &str| match headers.get(name).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim())),
        Some(Err(_)) => Err(wrong(name, pointer, "is not text")),
    };
    if let Some(tags) = text("x-litellm-tags", "/router/tags")? {
        tag(wishes, tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned));
    }
    if let Some(session) = text("x-litellm-session-id", "/router/session_id")?.filter(|id| !id.is_empty()) {
        wishes.session_id.get_or_insert_with(|| session.to_owned());
    }
    if let Some(timeout) = text("x-litellm-timeout", "/router/deadline_ms")? {
        let ms = millis(timeout);
        let why = "is not a number of seconds above zero";
        let ms = ms.ok_or_else(|| wrong("x-litellm-timeout", "/router/deadline_ms", why))?;
        wishes.deadline_ms.get_or_insert(ms);
    }
    if let Some(retries) = text("x-litellm-num-retries", "/router/num_retries")? {
        let why = "is not a whole number of 0 or more";
        let retries =
            retries.parse().map_err(|_| wrong("x-litellm-num-retries", "/router/num_retries", why))?;
        wishes.num_retries.get_or_insert(retries);
    }
    Ok(())
}

/// LiteLLM's timeouts are seconds, with a fraction.
fn millis(seconds: &str) -> Option<u64> {
    let ms = seconds.parse::<f64>().ok()? * 1_000.0;
    // A longer one than any limit is as good as none.
    (ms > 0.0).then_some(ms.ceil() as u64)
}

fn wrong(header: &str, pointer: &str, why: &str) -> ApiError {
    ApiError::new("invalid_request", format!("header {header}: {why}")).at(pointer)
}

/// Refuses names that nobody bears: a slip in a list of those allowed would let nobody answer, and one in a list of those
/// kept out would let them.
fn known(envelope: &Envelope, habits: &Habits, compiled: &Compiled) -> Result<(), ApiError> {
    let options = &envelope.options;
    let is_model = |name: &str| select::resolve(compiled, name).is_some();
    let no_model = |name: &str| format!("there is no model \"{name}\"; GET /v1/models lists them");
    if habits.first_is_model && !is_model(&envelope.model) {
        return Err(ApiError::new("model_not_found", no_model(&envelope.model)).at("/models/0"));
    }
    let offset = usize::from(habits.first_is_model);
    for (list, pointer, offset) in [
        (&habits.models, "/models", offset),
        (&habits.fallbacks, "/fallbacks", 0),
        (&options.fallbacks, "/router/fallbacks", 0),
    ] {
        all_known(list, is_model, |at, name| unknown(pointer, at + offset, no_model(name)))?;
    }
    let allow = &options.allow;
    all_known(
        &allow.models,
        |name| select::may_be_allowed(compiled, name),
        |at, name| {
            let text =
                format!("nobody knows \"{name}\": no model, tier, deployment or provider has this name");
            unknown("/router/allow/models", at, text)
        },
    )?;
    let is_provider = |name: &str| compiled.knows_provider(name);
    let no_provider = |name: &str| format!("there is no provider \"{name}\"");
    let providers = |list: &[String], pointer: &str| {
        all_known(list, is_provider, |at, name| unknown(pointer, at, no_provider(name)))
    };
    providers(&allow.providers, "/router/allow/providers")?;
    let given = habits.provider.as_ref().map(|wishes| (wishes, "/provider"));
    for (wishes, pointer) in given.into_iter().chain([(&options.provider, "/router/provider")]) {
        for (name, list) in [("only", &wishes.only), ("order", &wishes.order), ("ignore", &wishes.ignore)] {
            providers(list, &format!("{pointer}/{name}"))?;
        }
        in_range(wishes, pointer)?;
    }
    Ok(())
}

fn in_range(wishes: &ProviderWishes, pointer: &str) -> Result<(), ApiError> {
    let fee = wishes.max_price.and_then(|most| most.request);
    if fee.is_some_and(|fee| fee < Usd::ZERO) {
        let pointer = format!("{pointer}/max_price/request");
        return Err(ApiError::new("invalid_request", "must not be negative").at(pointer));
    }
    Ok(())
}

fn all_known(
    list: &[String],
    known: impl Fn(&str) -> bool,
    error: impl FnOnce(usize, &str) -> ApiError,
) -> Result<(), ApiError> {
    match list.iter().enumerate().find(|(_, name)| !known(name)) {
        Some((at, name)) => Err(error(at, name)),
        None => Ok(()),
    }
}

fn unknown(list: &str, at: usize, text: String) -> ApiError {
    ApiError::new("invalid_request", text).at(format!("{list}/{at}"))
}

#[cfg(test)]
mod tests {
    use router_providers::dialect::openai_chat::OpenaiChat;
    use router_providers::dialect::{Client, ScanLimits};

    use super::*;
    use crate::config::{Source, load};

    const CONFIG: &str = r#"{ "providers": {
            "up": { "dialect": "openai_chat", "base_url": "http://127.0.0.1:1/v1", "api_key": "k" },
            "off": { "dialect": "openai_chat", "base_url": "http://127.0.0.1:2/v1", "api_key": "" } },
        "deployments": [{ "id": "up/a" }, { "id": "up/b" }],
        "models": { "m": { "deployments": ["up/a"] } }, "tiers": { "t": ["up/b"] } }"#;

    /// A request with these members and headers, settled.
    fn settled(members: &str, headers: &[(&'static str, &'static str)]) -> Result<Envelope, ApiError> {
        let text = CONFIG.to_owned();
        let compiled = load(&Source::Text { text, base: ".".into() }).unwrap().checked.compiled;
        let body = format!(r#"{{"messages":[{{"role":"user","content":"x"}}],{members}}}"#);
        let mut envelope = OpenaiChat.scan(body.into(), ScanLimits { max_depth: 20 }).expect(members);
        let headers = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        settle(&mut envelope, &headers, &compiled).map(|()| envelope)
    }

    #[test]
    fn a_name_nobody_bears_is_400_with_its_place() {
        let check = |members: &str, status: u16, place: &str| {
            let error = settled(members, &[]).expect_err(members);
            assert_eq!((error.status.as_u16(), error.pointer.as_deref()), (status, Some(place)), "{members}");
        };
        check(r#""models":["m","nope"]"#, 400, "/models/1");
        check(r#""models":["nope","m"]"#, 404, "/models/0");
        check(r#""model":"m","models":["auto","nope"]"#, 400, "/models/1");
        check(r#""model":"m","fallbacks":["up/a",{"model":"nope"}]"#, 400, "/fallbacks/1");
        check(r#""model":"m","router":{"fallbacks":["nope"]}"#, 400, "/router/fallbacks/0");
        check(r#""model":"m","provider":{"only":["nope"]}"#, 400, "/provider/only/0");
        check(r#""model":"m","provider":{"order":["UP","nope"]}"#, 400, "/provider/order/1");
        check(r#""model":"m","provider":{"ignore":["off","nope"]}"#, 400, "/provider/ignore/1");
        check(r#""model":"m","provider":{"max_price":{"request":-1}}"#, 400, "/provider/max_price/request");
        check(r#""model":"m","router":{"provider":{"only":["nope"]}}"#, 400, "/router/provider/only/0");
        check(r#""model":"m","router":{"allow":{"models":["t","nope"]}}"#, 400, "/router/allow/models/1");
        check(r#""model":"m","router":{"allow":{"providers":["nope"]}}"#, 400, "/router/allow/providers/0");
        check(
            r#""model":"m","provider":{"only":["up"]},"router":{"provider":{"sort":"price"}}"#,
            400,
            "/provider",
        );
    }

    #[test]
    fn other_gateways_words_become_ours_and_ours_win() {
        let envelope = settled(
            r#""models":["m","up/b"],"fallbacks":["auto"],"metadata":{"tags":["x","y"]},"num_retries":0,
               "disable_fallbacks":true,"user":"u","prompt_cache_key":"k","provider":{"only":["up"]},
               "router":{"fallbacks":["up/a"],"tags":["y","z"],"deadline_ms":5}"#,
            &[
                ("x-litellm-tags", "z, w"),
                ("x-litellm-timeout", "2.5"),
                ("x-litellm-session-id", "s"),
                ("x-litellm-num-retries", "3"),
            ],
        )
        .unwrap();
        let options = &envelope.options;
        assert_eq!((&*envelope.model, options.fallbacks.join(" ").as_str()), ("m", "up/b up/a auto"));
        assert_eq!(options.tags, ["y", "z", "x", "w"]);
        assert_eq!(
            (options.num_retries, options.allow_fallbacks, options.deadline_ms),
            (Some(0), Some(false), Some(5))
        );
        assert_eq!((options.session_id.as_deref(), envelope.user.as_deref()), (Some("s"), Some("u")));
        assert_eq!(options.provider.only, ["up"]);
        let plain =
            settled(r#""model":"m""#, &[("x-litellm-timeout", "0.0301"), ("x-litellm-trace-id", "any")])
                .unwrap();
        assert_eq!(plain.options, RequestOptions { deadline_ms: Some(31), ..RequestOptions::default() });
        let cached = settled(r#""model":"m","user":"u","prompt_cache_key":"k""#, &[]).unwrap();
        assert_eq!((cached.options.session_id.as_deref(), cached.user.as_deref()), (Some("k"), Some("u")));
        for (name, value, place) in [
            ("x-litellm-timeout", "soon", "/router/deadline_ms"),
            ("x-litellm-timeout", "NaN", "/router/deadline_ms"),
            ("x-litellm-timeout", "0", "/router/deadline_ms"),
            ("x-litellm-num-retries", "-1", "/router/num_retries"),
        ] {
            let error = settled(r#""model":"m""#, &[(name, value)]).unwrap_err();
            assert_eq!(
                (error.status.as_u16(), error.pointer.as_deref()),
                (400, Some(place)),
                "{name}: {value}"
            );
        }
    }
}
