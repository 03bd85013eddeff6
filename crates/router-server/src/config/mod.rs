//! Configuration from where it lies: files, environment, embedded defaults. What it means is core's to check.

mod substitute;

use std::fmt;
use std::path::{Path, PathBuf};

use router_core::catalog::Catalog;
use router_core::config::{self, Checked, NoteKind, Problem};
use router_providers::provider::known;
use serde_json::Value;

pub(crate) use substitute::{ProcessSources, Sources};

/// The annotated default, as in `config/router.yaml`.
const DEFAULT_CONFIG: &str = include_str!("../../../../config/router.yaml");
/// Models and prices, as in `config/catalog.yaml`.
const DEFAULT_CATALOG: &str = include_str!("../../../../config/catalog.yaml");
/// Where a configuration is looked for when none is named.
pub(crate) const DEFAULT_PATH: &str = "config/router.yaml";

/// Where a configuration comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, YAML or JSON.
    File(PathBuf),
    /// The defaults inside the binary.
    Embedded,
    /// A text given by the caller, with the directory its relative paths start from.
    Text {
        /// YAML or JSON.
        text: String,
        /// Where relative paths start.
        base: PathBuf,
    },
}

impl Source {
    /// The file named, or the default one, or what is embedded when that does not exist.
    pub fn find(named: Option<PathBuf>) -> Self {
        match named {
            Some(path) => Self::File(path),
            None if Path::new(DEFAULT_PATH).exists() => Self::File(DEFAULT_PATH.into()),
            None => Self::Embedded,
        }
    }

    /// Where relative paths in it start.
    fn base(&self) -> PathBuf {
        match self {
            Self::File(path) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
            Self::Embedded => PathBuf::new(),
            Self::Text { base, .. } => base.clone(),
        }
    }

    /// The file to watch for changes, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Embedded | Self::Text { .. } => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Embedded => f.write_str("embedded defaults"),
            Self::Text { .. } => f.write_str("given text"),
        }
    }
}

/// Of a given text nothing is shown: secrets may stand in it.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A configuration that cannot be used: every problem, each with its path.
#[derive(Debug)]
pub struct Unusable {
    /// Where it came from.
    pub(crate) source: Source,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        for (n, problem) in self.problems.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Unusable {}

/// A configuration ready for use, with the directory its relative paths start from.
#[derive(Debug)]
pub struct Loaded {
    /// What was checked.
    pub(crate) checked: Checked,
    /// Where relative paths start.
    pub(crate) base: PathBuf,
}

impl Loaded {
    /// A path of the configuration, made usable from the working directory.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.base.join(written)
    }
}

/// Reads, substitutes and checks.
///
/// # Errors
/// Everything wrong with it.
pub fn load(source: &Source) -> Result<Loaded, Unusable> {
    load_with(source, &ProcessSources)
}

fn load_with(source: &Source, sources: &dyn Sources) -> Result<Loaded, Unusable> {
    let unusable = |problems| Unusable { source: source.clone(), problems };
    let one = |message: String| unusable(vec![Problem::new("", message)]);
    let text = match source {
        Source::File(path) => {
            std::fs::read_to_string(path).map_err(|e| one(format!("cannot be read: {e}")))?
        }
        Source::Embedded => DEFAULT_CONFIG.to_owned(),
        Source::Text { text, .. } => text.clone(),
    };
    let mut value = parsed(&text).map_err(|why| one(format!("is not YAML or JSON: {why}")))?;
    if value.is_null() {
        value = Value::Object(serde_json::Map::new());
    }
    let gaps = substitute::substitute(&mut value, sources);
    if !gaps.missing.is_empty() {
        return Err(unusable(gaps.missing.into_iter().map(|m| Problem::new(m.path, m.message)).collect()));
    }
    let file = config::parse(&value).map_err(&unusable)?;
    let catalog = catalog().map_err(one)?;
    // The check sees that a key has no value; only here is it known which variable would have given it one.
    let gap_below = |path: &str| {
        let own = format!("{path}.");
        gaps.keys.iter().find(|gap| gap.path.starts_with(&own))
    };
    let mut checked = config::check(&file, &catalog, &known()).map_err(|mut problems| {
        for problem in problems.iter_mut().filter(|problem| problem.text.starts_with(config::REQUIRED)) {
            if let Some(gap) = gap_below(&problem.path) {
                problem.text = format!("{}, and is off: {}", config::REQUIRED, gap.message);
            }
        }
        unusable(problems)
    })?;
    for note in checked.notes.iter_mut().filter(|note| note.kind == NoteKind::ProviderOff) {
        if let Some(gap) = gap_below(&note.path) {
            note.text = format!("is off: {}", gap.message);
        }
    }
    Ok(Loaded { checked, base: source.base() })
}

/// YAML 1.2, of which JSON is a part: `off`, `no` and `y` are texts, as in `decision_log: off` and `language: no`. The
/// error is one line that shows none of the file's, since a secret may stand there.
fn parsed(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let words = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    })
}

/// The catalog inside the binary.
fn catalog() -> Result<Catalog, String> {
    let damaged = |what: String| format!("the embedded catalog is damaged: {what}");
    let value: Value = parsed(DEFAULT_CATALOG).map_err(damaged)?;
    config::parse_catalog(&value).map_err(|problems| damaged(format!("{problems:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_older_yaml_took_for_booleans_are_texts() {
        let value = parsed("decision_log: off\nlanguage: no\nsecret: y\nenabled: true\n").unwrap();
        let expected = serde_json::json!({
            "decision_log": "off", "language": "no", "secret": "y", "enabled": true
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn no_shipped_limit_cuts_a_model_that_reasons_for_two_minutes() {
        let catalog: router_core::catalog::Catalog =
            serde_json::from_value(parsed(DEFAULT_CATALOG).unwrap()).unwrap();
        let reasons = |entry: &&router_core::catalog::Entry| {
            entry.capabilities.contains(router_core::capability::Capabilities::REASONING)
        };
        let mut count = 0;
        for entry in catalog.entries.iter().filter(reasons) {
            let limits = catalog.time_limits(entry);
            for limit in [limits.first_byte_ms, limits.answer_ms, limits.idle_ms] {
                assert!(limit.is_some_and(|ms| ms > 120_000), "{}: {limits:?}", entry.model);
            }
            count += 1;
        }
        assert!(count > 10, "the catalog has models that reason: {count}");
    }

    #[test]
    fn a_given_text_is_not_shown() {
        let text = "providers: { up: { dialect: openai_chat, api_key: hush, nope: 1 } }".to_owned();
        let source = Source::Text { text, base: PathBuf::new() };
        let shown = format!("{source:?} {:?}", load(&source).unwrap_err());
        assert!(shown.contains("given text") && shown.contains("nope") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn an_error_is_one_line_with_its_place_and_nothing_of_the_file() {
        let check = |text: &str, place: &str| {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(place), "{error}");
            assert!(!error.contains("hush") && !error.contains('\n'), "{error}");
        };
        check("keys: [{ secret: hush }\n", "line 1");
        check("api_key: hush\n\ttabs: hush\n", "line 1");
        check("a: hush\na: hush\n", "line 2");
        check("a: hush\n---\nb: hush\n", "line 3");
    }
}
