//! Health of deployments: window, breaker, silence and latency, joined with the limits into one value per deployment.
//! No collection and no lock: the server keeps one value per deployment behind a short lock of its own.

mod board;
mod breaker;
mod latency;
mod peak;
mod silence;
mod window;

pub(crate) use board::is_out;
pub use board::{Ask, BreakerGauge, DeploymentHealth, Ending, HealthSnapshot, Permit};
pub use breaker::{Breaker, Pass};
pub use latency::Latency;
pub use silence::Silence;
pub use window::{Counts, Window};
