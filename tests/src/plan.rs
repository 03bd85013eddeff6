//! Deployments as a test thinks of them: a scripted upstream each, with a price of the test's own, and the configuration
//! that they make.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::prices::Price;
use crate::upstream::{Call, Script, Upstream, Wire};

/// One deployment on an upstream of its own.
pub struct Place {
    /// The provider's name in the configuration.
    pub name: &'static str,
    /// The tier it belongs to.
    pub tier: &'static str,
    /// Its price.
    pub price: Price,
    /// Who answers for it.
    pub upstream: Upstream,
    wire: Wire,
}

impl Place {
    /// Starts its upstream.
    pub fn new(name: &'static str, tier: &'static str, wire: Wire, price: Price) -> Self {
        Self { name, tier, price, upstream: Upstream::start(wire, Script::default()), wire }
    }

    /// The same, behaving otherwise from the start.
    #[must_use]
    pub fn with(self, change: impl FnOnce(&mut Script)) -> Self {
        self.upstream.script(change);
        self
    }

    /// The deployment's id.
    pub fn id(&self) -> String {
        format!("{}/m", self.name)
    }
}

/// The capabilities every scripted deployment has.
pub const CAPABILITIES: [&str; 5] = ["tools", "parallel_tools", "json_object", "json_schema", "seed"];

/// `providers`, `deployments` and `tiers` of these places.
pub fn config(places: &[Place]) -> Value {
    let dialect = |wire| match wire {
        Wire::OpenaiChat => "openai_chat",
        Wire::Anthropic => "anthropic",
        Wire::Gemini => "gemini",
    };
    let providers: BTreeMap<_, _> = places
        .iter()
        .map(|place| {
            let url = place.upstream.base_url();
            (
                place.name,
                json!({ "dialect": dialect(place.wire), "base_url": url, "api_key": "sk-upstream-secret" }),
            )
        })
        .collect();
    let deployments: Vec<_> = places
        .iter()
        .map(|place| {
            json!({ "id": place.id(), "price_usd_per_million": place.price.configured(),
                "capabilities": CAPABILITIES, "max_input_tokens": 200_000, "max_output_tokens": 8_192 })
        })
        .collect();
    let mut tiers: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for place in places {
        tiers.entry(place.tier).or_default().push(place.id());
    }
    json!({ "providers": providers, "deployments": deployments, "tiers": tiers })
}

/// Every call of every place, with the place.
pub fn calls(places: &[Place]) -> Vec<(&Place, Call)> {
    places
        .iter()
        .flat_map(|place| place.upstream.calls().into_iter().map(move |call| (place, call)))
        .collect()
}

/// Fails when an upstream has received something that a real provider would not take.
///
/// # Panics
/// Then, with the first of them.
pub fn assert_all_valid(places: &[Place]) {
    for (place, call) in calls(places) {
        assert_eq!(call.invalid, None, "{}: {}", place.name, call.body);
    }
}
