//! The server under test: inside this process, or as a process of its own that can be signalled and killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use router_server::{Options, Running, Source};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, Request};
use crate::{eventually, ledger};

/// The ledger's file in a server's directory.
const LEDGER: &str = "router.db";

/// A configuration's sections that every test shares: free ports, a ledger in the server's directory, no log.
pub fn base() -> Value {
    json!({
        "server": { "listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0" },
        "ledger": { "url": format!("sqlite://{LEDGER}") },
        "decision_log": "off"
    })
}

/// The first with the members of the second: maps are merged, anything else replaces.
#[must_use]
pub fn merged(mut into: Value, patch: Value) -> Value {
    merge(&mut into, patch);
    into
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

/// A directory of its own.
///
/// # Panics
/// When none can be made.
pub fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A server inside this process.
pub struct Server {
    running: Running,
    directory: TempDir,
}

impl Server {
    /// Starts one with [`base`] and these members.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(config: Value) -> Self {
        let directory = directory();
        let text = merged(base(), config).to_string();
        let source = Source::Text { text, base: directory.path().to_path_buf() };
        let running = router_server::start(&Options { source, strict: false });
        Self { running: running.unwrap_or_else(|error| panic!("{error}")), directory }
    }

    /// Where clients connect.
    pub fn data(&self) -> SocketAddr {
        self.running.data_address()
    }

    /// Where administrators connect.
    pub fn admin(&self) -> SocketAddr {
        self.running.admin_address()
    }

    /// The base URL for an SDK.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.data())
    }

    /// Asks a chat question.
    pub fn chat(&self, body: &Value) -> Answer {
        Request::chat(body).send(self.data())
    }

    /// The Decision for a body, calling no one.
    ///
    /// # Panics
    /// When it is refused.
    pub fn explain(&self, body: &Value) -> Value {
        let answer = Request::post("/v1/router/explain", body.to_string()).send(self.data());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// What the admin API says of one deployment.
    ///
    /// # Panics
    /// When it does not know it.
    pub fn deployment(&self, id: &str) -> Value {
        let all = Request::get("/admin/v1/deployments").send(self.admin()).json();
        let mut rows = all["deployments"].as_array().into_iter().flatten();
        rows.find(|row| row["id"] == id).unwrap_or_else(|| panic!("no deployment {id}: {all}")).clone()
    }

    /// The metrics' text.
    pub fn metrics(&self) -> String {
        Request::get("/metrics").send(self.admin()).text()
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Stops it; what it leaves behind can then be read.
    pub fn stop(self) -> Left {
        self.running.stop();
        Left { directory: self.directory }
    }
}

/// What a server leaves behind.
pub struct Left {
    directory: TempDir,
}

impl Left {
    /// The rows of its ledger.
    pub fn rows(&self) -> ledger::Rows {
        ledger::read(&self.directory.path().join(LEDGER))
    }

    /// `report --json` on its ledger, by these names.
    ///
    /// # Panics
    /// When the command fails.
    pub fn report(&self, by: &str) -> Value {
        let url = format!("sqlite://{}", self.directory.path().join(LEDGER).display());
        let mut arguments = vec!["report", "--json", "--ledger", &url];
        if !by.is_empty() {
            arguments.extend(["--by", by]);
        }
        let output = run(&arguments, self.directory.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A file's text.
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

/// The server's binary: cargo puts it beside the folder of the test's own.
///
/// # Panics
/// When it is not there.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let folder = own.ancestors().nth(2).expect("a test runs from target/<profile>/deps");
    let path = folder.join(format!("router-server{}", std::env::consts::EXE_SUFFIX));
    let missing = "build it first: `cargo build --workspace --bins`; `cargo xtask ci` does";
    assert!(path.exists(), "{} is missing; {missing}", path.display());
    path
}

/// A command with nothing of this process's environment: no key of the person who runs the tests is used by accident.
pub fn command(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(directory).env_clear();
    command
}

/// Runs a command of the server to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(arguments: &[&str], directory: &Path) -> Output {
    command(arguments, directory).stdin(Stdio::null()).output().expect("the server's binary starts")
}

/// A server that is a process of its own.
pub struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    /// Starts the command and waits until it serves.
    ///
    /// # Panics
    /// When it ends instead; with its log.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (err, into) = (child.stderr.take().expect("a pipe"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let all = || log.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
        let (data, admin) = eventually("the server says where it serves", || {
            let found = all().lines().find_map(addresses);
            let ended = child.try_wait().is_ok_and(|ended| ended.is_some());
            assert!(found.is_some() || !ended, "it ended instead:\n{}", all());
            found
        });
        Self { child, log, data, admin }
    }

    /// Starts `serve` on a configuration file.
    pub fn serve(config: &Path) -> Self {
        let folder = config.parent().unwrap_or(Path::new("."));
        Self::start(command(&["serve", "--config", &config.display().to_string()], folder))
    }

    /// Where clients connect.
    pub fn data(&self) -> SocketAddr {
        self.data
    }

    /// Where administrators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Memory that it holds, in KiB; nothing where the system does not say.
    pub fn memory_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// What it has said on standard error.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Sends a signal by name: `TERM`, `HUP`.
    ///
    /// # Panics
    /// When that fails.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the server ends", || self.child.try_wait().expect("a child"))
    }

    /// Sends SIGTERM, waits, and expects a clean end.
    ///
    /// # Panics
    /// When it ends with anything but 0.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both addresses, from the line that says that it serves.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let value = |name: &str| {
        line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    line.contains("serving").then(|| Some((value("listen")?, value("admin")?)))?
}
