//! Reads a bounded part of a JSON string's contents: from its start, or up to its end. Never more than asked for.

use std::borrow::Cow;

use memchr::memchr;

/// Up to `limit` bytes of text from the start of `raw`. Broken escapes and broken UTF-8 become U+FFFD.
pub(super) fn head(raw: &[u8], escaped: bool, limit: usize) -> Cow<'_, str> {
    if escaped { Cow::Owned(unescape(raw, limit)) } else { lossy(raw, limit) }
}

/// The first `limit` bytes as text. Replacing broken bytes makes text longer, so it is cut again.
fn lossy(raw: &[u8], limit: usize) -> Cow<'_, str> {
    match String::from_utf8_lossy(cut(raw, limit)) {
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(limit));
            Cow::Owned(text)
        }
        borrowed => borrowed,
    }
}

/// The text of at most the last `limit` raw bytes, from the first whole character in them.
pub(super) fn tail(raw: &[u8], escaped: bool, limit: usize) -> Cow<'_, str> {
    let mut start = raw.len().saturating_sub(limit);
    if escaped {
        start = after_escape(raw, start);
    }
    while raw.get(start).is_some_and(|&b| is_continuation(b)) {
        start += 1;
    }
    head(raw.get(start..).unwrap_or_default(), escaped, usize::MAX)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// The longest prefix of at most `limit` bytes that does not cut a character.
fn cut(raw: &[u8], limit: usize) -> &[u8] {
    if raw.len() <= limit {
        return raw;
    }
    let mut end = limit;
    while end > 0 && limit - end < 4 && raw.get(end).is_some_and(|&b| is_continuation(b)) {
        end -= 1;
    }
    raw.get(..end).unwrap_or_default()
}

/// The first position at or after `at` that is not inside an escape, nor between the halves of a surrogate pair.
fn after_escape(raw: &[u8], at: usize) -> usize {
    // An escape is at most six bytes long, so it begins at one of the five before `at`.
    let opens = (at.saturating_sub(5)..at).find(|&q| starts_escape(raw, q) && q + escape_len(raw, q) > at);
    let at = opens.map_or(at, |q| q + escape_len(raw, q)).min(raw.len());
    match hex4(raw, at) {
        Some(0xDC00..=0xDFFF) => at + 6,
        _ => at,
    }
}

/// `raw[at]` is a backslash that is not itself escaped.
fn starts_escape(raw: &[u8], at: usize) -> bool {
    let before = raw.get(..=at).unwrap_or_default();
    before.iter().rev().take_while(|&&b| b == b'\\').count() % 2 == 1
}

fn escape_len(raw: &[u8], at: usize) -> usize {
    if raw.get(at + 1) == Some(&b'u') { 6 } else { 2 }
}

/// The code unit of a `\uXXXX` at `at`.
fn hex4(raw: &[u8], at: usize) -> Option<u32> {
    let escape = raw.get(at..at.checked_add(6)?)?;
    let digits = escape.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, 16).ok() }
}

fn unescape(raw: &[u8], limit: usize) -> String {
    let mut out = String::with_capacity(raw.len().min(limit));
    let mut rest = raw;
    while out.len() < limit && !rest.is_empty() {
        let plain = memchr(b'\\', rest).unwrap_or(rest.len());
        let (run, escape) = rest.split_at(plain);
        let room = limit - out.len();
        out.push_str(&lossy(run, room));
        if run.len() > room || escape.is_empty() {
            break;
        }
        let (character, used) = one_escape(escape);
        if out.len() + character.len_utf8() > limit {
            break;
        }
        out.push(character);
        rest = escape.get(used..).unwrap_or_default();
    }
    out
}

/// The character an escape stands for, and the bytes it takes.
fn one_escape(raw: &[u8]) -> (char, usize) {
    let simple = match raw.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(other @ (b'"' | b'\\' | b'/')) => char::from(*other),
        Some(b'u') => return unicode_escape(raw),
        _ => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (simple, 2)
}

fn unicode_escape(raw: &[u8]) -> (char, usize) {
    let Some(unit) = hex4(raw, 0) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if let (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) = (unit, hex4(raw, 6)) {
        let code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_are_unescaped_and_cut_between_characters() {
        let check = |raw: &str, limit: usize, expected: &str| {
            assert_eq!(head(raw.as_bytes(), true, limit), expected, "{raw} at {limit}");
        };
        check(r#"a\nb\t\"c\" \\ \/"#, 99, "a\nb\t\"c\" \\ /");
        check(r"caf\u00e9", 99, "café");
        check(r"caf\u00e9", 4, "caf");
        check(r"caf\u00e9", 5, "café");
        check(r"\ud83d\ude00!", 99, "😀!");
        check(r"\ud83d\ude00!", 3, "");
        check(r"\ud83d!", 99, "\u{fffd}!");
        check(r"\ude00!", 99, "\u{fffd}!");
        check(r"\ud83d\u0041", 99, "\u{fffd}A");
        check("日本語", 7, "日本");
        check("日本語", 0, "");
        check(r"end\", 99, "end\u{fffd}");
        check(r"\u12", 99, "\u{fffd}12");
        check(r"\u+123", 99, "\u{fffd}+123");
    }

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(head(b"hello", false, 3), Cow::Borrowed("hel")));
        assert_eq!(head("né".as_bytes(), false, 2), "n");
        assert_eq!(tail("né!".as_bytes(), false, 2), "!");
    }

    #[test]
    fn tails_begin_after_a_cut_escape() {
        let raw = r"a\u00e9b\ud83d\ude00c\\nd";
        let whole = head(raw.as_bytes(), true, usize::MAX).into_owned();
        assert_eq!(whole, "aéb😀c\\nd");
        for limit in 0..=raw.len() {
            let part = tail(raw.as_bytes(), true, limit);
            assert!(whole.ends_with(&*part), "limit {limit}: {part}");
            assert!(!part.contains(char::REPLACEMENT_CHARACTER), "limit {limit}: {part}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_the_limit(raw: Vec<u8>, limit in 0usize..64, escaped: bool) {
            prop_assert!(head(&raw, true, limit).len() <= limit);
            let _ = tail(&raw, escaped, limit);
            let _ = head(&raw, escaped, limit);
        }

        #[test]
        fn json_strings_come_back(text: String, limit in 0usize..64) {
            let json = serde_json::to_string(&text).unwrap();
            let raw = json.as_bytes().get(1..json.len() - 1).unwrap();
            prop_assert_eq!(head(raw, true, usize::MAX), text.as_str());
            prop_assert!(text.starts_with(&*head(raw, true, limit)));
            prop_assert!(text.ends_with(&*tail(raw, true, limit)));
        }
    }
}
