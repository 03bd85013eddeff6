//! Known situations: a burst over limited deployments, a killed and a flaky deployment, and a storm of failures.

use std::time::Duration;

use router_core::attempt::FailureKind;
use router_core::compiled::{DeploymentIdx, Limits};
use router_core::select::DeploymentState;

use crate::setting::{Request, START, Settings, secs};
use crate::upstream::{Mode, Upstream};
use crate::world::World;

fn request(at_ms: u64, deployments: u16) -> Request {
    let wanted = (0..deployments).map(DeploymentIdx).collect();
    Request::plain(START + Duration::from_millis(at_ms), wanted)
}

fn burst(limits: Limits) -> World {
    let deployments = vec![(limits, Upstream::good(200, 1_000)); 3];
    World::new(1, deployments, vec![request(0, 3); 500])
}

#[test]
fn five_hundred_at_once_over_three_rate_limits_are_all_answered() {
    // 300 at once, the other 200 at 5 per second: the last is sent after 40 s of 60.
    let mut world = burst(Limits { rpm: Some(100), ..Limits::default() });
    world.run();
    assert_eq!(world.answered(), 500);
    // In line, not by asking again and again: at most three refusals, one booking and its claim.
    assert!(world.asked <= 500 * 5, "{}", world.asked);
    let last = world.sent.iter().map(|(_, at)| at.since(START)).max();
    assert_eq!(last.map(|d| d.as_secs()), Some(40));
}

#[test]
fn five_hundred_at_once_over_three_token_rates_are_all_answered() {
    let mut world = burst(Limits { tpm: Some(12_000), ..Limits::default() });
    world.run();
    assert_eq!(world.answered(), 500);
}

#[test]
fn five_hundred_at_once_over_three_full_deployments_are_all_answered() {
    let mut world = burst(Limits { concurrency: Some(10), ..Limits::default() });
    world.run();
    assert_eq!(world.answered(), 500);
    // 30 at a time, 1 s each on average, 17 s at best: little is lost by asking again.
    let last = world.sent.iter().map(|(_, at)| at.since(START)).max();
    assert!(last < Some(secs(25)), "{last:?}");
}

/// 20 requests per second for 400 s. The first deployment is killed at 20 s for good; the second fails 30 % of its calls
/// from 20 s to 60 s; the third is good.
#[test]
fn a_killed_and_a_flaky_deployment_are_not_seen_by_clients() {
    let kinds = [(100, FailureKind::Unavailable), (30, FailureKind::Overloaded)];
    let mut deployments: Vec<_> = kinds
        .map(|(percent, kind)| {
            let mut upstream = Upstream::good(100, 800);
            upstream.modes.push((START + secs(20), Mode::Failing(percent, kind)));
            (Limits::default(), upstream)
        })
        .into();
    deployments[1].1.modes.push((START + secs(60), Mode::Good));
    deployments.push((Limits::default(), Upstream::good(100, 800)));
    // A third of the traffic prefers each, so that all are proven.
    let requests: Vec<_> = (0..8_000u64)
        .map(|n| {
            let mut request = request(n * 50, 3);
            request.wanted.rotate_left((n % 3) as usize);
            request
        })
        .collect();
    let mut world = World::new(2, deployments, requests);
    world.run();
    assert_eq!(world.answered(), 8_000, "no client sees an error");
    // The killed one is asked by its tickets only; the flaky one left and came back by the ramp.
    let calls = |d: u16, from, to| {
        let within = |at: Duration| at >= secs(from) && at < secs(to);
        world.sent.iter().filter(|(idx, at)| idx.0 == d && within(at.since(START))).count()
    };
    assert!(calls(0, 22, 400) <= 6, "{}", calls(0, 22, 400));
    assert!(calls(1, 35, 50) <= 5, "{}", calls(1, 35, 50));
    assert!(calls(1, 300, 400) > 600, "{}", calls(1, 300, 400));
    let states = &world.states[1];
    for state in [DeploymentState::Open, DeploymentState::HalfOpenBusy, DeploymentState::Ramp] {
        assert!(states.contains(&state), "{state:?} in {states:?}");
    }
    assert_eq!(states.last(), Some(&DeploymentState::Closed));
}

/// Everything fails, 100 requests per second: repeats stay within the budget (asserted by the world), nobody hangs.
#[test]
fn a_storm_is_bounded() {
    let mut upstream = Upstream::good(50, 100);
    upstream.modes = vec![(START, Mode::Failing(100, FailureKind::Overloaded))];
    let deployments = vec![(Limits::default(), upstream); 3];
    let requests = (0..6_000).map(|n| request(n * 10, 3)).collect();
    let mut world = World::new(3, deployments, requests);
    world.run();
    assert_eq!(world.answered(), 0);
    // 6,000 first attempts, 20 % repeats, 10 per second for the 60 s and one window.
    assert!(world.sent.len() <= 6_000 + 1_200 + 700 + 100, "{}", world.sent.len());
}

/// One falls silent: it is passed over before its first time limit of 10 s runs out.
#[test]
fn a_silent_deployment_is_passed_over_before_its_time_limit() {
    let mut silent = Upstream::good(100, 400);
    silent.modes.push((START + secs(20), Mode::Silent));
    let deployments = vec![(Limits::default(), silent), (Limits::default(), Upstream::good(100, 400))];
    // Some of the traffic prefers the other one, so that it is proven.
    let requests = (0..1_000u64).map(|n| {
        let mut request = request(n * 50, 2);
        request.wanted.rotate_left(usize::from(n % 4 == 0));
        request
    });
    let mut world = World::new(4, deployments, requests.collect());
    world.run();
    assert_eq!(world.answered(), 1_000);
    let within = |at: Duration| at >= secs(23) && at < secs(30);
    let calls = world.sent.iter().filter(|(d, at)| d.0 == 0 && within(at.since(START))).count();
    assert_eq!(calls, 0, "none between the suspicion and the time limit");
}

/// One deployment with three credentials, of which one is revoked and one without credit: no client sees it, and each of
/// the two is asked once per cooldown (30 s, then a minute, two, four).
#[test]
fn refused_credentials_are_not_seen_by_clients() {
    let mut upstream = Upstream::good(100, 400);
    upstream.credentials = vec![Some(FailureKind::Auth), None, Some(FailureKind::OutOfCredit)];
    let requests = (0..2_000).map(|n| request(n * 200, 1)).collect();
    let mut world = World::new(7, vec![(Limits::default(), upstream)], requests);
    world.run();
    assert_eq!(world.answered(), 2_000, "no client sees an error");
    let refused = world.sent.len() - 2_000;
    // At 0, 30, 90, 210 s; a call or two more may be under way when the first refusal comes.
    assert!((8..=12).contains(&refused), "{refused}");
}

/// One of two cuts nine of ten streams in the middle: every client gets a whole answer.
#[test]
fn streams_that_are_cut_are_gone_on_with() {
    let mut cutting = Upstream::good(100, 400);
    cutting.modes.push((START, Mode::Cutting(90)));
    let deployments = vec![(Limits::default(), cutting), (Limits::default(), Upstream::good(100, 400))];
    let requests = (0..1_000u64).map(|n| {
        let mut request = request(n * 50, 2);
        request.wanted.rotate_left(usize::from(n % 4 == 0));
        request
    });
    let mut world = World::new(5, deployments, requests.collect());
    world.run();
    assert_eq!(world.answered(), 1_000);
    assert!(world.rescues > 0, "some were cut");
}

/// One of two falls silent for a quarter of its calls: with hedging the slowest answers come much sooner, and what that
/// costs is within its share.
#[test]
fn a_late_attempt_is_raced() {
    let slowest = |hedging| {
        let mut late = Upstream::good(200, 400);
        late.modes.extend((0..600).map(|n| {
            let mode = if n % 20 == 19 { Mode::Silent } else { Mode::Good };
            (START + Duration::from_millis(n * 100), mode)
        }));
        let deployments = vec![(Limits::default(), late), (Limits::default(), Upstream::good(200, 400))];
        let requests = (0..1_200).map(|n| request(n * 50, 2)).collect();
        let settings = Settings { hedging, ..Settings::default() };
        let mut world = World::new(6, deployments, requests).with(settings, &[]);
        world.run();
        assert_eq!(world.answered(), 1_200);
        world.took.sort_unstable();
        (world.took[1_200 * 97 / 100], world.races)
    };
    let ((alone, none), (raced, races)) = (slowest(None), slowest(Some(200_000)));
    assert!(none == 0 && races > 20, "{races} races");
    assert!(raced < secs(2) && alone >= secs(2), "{raced:?} instead of {alone:?}");
}
