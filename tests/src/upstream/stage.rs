//! Many deployments on one port, each with a fault of its own, told apart by the name of their upstream model.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::answer::Speech;
use super::fault::{Fault, steps};
use super::raw::{Performed, Received, TLS_ALERT, perform, receive};
use super::{Call, Ending, Wire, check};

/// One deployment's part.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The wire format it speaks.
    pub wire: Wire,
    /// What it does wrong.
    pub fault: Fault,
    /// What it says when it is well.
    pub speech: Speech,
}

struct State {
    parts: BTreeMap<String, Part>,
    calls: Mutex<Vec<Call>>,
}

/// The running port. Dropping it ends every connection.
pub struct Stage {
    address: SocketAddr,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    /// Bound and never listened on: whoever connects is refused.
    closed: (TcpSocket, SocketAddr),
}

impl Stage {
    /// Starts it on a free port, with these parts by model.
    ///
    /// # Panics
    /// When no port or thread is to be had.
    pub fn start(parts: BTreeMap<String, Part>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a non-blocking socket");
        let address = listener.local_addr().expect("a bound socket");
        let closed = TcpSocket::new_v4().expect("a socket");
        closed.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let refused = closed.local_addr().expect("a bound socket");
        let state = Arc::new(State { parts, calls: Mutex::default() });
        let (stop, stopping) = watch::channel(false);
        let serving = Arc::clone(&state);
        let thread = std::thread::spawn(move || run(&serving, listener, stopping));
        Self { address, state, stop, thread: Some(thread), closed: (closed, refused) }
    }

    /// The base URL of a part for the router's configuration.
    pub fn base_url(&self, part: &Part) -> String {
        let version = if part.wire == Wire::Gemini { "v1beta" } else { "v1" };
        match part.fault {
            Fault::Refused => format!("http://{}/{version}", self.closed.1),
            // A name that exists nowhere (RFC 6761, section 6.4).
            Fault::NoSuchName => format!("http://provider.invalid/{version}"),
            Fault::Tls => format!("https://{}/{version}", self.address),
            _ => format!("http://{}/{version}", self.address),
        }
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(state: &Arc<State>, listener: std::net::TcpListener, mut stop: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).expect("a listening socket");
        loop {
            let socket = tokio::select! {
                accepted = listener.accept() => match accepted { Ok((socket, _)) => socket, Err(_) => continue },
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let _ = socket.set_nodelay(true);
            tokio::spawn(connection(Arc::clone(state), socket));
        }
    });
}

async fn connection(state: Arc<State>, mut socket: TcpStream) {
    loop {
        let (head, body) = match receive(&mut socket).await {
            Received::Request(head, body) => (head, body),
            Received::Tls => {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, &TLS_ALERT).await;
                return;
            }
            Received::Closed => return,
        };
        // The wire format is the part's, and the part is found by the model, which each wire format has elsewhere.
        let wires = [Wire::OpenaiChat, Wire::Anthropic, Wire::Gemini];
        let read = wires.into_iter().find_map(|wire| {
            let call = check::request(wire, &head, &body);
            let part = state.parts.get(&call.model).filter(|part| part.wire == wire)?;
            Some((call, *part))
        });
        let Some((call, part)) = read else { return };
        let speech = said_to(&part, &call);
        let number = state.with(|calls| {
            calls.push(Call { output_tokens: u64::from(speech.tokens), ..call.clone() });
            calls.len() - 1
        });
        if call.invalid.is_some() {
            return;
        }
        let performed = perform(&mut socket, steps(part.fault, part.wire, &call, &speech)).await;
        let ending = if performed == Performed::Whole { Ending::Whole } else { Ending::Lost };
        state.with(|calls| calls[number].ending = ending);
        if performed != Performed::Whole {
            return;
        }
    }
}

impl State {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Call>) -> T) -> T {
        change(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a part says to a call: after what it is shown to have been said already, it goes on from there. Told to in words
/// (its last message is not the answer's own beginning), it repeats the last five words, as models do.
fn said_to(part: &Part, call: &Call) -> Speech {
    let speech = part.speech;
    let beginning = |words: u32| Speech { to: words, ..speech }.text();
    let shown = (1..=speech.to).rev().find(|words| call.text.contains(beginning(*words).trim_end()));
    let Some(shown) = shown else { return speech };
    let last =
        call.body["messages"].as_array().or(call.body["contents"].as_array()).and_then(|all| all.last());
    let role = last.and_then(|message| message["role"].as_str()).unwrap_or_default();
    let goes_on = ["assistant", "model"].contains(&role);
    let from = if goes_on { shown } else { shown.saturating_sub(5) };
    Speech { from, tokens: speech.to - from, ..speech }
}
