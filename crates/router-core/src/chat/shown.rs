//! What the client has already seen of a streamed answer: enough to say whether it is empty, and later to go on from it.

/// The visible part of an answer so far. Text is kept up to a cap; past it, `capped` says so and no rescue is possible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    text: String,
    capped: bool,
    /// Anything of a tool call was shown.
    pub tool: bool,
    /// Anything of the reasoning was shown.
    pub reasoning: bool,
    /// A refusal was shown.
    pub refusal: bool,
    /// Anything beside text was shown: an image, sound.
    pub media: bool,
}

/// Bytes of text kept: 256 KiB, about 64,000 tokens, above every current model's answer but the longest.
const CAP_BYTES: usize = 256 * 1024;

impl Shown {
    /// Appends visible text.
    pub fn push_text(&mut self, text: &str) {
        if self.capped || self.text.len() + text.len() > CAP_BYTES {
            self.capped = true;
            return;
        }
        self.text.push_str(text);
    }

    /// The text shown, whole unless [`Shown::is_capped`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// More was shown than is kept.
    pub fn is_capped(&self) -> bool {
        self.capped
    }

    /// Nothing at all was shown.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.capped && !self.tool && !self.reasoning && !self.refusal && !self.media
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_over_the_cap_is_said_not_kept() {
        let mut shown = Shown::default();
        assert!(shown.is_empty());
        shown.push_text(&"x".repeat(CAP_BYTES));
        assert!(!shown.is_capped());
        shown.push_text("y");
        assert!(shown.is_capped() && !shown.is_empty());
        assert_eq!(shown.text().len(), CAP_BYTES);
    }
}
