//! Counting the inside of a JSON string without unescaping it into memory of its own: through a small buffer on the
//! stack. Validity is the parser's business; here every input is counted and none refused.

use super::count::Counter;

/// Bytes gathered before they are counted.
const BUFFER: usize = 512;

/// What stands for a surrogate without its other half: U+FFFD, as a lossy decoder writes it.
const REPLACEMENT: char = '\u{fffd}';

/// Feeds `counter` with what the escaped bytes of a JSON string mean.
pub(super) fn feed(counter: &mut Counter<'_>, mut escaped: &[u8]) {
    let mut buffer = [0; BUFFER];
    let mut held = 0;
    while !escaped.is_empty() {
        let (plain, rest) = escaped.split_at(plain_length(escaped));
        if held + plain.len() + 4 > BUFFER {
            counter.piece(&buffer[..held]);
            held = 0;
        }
        if plain.len() + 4 > BUFFER {
            counter.piece(plain);
        } else {
            buffer[held..held + plain.len()].copy_from_slice(plain);
            held += plain.len();
        }
        escaped = rest;
        if !rest.is_empty() {
            let (meant, length) = escape(rest);
            held += meant.encode_utf8(&mut buffer[held..]).len();
            escaped = &rest[length..];
        }
    }
    counter.piece(&buffer[..held]);
}

/// How many bytes come before the first backslash: by blocks that the compiler compares at once.
fn plain_length(text: &[u8]) -> usize {
    let has = |block: &[u8]| block.iter().fold(false, |found, &b| found | (b == b'\\'));
    let clean = text.chunks_exact(16).take_while(|block| !has(block)).count() * 16;
    clean + text[clean..].iter().take_while(|&&b| b != b'\\').count()
}

/// The character meant by the escape at the start of `text`, and the bytes it takes. A backslash that starts no escape
/// stands for itself.
fn escape(text: &[u8]) -> (char, usize) {
    let plain = match text.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(text),
        _ => return ('\\', 1),
    };
    (plain, 2)
}

/// The character meant by `\uXXXX`, or by two of them that are a surrogate pair.
fn unicode(text: &[u8]) -> (char, usize) {
    let Some(first) = unit(text) else { return ('\\', 1) };
    if let Some(found) = char::from_u32(first) {
        return (found, 6);
    }
    let low = text.get(6..).filter(|rest| rest.starts_with(b"\\u")).and_then(unit);
    match (first, low) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            let pair = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(pair).unwrap_or(REPLACEMENT), 12)
        }
        _ => (REPLACEMENT, 6),
    }
}

/// The UTF-16 code unit of `\uXXXX` at the start of `text`.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(2..6)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}
