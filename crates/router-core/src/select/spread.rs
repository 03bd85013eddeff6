//! Sharing load among deployments that are as good as each other: the strategies.

use std::cmp::Ordering;

use fastrand::Rng;

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
        places.sort_by(|a, b| score::order(self.verdict(*a), self.verdict(*b)));
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
        let mut drawn: smallvec::SmallVec<[(f64, Place); 16]> = smallvec::SmallVec::new();
        for place in places.iter() {
            // In 0 < u <= 1.
            let u = 1.0 - self.rng.f64();
            let weight = self.weight(*place);
            drawn.push((if weight == 0 { f64::MAX } else { -libm::log(u) / f64::from(weight) }, *place));
        }
        drawn.sort_by(|a, b| match a.0.total_cmp(&b.0) {
            Ordering::Equal => a.1.cmp(&b.1),
            unequal => unequal,
        });
        for (place, (_, to)) in places.iter_mut().zip(drawn) {
            *place = to;
        }
        Odds::Weighted
    }
}
