//! `cargo xtask bench`: processor time per request of the router beside a bare hyper pass-through, measured in the same
//! run, against the same upstream, with the same bytes. Rates and latencies depend on what else the machine does;
//! processor time per request hardly does, so it is what has a bar. How to read it: docs/benchmarks.md.

mod load;
mod pass;
mod process;
mod report;
mod round;
mod upstream;
mod wire;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use workload::{WORKLOADS, Workload};

/// What to measure, and how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds; in each, every workload goes through both programs, in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of load per measurement.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Connections kept open, each with one request at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Workloads to run, separated by commas; all by default.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(WORKLOADS.map(|w| w.name)))]
    only: Vec<String>,
    /// Fail when a bar is missed.
    #[arg(long)]
    check: bool,
    /// Also write the figures to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A program of the benchmark that runs as a process of its own, so that its processor time is its own. Each says
/// `ready` on standard output, and ends when standard input is closed: none outlives whoever started it.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Part {
    /// A provider that answers at once, with fixed bytes.
    Upstream,
    /// The pass-through the router is compared with.
    Pass {
        /// Port of the upstream.
        #[arg(long)]
        upstream: u16,
    },
    /// The clients.
    Load(load::Arguments),
}

/// Runs a part until its standard input is closed.
///
/// # Errors
/// A port cannot be listened on, a connection not be made.
pub(crate) fn part(part: &Part) -> Result<()> {
    let runtime = runtime()?;
    let local = tokio::task::LocalSet::new();
    match part {
        Part::Upstream => local.block_on(&runtime, upstream::run()),
        Part::Pass { upstream } => local.block_on(&runtime, pass::run(*upstream)),
        Part::Load(arguments) => local.block_on(&runtime, load::run(arguments)),
    }
}

/// Builds what is measured, measures, prints. Whatever was started is gone when this returns, also after a signal.
///
/// # Errors
/// A build fails, a program does not start or an answer is wrong; with `check`, a bar is missed.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let programs = process::build(root)?;
    let chosen: Vec<&Workload> = WORKLOADS
        .iter()
        .filter(|w| arguments.only.is_empty() || arguments.only.iter().any(|o| o == w.name))
        .collect();
    let plan = round::Plan {
        rounds: arguments.rounds,
        seconds: Duration::from_secs(arguments.seconds),
        connections: arguments.connections,
    };
    let figures = runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
        tokio::select! {
            figures = round::all(&programs, &plan, &chosen) => figures,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("told to end"),
        }
    })?;
    print!("{}", report::table(&figures));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let missed: Vec<_> =
        figures.rows.iter().filter(|row| row.met == Some(false)).map(|row| row.workload.as_str()).collect();
    if arguments.check && !missed.is_empty() {
        bail!("bench: above the bar: {}", missed.join(", "));
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")
}
