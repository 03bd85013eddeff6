//! Decides: requests, rules, selection, failover, health, limits and money, as functions from values to values.
//!
//! No IO, no clock, no threads, no randomness of its own, no `async`: time and a seed are arguments, so the same
//! code serves a request, explains one and replays a month of them.

pub mod admission;
pub mod attempt;
pub mod attributes;
pub mod budget;
pub mod capability;
pub mod catalog;
pub mod chat;
pub mod compiled;
pub mod config;
pub mod cost;
pub mod failover;
pub mod health;
pub mod limit;
pub mod money;
pub mod price;
pub mod record;
pub mod rules;
pub mod select;
pub mod time;
pub mod tokens;
