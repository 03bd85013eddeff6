//! Forty prompts of our own words, as chat bodies without a model.

use std::path::PathBuf;

use serde_json::Value;

/// Where they lie: one JSON object per line, with `name`, and `body` for a chat request.
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/prompts.jsonl")
}

/// All of them.
///
/// # Panics
/// When the file cannot be read.
pub fn all() -> Vec<Value> {
    let path = path();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

/// The body of the one with this name.
///
/// # Panics
/// When there is none.
pub fn body(name: &str) -> Value {
    let mut all = all().into_iter();
    all.find(|prompt| prompt["name"] == name).unwrap_or_else(|| panic!("no prompt {name:?}"))["body"].take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_forty_with_names_of_their_own() {
        let all = all();
        let names: std::collections::BTreeSet<_> =
            all.iter().map(|prompt| prompt["name"].to_string()).collect();
        assert_eq!((all.len(), names.len()), (40, 40));
        assert!(
            all.iter()
                .all(|prompt| prompt["body"]["messages"].is_array() && prompt["body"]["model"].is_null())
        );
    }
}
