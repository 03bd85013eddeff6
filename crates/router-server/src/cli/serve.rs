//! `serve`: runs until told to stop; SIGHUP or a changed file reloads, SIGTERM or SIGINT drains.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigArgument, GOOD};
use crate::config::{DEFAULT_PATH, Source};
use crate::running::{Options, Running, start};

/// How often the configuration file is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(2);

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
    let running = start(&Options { source, strict: arguments.strict })?;
    super::block_on(until_told(&running))??;
    running.stop();
    Ok(GOOD)
}

async fn until_told(running: &Running) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut watch = tokio::time::interval(WATCH_EVERY);
    let file = running.watched().map(Path::to_path_buf);
    let mut seen = stamp(file.as_ref());
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                seen = stamp(file.as_ref());
                // Refused ones are logged with every problem; the old configuration stays.
                let _ = running.reload();
            }
            _ = watch.tick() => {
                let now = stamp(file.as_ref());
                if now.is_some() && now != seen {
                    seen = now;
                    let _ = running.reload();
                }
            }
        }
    }
}

/// When a file was changed, and how long it is.
fn stamp(file: Option<&PathBuf>) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file?).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
