//! What is asked for: kinds of requests, their bodies, and how much more than the pass-through each may cost.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    /// Length of a body, about.
    pub(super) body_bytes: usize,
    /// The model asked for; both programs get the same bytes.
    pub(super) model: &'static str,
    /// Streamed, usage asked for.
    pub(super) stream: bool,
    /// Requests each connection makes before the measurement.
    pub(super) warm_up: u32,
    /// The most the router may cost, as a multiple of the pass-through; `None`: only shown.
    pub(super) bar: Option<f64>,
    /// For the table.
    pub(super) what: &'static str,
}

/// The model whose name needs no decision, and the tier that `auto` is decided over.
pub(super) const MODEL: &str = "mock-model";

pub(super) const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "1k",
        body_bytes: 1024,
        model: MODEL,
        stream: false,
        warm_up: 50,
        bar: Some(2.5),
        what: "1 KB, model named",
    },
    Workload {
        name: "stream",
        body_bytes: 1024,
        model: MODEL,
        stream: true,
        warm_up: 1,
        bar: Some(1.5),
        what: "1 KB, 100 chunks, 5 ms apart",
    },
    Workload {
        name: "32k",
        body_bytes: 32 * 1024,
        model: MODEL,
        stream: false,
        warm_up: 20,
        bar: None,
        what: "32 KB, model named",
    },
    Workload {
        name: "auto",
        body_bytes: 1024,
        model: "auto",
        stream: false,
        warm_up: 50,
        bar: None,
        what: "1 KB, auto: classified, rules",
    },
];

/// Different prompts of a workload: a cache of decisions smaller than this would not hide what deciding costs.
pub(super) const PROMPTS: usize = 64;

/// Prose with the escapes and the letters beyond ASCII that prompts have.
const PROSE: &str = "The committee said that \"no further changes\" were planned for 2026.\nIt noted, though, that the \
                     café on the corner remains open; see section 4.2 (page 17).\n\n";

impl Workload {
    /// By name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        WORKLOADS.iter().find(|w| w.name == name)
    }

    /// The bodies, each a chat request of about `body_bytes`.
    pub(super) fn bodies(&self) -> Vec<String> {
        (0..PROMPTS).map(|number| self.body(number)).collect()
    }

    fn body(&self, number: usize) -> String {
        let empty = self.request(&format!("Question {number}: ")).to_string();
        let (mut length, mut prompt) = (empty.len(), format!("Question {number}: "));
        for letter in PROSE.chars().cycle() {
            if length >= self.body_bytes {
                break;
            }
            length += if matches!(letter, '"' | '\n') { 2 } else { letter.len_utf8() };
            prompt.push(letter);
        }
        self.request(&prompt).to_string()
    }

    fn request(&self, prompt: &str) -> serde_json::Value {
        let mut request = json!({
            "model": self.model,
            "max_tokens": 256,
            "temperature": 0.2,
            "messages": [
                { "role": "system", "content": "You are a careful assistant." },
                { "role": "user", "content": prompt },
            ],
        });
        if self.stream {
            request["stream"] = json!(true);
            request["stream_options"] = json!({ "include_usage": true });
        }
        request
    }
}

/// The router's configuration: one thread as the pass-through has, and everything on that a request passes in earnest.
pub(super) fn router_config(listen: u16, admin: u16, upstream: u16) -> serde_json::Value {
    let loopback = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
    let deployment = |id: &str, input: f64, output: f64| {
        json!({
            "id": id,
            "upstream_model": MODEL,
            "price_usd_per_million": { "input": input, "output": output },
            "max_input_tokens": 128_000,
            "max_output_tokens": 16_384,
            "capabilities": ["tools", "json_schema"],
        })
    };
    json!({
        "server": { "listen": loopback(listen), "admin_listen": loopback(admin), "threads": 1 },
        "ledger": { "url": "sqlite://ledger.db", "spool_dir": "spool" },
        "decision_log": "decisions.jsonl",
        "providers": { "mock": { "dialect": "openai_chat", "base_url": format!("http://{}/v1", loopback(upstream)), "api_key": "x" } },
        "deployments": [
            deployment("mock/small", 0.15, 0.6), deployment("mock/other", 0.2, 0.8), deployment("mock/large", 2.5, 10.0),
        ],
        "models": { (MODEL): { "deployments": ["mock/small"] } },
        "tiers": { "economy": ["mock/small", "mock/other"], "premium": ["mock/large"] },
        "rules": [
            { "name": "hard", "when": { "complexity_score": { "minimum": 0.9 }, "language": { "const": "en" } }, "use": { "tier": "premium" } },
            { "name": "maths", "when": { "task": { "enum": ["math"] }, "topic": { "const": "science" } }, "use": { "tier": "premium" } },
            { "name": "rest", "when": {}, "use": { "tier": "economy" } },
        ],
        "selection": { "default_tier": "economy" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_differ_are_json_and_have_about_the_size_asked_for() {
        for workload in WORKLOADS {
            let bodies = workload.bodies();
            let different: std::collections::BTreeSet<_> = bodies.iter().collect();
            assert_eq!(different.len(), PROMPTS, "{}", workload.name);
            for body in bodies {
                let value: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(value["model"], workload.model);
                assert_eq!(value["stream"] == true, workload.stream);
                assert!(
                    body.len().abs_diff(workload.body_bytes) <= 2,
                    "{} has {} bytes",
                    workload.name,
                    body.len()
                );
            }
        }
    }

    #[test]
    fn the_configuration_is_one_the_router_takes() {
        let file = router_core::config::parse(&router_config(1, 2, 3));
        assert!(file.is_ok(), "{file:?}");
    }
}
