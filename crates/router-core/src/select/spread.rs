//! Sharing load among deployments that are as good as each other: the strategies.

use fastrand::Rng;
use smallvec::SmallVec;

use super::decision::Verdict;
use super::score;
use crate::compiled::{Compiled, Strategy};

/// A candidate by its place in the list of verdicts.
pub(super) type Place = u16;

/// What the strategies draw on.
pub(super) struct Spread<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) verdicts: &'a [Verdict],
    /// Seeded by the request: the same request draws the same.
    pub(super) rng: Rng,
    pub(super) turn: u64,
}

/// With what probability each of the places came first, in the order they are in now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Odds {
    /// The first one, for certain.
    First,
    /// Each of the first so many alike.
    Shared(usize),
    /// By weight.
    Weighted,
}

impl Spread<'_> {
    fn verdict(&self, place: Place) -> &Verdict {
        &self.verdicts[usize::from(place)]
    }

    pub(super) fn weight(&self, place: Place) -> u32 {
        self.compiled.deployment(self.verdict(place).deployment).weight
    }

    /// Brings `places`, which are equal in preference and quality and stand in the order given, into the strategy's order.
    pub(super) fn arrange(&mut self, places: &mut [Place], strategy: Strategy) -> Odds {
        match strategy {
            Strategy::Priority => Odds::First,
            Strategy::RoundRobin => {
                let many = places.len().max(1) as u64;
                places.rotate_left(usize::try_from(self.turn % many).unwrap_or(0));
                Odds::First
            }
            Strategy::Weighted => self.by_weight(places),
            Strategy::Cheapest => self.by_score(places),
        }
    }

    /// By score; the near-equal ones at the front in an order drawn anew by each request, so that a burst does not spend
    /// one rate limit after the other.
    fn by_score(&mut self, places: &mut [Place]) -> Odds {
        sort_by_key(places, |place| score::key(self.verdict(place)));
        let Some(best) = places.first().map(|place| self.verdict(*place)) else { return Odds::First };
        let ppm = self.compiled.selection.near_equal_ppm;
        let near = places.iter().take_while(|place| score::near(best, self.verdict(**place), ppm)).count();
        self.rng.shuffle(&mut places[..near]);
        Odds::Shared(near)
    }

    /// A draw without replacement in proportion to weight: ascending by an exponential variate over the weight
    /// (Efraimidis and Spirakis 2006), which costs one logarithm each. Without any weight all are alike; beside others,
    /// one of weight zero comes last.
    fn by_weight(&mut self, places: &mut [Place]) -> Odds {
        if places.iter().all(|place| self.weight(*place) == 0) {
            self.rng.shuffle(places);
            return Odds::Shared(places.len());
        }
        let mut rng = self.rng.clone();
        sort_by_key(places, |place| {
            // In 0 < u <= 1, so the variate is finite and not negative, and its bits are in the order of the values.
            let u = 1.0 - rng.f64();
            let weight = self.weight(place);
            if weight == 0 { u64::MAX } else { (libm::log(u).abs() / f64::from(weight)).to_bits() }
        });
        self.rng = rng;
        Odds::Weighted
    }
}

/// Sorts by a key made once per place; equal ones keep the order of the list of verdicts.
pub(super) fn sort_by_key<K: Ord>(places: &mut [Place], mut key: impl FnMut(Place) -> K) {
    let mut keyed: SmallVec<[(K, Place); 32]> = places.iter().map(|place| (key(*place), *place)).collect();
    keyed.sort_unstable();
    for (place, (_, sorted)) in places.iter_mut().zip(keyed) {
        *place = sorted;
    }
}
