//! Text statistics and, with a deployment's calibration, token estimates and bounds. No tokenizer: counting exactly
//! costs more than the whole request may.

use serde::{Deserialize, Serialize};

/// Counts over a text, one pass, additive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextStats {
    /// Bytes of the text (unescaped).
    pub bytes: u64,
    /// ASCII words: runs of letters.
    pub words: u64,
    /// ASCII letters.
    pub letters: u64,
    /// ASCII digits.
    pub digits: u64,
    /// ASCII punctuation and symbols.
    pub symbols: u64,
    /// Runs of white space of two or more, and line breaks.
    pub breaks: u64,
    /// Code points of two bytes (Latin with accents, Greek, Cyrillic, Hebrew, Arabic).
    pub two_byte: u64,
    /// Code points of three bytes (CJK, Indic, Thai and other scripts).
    pub three_byte: u64,
    /// Code points of four bytes (emoji, rare ideographs).
    pub four_byte: u64,
}
