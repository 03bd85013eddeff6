//! Pass-through: the client's bytes with nothing changed but what must be.

use proptest::prelude::*;
use router_core::chat::{FinishReason, Usage};

use super::super::passthrough::{Changes, Tail, body};
use super::super::response::{read_whole, with_cost};
use super::*;
use crate::provider::{MaxTokensName, Quirks};

const MISTRAL_LIKE: Quirks =
    Quirks { max_tokens: MaxTokensName::MaxTokens, stream_options: false, prefill: None };
const OPENAI_LIKE: Quirks =
    Quirks { max_tokens: MaxTokensName::MaxCompletionTokens, stream_options: true, prefill: None };

fn passed(request: &str, cap: Option<u64>, quirks: Quirks) -> String {
    let pieces = body(&scanned(request), &Changes { model: "up", cap, quirks, tail: None });
    String::from_utf8(pieces.concat()).unwrap()
}

const MESSAGES: &str = r#""messages":[{"role":"user","content":"h,i"}]"#;

/// Members before and after; `M` stands for the messages.
#[track_caller]
fn check(before: &str, (cap, quirks): (Option<u64>, Quirks), after: &str) {
    let fill = |text: &str| format!("{{{}}}", text.replace('M', MESSAGES));
    let seen = passed(&fill(before), cap, quirks);
    assert_eq!(seen, fill(after));
    serde_json::from_str::<serde_json::Value>(&seen).expect("still JSON");
}

#[test]
fn edits() {
    let plain = (None, Quirks::COMPATIBLE);
    check(r#""model":"m",M,"x":1e2"#, plain, r#""model":"up",M,"x":1e2"#);
    check(r#"M , "model" : "m" "#, plain, r#"M , "model" : "up" "#);
    // The output limit.
    check(r#""model":"up",M,"max_tokens":9"#, plain, r#""model":"up",M,"max_tokens":9"#);
    check(
        r#""model":"up",M,"max_tokens":9"#,
        (Some(5), Quirks::COMPATIBLE),
        r#""model":"up",M,"max_tokens":5"#,
    );
    check(
        r#""model":"up",M,"max_tokens":9"#,
        (Some(50), Quirks::COMPATIBLE),
        r#""model":"up",M,"max_tokens":9"#,
    );
    check(r#""model":"up",M"#, (Some(5), Quirks::COMPATIBLE), r#""max_tokens":5,"model":"up",M"#);
    check(
        r#""model":"up",M,"max_tokens": 9 "#,
        (None, OPENAI_LIKE),
        r#""model":"up",M,"max_completion_tokens":9 "#,
    );
    check(
        r#""model":"up",M,"max_completion_tokens":9"#,
        (None, MISTRAL_LIKE),
        r#""model":"up",M,"max_tokens":9"#,
    );
    check(
        r#""max_tokens":9,"model":"up",M,"max_completion_tokens":7"#,
        (None, OPENAI_LIKE),
        r#""max_completion_tokens":7,"model":"up",M"#,
    );
    check(
        r#""model":"up","max_tokens":null,M"#,
        (Some(5), OPENAI_LIKE),
        r#""max_completion_tokens":5,"model":"up",M"#,
    );
    // The router object, wherever it stands.
    check(r#""model":"up",M,"router":{"tier":"a"}"#, plain, r#""model":"up",M"#);
    check(r#""router":{} , "model":"up",M"#, plain, r#" "model":"up",M"#);
    check(r#""model":"up" , "router":{},M"#, plain, r#""model":"up" , M"#);
    check(
        r#""router":{},"max_completion_tokens":7,"model":"up",M,"max_tokens":9"#,
        (None, MISTRAL_LIKE),
        r#""max_tokens":7,"model":"up",M"#,
    );
    check(
        r#""model":"up",M,"max_tokens":9,"router":{},"max_completion_tokens":7"#,
        (None, OPENAI_LIKE),
        r#""model":"up",M,"max_completion_tokens":7"#,
    );
    check(
        r#""model":"up",M,"max_tokens":null,"router":{}"#,
        (Some(5), OPENAI_LIKE),
        r#""max_completion_tokens":5,"model":"up",M"#,
    );
    // What speaks to a gateway, and a model that is named elsewhere.
    check(
        r#""models":["a","b"],M,"provider":{"only":["x"]},"fallbacks":[],"num_retries":1"#,
        plain,
        r#""model":"up",M"#,
    );
    check(
        r#""metadata":{"tags":["t"]} ,"model":"m",M,"disable_fallbacks":true , "prompt_cache_key":"k""#,
        plain,
        r#""model":"up",M, "prompt_cache_key":"k""#,
    );
    check(r#""model":"up","metadata":{"team":"a"},M"#, plain, r#""model":"up","metadata":{"team":"a"},M"#);
    // Usage of streams.
    check(
        r#""model":"up",M,"stream":true"#,
        plain,
        r#""stream_options":{"include_usage":true},"model":"up",M,"stream":true"#,
    );
    check(
        r#""model":"up",M,"stream":true,"stream_options":{"include_usage":true}"#,
        plain,
        r#""model":"up",M,"stream":true,"stream_options":{"include_usage":true}"#,
    );
    check(
        r#""model":"up",M,"stream":true,"stream_options":null"#,
        plain,
        r#""model":"up",M,"stream":true,"stream_options":{"include_usage":true}"#,
    );
    check(
        r#""model":"up",M,"stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false}"#,
        plain,
        r#""model":"up",M,"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}"#,
    );
    check(
        r#""model":"up",M,"stream":true,"stream_options":{"include_usage":true}"#,
        (None, MISTRAL_LIKE),
        r#""model":"up",M,"stream":true"#,
    );
    check(
        r#""model":"up","stream_options":{},M,"stream":true"#,
        (None, MISTRAL_LIKE),
        r#""model":"up",M,"stream":true"#,
    );
}

#[test]
fn the_body_is_sliced_not_copied() {
    let envelope = scanned(&format!(r#"{{"model":"m",{MESSAGES},"router":{{}}}}"#));
    let pieces = body(&envelope, &Changes { model: "up", cap: None, quirks: Quirks::COMPATIBLE, tail: None });
    assert_eq!(pieces[0].as_ptr(), envelope.body.as_ptr());
    assert_eq!(pieces[2].as_ptr(), envelope.body[envelope.model_span.end..].as_ptr());
}

proptest! {
    #[test]
    fn without_a_change_the_bytes_are_the_clients(text in "\\PC{0,40}", number in any::<f64>(), spaces in "[ \n\t]{0,3}") {
        let text = serde_json::to_string(&text).unwrap();
        let request = format!(
            r#"{{{spaces}"model":{spaces}"up","messages":[{{"role":"user","content":{text}}}]{spaces},"x":[{number:e},{text}]}}{spaces}"#
        );
        prop_assert_eq!(passed(&request, None, Quirks::COMPATIBLE), request);
    }

    #[test]
    fn whatever_is_cut_it_stays_json(
        order in Just(vec!["router", "models", "provider", "num_retries", "max_tokens", "max_completion_tokens", "stream_options", "response_format", "model", "messages", "stream"]).prop_shuffle(),
        present in any::<u16>(), named: bool, going_on: bool, cap in prop::option::of(1_u64..20), space in "[ \n]?", quirk in any::<(bool, bool)>(),
    ) {
        let quirks = Quirks {
            max_tokens: if quirk.0 { MaxTokensName::MaxTokens } else { MaxTokensName::MaxCompletionTokens },
            stream_options: quirk.1,
            prefill: None,
        };
        let members: Vec<String> = order.iter().enumerate().filter_map(|(at, name)| {
            let value = match *name {
                "router" => r#"{"tags":["a,b"]}"#,
                "models" => r#"["a","b,c"]"#,
                "provider" => r#"{ "only" : ["a"] }"#,
                "num_retries" => "2",
                "max_tokens" => "10",
                "max_completion_tokens" => "null",
                "stream_options" => r#"{"include_usage":false}"#,
                "model" => "\"m\"",
                "messages" => r#"[{"role":"user","content":"h,i"} ]"#,
                "response_format" => r#"{"type":"json_object"}"#,
                _ => "true",
            };
            let must = *name == "messages" || *name == if named { "model" } else { "models" };
            if *name == "model" && !named {
                return None;
            }
            (must || present & (1 << at) != 0).then(|| format!("\"{name}\"{space}:{value}{space}"))
        }).collect();
        let request = format!("{{{space}{}}}", members.join(&format!(",{space}")));
        let tail = Tail {
            messages: r#"{"role":"assistant","content":"]}"}"#.to_owned(),
            members: &[("add_generation_prompt", false)],
            without_format: true,
        };
        let tail = going_on.then_some(&tail);
        let pieces = body(&scanned(&request), &Changes { model: "up", cap, quirks, tail });
        let seen = String::from_utf8(pieces.concat()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&seen).map_err(|e| TestCaseError::fail(format!("{e}: {seen}")))?;
        prop_assert_eq!(&value["model"], "up");
        for own in ["router", "models", "provider", "num_retries"] {
            prop_assert!(value.get(own).is_none(), "{}", seen);
        }
        let messages = value["messages"].as_array().unwrap();
        prop_assert_eq!(messages.len(), 1 + usize::from(going_on));
        prop_assert!(!going_on || messages[1]["content"] == "]}", "{}", seen);
        prop_assert_eq!(value.get("add_generation_prompt").is_some(), going_on);
        prop_assert!(!going_on || value.get("response_format").is_none());
        prop_assert!(value.get("router").is_none());
        if let Some(cap) = cap {
            let name = if quirk.0 { "max_tokens" } else { "max_completion_tokens" };
            prop_assert!(value[name].as_u64().is_some_and(|limit| limit <= cap), "{}", seen);
        }
        for name in ["max_tokens", "max_completion_tokens", "stream_options"] {
            prop_assert!(seen.matches(&format!("\"{name}\"")).count() <= 1, "{}", seen);
        }
    }
}

#[track_caller]
fn usage(object: &str, expected: Usage) {
    let body = format!(r#"{{"choices":[{{"message":{{"content":"x"}}}}],"usage":{object}}}"#);
    assert_eq!(read_whole(body.as_bytes()).unwrap().usage, Some(expected), "{object}");
}

#[test]
fn usage_of_each_provider_in_one_convention() {
    usage(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":1}}"#,
        Usage {
            input_tokens: 10,
            cached_input_tokens: 4,
            audio_input_tokens: 1,
            output_tokens: 5,
            reasoning_tokens: 2,
            audio_output_tokens: 1,
            ..Usage::default()
        },
    );
    // DeepSeek
    usage(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}"#,
        Usage { input_tokens: 10, cached_input_tokens: 8, output_tokens: 5, ..Usage::default() },
    );
    // xAI: reasoning beside the completion.
    usage(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":35,"completion_tokens_details":{"reasoning_tokens":20}}"#,
        Usage { input_tokens: 10, output_tokens: 25, reasoning_tokens: 20, ..Usage::default() },
    );
    // OpenRouter
    usage(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cost":0.5,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":7},"completion_tokens_details":null}"#,
        Usage { input_tokens: 10, cache_write_tokens: 7, output_tokens: 5, ..Usage::default() },
    );
    usage(r#"{"prompt_tokens":3.0,"completion_tokens":null}"#, Usage { input_tokens: 3, ..Usage::default() });
}

#[test]
fn the_cost_stands_in_usage_once() {
    let body = Bytes::from_static(
        br#"{"choices":[{"message":{"content":"x"},"finish_reason":"length"}],"usage":{"prompt_tokens":1, "cost":0.5,"cost_details":{"a":1},"x":"y"},"z":1}"#,
    );
    let whole = read_whole(&body).unwrap();
    assert_eq!(
        (whole.finish, whole.provider_cost.unwrap().to_string()),
        (Some(FinishReason::Length), "0.5".to_owned())
    );
    let cost = Some("0.000012345".parse().unwrap());
    let text = String::from_utf8(with_cost(&body, whole.usage_span.as_ref(), cost).concat()).unwrap();
    assert_eq!(
        text,
        r#"{"choices":[{"message":{"content":"x"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"x":"y","cost":0.000012345,"cost_details":{"upstream_inference_cost":0.000012345}},"z":1}"#
    );
    assert_eq!(with_cost(&body, whole.usage_span.as_ref(), None).concat(), body);
    assert_eq!(with_cost(&body, None, cost).concat(), body);
}
