//! Sharing load among deployments that are as good as each other: the strategies, and what keeps a session together.

use fastrand::Rng;
use smallvec::SmallVec;

use super::decision::Verdict;
use super::input::{DecisionInput, DeploymentView};
use super::scope::Group;
use super::{rendezvous, score};
use crate::chat::SortBy;
use crate::compiled::{Compiled, Strategy};
use crate::money::Usd;

/// A candidate by its place in the list of verdicts.
pub(super) type Place = u16;

/// What the strategies draw on.
pub(super) struct Spread<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) input: &'a DecisionInput,
    pub(super) verdicts: &'a [Verdict],
    /// Seeded by the request: the same request draws the same.
    pub(super) rng: Rng,
}

/// With what probability each of the places came first, in the order they are in now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Odds {
    /// The first one, for certain.
    First,
    /// Each of the first so many alike.
    Shared(usize),
    /// By weight.
    Weighted,
    /// The better of two drawn: the places from best to worst.
    BetterOfTwo(SmallVec<[Place; 32]>),
}

impl Spread<'_> {
    fn verdict(&self, place: Place) -> &Verdict {
        &self.verdicts[usize::from(place)]
    }

    fn view(&self, place: Place) -> DeploymentView {
        self.input.board.get(self.verdict(place).deployment.get()).copied().unwrap_or_default()
    }

    pub(super) fn weight(&self, place: Place) -> u32 {
        self.compiled.deployment(self.verdict(place).deployment).weight
    }

    /// Brings `places`, which are equal in preference and quality and stand in the order given, into the order of the
    /// group's strategy, or of what the request sorts by.
    pub(super) fn arrange(&mut self, places: &mut [Place], group: &Group<'_>) -> Odds {
        if let Some(sort) = self.input.options.provider.sort {
            return self.strictly(places, sort.0);
        }
        let session = self.input.attributes.session_id.as_deref();
        let keeps = group.sticky == Some(true) && group.strategy != Strategy::Priority;
        if let (true, Some(session)) = (keeps, session) {
            self.by_session(places, session, |place| self.weight(place));
            return Odds::First;
        }
        // Among equals a session costs nothing to keep together.
        let among_equals = session.filter(|_| group.sticky != Some(false));
        match group.strategy {
            Strategy::Priority => Odds::First,
            Strategy::RoundRobin => {
                let many = places.len().max(1) as u64;
                places.rotate_left(usize::try_from(self.input.turn % many).unwrap_or(0));
                Odds::First
            }
            Strategy::Weighted => self.by_weight(places),
            Strategy::Cheapest => self.by_score(places, among_equals),
            Strategy::LeastBusy => self.by_load(places, among_equals),
            Strategy::LowestLatency => self.better_of_two(places),
        }
    }

    /// By score; the near-equal ones at the front in an order drawn anew by each session, or else each request, so that
    /// a burst does not spend one rate limit after the other.
    fn by_score(&mut self, places: &mut [Place], session: Option<&str>) -> Odds {
        sort_by_key(places, |place| score::key(self.verdict(place)));
        let Some(best) = places.first().map(|place| self.verdict(*place)) else { return Odds::First };
        let ppm = self.compiled.selection.near_equal_ppm;
        let near = places.iter().take_while(|place| score::near(best, self.verdict(**place), ppm)).count();
        self.mix(&mut places[..near], session)
    }

    /// By attempts in flight over weight, then by score. Those alike in both share as near-equals do.
    fn by_load(&mut self, places: &mut [Place], session: Option<&str>) -> Odds {
        let key = |place: Place| (self.load(place), score::key(self.verdict(place)));
        sort_by_key(places, key);
        let Some(first) = places.first().map(|place| key(*place)) else { return Odds::First };
        let alike = places.iter().take_while(|place| key(**place) == first).count();
        self.mix(&mut places[..alike], session)
    }

    /// Attempts in flight for each unit of weight; one of weight zero comes after all others.
    fn load(&self, place: Place) -> u64 {
        let in_flight = u64::from(self.view(place).in_flight) << u32::BITS;
        in_flight.checked_div(u64::from(self.weight(place))).unwrap_or(u64::MAX)
    }

    /// An order of equals: a session's own, or drawn.
    fn mix(&mut self, places: &mut [Place], session: Option<&str>) -> Odds {
        if let Some(session) = session {
            self.by_session(places, session, |_| 1);
            return Odds::First;
        }
        self.rng.shuffle(places);
        Odds::Shared(places.len())
    }

    /// The order that belongs to a session: shares in proportion to weight, and whoever drops out moves only his own.
    fn by_session(&self, places: &mut [Place], session: &str, weight: impl Fn(Place) -> u32) {
        let session = rendezvous::session(session);
        sort_by_key(places, |place| {
            let id = &self.compiled.deployment(self.verdict(place).deployment).id;
            variate(rendezvous::draw(session, id), weight(place))
        });
    }

    /// A draw without replacement in proportion to weight (Efraimidis and Spirakis 2006), which costs one logarithm
    /// each. Without any weight all are alike; beside others, one of weight zero comes last.
    fn by_weight(&mut self, places: &mut [Place]) -> Odds {
        if places.iter().all(|place| self.weight(*place) == 0) {
            self.rng.shuffle(places);
            return Odds::Shared(places.len());
        }
        let mut rng = self.rng.clone();
        sort_by_key(places, |place| variate(1.0 - rng.f64(), self.weight(place)));
        self.rng = rng;
        Odds::Weighted
    }

    /// Two drawn at random, the one with the shorter expected time first, and so on with those left: a burst does not
    /// run to the one that is fastest now (Mitzenmacher 2001, "The Power of Two Choices"), and the slowest is never
    /// first. Expected time is the peak-EWMA times what is in flight with this one, as in Finagle's `p2cPeakEwma`.
    fn better_of_two(&mut self, places: &mut [Place]) -> Odds {
        let fastest = places.iter().map(|place| self.measured_ms(*place)).filter(|ms| *ms > 0).min();
        sort_by_key(places, |place| {
            // Without a sample: as the fastest, so that it is tried, and not by all at once.
            let own = Some(self.measured_ms(place)).filter(|ms| *ms > 0);
            let ms = own.or(fastest).unwrap_or(1);
            let expected = u64::from(ms) * (u64::from(self.view(place).in_flight) + 1);
            (expected, score::key(self.verdict(place)))
        });
        let mut left: SmallVec<[Place; 32]> = places.iter().copied().collect();
        let best_to_worst = left.clone();
        for place in places.iter_mut() {
            let many = left.len();
            let at = if many < 2 {
                0
            } else {
                let (one, other) = (self.rng.usize(..many), self.rng.usize(..many - 1));
                // The second draw is among the others: skip over the first.
                one.min(other + usize::from(other >= one))
            };
            *place = left.remove(at);
        }
        Odds::BetterOfTwo(best_to_worst)
    }

    /// Time until somebody sees something, in milliseconds: to the first byte of a stream, or to the end of a whole
    /// answer. 0: no sample.
    fn measured_ms(&self, place: Place) -> u32 {
        let view = self.view(place);
        if self.input.attributes.stream == Some(true) { view.ewma_first_byte_ms } else { view.mean_total_ms }
    }

    /// By what the request sorts by and nothing else; those of which it is not known come last.
    fn strictly(&self, places: &mut [Place], by: SortBy) -> Odds {
        sort_by_key(places, |place| {
            let verdict = self.verdict(place);
            let value = match by {
                SortBy::Price => verdict.cost.map(Usd::nano),
                SortBy::Throughput => known(self.view(place).mean_total_ms),
                SortBy::Latency => known(self.measured_ms(place)),
            };
            (value.is_none(), value, score::key(verdict))
        });
        Odds::First
    }
}

/// A measured time, if there is one.
fn known(ms: u32) -> Option<i64> {
    (ms > 0).then_some(i64::from(ms))
}

/// An exponential variate over a weight, from a draw in 0 < u <= 1: ascending, these give an order without replacement in
/// proportion to weight. Finite and not negative, so its bits are in the order of the values.
fn variate(u: f64, weight: u32) -> u64 {
    if weight == 0 { u64::MAX } else { (libm::log(u).abs() / f64::from(weight)).to_bits() }
}

/// Sorts by a key made once per place; equal ones keep the order of the list of verdicts.
pub(super) fn sort_by_key<K: Ord>(places: &mut [Place], mut key: impl FnMut(Place) -> K) {
    let mut keyed: SmallVec<[(K, Place); 32]> = places.iter().map(|place| (key(*place), *place)).collect();
    keyed.sort_unstable();
    for (place, (_, sorted)) in places.iter_mut().zip(keyed) {
        *place = sorted;
    }
}
