//! The harness of the end-to-end tests: scripted upstreams with faults, the server inside the test or as a process,
//! clients, and sums that are made independently of it.

#![expect(clippy::expect_used, clippy::panic, reason = "a harness: what goes wrong here ends the test")]

pub mod client;
pub mod ledger;
pub mod plan;
pub mod prices;
pub mod prompts;
pub mod python;
pub mod server;
pub mod spender;
pub mod swarm;
pub mod upstream;

use std::time::{Duration, Instant};

/// Longest a test waits for a condition: far longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until there is something to return; the only way in which tests wait.
///
/// # Panics
/// With `what`, when it does not come within a minute.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never came to hold: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
