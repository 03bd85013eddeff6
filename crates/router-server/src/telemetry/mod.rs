//! What the server says about itself: the decision log and the metrics, each event and metric name once.

pub(crate) mod log;
pub(crate) mod metrics;
