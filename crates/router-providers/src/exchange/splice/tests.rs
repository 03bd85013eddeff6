//! Continuations of every kind, in pieces of every size.

use proptest::prelude::*;

use super::*;

const ECHOES: Join = Join::Prefill { echoes: true };
const PREFILL: Join = Join::Prefill { echoes: false };

/// What is shown of a continuation that comes in these pieces.
fn join(shown: &str, join: Join, json: bool, pieces: &[&str]) -> Result<String, Unjoined> {
    let mut splice = Splice::new(shown, join, json).unwrap();
    let mut out = String::new();
    for piece in pieces {
        out += &splice.push(piece)?;
    }
    Ok(out + &splice.flush()?)
}

/// Whole, and one character at a time.
#[track_caller]
fn check_with(how: (Join, bool), shown: &str, more: &str, expected: Result<&str, Unjoined>) {
    let expected = expected.map(str::to_owned);
    assert_eq!(join(shown, how.0, how.1, &[more]), expected, "{shown:?} + {more:?}");
    let pieces: Vec<String> = more.chars().map(String::from).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    assert_eq!(join(shown, how.0, how.1, &pieces), expected, "{shown:?} + {more:?}, by character");
}

#[track_caller]
fn check(shown: &str, more: &str, expected: &str) {
    check_with((Join::Instruct, false), shown, more, Ok(expected));
}

const LONG: &str = "The quick brown fox jumps over the lazy dog, and";

#[test]
fn a_rest_is_shown_as_it_is() {
    check("The quick", " brown fox", " brown fox");
    check("hel", "lo", "lo");
    check("She can", "'t", "'t");
    check("a, b, ", "b, c", "b, c");
    check("1, 2, 1", "1, 3", "1, 3");
    check("x", "", "");
    check("Grüß", "e aus Köln", "e aus Köln");
    check("naï", "ïve", "ïve");
    check(LONG, "\n\n1. runs", "\n\n1. runs");
    check("if x:\n    ", "    return", "    return");
    check(LONG, "The quiet one", "The quiet one");
}

#[test]
fn what_was_shown_is_not_shown_again() {
    // The last words.
    check("The quick brown", "brown fox", " fox");
    check("The quick brown", " brown fox", " fox");
    check("The quick brown", "quick brown fox", " fox");
    check(LONG, "over the lazy dog, and runs", " runs");
    check(LONG, "\n\nover the lazy dog, and runs", " runs");
    check("das schöne Köln", "schöne Köln am Rhein", " am Rhein");
    check("雨が降っています。明日は", "います。明日は晴れるでしょう", "晴れるでしょう");
    // The whole answer.
    check("Hel", "Hello world", "lo world");
    check(LONG, &format!("{LONG} runs"), " runs");
    check(LONG, &format!(" \n{LONG} runs"), " runs");
    check("\n\nHi there", "Hi there, you", ", you");
    check(LONG, LONG, "");
    // The white space at the end.
    check("The quick ", " brown", "brown");
    check("The quick brown ", "brown fox jumps", "fox jumps");
    check("w5 word6 word7 ", "word6 word7 word8", "word8");
    check("w5 word6 word7 ", " word6 word7 word8", "word8");
    check("one two three. ", "two three. Four", "Four");
    check(
        "the family \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} is",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} is here",
        " here",
    );
    check("The very quick brown ", "very quick brown fox", "fox");
    check("A line of text.\n", "A line of text.\n\nNext", "\nNext");
}

#[test]
fn what_repeats_itself_may_go_on_to() {
    check("He laughed: ha ha", " ha ha, and left", " ha ha, and left");
    check("It is very very ", "very good", "very good");
    check("It is very ", "very good", "good");
    let row = "| alpha | beta |\n";
    check(&format!("Rows:\n{row}{row}"), row, row);
    check(&format!("Rows:\n{row}{row}"), &format!("{row}{row}| end"), &format!("{row}{row}| end"));
    let lines = "first_step();\nsecond_step();\n";
    check(&format!("{{\n{lines}{lines}"), &format!("{lines}}}"), &format!("{lines}}}"));
    check("| a | b |\n|--------------", "--------------|---|", "--------------|---|");
    check("0x0000000000000000", "0000000000000001", "0000000000000001");
    check("if a\n  if b\n    c()\n  end", "\nend\n", "\nend\n");
    check("if a\n  if b\n    c()\n    end\n", "  end\nend\n", "  end\nend\n");
    // Once is no repetition.
    check(&format!("Rows:\n{row}"), &format!("{row}| end"), "| end");
    // A word does not go on behind the space that ended it.
    check("Look at the cat ", "catalog", "catalog");
    check("Look at all the information ", "all the informational", "all the informational");
    check("Look at the cat", "catalog", "alog");
}

#[test]
fn a_restart_that_says_something_else_cannot_be_joined() {
    let differs = |more: &str| check_with((Join::Instruct, false), LONG, more, Err(Unjoined::Differs));
    differs("The quick brown fox jumps over a wall and runs");
    differs("The quick brown fox jumps");
    let android = format!("{LONG}roid");
    check_with((Join::Instruct, false), &format!("{LONG} "), &android, Err(Unjoined::Differs));
    // Lines that look alike are no restart.
    check(
        "2026-11-22T10:00:00Z INFO a\n2026-11-22T10:00:00Z INFO b\n",
        "2026-11-22T10:00:00Z WARN",
        "2026-11-22T10:00:00Z WARN",
    );
    let wall = "The quick brown fox jumps over a wall";
    check_with((PREFILL, false), LONG, wall, Ok(wall));
}

#[test]
fn a_prefilled_model_repeats_only_by_mistake() {
    let check = |how: Join, shown: &str, more: &str, expected: &str| {
        check_with((how, false), shown, more, Ok(expected));
    };
    check(PREFILL, "- item one\n- item one\n", "- item one\n- item two", "- item one\n- item two");
    check(PREFILL, "The quick brown", "brown fox", "brown fox");
    check(PREFILL, LONG, &format!("{LONG} runs"), " runs");
    check(PREFILL, "ha", "ha", "ha");
    check(ECHOES, "ha", "haha", "ha");
    check(ECHOES, "ha ", "ha he", "he");
    check(ECHOES, "The quick", " brown", " brown");
    check(PREFILL, "A line.\n", "\n\nNext", "\nNext");
    check(PREFILL, "A word ", "and", "and");
    check(PREFILL, "A word ", " and", "and");
}

#[test]
fn structured_output_stays_json() {
    let check = |shown: &str, more: &str, expected: Result<&str, Unjoined>| {
        check_with((Join::Instruct, true), shown, more, expected);
    };
    check(r#"{"a":"hel"#, r#"lo"}"#, Ok(r#"lo"}"#));
    check(r#"{"a":[1, "#, "1, 2]}", Ok("1, 2]}"));
    check(r#"{"a":{"x":0},"b":{"x":0},"#, r#""c":{"x":0}}"#, Ok(r#""c":{"x":0}}"#));
    check(r#"{"a":"hello wor"#, r#"{"a":"hello world"}"#, Ok(r#"ld"}"#));
    check(r#"{"a":"hello wor"#, "```json\n{\"a\":\"hello world\"}\n```", Err(Unjoined::NotJson));
    check(r#"{"a":1,"#, "```json\n\"b\":2}\n```", Ok("\"b\":2}"));
    check(r#"{"a":1,"#, "```json\n{\"a\":1,\"b\":2}\n```", Ok("\"b\":2}"));
    check(r#"{"a":1,"#, "\"b\":2} That is all.", Ok("\"b\":2}"));
    check("{", "{\"a\":1}", Ok("\"a\":1}"));
    check(r#"{"a":1}"#, r#"{"a":1}"#, Ok(""));
    check(r#"{"a":1,"#, "I am sorry", Err(Unjoined::NotJson));
    assert!(Splice::new("```json", Join::Instruct, true).is_err());
    let mut splice = Splice::new(r#"{"a":["#, PREFILL, true).unwrap();
    assert_eq!(splice.push("1]"), Ok("1]".to_owned()));
    assert!(!splice.is_whole() && splice.wrote());
    assert_eq!(splice.push("} x"), Ok("}".to_owned()));
    assert!(splice.is_whole());
}

proptest! {
    /// Text without repetitions, cut anywhere and gone on from in any of the ways models do it, in pieces of any size, is
    /// the text.
    #[test]
    fn what_is_shown_is_the_text(
        words in prop::collection::vec("[a-zäöüß]{5,9}[0-9]{2,3}[.,]?", 8..20),
        at in any::<prop::sample::Index>(), again in 0..5_usize,
        sizes in prop::collection::vec(1..9_usize, 1..40),
    ) {
        let text = words.join(" ");
        let mut cut = at.index(text.len());
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let (shown, rest) = text.split_at(cut);
        let own = shown.trim_end();
        let words_back = |words: usize| own.rmatch_indices(' ').nth(words).map_or(0, |(at, _)| at + 1);
        let (how, more) = match again {
            0 => (Join::Instruct, rest),
            1 => (Join::Instruct, &text[..]),
            2 => (Join::Instruct, &text[words_back(2)..]),
            3 => (PREFILL, &text[own.len()..]),
            _ => (ECHOES, &text[..]),
        };
        let (mut pieces, mut left, mut sizes) = (Vec::new(), more, sizes.into_iter().cycle());
        while !left.is_empty() {
            let mut size = sizes.next().unwrap().min(left.len());
            while !left.is_char_boundary(size) {
                size += 1;
            }
            let (piece, after) = left.split_at(size);
            pieces.push(piece);
            left = after;
        }
        prop_assert_eq!(join(shown, how, false, &pieces), Ok(rest.to_owned()));
    }
}
