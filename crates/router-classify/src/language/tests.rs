//! Languages: a table of sentences with at least 40 letters, and short or mixed texts that must not be guessed at.

use proptest::prelude::*;

use super::*;

#[test]
fn long_enough_sentences_show_their_language() {
    let detector = LanguageDetector::new();
    let table = include_str!("../../testdata/languages.tsv");
    let rows: Vec<(&str, &str)> = table.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut languages: Vec<&str> = rows.iter().map(|(code, _)| *code).collect();
    languages.dedup();
    assert!(rows.len() >= 100 && languages.len() >= 12);
    let misses: Vec<_> = rows
        .iter()
        .map(|(code, text)| (*code, detector.detect(text), text))
        .filter(|(code, found, _)| *found != Some(*code))
        .collect();
    for (code, found, text) in &misses {
        println!("{code} found {found:?}: {text}");
    }
    let share = 1.0 - misses.len() as f64 / rows.len() as f64;
    println!("{share:.3} of {}", rows.len());
    assert!(share >= 0.97, "{share}");
}

#[test]
fn short_texts_only_when_sure() {
    let detector = LanguageDetector::new();
    let check = |text: &str, expected: Option<&str>| assert_eq!(detector.detect(text), expected, "{text}");
    check("What is the capital of France?", Some("en"));
    check("Was ist das?", Some("de"));
    check("Qu'est-ce que c'est ?", Some("fr"));
    check("¿Qué es esto?", Some("es"));
    check("こんにちは", Some("ja"));
    check("東京の人口は?", Some("ja"));
    check("안녕", Some("ko"));
    check("สวัสดี", Some("th"));
    check("γεια", Some("el"));
    check("你好吗", Some("zh"));
    check("", None);
    check("OK", None);
    check("Madrid", None);
    check("12345 + 67890", None);
    check("😀😀😀", None);
    check("top, dice, vault, jacket, stone", None);
    check("Toyota Corolla", None);
}

#[test]
fn code_and_addresses_have_no_language() {
    let detector = LanguageDetector::new();
    let check = |text: &str, expected: Option<&str>| assert_eq!(detector.detect(text), expected, "{text}");
    check("https://example.org/the/and/of/is/what/that.html", None);
    check("`if the_value is not None and the_other in this`", None);
    check("user_id = the_table::of_values() && is_not/what", None);
    check("Was macht `the function that is used with all of this` hier und warum?", Some("de"));
}

proptest! {
    #[test]
    fn any_text_is_answered_alike_twice(text: String) {
        let detector = LanguageDetector::new();
        let found = detector.detect(&text);
        prop_assert_eq!(found, LanguageDetector::new().detect(&text));
        prop_assert!(found.is_none_or(|code| code.len() == 2));
    }
}
