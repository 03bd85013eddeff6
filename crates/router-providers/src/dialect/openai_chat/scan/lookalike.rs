//! Members that are not ours by their letters, but that an upstream may read as ours: Go's JSON reader, which several local
//! servers are built on, does not tell upper from lower case, and of two members that mean the same the last one counts. What
//! this server has checked would not be what is done.

use std::borrow::Cow;

/// What decides who answers, how much of it, and how the answer is read.
const READ: [&str; 18] = [
    "model",
    "models",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "functions",
    "response_format",
    "service_tier",
    "reasoning_effort",
    "modalities",
    "provider",
    "fallbacks",
    "router",
];

/// The member of ours that this name is taken for where letters are not compared to the bit.
pub(super) fn of(name: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.bytes().all(plain) {
        return None;
    }
    let folded = folded(name);
    READ.into_iter().find(|read| *read == folded)
}

/// Lower case, as Unicode folds it simply: beside the capitals, the long s and the Kelvin sign are ASCII letters then.
fn folded(name: &str) -> Cow<'_, str> {
    let fold =
        |letter: char| if letter == 'ſ' { 's' } else { letter.to_lowercase().next().unwrap_or(letter) };
    // Readers in C take a text to end at its first zero.
    name.split('\0').next().unwrap_or_default().chars().map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_some_reader_takes_for_ours_is_known() {
        for (name, expected) in [
            ("Model", Some("model")),
            ("MODEL", Some("model")),
            ("max_Tokens", Some("max_tokens")),
            ("max_toKens", Some("max_tokens")),
            ("meſſages", Some("messages")),
            ("model\0x", Some("model")),
            ("N", Some("n")),
            ("topK", None),
            ("top_k", None),
            ("x-model", None),
            ("modèle", None),
            ("", None),
        ] {
            assert_eq!(of(name), expected, "{name}");
        }
    }
}
