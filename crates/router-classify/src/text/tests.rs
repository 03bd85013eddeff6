//! Finding the question: each case is a request and the question in it.

use proptest::prelude::*;
use router_core::chat::{TextKind, TextSpan};

use super::*;
use crate::testing::Request;

fn check(request: &Request, expected: &str) {
    let read = RequestText::read(&request.build());
    assert_eq!(read.question(), expected, "{read:?}");
}

fn user(text: &str) -> Request {
    Request::new().user(text)
}

#[test]
fn the_last_user_message_asks() {
    check(&user("Hello?"), "Hello?");
    check(&user("one?").assistant("1").user("two?"), "two?");
    check(&user("Do it.").assistant("calling").tool_result("Traceback ... why?"), "Do it.");
    check(
        &user("Fix the bug.").assistant("ok").user("<system-reminder>be brief</system-reminder>"),
        "Fix the bug.",
    );
    check(&Request::new().system("Be nice."), "");
    check(&Request::new(), "");
}

#[test]
fn parts_of_one_message_are_read_together() {
    let parts = ["<document>\nlong text\n</document>", "Who wrote it?"];
    check(&Request::new().user_parts(&parts), "Who wrote it?");
    let many: Vec<String> = (0..40).map(|i| format!("<file>\ncontent {i}\n</file>")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.push("What do the files say?");
    check(&Request::new().user_parts(&many), "What do the files say?");
}

#[test]
fn an_instruction_stands_before_or_after_what_was_pasted() {
    let filler = "The committee met on Tuesday and talked about the budget for a long while.\n\n".repeat(200);
    check(&user(&format!("Summarise the minutes.\n\n{filler}")), "Summarise the minutes.");
    check(&user(&format!("{filler}Who was there?")), "Who was there?");
    let code = "let x = f(1);\n".repeat(2000);
    check(
        &user(&format!("Why is this slow?\n```rust\n{code}```\nAnswer briefly.")),
        "Why is this slow?\nAnswer briefly.",
    );
    check(
        &user("Translate the following text to German:\n\nThe weather is nice.\n\nThe end."),
        "Translate the following text to German:",
    );
    check(
        &user("Write a parser with these properties:\n\n- fast\n- small"),
        "Write a parser with these properties:\n- fast\n- small",
    );
}

#[test]
fn one_endless_paragraph_gives_its_ends() {
    let long = format!(
        "Summarise this story: {} Who is the hero of it?",
        "And so it went on and on. ".repeat(12_000)
    );
    let read = RequestText::read(&user(&long).build());
    assert!(read.question().starts_with("Summarise this story:"), "{}", read.question());
    assert!(read.question().ends_with("Who is the hero of it?"), "{}", read.question());
    assert!(read.question().len() <= QUESTION_BYTES);
    assert!(read.material_bytes() > 250_000);
}

#[test]
fn a_follow_up_keeps_the_question_before_it() {
    let read = RequestText::read(&user("What is 15 % of 80?").assistant("12").user("and of 200?").build());
    assert_eq!((read.question(), read.context()), ("and of 200?", Some("What is 15 % of 80?")));
    assert!(read.is_follow_up());
    let read = RequestText::read(&user("Hi").assistant("Hello").user("What is the capital of Peru?").build());
    assert!(!read.is_follow_up());
}

#[test]
fn spans_outside_the_body_are_no_text() {
    let mut envelope = user("hello").build();
    let span =
        |span: std::ops::Range<usize>| TextSpan { message: 9, kind: TextKind::User, span, escaped: true };
    envelope.texts.push(span(5..100_000));
    envelope.texts.push(TextSpan { message: 10, ..span(0..0) });
    let read = RequestText::read(&envelope);
    assert_eq!(read.question(), "hello");
}

proptest! {
    #[test]
    fn any_bytes_in_any_span_are_read(body: Vec<u8>, from in 0usize..40, len in 0usize..80, escaped: bool) {
        let mut envelope = user("x").build();
        envelope.body = body.into();
        envelope.texts = (0..4)
            .map(|i| TextSpan { message: i / 2, kind: TextKind::User, span: from..from + len, escaped })
            .collect();
        let read = RequestText::read(&envelope);
        prop_assert!(read.question().len() <= QUESTION_BYTES);
        prop_assert_eq!(&read, &RequestText::read(&envelope));
    }

    #[test]
    fn any_marked_up_text_is_read(parts in prop::collection::vec("(```|<[a-z_]{1,6}>|</[a-z]>|\n|[a-zé日?:;{}(=> ]){1,9}", 0..400)) {
        let text = parts.concat();
        let read = RequestText::read(&user(&text).build());
        prop_assert!(read.question().len() <= QUESTION_BYTES && read.material().len() <= AROUND_BYTES);
    }
}
