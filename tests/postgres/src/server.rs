//! A server of the test's own: found, made in a temporary directory, run by a shell that ends it when the test is gone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

/// Starts the server and says so, waits for a word or the end of its input, which comes when the test dies, however it
/// dies; stops the server; without a word it also cleans up. A Ctrl-C, and a test that dies meanwhile, must not end it.
const SCRIPT: &str = "trap '' INT PIPE\n\
    \"$0\" -D \"$1\" -l \"$1/log\" -o \"$2\" -w -t 120 start >/dev/null 2>&1 || { cat \"$1/log\"; exit 1; }\n\
    echo ready\n\
    read word\n\
    \"$0\" -D \"$1\" -m fast -w -t 120 stop >/dev/null 2>&1 || exit 1\n\
    [ \"$word\" = stop ] || rm -rf \"$1\"\n";

/// Nothing of a test's database has to survive the machine.
const OPTIONS: &str = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=60 \
    -c shared_buffers=16MB -c listen_addresses=127.0.0.1";

/// A server and its directory.
#[derive(Debug)]
pub(crate) struct Server {
    dir: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    /// Who runs it, where that cannot be us.
    user: Option<(u32, u32)>,
    shell: Option<Child>,
}

/// A port that is free and stays so while the server is stopped: none of those that systems hand out by themselves, the
/// lowest of which is 32,768 on Linux.
fn free_port() -> Result<u16> {
    const FROM: u32 = 20_000;
    const PORTS: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    for _ in 0..PORTS {
        let at = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = u16::try_from(FROM + at)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let programs = programs()?;
        let dir = tempfile::Builder::new().prefix("router-postgres-").tempdir()?;
        // It refuses to run as root.
        let user = if dir.path().metadata()?.uid() == 0 { Some(unprivileged()?) } else { None };
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).context("cannot hand its directory to another user")?;
        }
        // That somebody else takes it before the server does is said by the server.
        let port = free_port()?;
        let mut server = Self { dir, programs, port, user, shell: None };
        let data = server.data();
        let made = server
            .command(&server.programs.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .context("cannot run initdb")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        server.run()?;
        Ok(server)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Runs it, and returns when it answers.
    pub(crate) fn run(&mut self) -> Result<()> {
        ensure!(self.shell.is_none(), "it runs already");
        let options = format!("{OPTIONS} -p {} -k {}", self.port, self.dir.path().display());
        let mut shell = self
            .command(Path::new("/bin/sh"))
            .args(["-c", SCRIPT])
            .arg(self.programs.join("pg_ctl"))
            .arg(self.data())
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run a shell")?;
        let mut said = String::new();
        if let Some(out) = shell.stdout.take() {
            let mut out = BufReader::new(out);
            out.read_line(&mut said)?;
            if said != "ready\n" {
                out.read_to_string(&mut said)?;
                shell.wait()?;
                bail!("it did not start: {said}");
            }
        }
        self.shell = Some(shell);
        Ok(())
    }

    /// Ends it, and returns when it is gone.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut shell) = self.shell.take() else { bail!("it does not run") };
        if let Some(mut word) = shell.stdin.take() {
            word.write_all(b"stop\n")?;
        }
        ensure!(shell.wait()?.success(), "it could not be stopped");
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A command as the server's user.
    fn command(&self, program: &Path) -> Command {
        let mut command = match self.user {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
                command.arg(program);
                command
            }
        };
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.shell.is_some() {
            // The directory goes next; nobody asks how it went.
            let _ = self.stop();
        }
    }
}

/// Where initdb and pg_ctl are: the newest version, if there are several.
fn programs() -> Result<PathBuf> {
    let mut places: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    if let Ok(said) = Command::new("pg_config").arg("--bindir").output() {
        places.push(String::from_utf8_lossy(&said.stdout).trim().into());
    }
    let mut installed: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|found| found.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    installed.sort();
    places.extend(installed.into_iter().rev());
    let has_both = |place: &PathBuf| ["initdb", "pg_ctl"].iter().all(|program| place.join(program).is_file());
    places.into_iter().find(has_both).context("initdb and pg_ctl are nowhere")
}

/// A user without rights: PostgreSQL's own, or nobody.
fn unprivileged() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
        Some((ids.next()??, ids.next()??))
    };
    ["postgres", "nobody"].iter().find_map(|name| find(name)).context("neither a user postgres nor nobody")
}
