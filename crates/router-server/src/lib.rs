//! Performs: where all parts meet. The server is started here, in a process of its own or inside a test.

#![forbid(unsafe_code)]

mod admin;
pub mod cli;
mod clock;
mod config;
mod control;
mod dispatch;
mod engine;
mod error;
mod explain;
mod ids;
mod ingress;
mod keys;
mod ledger;
mod respond;
mod running;
mod state;
mod stream;
mod telemetry;
mod treasury;
mod worker;

pub use config::{Loaded, Source, Unusable, load};
pub use control::Reloaded;
pub use running::{Options, Running, StartError, start};
