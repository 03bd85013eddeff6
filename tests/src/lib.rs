//! The harness of the end-to-end tests: scripted upstreams with faults, the server as a process, clients, and sums that
//! are made independently of it.

pub mod upstream;

/// Polls until a condition holds; the way tests wait. Panics with `what` after a minute.
///
/// # Panics
/// When the condition does not come to hold.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < end, "never came to hold: {what}");
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
