//! End-to-end tests: the server with scripted upstreams, real SDKs and raw sockets, as issue after issue promises it.
//! They wait for conditions and never sleep.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests: what goes wrong ends them"
)]

mod bad_config;
mod bad_input;
mod budgets;
mod burst;
mod credentials;
mod crowd;
mod defaults;
mod deployments;
mod drain;
mod keys;
mod kill9;
mod leaving;
mod ledger_keys;
mod matrix;
mod money_kill9;
mod money_replicas;
mod outage;
mod overload;
mod probe;
mod reload;
mod rescue;
mod run500;
mod seed_cases;
mod streams;
mod tools;
