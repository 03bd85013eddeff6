//! The command line: one file per command. Results go to standard output, everything else to standard error.

#![expect(clippy::print_stderr, reason = "the one line that says why a command failed")]

mod check;
mod classify;
mod deployments;
mod explain;
mod keys;
mod report;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

pub(crate) use report::span;

/// Everything went as asked.
const GOOD: u8 = 0;
/// The answer is no: problems in a checked configuration, nothing eligible.
const NO: u8 = 1;
/// The question was wrong: the command line, or a file given to it.
const WRONG: u8 = 2;

/// A self-hosted LLM router.
#[derive(Debug, Parser)]
#[command(
    name = "router-server",
    version,
    propagate_version = true,
    about,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default command)
    Serve(serve::Arguments),
    /// List every problem of a configuration with its path, or what it amounts to
    Check(check::Arguments),
    /// Show the decision for one request, calling no one
    Explain(explain::Arguments),
    /// Read one request per line from standard input, write its attributes as one JSON object per line
    Classify(classify::Arguments),
    /// Client keys in a ledger: make, list, change, rotate, revoke, import
    Keys(keys::Arguments),
    /// Sum up a ledger: requests, errors, latency, tokens, cost
    Report(report::Arguments),
    /// Take deployments and providers out of use, put them back, on all replicas
    Deployments(deployments::Arguments),
}

/// Where a configuration is, for commands that take one.
#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// Configuration file; without it config/router.yaml, or the defaults inside the binary
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command of this process's arguments.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            eprintln!("router-server: {}", one_line(&error.to_string()));
            return ExitCode::from(WRONG);
        }
        Err(help_or_version) => {
            let _ = help_or_version.print();
            return ExitCode::from(GOOD);
        }
    };
    log_to_stderr();
    let done = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(arguments)) => serve::run(&arguments),
        Some(Command::Check(arguments)) => check::run(arguments),
        Some(Command::Explain(arguments)) => explain::run(arguments),
        Some(Command::Classify(arguments)) => classify::run(arguments),
        Some(Command::Keys(arguments)) => keys::run(arguments),
        Some(Command::Report(arguments)) => report::run(&arguments),
        Some(Command::Deployments(arguments)) => deployments::run(&arguments),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("router-server: {}", in_one_line(&error));
            ExitCode::from(WRONG)
        }
    }
}

/// An error with its causes, each said once: the texts of many have their cause's in them.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told.replace('\n', " ")
}

/// What is wrong with the command line, without the usage that follows it.
fn one_line(error: &str) -> String {
    let told = error.strip_prefix("error: ").unwrap_or(error);
    let rest = |line: &&str| line.starts_with("Usage:") || line.starts_with("For more information");
    let lines = told.lines().map(str::trim).take_while(|line| !rest(line));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Diagnostics on standard error: `RUST_LOG` says how much, `warn` for libraries and `info` for us by default.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,router_server=info,router_ledger=info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

/// Prints a line to standard output; a reader that has gone away ends the program quietly.
fn line(text: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(i32::from(GOOD));
    }
}

/// A runtime for a command that talks to the ledger.
fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a command line; `None`: help or the version.
    fn check(words: &str, expected: Option<&str>) {
        let arguments = std::iter::once("router-server").chain(words.split_whitespace());
        let error = Cli::try_parse_from(arguments).unwrap_err();
        let got = error.use_stderr().then(|| one_line(&error.to_string()));
        assert_eq!(got.as_deref(), expected, "{words}");
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("refused").context("cannot open it: refused").context("the ledger");
        assert_eq!(in_one_line(&error), "the ledger: cannot open it: refused");
    }

    #[test]
    fn help_and_version_everywhere_and_one_line_for_what_is_wrong() {
        for command in
            ["", "serve", "check", "explain", "classify", "report", "deployments", "deployments disable"]
        {
            check(&format!("{command} --help"), None);
            check(&format!("{command} --version"), None);
        }
        check("serve --bogus", Some("unexpected argument '--bogus' found"));
        check("check --json=1", Some("unexpected value '1' for '--json' found; no more were expected"));
        let missing = "the following required arguments were not provided: --request <FILE>";
        check("explain", Some(missing));
    }
}
