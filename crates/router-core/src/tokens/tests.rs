//! Tests of the text statistics: what is counted, that pieces and escapes change nothing, how good the estimate is.

use proptest::prelude::*;

use super::count::Counter;
use super::*;

/// The counts that differ from zero, by name, without `bytes`.
fn counts(text: &str) -> String {
    let value = serde_json::to_value(TextStats::of(text)).unwrap();
    let named = value.as_object().unwrap().iter().filter(|(k, v)| *k != "bytes" && v.as_u64() != Some(0));
    let mut parts: Vec<_> = named.map(|(k, v)| format!("{k} {v}")).collect();
    parts.sort();
    parts.join(", ")
}

#[test]
fn each_count_counts_what_its_name_says() {
    for (text, expected) in [
        ("", ""),
        ("two words", "letters 8, words 2"),
        ("camelCase ABC", "capitals 4, humps 1, letters 12, words 2"),
        ("12 + 345 = 357", "digits 8, numbers 3, symbol_runs 2, symbols 2"),
        ("a\n\nb", "breaks 1, letters 2, words 2"),
        ("a\n    b", "breaks 2, letters 2, words 2"),
        ("a\r\n\tb c", "breaks 1, letters 3, words 3"),
        ("x->y::z", "letters 3, symbol_runs 2, symbols 4, words 3"),
        ("été çà", "accents 4, letters 1, two_byte 4, words 2"),
        ("naïve żółw", "accents 2, far_accents 2, letters 5, two_byte 4, words 2"),
        ("мир", "two_byte 3"),
        ("日本は。", "ideographs 2, kana 2, three_byte 4"),
        ("한국", "hangul 2, three_byte 2"),
        ("“no”—", "letters 2, marks 3, three_byte 3"),
        ("ไทย", "three_byte 3"),
        ("🎉", "four_byte 1"),
    ] {
        assert_eq!(counts(text), expected, "{text:?}");
    }
}

#[test]
fn every_byte_is_a_letter_a_digit_a_symbol_or_none_of_them_exactly_once() {
    for byte in 0..=0x7f_u8 {
        let text = char::from(byte).to_string();
        let s = TextStats::of(&text);
        let graphic = u64::from(byte.is_ascii_graphic());
        assert_eq!(s.letters + s.digits + s.symbols, graphic, "{byte:#x}");
        assert_eq!(s.letters, u64::from(byte.is_ascii_alphabetic()), "{byte:#x}");
        assert_eq!(s.symbols, u64::from(byte.is_ascii_punctuation()), "{byte:#x}");
    }
}

#[test]
fn the_estimate_is_near_the_exact_count() {
    // Exact o200k counts by `bpe-openai`; the texts are our own. One sentence errs more than a page does.
    let mut sums = (0, 0);
    for (text, exact) in EXACT {
        let estimate = TextStats::of(text).estimate();
        assert!(estimate.abs_diff(*exact) * 100 <= exact * 25, "{estimate} for {exact}: {text}");
        sums = (sums.0 + estimate, sums.1 + exact);
    }
    assert!(sums.0.abs_diff(sums.1) * 100 <= sums.1 * 8, "{sums:?}");
}

#[test]
fn an_empty_text_is_no_token_and_any_other_is_one_at_least() {
    assert_eq!(TextStats::of("").estimate(), 0);
    assert_eq!(TextStats::of(" ").estimate(), 1);
}

#[test]
fn escapes_that_are_none_are_counted_not_refused() {
    let of = |escaped: &str| {
        let mut stats = TextStats::default();
        stats.add_escaped(escaped.as_bytes());
        stats
    };
    assert_eq!(of(r"\ud83c\udf89"), TextStats::of("🎉"));
    assert_eq!(of(r"\ud83cx"), TextStats::of("\u{fffd}x"));
    assert_eq!(of(r"\udf89\ud83c"), TextStats::of("\u{fffd}\u{fffd}"));
    assert_eq!(of(r"\ud83cA"), TextStats::of("\u{fffd}A"));
    assert_eq!(of(r"\u12"), TextStats::of(r"\u12"));
    assert_eq!(of("\\"), TextStats::of("\\"));
}

proptest! {
    #[test]
    fn escaped_counts_as_what_it_means(text in "(\\PC|[\\x00-\\x20\"\\\\]|[a-z]{1,700}){0,40}") {
        let escaped = serde_json::to_string(&text).unwrap();
        let inside = &escaped[1..escaped.len() - 1];
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        for form in [inside, units.as_str()] {
            let mut stats = TextStats::default();
            stats.add_escaped(form.as_bytes());
            prop_assert_eq!(stats, TextStats::of(&text));
        }
    }

    #[test]
    fn it_does_not_matter_where_pieces_meet(bytes in prop::collection::vec(any::<u8>(), 0..900), cuts in prop::collection::vec(0_usize..900, 0..6)) {
        let mut whole = TextStats::default();
        whole.add_text(&bytes);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = TextStats::default();
        let mut counter = Counter::new(&mut pieces);
        let mut from = 0;
        for cut in cuts {
            counter.piece(&bytes[from..cut]);
            from = cut;
        }
        counter.piece(&bytes[from..]);
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn no_bytes_make_it_panic_and_the_bound_covers_them(bytes in prop::collection::vec(any::<u8>(), 0..600), messages: u64, tools: u64) {
        let mut stats = TextStats::default();
        stats.add_escaped(&bytes);
        stats.add_text(&bytes);
        prop_assert!(stats.bound(messages, tools) >= bytes.len() as u64);
    }

    #[test]
    fn sums_of_counts_do_not_overflow(n: u64) {
        let huge = TextStats { bytes: n, words: n, letters: n, marks: n / 4, three_byte: n, ..TextStats::default() };
        prop_assert!(huge.estimate() <= u64::MAX / 1_000_000 + 1);
    }
}

/// Text, exact tokens.
const EXACT: &[(&str, u64)] = &[
    ("What is the capital of France, and how many people live there today?", 15),
    (
        "Please summarise the attached meeting notes in three bullet points, and list every open question with the person who has to answer it.",
        26,
    ),
    (
        "fn add(left: u32, right: u32) -> Option<u32> {\n    let sum = left.checked_add(right)?;\n    Some(sum)\n}\n",
        32,
    ),
    (
        "{\"id\": 1043, \"name\": \"Alice Moreau\", \"tags\": [\"new\", \"vip\"], \"total\": 99.95, \"created_at\": \"2026-03-14T09:26:53Z\"}",
        51,
    ),
    (
        "Le réchauffement climatique désigne la hausse de la température moyenne de l'atmosphère et des océans. Ses causes principales sont la combustion du charbon, du pétrole et du gaz, ainsi que la déforestation et l'élevage intensif.",
        52,
    ),
    ("Объясните, пожалуйста, почему небо голубое, а закат красный, простыми словами для ребёнка.", 25),
    ("请用三句话解释什么是机器学习,并举一个日常生活中的例子。", 20),
    ("機械学習とは何かを三つの文で説明し、日常生活の例を一つ挙げてください。", 30),
    ("기계 학습이 무엇인지 세 문장으로 설명하고 일상생활의 예를 하나 들어 주세요.", 23),
];
