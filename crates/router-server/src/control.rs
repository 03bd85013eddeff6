//! What can be asked of a running server from outside its data path: a reload.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use router_core::config::{Checked, NoteKind, Problem};

use crate::config::{Loaded, Source, Unusable, load};
use crate::engine::Engine;
use crate::worker::{Fixed, Shared};

/// The handle of the signal thread and of the admin API.
pub(crate) struct Control {
    /// Where the configuration comes from.
    pub(crate) source: Source,
    /// What serves.
    pub(crate) shared: Arc<Shared>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

/// What a reload changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Hash of the configuration before.
    pub before: String,
    /// Hash of the configuration now.
    pub after: String,
}

impl Control {
    /// For this server.
    pub(crate) fn new(source: Source, shared: Arc<Shared>) -> Self {
        Self { source, shared, reloading: Mutex::new(()) }
    }

    /// Loads the configuration again and replaces the one in force, whole; a bad one changes nothing.
    ///
    /// # Errors
    /// Everything wrong with the new one.
    pub(crate) fn reload(&self) -> Result<Reloaded, Unusable> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = load(&self.source).inspect_err(|unusable| {
            tracing::error!(%unusable, "reload refused: the configuration in force stays");
        })?;
        let old = self.shared.engine.load_full();
        let ledger_keys = self.shared.keys.ledger_may_have_keys();
        let built = not_while_running(&self.shared.fixed, &loaded.checked, ledger_keys)
            .and_then(|()| Engine::new(&loaded.checked, Some(&old), self.shared.clock.now()));
        let new = built.map_err(|problem| {
            let unusable = Unusable { source: self.source.clone(), problems: vec![problem] };
            tracing::error!(%unusable, "reload refused: the configuration in force stays");
            unusable
        })?;
        say(&self.source, &loaded);
        let reloaded = Reloaded {
            before: old.compiled.config_hash.to_string(),
            after: new.compiled.config_hash.to_string(),
        };
        warn_of_fixed(&self.shared, &loaded.checked);
        self.shared.state.reconfigure(&new.compiled.reliability);
        self.shared.treasury.reconfigure(&new.compiled, &loaded.checked.webhooks);
        self.shared.keys.configure(&new.compiled.keys);
        self.shared.engine.store(Arc::new(new));
        tracing::info!(before = reloaded.before, after = reloaded.after, "configuration reloaded");
        Ok(reloaded)
    }
}

/// What a configuration may say at a start, and not to a server that was started otherwise: the check of a file looks at
/// the address in it, but the one that is served stays.
fn not_while_running(fixed: &Fixed, new: &Checked, ledger_keys: bool) -> Result<(), Problem> {
    keys_where_needed(new, fixed.listens_on, ledger_keys).map_err(|p| Problem::new("keys", p.text))?;
    if new.simulated.is_some() && !fixed.simulates {
        let text = "was off when the server started: it can be switched on at a start alone";
        return Err(Problem::new("providers.simulated", text));
    }
    Ok(())
}

/// Where others than this machine's users can connect there must be keys, in the configuration or in the ledger.
///
/// # Errors
/// There are none.
pub(crate) fn keys_where_needed(
    checked: &Checked,
    listens_on: SocketAddr,
    ledger_keys: bool,
) -> Result<(), Problem> {
    if listens_on.ip().is_loopback() || ledger_keys || !checked.compiled.keys.is_empty() {
        return Ok(());
    }
    let text = format!(
        "without keys only a loopback address is served, and {listens_on} is none: add `keys`, or make one with \
         `router-server keys create`"
    );
    Err(Problem::new("server.listen", text))
}

/// Sections that are read at start alone.
fn warn_of_fixed(shared: &Shared, new: &Checked) {
    let fixed = &shared.fixed;
    let changed = [
        ("server", *fixed.server != format!("{:?}", new.server) || fixed.admin_key != new.server.admin_key),
        ("ledger", *fixed.ledger != format!("{:?}", new.ledger)),
        ("decision_log", *fixed.decision_log != format!("{:?}", new.decision_log)),
        ("providers.simulated", *fixed.simulated != format!("{:?}", new.simulated)),
    ];
    for (section, _) in changed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(section, "this section changed; it takes effect at the next start");
    }
}

/// Says what a configuration amounts to.
pub(crate) fn say(source: &Source, loaded: &Loaded) {
    let compiled = &loaded.checked.compiled;
    tracing::info!(
        source = %source, config = &*compiled.config_hash, catalog = &*compiled.catalog_hash,
        providers = compiled.providers.len(), deployments = compiled.deployments.len(), rules = compiled.rules.len(),
        "configuration loaded"
    );
    for note in &loaded.checked.notes {
        match note.kind {
            NoteKind::LeftOut => tracing::debug!(path = note.path, "{}", note.text),
            NoteKind::ProviderOff | NoteKind::Simulated | NoteKind::Suspicious => {
                tracing::warn!(path = note.path, "{}", note.text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_opened_at_start_is_not_left_open_by_a_reload() {
        let check = |text: &str, listens_on: &str, simulates: bool, refused: Option<&str>| {
            let source = Source::Text { text: text.to_owned(), base: ".".into() };
            let loaded = load(&source).unwrap();
            let fixed = Fixed { simulates, ..Fixed::of(&loaded.checked, listens_on.parse().unwrap()) };
            let got =
                |ledger_keys| not_while_running(&fixed, &loaded.checked, ledger_keys).map_err(|p| p.path);
            assert_eq!(got(false).err().as_deref(), refused, "{text} {listens_on} {simulates}");
            let with_ledger_keys = refused.filter(|path| *path != "keys");
            assert_eq!(got(true).err().as_deref(), with_ledger_keys, "{text} {listens_on} {simulates}");
        };
        let keys = "keys: [{ name: a, secret: abcdefghijklmnopqrstuvwxyz }]";
        check("", "127.0.0.1:4000", true, None);
        check("", "0.0.0.0:4000", true, Some("keys"));
        check(keys, "0.0.0.0:4000", true, None);
        check("", "127.0.0.1:4000", false, Some("providers.simulated"));
    }
}
