//! A server that runs: started, reloaded, drained.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use router_core::admission::Admission;
use router_core::config::file::{Durability, OnFull, Runtime};
use router_core::config::{DecisionLog as LogSetting, NoteKind};
use router_ledger::{Ledger, Spool, SpoolOptions, Writer};
use router_providers::transport::{HttpTransport, SimulatedTransport, Simulation};
use tokio::sync::{Semaphore, watch};

use crate::admin::{self, Admin};
use crate::clock::Clock;
use crate::config::{Loaded, Source, Unusable, load};
use crate::control::{Control, Reloaded, say};
use crate::dispatch;
use crate::engine::Engine;
use crate::ids::Ids;
use crate::ingress::{self, Listening};
use crate::keys::{Follower, Keyring};
use crate::ledger;
use crate::rotation::Rotation;
use crate::state::State;
use crate::telemetry::log::{DecisionLog, Destination, LogWriter};
use crate::telemetry::metrics::Metrics;
use crate::treasury::{Treasurer, Treasury};
use crate::worker::{Fixed, ListenerLimits, Shared, Worker};

/// A body must have arrived by then: 64 MiB at 1 MB/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// After the drain, what is told to end gets this long to settle.
const SETTLE: Duration = Duration::from_secs(5);
/// How often a draining server looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the configuration comes from.
    pub source: Source,
    /// Refuse to start with a provider off or simulated.
    pub strict: bool,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] Unusable),
    /// `--strict`, and something is off or simulated.
    #[error("--strict: {0}")]
    Strict(String),
    /// An address, a thread, a file.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The ledger cannot be opened.
    #[error("ledger: {0}")]
    Ledger(#[from] router_ledger::Error),
    /// A deployment cannot be called as it is configured.
    #[error("{0}")]
    Engine(String),
    /// Connections to providers cannot be made.
    #[error("transport: {0}")]
    Transport(String),
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StartError {
    let what = what.into();
    move |source| StartError::Io { what, source }
}

/// A running server. End it with [`Running::stop`]; dropping it ends it without a drain: requests in flight are cut off,
/// and what the ledger misses of them is found in the spool at the next start.
pub struct Running {
    data: SocketAddr,
    admin: SocketAddr,
    control: Arc<Control>,
    stop: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    abort: watch::Sender<bool>,
    drain: Duration,
    workers: Vec<JoinHandle<()>>,
    admin_thread: JoinHandle<()>,
    writer: Writer,
    treasurer: Treasurer,
    log_writer: LogWriter,
}

/// Loads, binds, starts every thread. When it returns, requests are served.
///
/// # Errors
/// Everything that keeps it from serving; nothing is left running then.
pub fn start(options: &Options) -> Result<Running, StartError> {
    let loaded = load(&options.source)?;
    if options.strict {
        strict(&loaded)?;
    }
    ledger::keys_somewhere(&options.source, &loaded)?;
    say(&options.source, &loaded);
    let settings = &loaded.checked.server;
    let threads = settings.threads.map_or_else(cores, usize::from);
    let listeners = if settings.runtime == Runtime::Shared { 1 } else { threads };
    let bind = |address, count| Listening::bind(address, count).map_err(io(format!("listen on {address}")));
    let (data, admin) = (bind(settings.listen, listeners)?, bind(settings.admin_listen, 1)?);
    let (data_address, admin_address) = (data.address, admin.address);

    let (abort, aborted) = watch::channel(false);
    let parts = parts(&loaded, data_address, aborted)?;
    let (stop, stopping) = watch::channel(false);
    let (stop_admin, stopping_admin) = watch::channel(false);
    let (control, admin_thread) = administer(options, &loaded, &parts, (admin, stopping_admin))?;
    let workers = data.into_sockets().into_iter().enumerate().map(|(n, socket)| {
        let worker = worker(&parts, &loaded, n)?;
        let runtime = runtime(settings.runtime, threads).map_err(io("start a runtime"))?;
        spawn(format!("worker-{n}"), runtime, serve(worker, socket, stopping.clone(), n == 0))
    });
    let workers = workers.collect::<Result<_, _>>()?;
    tracing::info!(listen = %data_address, admin = %admin_address, threads, "serving");
    Ok(Running {
        data: data_address,
        admin: admin_address,
        control,
        stop,
        stop_admin,
        abort,
        drain: settings.drain,
        workers,
        admin_thread,
        writer: parts.writer,
        treasurer: parts.treasurer,
        log_writer: parts.log_writer,
    })
}

/// Starts administration, and following the ledger's keys. Returns when it is known who may ask, from the ledger or from
/// what was last known of it: nobody is served before.
fn administer(
    options: &Options,
    loaded: &Loaded,
    parts: &Parts,
    (listening, stop): (Listening, watch::Receiver<bool>),
) -> Result<(Arc<Control>, JoinHandle<()>), StartError> {
    let (shared, ledger) = (&parts.shared, &parts.ledger);
    let control = Arc::new(Control::new(options.source.clone(), Arc::clone(shared)));
    let snapshot = ledger::snapshot_file(loaded);
    let (follower, changes) = Follower::new(Arc::clone(shared), Arc::clone(ledger), snapshot.clone());
    let key = loaded.checked.server.admin_key.clone();
    let rotation = Arc::clone(&parts.rotation);
    let service = Admin::new(Arc::clone(&control), key, Arc::clone(ledger), (Arc::clone(&rotation), changes));
    let runtime = runtime(Runtime::PerCore, 1).map_err(io("start a runtime"))?;
    let (looked, first_look) = mpsc::channel();
    let thread = spawn("admin".into(), runtime, async move {
        tokio::spawn(follower.run(looked));
        tokio::join!(admin::serve(service, listening.into_sockets(), stop.clone()), rotation.run(stop));
    })?;
    if first_look.recv_timeout(ledger::FIRST_LOOK).is_err() {
        shared.restore_keys(snapshot.as_ref());
    }
    Ok((control, thread))
}

impl Running {
    /// Where clients connect.
    pub fn data_address(&self) -> SocketAddr {
        self.data
    }

    /// Where administrators connect.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The file whose changes should lead to a reload.
    pub(crate) fn watched(&self) -> Option<&std::path::Path> {
        self.control.source.file()
    }

    /// Replaces the configuration by what its source says now; a bad one changes nothing.
    ///
    /// # Errors
    /// Everything wrong with the new one.
    pub fn reload(&self) -> Result<Reloaded, Unusable> {
        self.control.reload()
    }

    /// Accepts no more, lets what is in flight end within `server.drain_secs`, ends and settles the rest, and returns
    /// when the ledger has everything.
    pub fn stop(self) {
        self.stop_unless(|| false);
    }

    /// The same; what is in flight is ended and settled at once when `hurry` says so.
    pub fn stop_unless(self, hurry: impl Fn() -> bool) {
        tracing::info!(drain_secs = self.drain.as_secs(), "draining");
        self.control.shared.draining.store(true, Ordering::Release);
        let _ = self.stop.send(true);
        self.control.shared.treasury.drain();
        let ended = || self.workers.iter().all(JoinHandle::is_finished);
        wait_until(self.drain, || ended() || hurry());
        if !ended() {
            tracing::warn!("the drain is over: requests in flight are ended");
            let _ = self.abort.send(true);
            wait_until(SETTLE, || self.workers.iter().all(JoinHandle::is_finished));
        }
        let _ = self.stop_admin.send(true);
        for thread in self.workers {
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
        let _ = self.admin_thread.join();
        // Before the ledger finishes this process, which gives back what it has drawn: nothing is drawn after that.
        self.treasurer.stop();
        match runtime(Runtime::PerCore, 1).map(|r| r.block_on(self.writer.stop(SETTLE))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the ledger is behind; the next start goes on"),
            Err(error) => tracing::error!(%error, "the ledger cannot be waited for; the next start goes on"),
        }
        self.log_writer.stop();
        tracing::info!("stopped");
    }
}

fn wait_until(within: Duration, done: impl Fn() -> bool) -> bool {
    let end = Instant::now() + within;
    while !done() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(DRAIN_POLL);
    }
    true
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn strict(loaded: &Loaded) -> Result<(), StartError> {
    let bad =
        |note: &&router_core::config::Note| matches!(note.kind, NoteKind::ProviderOff | NoteKind::Simulated);
    let notes: Vec<_> = loaded.checked.notes.iter().filter(bad).map(ToString::to_string).collect();
    if notes.is_empty() { Ok(()) } else { Err(StartError::Strict(notes.join("; "))) }
}

/// Everything that is made once.
struct Parts {
    shared: Arc<Shared>,
    spool: Spool,
    ledger: Arc<dyn Ledger>,
    writer: Writer,
    treasurer: Treasurer,
    log_writer: LogWriter,
    rotation: Arc<Rotation>,
}

fn parts(loaded: &Loaded, listens_on: SocketAddr, abort: watch::Receiver<bool>) -> Result<Parts, StartError> {
    let checked = &loaded.checked;
    let clock = Clock::new();
    // Before anything is made on disk or started.
    let engine = Engine::new(checked, None, clock.now()).map_err(|p| StartError::Engine(p.to_string()))?;
    let instance = uuid::Uuid::now_v7().to_string();
    let durability = match checked.ledger.durability {
        Durability::Process => router_ledger::Durability::Process,
        Durability::Power => router_ledger::Durability::Power,
    };
    let options = SpoolOptions { durability, ..SpoolOptions::default() };
    let spool = Spool::open(&loaded.path(&checked.ledger.spool_dir), &instance, options)?;
    let ledger = ledger::open(loaded)?;
    let writer = Writer::start(&spool, Arc::clone(&ledger))?;
    let (treasury, told) = Treasury::new(clock, Arc::clone(&ledger), writer.watch());
    treasury.reconfigure(&checked.compiled, &checked.webhooks);
    let treasurer = Treasurer::start(Arc::clone(&treasury), told, instance);
    let treasurer = treasurer.map_err(io("start the treasurer"))?;
    let destination = match &checked.decision_log {
        LogSetting::Off => Destination::Off,
        LogSetting::Stdout => Destination::Stdout,
        LogSetting::File(path) => Destination::File(loaded.path(path)),
    };
    let (log, log_writer) =
        DecisionLog::start(&destination).map_err(io(format!("decision log {destination:?}")))?;
    let server = &checked.server;
    let shared = Shared {
        engine: ArcSwap::from_pointee(engine),
        state: State::new(&checked.compiled.reliability),
        treasury,
        clock,
        log,
        metrics: Metrics::new(),
        limits: ListenerLimits {
            header_timeout: server.header_timeout,
            idle_timeout: server.idle_timeout,
            body_timeout: BODY_TIMEOUT,
            max_body_bytes: server.max_body_bytes,
            max_depth: server.max_json_depth,
            max_connections: server.max_connections,
        },
        connections: Arc::new(Semaphore::new(server.max_connections)),
        keys: Keyring::new(&checked.compiled.keys, listens_on.ip().is_loopback()),
        admission: Mutex::new(Admission::new(server.max_in_flight, server.max_body_memory_bytes)),
        in_flight: AtomicUsize::new(0),
        draining: AtomicBool::new(false),
        abort,
        refuse_without_ledger: checked.ledger.on_full == OnFull::Refuse,
        spool: spool.clone(),
        writer_status: writer.watch(),
        fixed: Fixed::of(checked, listens_on),
    };
    let shared = Arc::new(shared);
    let rotation = Arc::new(Rotation::new(Arc::clone(&shared), Arc::clone(&ledger)));
    let resuming = runtime(Runtime::PerCore, 1).map_err(io("start a runtime"))?;
    resuming.block_on(rotation.resume());
    Ok(Parts { shared, spool, ledger, writer, treasurer, log_writer, rotation })
}

fn worker(parts: &Parts, loaded: &Loaded, n: usize) -> Result<Arc<Worker>, StartError> {
    let thread = u32::try_from(n).unwrap_or(u32::MAX);
    // Each thread draws its own faults.
    let simulated = loaded.checked.simulated.as_ref();
    let simulated = simulated.map(|s| SimulatedTransport::new(Simulation::new(s, u64::from(thread))));
    Ok(Arc::new(Worker {
        shared: Arc::clone(&parts.shared),
        http: HttpTransport::new().map_err(|e| StartError::Transport(e.to_string()))?,
        simulated,
        segment: parts.spool.segment(thread)?,
        ids: Ids::default(),
    }))
}

pub(crate) fn runtime(kind: Runtime, threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match kind {
        Runtime::PerCore => tokio::runtime::Builder::new_current_thread(),
        Runtime::Shared => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().build()
}

fn spawn(
    name: String,
    runtime: tokio::runtime::Runtime,
    work: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let run = move || {
        runtime.block_on(work);
        // Name look-ups may still run on a blocking thread: nobody waits for them.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name(name).spawn(run).map_err(io("start a thread"))
}

/// Serves one socket until told to stop and until nothing is in flight any more. One of them probes as well.
async fn serve(worker: Arc<Worker>, socket: TcpListener, stop: watch::Receiver<bool>, probes: bool) {
    let shared = Arc::clone(&worker.shared);
    let probing = probes.then(|| tokio::spawn(dispatch::probe::run(Arc::clone(&worker), stop.clone())));
    if let Err(error) = ingress::serve(worker, socket, stop).await {
        tracing::error!(%error, "a listener failed");
        return;
    }
    let busy = || {
        shared.in_flight.load(Ordering::Acquire) > 0
            || shared.connections.available_permits() < shared.limits.max_connections
    };
    while busy() {
        tokio::time::sleep(DRAIN_POLL).await;
    }
    if let Some(probing) = probing {
        let _ = probing.await;
    }
}
