//! `${NAME}`, `${NAME:-default}`, `${file:/path}` and `$$`, replaced in parsed scalars, never in the file's text: a value
//! can never add structure.

use serde_json::Value;

/// Where values come from: the process's environment and files, or a test's table.
pub(crate) trait Sources {
    /// An environment variable that is set and valid Unicode.
    fn variable(&self, name: &str) -> Option<String>;
    /// A file's text.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// The process's environment and file system.
pub(crate) struct ProcessSources;

impl Sources for ProcessSources {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map(|text| text.trim_end().to_owned()).map_err(|e| e.to_string())
    }
}

/// One thing that could not be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Path of the scalar, as `providers.openai.api_key` or `keys[0].secret`.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) message: String,
}

/// What could not be replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// Errors.
    pub(crate) missing: Vec<Missing>,
    /// Keys of providers: null now, which turns the provider off.
    pub(crate) keys: Vec<Missing>,
}

/// Replaces everything in place; a provider's key whose variable is missing becomes null, which turns the provider off.
pub(crate) fn substitute(value: &mut Value, sources: &dyn Sources) -> Gaps {
    let mut gaps = Gaps::default();
    walk(value, &mut String::new(), sources, &mut gaps);
    gaps
}

fn walk(value: &mut Value, path: &mut String, sources: &dyn Sources, gaps: &mut Gaps) {
    let length = path.len();
    match value {
        Value::String(text) if text.contains('$') => match expand(text, sources) {
            Ok(expanded) => *text = expanded,
            Err(failure) => {
                let gap = Missing { path: path.clone(), message: failure.to_string() };
                if matches!(failure, Failure::NotSet(_)) && is_provider_key(path) {
                    *value = Value::Null;
                    gaps.keys.push(gap);
                } else {
                    gaps.missing.push(gap);
                }
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(item, path, sources, gaps);
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                walk(member, path, sources, gaps);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// `providers.<name>.api_key` and `providers.<name>.keys[i].api_key`.
fn is_provider_key(path: &str) -> bool {
    path.starts_with("providers.") && path.ends_with(".api_key")
}

#[derive(Debug, PartialEq, Eq)]
enum Failure {
    NotSet(String),
    File(String, String),
    Unclosed,
    Stray,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSet(name) => write!(f, "environment variable {name} is not set"),
            Self::File(path, why) => write!(f, "file {path} cannot be read: {why}"),
            Self::Unclosed => write!(f, "\"${{\" without \"}}\""),
            Self::Stray => write!(f, "a single \"$\": write \"$$\" for a dollar sign, or \"${{NAME}}\""),
        }
    }
}

fn expand(text: &str, sources: &dyn Sources) -> Result<String, Failure> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').ok_or(Failure::Unclosed)?;
            out.push_str(&lookup(&after[..end], sources)?);
            rest = &after[end + 1..];
        } else if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            // `$NAME` is a slip; a dollar before anything else (the end of a regular expression) can mean nothing here.
            return Err(Failure::Stray);
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn lookup(expression: &str, sources: &dyn Sources) -> Result<String, Failure> {
    if let Some(path) = expression.strip_prefix("file:") {
        return sources.file(path).map_err(|why| Failure::File(path.to_owned(), why));
    }
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    // As in a shell, `:-` also replaces an empty value; and an empty credential is none.
    match (sources.variable(name).filter(|v| !v.is_empty()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Failure::NotSet(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Table;

    impl Sources for Table {
        fn variable(&self, name: &str) -> Option<String> {
            [("A", "alpha"), ("EVIL", "x\"}\nserver: {}"), ("EMPTY", "")]
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        }

        fn file(&self, path: &str) -> Result<String, String> {
            if path == "/key" { Ok("from-file".into()) } else { Err("no such file".into()) }
        }
    }

    fn check(text: &str, expected: Result<&str, &str>) {
        let got = expand(text, &Table).map_err(|e| e.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn each_form() {
        check("${A}", Ok("alpha"));
        check("<${A}-${A}>", Ok("<alpha-alpha>"));
        check("${B:-beta}", Ok("beta"));
        check("${EMPTY:-beta}", Ok("beta"));
        check("${B:-}", Ok(""));
        check("${file:/key}", Ok("from-file"));
        check("5$$", Ok("5$"));
        check("$${A}", Ok("${A}"));
        check("${B}", Err("environment variable B is not set"));
        check("${file:/no}", Err("file /no cannot be read: no such file"));
        check("${A", Err("\"${\" without \"}\""));
        check("^(en|fr)$", Ok("^(en|fr)$"));
        check("$ 5", Ok("$ 5"));
        check("$A", Err("a single \"$\": write \"$$\" for a dollar sign, or \"${NAME}\""));
    }

    #[test]
    fn a_value_never_adds_structure_and_a_missing_one_is_named_with_its_path() {
        let mut value = json!({
            "server": { "admin_key": "${EVIL}" },
            "keys": [{ "secret": "${NOPE}" }],
            "providers": { "openai": { "api_key": "${NOPE}" }, "azure": { "keys": [{ "api_key": "${NOPE}" }] } }
        });
        let Gaps { missing, keys } = substitute(&mut value, &Table);
        assert_eq!(value["server"]["admin_key"], "x\"}\nserver: {}");
        assert!(value["providers"]["openai"]["api_key"].is_null());
        assert!(value["providers"]["azure"]["keys"][0]["api_key"].is_null());
        let off: Vec<_> = keys.iter().map(|gap| gap.path.as_str()).collect();
        assert_eq!(off, ["providers.azure.keys[0].api_key", "providers.openai.api_key"]);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].path, "keys[0].secret");
        assert!(missing[0].message.contains("NOPE"));
    }
}
