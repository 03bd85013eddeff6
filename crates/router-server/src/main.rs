//! The LLM Router server.

use std::process::ExitCode;

// Measured on the 1 KB request: see docs/benchmarks.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    router_server::cli::run()
}
