//! Which deployments, in which order, and why not the others. A pure function of two values (DESIGN D3).

mod decision;
mod input;

pub use decision::{Decision, Reason, RoutePlan, ScoreParts, Verdict, VerdictKind};
pub use input::{DecisionInput, DeploymentState, DeploymentView, Hashes};
