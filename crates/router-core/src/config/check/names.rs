//! What a name in the file stands for: a deployment, a model, a tier; on, or known and off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::compiled::DeploymentIdx;
use crate::config::check::Report;
use crate::config::check::deployment::Fleet;
use crate::config::check::provider::Resolved;
use crate::config::{File, NoteKind};

/// Every name of a configuration.
pub(super) struct Names<'a> {
    file: &'a File,
    providers: &'a [Resolved],
    on: BTreeMap<&'a str, DeploymentIdx>,
    off: &'a BTreeSet<String>,
    /// Catalog models of deployments, on or off.
    models: BTreeSet<&'a str>,
    provider_names: &'a [Arc<str>],
}

/// What one deployment id stands for.
enum Found {
    On(DeploymentIdx),
    Off,
    Unknown(String),
}

/// The name under which the rules decide.
const AUTO: &str = "auto";

impl<'a> Names<'a> {
    pub(super) fn new(
        file: &'a File,
        providers: &'a [Resolved],
        fleet: &'a Fleet,
        report: &mut Report,
    ) -> Self {
        let on: BTreeMap<&str, DeploymentIdx> = fleet
            .deployments
            .iter()
            .zip(0_u16..)
            .map(|(deployment, at)| (&*deployment.id, DeploymentIdx(at)))
            .collect();
        let models = fleet.deployments.iter().map(|d| &*d.model);
        let off = fleet.off.iter().filter_map(|id| id.split_once('/')).map(|(_, model)| model);
        let models = models.chain(off).collect();
        let provider_names = &fleet.provider_names;
        let names = Self { file, providers, models, on, off: &fleet.off, provider_names };
        names.clashes(report);
        names
    }

    /// A name must stand for one thing.
    fn clashes(&self, report: &mut Report) {
        for name in self.file.models.keys() {
            let path = format!("models.{name}");
            if name == AUTO {
                report.problem(&path, "\"auto\" is what the rules decide; give yours another name");
            }
            if self.file.tiers.contains_key(name) {
                report.problem(&path, format!("\"{name}\" is a tier too: a name stands for one thing"));
            }
            self.plain(name, &path, report);
        }
        for name in self.file.tiers.keys() {
            self.plain(name, &format!("tiers.{name}"), report);
        }
    }

    fn plain(&self, name: &str, path: &str, report: &mut Report) {
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            report.problem(path, format!("\"{name}\" is no name: no spaces"));
        }
        if self.on.contains_key(name) || self.off.contains(name) {
            report.problem(path, format!("\"{name}\" is a deployment too: a name stands for one thing"));
        }
    }

    fn find(&self, id: &str) -> Found {
        if let Some(at) = self.on.get(id) {
            return Found::On(*at);
        }
        let provider = id.split_once('/').map_or(id, |(provider, _)| provider);
        match self.providers.iter().find(|p| p.name == provider) {
            _ if self.off.contains(id) => Found::Off,
            Some(p) if p.broken => Found::Off,
            Some(p) => Found::Unknown(format!(
                "nobody knows \"{id}\": neither the catalog nor `deployments` has it for {}",
                p.name
            )),
            None => Found::Unknown(format!(
                "nobody knows \"{id}\": it is no deployment, model or tier, and there is no such provider"
            )),
        }
    }

    /// Deployments named by id; those that are off are left out, with a note.
    pub(super) fn deployments(&self, ids: &[String], path: &str, report: &mut Report) -> Vec<DeploymentIdx> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for (at, id) in ids.iter().enumerate() {
            let path = format!("{path}[{at}]");
            if !seen.insert(id) {
                report.problem(&path, format!("\"{id}\" is here twice"));
            }
            found.extend(self.one(id, path, report));
        }
        found
    }

    /// A deployment named by id; `None`, with a note or a problem, when it is off or nobody knows it.
    fn one(&self, id: &str, path: String, report: &mut Report) -> Option<DeploymentIdx> {
        match self.find(id) {
            Found::On(deployment) => return Some(deployment),
            Found::Off => {
                report.note(NoteKind::LeftOut, path, format!("{id} is left out: its provider is off"));
            }
            Found::Unknown(why) => report.problem(path, why),
        }
        None
    }

    /// Deployments named by id, model or tier name.
    pub(super) fn any(&self, names: &[String], path: &str, report: &mut Report) -> Vec<DeploymentIdx> {
        let mut all = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let members = self.file.tiers.get(name).or(self.file.models.get(name).map(|m| &m.deployments));
            if self.file.models.get(name).is_some_and(|model| model.auto.is_some()) {
                report.problem(
                    &path,
                    format!("\"{name}\" is decided like auto and has no deployments of its own"),
                );
            }
            // What is wrong with a tier's or model's own members is said where they stand.
            let more: Vec<DeploymentIdx> = match members {
                Some(members) => members.iter().filter_map(|id| self.on.get(id.as_str()).copied()).collect(),
                None => self.one(name, path, report).into_iter().collect(),
            };
            for deployment in more {
                if !all.contains(&deployment) {
                    all.push(deployment);
                }
            }
        }
        all
    }

    /// Models to fall back to, by the names clients use; those that are off are left out, with a note.
    pub(super) fn fallbacks(&self, names: &[String], path: &str, report: &mut Report) -> Vec<String> {
        let mut known = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let path = format!("{path}[{at}]");
            if name == AUTO || self.file.models.contains_key(name) {
                known.push(name.clone());
                continue;
            }
            known.extend(self.one(name, path, report).map(|_| name.clone()));
        }
        known
    }

    /// Whether a provider of this name is on.
    pub(super) fn is_provider(&self, name: &str) -> bool {
        self.providers.iter().any(|p| p.name == name)
    }

    /// Providers that somebody knows: of the file or, be they off, of the table of hosts.
    pub(super) fn known_providers(&self, named: &[String], path: &str, report: &mut Report) {
        let known = |name: &str| self.provider_names.iter().any(|known| known.eq_ignore_ascii_case(name));
        for (at, name) in named.iter().enumerate().filter(|(_, name)| !known(name)) {
            report.problem(format!("{path}[{at}]"), format!("there is no provider \"{name}\""));
        }
    }

    /// Whether this name may stand in a list of those allowed: `auto`, a model, a tier, a deployment, a catalog model or
    /// a provider.
    pub(super) fn allowable(&self, name: &str) -> bool {
        name == AUTO
            || self.file.models.contains_key(name)
            || self.file.tiers.contains_key(name)
            || self.models.contains(name)
            || self.providers.iter().any(|p| p.name == name)
            || !matches!(self.find(name), Found::Unknown(_))
    }
}
