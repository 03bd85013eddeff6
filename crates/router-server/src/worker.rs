//! What one runtime thread has of its own, and what all of them share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use router_core::admission::Admission;
use router_core::config::{Checked, Secret};
use router_ledger::{Segment, Spool, WriterWatch};
use router_providers::transport::{HttpTransport, SimulatedTransport};
use tokio::sync::{Semaphore, watch};

use crate::clock::Clock;
use crate::engine::Engine;
use crate::ids::Ids;
use crate::keys::Keyring;
use crate::state::State;
use crate::telemetry::log::DecisionLog;
use crate::telemetry::metrics::Metrics;
use crate::treasury::Treasury;

/// Limits of the listener, fixed for the life of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenerLimits {
    /// A request's headers must be complete by then, from their first byte.
    pub(crate) header_timeout: Duration,
    /// So long a connection may wait for its next request.
    pub(crate) idle_timeout: Duration,
    /// A request's body must be complete by then.
    pub(crate) body_timeout: Duration,
    /// Longest body.
    pub(crate) max_body_bytes: usize,
    /// Deepest nesting of a body.
    pub(crate) max_depth: usize,
    /// Connections open at once.
    pub(crate) max_connections: usize,
}

/// Shared by all runtime threads.
pub(crate) struct Shared {
    /// The configuration in force; replaced whole.
    pub(crate) engine: ArcSwap<Engine>,
    /// Health and limits: the only locks beside those of `treasury`.
    pub(crate) state: State,
    /// Money.
    pub(crate) treasury: Arc<Treasury>,
    /// The only `now()`.
    pub(crate) clock: Clock,
    /// Decision log.
    pub(crate) log: DecisionLog,
    /// Metrics.
    pub(crate) metrics: Metrics,
    /// Listener limits.
    pub(crate) limits: ListenerLimits,
    /// Places for connections.
    pub(crate) connections: Arc<Semaphore>,
    /// Client keys.
    pub(crate) keys: Keyring,
    /// Places for requests, and memory for their bodies.
    pub(crate) admission: Mutex<Admission>,
    /// Requests being served, for draining.
    pub(crate) in_flight: AtomicUsize,
    /// The server has been told to end: it is not ready for more.
    pub(crate) draining: AtomicBool,
    /// Becomes true when the drain is over: what still runs ends now, and settles.
    pub(crate) abort: watch::Receiver<bool>,
    /// What happens to requests when the spool cannot be written.
    pub(crate) refuse_without_ledger: bool,
    /// The spool, for its size.
    pub(crate) spool: Spool,
    /// How the ledger's writer is doing.
    pub(crate) writer_status: WriterWatch,
    /// What was read at start alone, to say so when it changes.
    pub(crate) fixed: Fixed,
}

impl Shared {
    /// One short step under the lock. A lock whose holder panicked is still good: every step is core's.
    pub(crate) fn admission<T>(&self, step: impl FnOnce(&mut Admission) -> T) -> T {
        step(&mut self.admission.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sections of the configuration that take effect at start alone, as text to compare with.
pub(crate) struct Fixed {
    /// Where clients connect.
    pub(crate) listens_on: SocketAddr,
    /// The simulated provider is on.
    pub(crate) simulates: bool,
    /// Beside `server`, whose text does not show it.
    pub(crate) admin_key: Option<Secret>,
    pub(crate) server: String,
    pub(crate) ledger: String,
    pub(crate) decision_log: String,
    pub(crate) simulated: String,
}

impl Fixed {
    /// Of this configuration.
    pub(crate) fn of(checked: &Checked, listens_on: SocketAddr) -> Self {
        Self {
            listens_on,
            simulates: checked.simulated.is_some(),
            admin_key: checked.server.admin_key.clone(),
            server: format!("{:?}", checked.server),
            ledger: format!("{:?}", checked.ledger),
            decision_log: format!("{:?}", checked.decision_log),
            simulated: format!("{:?}", checked.simulated),
        }
    }
}

/// One runtime thread.
pub(crate) struct Worker {
    /// Shared by all.
    pub(crate) shared: Arc<Shared>,
    /// Connections to providers.
    pub(crate) http: HttpTransport,
    /// Answers without a provider; `None`: it is off.
    pub(crate) simulated: Option<SimulatedTransport>,
    /// This thread's part of the spool.
    pub(crate) segment: Segment,
    /// Ids of the requests it serves.
    pub(crate) ids: Ids,
}
