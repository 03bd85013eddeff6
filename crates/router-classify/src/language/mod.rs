//! The language a question is written in, ISO 639-1. Absent when the text is too short or too mixed to say; code, names
//! and numbers alone have no language.
//!
//! Three looks, cheapest first: the script, where only one language (by far) uses it; the commonest words and letters of
//! 30 languages; and, when those leave doubt, `whatlang`'s trigrams, whose 90 us or so only unusual texts pay for.

mod words;

use router_core::attributes::{AttributeSet, Attributes};

use crate::chain::{Classifier, RequestView};
use crate::hash::ConstMap;
use words::{CODES, LETTERS, LISTED, SCRIPTS, WORDS};

/// Languages that trigrams take others for, and that hardly any request is in.
const RARE: [whatlang::Lang; 8] = {
    use whatlang::Lang::{Aka, Cym, Epo, Jav, Lat, Sna, Tuk, Zul};
    [Aka, Epo, Jav, Lat, Sna, Tuk, Zul, Cym]
};
/// Bytes looked at: some 50 words, more than a language needs to show.
const READ_BYTES: usize = 320;
/// Words decide with this weight of evidence (1 is a word of one language alone) and at most this share of it for the
/// second language: the more there is, the closer the second may come.
const ENOUGH: [(f32, f32); 2] = [(1.2, 0.5), (2.0, 0.7)];
/// Letters that trigrams need to be right on their own, and together with what words there are.
const TRIGRAM_LETTERS: usize = 24;
/// See [`TRIGRAM_LETTERS`].
const AGREEING_LETTERS: usize = 12;
/// `whatlang`'s own confidence asked for.
const TRIGRAM_CONFIDENCE: f64 = 0.9;
/// Languages that put small words between the others: a text without any is a list of names, whatever its trigrams say.
const NEVER_WITHOUT_WORDS: [&str; 13] =
    ["en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "ro", "ca", "af"];
/// A word of one ASCII letter is as often a variable, a unit or a choice.
const SYMBOL_WEIGHT: f32 = 0.3;
/// A letter of a language weighs less than a word of it: names carry foreign letters.
const LETTER_WEIGHT: f32 = 0.5;

/// Tells `language`.
pub struct LanguageDetector {
    words: ConstMap<&'static str, u32>,
    letters: ConstMap<char, u32>,
    trigrams: whatlang::Detector,
}

impl Default for LanguageDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl LanguageDetector {
    /// Builds the word lists.
    pub fn new() -> Self {
        let mut words = ConstMap::default();
        for (bit, list) in WORDS.iter().enumerate() {
            for word in list.split_ascii_whitespace() {
                *words.entry(word).or_default() |= 1u32 << bit;
            }
        }
        let mut letters = ConstMap::default();
        for (set, codes) in LETTERS {
            for code in codes.split(' ') {
                let bit = LISTED.iter().position(|listed| *listed == code).map_or(0, |bit| 1u32 << bit);
                for letter in set.chars() {
                    *letters.entry(letter).or_default() |= bit;
                }
            }
        }
        Self { words, letters, trigrams: whatlang::Detector::with_denylist(RARE.to_vec()) }
    }

    /// The language of `text`, if it shows.
    pub fn detect(&self, text: &str) -> Option<&'static str> {
        let sample = Sample::of(text);
        if let Some(code) = sample.by_script() {
            return Some(code);
        }
        let (first, second) = self.by_words(&sample.words);
        if let Some((code, weight)) = first
            && ENOUGH.iter().any(|(least, share)| weight >= *least && second <= share * weight)
        {
            return Some(code);
        }
        self.by_trigrams(&sample, first.map(|(code, _)| code))
    }

    /// What trigrams say, when they are sure or the words lean the same way.
    fn by_trigrams(&self, sample: &Sample, by_words: Option<&str>) -> Option<&'static str> {
        if sample.letters < AGREEING_LETTERS {
            return None;
        }
        let info = self.trigrams.detect(&sample.words)?;
        let code = CODES.iter().find(|(long, _)| *long == info.lang().code()).map(|(_, code)| *code)?;
        let sure = info.confidence() >= TRIGRAM_CONFIDENCE
            && sample.letters >= TRIGRAM_LETTERS
            && !NEVER_WITHOUT_WORDS.contains(&code);
        (sure || by_words == Some(code)).then_some(code)
    }

    /// The language with the most evidence in words and letters, with that evidence, and the second one's.
    fn by_words(&self, text: &str) -> (Option<(&'static str, f32)>, f32) {
        let mut weights = [0f32; LISTED.len()];
        let mut add = |mask: u32, weight: f32| {
            // A word that three languages share says a third for each.
            let each = weight / mask.count_ones().max(1) as f32;
            for (bit, slot) in weights.iter_mut().enumerate() {
                *slot += if mask >> bit & 1 == 1 { each } else { 0.0 };
            }
        };
        for word in text.split(' ') {
            let parts = word.split_once('\'');
            let found = self.words.get(word).or_else(|| self.words.get(parts?.0));
            if let Some(mask) = found {
                add(*mask, if word.len() == 1 { SYMBOL_WEIGHT } else { 1.0 });
            }
            for letter in word.chars().filter(|c| !c.is_ascii()) {
                if let Some(mask) = self.letters.get(&letter) {
                    add(*mask, LETTER_WEIGHT);
                }
            }
        }
        let mut best: Option<(usize, f32)> = None;
        let mut second = 0.0;
        for (bit, weight) in weights.into_iter().enumerate() {
            match best {
                Some((_, most)) if weight <= most => second = weight.max(second),
                _ => {
                    second = best.map_or(0.0, |(_, most)| most);
                    best = Some((bit, weight));
                }
            }
        }
        (best.and_then(|(bit, weight)| Some((*LISTED.get(bit)?, weight))), second)
    }
}

impl Classifier for LanguageDetector {
    fn provides(&self) -> AttributeSet {
        AttributeSet::LANGUAGE
    }

    fn classify(
        &self,
        request: &RequestView<'_>,
        wanted: AttributeSet,
        found: &mut Attributes,
    ) -> AttributeSet {
        let text = request.text();
        let of_question = self.detect(text.question());
        // A follow-up too short to tell is in the language of the question before it.
        let with_context = |context| self.detect(&format!("{} {context}", text.question()));
        let language = of_question.or_else(|| text.context().and_then(with_context));
        found.language = language.map(str::to_owned);
        wanted & self.provides()
    }
}

/// The words of the beginning of a text, without code, addresses and numbers, and the scripts they are in.
#[derive(Default)]
struct Sample {
    words: String,
    letters: usize,
    latin: usize,
    han: usize,
    kana: usize,
    /// Letters per entry of [`SCRIPTS`].
    scripts: [usize; SCRIPTS.len()],
}

impl Sample {
    fn of(text: &str) -> Self {
        let mut sample = Self::default();
        let mut in_code = false;
        for piece in text.split_ascii_whitespace() {
            // `code` between back quotes, also over several words.
            let quotes = piece.bytes().filter(|&b| b == b'`').count();
            let skip = in_code || quotes > 0;
            in_code ^= quotes % 2 == 1;
            if !skip && !looks_like_code(piece) {
                sample.add(piece);
            }
            if sample.words.len() >= READ_BYTES {
                break;
            }
        }
        sample
    }

    fn add(&mut self, piece: &str) {
        if piece.starts_with(['¿', '¡']) {
            self.words.push_str("¿ ");
        }
        let apart = |c: char| !(c.is_alphabetic() || c == '\'' || c == '’' || is_mark(c));
        for word in piece.split(apart).filter(|word| !word.is_empty()) {
            for c in word.chars() {
                if self.words.len() >= READ_BYTES {
                    return;
                }
                self.count(c);
                match c {
                    '’' => self.words.push('\''),
                    _ if c.is_ascii() => self.words.push(c.to_ascii_lowercase()),
                    _ => self.words.extend(c.to_lowercase()),
                }
            }
            self.words.push(' ');
        }
    }

    fn count(&mut self, c: char) {
        self.letters += 1;
        match c {
            _ if c.is_ascii() || ('\u{c0}'..='\u{24f}').contains(&c) => self.latin += 1,
            '\u{1e00}'..='\u{1eff}' => self.latin += 1,
            '\u{3040}'..='\u{30ff}' => self.kana += 1,
            '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => self.han += 1,
            _ => {
                let at = SCRIPTS.iter().position(|(first, last, _)| (*first..=*last).contains(&c));
                if let Some(count) = at.and_then(|at| self.scripts.get_mut(at)) {
                    *count += 1;
                }
            }
        }
    }

    /// The language, where the script of most letters is used by one alone. An ideograph says as much as two letters.
    fn by_script(&self) -> Option<&'static str> {
        let east_asian = 2 * (self.han + self.kana);
        let most =
            self.scripts.iter().zip(SCRIPTS).map(|(count, (_, _, code))| (*count, code)).max_by_key(|m| m.0);
        match most {
            Some((count, code)) if count > 1 && count >= self.latin.max(east_asian) => Some(code),
            _ if east_asian < 4 || east_asian < self.latin => None,
            // Japanese cannot do without kana for long; a few in a Chinese text are names.
            _ if self.kana * 8 >= self.han.max(1) => Some("ja"),
            _ => Some("zh"),
        }
    }
}

/// A combining mark, which belongs to the letter before it: Latin accents, and the vowel signs of Indic and Thai.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{dff}' | '\u{e31}'..='\u{e4e}' | '\u{1000}'..='\u{109f}')
}

/// Addresses, paths, identifiers, expressions.
fn looks_like_code(piece: &str) -> bool {
    let inner = piece.trim_matches(|c: char| !c.is_alphanumeric());
    let marks = |c: char| matches!(c, '_' | '/' | '\\' | '=' | '<' | '>' | '{' | '}' | '@' | '#' | '$' | '|');
    inner.contains(marks)
        || inner.contains("::")
        || inner.contains("()")
        || piece.starts_with(['$', '\\', '@'])
}

#[cfg(test)]
mod tests;
