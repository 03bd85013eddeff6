//! Which deployments, in which order, and why not the others. A pure function of two values (DESIGN D3).

mod decide;
mod decision;
mod eligible;
mod explain;
mod fence;
mod input;
mod rendezvous;
mod scope;
mod score;
mod set;
mod spread;
mod target;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use decide::decide;
pub use decision::{Decision, Detail, Reason, RoutePlan, ScoreParts, Verdict, VerdictKind};
pub use explain::rules_passed_over;
pub use fence::{Limit, LimitOf};
pub use input::{DecisionInput, DeploymentState, DeploymentView, Disabled, Hashes};
pub use target::{AUTO, Target, may_ask, may_be_allowed, reads, resolve};
