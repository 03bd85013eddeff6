//! Translates and sends: dialects, the provider table, SSE, the one door to the network.

pub mod dialect;
pub mod error;
pub mod exchange;
mod json;
pub mod provider;
pub mod sse;
pub mod transport;
