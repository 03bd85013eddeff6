//! Deployments that share something (an address, a credential), and the trouble they have in common.
//!
//! One lock per group, taken only when something fails, or answers after something failed; never together with another.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use router_core::compiled::{Compiled, DeploymentIdx};
use router_core::health::{Change, Correlation};
use router_core::time::Timestamp;

use super::{Slot, lock};

/// Deployments that share something.
#[derive(Debug, Default)]
struct Group {
    members: Vec<DeploymentIdx>,
    correlation: Mutex<Correlation>,
    /// An answer would make a difference: until then none takes the lock.
    watching: AtomicBool,
}

impl Group {
    fn failed(&self, now: Timestamp, member: DeploymentIdx) -> bool {
        let mut correlation = lock(&self.correlation);
        let spreads = correlation.failed(now, member.0);
        self.watching.store(correlation.is_watching(), Ordering::Release);
        spreads
    }

    fn answered(&self, began: Timestamp) -> bool {
        if !self.watching.load(Ordering::Acquire) {
            return false;
        }
        let mut correlation = lock(&self.correlation);
        let over = correlation.answered(began);
        self.watching.store(correlation.is_watching(), Ordering::Release);
        over
    }

    fn others(&self, but: DeploymentIdx) -> impl Iterator<Item = DeploymentIdx> {
        self.members.iter().copied().filter(move |other| *other != but)
    }
}

/// Who shares what with whom, under one configuration.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// By address.
    addresses: Vec<Group>,
    /// By provider and credential.
    credentials: Vec<Vec<Group>>,
    /// By deployment: its address and its provider.
    places: Vec<(usize, usize)>,
}

impl Neighbours {
    /// Of this configuration; `credentials`: how many a provider has, by index.
    pub(crate) fn new(compiled: &Compiled, credentials: impl Fn(usize) -> usize) -> Self {
        let mut by_address: BTreeMap<&str, usize> = BTreeMap::new();
        let mut all = Self { addresses: Vec::new(), credentials: Vec::new(), places: Vec::new() };
        let many = |provider| (0..credentials(provider).max(1)).map(|_| Group::default()).collect();
        all.credentials = (0..compiled.providers.len()).map(many).collect();
        for (idx, deployment) in compiled.indices().zip(&compiled.deployments) {
            let provider = usize::from(deployment.provider_idx);
            let base = compiled.providers.get(provider).map_or("", |p| &*p.base_url);
            let next = by_address.len();
            let address = *by_address.entry(base).or_insert(next);
            if address == all.addresses.len() {
                all.addresses.push(Group::default());
            }
            let own = all.credentials.get_mut(provider).into_iter().flatten();
            for group in all.addresses.get_mut(address).into_iter().chain(own) {
                group.members.push(idx);
            }
            all.places.push((address, provider));
        }
        all
    }

    /// What the end of an attempt means for the others. Whether anybody's standing changed.
    pub(crate) fn heard(
        &self,
        slots: &[std::sync::Arc<Slot>],
        at: DeploymentIdx,
        now: Timestamp,
        change: Change,
    ) -> bool {
        let Some((address, provider)) = self.places.get(at.get()).copied() else { return false };
        let group = self.addresses.get(address);
        let of_credential =
            |credential: u16| self.credentials.get(provider).and_then(|all| all.get(usize::from(credential)));
        let each = |group: &Group, act: &dyn Fn(&Slot)| {
            group.others(at).filter_map(|other| slots.get(other.get())).for_each(|slot| act(slot));
        };
        match change {
            Change::None => return false,
            Change::Opened => {
                if let Some(group) = group.filter(|g| g.failed(now, at)) {
                    tracing::warn!(
                        deployments = group.members.len(),
                        "a whole address fails: its other deployments are tried one request at a time"
                    );
                    each(group, &|slot| slot.doubt(now));
                }
            }
            Change::Refused { credential } => {
                if let Some(group) = of_credential(credential).filter(|g| g.failed(now, at)) {
                    tracing::warn!(
                        credential,
                        "a provider refuses a credential everywhere: its other deployments try it one request at a time"
                    );
                    each(group, &|slot| slot.doubt_credential(credential));
                }
            }
            Change::Well { began, credential } => {
                let back = group.filter(|g| g.answered(began));
                let accepted = of_credential(credential).filter(|g| g.answered(began));
                if let Some(group) = back {
                    each(group, &|slot| slot.hope());
                }
                if let Some(group) = accepted {
                    each(group, &|slot| slot.hope_credential(credential));
                }
                return back.is_some() || accepted.is_some();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use router_core::attempt::{FailureKind, Outcome};
    use router_core::failover::Place;
    use router_core::health::{Ask, Ending};

    use super::*;
    use crate::config::{Source, load};
    use crate::engine::Engine;
    use crate::state::State;

    /// Three deployments of one provider with two keys, one of another. Script words: `xa` a call of `a` fails, `!a` is
    /// refused, `.a` answers, `+N` N seconds pass. Expected: the breaker of each, and of how many credentials it is unsure.
    fn check(script: &str, expected: &str) {
        let text = r#"{ "providers": {
                "p": { "dialect": "openai_chat", "base_url": "http://127.0.0.1:1/v1",
                    "keys": [{ "api_key": "one" }, { "api_key": "two" }] },
                "q": { "dialect": "openai_chat", "base_url": "http://127.0.0.1:2/v1", "api_key": "three" } },
            "deployments": [{ "id": "p/a" }, { "id": "p/b" }, { "id": "p/c" }, { "id": "q/d" }] }"#;
        let loaded = load(&Source::Text { text: text.to_owned(), base: ".".into() }).unwrap();
        let mut now = Timestamp::from_millis(1_795_348_200_000);
        let engine = Engine::new(&loaded.checked, None, now).unwrap();
        let state = State::new(&engine.compiled.reliability);
        for word in script.split_whitespace() {
            let (op, rest) = word.split_at(1);
            if op == "+" {
                now = now + std::time::Duration::from_secs(rest.parse().unwrap());
                continue;
            }
            let outcome = match op {
                "." => Outcome::Success,
                "!" => Outcome::Failure(FailureKind::Auth),
                _ => Outcome::Failure(FailureKind::Unavailable),
            };
            let provider = if rest == "d" { "q" } else { "p" };
            let at = engine.compiled.deployment_named(&format!("{provider}/{rest}")).unwrap();
            // Of a refused call the first credential is meant: others are not sent.
            let ask = Ask { seed: 1, tokens: 0, stream: false, last_resort: true, place: Place::Now };
            let permit = loop {
                let permit = engine.slot(at).admit(now, &ask).unwrap();
                if op != "!" || permit.credential() == 0 {
                    break permit;
                }
                engine.slot(at).retract(now, permit);
            };
            state.end(&engine, at, (now, permit), &Ending { outcome, tokens: None, retry_after: None });
        }
        // The simulated provider stands behind these.
        let shown = engine.slots.iter().take(4).map(|slot| {
            let health = slot.snapshot(now);
            format!("{}{}", &health.breaker.name()[..1], health.credentials_refused)
        });
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{script}");
    }

    #[test]
    fn a_whole_address_is_suspected_and_comes_back_together() {
        let (a, b) = ("xa xa xa xa xa", "xb xb xb xb xb");
        // Closed, returning, open; the other address is none of it.
        check(&format!("{a} {b}"), "o0 o0 r0 c0");
        check(&format!("{a} {b} .c"), "r0 r0 c0 c0");
        check(&format!("{a} {b} xc"), "o0 o0 o0 c0");
        // One model's own trouble, twice, while another answers.
        check(&format!("{a} .c {b}"), "o0 o0 c0 c0");
        check(&format!("{a} +61 {b}"), "r0 o0 c0 c0");
        check(&format!("{a} {b} .d"), "o0 o0 r0 c0");
    }

    #[test]
    fn a_credential_refused_twice_is_tried_everywhere_by_ticket() {
        check("!a", "c1 c0 c0 c0");
        check("!a !b", "c1 c1 c1 c0");
        // The other credential answers: it is not the machine, and the breakers stay as they are.
        check("!d", "c0 c0 c0 o1");
    }
}
