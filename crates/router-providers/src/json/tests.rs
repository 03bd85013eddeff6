//! The cursor accepts what serde_json accepts, and nothing else.

use proptest::prelude::*;

use super::*;

fn whole(text: &str, max_depth: usize) -> Result<(), Fault> {
    let mut cursor = Cursor::new(text.as_bytes(), max_depth);
    cursor.skip()?;
    cursor.end()
}

fn check(text: &str, what: &str) {
    let seen = whole(text, 100).map_or_else(|fault| fault.what, |()| "good");
    assert_eq!(seen, what, "{text}");
}

#[test]
fn grammar() {
    check(r#"{"a":[1,-2.5e3,true,false,null,"x\u00e9\ud83d\ude00\n"],"b":{}}"#, "good");
    check(" [ ] ", "good");
    check("", "the text ends too early");
    check("[1,]", "a comma without a successor");
    check("{\"a\":1,}", "a comma without a successor");
    check("{\"a\"}", "expected a colon");
    check("{a:1}", "expected a key");
    check("[1 2]", "expected a comma or the end");
    check("01", "a number with a leading zero");
    check("1.", "expected a digit");
    check("-", "expected a digit");
    check("1e400", "a number out of range");
    check("1e-400", "good");
    check("nul", "expected a value");
    check("truex", "something follows the value");
    check("\"\u{1}\"", "a control character in a string");
    check(r#""\x""#, "an unknown escape");
    check(r#""\ud800x""#, "an incomplete \\u escape");
    check(r#""\udc00""#, "half of a surrogate pair");
    check("\"abc", "a string without an end");
    check("[[1]", "expected a comma or the end");
    check("{}]", "something follows the value");
}

#[test]
fn depth_is_bounded_without_recursion() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert_eq!(whole(&deep(64), 64), Ok(()));
    assert_eq!(whole(&deep(65), 64).unwrap_err().what, "nested too deeply");
    assert_eq!(whole(&"[".repeat(100_000), 64).unwrap_err().what, "nested too deeply");
    assert_eq!(whole(&deep(100_000), 1_000_000), Ok(()));
}

proptest! {
    #[test]
    fn agrees_with_serde_json(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\n\"", "1", "-0.5", "1e3", "true", "null", " ", "\"\\ud83d\\ude00\"", "e", "\\",
    ]), 0..14)) {
        let text = pieces.concat();
        let serde = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        prop_assert_eq!(whole(&text, 100).is_ok(), serde, "{}", text);
    }

    #[test]
    fn a_string_ends_where_it_should(text in prop::collection::vec(prop::sample::select(vec!["a", "\u{20}", "!", "#", "[", "]", "é", "\\n", "\\\"", "\u{7f}", "\u{2028}"]), 0..150), bad in prop::option::of(0_u8..0x20)) {
        let inner = text.concat();
        let mut body = format!("\"{inner}\",");
        prop_assert_eq!(Cursor::new(body.as_bytes(), 1).skip().unwrap(), 0..inner.len() + 2);
        if let Some(bad) = bad {
            body.insert(1 + inner.len(), char::from(bad));
            prop_assert!(Cursor::new(body.as_bytes(), 1).skip().is_err());
        }
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut cursor = Cursor::new(&bytes, 10);
        let _ = cursor.skip();
    }
}
