//! Limits on who may answer, as written in the configuration and in requests; what they mean for a deployment is worked out
//! where one is chosen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may answer: hard limits on every attempt, fallbacks, hedges and rescues included. An empty list limits nothing;
/// where several such limits meet (of the key, the model, the request), each holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Deployments, by the names that hold them: a model, a tier, a deployment's id, a catalog model, a provider.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Providers, by the name they have here or by their host's id, in upper or lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// Regions. A deployment of which nobody knows where it runs is in none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
}

impl Allow {
    /// It limits nothing.
    pub const fn is_empty(&self) -> bool {
        self.models.is_empty() && self.providers.is_empty() && self.regions.is_empty()
    }
}

/// Whether a provider may keep what it is sent, or train on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataCollection {
    /// It may.
    Allow,
    /// It does not.
    Deny,
}
