//! `cargo xtask prove`: the long forms of what CI shows in short: real prompts, kills, simulated seeds, the fault matrix,
//! outages and crowds.

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
    /// Seeds of the simulation of failover, health and limits
    #[arg(long, default_value_t = 10_000)]
    seeds: u32,
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
    /// Only the parts whose name contains this: simulation, kill9, matrix, outage, crowd, run500
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
    let sizes = [
        ("kill9", vec![("ROUTER_TESTS_KILLS", arguments.kills)]),
        ("matrix", vec![("ROUTER_TESTS_MATRIX", arguments.matrix)]),
        (
            "outage",
            vec![("ROUTER_TESTS_SILENCE", arguments.silence), ("ROUTER_TESTS_OUTAGE", arguments.outage)],
        ),
        ("crowd", vec![("ROUTER_TESTS_CROWD_SECS", arguments.crowd_secs)]),
    ];
    for (name, sizes) in sizes.into_iter().filter(|(name, _)| wanted(name)) {
        let sizes: Vec<_> = sizes.into_iter().map(|(variable, size)| (variable, size.to_string())).collect();
        end_to_end(root, name, &sizes)?;
    }
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

/// One of the end-to-end tests, alone, with what it prints.
fn end_to_end(root: &Path, name: &str, variables: &[crate::ci::Variable]) -> Result<()> {
    let test =
        ["test", "--locked", "--package", "router-tests", name, "--", "--nocapture", "--test-threads", "1"];
    crate::ci::cargo(root, &test, variables)
}
