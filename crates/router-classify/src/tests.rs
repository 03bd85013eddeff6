//! The crate as a whole: a table of requests walked through the standard chain, and the promises the documents make.

use std::sync::LazyLock;

use proptest::prelude::*;
use router_core::attributes::{AttributeSet, Attributes, Task, Topic};
use router_core::capability::Capabilities;
use router_core::chat::TextKind;
use serde_json::Value;

use crate::Chain;
use crate::testing::Request;
use crate::text::RequestText;

static CHAIN: LazyLock<Chain> = LazyLock::new(Chain::standard);

fn classified(request: &Request) -> Attributes {
    let mut found = Attributes::default();
    let computed = CHAIN.classify(&request.build(), AttributeSet::CLASSIFIED, &mut found);
    assert_eq!(computed, AttributeSet::CLASSIFIED);
    found
}

fn of_prompt(prompt: &str) -> Attributes {
    classified(&Request::new().user(prompt))
}

/// The request that a line of the table describes.
fn request_of(row: &Value) -> Request {
    let messages = row["messages"].as_array().unwrap();
    let mut request = messages.iter().fold(Request::new(), |request, message| {
        let kind = match message[0].as_str().unwrap() {
            "system" => TextKind::System,
            "user" => TextKind::User,
            "assistant" => TextKind::Assistant,
            "tool_result" => TextKind::ToolResult,
            other => panic!("{other}"),
        };
        let parts: Vec<&str> = match &message[1] {
            Value::Array(parts) => parts.iter().map(|part| part.as_str().unwrap()).collect(),
            text => vec![text.as_str().unwrap()],
        };
        request.message(kind, &parts)
    });
    request = request.tools(u32::try_from(row["tools"].as_u64().unwrap_or(0)).unwrap());
    request.needs(serde_json::from_value(row["needs"].clone()).unwrap_or(Capabilities::empty()))
}

/// Walks `testdata/requests.jsonl`: what share of the expected values is found. The shares are set just under what was
/// measured when the table was last extended; the misses are printed. The term tables were tuned on these rows: on rows
/// written later, before any tuning on them (30), task was right in 0.80, topic in 0.87, language in 0.97 (one absent).
#[test]
fn the_table_of_requests_keeps_its_shares() {
    let rows: Vec<Value> = include_str!("../testdata/requests.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.len() >= 150, "{}", rows.len());
    let mut hits = [("language", 0usize), ("task", 0), ("topic", 0), ("question", 0)];
    let mut asked = 0usize;
    for row in &rows {
        let request = request_of(row);
        let read = RequestText::read(&request.build());
        let found = serde_json::to_value(classified(&request)).unwrap();
        for (name, count) in &mut hits {
            let expected = &row[*name];
            if *name == "question" {
                asked += usize::from(expected.is_string());
                let same = expected.as_str().is_some_and(|question| question == read.question());
                *count += usize::from(same);
                if expected.is_string() && !same {
                    println!("question {:?} for {expected}", read.question());
                }
            } else if found[*name] == *expected {
                *count += 1;
            } else {
                println!("{name}: {} for {expected}: {}", found[*name], read.question());
            }
        }
    }
    for (name, count) in hits {
        let of = if name == "question" { asked } else { rows.len() };
        let share = count as f64 / of as f64;
        println!("{name} {share:.3} of {of}");
        let least = match name {
            "language" => 0.98,
            "task" => 0.96,
            "topic" => 0.96,
            _ => 1.0,
        };
        assert!(share >= least, "{name} {share}");
    }
}

#[test]
fn the_seed_cases_come_out_as_promised() {
    let paris = of_prompt("What is the capital of France?");
    assert_eq!((paris.task, paris.language.as_deref()), (Some(Task::Knowledge), Some("en")));
    assert!(paris.complexity_score.unwrap() <= 0.15, "{paris:?}");
    assert!(paris.expected_output_tokens.unwrap() <= 200, "{paris:?}");

    let clause = of_prompt(
        "Vérifiez ce contrat de bail commercial : la clause de résiliation anticipée est-elle conforme au droit français ?",
    );
    assert_eq!((clause.language.as_deref(), clause.topic), (Some("fr"), Some(Topic::Legal)));

    let requirement =
        "The service must validate every field, never lose an event, and keep latency under 5 ms. ";
    let code = format!(
        "Implement a Python library for event ingestion with these requirements. {}Reply strictly as JSON that conforms \
         to the schema.",
        requirement.repeat(90)
    );
    assert!(code.len() >= 7_500, "about 2,000 tokens");
    let code = classified(&Request::new().user(&code).needs(Capabilities::JSON_SCHEMA));
    assert_eq!(code.task, Some(Task::Code));
    assert!(code.complexity_score.unwrap() >= 0.7, "{code:?}");

    let proof = of_prompt("Prove that there are infinitely many primes, rigorously and step by step.");
    assert_eq!(proof.task, Some(Task::Math));
    assert!(proof.complexity_score.unwrap() >= 0.5, "{proof:?}");
}

#[test]
fn lengths_follow_the_question_and_the_limit() {
    let tokens = |request: Request| classified(&request).expected_output_tokens.unwrap();
    let user = |text: &str| Request::new().user(text);
    assert_eq!(tokens(user("Write an essay on bees in 500 words.")), 675);
    assert_eq!(tokens(user("Explain gravity in one sentence.")), 28);
    assert_eq!(tokens(user("Write an essay on bees in 500 words.").max_tokens(100)), 100);
    assert_eq!(tokens(user("Write a poem.").max_tokens(1)), 1);
    assert!(tokens(user("Explain gravity in detail.")) > tokens(user("Explain gravity briefly.")));
    let text = "Der Zug hatte gestern Verspätung. ".repeat(100);
    let long = tokens(user(&format!("Translate the following text:\n\n{text}")));
    assert!((500..1500).contains(&long), "{long}");
}

#[test]
fn only_what_is_wanted_is_computed_and_nothing_else_touched() {
    let envelope = Request::new().user("What is the capital of France?").build();
    for name in AttributeSet::CLASSIFIED.iter() {
        let mut found = Attributes { turns: Some(7), ..Attributes::default() };
        let computed = CHAIN.classify(&envelope, name | AttributeSet::MODEL, &mut found);
        assert_eq!(computed, name);
        let json = serde_json::to_value(&found).unwrap();
        let mut names: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
        names.retain(|key| key != "turns");
        assert_eq!(names, name.names().collect::<Vec<_>>());
    }
    assert_eq!(CHAIN.provides(), AttributeSet::CLASSIFIED);
}

#[test]
fn without_anything_to_read_every_attribute_is_absent() {
    assert_eq!(classified(&Request::new()), Attributes::default());
}

#[test]
fn a_prompt_alone_is_classified_like_a_chat_of_one_message() {
    for prompt in ["Write a \"poem\" about\nrain", "", "日本の首都はどこですか?"] {
        let mut found = Attributes::default();
        CHAIN.classify_prompt(prompt, AttributeSet::CLASSIFIED, &mut found);
        assert_eq!(found, of_prompt(prompt));
    }
}

#[test]
fn work_is_bounded_by_the_amount_read_not_by_the_request() {
    let filler = "A line of an old diary that says little about anything at all.\n\n".repeat(5_000);
    let request = Request::new().user(&format!("Summarise my diary in two sentences.\n\n{filler}"));
    let read = RequestText::read(&request.build());
    let kept = read.question().len() + read.material().len() + read.system().len();
    assert!(kept <= 4 * 1024, "{kept}");
    assert_eq!(classified(&request).task, Some(Task::Summarisation));
}

proptest! {
    #[test]
    fn any_text_is_classified_alike_twice(text: String, system: String, earlier: String) {
        let request = Request::new().system(&system).user(&earlier).assistant("ok").user(&text);
        let found = classified(&request);
        prop_assert_eq!(&found, &classified(&request));
        for value in [found.complexity_score, found.confidence].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&value));
        }
    }
}
