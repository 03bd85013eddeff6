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
