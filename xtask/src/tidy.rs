//! The rules of DESIGN section 5 that a compiler does not check. The arrows and the exceptions are data, right here.
//!
//! What is measured, and how, stands with each check: `graph` (arrows and dependency trees), `licences`, `measure`
//! (length, parameters, nesting), `names` (hosts, base URLs, provider ids), `source` (one file).

mod graph;
mod licences;
mod measure;
mod names;
mod source;
mod violation;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use graph::Graph;
use violation::Violation;

/// Which workspace package may depend on which; nothing else is allowed (DESIGN section 2).
const ARROWS: &[(&str, &[&str])] = &[
    ("router-core", &[]),
    ("router-classify", &["router-core"]),
    ("router-providers", &["router-core"]),
    ("router-ledger", &["router-core", "router-test-postgres"]),
    ("router-server", &["router-core", "router-classify", "router-providers", "router-ledger"]),
    ("router-tests", &["router-core", "router-server", "router-test-postgres"]),
    ("router-test-postgres", &[]),
    ("xtask", &["router-core"]),
];

/// Arrows allowed for optional dependencies only, behind a feature.
const OPTIONAL_ARROWS: &[(&str, &[&str])] =
    &[("xtask", &["router-classify", "router-ledger", "router-server"])];

/// Packages that must not stand anywhere in a member's tree of normal dependencies.
const BARRED: &[(&str, &[&str])] =
    &[("router-core", &["tokio", "hyper", "sqlx", "ort"]), ("router-classify", &["tokio", "hyper", "sqlx"])];

/// Longest file without its tests, in lines.
const FILE_LINES: usize = 400;
/// Longest function, in lines.
const FUNCTION_LINES: usize = 60;
/// Most parameters, `self` included.
const PARAMETERS: usize = 5;
/// Deepest nesting inside a function.
const NESTING: usize = 4;
/// Most exceptions in the whole project, those of clippy (`#[expect]`) included.
const EXCEPTIONS: usize = 10;
/// Longest file and function an exception may allow.
const HARD_LIMITS: (usize, usize) = (600, 100);
/// Files with a limit of their own.
const OWN_LIMITS: &[(&str, usize)] = &[("crates/router-server/src/main.rs", 59)];

/// What may be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    File,
    Function,
}

/// One exception to a limit, with its reason.
struct Exception {
    path: &'static str,
    limit: Limit,
    /// The function; empty for a file.
    item: &'static str,
    allowed: usize,
    reason: &'static str,
}

/// Every exception. Empty is best.
const EXCEPTED: &[Exception] = &[];

/// Files that may contain `unsafe`, with the reason.
const UNSAFE: &[(&str, &str)] = &[];

/// Checks the whole workspace.
///
/// # Errors
/// When there are violations (each is printed), or the workspace cannot be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let files = rust_files(root)?;
    let mut found = exceptions_in_order(EXCEPTED);
    let mut expects = 0;
    let mut texts = Vec::new();
    for path in &files {
        texts.push(std::fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?);
    }
    let sources = || files.iter().zip(&texts);
    let for_tests: Vec<String> =
        sources().flat_map(|(path, text)| source::test_modules(path, text)).collect();
    for (path, text) in sources() {
        let report = source::check(path, text, source::is_in(path, &for_tests));
        expects += report.expects;
        found.extend(report.violations);
    }
    let all = EXCEPTED.len() + expects;
    if all > EXCEPTIONS {
        found.push(Violation::new(
            "xtask/src/tidy.rs",
            1,
            format!("{all} exceptions ({expects} of them #[expect]); at most {EXCEPTIONS} in all"),
        ));
    }
    let graph = Graph::of_workspace(root)?;
    found.extend(graph.check(ARROWS, OPTIONAL_ARROWS, BARRED));
    let deny = std::fs::read_to_string(root.join("deny.toml")).context("reading deny.toml")?;
    found.extend(licences::check(&graph, &deny));
    found.sort();
    for violation in &found {
        println!("{violation}");
    }
    match found.len() {
        0 => {
            println!("tidy: {} files, {} packages, nothing to mend", files.len(), graph.packages.len());
            Ok(())
        }
        n => bail!("tidy: {n} violations"),
    }
}

/// Exceptions that are themselves out of bounds.
fn exceptions_in_order(excepted: &[Exception]) -> Vec<Violation> {
    let hard = |e: &Exception| match e.limit {
        Limit::File => HARD_LIMITS.0,
        Limit::Function => HARD_LIMITS.1,
    };
    let wrong = excepted.iter().filter(|e| e.allowed > hard(e) || e.reason.is_empty());
    wrong
        .map(|e| {
            Violation::new(
                e.path,
                1,
                format!("an exception may allow {} at most, and needs a reason", hard(e)),
            )
        })
        .collect()
}

/// The limit in force: the exception's, or the common one.
fn limit_of(path: &str, limit: Limit, item: &str, common: usize) -> usize {
    let excepted = EXCEPTED.iter().find(|e| e.path == path && e.limit == limit && e.item == item);
    excepted.map_or(common, |e| e.allowed)
}

/// Every Rust file of the workspace, relative to it, with `/`, in order. Build output is left out.
fn rust_files(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = ["crates", "tests", "xtask"].iter().map(|d| root.join(d)).collect();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != "testdata") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let relative = path.strip_prefix(root).unwrap_or(&path);
                files.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_have_bounds_and_reasons() {
        let with = |limit, allowed, reason| {
            exceptions_in_order(&[Exception { path: "x.rs", limit, item: "f", allowed, reason }]).len()
        };
        assert_eq!(with(Limit::File, 600, "why"), 0);
        assert_eq!(with(Limit::File, 601, "why"), 1);
        assert_eq!(with(Limit::Function, 100, "why"), 0);
        assert_eq!(with(Limit::Function, 101, "why"), 1);
        assert_eq!(with(Limit::Function, 70, ""), 1);
    }

    #[test]
    fn the_files_of_the_workspace_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = rust_files(root).unwrap();
        for path in ["xtask/src/tidy.rs", "crates/router-core/src/lib.rs", "tests/it/main.rs"] {
            assert!(files.iter().any(|file| file == path), "{path} in {files:?}");
        }
    }
}
