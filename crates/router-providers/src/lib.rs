//! Translates and sends: dialects, the provider table, SSE, the one door to the network.

pub mod dialect;
pub mod sse;
