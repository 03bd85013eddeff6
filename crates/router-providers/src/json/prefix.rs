//! Says of text that comes in pieces whether it is still the beginning of one JSON value (RFC 8259), and when the value is
//! whole. Strings and numbers are not decoded.

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value.
    Value,
    /// A value, or the end of an array that has just begun.
    FirstItem,
    /// A key, or the end of an object that has just begun.
    FirstKey,
    /// A key.
    Key,
    /// The colon after a key.
    Colon,
    /// What separates or ends.
    After,
    /// Inside a string; of a key or not.
    Text { key: bool },
    /// After a backslash.
    Escape { key: bool },
    /// So many hexadecimal digits are due.
    Hex { key: bool, due: u8 },
    /// Inside `true`, `false` or `null`.
    Word(&'static [u8]),
    /// Inside a number.
    Number(Digits),
    /// The value is whole.
    Done,
}

/// Where in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Digits {
    /// The number may end here.
    const fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }

    const fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Some(Self::Whole),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }
}

/// The text so far is no beginning of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// Reads the beginning of a value.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    /// The closing bytes that are due, innermost last.
    open: Vec<u8>,
    state: State,
}

impl Prefix {
    pub(crate) const fn new() -> Self {
        Self { open: Vec::new(), state: State::Value }
    }

    /// The value is whole.
    pub(crate) fn is_whole(&self) -> bool {
        match self.state {
            State::Done => true,
            State::Number(digits) => self.open.is_empty() && digits.may_end(),
            _ => false,
        }
    }

    /// What comes next stands inside a string.
    pub(crate) const fn in_string(&self) -> bool {
        matches!(self.state, State::Text { .. } | State::Escape { .. } | State::Hex { .. })
    }

    /// Reads on; returns how many bytes belong to the value: all, unless it is whole before.
    ///
    /// # Errors
    /// With them, the text is no beginning of a value. Nothing can be read after that.
    pub(crate) fn push(&mut self, text: &str) -> Result<usize, NotJson> {
        for (at, byte) in text.bytes().enumerate() {
            if self.state == State::Done {
                return Ok(at);
            }
            self.state = self.next(byte).ok_or(NotJson)?;
        }
        Ok(text.len())
    }

    fn next(&mut self, byte: u8) -> Option<State> {
        match self.state {
            State::Text { key } => match byte {
                b'"' if key => Some(State::Colon),
                b'"' => Some(self.ended()),
                b'\\' => Some(State::Escape { key }),
                0..0x20 => None,
                _ => Some(self.state),
            },
            State::Escape { key } => match byte {
                b'u' => Some(State::Hex { key, due: 4 }),
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(State::Text { key }),
                _ => None,
            },
            State::Hex { key, due } if byte.is_ascii_hexdigit() => {
                Some(if due == 1 { State::Text { key } } else { State::Hex { key, due: due - 1 } })
            }
            State::Word(rest) => match rest.split_first() {
                Some((due, [])) if *due == byte => Some(self.ended()),
                Some((due, rest)) if *due == byte => Some(State::Word(rest)),
                _ => None,
            },
            State::Number(digits) => match digits.next(byte) {
                Some(digits) => Some(State::Number(digits)),
                None if digits.may_end() => {
                    self.state = self.ended();
                    self.between(byte)
                }
                None => None,
            },
            State::Hex { .. } => None,
            _ => self.between(byte),
        }
    }

    /// Outside of strings, words and numbers.
    fn between(&mut self, byte: u8) -> Option<State> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Some(self.state);
        }
        match (self.state, byte) {
            (State::FirstItem | State::FirstKey | State::After, b']' | b'}') => {
                (self.open.pop() == Some(byte)).then(|| self.ended())
            }
            (State::Value | State::FirstItem, _) => self.begin(byte),
            (State::Key | State::FirstKey, b'"') => Some(State::Text { key: true }),
            (State::Colon, b':') => Some(State::Value),
            (State::After, b',') => match self.open.last() {
                Some(b'}') => Some(State::Key),
                Some(_) => Some(State::Value),
                None => None,
            },
            _ => None,
        }
    }

    fn begin(&mut self, byte: u8) -> Option<State> {
        Some(match byte {
            b'{' => {
                self.open.push(b'}');
                State::FirstKey
            }
            b'[' => {
                self.open.push(b']');
                State::FirstItem
            }
            b'"' => State::Text { key: false },
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            b'-' => State::Number(Digits::Minus),
            b'0' => State::Number(Digits::Zero),
            b'1'..=b'9' => State::Number(Digits::Whole),
            _ => return None,
        })
    }

    /// After a value.
    fn ended(&self) -> State {
        if self.open.is_empty() { State::Done } else { State::After }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The state after a text: how much of it is the value, and whether it is whole; `None`: no JSON.
    fn check(text: &str, expected: Option<(usize, bool)>) {
        let mut prefix = Prefix::new();
        let read = prefix.push(text).ok().map(|length| (length, prefix.is_whole()));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn beginnings_and_wholes() {
        check("", Some((0, false)));
        check(" {", Some((2, false)));
        check(r#"{"a": [1, -2.5e+3, "x\"é", true], "b": {}}"#, Some((43, true)));
        check("{} and more", Some((2, true)));
        check("[]```", Some((2, true)));
        check(r#"{"a":"half"#, Some((10, false)));
        check(r#"{"a":nul"#, Some((8, false)));
        check(r#"{"a":1"#, Some((6, false)));
        check("12", Some((2, true)));
        check("-", Some((1, false)));
        check("\"a\" ", Some((3, true)));
        for wrong in [
            "}",
            "{]",
            "{,",
            "[1 2",
            "{\"a\" 1",
            "[01",
            "nulL",
            "\"\\x",
            "\"\\u12g",
            "{\"a\":1,}",
            "[1,]",
            "\"\n",
        ] {
            check(wrong, None);
        }
        assert!({
            let mut prefix = Prefix::new();
            prefix.push("{\"a\":\"b").unwrap();
            prefix.in_string()
        });
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_json_is_read_whole_in_any_pieces(value in value(), pretty in any::<bool>(), at in any::<prop::sample::Index>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let mut cut = at.index(text.len() + 1);
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            let mut prefix = Prefix::new();
            prop_assert_eq!(prefix.push(&text[..cut]), Ok(cut));
            prop_assert_eq!(prefix.push(&text[cut..]), Ok(text.len() - cut));
            prop_assert!(prefix.is_whole());
        }

        #[test]
        fn a_whole_value_is_json_and_nothing_else(text in r#"[\[\]{}:,"0-9.eE+\-tfnrualse \\]{0,12}"#) {
            let mut prefix = Prefix::new();
            let whole = prefix.push(&text).is_ok_and(|length| length == text.len()) && prefix.is_whole();
            let json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            // White space after a value ends its reading; serde takes it as a part of the text.
            prop_assert!(!whole || json, "{}", text);
            prop_assert!(!json || whole || text.ends_with(' '), "{}", text);
        }
    }
}
