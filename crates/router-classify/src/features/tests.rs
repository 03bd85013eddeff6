//! Features as a whole: their names, their order, and that none can be anything but a plain number.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::testing::Request;

static READER: LazyLock<Reader> = LazyLock::new(Reader::new);

fn features(request: &Request) -> Features {
    let envelope = request.build();
    READER.features(&envelope, &RequestText::read(&envelope))
}

#[test]
fn names_are_unique_and_in_a_fixed_order() {
    let named = features(&Request::new().user("What is 2 + 2?")).named();
    let mut names: Vec<&String> = named.iter().map(|(name, _)| name).collect();
    assert_eq!(names.first().map(|name| name.as_str()), Some("input_bytes"));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    let other = features(&Request::new().system("x").user("Écris un poème")).named();
    assert!(named.iter().zip(&other).all(|(a, b)| a.0 == b.0));
}

#[test]
fn the_request_beside_its_text_is_read() {
    let request = Request::new()
        .system("You are terse.")
        .user("Reply with JSON.")
        .tools(3)
        .max_tokens(100)
        .needs(Capabilities::JSON_SCHEMA);
    let features = features(&request);
    assert_eq!((features.tools, features.max_tokens, features.turns), (3.0, 100.0, 2.0));
    assert_eq!((features.wants_json, features.wants_schema, features.system_bytes), (1.0, 1.0, 14.0));
}

#[test]
fn terms_around_the_question_count_less_than_in_it() {
    let asked = features(&Request::new().user("Is this contract valid?"));
    let pasted =
        features(&Request::new().user("Is this valid?\n\n<doc>\nThis contract is made today.\n</doc>"));
    let (asked, pasted) =
        (for_topic(&asked.evidence, Topic::Legal), for_topic(&pasted.evidence, Topic::Legal));
    assert!(asked > pasted && pasted > 0.0, "{asked} {pasted}");
}

proptest! {
    #[test]
    fn every_value_is_finite_and_not_negative(text: String, system: String) {
        for (name, value) in features(&Request::new().system(&system).user(&text)).named() {
            prop_assert!(value.is_finite() && value >= 0.0, "{name} {value}");
        }
    }
}
