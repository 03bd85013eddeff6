//! The counting loops: each predicate by itself over a short chunk, so that the compiler turns every one into vector
//! instructions; no tables, no branches on the text.

use super::TextStats;

/// Bytes per chunk: a count of one chunk fits a byte, so sixteen or more lanes add at once.
const CHUNK: usize = 224;

const fn is_letter(b: u8) -> bool {
    (b | 0x20).wrapping_sub(b'a') < 26
}

/// An ASCII letter, or the first byte of another Latin one (U+00C0 to U+02BF).
const fn starts_word(b: u8) -> bool {
    is_letter(b) | (b.wrapping_sub(0xc3) < 0x08)
}

const fn is_capital(b: u8) -> bool {
    b.wrapping_sub(b'A') < 26
}

const fn is_small(b: u8) -> bool {
    b.wrapping_sub(b'a') < 26
}

const fn is_digit(b: u8) -> bool {
    b.wrapping_sub(b'0') < 10
}

const fn is_symbol(b: u8) -> bool {
    (b.wrapping_sub(0x21) < 0x5e) & !is_letter(b) & !is_digit(b)
}

const fn is_line_end(b: u8) -> bool {
    (b == b'\n') | (b == b'\r')
}

const fn is_blank(b: u8) -> bool {
    (b == b' ') | (b == b'\t')
}

/// Counts one text, given in pieces: what is counted does not depend on where the pieces meet.
pub(super) struct Counter<'a> {
    stats: &'a mut TextStats,
    /// The two bytes before the next one; zeros at the start of the text.
    before: [u8; 2],
}

impl<'a> Counter<'a> {
    pub(super) fn new(stats: &'a mut TextStats) -> Self {
        Self { stats, before: [0; 2] }
    }

    /// The next piece of the text.
    pub(super) fn piece(&mut self, bytes: &[u8]) {
        self.stats.bytes += bytes.len() as u64;
        let (first, second) = match *bytes {
            [] => return,
            [one] => {
                self.tally([&[self.before[0]], &[self.before[1]], &[one]]);
                self.before = [self.before[1], one];
                return;
            }
            [one, two, ..] => (one, two),
        };
        self.tally([&[self.before[0], self.before[1]], &[self.before[1], first], &[first, second]]);
        let mut at = 2;
        while at < bytes.len() {
            let end = bytes.len().min(at + CHUNK);
            self.tally([&bytes[at - 2..end - 2], &bytes[at - 1..end - 1], &bytes[at..end]]);
            at = end;
        }
        self.before = [bytes[bytes.len() - 2], bytes[bytes.len() - 1]];
    }

    /// Counts the bytes of `now`, each with the one before it and the one before that; all three of one length, at most
    /// [`CHUNK`].
    fn tally(&mut self, [earlier, before, now]: [&[u8]; 3]) {
        let s = &mut *self.stats;
        s.letters += count(now, is_letter);
        s.words += pairs(before, now, |b, c| starts_word(c) & !is_letter(b) & (b < 0x80));
        s.capitals += count(now, is_capital);
        s.humps += pairs(before, now, |b, c| is_capital(c) & is_small(b));
        s.digits += count(now, is_digit);
        s.numbers += pairs(before, now, |b, c| is_digit(c) & !is_digit(b));
        s.symbols += count(now, is_symbol);
        s.symbol_runs += pairs(before, now, |b, c| is_symbol(c) & !is_symbol(b));
        s.breaks += pairs(before, now, |b, c| is_line_end(c) & !is_line_end(b));
        s.breaks += triples([earlier, before, now], |a, b, c| is_blank(c) & is_blank(b) & !is_blank(a));
        if now.is_ascii() {
            return;
        }
        s.two_byte += count(now, |c| c.wrapping_sub(0xc0) < 0x20);
        s.accents += count(now, |c| c.wrapping_sub(0xc0) < 0x04);
        s.far_accents += count(now, |c| c.wrapping_sub(0xc4) < 0x07);
        s.three_byte += count(now, |c| c.wrapping_sub(0xe0) < 0x10);
        s.marks += count(now, |c| c == 0xe2);
        s.kana += count(now, |c| c == 0xe3);
        s.ideographs += count(now, |c| c.wrapping_sub(0xe4) < 0x06);
        s.hangul += count(now, |c| c.wrapping_sub(0xea) < 0x04);
        s.four_byte += count(now, |c| c >= 0xf0);
    }
}

fn count(now: &[u8], is: impl Fn(u8) -> bool) -> u64 {
    now.iter().fold(0_u8, |n, &c| n.wrapping_add(u8::from(is(c)))).into()
}

fn pairs(before: &[u8], now: &[u8], is: impl Fn(u8, u8) -> bool) -> u64 {
    before.iter().zip(now).fold(0_u8, |n, (&b, &c)| n.wrapping_add(u8::from(is(b, c)))).into()
}

fn triples([earlier, before, now]: [&[u8]; 3], is: impl Fn(u8, u8, u8) -> bool) -> u64 {
    let all = earlier.iter().zip(before).zip(now);
    all.fold(0_u8, |n, ((&a, &b), &c)| n.wrapping_add(u8::from(is(a, b, c)))).into()
}
