//! The workspace as a graph of packages: the arrows between its members, and what stands in their dependency trees.
//!
//! Arrows are judged as declared in the manifests, dev- and build-dependencies included. Trees are those of the lock
//! file, normal dependencies only, for every platform, with the features the whole workspace switches on: a superset of
//! what one crate built alone would have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use super::violation::Violation;

/// One package of the lock file.
#[derive(Clone, Debug, Default)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Its licence expression, if it has one.
    pub(super) license: Option<String>,
    /// Members only: where its manifest is, relative to the workspace.
    pub(super) manifest: Option<String>,
    /// Members only: what its manifest declares.
    pub(super) declared: Vec<Declared>,
    /// What it is linked with: indices of normal dependencies.
    pub(super) normal: Vec<usize>,
}

/// One dependency in a manifest.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    /// The package's name.
    pub(super) name: String,
    /// Behind a feature.
    pub(super) optional: bool,
}

/// All packages.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// In no particular order; edges are indices.
    pub(super) packages: Vec<Package>,
}

impl Graph {
    /// The graph of the workspace at `root`, as `cargo metadata` gives it.
    pub(super) fn of_workspace(root: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).exec();
        Ok(Self::of(&metadata.context("running cargo metadata")?))
    }

    fn of(metadata: &Metadata) -> Self {
        let index: BTreeMap<_, _> = metadata.packages.iter().enumerate().map(|(at, p)| (&p.id, at)).collect();
        let mut packages: Vec<Package> = metadata.packages.iter().map(|p| package(p, metadata)).collect();
        for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            let normal = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            });
            if let Some(from) = index.get(&node.id).and_then(|at| packages.get_mut(*at)) {
                from.normal = normal.filter_map(|dependency| index.get(&dependency.pkg).copied()).collect();
            }
        }
        Self { packages }
    }

    /// Members of the workspace.
    fn members(&self) -> impl Iterator<Item = (usize, &Package, &str)> {
        let all = self.packages.iter().enumerate();
        all.filter_map(|(at, package)| Some((at, package, package.manifest.as_deref()?)))
    }

    /// Names of packages outside the workspace that a member's manifest names.
    pub(super) fn direct(&self) -> BTreeSet<&str> {
        let ours: BTreeSet<&str> = self.members().map(|(_, member, _)| member.name.as_str()).collect();
        let named = self.members().flat_map(|(_, member, _)| member.declared.iter().map(|d| d.name.as_str()));
        named.filter(|name| !ours.contains(name)).collect()
    }

    /// Arrows and trees against the tables.
    pub(super) fn check(
        &self,
        arrows: &[(&str, &[&str])],
        optional_arrows: &[(&str, &[&str])],
        barred: &[(&str, &[&str])],
    ) -> Vec<Violation> {
        let names: BTreeSet<&str> = self.members().map(|(_, member, _)| member.name.as_str()).collect();
        let mut found = Vec::new();
        for (at, member, manifest) in self.members() {
            let mut add = |text: String| found.push(Violation::new(manifest, 1, text));
            let Some(allowed) = row(arrows, &member.name) else {
                add(format!("`{}` is not in the table of arrows", member.name));
                continue;
            };
            let optionally = row(optional_arrows, &member.name).unwrap_or_default();
            for dependency in member.declared.iter().filter(|d| names.contains(d.name.as_str())) {
                let name = dependency.name.as_str();
                if !(allowed.contains(&name) || dependency.optional && optionally.contains(&name)) {
                    add(format!("`{}` -> `{name}` is not an arrow", member.name));
                }
            }
            for name in row(barred, &member.name).unwrap_or_default() {
                if let Some(path) = self.path_to(at, name) {
                    add(format!("`{name}` is in its dependency tree: {}", path.join(" -> ")));
                }
            }
        }
        found
    }

    /// The shortest way from a package to one with this name, by names.
    fn path_to(&self, from: usize, name: &str) -> Option<Vec<&str>> {
        let mut came_from = BTreeMap::from([(from, from)]);
        let mut queue = std::collections::VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            let package = self.packages.get(at)?;
            if package.name == name && at != from {
                return Some(self.path_back(at, from, &came_from));
            }
            for next in &package.normal {
                came_from.entry(*next).or_insert_with(|| {
                    queue.push_back(*next);
                    at
                });
            }
        }
        None
    }

    fn path_back(&self, to: usize, from: usize, came_from: &BTreeMap<usize, usize>) -> Vec<&str> {
        let mut path = Vec::new();
        let mut at = to;
        while at != from {
            path.extend(self.packages.get(at).map(|package| package.name.as_str()));
            at = came_from.get(&at).copied().unwrap_or(from);
        }
        path.extend(self.packages.get(from).map(|package| package.name.as_str()));
        path.reverse();
        path
    }
}

fn row<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(member, _)| *member == name).map(|(_, row)| *row)
}

fn package(package: &cargo_metadata::Package, metadata: &Metadata) -> Package {
    let manifest = metadata.workspace_members.contains(&package.id).then(|| {
        let path = package.manifest_path.strip_prefix(&metadata.workspace_root);
        path.unwrap_or(&package.manifest_path).to_string()
    });
    let declared =
        package.dependencies.iter().map(|d| Declared { name: d.name.clone(), optional: d.optional });
    Package {
        name: package.name.to_string(),
        version: package.version.to_string(),
        license: package.license.clone(),
        declared: if manifest.is_some() { declared.collect() } else { Vec::new() },
        manifest,
        normal: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARROWS: &[(&str, &[&str])] = &[("core", &[]), ("server", &["core"])];

    /// A graph from `name: dependency dependency?`, one package per line; `?` marks an optional one. Packages that have
    /// a line are members.
    fn graph(text: &str) -> Graph {
        let lines: Vec<(&str, &str)> = text.split('\n').map(|l| l.trim().split_once(':').unwrap()).collect();
        let mut names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
        names.extend(lines.iter().flat_map(|(_, d)| d.split_whitespace().map(|d| d.trim_end_matches('?'))));
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        let place = |name: &str| names.iter().position(|n| *n == name).unwrap();
        let packages = names.iter().map(|name| {
            let dependencies = lines.iter().find(|(n, _)| n == name).map(|(_, d)| *d);
            let words = || dependencies.unwrap_or_default().split_whitespace();
            let member = dependencies.is_some() && !name.starts_with('_');
            Package {
                name: (*name).to_owned(),
                manifest: member.then(|| format!("{name}/Cargo.toml")),
                declared: words()
                    .map(|d| Declared { name: d.trim_end_matches('?').into(), optional: d.ends_with('?') })
                    .collect(),
                normal: words().map(|d| place(d.trim_end_matches('?'))).collect(),
                ..Package::default()
            }
        });
        Graph { packages: packages.collect() }
    }

    fn check(text: &str, expected: &[&str]) {
        let found = graph(text).check(ARROWS, &[("core", &["server"])], &[("core", &["tokio"])]);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn arrows() {
        check("core: serde\nserver: core tokio", &[]);
        check("core: server\nserver:", &["core/Cargo.toml:1: `core` -> `server` is not an arrow"]);
        check("core: server?\nserver:", &[]);
        check("core:\nmore: core", &["more/Cargo.toml:1: `more` is not in the table of arrows"]);
    }

    #[test]
    fn trees() {
        check(
            "core: _a\n_a: _b serde\n_b: tokio",
            &["core/Cargo.toml:1: `tokio` is in its dependency tree: core -> _a -> _b -> tokio"],
        );
        check("core: _a\n_a: _b\n_b: _a", &[]);
    }

    #[test]
    fn the_real_tables_name_each_member_once() {
        let names: BTreeSet<_> = super::super::ARROWS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), super::super::ARROWS.len());
    }
}
