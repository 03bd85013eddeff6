//! What a deployment is worth trying for: expected cost plus what its slowness is worth, and the order of scores.

use super::decision::{ScoreParts, Verdict};
use crate::money::Usd;

/// The parts of a score in USD. Finite always: every factor is. A deployment without samples counts as answering at once,
/// so it gets its first request. What leaving a warm prompt cache loses is nothing yet: no session is followed.
pub(super) fn parts(cost: Option<Usd>, mean_total_ms: u32, usd_per_second: Usd) -> ScoreParts {
    let cost = cost.unwrap_or_default().to_f64();
    let latency = usd_per_second.to_f64() * f64::from(mean_total_ms) / 1_000.0;
    ScoreParts { cost, latency, cache: 0.0, total: cost + latency }
}

/// Smaller is better: those without a price come after all that have one. The second part orders as
/// [`f64::total_cmp`] does.
pub(super) fn key(verdict: &Verdict) -> (bool, i64) {
    let bits = total(verdict).to_bits().cast_signed();
    (verdict.cost.is_none(), bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed())
}

/// Whether a score is so near the best that the two share the load.
pub(super) fn near(best: &Verdict, other: &Verdict, near_equal_ppm: u32) -> bool {
    let room = total(best).abs() * f64::from(near_equal_ppm) / 1_000_000.0;
    best.cost.is_none() == other.cost.is_none() && total(other) <= total(best) + room
}

fn total(verdict: &Verdict) -> f64 {
    verdict.score.map_or(f64::MAX, |score| score.total)
}
