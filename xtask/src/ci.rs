//! `cargo xtask ci`: the steps, in order, each with its time, up to the first failure.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// The variable that tells end-to-end tests which Python has the SDKs.
const PYTHON_VARIABLE: &str = "ROUTER_TESTS_PYTHON";
/// The SDKs, pinned; no file, no Python.
const REQUIREMENTS: &str = "tests/python/requirements.txt";

/// What a step does.
enum Step {
    /// A cargo command.
    Cargo(&'static [&'static str]),
    /// One of our own.
    Own(fn(&Path) -> Result<()>),
    /// The tests, with what they need.
    Tests,
}

const STEPS: &[(&str, Step)] = &[
    ("format", Step::Cargo(&["fmt", "--all", "--check"])),
    ("clippy", Step::Cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
    ("tidy", Step::Own(crate::tidy::run)),
    ("schemas", Step::Own(|root| crate::schemas::run(root, true))),
    ("catalog", Step::Own(crate::catalog::check)),
    ("tests", Step::Tests),
];

/// Runs every step.
///
/// # Errors
/// The first step that fails, by name.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut summary = Vec::new();
    for (name, step) in STEPS {
        println!("ci: {name} ...");
        let start = Instant::now();
        let outcome = match step {
            Step::Cargo(arguments) => cargo(root, arguments, &[]),
            Step::Own(run) => run(root),
            Step::Tests => tests(root),
        };
        let seconds = start.elapsed().as_secs_f64();
        summary.push(format!("{name} {seconds:.1} s"));
        if let Err(error) = outcome {
            println!("ci: FAILED at {name} after: {}", summary.join(", "));
            return Err(error.context(format!("step {name}")));
        }
    }
    println!("ci: all good: {}", summary.join(", "));
    Ok(())
}

fn tests(root: &Path) -> Result<()> {
    let python = python_for_tests(root)?;
    // The end-to-end tests start the server as a process; testing its package builds no binary of it.
    cargo(root, &["build", "--workspace", "--bins", "--locked"], &[])?;
    cargo(root, &["test", "--workspace", "--locked"], &python)
}

/// A variable of the environment and its value.
pub(crate) type Variable = (&'static str, String);

/// Runs a cargo command with these variables.
///
/// # Errors
/// It fails.
pub(crate) fn cargo(root: &Path, arguments: &[&str], variables: &[Variable]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root).envs(variables.iter().map(|(name, value)| (name, value)));
    finish(&mut command)
}

fn finish(command: &mut Command) -> Result<()> {
    let name = format!("{} {}", command.get_program().to_string_lossy(), arguments(command));
    let status = command.status().with_context(|| format!("starting {name}"))?;
    if status.success() { Ok(()) } else { bail!("{name}: {status}") }
}

fn arguments(command: &Command) -> String {
    command.get_args().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The Python of a virtual environment with the pinned SDKs, made under the target folder when they change.
///
/// # Errors
/// There is no Python, or what it needs cannot be installed.
pub(crate) fn python_for_tests(root: &Path) -> Result<Vec<Variable>> {
    let requirements = root.join(REQUIREMENTS);
    if !requirements.exists() {
        return Ok(Vec::new());
    }
    let wanted = std::fs::read_to_string(&requirements)?;
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("running cargo metadata")?;
    let home = metadata.target_directory.join("python-for-tests").into_std_path_buf();
    let (stamp, python) = (home.join("installed.txt"), home.join("bin/python"));
    let variable = (PYTHON_VARIABLE, python.display().to_string());
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && python.exists() {
        return Ok(vec![variable]);
    }
    println!("ci: installing {REQUIREMENTS} into {}", home.display());
    finish(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    finish(Command::new(&python).args(install).arg(&requirements))?;
    std::fs::write(&stamp, wanted)?;
    Ok(vec![variable])
}
