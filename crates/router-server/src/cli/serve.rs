//! `serve`: runs until told to stop; SIGHUP or a changed file reloads, SIGTERM or SIGINT drains.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigArgument, GOOD};
use crate::config::{DEFAULT_PATH, Source};
use crate::running::{Options, Running, start};

/// How often the configuration file is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Refuse to start with a provider off or simulated
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let source = Source::find(arguments.config.config.clone());
    if source == Source::Embedded {
        tracing::warn!("no {DEFAULT_PATH} here: serving the defaults inside the binary");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anybody can know that we run: until they are taken, these signals end the process.
    let signals = {
        let _inside = runtime.enter();
        Signals::take()?
    };
    let mut watched = Watched::new(stamp(source.file()));
    let running = start(&Options { source, strict: arguments.strict })?;
    let signals = runtime.block_on(until_told(&running, signals, &mut watched));
    let hurry = Arc::new(AtomicBool::new(false));
    on_next(runtime, signals, Arc::clone(&hurry))?;
    running.stop_unless(|| hurry.load(Ordering::Acquire));
    Ok(GOOD)
}

/// The signals that mean something to us.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn take() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Whoever says it twice does not want to wait. The thread ends with the process.
fn on_next(
    runtime: tokio::runtime::Runtime,
    mut signals: Signals,
    hurry: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let wait = move || {
        runtime.block_on(told_to_end(&mut signals.terminate, &mut signals.interrupt));
        tracing::warn!("told to end again: requests in flight are ended now");
        hurry.store(true, Ordering::Release);
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(|_| ())
}

/// Returns when told to end, with the signals for whoever waits for the next one.
async fn until_told(running: &Running, mut signals: Signals, watched: &mut Watched) -> Signals {
    let mut watch = tokio::time::interval(WATCH_EVERY);
    loop {
        tokio::select! {
            () = told_to_end(&mut signals.terminate, &mut signals.interrupt) => return signals,
            _ = signals.hangup.recv() => {
                watched.loaded(stamp(running.watched()));
                // Refused ones are logged with every problem; the old configuration stays.
                let _ = running.reload();
            }
            _ = watch.tick() => {
                if watched.is_due(stamp(running.watched())) {
                    let _ = running.reload();
                }
            }
        }
    }
}

async fn told_to_end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// When a file was changed, and how long it is.
type Stamp = (SystemTime, u64);

fn stamp(file: Option<&Path>) -> Option<Stamp> {
    let metadata = std::fs::metadata(file?).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// A file looked at now and then. A change counts when it looks the same twice: half of a file may be a valid
/// configuration, one without its keys for instance.
struct Watched {
    loaded: Option<Stamp>,
    changed: Option<Stamp>,
}

impl Watched {
    fn new(loaded: Option<Stamp>) -> Self {
        Self { loaded, changed: None }
    }

    /// It is being loaded as it is now.
    fn loaded(&mut self, stamp: Option<Stamp>) {
        (self.loaded, self.changed) = (stamp, None);
    }

    /// Whether it is to be loaded now.
    fn is_due(&mut self, now: Option<Stamp>) -> bool {
        if now.is_none() || now == self.loaded {
            self.changed = None;
            return false;
        }
        let due = now == self.changed;
        self.changed = now;
        if due {
            self.loaded(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Script: a digit, the file as it looks at a tick; `-`, it is not there. Expected: `r` where it is loaded again.
    fn check(script: &str, expected: &str) {
        let stamp = |c: char| c.to_digit(10).map(|n| (SystemTime::UNIX_EPOCH, u64::from(n)));
        let mut watched = Watched::new(stamp('0'));
        let got: String = script.chars().map(|c| if watched.is_due(stamp(c)) { 'r' } else { '.' }).collect();
        assert_eq!(got, expected, "{script}");
    }

    #[test]
    fn a_changed_file_is_loaded_once_and_not_before_it_is_quiet() {
        check("0000", "....");
        check("0111", "..r.");
        check("01233", "....r");
        check("0-0", "...");
        check("0-11", "...r");
        check("0100", "....");
        check("01122", "..r.r");
    }
}
