//! A configuration that holds: what decides (`Compiled`), what the server needs beside it, and what is worth saying.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::DialectId;
use crate::compiled::Compiled;
use crate::config::file::{Durability, Faults, OnFull, Runtime, Webhook};
use crate::config::{Note, Secret};
use crate::price::Rates;

/// The provider hosts that exist, as values: the table itself belongs to whoever sends to them.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The hosts.
    pub hosts: Vec<KnownHost>,
}

impl Known {
    /// The host with this id.
    pub fn host(&self, id: &str) -> Option<&KnownHost> {
        self.hosts.iter().find(|h| h.id == id)
    }
}

/// One host.
#[derive(Clone, Debug)]
pub struct KnownHost {
    /// Its id, which is also the catalog's.
    pub id: String,
    /// Its base URL; `None`: each customer has another, so the configuration must give it.
    pub base_url: Option<String>,
    /// Its wire format.
    pub dialect: DialectId,
    /// It answers nobody without a key.
    pub needs_key: bool,
    /// It answers by itself: the simulated provider. At most one.
    pub simulated: bool,
}

/// A checked configuration.
#[derive(Debug)]
pub struct Checked {
    /// What decides.
    pub compiled: Arc<Compiled>,
    /// The server.
    pub server: ServerSettings,
    /// The ledger.
    pub ledger: LedgerSettings,
    /// The decision log.
    pub decision_log: DecisionLog,
    /// Each provider's credentials, by its index in [`Compiled::providers`]; empty: none needed.
    pub credentials: Vec<Vec<Credential>>,
    /// Settings of the simulated provider; `None`: it is off.
    pub simulated: Option<SimulatedSettings>,
    /// Who is told what happens to budgets.
    pub webhooks: Vec<Webhook>,
    /// Worth saying at start.
    pub notes: Vec<Note>,
}

/// One key of a provider.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The key.
    pub secret: Secret,
    /// Its share.
    pub weight: u32,
}

/// `server`, ready to use.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Address for clients.
    pub listen: SocketAddr,
    /// Address for administration.
    pub admin_listen: SocketAddr,
    /// Key for administration; `None`: none, and `admin_listen` is loopback.
    pub admin_key: Option<Secret>,
    /// Time for requests in flight to end.
    pub drain: Duration,
    /// How threads share the work.
    pub runtime: Runtime,
    /// Threads; `None`: one per core.
    pub threads: Option<u16>,
    /// Longest request body.
    pub max_body_bytes: usize,
    /// Time for a request's headers, from their first byte.
    pub header_timeout: Duration,
    /// Time between two requests of a connection.
    pub idle_timeout: Duration,
    /// Deepest JSON.
    pub max_json_depth: usize,
    /// Connections open at once.
    pub max_connections: usize,
    /// Requests in flight at once.
    pub max_in_flight: u64,
    /// Bytes of request bodies in memory at once.
    pub max_body_memory_bytes: u64,
}

/// `ledger`, ready to use.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// Where.
    pub database: Database,
    /// Directory of the spool, as written: relative to the file.
    pub spool_dir: String,
    /// While the spool cannot be written.
    pub on_full: OnFull,
    /// What a record survives.
    pub durability: Durability,
}

/// The database of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// SQLite in memory, gone with the process.
    Memory,
    /// SQLite in this file, as written: relative to the configuration file.
    File(String),
    /// PostgreSQL, shared by several processes; its URL may hold a password.
    Postgres(Secret),
}

/// Where the decision log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// This file, as written: relative to the configuration file.
    File(String),
}

/// Settings of the simulated provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimulatedSettings {
    /// Time to the first byte.
    pub latency: Duration,
    /// Speed of a stream.
    pub tokens_per_sec: u32,
    /// Tokens of an answer, where the request does not allow fewer.
    pub output_tokens: u32,
    /// Price of what is asked for by name.
    pub price: Rates,
    /// Faults to make.
    pub faults: Faults,
}
