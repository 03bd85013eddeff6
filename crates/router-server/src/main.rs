//! The LLM Router server.
fn main() {}
