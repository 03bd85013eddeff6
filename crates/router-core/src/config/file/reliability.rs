//! `reliability` as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How failures are met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reliability {
    /// Time limits of every attempt and request.
    pub time_limits: TimeLimits,
    /// Retries.
    pub retries: Retries,
    /// When a deployment leaves the rotation, and how it comes back.
    pub breaker: Breaker,
    /// The router's own small requests to deployments that may be well again.
    pub probe: Probe,
    /// Going on with a stream that was cut.
    pub rescue: Rescue,
    /// Asking a second deployment before the first has failed.
    pub hedging: Hedging,
}

/// Time limits, in milliseconds. A deployment, its catalog entry or its model may have others. A model that reasons has the
/// longer ones of the catalog's `reasoning` (180 s to the first byte and between two), and so has a deployment of which
/// neither the catalog nor `deployments` says what it can do, unless another limit is written here: it may reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeLimits {
    /// To connect, TLS included. Default 3,000: twenty round trips across the world; longer is an outage.
    #[schemars(range(min = 1))]
    pub connect_ms: u64,
    /// From sending a streamed request to the first byte of its body; a ping counts. Default 30,000: ten times what
    /// models that do not reason take.
    #[schemars(range(min = 1))]
    pub first_byte_ms: u64,
    /// From sending a JSON request to its whole answer. Default 600,000, as the official SDKs wait.
    #[schemars(range(min = 1))]
    pub answer_ms: u64,
    /// Between two bytes of a stream. Default 60,000: providers ping every 15 s or write far faster.
    #[schemars(range(min = 1))]
    pub idle_ms: u64,
    /// Of a whole request, all attempts included, where it names none. Default 600,000, as the official SDKs wait.
    #[schemars(range(min = 1))]
    pub deadline_ms: u64,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect_ms: 3_000,
            first_byte_ms: 30_000,
            answer_ms: 600_000,
            idle_ms: 60_000,
            deadline_ms: 600_000,
        }
    }
}

/// Retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// Retries per hundred requests. Default 20, Envoy's and Finagle's: load on a sick provider grows by a fifth at most.
    #[schemars(range(max = 100))]
    pub budget_percent: u32,
    /// ... plus so many per second. Default 10, Finagle's: little traffic can still retry.
    pub per_sec: u32,
    /// Most paid attempts per request, the first included; moves to a deployment that just answered are free. Default 3,
    /// as Google's SRE book.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// First wait, in milliseconds; the n-th is drawn from 0..=min(cap, base x 2^n). Default 250: half the SDKs', for
    /// theirs come on top.
    pub backoff_base_ms: u64,
    /// Longest wait, in milliseconds. Default 8,000, the SDKs'.
    pub backoff_cap_ms: u64,
}

impl Default for Retries {
    fn default() -> Self {
        Self { budget_percent: 20, per_sec: 10, attempts: 3, backoff_base_ms: 250, backoff_cap_ms: 8_000 }
    }
}

/// The breaker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// `false`: nothing ever leaves the rotation. Default on.
    pub enabled: bool,
    /// Length of the sliding window. Default 300: long enough for 20 requests of modest traffic.
    #[schemars(range(min = 10, max = 86_400))]
    pub window_secs: u64,
    /// Opens above this share of failures. Default 0.05: healthy providers stay below 1 %.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub error_rate: f64,
    /// ... with at least so many requests in the window. Default 20: below, one failure is above the rate.
    #[schemars(range(min = 1))]
    pub min_requests: u32,
    /// ... and so many failures. Default 5: chance alone makes two or three.
    #[schemars(range(min = 1))]
    pub min_failures: u32,
    /// Opens after so many failures in a row, whatever the traffic. Default 5: near linkerd's 7, as each one costs a
    /// client time.
    #[schemars(range(min = 1))]
    pub consecutive: u32,
    /// First cooldown; it doubles each time. Default 30, Envoy's.
    #[schemars(range(min = 1))]
    pub cooldown_secs: u64,
    /// Longest cooldown. Default 600: an outage of hours costs six probes an hour.
    #[schemars(range(min = 1))]
    pub max_cooldown_secs: u64,
    /// Least time on each step back. Default 10: one bucket of the window.
    #[schemars(range(min = 1))]
    pub ramp_step_secs: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            enabled: true,
            window_secs: 300,
            error_rate: 0.05,
            min_requests: 20,
            min_failures: 5,
            consecutive: 5,
            cooldown_secs: 30,
            max_cooldown_secs: 600,
            ramp_step_secs: 10,
        }
    }
}

/// The router's own small requests (a word, an answer of one token) to a deployment that is out, once its cooldown is over,
/// so that no client's request has to find out whether it is well again. They count in health, limits, budgets and the
/// ledger as requests do, with the rule `probe` and no key. Without money left, none is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// Default off: it costs money that nobody asked to spend, and where there is traffic the clients' requests find out
    /// as fast, with failover behind them.
    pub enabled: bool,
    /// A deployment is tried at most so often. Default 10, as often as health checks of load balancers ask: with the three
    /// successes that it takes, half a minute.
    #[schemars(range(min = 1))]
    pub interval_secs: u64,
}

impl Default for Probe {
    fn default() -> Self {
        Self { enabled: false, interval_secs: 10 }
    }
}

/// Going on with a stream that was cut, ended early or fell silent: another deployment among those allowed goes on where it
/// stopped, within the same deadline, cost ceiling and retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rescue {
    /// Default on: half an answer helps nobody. `false`: such a stream ends with the dialect's error event.
    pub enabled: bool,
}

impl Default for Rescue {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Asking a second deployment before the first has failed: when it has shown nothing after the time in which 19 of 20 of its
/// answers begin (streams) or are whole (JSON). The first to answer wins, the other is stopped and paid. Never where a
/// breaker, silence or a limit speaks against it, and nothing of it is taken from `retries`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hedging {
    /// Default off: it is paid for twice.
    pub enabled: bool,
    /// Most it may add to what the requests of the last hour cost, in percent. Default 5: about one hedge per twenty requests,
    /// which is what is later than the p95. A loser counts at what it is booked at; stopped before it said anything, that is
    /// the most it could have cost.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub max_extra_cost_percent: f64,
}

impl Default for Hedging {
    fn default() -> Self {
        Self { enabled: false, max_extra_cost_percent: 5.0 }
    }
}
