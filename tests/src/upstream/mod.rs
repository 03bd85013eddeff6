//! Scripted providers: real HTTP servers on loopback that speak one of three wire formats, check strictly what they
//! receive, count what they answer, and fail as told.

mod answer;
mod check;
mod fault;
mod raw;
mod serve;
mod stage;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

pub use answer::Speech;
pub use fault::Fault;
pub use stage::{Part, Stage};

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// OpenAI chat completions.
    OpenaiChat,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini generateContent.
    Gemini,
}

/// How an upstream behaves. May be changed while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Words of an answer.
    pub words: u32,
    /// Wait before the head of an answer.
    pub latency: Duration,
    /// Wait before each word of a stream.
    pub word_gap: Duration,
    /// Of a hundred calls so many fail with 500 before anything is sent, spread evenly.
    pub fail_percent: u32,
    /// Calls answered per minute, in a fixed window from the first call on; the rest get 429 with `retry-after`.
    pub rpm: Option<u32>,
    /// Calls made with these keys are refused so.
    pub keys: &'static [(&'static str, Fault)],
    /// Streams are cut off after so many words.
    pub cut_after: Option<u32>,
    /// A request with tools and no result yet is answered by two calls at once, in place of words.
    pub tool_calls: bool,
    /// Each word repeats the number that stands in the request behind `token `.
    pub echo: bool,
    /// Every answer has this body, byte for byte, in small pieces: what a provider may say that nobody has foreseen.
    pub raw: Option<&'static [u8]>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            words: 12,
            latency: Duration::ZERO,
            word_gap: Duration::ZERO,
            fail_percent: 0,
            rpm: None,
            keys: &[],
            cut_after: None,
            tool_calls: false,
            echo: false,
            raw: None,
        }
    }
}

impl Call {
    /// Answered whole, or refused as told: what the upstream has to say about it is said.
    pub fn is_settled(&self) -> bool {
        matches!(self.ending, Ending::Whole | Ending::Refused)
    }
}

/// The text of an answer of so many words.
pub fn said(words: u32) -> String {
    Speech::words(words).text()
}

/// The text of an answer of so many words, each with this number.
pub fn said_with(words: u32, token: u32) -> String {
    Speech { token: Some(token), ..Speech::words(words) }.text()
}

/// How a call ended, as the upstream saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Being answered.
    Open,
    /// The connection ended before the answer did: the other side left, or the upstream was killed.
    Lost,
    /// Answered whole.
    Whole,
    /// Refused as scripted (500, 429).
    Refused,
    /// Refused because the request was wrong: a test should assert that there is none.
    Invalid,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// `x-client-request-id`, as sent by the router.
    pub id: String,
    /// The credential it was made with.
    pub key: String,
    /// The model asked for.
    pub model: String,
    /// Streamed.
    pub stream: bool,
    /// What was received.
    pub body: Value,
    /// The same as text, byte for byte.
    pub text: String,
    /// Input tokens reported.
    pub input_tokens: u64,
    /// Of those, cached.
    pub cached_tokens: u64,
    /// Output tokens reported, once whole.
    pub output_tokens: u64,
    /// Events of a stream handed to the network so far.
    pub sent_events: usize,
    /// How it ended.
    pub ending: Ending,
    /// Why it was invalid.
    pub invalid: Option<String>,
}

pub(crate) struct State {
    pub(crate) wire: Wire,
    pub(crate) script: Mutex<Script>,
    pub(crate) calls: Mutex<Vec<Call>>,
    pub(crate) window: Mutex<(Option<tokio::time::Instant>, u32)>,
}

impl State {
    pub(crate) fn script(&self) -> Script {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_calls<T>(&self, change: impl FnOnce(&mut Vec<Call>) -> T) -> T {
        change(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running upstream. Dropping it kills it.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts one on a free port, on a thread of its own.
    ///
    /// # Panics
    /// When no port or thread is to be had.
    pub fn start(wire: Wire, script: Script) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a non-blocking socket");
        let address = listener.local_addr().expect("a bound socket");
        let state = Arc::new(State {
            wire,
            script: Mutex::new(script),
            calls: Mutex::default(),
            window: Mutex::new((None, 0)),
        });
        let (stop, stopping) = watch::channel(false);
        let serving = Arc::clone(&state);
        let thread = std::thread::spawn(move || serve::run(serving, listener, stopping));
        Self { address, state, stop, thread: Some(thread) }
    }

    /// The base URL for the router's configuration.
    pub fn base_url(&self) -> String {
        let version = if self.state.wire == Wire::Gemini { "v1beta" } else { "v1" };
        format!("http://{}/{version}", self.address)
    }

    /// Behaves differently from now on.
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.state.script.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state.with_calls(|calls| calls.clone())
    }

    /// Number of calls so far.
    pub fn count(&self) -> usize {
        self.state.with_calls(|calls| calls.len())
    }

    /// Number of calls that are being answered.
    pub fn open(&self) -> usize {
        self.state.with_calls(|calls| calls.iter().filter(|call| call.ending == Ending::Open).count())
    }

    /// Closes the port and every connection, in the middle of whatever is being sent.
    pub fn kill(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.kill();
    }
}
