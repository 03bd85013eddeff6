//! Hosts, base URLs and provider ids stand as string literals under `router-providers/src/provider/` and nowhere else,
//! so that a new provider is a row. Literals inside macros count; docs, attributes and tests do not.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::measure;

/// Folders where they may stand.
const HOME: &[&str] = &["crates/router-providers/src/provider/", "crates/router-providers/src/provider.rs"];

/// Provider ids, as in the provider table.
const PROVIDERS: &[&str] = &[
    "openai",
    "anthropic",
    "gemini",
    "deepseek",
    "mistral",
    "dashscope",
    "xai",
    "groq",
    "openrouter",
    "ollama",
    "vllm",
    "llamacpp",
    "azure",
    "bedrock",
    "vertex",
    "together",
    "fireworks",
    "cerebras",
    "cohere",
    "perplexity",
];

/// Provider ids that are also names of dialects, and the folders where they may stand as such.
const DIALECTS: (&[&str], &[&str]) = (
    &["anthropic", "gemini", "bedrock"],
    &["crates/router-core/src/chat/", "crates/router-providers/src/dialect/"],
);

/// This file has to name what it looks for.
const SELF: &str = "xtask/src/tidy/names.rs";

/// URLs that identify and are never called.
const IDENTIFIERS: &[&str] = &["https://json-schema.org/"];

/// Ends of host names that are no file endings or Rust paths.
const TOP_LEVEL: &[&str] = &["com", "ai", "net", "org", "cn", "cloud", "dev", "io", "app"];

/// Line and text of every literal that is out of place.
pub(super) fn check(path: &str, file: &syn::File) -> Vec<(usize, String)> {
    // An example is documentation.
    let example = path.contains("/examples/");
    if path == SELF || example || HOME.iter().any(|home| path.starts_with(home)) {
        return Vec::new();
    }
    let mut literals = Literals::default();
    literals.visit_file(file);
    let judged = literals.found.into_iter().filter_map(|(line, text)| Some((line, judge(path, &text)?)));
    judged.collect()
}

/// What is wrong with a literal, if anything is.
fn judge(path: &str, text: &str) -> Option<String> {
    let id = text.split('/').next().unwrap_or_default();
    let as_dialect = id == text && DIALECTS.0.contains(&id) && DIALECTS.1.iter().any(|d| path.starts_with(d));
    if PROVIDERS.contains(&id) && !as_dialect {
        return Some(format!("names a provider, \"{id}\": providers are rows of the provider table"));
    }
    let host = host_in(text)?;
    Some(format!("names a host, \"{host}\": addresses stand in the provider table"))
}

/// The first host or base URL in a text.
fn host_in(text: &str) -> Option<&str> {
    let known = IDENTIFIERS.iter().any(|url| text.starts_with(url));
    (!known).then(|| text.split(|c: char| !is_host_char(c) && c != ':' && c != '/').find_map(host_of_word))?
}

/// The host in a word without spaces: after a scheme, or with a known ending.
fn host_of_word(word: &str) -> Option<&str> {
    let after_scheme = word.split_once("://").filter(|(scheme, _)| scheme.starts_with("http"));
    let rest = after_scheme.map_or(word, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default().trim_end_matches('.');
    let ending = host.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map(|(_, ending)| ending);
    let named = ending.is_some_and(|ending| TOP_LEVEL.contains(&ending));
    let called = after_scheme.is_some() && host.starts_with(|c: char| c.is_ascii_alphanumeric());
    (named || called).then_some(host)
}

fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '.'
}

/// String literals with their lines.
#[derive(Default)]
struct Literals {
    found: Vec<(usize, String)>,
}

impl Literals {
    fn add(&mut self, literal: &syn::Lit) {
        let text = match literal {
            syn::Lit::Str(text) => text.value(),
            syn::Lit::ByteStr(bytes) => String::from_utf8_lossy(&bytes.value()).into_owned(),
            _ => return,
        };
        self.found.push((literal.span().start().line, text));
    }

    fn add_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Literal(literal) => self.add(&syn::Lit::new(literal)),
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Literals {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_lit(&mut self, literal: &'ast syn::Lit) {
        self.add(literal);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.add_tokens(node.tokens.clone());
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !measure::is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !measure::is_test(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, expected: Option<&str>) {
        let found = judge("crates/router-core/src/x.rs", text);
        let fits = match (&found, expected) {
            (Some(found), Some(expected)) => found.contains(expected),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(fits, "{text}: {found:?}, expected {expected:?}");
    }

    #[test]
    fn literals() {
        for (text, expected) in [
            ("https://api.deepseek.com", Some("a host, \"api.deepseek.com\"")),
            ("http://127.0.0.1:11434/v1", Some("a host, \"127.0.0.1\"")),
            ("http://localhost", Some("a host, \"localhost\"")),
            ("see api.example.ai for more", Some("a host, \"api.example.ai\"")),
            ("generativelanguage.googleapis.com:443", Some("googleapis.com")),
            ("groq", Some("a provider, \"groq\"")),
            ("openai/gpt-4o", Some("a provider, \"openai\"")),
            ("anthropic", Some("a provider, \"anthropic\"")),
            ("listening on http://{address}", None),
            ("https://json-schema.org/draft/2020-12/schema", None),
            ("openai_chat", None),
            ("127.0.0.1:4000", None),
            ("config/router.yaml", None),
            ("compare the two. net of that", None),
            ("std::io", None),
        ] {
            check_text(text, expected);
        }
    }

    #[test]
    fn a_dialect_may_bear_its_name_at_home() {
        assert_eq!(judge("crates/router-core/src/chat/envelope.rs", "anthropic"), None);
        assert!(judge("crates/router-core/src/chat/envelope.rs", "anthropic/claude").is_some());
        assert!(judge("crates/router-core/src/chat/envelope.rs", "openai").is_some());
    }

    #[test]
    fn macros_and_bytes_count_and_docs_and_tests_do_not() {
        let text = r#"
            //! https://docs.example.com
            /// https://docs.example.com
            fn f() { json!({ "a": ["groq"] }); let b = b"api.x.ai"; }
            #[cfg(test)] mod tests { const A: &str = "groq"; }
            #[test] fn g() { h("groq"); }
        "#;
        let found = check("a/src/x.rs", &syn::parse_file(text).unwrap());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|(line, _)| *line == 4));
    }
}
