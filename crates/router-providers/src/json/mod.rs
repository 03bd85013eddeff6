//! A cursor over JSON text: one pass, no recursion, nothing built. It checks the grammar wholly and hands out ranges.
//!
//! Not a general parser: dialects drive it member by member and skip what they do not read.

pub(crate) mod prefix;

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

/// Why a text is not the JSON expected, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte offset.
    pub at: usize,
    /// What, lower case.
    pub what: &'static str,
}

/// The kind of the value that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A string as it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// Its contents, without the quotes, escapes in place.
    pub span: Range<usize>,
    /// It holds a backslash.
    pub escaped: bool,
}

/// Reads forward through one JSON text.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    max_depth: usize,
}

type Read<T> = Result<T, Fault>;

impl<'a> Cursor<'a> {
    /// At the beginning of `bytes`.
    pub(crate) fn new(bytes: &'a [u8], max_depth: usize) -> Self {
        Self { bytes, at: 0, depth: 0, max_depth }
    }

    /// The next byte's offset.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn fault<T>(&self, what: &'static str) -> Read<T> {
        Err(Fault { at: self.at, what })
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The kind of the value that comes next; the cursor then stands at its first byte.
    pub(crate) fn kind(&mut self) -> Read<Kind> {
        self.space();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => self.fault("expected a value"),
            None => self.fault("the text ends too early"),
        }
    }

    /// Steps into the object or array that comes next.
    pub(crate) fn enter(&mut self) -> Read<()> {
        if self.depth >= self.max_depth {
            return self.fault("nested too deeply");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// The next key of the object stepped into, with the cursor at its value; `None` at its end.
    pub(crate) fn key(&mut self, first: &mut bool) -> Read<Option<Text>> {
        if !self.element(b'}', first)? {
            return Ok(None);
        }
        if self.byte() != Some(b'"') {
            return self.fault("expected a key");
        }
        let key = self.string()?;
        self.space();
        if self.byte() != Some(b':') {
            return self.fault("expected a colon");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the array stepped into has another item; the cursor then stands at it.
    pub(crate) fn item(&mut self, first: &mut bool) -> Read<bool> {
        self.element(b']', first)
    }

    fn element(&mut self, close: u8, first: &mut bool) -> Read<bool> {
        self.space();
        if self.byte() == Some(close) {
            self.at += 1;
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if !std::mem::take(first) {
            if self.byte() != Some(b',') {
                return self.fault("expected a comma or the end");
            }
            self.at += 1;
            self.space();
            if self.byte() == Some(close) {
                return self.fault("a comma without a successor");
            }
        }
        Ok(true)
    }

    /// The string that comes next; the cursor must stand at its quote.
    pub(crate) fn string(&mut self) -> Read<Text> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_run(self.bytes.get(self.at..).unwrap_or_default());
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text { span: start..self.at - 1, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fault("a control character in a string"),
                None => return self.fault("a string without an end"),
            }
        }
    }

    fn escape(&mut self) -> Read<()> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = self.hex_unit(self.at)?;
                self.at += 6;
                if (0xDC00..0xE000).contains(&unit) {
                    return self.fault("half of a surrogate pair");
                }
                if (0xD800..0xDC00).contains(&unit) {
                    let low = self.hex_unit(self.at)?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return self.fault("half of a surrogate pair");
                    }
                    self.at += 6;
                }
            }
            _ => return self.fault("an unknown escape"),
        }
        Ok(())
    }

    /// The value of `\uXXXX` at an offset.
    fn hex_unit(&self, at: usize) -> Read<u32> {
        let digits = self.bytes.get(at..at + 6).and_then(|unit| unit.strip_prefix(b"\\u"));
        digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or(Fault { at, what: "an incomplete \\u escape" })
    }

    /// The number that comes next, as text: JSON's grammar, and inside the range of a double.
    pub(crate) fn number(&mut self) -> Read<&'a str> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.byte() == Some(b'0');
        let whole = self.digits()?;
        if zero && whole > 1 {
            return self.fault("a number with a leading zero");
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let mut large = self.at - start > 300;
        if matches!(self.byte(), Some(b'e' | b'E')) {
            large = true;
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.bytes.get(start..self.at).and_then(|text| std::str::from_utf8(text).ok());
        match text {
            Some(text) if !large || text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(text),
            _ => Err(Fault { at: start, what: "a number out of range" }),
        }
    }

    fn digits(&mut self) -> Read<usize> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.fault("expected a digit") } else { Ok(self.at - start) }
    }

    fn word(&mut self) -> Read<()> {
        for word in ["true", "false", "null"] {
            if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
                self.at += word.len();
                return Ok(());
            }
        }
        self.fault("expected a value")
    }

    /// Goes past the value that comes next, whatever it is, and returns its range.
    pub(crate) fn skip(&mut self) -> Read<Range<usize>> {
        self.space();
        let start = self.at;
        let outer = self.depth;
        // What is open: `true` for an object. Its length is bounded by the depth limit.
        let mut open: SmallVec<[bool; 64]> = SmallVec::new();
        let mut first = false;
        loop {
            match self.kind()? {
                Kind::String => self.string().map(|_| ())?,
                Kind::Number => self.number().map(|_| ())?,
                Kind::Bool | Kind::Null => self.word()?,
                kind @ (Kind::Object | Kind::Array) => {
                    self.enter()?;
                    open.push(kind == Kind::Object);
                    first = true;
                }
            }
            loop {
                let Some(&object) = open.last() else {
                    self.depth = outer;
                    return Ok(start..self.at);
                };
                let more = if object { self.key(&mut first)?.is_some() } else { self.item(&mut first)? };
                if more {
                    break;
                }
                open.pop();
                first = false;
            }
        }
    }

    /// Nothing but white space follows.
    pub(crate) fn end(&mut self) -> Read<()> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { self.fault("something follows the value") }
    }

    /// The bytes of a string, unescaped.
    pub(crate) fn unescape(&self, text: &Text) -> Cow<'a, str> {
        unescape(self.bytes, text)
    }
}

/// How many bytes come before a quote, a backslash or a control character.
///
/// Most strings of a request are short or full of escapes: eight bytes at a time, in one register. Long runs (images) go on
/// by vectors.
fn plain_run(bytes: &[u8]) -> usize {
    const SHORT: usize = 64;
    let (words, tail) = bytes.get(..SHORT).unwrap_or(bytes).as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return at * 8 + stops.trailing_zeros() as usize / 8;
        }
    }
    let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let Some(rest) = bytes.get(SHORT..) else {
        return words.len() * 8 + tail.iter().position(stop).unwrap_or(tail.len());
    };
    let length = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let run = rest.get(..length).unwrap_or_default();
    let clean = !run.iter().fold(false, |bad, byte| bad | (*byte < 0x20));
    SHORT + if clean { length } else { run.iter().position(stop).unwrap_or(length) }
}

/// The high bit of each byte that is a quote, a backslash or below 0x20; bits above the lowest one set may be wrong, since
/// a borrow runs upwards. (The zero-byte test of Hacker's Delight, 6-1.)
const fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let found = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    found & (ONES * 0x80)
}

/// The contents of a string that a cursor has checked, unescaped; the bytes must be valid UTF-8.
pub(crate) fn unescape<'a>(bytes: &'a [u8], text: &Text) -> Cow<'a, str> {
    let raw = bytes.get(text.span.clone()).unwrap_or_default();
    if !text.escaped {
        return std::str::from_utf8(raw).map_or(Cow::Borrowed(""), Cow::Borrowed);
    }
    let quoted = bytes.get(text.span.start.saturating_sub(1)..text.span.end + 1).unwrap_or_default();
    serde_json::from_slice::<String>(quoted).map_or_else(|_| String::from_utf8_lossy(raw), Cow::Owned)
}

/// The text of a JSON string for these characters, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

#[cfg(test)]
mod tests;
