//! What is asked of a key by hand, from the command line or the admin API, and a key as both show it.

use std::time::Duration;

use router_core::budget::Period;
use router_core::compiled::ClientKey;
use router_core::money::Usd;
use router_core::time::Timestamp;
use router_ledger::{KeyChange, KeyRow, NewKey};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::secret::hex;

/// Longest name: it is a label of metrics and a column of reports.
const LONGEST_NAME: usize = 200;
/// First hex digits of a hash that are shown: enough to tell secrets apart, too few to be of use.
const HASH_DIGITS: usize = 8;

/// Members of a key, those given. What may be taken away is `Some(None)` then: `null` in JSON.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wish {
    pub(crate) name: Option<String>,
    #[serde(deserialize_with = "given")]
    pub(crate) owner: Option<Option<String>>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) providers: Option<Vec<String>>,
    pub(crate) regions: Option<Vec<String>>,
    #[serde(deserialize_with = "given")]
    pub(crate) rpm: Option<Option<u64>>,
    #[serde(deserialize_with = "given")]
    pub(crate) tpm: Option<Option<u64>>,
    #[serde(deserialize_with = "given")]
    pub(crate) concurrency: Option<Option<u32>>,
    pub(crate) priority: Option<i8>,
    #[serde(deserialize_with = "given")]
    pub(crate) budget_usd: Option<Option<Usd>>,
    pub(crate) period: Option<Period>,
    /// A span from now, or a moment.
    #[serde(alias = "expires_at", deserialize_with = "given")]
    pub(crate) expires: Option<Option<String>>,
}

/// A member that is there, `null` included.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Wish {
    /// A key to be made of it.
    ///
    /// # Errors
    /// A member that no key can have, or its name missing.
    pub(crate) fn new_key(&self, sha256: [u8; 32], now: Timestamp) -> Result<NewKey, String> {
        if self.name.is_none() {
            return Err("name: is missing".to_owned());
        }
        let empty = KeyRow { id: new_id(), created_at: now, ..KeyRow::default() };
        Ok(NewKey::new(self.change(&empty, now)?.of(empty), sha256))
    }

    /// What it changes of a key.
    ///
    /// # Errors
    /// A member that no key can have.
    pub(crate) fn change(&self, key: &KeyRow, now: Timestamp) -> Result<KeyChange, String> {
        if let Some(name) = &self.name {
            let bad = |c: char| c.is_control();
            if name.trim().is_empty() || name.len() > LONGEST_NAME || name.chars().any(bad) {
                return Err(format!("name: must be 1 to {LONGEST_NAME} bytes without control characters"));
            }
        }
        let limits = [
            ("rpm", self.rpm.flatten()),
            ("tpm", self.tpm.flatten()),
            ("concurrency", self.concurrency.flatten().map(u64::from)),
        ];
        if let Some((name, _)) = limits.iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(format!("{name}: must be above zero; to end a key, revoke it"));
        }
        Ok(KeyChange {
            name: self.name.clone(),
            owner: self.owner.clone(),
            tags: self.tags.clone(),
            models: self.models.clone(),
            providers: self.providers.clone(),
            regions: self.regions.clone(),
            rpm: self.rpm,
            tpm: self.tpm,
            concurrency: self.concurrency,
            priority: self.priority,
            budget: self.budget(key)?,
            expires_at: match &self.expires {
                None => None,
                Some(None) => Some(None),
                Some(Some(text)) => Some(Some(moment(text, now)?)),
            },
        })
    }

    /// Either half of a budget may be changed by itself.
    fn budget(&self, key: &KeyRow) -> Result<Option<Option<(Usd, Period)>>, String> {
        let limit = match (self.budget_usd, self.period) {
            (None, None) => return Ok(None),
            (Some(None), None) => return Ok(Some(None)),
            (Some(given), _) => given,
            (None, Some(_)) => key.budget.map(|(limit, _)| limit),
        };
        let limit = limit.ok_or("period: is the period of a budget: budget_usd is missing")?;
        if limit <= Usd::ZERO {
            return Err(format!("budget_usd: {limit} must be above zero"));
        }
        let period = self.period.or(key.budget.map(|(_, period)| period)).unwrap_or_default();
        Ok(Some(Some((limit, period))))
    }
}

/// The key with this id, or this name.
pub(crate) fn named<'a>(keys: &'a [KeyRow], which: &str) -> Option<&'a KeyRow> {
    keys.iter().find(|key| key.id == which).or_else(|| keys.iter().find(|key| key.name == which))
}

/// Ids are ours and never used again; their order is that of their making.
fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A span from now, or a moment that lies ahead.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let at = match crate::cli::span(text) {
        Ok(span) => Some(now + span),
        Err(_) => Timestamp::from_rfc3339(text.trim()),
    };
    let at =
        at.ok_or_else(|| format!("expires: \"{text}\" is neither a span (90d) nor a moment (2026-12-31)"))?;
    if at <= now {
        return Err(format!("expires: {} is over already", at.rfc3339()));
    }
    Ok(at)
}

/// A key as it is shown: never its secret, and of its hashes the first digits.
pub(crate) fn shown(key: &KeyRow, last_used: Option<Timestamp>) -> Value {
    let hashes = key.hashes.iter().map(
        |hash| json!({ "sha256_start": start_of(&hash.sha256), "until": hash.until.map(Timestamp::rfc3339) }),
    );
    json!({
        "id": key.id, "name": key.name, "source": "ledger", "owner": key.owner, "tags": key.tags,
        "models": key.models, "providers": key.providers, "regions": key.regions,
        "rpm": key.rpm, "tpm": key.tpm, "concurrency": key.concurrency, "priority": key.priority,
        "budget_usd": key.budget.map(|(limit, _)| limit), "period": key.budget.map(|(_, period)| period),
        "created_at": key.created_at.rfc3339(), "expires_at": key.expires_at.map(Timestamp::rfc3339),
        "hashes": hashes.collect::<Vec<_>>(), "last_used_at": last_used.map(Timestamp::rfc3339),
    })
}

/// The same of a key of the configuration.
pub(crate) fn shown_configured(
    id: &str,
    key: &ClientKey,
    sha256: &[u8; 32],
    last_used: Option<Timestamp>,
) -> Value {
    json!({
        "id": id, "name": &*key.name, "source": "config", "owner": key.owner, "tags": key.tags,
        "models": key.models, "providers": key.providers, "regions": key.regions,
        "rpm": key.limits.rpm, "tpm": key.limits.tpm, "concurrency": key.limits.concurrency,
        "priority": key.priority, "budget_usd": key.budget.map(|b| b.limit),
        "period": key.budget.map(|b| b.period), "created_at": null,
        "expires_at": key.expires.map(Timestamp::rfc3339),
        "hashes": [{ "sha256_start": start_of(sha256), "until": null }],
        "last_used_at": last_used.map(Timestamp::rfc3339),
    })
}

fn start_of(sha256: &[u8; 32]) -> String {
    hex(sha256).chars().take(HASH_DIGITS).collect()
}

/// How long an old secret is still accepted after a rotation.
pub(crate) const GRACE: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_348_200_000);

    /// What a wish makes of a key with a budget of 5 USD a day, an owner and an expiry; its members that differ.
    fn check(wish: &str, expected: Result<&str, &str>) {
        let key = KeyRow {
            id: "i".into(),
            name: "n".into(),
            owner: Some("o".into()),
            budget: Some((Usd::from_nano(5_000_000_000), Period::Day)),
            expires_at: Some(NOW),
            ..KeyRow::default()
        };
        let wish = serde_json::from_str::<Wish>(wish).map_err(|e| e.to_string());
        let changed = wish.and_then(|wish| Ok(wish.change(&key, NOW)?.of(key.clone())));
        let before = shown(&key, None);
        let got = changed.map(|key| {
            let after = shown(&key, None);
            let differs = after.as_object().unwrap().iter().filter(|(name, value)| before[*name] != **value);
            differs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        });
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
            (got, _) => panic!("{got:?}, not {expected:?}"),
        }
    }

    #[test]
    fn what_is_given_changes_and_null_takes_away() {
        check("{}", Ok(""));
        check(r#"{"name":"m","rpm":5,"priority":-1}"#, Ok(r#"name="m" priority=-1 rpm=5"#));
        check(
            r#"{"owner":null,"expires":null,"budget_usd":null}"#,
            Ok("budget_usd=null expires_at=null owner=null period=null"),
        );
        check(r#"{"budget_usd":"7.5"}"#, Ok(r#"budget_usd="7.5""#));
        check(r#"{"period":"week"}"#, Ok(r#"period="week""#));
        check(r#"{"expires":"90d"}"#, Ok(r#"expires_at="2027-02-20T11:50:00.000000Z""#));
        check(r#"{"expires_at":"2026-12-31"}"#, Ok(r#"expires_at="2026-12-31T00:00:00.000000Z""#));
        check(r#"{"expires":"2026-11-22T11:50:00Z"}"#, Err("over already"));
        check(r#"{"expires":"soon"}"#, Err("expires: \"soon\""));
        check(r#"{"rpm":0}"#, Err("rpm: must be above zero"));
        check(r#"{"rpm":-1}"#, Err("-1"));
        check(r#"{"budget_usd":-1}"#, Err("budget_usd: -1"));
        check(r#"{"budget_usd":null,"period":"day"}"#, Err("budget_usd is missing"));
        check(r#"{"name":" "}"#, Err("name:"));
        check(r#"{"name":"a\u0007"}"#, Err("name:"));
        check(r#"{"rmp":5}"#, Err("unknown field `rmp`"));
    }

    #[test]
    fn a_new_key_needs_a_name_and_shows_no_hash() {
        assert_eq!(Wish::default().new_key([1; 32], NOW).unwrap_err(), "name: is missing");
        let wish = Wish { name: Some("n".into()), ..Wish::default() };
        let (one, other) = (wish.new_key([0xab; 32], NOW).unwrap(), wish.new_key([1; 32], NOW).unwrap());
        assert_ne!(one.key.id, other.key.id);
        let text = shown(&one.key, None).to_string();
        assert!(text.contains("\"abababab\"") && !text.contains("ababababab"), "{text}");
    }
}
