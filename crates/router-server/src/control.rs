//! What can be asked of a running server from outside its data path: a reload.

use std::sync::{Arc, Mutex, PoisonError};

use router_core::config::{Checked, NoteKind};

use crate::config::{Loaded, Source, Unusable, load};
use crate::engine::Engine;
use crate::worker::Shared;

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
        say(&self.source, &loaded);
        let old = self.shared.engine.load_full();
        let built = Engine::new(&loaded.checked, Some(&old), self.shared.clock.now());
        let new =
            built.map_err(|problem| Unusable { source: self.source.clone(), problems: vec![problem] })?;
        let reloaded = Reloaded {
            before: old.compiled.config_hash.to_string(),
            after: new.compiled.config_hash.to_string(),
        };
        warn_of_fixed(&self.shared, &loaded.checked);
        self.shared.state.reconfigure(&new.compiled.reliability.retries);
        self.shared.engine.store(Arc::new(new));
        tracing::info!(before = reloaded.before, after = reloaded.after, "configuration reloaded");
        Ok(reloaded)
    }
}

/// Sections that are read at start alone.
fn warn_of_fixed(shared: &Shared, new: &Checked) {
    let fixed = &shared.fixed;
    let changed = [
        ("server", *fixed.server != format!("{:?}", new.server)),
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
            NoteKind::NotYet => tracing::info!(path = note.path, "{}", note.text),
            NoteKind::ProviderOff | NoteKind::Simulated | NoteKind::Suspicious => {
                tracing::warn!(path = note.path, "{}", note.text);
            }
        }
    }
}
