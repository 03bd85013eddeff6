//! `deny.toml`, as far as tidy judges it without the network: every package's licence is allowed, and of each package a
//! manifest names there is one version. `cargo deny` reads the same file and judges more (advisories, sources).

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::violation::Violation;

const DENY: &str = "deny.toml";

/// Licences and versions of the graph against the text of `deny.toml`.
pub(super) fn check(graph: &Graph, deny: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |text: String| found.push(Violation::new(DENY, 1, text));
    let allowed = strings(deny, "licenses", "allow");
    if allowed.is_empty() {
        add("has no [licenses] allow = [...]".into());
    }
    for package in &graph.packages {
        match &package.license {
            None => add(format!("{} {} names no licence", package.name, package.version)),
            Some(expression) if !satisfied(expression, &allowed) => add(format!(
                "the licence of {} {} is not allowed: {expression}",
                package.name, package.version
            )),
            Some(_) => {}
        }
    }
    let skipped = strings(deny, "bans", "skip");
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &graph.packages {
        if !skipped.iter().any(|spec| skips(spec, &package.name, &package.version)) {
            versions.entry(&package.name).or_default().insert(&package.version);
        }
    }
    let direct = graph.direct();
    for (name, versions) in versions.into_iter().filter(|(name, v)| direct.contains(name) && v.len() > 1) {
        let list: Vec<_> = versions.into_iter().collect();
        add(format!(
            "{name} is here in {} versions: {}; skip one in [bans] with a reason",
            list.len(),
            list.join(", ")
        ));
    }
    found
}

/// Whether `name`, `name@1`, `name@1.2` or `name@1.2.3` means this version.
fn skips(spec: &str, name: &str, version: &str) -> bool {
    let (of, wanted) = spec.split_once('@').unwrap_or((spec, ""));
    let rest = version.strip_prefix(wanted);
    of == name && (wanted.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The quoted strings of a list in a section; of a list of tables, the values of their `crate` or `name` member.
fn strings(toml: &str, section: &str, key: &str) -> Vec<String> {
    let lines = toml.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let in_section = lines.skip_while(|line| *line != format!("[{section}]")).skip(1);
    let body: Vec<&str> =
        in_section.take_while(|line| !line.starts_with("[") || line.contains('"')).collect();
    let text = body.join("\n");
    let assigned = |at: usize| text[at + key.len()..].trim_start().strip_prefix('=');
    let starts = text.match_indices(key).filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
    let Some(list) = starts.filter_map(|(at, _)| assigned(at)).find_map(|l| l.trim_start().strip_prefix('['))
    else {
        return Vec::new();
    };
    let list = list.split(']').next().unwrap_or_default();
    let quoted: Vec<(&str, &str)> =
        list.split('"').collect::<Vec<_>>().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let wanted = quoted.iter().filter(|(before, _)| {
        let member = before.rsplit(['{', ',']).next().unwrap_or_default().trim();
        let named = member.trim_end_matches('=').trim_end();
        member.is_empty() || named == "crate" || named == "name"
    });
    wanted.map(|(_, value)| (*value).to_owned()).collect()
}

/// Whether an SPDX expression is satisfied by the licences allowed. `/` is the old way to write `OR`.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let good = any(&words, &mut at, allowed);
    good && at == words.len()
}

/// `a OR b`: the weakest binding.
fn any(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut good = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        good |= all(words, at, allowed);
    }
    good
}

/// `a AND b`.
fn all(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut good = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        good &= one(words, at, allowed);
    }
    good
}

/// A licence, one `WITH` an exception, or an expression in parentheses.
fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let good = any(words, at, allowed);
        *at += 1;
        return good;
    }
    if words.get(*at) == Some(&"WITH") {
        let with = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allowed.iter().any(|a| *a == format!("{word} WITH {with}"));
    }
    allowed.iter().any(|a| a == word)
}

#[cfg(test)]
mod tests {
    use super::super::graph::{Declared, Package};
    use super::*;

    const TOML: &str = r#"
        [graph]
        allow = ["GPL-3.0"]
        [licenses]
        # allow = ["AGPL-3.0"]
        confidence-threshold = 0.9
        allow = [
            "MIT",          # everywhere
            "Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ]
        [bans]
        multiple-versions = "warn"
        skip = [
            { crate = "old@1.0", reason = "its last user is being replaced" },
            { name = "any", reason = "why" },
        ]
    "#;

    #[test]
    fn lists_are_read_from_their_section() {
        assert_eq!(
            strings(TOML, "licenses", "allow"),
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        );
        assert_eq!(strings(TOML, "bans", "allow"), Vec::<String>::new());
        assert!(strings(TOML, "bans", "skip").starts_with(&["old@1.0".to_owned()]));
        assert!(strings(TOML, "bans", "skip").contains(&"any".to_owned()));
    }

    #[test]
    fn expressions() {
        let allowed = strings(TOML, "licenses", "allow");
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Apache-2.0", true),
            ("GPL-3.0 OR MIT AND GPL-2.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("MIT OR", true),
            ("MIT GPL-3.0", false),
            ("", false),
        ] {
            assert_eq!(satisfied(expression, &allowed), expected, "{expression}");
        }
    }

    /// Packages as `name version licence`; all are named in a manifest, but those beginning with `_`.
    fn check_packages(packages: &[(&str, &str, Option<&str>)], expected: &[&str]) {
        let one = |(name, version, license): &(&str, &str, Option<&str>)| Package {
            name: (*name).into(),
            version: (*version).into(),
            license: license.map(Into::into),
            ..Package::default()
        };
        let mut all: Vec<Package> = packages.iter().map(one).collect();
        let declared = all.iter().filter(|p| !p.name.starts_with('_'));
        let declared = declared.map(|p| Declared { name: p.name.clone(), optional: false }).collect();
        all.push(Package {
            name: "ours".into(),
            license: Some("MIT".into()),
            manifest: Some("Cargo.toml".into()),
            declared,
            ..Package::default()
        });
        let found: Vec<String> =
            check(&Graph { packages: all }, TOML).iter().map(ToString::to_string).collect();
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.contains(e));
        assert!(fits, "{found:?}, expected {expected:?}");
    }

    #[test]
    fn packages() {
        check_packages(&[("a", "1.0.0", Some("MIT")), ("b", "1.0.0", Some("Apache-2.0 OR MIT"))], &[]);
        check_packages(
            &[("a", "1.0.0", Some("GPL-3.0"))],
            &["the licence of a 1.0.0 is not allowed: GPL-3.0"],
        );
        check_packages(&[("a", "1.0.0", None)], &["a 1.0.0 names no licence"]);
        let two = |name| [(name, "1.0.0", Some("MIT")), (name, "2.0.0", Some("MIT"))];
        check_packages(&two("a"), &["a is here in 2 versions: 1.0.0, 2.0.0"]);
        check_packages(&two("old"), &[]);
        check_packages(&two("any"), &[]);
        check_packages(&two("_transitive"), &[]);
    }

    #[test]
    fn skipped_versions() {
        for (spec, expected) in
            [("a", true), ("a@1", true), ("a@1.2", true), ("a@1.2.3", true), ("a@1.20", false)]
        {
            assert_eq!(skips(spec, "a", "1.2.3"), expected, "{spec}");
        }
        assert!(!skips("a@1", "a", "10.0.0") && !skips("b", "a", "1.0.0"));
    }

    #[test]
    fn an_empty_file_allows_nothing() {
        let found = check(&Graph::default(), "");
        assert_eq!(found.len(), 1);
    }
}
