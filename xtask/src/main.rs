//! The project's own commands: `cargo xtask tidy | schemas | catalog | bench | ci`. No shell scripts, no Makefile.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these commands talk to the person who ran them"
)]

mod bench;
mod catalog;
mod ci;
mod prove;
mod schemas;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the rules of the architecture that a compiler does not check.
    ///
    /// Arrows between the crates and what their dependency trees hold, length and nesting, the opening line of each
    /// file, where hosts and provider ids stand, unsafe, licences and versions. Prints path:line: message.
    Tidy,
    /// Write schemas/*.json from the Rust types.
    Schemas {
        /// Write nothing; fail when a file differs from what the types say.
        #[arg(long)]
        check: bool,
    },
    /// Make config/catalog.yaml from a file of facts and config/catalog-overlay.yaml.
    ///
    /// Prints what was left out and why. Without --facts: checks the catalog that is there.
    Catalog {
        /// The facts: list prices, windows and capabilities per model, as JSON.
        #[arg(long, value_name = "FILE")]
        facts: Option<PathBuf>,
    },
    /// The long forms of what CI shows in short: real prompts, kills, simulated seeds, faults, outages, crowds.
    Prove(prove::Arguments),
    /// Measure the router's processor time per request beside a bare hyper pass-through.
    Bench(bench::Arguments),
    /// A program of the benchmark, started by it.
    #[command(hide = true, subcommand)]
    BenchPart(bench::Part),
    /// Everything a change must pass: format, clippy, tidy, schemas, tests. Stops at the first failure.
    Ci,
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the workspace")?;
    match command {
        Command::Tidy => tidy::run(root),
        Command::Schemas { check } => schemas::run(root, *check),
        Command::Catalog { facts: Some(facts) } => catalog::make(root, facts),
        Command::Catalog { facts: None } => catalog::check(root),
        Command::Prove(arguments) => prove::run(root, arguments),
        Command::Bench(arguments) => bench::run(root, arguments),
        Command::BenchPart(part) => bench::part(part),
        Command::Ci => ci::run(root),
    }
}
