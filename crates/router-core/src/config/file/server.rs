//! `server` and `ledger` as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// Where and within which bounds to listen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address for clients, `ip:port`. Default loopback: without keys nobody else may use it.
    pub listen: String,
    /// Address for metrics and administration. Default loopback, apart from the clients' so that a firewall can tell.
    pub admin_listen: String,
    /// Key for administration; empty: administration on loopback only.
    pub admin_key: Option<Secret>,
    /// Seconds that requests in flight get to end after SIGTERM. Default 120: most streams end by themselves.
    pub drain_secs: u64,
    /// How threads share the work. Default `per_core`: no lock and no cache line is shared on the way of a request.
    pub runtime: Runtime,
    /// Threads that serve. Absent: one per core.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<u16>,
    /// Longest request body in bytes. Default 64 MiB: providers take 20 to 50 MB of files, which base64 makes a third
    /// longer.
    #[schemars(range(min = 1))]
    pub max_body_bytes: u64,
    /// Time for a client to send a request's headers once it has begun, in milliseconds. Default 10,000: enough for a
    /// phone, too little to hold connections open by dripping.
    #[schemars(range(min = 1))]
    pub header_timeout_ms: u64,
    /// Time a connection may stay open between two requests, in seconds. Default 300: longer than the pools of common
    /// clients and proxies keep one, so that they close it and not we.
    #[schemars(range(min = 1))]
    pub idle_timeout_secs: u64,
    /// Deepest nesting of a JSON body. Default 128, as common parsers: no provider accepts deeper ones.
    #[schemars(range(min = 2, max = 1024))]
    pub max_json_depth: u16,
    /// Connections open at once. Default 10,000: below what file descriptors and memory of a small machine bear.
    #[schemars(range(min = 1))]
    pub max_connections: u32,
    /// Requests in flight at once; more are refused at once with 503, and one key alone gets four fifths of the places.
    /// Default 4,096: most of them wait for providers, each with a few KB here and a connection there.
    #[schemars(range(min = 1))]
    pub max_in_flight: u32,
    /// Bytes of request bodies in memory at once; what would come over it is refused at once with 503. Default 1 GiB:
    /// sixteen of the longest bodies, or a million ordinary ones.
    #[schemars(range(min = 1))]
    pub max_body_memory_bytes: u64,
    /// Hosts from which images named in a request may be fetched. Not available in this version.
    pub fetch_images: Vec<String>,
    /// Habits of other gateways to answer to. Not available in this version.
    pub compat: Vec<Compat>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:4000".into(),
            admin_listen: "127.0.0.1:4001".into(),
            admin_key: None,
            drain_secs: 120,
            runtime: Runtime::PerCore,
            threads: None,
            max_body_bytes: 64 * 1024 * 1024,
            header_timeout_ms: 10_000,
            idle_timeout_secs: 300,
            max_json_depth: 128,
            max_connections: 10_000,
            max_in_flight: 4_096,
            max_body_memory_bytes: 1 << 30,
            fetch_images: Vec::new(),
            compat: Vec::new(),
        }
    }
}

/// How threads share the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// One single-threaded runtime and listener per thread.
    #[default]
    PerCore,
    /// One runtime whose threads steal work from each other.
    Shared,
}

/// Another gateway whose habits to answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compat {
    /// LiteLLM's answer headers.
    Litellm,
}

/// Where what happened is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ledger {
    /// `sqlite://path`, relative to this file, `sqlite::memory:`, or `postgres://user:password@host/database` for several
    /// replicas. Default a file: nothing else to install.
    pub url: String,
    /// Directory of the spool, relative to this file.
    pub spool_dir: String,
    /// What happens to requests while the spool cannot be written. Default `serve`: answers go on, and what is not
    /// recorded is counted and said.
    pub on_full: OnFull,
    /// What a record survives. Default `process`: kill -9, at no cost in time.
    pub durability: Durability,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            url: "sqlite://router.db".into(),
            spool_dir: "spool".into(),
            on_full: OnFull::Serve,
            durability: Durability::Process,
        }
    }
}

/// What happens to requests while the spool cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// They are answered.
    #[default]
    Serve,
    /// They are refused with 503 before anything is sent.
    Refuse,
}

/// What a record survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The process being killed.
    #[default]
    Process,
    /// The machine losing power: one fsync per record.
    Power,
}
