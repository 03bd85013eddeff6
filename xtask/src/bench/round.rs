//! The measurement: both programs up at once, workloads through them in turn, round after round.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::load::Seen;
use super::process::{Process, Programs};
use super::report::{Figures, Machine, Row};
use super::wire::{self, Connection};
use super::workload::{self, Workload};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rounds: u32,
    pub(super) seconds: Duration,
    pub(super) connections: u16,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Processor time per request, microseconds.
    pub(super) cpu_us: f64,
    /// The same by the threads' names.
    pub(super) by_thread: BTreeMap<String, f64>,
    /// What the clients saw.
    pub(super) seen: Seen,
}

/// A program that answers requests.
struct Contender {
    name: &'static str,
    port: u16,
    process: Process,
}

/// The router's working folder, removed with everything in it.
struct Router {
    contender: Contender,
    _folder: tempfile::TempDir,
}

/// Measures everything.
///
/// # Errors
/// A program does not start, ends, or answers wrongly.
pub(super) async fn all(programs: &Programs, plan: &Plan, workloads: &[&Workload]) -> Result<Figures> {
    let mut machine = Machine::now()?;
    let mut upstream = Process::part(&programs.own, &["upstream"])?;
    let upstream_port = port(&mut upstream).await?;
    let mut pass = Process::part(&programs.own, &["pass", "--upstream", &upstream_port.to_string()])?;
    let pass = Contender { name: "pass-through", port: port(&mut pass).await?, process: pass };
    let router = router(programs, upstream_port).await?;
    let mut samples = vec![(Vec::new(), Vec::new()); workloads.len()];
    for round in 1..=plan.rounds {
        for (workload, (passed, routed)) in workloads.iter().zip(&mut samples) {
            for (contender, into) in [(&pass, passed), (&router.contender, routed)] {
                let sample = measure(programs, plan, workload, contender).await;
                let sample =
                    sample.with_context(|| format!("{} through the {}", workload.name, contender.name))?;
                println!(
                    "bench: round {round}, {:<6} {:<12} {:>8.1} us per request, {:>7.0} requests/s",
                    workload.name,
                    contender.name,
                    sample.cpu_us,
                    sample.seen.requests as f64 / sample.seen.seconds
                );
                into.push(sample);
            }
        }
    }
    machine.load_average_after = Machine::now()?.load_average_before;
    let rows =
        workloads.iter().zip(&samples).map(|(w, (passed, routed))| Row::new(w, passed, routed)).collect();
    Ok(Figures { machine, connections: plan.connections, seconds: plan.seconds.as_secs(), rows })
}

async fn port(process: &mut Process) -> Result<u16> {
    let line = process.line(Duration::ZERO).await?;
    line.strip_prefix("ready ")
        .and_then(|port| port.parse().ok())
        .with_context(|| format!("not a port: {line}"))
}

async fn router(programs: &Programs, upstream: u16) -> Result<Router> {
    let folder = tempfile::tempdir().context("making a folder for the router")?;
    let (port, admin) = (wire::free_port()?, wire::free_port()?);
    let (config, log) = (folder.path().join("router.yaml"), folder.path().join("router.log"));
    // JSON is YAML.
    std::fs::write(&config, workload::router_config(port, admin, upstream).to_string())?;
    let mut command = Command::new(&programs.router);
    command.args(["serve", "--config"]).arg(&config).current_dir(folder.path());
    let mut process = Process::quiet(&mut command, &log)?;
    let ready = tokio::time::timeout(Duration::from_secs(30), until_ready(&mut process, port)).await;
    if let Ok(Ok(())) = ready {
        return Ok(Router { contender: Contender { name: "router", port, process }, _folder: folder });
    }
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    bail!("the router does not serve:\n{said}")
}

async fn until_ready(process: &mut Process, port: u16) -> Result<()> {
    let asking = tokio::task::LocalSet::new();
    loop {
        process.must_run()?;
        let asked = asking.run_until(async { Connection::open(port).await?.get("/readyz").await }).await;
        if asked.is_ok_and(|status| status.is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One load through one program: its processor time from rest to rest, over the requests answered between.
async fn measure(
    programs: &Programs,
    plan: &Plan,
    workload: &Workload,
    contender: &Contender,
) -> Result<Sample> {
    let (port, connections) = (contender.port.to_string(), plan.connections.to_string());
    let ms = plan.seconds.as_millis().to_string();
    let arguments =
        ["load", "--workload", workload.name, "--port", &port, "--connections", &connections, "--ms", &ms];
    let mut load = Process::part(&programs.own, &arguments)?;
    load.line(Duration::ZERO).await?;
    contender.process.rest().await?;
    let before = contender.process.cpu()?;
    load.tell("go")?;
    let seen: Seen = serde_json::from_str(&load.line(plan.seconds).await?)?;
    contender.process.rest().await?;
    let used = contender.process.cpu()?.since(&before);
    if seen.requests == 0 {
        bail!("no request was answered");
    }
    let per_request = |used: Duration| used.as_secs_f64() * 1e6 / seen.requests as f64;
    let by_thread: BTreeMap<_, _> = used.into_iter().map(|(name, used)| (name, per_request(used))).collect();
    Ok(Sample { cpu_us: by_thread.values().sum(), by_thread, seen })
}
