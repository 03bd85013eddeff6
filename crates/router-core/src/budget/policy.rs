//! What a budget is, and which budgets an attempt counts on. Functions of values: where the money is, is not here.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;
use crate::compiled::{ClientKey, Deployment};
use crate::money::Usd;

/// What happens when a budget is nearly spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenLow {
    /// Answers become shorter: what is left buys fewer output tokens.
    #[default]
    Clamp,
    /// Answers keep their length: what does not fit whole is refused.
    Refuse,
}

/// What counts on a budget: all members given must match; none given: everything counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The client key's name.
    pub key: Option<Arc<str>>,
    /// The client key's owner.
    pub owner: Option<Arc<str>>,
    /// A tag bound to the client key. What a client claims in a request is never looked at.
    pub tag: Option<Arc<str>>,
    /// The model asked for.
    pub model: Option<Arc<str>>,
    /// The provider called.
    pub provider: Option<Arc<str>>,
    /// The deployment called.
    pub deployment: Option<Arc<str>>,
}

/// Who asks, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    /// The client key, if there is one.
    pub key: Option<&'a ClientKey>,
    /// The model asked for.
    pub model: &'a str,
}

impl Match {
    /// Whether a request of this payer may count, as far as the request alone says.
    pub fn covers(&self, payer: &Payer<'_>) -> bool {
        let is = |wanted: &Option<Arc<str>>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let tags = payer.key.map_or(&[][..], |key| &key.tags);
        is(&self.key, payer.key.map(|key| &*key.name))
            && is(&self.owner, payer.key.and_then(|key| key.owner.as_deref()))
            && self.tag.as_ref().is_none_or(|tag| tags.contains(tag))
            && is(&self.model, Some(payer.model))
    }

    /// Whether a call of this deployment counts, provided that the request does.
    pub fn counts(&self, deployment: &Deployment) -> bool {
        self.provider.as_ref().is_none_or(|provider| *provider == deployment.provider)
            && self.deployment.as_ref().is_none_or(|id| *id == deployment.id)
    }

    /// Every deployment counts, provided that the request does.
    pub const fn any_deployment(&self) -> bool {
        self.provider.is_none() && self.deployment.is_none()
    }
}

/// One budget, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetPolicy {
    /// Its name; a key's own is `key:` and the key's name.
    pub name: Arc<str>,
    /// What counts on it.
    pub matches: Match,
    /// Most that may be spent in one period.
    pub limit: Usd,
    /// How long it lasts.
    pub period: Period,
    /// Shares of the limit at which to say so, in parts per million, ascending.
    pub alert_at_ppm: Vec<u32>,
    /// What happens when it is nearly spent.
    pub when_low: WhenLow,
}

/// At which share of its limit a key's own budget says so, in parts per million: late enough to mean something, early
/// enough to act on.
const KEY_ALERT_PPM: u32 = 800_000;

impl BudgetPolicy {
    /// The own budget of a client key, if it has one.
    pub fn of_key(key: &ClientKey) -> Option<Self> {
        let budget = key.budget?;
        Some(Self {
            name: format!("key:{}", key.name).into(),
            matches: Match { key: Some(Arc::clone(&key.name)), ..Match::default() },
            limit: budget.limit,
            period: budget.period,
            alert_at_ppm: vec![KEY_ALERT_PPM],
            when_low: WhenLow::Clamp,
        })
    }

    /// The shares passed by spending from `before` to `after`, ascending.
    pub fn passed(&self, before: Usd, after: Usd) -> impl Iterator<Item = u32> + '_ {
        let at = |ppm: u32| i128::from(self.limit.nano()) * i128::from(ppm);
        let spent = |usd: Usd| i128::from(usd.nano()) * 1_000_000;
        self.alert_at_ppm
            .iter()
            .copied()
            .filter(move |ppm| spent(before) < at(*ppm) && at(*ppm) <= spent(after))
    }
}

/// The budgets that requests of this payer may count on, by their place in the list.
pub fn of_payer<'a>(
    budgets: &'a [Arc<BudgetPolicy>],
    payer: &Payer<'_>,
) -> impl Iterator<Item = &'a Arc<BudgetPolicy>> {
    budgets.iter().filter(move |budget| budget.matches.covers(payer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::deployment;

    /// `match` members, then `key owner tags model | deployment`.
    fn check(matches: &str, key: Option<(&str, &str, &str)>, asks: (&str, &str), expected: bool) {
        let mut wanted = Match::default();
        for member in matches.split_whitespace() {
            let (name, value) = member.split_once('=').unwrap();
            let place = match name {
                "key" => &mut wanted.key,
                "owner" => &mut wanted.owner,
                "tag" => &mut wanted.tag,
                "model" => &mut wanted.model,
                "provider" => &mut wanted.provider,
                _ => &mut wanted.deployment,
            };
            *place = Some(value.into());
        }
        let key = key.map(|(name, owner, tags)| ClientKey {
            name: name.into(),
            owner: (!owner.is_empty()).then(|| owner.into()),
            tags: tags.split_whitespace().map(Arc::from).collect(),
            ..ClientKey::default()
        });
        let payer = Payer { key: key.as_ref(), model: asks.0 };
        let found = wanted.covers(&payer) && wanted.counts(&deployment(asks.1));
        assert_eq!(found, expected, "{matches} {key:?} {asks:?}");
    }

    #[test]
    fn all_members_given_must_match() {
        let bob = Some(("bob", "labs", "x y"));
        let asks = ("auto", "p/m");
        check("", None, asks, true);
        check("", bob, asks, true);
        check("key=bob", bob, asks, true);
        check("key=bob", None, asks, false);
        check("key=eve", bob, asks, false);
        check("owner=labs tag=y", bob, asks, true);
        check("owner=labs tag=z", bob, asks, false);
        check("owner=labs", Some(("bob", "", "labs")), asks, false);
        check("model=auto", None, asks, true);
        check("model=m", None, asks, false);
        check("provider=p", bob, asks, true);
        check("provider=q", bob, asks, false);
        check("deployment=p/m key=bob", bob, asks, true);
        check("deployment=p/n key=bob", bob, asks, false);
    }

    #[test]
    fn a_share_is_passed_once() {
        let policy = BudgetPolicy {
            name: "b".into(),
            matches: Match::default(),
            limit: Usd::from_nano(1_000),
            period: Period::Month,
            alert_at_ppm: vec![500_000, 800_000],
            when_low: WhenLow::Clamp,
        };
        for (before, after, expected) in [
            (0, 499, vec![]),
            (0, 500, vec![500_000]),
            (500, 799, vec![]),
            (499, 900, vec![500_000, 800_000]),
            (800, 2_000, vec![]),
        ] {
            let passed: Vec<_> = policy.passed(Usd::from_nano(before), Usd::from_nano(after)).collect();
            assert_eq!(passed, expected, "{before} {after}");
        }
    }
}
