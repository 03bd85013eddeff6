//! `server`, `ledger` and `decision_log`, ready to use.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::check::Report;
use crate::config::{Database, DecisionLog, File, LedgerSettings, Secret, ServerSettings};

pub(super) fn settings(
    file: &File,
    report: &mut Report,
) -> Option<(ServerSettings, LedgerSettings, DecisionLog)> {
    let (server, ledger) = (server(file, report), ledger(file, report));
    let log = match file.decision_log.trim() {
        "off" => DecisionLog::Off,
        "stdout" => DecisionLog::Stdout,
        "" => {
            report.problem("decision_log", "must be a path, \"stdout\" or \"off\"");
            DecisionLog::Off
        }
        path => DecisionLog::File(path.to_owned()),
    };
    Some((server?, ledger?, log))
}

fn server(file: &File, report: &mut Report) -> Option<ServerSettings> {
    let written = &file.server;
    let listen = address(&written.listen, "server.listen", report);
    let admin_listen = address(&written.admin_listen, "server.admin_listen", report);
    let admin_key = written.admin_key.clone().filter(|key| !key.is_empty());
    if admin_listen.is_some_and(|a| !a.ip().is_loopback()) && admin_key.is_none() {
        let text = format!(
            "without `admin_key` only a loopback address is served, and {} is none",
            written.admin_listen
        );
        report.problem("server.admin_listen", text);
    }
    if listen.is_some() && listen == admin_listen && listen.is_some_and(|a| a.port() != 0) {
        report.problem("server.admin_listen", "is the clients' address; administration has its own");
    }
    let bounds = [
        ("threads", written.threads.map(u64::from), 1, 1_024),
        ("max_body_bytes", Some(written.max_body_bytes), 1, 4 << 30),
        ("header_timeout_ms", Some(written.header_timeout_ms), 1, 3_600_000),
        ("idle_timeout_secs", Some(written.idle_timeout_secs), 1, 86_400),
        ("max_json_depth", Some(written.max_json_depth.into()), 2, 1_024),
        ("max_connections", Some(written.max_connections.into()), 1, 10_000_000),
        ("max_in_flight", Some(written.max_in_flight.into()), 1, 10_000_000),
        ("max_body_memory_bytes", Some(written.max_body_memory_bytes), 1, 1 << 50),
        ("drain_secs", Some(written.drain_secs), 0, 86_400),
    ];
    for (name, value, least, most) in bounds {
        if value.is_some_and(|v| !(least..=most).contains(&v)) {
            let text = format!("{} is not in {least}..={most}", value.unwrap_or_default());
            report.problem(format!("server.{name}"), text);
        }
    }
    if written.max_body_memory_bytes < written.max_body_bytes {
        let text =
            format!("is below max_body_bytes ({}): no such body would ever fit", written.max_body_bytes);
        report.problem("server.max_body_memory_bytes", text);
    }
    Some(ServerSettings {
        listen: listen?,
        admin_listen: admin_listen?,
        admin_key,
        drain: Duration::from_secs(written.drain_secs),
        runtime: written.runtime,
        threads: written.threads,
        max_body_bytes: usize::try_from(written.max_body_bytes).unwrap_or(usize::MAX),
        header_timeout: Duration::from_millis(written.header_timeout_ms),
        idle_timeout: Duration::from_secs(written.idle_timeout_secs),
        max_json_depth: written.max_json_depth.into(),
        max_connections: usize::try_from(written.max_connections).unwrap_or(usize::MAX),
        max_in_flight: written.max_in_flight.into(),
        max_body_memory_bytes: written.max_body_memory_bytes,
    })
}

/// `ip:port`; `localhost` is the loopback address by definition (RFC 6761), other names would need DNS.
fn address(text: &str, path: &str, report: &mut Report) -> Option<SocketAddr> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let parsed = numeric.parse().ok();
    if parsed.is_none() {
        report.problem(path, format!("\"{text}\" is not an address: ip:port"));
    }
    parsed
}

fn database(url: &str) -> Option<Database> {
    match url.split_once(':')? {
        ("sqlite", ":memory:" | "//:memory:") => Some(Database::Memory),
        ("sqlite", rest) => {
            let path = rest.strip_prefix("//")?;
            (!path.is_empty()).then(|| Database::File(path.to_owned()))
        }
        ("postgres" | "postgresql", rest) => {
            let named = rest.strip_prefix("//").is_some_and(|host| !host.trim().is_empty());
            named.then(|| Database::Postgres(Secret::new(url.to_owned())))
        }
        _ => None,
    }
}

fn ledger(file: &File, report: &mut Report) -> Option<LedgerSettings> {
    let written = &file.ledger;
    let database = database(&written.url);
    // It may hold a password, so it is not shown.
    if database.is_none() {
        let text = "must be sqlite://path, sqlite::memory: or postgres://user:password@host/database";
        report.problem("ledger.url", text);
    }
    if written.spool_dir.trim().is_empty() {
        report.problem("ledger.spool_dir", "must be a directory");
    }
    Some(LedgerSettings {
        database: database?,
        spool_dir: written.spool_dir.clone(),
        on_full: written.on_full,
        durability: written.durability,
    })
}
