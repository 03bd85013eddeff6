//! Python with the official SDKs: scripts of `tests/python/`, which print one JSON object per line.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;

/// The variable that names the interpreter.
pub const VARIABLE: &str = "ROUTER_TESTS_PYTHON";

/// The interpreter that has the SDKs.
///
/// # Panics
/// When none is named: a test that cannot be made has not passed.
pub fn interpreter() -> PathBuf {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    named.unwrap_or_else(|| {
        panic!(
            "{VARIABLE} is not set: this test drives the official SDKs and needs a Python that has them. \
             `cargo xtask ci` makes one by itself; by hand: \
             python3 -m venv target/python && target/python/bin/pip install -r tests/python/requirements.txt && \
             {VARIABLE}=$PWD/target/python/bin/python cargo test -p router-tests"
        )
    })
}

/// A running script.
pub struct Script {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
    errors: Option<JoinHandle<String>>,
}

impl Script {
    /// Starts a script of `tests/python/`. Its standard input stays open until [`Script::finish`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python").join(name);
        let mut command = Command::new(interpreter());
        command
            .arg("-u")
            .arg(&path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A proxy or a key of the person who runs the tests is none of theirs.
        for name in
            ["OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, into) = (child.stdout.take().expect("a pipe"), Arc::clone(&lines));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                into.lock().unwrap_or_else(PoisonError::into_inner).push(value);
            }
        });
        let err = child.stderr.take().expect("a pipe");
        let errors = std::thread::spawn(move || std::io::read_to_string(err).unwrap_or_default());
        let stdin = child.stdin.take();
        Self { child, stdin, lines, reader: Some(reader), errors: Some(errors) }
    }

    /// What it has printed so far.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines it has printed so far.
    pub fn count(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Closes its standard input, waits for its end, and returns all that it printed.
    ///
    /// # Panics
    /// When it ends with an error, which is shown.
    pub fn finish(mut self) -> Vec<Value> {
        drop(self.stdin.take());
        let status = self.child.wait().expect("a child");
        self.reader.take().map(JoinHandle::join);
        let errors = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        assert!(status.success(), "the script ended with {status}:\n{errors}");
        self.lines()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a script to its end.
///
/// # Panics
/// When it ends with an error, which is shown.
pub fn run(name: &str, arguments: &[&str]) -> Vec<Value> {
    Script::start(name, arguments).finish()
}
