//! Health of deployments: window, breaker, silence and latency, joined with the limits into one value per deployment.
//! No collection and no lock: the server keeps one value per deployment behind a short lock of its own.

mod board;
mod breaker;
mod control;
mod correlation;
mod credentials;
mod latency;
mod peak;
mod seat;
mod silence;
mod window;

pub use board::DeploymentHealth;
pub(crate) use board::is_out;
pub use breaker::{Breaker, Pass, SavedBreaker};
pub use control::{Control, Controls, Removal, Subject};
pub use correlation::Correlation;
pub use latency::Latency;
pub use seat::{Ask, BreakerGauge, Change, Ending, HealthSnapshot, Permit, SavedHealth};
pub use silence::Silence;
pub use window::{Counts, Window};
