//! Requests scanned: what is found, and what is refused with its pointer.

use proptest::prelude::*;
use router_core::chat::TextKind;

use super::*;

const LIMITS: ScanLimits = ScanLimits { max_depth: 64 };

fn scanned(body: &str) -> Result<Envelope, RequestProblem> {
    scan(&Bytes::copy_from_slice(body.as_bytes()), LIMITS)
}

/// A request with these members beside model and messages.
fn with(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{members}}}"#)
}

#[track_caller]
fn refused(body: &str, pointer: &str, message: &str) {
    let problem = scanned(body).expect_err(body);
    assert_eq!(problem.pointer, pointer, "{body}: {problem}");
    assert!(problem.message.contains(message), "{body}: {problem}");
}

#[test]
fn bad_input() {
    refused("", "", "ends too early");
    refused("{", "", "not valid JSON at byte");
    refused("[]", "", "must be a JSON object");
    refused("null", "", "must be a JSON object");
    refused("1e400", "", "must be a JSON object");
    refused("{}", "/model", "must be named");
    refused(r#"{"model":"m"}"#, "/messages", "required");
    refused(r#"{"model":1,"messages":[]}"#, "/model", "must be a string");
    refused(r#"{"model":"","messages":[]}"#, "/model", "must be named");
    refused(r#"{"model":"a\u0000b","messages":[]}"#, "/model", "must be named");
    refused(r#"{"model":"m","messages":{}}"#, "/messages", "must be an array");
    refused(r#"{"model":"m","messages":[]}"#, "/messages", "at least one");
    refused(r#"{"model":"m","messages":[1]}"#, "/messages/0", "must be an object");
    refused(r#"{"model":"m","messages":[{"content":"x"}]}"#, "/messages/0/role", "needs a role");
    refused(r#"{"model":"m","messages":[{"role":"robot"}]}"#, "/messages/0/role", "must be one of");
    refused(
        r#"{"model":"m","messages":[{"role":"user","content":5}]}"#,
        "/messages/0/content",
        "must be a string or",
    );
    refused(
        r#"{"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]}"#,
        "/messages/0/content/0/type",
        "needs a type",
    );
    refused(
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
        "/messages/0/content/0/text",
        "needs its text",
    );
    refused(r#"{"model":"m","messages":[{"role":"user","role":"user"}]}"#, "/messages/0/role", "given twice");
    refused(r#"{"model":"m","model":"n","messages":[]}"#, "/model", "given twice");
    refused(r#"{"model":"m","mod\u0065l":"n","messages":[]}"#, "/model", "given twice");
    refused(&with(r#""a/b":1,"a/b":2"#), "/a~1b", "given twice");
    refused(&with(r#""Model":"other""#), "/Model", "is written \"model\"");
    refused(&with(r#""MAX_TOKEN\u017f":9"#), "/MAX_TOKENſ", "is written \"max_tokens\"");
    refused(&with(r#""temperature":1e400"#), "", "a number out of range");
    refused(&with(r#""temperature":"hot""#), "/temperature", "must be a number");
    refused(&with(r#""max_tokens":0"#), "/max_tokens", "at least 1");
    refused(&with(r#""max_tokens":-1"#), "/max_tokens", "at least 1");
    refused(&with(r#""max_completion_tokens":1.5"#), "/max_completion_tokens", "whole number");
    refused(&with(r#""n":0"#), "/n", "between 1 and 128");
    refused(&with(r#""stream":"yes""#), "/stream", "true or false");
    refused(&with(r#""stream_options":[]"#), "/stream_options", "must be an object");
    refused(&with(r#""tools":{}"#), "/tools", "must be an array");
    refused(&with(r#""tools":[1]"#), "/tools/0", "must be an object");
    refused(&with(r#""stop":[1]"#), "/stop/0", "must be a string");
    refused(&with(r#""response_format":{}"#), "/response_format/type", "needs a type");
    refused(&with(r#""router":[]"#), "/router", "must be an object");
    refused(&with(r#""router":{"tear":"x"}"#), "/router/tear", "unknown field");
    refused(&with(r#""router":{"tier":"x","tier":"y"}"#), "/router/tier", "given twice");
    refused(&with(r#""router":{"quality":2}"#), "/router/quality", "between 0 and 1");
    refused(&with(r#""router":{"deadline_ms":0}"#), "/router/deadline_ms", "at least 1");
    refused(&with(r#""router":{"deadline_ms":"soon"}"#), "/router/deadline_ms", "invalid type");
    refused(&with(r#""router":{"max_cost_usd":-1}"#), "/router/max_cost_usd", "negative");
    refused(
        &with(r#""router":{"required_capabilities":["tool"]}"#),
        "/router/required_capabilities",
        "unknown capability",
    );
    refused(r#"{"model":"m","messages":[{"role":"user","content":"a"}]} x"#, "", "something follows");
    refused(&with(&format!(r#""x":{}"#, "[".repeat(100_000))), "", "nested too deeply");
    refused(&"[".repeat(100_000), "", "must be a JSON object");
    let many: Vec<String> = (0..300).map(|n| format!("\"k{n}\":1")).collect();
    refused(&with(&many.join(",")), "", "more than 256 members");
    let problem = scan(&Bytes::from_static(b"{\"model\":\"\xff\"}"), LIMITS).unwrap_err();
    assert!(problem.message.contains("not valid UTF-8 at byte 10"), "{problem}");
}

#[test]
fn what_is_wrong_in_other_gateways_words() {
    refused(r#"{"models":[],"messages":[]}"#, "/messages", "at least one");
    refused(r#"{"models":[],"messages":[{"role":"user","content":"x"}]}"#, "/model", "must be named");
    refused(&with(r#""models":"m""#), "/models", "an array of models");
    refused(&with(r#""models":["m",1]"#), "/models/1", "must be a string");
    refused(&with(r#""models":["m",""]"#), "/models/1", "must be named");
    refused(&with(&format!(r#""models":[{}"m"]"#, r#""m","#.repeat(64))), "/models/64", "more than 64");
    refused(&with(r#""provider":[]"#), "/provider", "must be an object");
    refused(&with(r#""provider":{"onyl":["a"]}"#), "/provider/onyl", "unknown field");
    refused(&with(r#""provider":{"zdr":true}"#), "/provider/zdr", "unknown field");
    refused(&with(r#""provider":{"only":"a"}"#), "/provider/only", "invalid type");
    refused(&with(r#""provider":{"only":[],"only":[]}"#), "/provider/only", "given twice");
    refused(&with(r#""provider":{"sort":"speed"}"#), "/provider/sort", "unknown variant");
    refused(&with(r#""provider":{"data_collection":"no"}"#), "/provider/data_collection", "unknown variant");
    refused(&with(r#""provider":{"max_price":{"prompt":-1}}"#), "/provider/max_price", "-1");
    refused(&with(r#""fallbacks":{"m":["n"]}"#), "/fallbacks", "an array of models");
    refused(
        &with(r#""fallbacks":["m",{"model":"n","messages":[]}]"#),
        "/fallbacks/1",
        "unknown field `messages`",
    );
    refused(&with(r#""num_retries":-1"#), "/num_retries", "0 or more");
    refused(&with(r#""num_retries":"2""#), "/num_retries", "whole number");
    refused(&with(r#""disable_fallbacks":"yes""#), "/disable_fallbacks", "true or false");
    refused(&with(r#""metadata":{"tags":["a",1]}"#), "/metadata/tags/1", "must be a string");
}

#[test]
fn other_gateways_words_are_understood_and_taken_out() {
    let body = r#"{"models":["a/x","b"],"messages":[{"role":"user","content":"hi"}],
        "provider":{"order":["P"],"only":["p","q"],"ignore":["r"],"allow_fallbacks":false,"require_parameters":true,
            "sort":{"by":"price"},"max_price":{"prompt":1,"completion":"2.5","request":0.01},"data_collection":"deny"},
        "fallbacks":["c",{"model":"d"}],"metadata":{"tags":["t","u"],"other":{}},"num_retries":2,"disable_fallbacks":true,
        "prompt_cache_key":"k","temperature":1}"#;
    let envelope = scanned(body).unwrap();
    let habits = &envelope.habits;
    assert_eq!((&*envelope.model, envelope.model_span.is_empty()), ("a/x", true));
    assert_eq!((&*habits.models, habits.first_is_model), (&["b".to_owned()][..], true));
    assert_eq!(
        (&*habits.fallbacks, &*habits.tags),
        (&["c".to_owned(), "d".into()][..], &["t".to_owned(), "u".into()][..])
    );
    assert_eq!((habits.num_retries, habits.disable_fallbacks), (Some(2), true));
    assert_eq!(habits.cache_key.as_deref(), Some("k"));
    let provider = habits.provider.as_ref().unwrap();
    assert_eq!((&*provider.order, provider.first_choice_only()), (&["P".to_owned()][..], false));
    assert_eq!(provider.sort.map(|sort| sort.0), Some(router_core::chat::SortBy::Price));
    let price = provider.max_price.unwrap();
    assert_eq!((price.prompt.unwrap().micro(), price.completion.unwrap().micro()), (1_000_000, 2_500_000));
    assert_eq!(envelope.own_spans.len(), 6, "all but the cache key, which is the upstream's too");
    assert_eq!(envelope.unmapped, ["/prompt_cache_key"]);

    let absent = scanned(&with(
        r#""models":null,"provider":null,"fallbacks":null,"num_retries":null,"metadata":null"#,
    ))
    .unwrap();
    assert_eq!(absent.habits, Habits::default());
    assert_eq!((absent.own_spans.len(), absent.unmapped.len()), (4, 0));
    let theirs = scanned(&with(r#""metadata":{"tags":"a,b","team":"x"}"#)).unwrap();
    assert_eq!(
        (theirs.own_spans.len(), &*theirs.unmapped),
        (0, &["/metadata".to_owned()][..]),
        "OpenAI's own"
    );
}

#[track_caller]
fn needs(members: &str, names: &str) {
    let envelope = scanned(&with(members)).unwrap();
    assert_eq!(envelope.needs.names().collect::<Vec<_>>().join(" "), names, "{members}");
}

#[test]
fn needs_are_what_another_deployment_would_refuse() {
    needs(r#""seed":7"#, "");
    needs(r#""tools":[]"#, "");
    needs(r#""tools":[{"type":"function","function":{"name":"f"}}]"#, "tools");
    needs(r#""parallel_tool_calls":true"#, "");
    needs(
        r#""parallel_tool_calls":true,"tools":[{"type":"function","function":{"name":"f"}}]"#,
        "tools parallel_tools",
    );
    needs(r#""parallel_tool_calls":false,"tools":[{"type":"function","function":{"name":"f"}}]"#, "tools");
    needs(r#""response_format":{"type":"text"}"#, "");
    needs(r#""response_format":{"type":"json_object"}"#, "json_object");
    needs(
        r#""response_format":{"json_schema":{"name":"s","schema":{}},"type":"json_schema"}"#,
        "json_schema",
    );
    needs(r#""logprobs":true,"top_logprobs":2"#, "logprobs");
    needs(r#""logprobs":false"#, "");
    needs(r#""reasoning_effort":"high""#, "reasoning");
    needs(r#""reasoning_effort":"none""#, "");
    needs(r#""modalities":["text","audio"],"audio":{"voice":"v"}"#, "audio_out");
}

#[test]
fn parts_are_found_whatever_their_order() {
    let body = r#"{ "messages" : [
        {"content":"be \"brief\"","role":"developer"},
        {"role":"user","content":[{"text":"what is this?","type":"text"},{"type":"image_url","image_url":{"url":"data:x"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
        {"tool_call_id":"c","content":"done","role":"tool"}
    ], "model" : "provider/é", "stream":true, "stream_options":{"include_usage":true},
    "temperature": 0.5, "user": "u\n1", "n": 2, "service_tier":"flex", "max_tokens": 50, "max_completion_tokens": 40,
    "router": {"tier":"economy","tags":["a"],"max_cost_usd":"0.01"}, "future": {"x":[1]} }"#;
    let envelope = scanned(body).unwrap();
    let at = |span: &Span| &body[span.clone()];
    let texts: Vec<_> = envelope.texts.iter().map(|t| (t.message, t.kind, at(&t.span), t.escaped)).collect();
    assert_eq!(
        texts,
        [
            (0, TextKind::System, r#"be \"brief\""#, true),
            (1, TextKind::User, "what is this?", false),
            (2, TextKind::ToolArguments, r#"{\"a\":1}"#, true),
            (3, TextKind::ToolResult, "done", false),
        ]
    );
    assert_eq!((&*envelope.model, at(&envelope.model_span)), ("provider/é", r#""provider/é""#));
    assert_eq!((envelope.turns, envelope.images, envelope.n, envelope.after_tool_result), (4, 1, 2, true));
    assert_eq!(envelope.temperature, Some(0.5));
    assert!(envelope.stream && envelope.include_usage);
    assert_eq!(envelope.user.as_deref(), Some("u\n1"));
    assert_eq!(envelope.service_tier.as_deref(), Some("flex"));
    assert_eq!(envelope.needs, Capabilities::VISION);
    let limit = envelope.max_tokens.unwrap();
    assert_eq!(limit.value, 40);
    let members: Vec<_> = limit.members.iter().map(|(m, v)| (at(m), at(v))).collect();
    assert_eq!(members, [(r#""max_tokens": 50"#, "50"), (r#""max_completion_tokens": 40"#, "40")]);
    assert_eq!(envelope.options.tier.as_deref(), Some("economy"));
    let own: Vec<_> = envelope.own_spans.iter().map(at).collect();
    assert_eq!(own, [r#""router": {"tier":"economy","tags":["a"],"max_cost_usd":"0.01"}"#]);
    assert_eq!(envelope.unmapped, ["/messages/1/content/1", "/service_tier", "/future"]);
    assert_eq!(envelope.insert_at, 1);
    assert!(envelope.stats.bytes >= 30, "{:?}", envelope.stats);
}

#[test]
fn what_says_nothing_bars_no_dialect() {
    let body = with(
        r#""store":false,"metadata":{},"logit_bias":null,"service_tier":"auto","tool_choice":null,"prompt_cache_key":"""#,
    );
    assert_eq!(scanned(&body).unwrap().unmapped, Vec::<String>::new());
    let body = with(r#""store":true,"tool_choice":{"type":"allowed_tools"},"tools":[{"type":"web_search"}]"#);
    assert_eq!(scanned(&body).unwrap().unmapped, ["/store", "/tool_choice", "/tools/0"]);
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = scan(&Bytes::from(bytes), LIMITS);
    }

    #[test]
    fn no_mutation_breaks_it_and_spans_stay_inside(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut body = with(r#""tools":[{"type":"function","function":{"name":"f"}}],"max_tokens":5,"router":{"tier":"a"},"stream_options":{"include_usage":false}"#).into_bytes();
        let index = at.index(body.len());
        body[index] = byte;
        body.truncate(cut.index(body.len() * 4).max(1));
        if let Ok(envelope) = scan(&Bytes::from(body.clone()), LIMITS) {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok(), "only JSON is accepted");
            for text in &envelope.texts {
                prop_assert!(body.get(text.span.clone()).is_some());
            }
        }
    }
}
