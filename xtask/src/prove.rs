//! `cargo xtask prove`: the long forms of what CI shows in short: real prompts, kills, simulated seeds, the breaker's figures.

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
    /// Runs of each setting of the breaker's proof
    #[arg(long, default_value_t = 100)]
    breaker_runs: u32,
}

/// Runs all of them.
///
/// # Errors
/// The first that fails, or what it needs and does not find.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let test = |package: &'static str, rest: &[&'static str]| {
        let mut all = vec!["test", "--locked", "--package", package];
        all.extend_from_slice(rest);
        all
    };
    // The processes that are killed are those of this build.
    crate::ci::cargo(root, &["build", "--locked", "--package", "router-server"], &[])?;
    let seeds = [("ROUTER_SIM_SEEDS", arguments.seeds.to_string())];
    crate::ci::cargo(root, &test("router-core", &["--test", "simulation"]), &seeds)?;
    let runs = [("ROUTER_BREAKER_RUNS", arguments.breaker_runs.to_string())];
    let breaker = ["--release", "--test", "breaker", "--", "--nocapture", "--test-threads=1"];
    crate::ci::cargo(root, &test("router-core", &breaker), &runs)?;
    let kills = [("ROUTER_TESTS_KILLS", arguments.kills.to_string())];
    crate::ci::cargo(root, &test("router-tests", &["kill9", "--", "--nocapture"]), &kills)?;
    let mut prompts = crate::ci::python_for_tests(root)?;
    if let Some(data) = &arguments.data {
        let data = data.canonicalize().with_context(|| data.display().to_string())?;
        prompts.push(("ROUTER_TESTS_DATA", data.display().to_string()));
        prompts.push(("ROUTER_TESTS_PROMPTS", arguments.prompts.to_string()));
    }
    crate::ci::cargo(root, &test("router-tests", &["run500", "--", "--nocapture"]), &prompts)
}
