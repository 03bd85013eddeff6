//! A provider that answers by itself, in OpenAI's wire format: for trying the server out and for load tests. Every answer
//! says that it is simulated. It is a transport, so that all of the router but the network is real.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use router_core::attempt::FailureKind;
use router_core::config::SimulatedSettings;
use router_core::config::file::Faults;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::{ByteStream, Inbound, Outbound, Sending, Transport, TransportError};
use crate::json::quoted;

/// How the simulated provider behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Simulation {
    /// Time to the first byte.
    pub first_byte: Duration,
    /// Speed of the answer; 0: all at once.
    pub tokens_per_sec: u32,
    /// Tokens of an answer, unless the request allows fewer.
    pub output_tokens: u32,
    /// Faults.
    pub faults: Faults,
    /// Decides which calls fail: the same seed, the same calls.
    pub seed: u64,
}

impl Simulation {
    /// As configured; the seed decides which calls fail.
    pub fn new(settings: &SimulatedSettings, seed: u64) -> Self {
        Self {
            first_byte: settings.latency,
            tokens_per_sec: settings.tokens_per_sec,
            output_tokens: settings.output_tokens,
            faults: settings.faults,
            seed,
        }
    }
}

/// The words of an answer: the first are always the same, so that nobody takes it for a model's.
const WORDS: [&str; 24] = [
    "This ",
    "is ",
    "a ",
    "simulated ",
    "answer: ",
    "no ",
    "model ",
    "was ",
    "called, ",
    "and ",
    "no ",
    "money ",
    "was ",
    "spent. ",
    "The ",
    "router ",
    "chose, ",
    "priced, ",
    "logged ",
    "and ",
    "streamed ",
    "it ",
    "for ",
    "real. ",
];

/// Bytes of a request that stand for one input token.
const BYTES_PER_TOKEN: u64 = 4;

/// Answers without a network.
#[derive(Debug)]
pub struct SimulatedTransport {
    simulation: Simulation,
    calls: AtomicU64,
}

impl SimulatedTransport {
    /// A provider that behaves so.
    pub fn new(simulation: Simulation) -> Self {
        Self { simulation, calls: AtomicU64::new(0) }
    }

    /// The fault of the n-th call, if it has one.
    fn fault(&self, call: u64) -> Fault {
        let Faults { error_rate: errors, rate_limit_rate: limits, cut_rate: cuts } = self.simulation.faults;
        let draw =
            fastrand::Rng::with_seed(self.simulation.seed ^ call.wrapping_mul(0x9E37_79B9_7F4A_7C15)).f64();
        match draw {
            draw if draw < errors => Fault::Error,
            draw if draw < errors + limits => Fault::RateLimit,
            draw if draw < errors + limits + cuts => Fault::Cut,
            _ => Fault::None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Error,
    RateLimit,
    Cut,
}

/// What the simulation reads of a request.
#[derive(Deserialize)]
struct Asked {
    model: String,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    stream_options: Option<AskedUsage>,
    #[serde(default)]
    response_format: Option<AskedFormat>,
}

#[derive(Deserialize)]
struct AskedUsage {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct AskedFormat {
    #[serde(rename = "type")]
    kind: String,
}

impl Transport for SimulatedTransport {
    fn send(&self, request: Outbound) -> Sending<'_> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            pause(self.simulation.first_byte).await;
            let body = request.body.concat();
            let asked = match serde_json::from_slice::<Asked>(&body) {
                Ok(asked) => asked,
                Err(error) => {
                    return Ok(refusal(StatusCode::BAD_REQUEST, "invalid_request_error", &error.to_string()));
                }
            };
            match self.fault(call) {
                Fault::Error => {
                    Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "simulated failure"))
                }
                Fault::RateLimit => {
                    let mut inbound =
                        refusal(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "simulated rate limit");
                    inbound.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                    Ok(inbound)
                }
                fault => {
                    let input_tokens = (body.len() as u64).div_ceil(BYTES_PER_TOKEN);
                    let script = Script::new(&self.simulation, &asked, (call, input_tokens), fault);
                    Ok(if asked.stream == Some(true) { script.streamed() } else { script.whole().await })
                }
            }
        })
    }
}

/// Waits, unless there is nothing to wait for: a load test asks for no delay and must not pay for a timer.
async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Inbound {
    let body = format!(
        r#"{{"error":{{"message":{},"type":"{code}","param":null,"code":"{code}"}}}}"#,
        quoted(message)
    );
    inbound(status, "application/json", Box::pin(stream::iter([Ok(Bytes::from(body))])))
}

fn inbound(status: StatusCode, content_type: &'static str, body: ByteStream) -> Inbound {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Inbound { status, headers, body }
}

/// One answer, decided in full before it is played.
struct Script {
    /// The members every chunk begins with.
    head: String,
    whole_head: String,
    texts: Vec<String>,
    finish: &'static str,
    usage: String,
    include_usage: bool,
    /// Time between two tokens.
    pace: Duration,
    fault: Fault,
}

impl Script {
    fn new(simulation: &Simulation, asked: &Asked, (call, input_tokens): (u64, u64), fault: Fault) -> Self {
        let limit = [asked.max_tokens, asked.max_completion_tokens].into_iter().flatten().min();
        let wanted = u64::from(simulation.output_tokens.max(1));
        let output_tokens = limit.map_or(wanted, |limit| limit.min(wanted));
        let json = asked.response_format.as_ref().is_some_and(|format| format.kind.starts_with("json"));
        let words =
            |n: u64| (0..n).map(|at| WORDS.get(at as usize % WORDS.len()).copied().unwrap_or_default());
        let texts = if json && output_tokens >= 3 {
            let text: String = words(output_tokens - 2).collect();
            vec!["{\"simulated\":".to_owned(), quoted(text.trim_end()), "}".to_owned()]
        } else {
            words(output_tokens).map(str::to_owned).collect()
        };
        let members = |object: &str| {
            format!(
                r#"{{"id":"chatcmpl-simulated-{call}","object":"{object}","created":0,"model":{},"#,
                quoted(&asked.model)
            )
        };
        Self {
            head: format!("data: {}", members("chat.completion.chunk")),
            whole_head: members("chat.completion"),
            texts,
            finish: if limit.is_some_and(|limit| limit < wanted) { "length" } else { "stop" },
            usage: format!(
                concat!(
                    r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"#,
                    r#""prompt_tokens_details":{{"cached_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0}}}}"#
                ),
                input_tokens,
                output_tokens,
                input_tokens + output_tokens
            ),
            include_usage: asked
                .stream_options
                .as_ref()
                .is_some_and(|options| options.include_usage == Some(true)),
            pace: match simulation.tokens_per_sec {
                0 => Duration::ZERO,
                per_sec => Duration::from_secs(1) / per_sec,
            },
            fault,
        }
    }

    /// The fault half-way.
    fn broken(&mut self) -> TransportError {
        // Nothing follows it.
        self.texts.clear();
        self.fault = Fault::None;
        let message = "the answer broke off: simulated".to_owned();
        TransportError { kind: FailureKind::Truncated, message, sent: true }
    }

    async fn whole(self) -> Inbound {
        pause(self.pace * u32::try_from(self.texts.len()).unwrap_or(u32::MAX)).await;
        let mut body = format!(
            r#"{}"choices":[{{"index":0,"message":{{"role":"assistant","content":{},"refusal":null}},"logprobs":null,"finish_reason":"{}"}}],"usage":{}}}"#,
            self.whole_head,
            quoted(&self.texts.concat()),
            self.finish,
            self.usage
        );
        if self.fault == Fault::Cut {
            body.truncate(self.whole_head.len());
        }
        let body = stream::iter([Ok(Bytes::from(body))]);
        inbound(StatusCode::OK, "application/json", Box::pin(body))
    }

    fn streamed(self) -> Inbound {
        let played = Played { script: self, at: 0, start: Instant::now() };
        let body = stream::unfold(played, |mut played| async move {
            let bytes = played.next().await?;
            Some((bytes, played))
        });
        inbound(StatusCode::OK, "text/event-stream", Box::pin(body))
    }

    fn chunk(&self, out: &mut String, delta: &str, finish: &str) {
        let usage = if self.include_usage { r#","usage":null"# } else { "" };
        out.push_str(&self.head);
        out.push_str(r#""choices":[{"index":0,"delta":"#);
        out.push_str(delta);
        out.push_str(r#","logprobs":null,"finish_reason":"#);
        out.push_str(finish);
        out.push_str("}]");
        out.push_str(usage);
        out.push_str("}\n\n");
    }
}

/// A script being played: all tokens that are due go out together.
struct Played {
    script: Script,
    /// Tokens already sent.
    at: usize,
    start: Instant,
}

impl Played {
    async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        let tokens = self.script.texts.len();
        if self.at > tokens {
            return None;
        }
        // A faulty answer gets half-way.
        let last = if self.script.fault == Fault::None { tokens } else { tokens / 2 };
        if self.at > last {
            return Some(Err(self.script.broken()));
        }
        let due = |at: usize| self.start + self.script.pace * u32::try_from(at).unwrap_or(u32::MAX);
        let from = self.at;
        if !self.script.pace.is_zero() {
            sleep_until(due(from)).await;
        }
        let now = Instant::now();
        while self.at <= last && (self.at == from || due(self.at) <= now) {
            self.at += 1;
        }
        let mut out = String::new();
        if from == 0 {
            self.script.chunk(&mut out, r#"{"role":"assistant","content":"","refusal":null}"#, "null");
        }
        for text in self.script.texts.iter().take(self.at).skip(from) {
            self.script.chunk(&mut out, &format!(r#"{{"content":{}}}"#, quoted(text)), "null");
        }
        if self.at > tokens {
            self.script.chunk(&mut out, "{}", &format!("\"{}\"", self.script.finish));
            if self.script.include_usage {
                out.push_str(&self.script.head);
                out.push_str(&format!(r#""choices":[],"usage":{}}}"#, self.script.usage));
                out.push_str("\n\n");
            }
            out.push_str("data: [DONE]\n\n");
        }
        Some(Ok(Bytes::from(out)))
    }
}

#[cfg(test)]
mod tests;
