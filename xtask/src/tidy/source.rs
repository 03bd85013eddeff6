//! The checks of one source file: its opening line, its length, its functions, its literals, `unsafe` and `#[allow]`.

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::violation::Violation;
use super::{FILE_LINES, FUNCTION_LINES, Limit, NESTING, OWN_LIMITS, PARAMETERS, UNSAFE, limit_of};
use super::{measure, names};

/// What was found in one file.
#[derive(Default)]
pub(super) struct Report {
    /// Rules that do not hold.
    pub(super) violations: Vec<Violation>,
    /// `#[expect]` attributes outside tests.
    pub(super) expects: usize,
}

/// Tests by their place: under a `tests` folder, or a file `tests.rs`. They have no limits of length and may name
/// hosts; everything else holds for them too.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Where the modules are that a file declares for tests only (`#[cfg(test)] mod suite;`): paths without `.rs`.
pub(super) fn test_modules(path: &str, text: &str) -> Vec<String> {
    let Ok(file) = syn::parse_file(text) else { return Vec::new() };
    let stem = path.trim_end_matches(".rs");
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let home = if matches!(name, "mod" | "lib" | "main") { folder } else { stem };
    let modules = file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() && measure::is_test(&module.attrs) => {
            Some(format!("{home}/{}", module.ident))
        }
        _ => None,
    });
    modules.collect()
}

/// Whether a file belongs to one of the modules declared for tests only.
pub(super) fn is_in(path: &str, modules: &[String]) -> bool {
    modules.iter().any(|module| {
        let rest = path.strip_prefix(module.as_str());
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

/// Checks the text of one file at a path relative to the workspace. `for_tests`: it is declared for tests only.
pub(super) fn check(path: &str, text: &str, for_tests: bool) -> Report {
    let mut report = Report::default();
    let mut add = |line: usize, text: String| report.violations.push(Violation::new(path, line, text));
    if !text.starts_with("//! ") {
        add(1, "opens without `//!`: one sentence on what is here".into());
    }
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => {
            add(error.span().start().line, format!("cannot be parsed: {error}"));
            return report;
        }
    };
    if !UNSAFE.iter().any(|(allowed, _)| *allowed == path) {
        let tokens = text.parse::<TokenStream>().unwrap_or_default();
        keyword_lines(tokens, "unsafe", &mut |line| {
            add(line, "`unsafe` outside a named, justified file".into());
        });
    }
    let mut attributes = Attributes::default();
    attributes.visit_file(&file);
    for line in attributes.allows {
        add(line, "`#[allow]`: use `#[expect(lint, reason = \"...\")]`, and only where justified".into());
    }
    for line in attributes.unreasoned {
        add(line, "`#[expect]` without a reason".into());
    }
    if for_tests || is_test_file(path) {
        return report;
    }
    let lines = text.lines().count() - measure::test_lines(&file);
    let own = OWN_LIMITS.iter().find(|(p, _)| *p == path).map_or(FILE_LINES, |(_, lines)| *lines);
    let limit = limit_of(path, Limit::File, "", own);
    if lines > limit {
        add(1, format!("{lines} lines without tests; at most {limit}"));
    }
    for function in measure::functions(&file) {
        let limit = limit_of(path, Limit::Function, &function.name, FUNCTION_LINES);
        let mut over = |what: &str, is: usize, limit: usize| {
            if is > limit {
                add(function.line, format!("`{}` has {is} {what}; at most {limit}", function.name));
            }
        };
        over("lines", function.lines, limit);
        over("parameters", function.parameters, PARAMETERS);
        over("levels of nesting", function.nesting, NESTING);
    }
    for (line, text) in names::check(path, &file) {
        add(line, text);
    }
    report.expects = attributes.expects;
    report
}

/// Calls back with the line of every identifier equal to `word`, inside macros too.
fn keyword_lines(tokens: TokenStream, word: &str, found: &mut impl FnMut(usize)) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => keyword_lines(group.stream(), word, found),
            TokenTree::Ident(ident) if ident == word => found(ident.span().start().line),
            _ => {}
        }
    }
}

/// Lint attributes of a file.
#[derive(Default)]
struct Attributes {
    allows: Vec<usize>,
    unreasoned: Vec<usize>,
    expects: usize,
}

impl<'ast> Visit<'ast> for Attributes {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let line = attribute.span().start().line;
        if attribute.path().is_ident("allow") {
            self.allows.push(line);
        }
        if attribute.path().is_ident("expect") {
            self.expects += 1;
            let tokens = attribute.meta.require_list().map(|list| list.tokens.to_string());
            if !tokens.unwrap_or_default().contains("reason") {
                self.unreasoned.push(line);
            }
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !measure::is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The violations of a file at a path, `line: text`, against the beginnings expected.
    fn check_at(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> =
            check(path, text, false).violations.iter().map(ToString::to_string).collect();
        let fits = found.len() == expected.len()
            && found.iter().zip(expected).all(|(is, should)| is.contains(&format!("{path}:{should}")));
        assert!(fits, "{found:#?}\nexpected {expected:#?}");
    }

    fn check_src(text: &str, expected: &[&str]) {
        check_at("crates/router-core/src/x.rs", text, expected);
    }

    #[test]
    fn opening_line() {
        check_src("//! What is here.\n", &[]);
        check_src("// What is here.\n", &["1: opens without"]);
        check_src("//!\nfn f() {}\n", &["1: opens without"]);
        check_at("tests/it/main.rs", "use a;\n", &["1: opens without"]);
    }

    #[test]
    fn file_length() {
        let long = |n: usize| format!("//! X.\n{}", "// y\n".repeat(n));
        check_src(&long(399), &[]);
        check_src(&long(400), &["1: 401 lines without tests; at most 400"]);
        check_at("crates/router-core/src/x/tests.rs", &long(900), &[]);
        check_at("tests/src/lib.rs", &long(900), &[]);
        check_at("crates/router-server/src/main.rs", &long(58), &[]);
        check_at("crates/router-server/src/main.rs", &long(59), &["1: 60 lines without tests; at most 59"]);
        let with_tests = format!("//! X.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "// y\n".repeat(500));
        check_src(&with_tests, &[]);
    }

    #[test]
    fn functions() {
        let function = |n: usize| format!("//! X.\nfn f() {{\n{}}}\n", "    g();\n".repeat(n));
        check_src(&function(58), &[]);
        check_src(&function(59), &["2: `f` has 61 lines; at most 60"]);
        check_at("tests/it/x.rs", &function(500), &[]);
        check_src("//! X.\nfn f(a: A, b: B, c: C, d: D, e: E) {}\n", &[]);
        check_src(
            "//! X.\nfn f(a: A, b: B, c: C, d: D, e: E, g: G) {}\n",
            &["2: `f` has 6 parameters; at most 5"],
        );
        check_src("//! X.\nfn f() { if a { if b { if c { if d { } } } } }\n", &[]);
        check_src(
            "//! X.\nfn f() { if a { if b { if c { if d { loop {} } } } } }\n",
            &["2: `f` has 5 levels of nesting; at most 4"],
        );
    }

    #[test]
    fn lints_are_not_switched_off() {
        check_src("//! X.\nfn f() { unsafe { g() } }\n", &["2: `unsafe`"]);
        check_src("//! X.\nm! { unsafe { g() } }\n", &["2: `unsafe`"]);
        check_at("tests/it/x.rs", "//! X.\nfn f() { unsafe { g() } }\n", &["2: `unsafe`"]);
        check_src("//! X.\n#[allow(dead_code)]\nfn f() {}\n", &["2: `#[allow]`"]);
        check_src("//! X.\n#[expect(dead_code)]\nfn f() {}\n", &["2: `#[expect]` without a reason"]);
        let expects =
            check("a/src/x.rs", "//! X.\n#[expect(dead_code, reason = \"r\")]\nfn f() {}\n", false).expects;
        assert_eq!(expects, 1);
        let words = "//! X.\n// unsafe\nconst A: &str = \"unsafe\";\n";
        check_src(words, &[]);
    }

    #[test]
    fn hosts_are_named_in_one_place() {
        let text = "//! X.\nconst A: &str = \"https://api.example.com/v1\";\n";
        check_src(text, &["2: names a host"]);
        check_at("crates/router-providers/src/provider/table.rs", text, &[]);
        check_at("tests/it/x.rs", text, &[]);
    }

    #[test]
    fn modules_declared_for_tests_are_tests() {
        let text = "//! X.\n#[cfg(test)]\nmod suite;\nmod other;\n#[cfg(test)]\nmod here {}\n";
        for (path, expected) in [("a/src/lib.rs", "a/src/suite"), ("a/src/b.rs", "a/src/b/suite")] {
            assert_eq!(test_modules(path, text), [expected]);
        }
        let modules = test_modules("a/src/b/mod.rs", text);
        for (path, expected) in [
            ("a/src/b/suite.rs", true),
            ("a/src/b/suite/more.rs", true),
            ("a/src/b/suites.rs", false),
            ("a/src/b/other.rs", false),
        ] {
            assert_eq!(is_in(path, &modules), expected, "{path}");
        }
        assert!(check("a/src/b/suite.rs", &"//! X.\n".repeat(500), true).violations.is_empty());
    }

    #[test]
    fn what_cannot_be_parsed_is_said() {
        check_src("//! X.\nfn {\n", &["2: cannot be parsed"]);
    }
}
