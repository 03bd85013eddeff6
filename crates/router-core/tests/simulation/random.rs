//! Random worlds: the invariants hold whatever the deployments and the clients do.

use std::time::Duration;

use router_core::attempt::FailureKind;
use router_core::compiled::{DeploymentIdx, Limits};
use router_core::failover::Finish;
use router_core::money::Usd;
use router_core::time::Timestamp;

use crate::flight::{MAX_CREDENTIALS, MAX_DEPLOYMENTS};
use crate::setting::{KINDS, Request, START, Settings, secs};
use crate::upstream::{Mode, Upstream};
use crate::world::World;

fn mode(rng: &mut fastrand::Rng) -> Mode {
    match rng.u8(0..8) {
        0 => Mode::Failing(rng.u32(1..=100), KINDS[rng.usize(..KINDS.len())]),
        1 => Mode::Silent,
        2 => Mode::Limiting(rng.bool().then(|| secs(rng.u64(0..30)))),
        3 => Mode::Cutting(rng.u32(1..=100)),
        4 => Mode::Stalling(rng.u32(1..=100)),
        _ => Mode::Good,
    }
}

/// Mostly one that is good; else up to four, of which some are refused.
fn credentials(rng: &mut fastrand::Rng) -> Vec<Option<FailureKind>> {
    let refused = [FailureKind::Auth, FailureKind::OutOfCredit, FailureKind::RateLimited];
    let count = if rng.bool() { rng.u32(2..=MAX_CREDENTIALS) } else { 1 };
    (0..count).map(|_| (count > 1 && rng.u8(0..3) == 0).then(|| refused[rng.usize(..3)])).collect()
}

fn deployment(rng: &mut fastrand::Rng) -> (Limits, Upstream) {
    let limits = Limits {
        rpm: rng.bool().then(|| rng.u64(5..600)),
        tpm: rng.bool().then(|| rng.u64(1_000..200_000)),
        concurrency: rng.bool().then(|| rng.u32(1..40)),
        queue: rng.bool().then(|| rng.u32(0..20)),
    };
    // From steady to flapping every second.
    let period = Duration::from_millis(rng.u64(1_000..60_000));
    let modes = (0..rng.u32(1..20)).map(|n| {
        let from = if n == 0 { Timestamp::ZERO } else { START + period * n };
        (from, mode(rng))
    });
    let modes = modes.collect();
    let upstream = Upstream {
        modes,
        first_byte_ms: rng.u64(20..6_000),
        total_ms: rng.u64(50..20_000),
        price: rng.i64(0..50),
        prefill: rng.bool(),
        credentials: credentials(rng),
    };
    (limits, upstream)
}

fn request(rng: &mut fastrand::Rng, deployments: u16, spread_ms: u64) -> Request {
    let mut all: Vec<_> = (0..deployments).map(DeploymentIdx).collect();
    rng.shuffle(&mut all);
    let wanted = rng.usize(0..=all.len()).max(usize::from(rng.u8(0..20) > 0));
    let kept = all.split_off(wanted);
    let (long, filtered) = kept.split_at(rng.usize(0..=kept.len()));
    Request {
        deadline: Duration::from_millis(rng.u64(1..90_000)),
        stream: rng.u8(0..3) > 0,
        tokens: rng.u64(1..5_000),
        leaves_after: (rng.u8(0..8) == 0).then(|| Duration::from_millis(rng.u64(0..20_000))),
        no_fallbacks: rng.u8(0..10) == 0,
        kept: [(FailureKind::TooLong, long.to_vec()), (FailureKind::Filtered, filtered.to_vec())],
        can_go_on: rng.u8(0..5) > 0,
        max_cost: (rng.u8(0..4) == 0).then(|| Usd::from_nano(rng.i64(0..400_000))),
        budgets: (0..3).filter(|n| *n == 0 || rng.bool()).collect(),
        ..Request::plain(START + Duration::from_millis(rng.u64(0..=spread_ms)), all)
    }
}

fn world(seed: u64) -> World {
    let mut rng = fastrand::Rng::with_seed(seed);
    let deployments: Vec<_> = (0..rng.u32(1..=MAX_DEPLOYMENTS)).map(|_| deployment(&mut rng)).collect();
    let count = u16::try_from(deployments.len()).unwrap();
    let spread_ms = if rng.bool() { 0 } else { rng.u64(1..200_000) };
    let requests = (0..rng.usize(1..200)).map(|_| request(&mut rng, count, spread_ms)).collect();
    let settings = Settings { rescue: rng.u8(0..4) > 0, hedging: rng.bool().then(|| rng.u32(0..500_000)) };
    let budgets = [rng.i64(0..20_000_000), rng.i64(0..20_000_000)];
    let mut world = World::new(seed, deployments, requests).with(settings, &budgets);
    world.slow_admission = rng.bool();
    world
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let seeds: u64 = option_env!("ROUTER_SIM_SEEDS").map_or(200, |n| n.parse().unwrap());
    let mut seen = [0usize; 8];
    let (mut rescues, mut races) = (0, 0);
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = world(seed);
            world.run();
            (world.finishes, world.rescues, world.races)
        });
        let Ok((finishes, more_rescues, more_races)) = run else {
            panic!("seed {seed} breaks an invariant: see above")
        };
        (rescues, races) = (rescues + more_rescues, races + more_races);
        for finish in finishes {
            let which = match finish {
                Finish::Answered(_) => 0,
                Finish::Failed(_) => 1,
                Finish::DeadlineExceeded => 2,
                Finish::Broken(..) => 3,
                Finish::ClientGone => 4,
                Finish::Busy(_) => 5,
                Finish::NoMoney => 6,
                Finish::OverCostCeiling(_) => 7,
            };
            seen[which] += 1;
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "the worlds reach every end: {seen:?}");
    assert!(rescues > 0 && races > 0, "{rescues} attempts went on with an answer, {races} raced");
}

#[test]
fn the_same_seed_is_the_same_world() {
    let run = |seed| {
        let mut world = world(seed);
        world.run();
        (world.finishes, world.sent, world.asked)
    };
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed));
    }
}
