//! HTTP in: connections, limits, routes. No dialect knowledge beyond which path speaks which.

mod activity;
pub(crate) mod auth;
mod body;
mod connection;
mod options;
mod routes;
mod settle;

pub(crate) use activity::Times;
pub(crate) use auth::{only_local, require_json};
pub(crate) use connection::{Listening, connection, serve};
pub(crate) use routes::{Arrival, Asked};
pub(crate) use settle::settle;
