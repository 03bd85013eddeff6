//! Counts over the characters, words and lines of a text, in one pass over its bytes and one over its lines.

/// What was counted in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Bytes.
    pub bytes: f32,
    /// Runs between white space.
    pub words: f32,
    /// Lines with something on them.
    pub lines: f32,
    /// Ends of sentences.
    pub sentences: f32,
    /// Question marks, of any script.
    pub question_marks: f32,
    /// ASCII capitals.
    pub capitals: f32,
    /// ASCII digits.
    pub digits: f32,
    /// Runs of digits.
    pub numbers: f32,
    /// Characters that code is full of: `{}[]()<>;=_&|\`.
    pub code_symbols: f32,
    /// Back quotes, which mark code inside a sentence.
    pub back_quotes: f32,
    /// Operators, relations and LaTeX marks: `+*/^=$\` and Unicode's mathematical operators.
    pub math_symbols: f32,
    /// Two numbers with an operator between them: `12 * 7`.
    pub sums: f32,
    /// LaTeX commands.
    pub latex: f32,
    /// Lines that are items of a list.
    pub list_items: f32,
    /// Lines that are choices to select from: `A. ...`, `(b) ...`.
    pub choices: f32,
    /// Bytes outside ASCII.
    pub non_ascii: f32,
}

impl Counts {
    /// Counts over `text`.
    pub fn of(text: &str) -> Self {
        let mut counts = Self { bytes: text.len() as f32, ..Self::default() };
        counts.bytes_of(text.as_bytes());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            counts.lines += 1.0;
            counts.choices += one_if(is_choice(line));
            counts.list_items += one_if(is_item(line));
        }
        counts
    }

    /// Every count with its name, in a fixed order.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f32)> + use<> {
        [
            ("bytes", self.bytes),
            ("words", self.words),
            ("lines", self.lines),
            ("sentences", self.sentences),
            ("question_marks", self.question_marks),
            ("capitals", self.capitals),
            ("digits", self.digits),
            ("numbers", self.numbers),
            ("code_symbols", self.code_symbols),
            ("back_quotes", self.back_quotes),
            ("math_symbols", self.math_symbols),
            ("sums", self.sums),
            ("latex", self.latex),
            ("list_items", self.list_items),
            ("choices", self.choices),
            ("non_ascii", self.non_ascii),
        ]
        .into_iter()
    }

    fn bytes_of(&mut self, text: &[u8]) {
        let mut before = b' ';
        let mut sum = Sum::Nothing;
        for (at, &byte) in text.iter().enumerate() {
            let next = text.get(at + 1).copied().unwrap_or(b' ');
            self.words += one_if(before.is_ascii_whitespace() && !byte.is_ascii_whitespace());
            match byte {
                b'0'..=b'9' => {
                    self.digits += 1.0;
                    self.numbers += one_if(!before.is_ascii_digit());
                }
                b'A'..=b'Z' => self.capitals += 1.0,
                b'?' => self.question_marks += 1.0,
                b'`' => self.back_quotes += 1.0,
                b'+' | b'*' | b'/' | b'^' | b'$' => self.math_symbols += 1.0,
                b'=' => {
                    self.math_symbols += 1.0;
                    self.code_symbols += 1.0;
                }
                b'\\' => {
                    self.latex += one_if(next.is_ascii_alphabetic());
                    self.math_symbols += 1.0;
                    self.code_symbols += 1.0;
                }
                b'{' | b'}' | b'[' | b']' | b'(' | b')' | b'<' | b'>' | b';' | b'_' | b'&' | b'|' => {
                    self.code_symbols += 1.0;
                }
                // U+FF1F and U+061F, the question marks of East Asian and Arabic scripts, by their last two bytes.
                0xBC | 0xD8 if next == 0x9F => self.question_marks += 1.0,
                // The first two bytes of U+2200..U+22FF, the mathematical operators.
                0xE2 => self.math_symbols += one_if((0x88..=0x8B).contains(&next)),
                _ => {}
            }
            self.non_ascii += one_if(!byte.is_ascii());
            let ends = matches!(byte, b'.' | b'!' | b'?') && next.is_ascii_whitespace();
            self.sentences += one_if(ends);
            let (now, complete) = sum.after(byte);
            sum = now;
            self.sums += one_if(complete);
            before = byte;
        }
    }
}

/// How far an expression "number operator number" has been read.
#[derive(Clone, Copy)]
enum Sum {
    Nothing,
    Number,
    Operator,
    Complete,
}

impl Sum {
    /// The state after this byte, and whether it completes an expression.
    fn after(self, byte: u8) -> (Self, bool) {
        match (self, byte) {
            (Self::Operator, b'0'..=b'9') => (Self::Complete, true),
            (Self::Complete, b'0'..=b'9' | b'.') => (Self::Complete, false),
            (_, b'0'..=b'9') => (Self::Number, false),
            (Self::Number | Self::Complete, b'+' | b'*' | b'/' | b'^') => (Self::Operator, false),
            // U+00D7 and U+00F7, multiplication and division: 0xC3 0x97, 0xC3 0xB7.
            (Self::Number | Self::Complete, b' ' | 0xC3 | b')') => (Self::Number, false),
            (Self::Number, 0x97 | 0xB7) | (Self::Operator, b' ' | b'(') => (Self::Operator, false),
            _ => (Self::Nothing, false),
        }
    }
}

fn one_if(condition: bool) -> f32 {
    f32::from(u8::from(condition))
}

/// `A. text`, `b) text`, `(C) text`.
fn is_choice(line: &str) -> bool {
    let line = line.strip_prefix('(').unwrap_or(line).as_bytes();
    matches!(line, [b'A'..=b'J' | b'a'..=b'j', b'.' | b')', b' ', ..])
}

/// `- text`, `* text`, `12. text`.
fn is_item(line: &str) -> bool {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = (1..=2).contains(&digits)
        && line.get(digits..).is_some_and(|rest| rest.starts_with(". ") || rest.starts_with(") "));
    numbered || line.starts_with("- ") || line.starts_with("* ") || line.starts_with("• ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, f32)]) {
        let counts = Counts::of(text);
        for (name, value) in expected {
            assert_eq!(counts.named().find(|(n, _)| n == name), Some((*name, *value)), "{text}");
        }
    }

    #[test]
    fn characters_words_and_lines() {
        check("", &[("bytes", 0.0), ("words", 0.0), ("lines", 0.0)]);
        check(
            "Is it 12 or 345?",
            &[("words", 5.0), ("numbers", 2.0), ("digits", 5.0), ("question_marks", 1.0)],
        );
        check("哪里？ أين؟", &[("question_marks", 2.0)]);
        check("One. Two! Three?\nFour", &[("sentences", 3.0), ("lines", 2.0), ("capitals", 4.0)]);
        check("f(x) = {y};", &[("code_symbols", 6.0), ("math_symbols", 1.0)]);
        check(r"$\frac{1}{2} ≤ x$", &[("latex", 1.0), ("math_symbols", 4.0)]);
        check("Pick:\nA. one\nB. two\n(c) three", &[("choices", 3.0), ("list_items", 0.0)]);
        check("- a\n* b\n12. c\n1999. d", &[("list_items", 3.0)]);
    }

    #[test]
    fn sums_are_numbers_with_an_operator_between() {
        check("12 * 7", &[("sums", 1.0)]);
        check("3+4+5", &[("sums", 2.0)]);
        check("(3 + 4) * 5", &[("sums", 2.0)]);
        check("6 × 7", &[("sums", 1.0)]);
        check("in 2024 we had 7", &[("sums", 0.0)]);
        check("C++ 17", &[("sums", 0.0)]);
    }
}
