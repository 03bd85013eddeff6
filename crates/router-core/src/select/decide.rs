//! `decide`: candidates, verdicts, order. All that it knows is in its two arguments.

use std::sync::Arc;

use smallvec::SmallVec;

use super::decision::{Decision, Detail, Reason, RoutePlan, Verdict, VerdictKind};
use super::eligible::{Judge, returns_in_ms};
use super::input::DecisionInput;
use super::scope::{Group, Scope, When};
use super::set::Set;
use super::spread::{Odds, Place, Spread, sort_by_key};
use crate::compiled::{Compiled, DeploymentIdx};

/// Keeps this draw apart from others made with the same request's seed.
const DRAW: u64 = 0x7370_7265_6164_0001;

/// Where the candidates of one group stand in the list of verdicts.
type Places = SmallVec<[Place; 32]>;

/// In which order to try which deployments, and why not the others.
///
/// Same arguments, same result. A model nobody knows has no candidates; the caller asks [`super::resolve`] first.
pub fn decide(compiled: &Compiled, input: &DecisionInput) -> Decision {
    let scope = Scope::of(compiled, input);
    let judge = Judge::new(compiled, input, scope.max_cost, has_real(compiled, &scope));
    let mut seen = Set::default();
    let mut verdicts = Vec::with_capacity(scope.groups.iter().map(|group| group.members.len()).sum());
    let mut ends: SmallVec<[usize; 2]> = SmallVec::new();
    // Verdicts from here on are of deployments kept for some kind of failure.
    let mut always = 0;
    for group in &scope.groups {
        let new = group.members.iter().filter(|idx| seen.insert(**idx));
        verdicts.extend(new.map(|idx| judge.verdict(*idx, group)));
        ends.push(verdicts.len());
        if group.when == When::Always {
            always = verdicts.len();
        }
    }

    let mut ranked = Places::new();
    let mut start = 0;
    let mut rng = fastrand::Rng::with_seed(input.seed ^ DRAW);
    for (group, end) in scope.groups.iter().zip(&ends).filter(|(group, _)| group.when == When::Always) {
        let places = places(&verdicts, start..*end, VerdictKind::Ranked);
        start = *end;
        rank(compiled, input, (group, places), (&mut verdicts, &mut ranked, &mut rng));
    }
    let deferred = by_return(&judge, compiled, &verdicts, always);
    if let (None, Some(first)) = (ranked.first(), deferred.first()) {
        verdicts[usize::from(*first)].propensity = 1.0;
    }

    let no_fallbacks = input.options.allow_fallbacks == Some(false);
    let at_most = if no_fallbacks { 1 } else { usize::MAX };
    let named = |place: &Place| verdicts[usize::from(*place)].deployment;
    let mut plan = RoutePlan {
        ranked: ranked.iter().take(at_most).map(named).collect(),
        deferred: deferred.iter().take(at_most.saturating_sub(ranked.len())).map(named).collect(),
        after_too_long: kept_for(&scope, When::TooLong, &verdicts),
        after_filtered: kept_for(&scope, When::Filtered, &verdicts),
    };
    let too_long = |verdict: &Verdict| verdict.reason == Some(Reason::ContextTooLong);
    if plan.ranked.is_empty() && plan.deferred.is_empty() && verdicts.iter().take(always).any(too_long) {
        // Nobody needs to be asked to know it.
        let ranked = |idx: &DeploymentIdx| {
            verdicts.iter().any(|v| v.deployment == *idx && v.kind == VerdictKind::Ranked)
        };
        (plan.ranked, plan.deferred) = plan.after_too_long.drain(..).partition(ranked);
        let first = plan.iter().next();
        if let Some(verdict) = verdicts.iter_mut().find(|v| first == Some(v.deployment)) {
            verdict.propensity = 1.0;
        }
    }
    let tier = scope.tier.and_then(|at| compiled.tiers.get(usize::from(at)));
    Decision {
        rule: scope.rule.map(|rule| Arc::clone(&rule.name)),
        tier: tier.map(|tier| Arc::clone(&tier.name)),
        plan,
        verdicts,
        deadline_ms: scope.deadline_ms,
        no_fallbacks,
        max_cost: scope.max_cost,
    }
}

/// The deployments kept for some kind of failure that may answer, in the order given, the ranked before the deferred. No
/// strategy spreads over what is seldom called.
fn kept_for(scope: &Scope<'_>, when: When, verdicts: &[Verdict]) -> Vec<DeploymentIdx> {
    let mut kept = Vec::new();
    for kind in [VerdictKind::Ranked, VerdictKind::Deferred] {
        for idx in scope.groups.iter().filter(|group| group.when == when).flat_map(|group| &group.members) {
            let may = verdicts.iter().any(|verdict| verdict.deployment == *idx && verdict.kind == kind);
            if may && !kept.contains(idx) {
                kept.push(*idx);
            }
        }
    }
    kept
}

/// Whether there are real deployments among those the request is for: then a simulated one never stands in for them.
fn has_real(compiled: &Compiled, scope: &Scope<'_>) -> bool {
    let own = scope.groups.iter().find(|group| !group.members.is_empty());
    own.is_some_and(|own| own.members.iter().any(|idx| !compiled.deployment(*idx).simulated))
}

/// The places in this range whose verdict is of this kind.
fn places(verdicts: &[Verdict], range: std::ops::Range<usize>, kind: VerdictKind) -> Places {
    let of_kind = range.filter(|at| verdicts.get(*at).is_some_and(|verdict| verdict.kind == kind));
    of_kind.filter_map(|at| Place::try_from(at).ok()).collect()
}

/// What decides before the strategy does, smaller first: the rule's preference, the quality reached, and, when none
/// reaches it, the quality itself.
type Bucket = (u8, bool, u64);

/// Brings one group's ranked places into order, appends them to `ranked`, and says what came of quality.
///
/// An unknown quality counts as reaching the one wanted: nothing speaks against it, and a deployment that never answers
/// is never measured.
fn rank(
    compiled: &Compiled,
    input: &DecisionInput,
    (group, mut places): (&Group<'_>, Places),
    (verdicts, ranked, rng): (&mut [Verdict], &mut Places, &mut fastrand::Rng),
) {
    let wanted = group.quality;
    let lacks = |verdict: &Verdict| match (wanted, verdict.quality) {
        (Some(limit), Some(value)) if value < limit => Some(Detail::Quality { limit, value }),
        _ => None,
    };
    let none_reaches = places.iter().all(|place| lacks(&verdicts[usize::from(*place)]).is_some());
    for place in &places {
        let verdict = &mut verdicts[usize::from(*place)];
        if let Some(detail) = lacks(verdict) {
            let reason = if none_reaches { Reason::BelowQuality } else { Reason::QualityNotReached };
            (verdict.reason, verdict.detail) = (Some(reason), Some(detail));
        }
    }
    let bucket = |verdict: &Verdict| -> Bucket {
        let preference = if group.prefer.contains(&verdict.deployment) {
            0
        } else {
            1 + u8::from(group.avoid.contains(&verdict.deployment))
        };
        // Not negative, so the bits are in the order of the values.
        let quality = verdict.quality.unwrap_or_default().max(0.0).to_bits();
        (preference, verdict.reason.is_some(), if none_reaches { !quality } else { 0 })
    };
    sort_by_key(&mut places, |place| bucket(&verdicts[usize::from(place)]));

    let mut spread = Spread { compiled, verdicts, rng: rng.clone(), turn: input.turn };
    let mut odds = None;
    let same =
        |a: &Place, b: &Place| bucket(&verdicts[usize::from(*a)]) == bucket(&verdicts[usize::from(*b)]);
    for alike in places.chunk_by_mut(same) {
        let of_these = spread.arrange(alike, group.strategy);
        if ranked.is_empty() && odds.is_none() {
            odds = Some(propensities(&spread, alike, of_these));
        }
    }
    *rng = spread.rng;
    for (place, propensity) in odds.into_iter().flatten() {
        verdicts[usize::from(place)].propensity = propensity;
    }
    ranked.extend(places);
}

/// With what probability each of these came first.
fn propensities(spread: &Spread<'_>, alike: &[Place], odds: Odds) -> SmallVec<[(Place, f64); 16]> {
    let sum: f64 = alike.iter().map(|place| f64::from(spread.weight(*place))).sum();
    let each = |place: &Place| match odds {
        Odds::First => 1.0,
        Odds::Shared(many) => 1.0 / many.max(1) as f64,
        Odds::Weighted => f64::from(spread.weight(*place)) / sum,
    };
    let first = match odds {
        Odds::First => 1,
        Odds::Shared(many) => many,
        Odds::Weighted => alike.len(),
    };
    alike.iter().take(first).map(|place| (*place, each(place))).collect()
}

/// The deferred places up to this one, soonest return first; of those that return together, the mildest reason first: one that is slow
/// answers, one whose limit is spent answers soon, one that is suspect or open may not answer at all.
fn by_return(judge: &Judge<'_>, compiled: &Compiled, verdicts: &[Verdict], always: usize) -> Places {
    let mut deferred = places(verdicts, 0..always, VerdictKind::Deferred);
    deferred.sort_by_cached_key(|place| {
        let verdict = &verdicts[usize::from(*place)];
        let back = returns_in_ms(
            verdict.reason,
            &judge.view(verdict.deployment),
            compiled.deployment(verdict.deployment),
        );
        let mildness = verdict.reason.map(std::cmp::Reverse);
        let score = verdict.score.map_or(0, |score| score.total.to_bits());
        (back, mildness, verdict.cost.is_none(), score, *place)
    });
    deferred
}
