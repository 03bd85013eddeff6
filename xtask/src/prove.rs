//! `cargo xtask prove`: the long forms of what CI shows in short: real prompts, kills, simulated seeds, the breaker's figures,
//! budgets, the fault matrix, outages and crowds.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What to show, and how much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory of recorded prompts (`outcomes/*.jsonl.gz`, `tasks/*.jsonl.gz`); without it, the prompts of the tests
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Prompts to send
    #[arg(long, default_value_t = 500)]
    prompts: u32,
    /// Times to kill the server under load
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Clients that spend one key's dollar at three processes
    #[arg(long, default_value_t = 1_000)]
    spenders: u32,
    /// Seeds of the simulation of failover, health and limits
    #[arg(long, default_value_t = 10_000)]
    seeds: u32,
    /// Runs of each setting of the breaker's proof
    #[arg(long, default_value_t = 100)]
    breaker_runs: u32,
    /// Times to run the fault matrix
    #[arg(long, default_value_t = 3)]
    matrix: u32,
    /// Requests per second while a primary falls silent
    #[arg(long, default_value_t = 500)]
    silence: u32,
    /// Clients while everything is down
    #[arg(long, default_value_t = 1_000)]
    outage: u32,
    /// Seconds among 10,000 idle connections, 1,000 slowloris sockets and 1,000 streams
    #[arg(long, default_value_t = 600)]
    crowd_secs: u32,
    /// Only the parts whose name contains this: simulation, breaker, kill9, money, matrix, outage,
    /// crowd, run500
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// Runs them, one after the other.
///
/// # Errors
/// The first that fails, or what it needs and does not find.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    // The processes that are killed are those of this build.
    crate::ci::cargo(root, &["build", "--locked", "--package", "router-server"], &[])?;
    if wanted("simulation") {
        let seeds = [("ROUTER_SIM_SEEDS", arguments.seeds.to_string())];
        let test = ["test", "--locked", "--package", "router-core", "--test", "simulation"];
        crate::ci::cargo(root, &test, &seeds)?;
    }
    if wanted("breaker") {
        let runs = [("ROUTER_BREAKER_RUNS", arguments.breaker_runs.to_string())];
        let test = ["test", "--locked", "--package", "router-core", "--release", "--test", "breaker"];
        crate::ci::cargo(root, &[&test[..], &ALONE].concat(), &runs)?;
    }
    if wanted("kill9") {
        end_to_end(root, "kill9", &[("ROUTER_TESTS_KILLS", arguments.kills.to_string())])?;
    }
    if wanted("money") {
        money(root, arguments, wanted("kill9"))?;
    }
    under_load(root, arguments, wanted)?;
    if !wanted("run500") {
        return Ok(());
    }
    let mut prompts = crate::ci::python_for_tests(root)?;
    if let Some(data) = &arguments.data {
        let data = data.canonicalize().with_context(|| data.display().to_string())?;
        prompts.push(("ROUTER_TESTS_DATA", data.display().to_string()));
        prompts.push(("ROUTER_TESTS_PROMPTS", arguments.prompts.to_string()));
    }
    end_to_end(root, "run500", &prompts)
}

/// Budgets: one process and three, killed and not, with honest providers and others. The kills are left out where they are
/// shown anyway.
fn money(root: &Path, arguments: &Arguments, killed: bool) -> Result<()> {
    let variables = [
        ("ROUTER_TESTS_KILLS", arguments.kills.to_string()),
        ("ROUTER_TESTS_SPENDERS", arguments.spenders.to_string()),
    ];
    let test = ["test", "--locked", "--package", "router-tests"];
    let skipped: &[&str] = if killed { &["--skip", "kill9"] } else { &[] };
    crate::ci::cargo(root, &[&test[..], &ALONE, &["money_", "budgets::"], skipped].concat(), &variables)
}

/// What is about time and load, of optimized builds.
fn under_load(root: &Path, arguments: &Arguments, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let parts = [
        ("matrix", vec![("ROUTER_TESTS_MATRIX", arguments.matrix.to_string())]),
        (
            "outage",
            vec![
                ("ROUTER_TESTS_SILENCE", arguments.silence.to_string()),
                ("ROUTER_TESTS_OUTAGE", arguments.outage.to_string()),
            ],
        ),
        ("crowd", vec![("ROUTER_TESTS_CROWD_SECS", arguments.crowd_secs.to_string())]),
    ];
    let parts: Vec<_> = parts.iter().filter(|(name, _)| wanted(name)).collect();
    if !parts.is_empty() {
        crate::ci::cargo(root, &["build", "--locked", "--release", "--package", "router-server"], &[])?;
    }
    for (name, variables) in parts {
        let test = ["test", "--locked", "--release", "--package", "router-tests", name];
        crate::ci::cargo(root, &[&test[..], &ALONE].concat(), variables)?;
    }
    Ok(())
}

/// One test at a time, with what it prints.
const ALONE: [&str; 4] = ["--", "--nocapture", "--test-threads", "1"];

/// One of the end-to-end tests, alone, with what it prints.
fn end_to_end(root: &Path, name: &str, variables: &[crate::ci::Variable]) -> Result<()> {
    let test = ["test", "--locked", "--package", "router-tests", name];
    crate::ci::cargo(root, &[&test[..], &ALONE].concat(), variables)
}
