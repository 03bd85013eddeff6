//! Building what is measured, starting it, reading its processor time. A process is killed when its handle is dropped.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;

/// A process must say what is expected of it by then.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process is watched to see whether it rests.
const LOOK: Duration = Duration::from_millis(200);
/// It rests when it uses less than one part in so many of that.
const RESTING_PART: u32 = 50;
/// Looks, at most.
const MOST_LOOKS: u32 = 50;

/// The binaries.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) router: PathBuf,
    pub(super) own: PathBuf,
}

/// Builds both in release form. One after the other: together, cargo would unify their features, and what is measured
/// would not be what users get.
///
/// # Errors
/// A build fails.
pub(super) fn build(root: &Path) -> Result<Programs> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for package in ["router-server", "xtask"] {
        println!("bench: building {package} ...");
        let status = Command::new(&cargo)
            .args(["build", "--release", "--locked", "--package", package])
            .current_dir(root)
            .status()
            .context("starting cargo")?;
        if !status.success() {
            bail!("building {package}: {status}");
        }
    }
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("running cargo metadata")?;
    let folder = metadata.target_directory.join("release").into_std_path_buf();
    Ok(Programs { router: folder.join("router-server"), own: folder.join("xtask") })
}

/// A running program.
pub(super) struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Option<Lines<BufReader<Receiver>>>,
}

impl Process {
    /// Starts one of our own parts, whose standard output is read here.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn part(own: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(own);
        command.arg("bench-part").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", own.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("a pipe")?;
        let mut process = Self { name: arguments.join(" "), child, input, lines: None };
        let receiver = Receiver::from_owned_fd(output.into()).context("reading a pipe")?;
        process.lines = Some(BufReader::new(receiver).lines());
        Ok(process)
    }

    /// Starts another program, whose output goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn quiet(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        let child = child.with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, input: None, lines: None })
    }

    /// The next line it prints.
    ///
    /// # Errors
    /// It ends instead, or takes longer than `within` and some patience.
    pub(super) async fn line(&mut self, within: Duration) -> Result<String> {
        let lines = self.lines.as_mut().context("its output is not read here")?;
        let line = tokio::time::timeout(within + PATIENCE, lines.next_line()).await;
        match line.with_context(|| format!("{} says nothing", self.name))?? {
            Some(line) => Ok(line),
            None => bail!("{} ended: {}", self.name, self.child.wait()?),
        }
    }

    /// Gives it a line.
    ///
    /// # Errors
    /// It does not read any more.
    pub(super) fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("it has no input")?;
        writeln!(input, "{line}").with_context(|| format!("telling {} to {line}", self.name))
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// It has.
    pub(super) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Its threads' processor time so far.
    ///
    /// # Errors
    /// It has ended, or the kernel does not say.
    pub(super) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.child.id()).with_context(|| format!("reading the processor time of {}", self.name))
    }

    /// Waits until it rests: what a request leaves for later (rows in a database) is a part of its cost.
    ///
    /// # Errors
    /// It never does, or has ended.
    pub(super) async fn rest(&self) -> Result<()> {
        let mut before = self.cpu()?;
        for _ in 0..MOST_LOOKS {
            tokio::time::sleep(LOOK).await;
            let now = self.cpu()?;
            if now.since(&before).into_values().sum::<Duration>() < LOOK / RESTING_PART {
                return Ok(());
            }
            before = now;
        }
        bail!("{} does not come to rest", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of each thread with its name, to the nanosecond (`/proc/<pid>/task/<tid>/schedstat`; the whole
/// process's own figure comes in grains of 10 ms, which is too coarse for streams).
#[derive(Clone, Debug)]
pub(super) struct Cpu(BTreeMap<u32, (String, Duration)>);

impl Cpu {
    fn of(pid: u32) -> Result<Self> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let entry = entry?;
            let read = |name: &str| fs::read_to_string(entry.path().join(name));
            // A thread may end between being listed and being read.
            let (Ok(text), Ok(name)) = (read("schedstat"), read("comm")) else { continue };
            let nanoseconds = text.split(' ').next().and_then(|n| n.parse().ok()).context("no schedstat")?;
            let thread = entry.file_name().to_str().and_then(|n| n.parse().ok()).context("no thread id")?;
            threads.insert(thread, (name.trim_end().to_owned(), Duration::from_nanos(nanoseconds)));
        }
        if threads.is_empty() {
            bail!("no thread says how much it used");
        }
        Ok(Self(threads))
    }

    /// Time used since, by the threads' names. Threads begun since count whole; those that ended are lost, so programs
    /// measured here keep theirs.
    pub(super) fn since(&self, before: &Self) -> BTreeMap<String, Duration> {
        let mut used = BTreeMap::new();
        for (thread, (name, now)) in &self.0 {
            let before = before.0.get(thread).map(|(_, time)| *time).unwrap_or_default();
            *used.entry(name.clone()).or_default() += now.saturating_sub(before);
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_counts_new_threads_whole_and_old_ones_by_difference_under_their_names() {
        let ms = Duration::from_millis;
        let cpu = |threads: &[(u32, &str, u64)]| {
            Cpu(threads
                .iter()
                .map(|(thread, name, used)| (*thread, ((*name).to_owned(), ms(*used))))
                .collect())
        };
        let used = cpu(&[(1, "a", 30), (3, "a", 5), (4, "b", 2)]).since(&cpu(&[(1, "a", 10), (2, "b", 7)]));
        assert_eq!(used, BTreeMap::from([("a".to_owned(), ms(25)), ("b".to_owned(), ms(2))]));
    }

    #[test]
    fn this_process_has_used_some_time() {
        let used = Cpu::of(std::process::id()).unwrap().since(&Cpu(BTreeMap::new()));
        assert!(used.into_values().sum::<Duration>() > Duration::ZERO);
    }
}
