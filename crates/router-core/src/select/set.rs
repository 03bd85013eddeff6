//! A set of deployments as bits: membership is asked for once per candidate.

use smallvec::SmallVec;

use crate::compiled::DeploymentIdx;

/// Deployments by index. The first 256 take no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(SmallVec<[u64; 4]>);

impl Set {
    /// Puts it in; whether it was not in before.
    pub(super) fn insert(&mut self, idx: DeploymentIdx) -> bool {
        let (word, bit) = (idx.get() / 64, 1 << (idx.get() % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    pub(super) fn contains(&self, idx: DeploymentIdx) -> bool {
        self.0.get(idx.get() / 64).is_some_and(|word| word & (1 << (idx.get() % 64)) != 0)
    }
}

impl Extend<DeploymentIdx> for Set {
    fn extend<I: IntoIterator<Item = DeploymentIdx>>(&mut self, all: I) {
        for idx in all {
            self.insert(idx);
        }
    }
}

impl FromIterator<DeploymentIdx> for Set {
    fn from_iter<I: IntoIterator<Item = DeploymentIdx>>(all: I) -> Self {
        let mut set = Self::default();
        set.extend(all);
        set
    }
}
