//! The board's entry as a whole: what a view says, what admission takes and what comes back.

use super::super::breaker::tests::policy;
use super::*;

const SEED: u64 = 7;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_795_348_200_000 + millis)
}

fn ask(stream: bool, last_resort: bool) -> Ask {
    Ask { seed: SEED, tokens: 10, stream, last_resort, place: Place::Now }
}

fn health(limits: Limits) -> DeploymentHealth {
    DeploymentHealth::new("a/b", &policy(), limits)
}

fn ending(outcome: Outcome) -> Ending {
    Ending { outcome, tokens: None, retry_after: None }
}

fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failure(kind)
}

/// One whole attempt: admitted, ended `took_ms` later.
fn call(health: &mut DeploymentHealth, start_ms: u64, took_ms: u64, outcome: Outcome) {
    let permit = health.admit(at(start_ms), &ask(true, true)).unwrap();
    health.end(at(start_ms + took_ms), permit, &ending(outcome));
}

#[test]
fn an_attempt_leaves_nothing_behind() {
    let limits = Limits { concurrency: Some(1), ..Limits::default() };
    let outcomes = FailureKind::ALL.map(Outcome::Failure).into_iter();
    for outcome in outcomes.chain([Outcome::Success, Outcome::Cancelled, Outcome::Lost]) {
        let mut health = health(limits);
        let mut permit = health.admit(at(0), &ask(true, false)).unwrap();
        assert_eq!(health.admit(at(0), &ask(true, false)).unwrap_err(), NotAdmitted::Concurrency);
        let view = health.view(at(0), SEED);
        assert!(view.concurrency_spent && view.in_flight == 1);
        health.first_byte(at(40), &mut permit);
        health.first_byte(at(90), &mut permit);
        health.end(at(100), permit, &ending(outcome));
        let view = health.view(at(100), SEED);
        let opens = matches!(outcome, Outcome::Failure(k) if k.policy().health == HealthEffect::Open);
        assert_eq!((view.in_flight, view.ewma_first_byte_ms), (0, 39), "{outcome:?}");
        assert_eq!(view.state == DeploymentState::Open, opens, "{outcome:?}");
        assert_eq!(view.proven, outcome == Outcome::Success, "{outcome:?}");
        assert_eq!(view.mean_total_ms, if outcome == Outcome::Success { 100 } else { 0 });
    }
}

#[test]
fn a_retracted_attempt_has_never_been() {
    let mut health = health(Limits { rpm: Some(1), concurrency: Some(1), tpm: Some(10) });
    for _ in 0..3 {
        let permit = health.admit(at(0), &ask(true, false)).unwrap();
        health.retract(at(0), permit);
    }
    assert_eq!(health.view(at(0), SEED), DeploymentView::default());
}

#[test]
fn proven_lasts_five_seconds_or_until_a_failure() {
    for (then, proven) in [
        (failed(FailureKind::Overloaded), false),
        (failed(FailureKind::RateLimited), false),
        (failed(FailureKind::BadRequest), true),
        (failed(FailureKind::Inexpressible), true),
        (Outcome::Cancelled, true),
    ] {
        let mut health = health(Limits::default());
        call(&mut health, 0, 10, Outcome::Success);
        assert!(health.view(at(5_010), SEED).proven && !health.view(at(5_011), SEED).proven);
        call(&mut health, 10, 10, then);
        assert_eq!(health.view(at(20), SEED).proven, proven, "{then:?}");
    }
}

#[test]
fn an_open_breaker_defers_and_lets_the_last_resort_in() {
    let mut health = health(Limits::default());
    for _ in 0..5 {
        call(&mut health, 0, 0, failed(FailureKind::Unavailable));
    }
    let view = health.view(at(1_000), SEED);
    assert_eq!((view.state, view.returns_in_ms), (DeploymentState::Open, 29_000));
    assert_eq!(health.admit(at(0), &ask(true, false)).unwrap_err(), NotAdmitted::Ticket);
    call(&mut health, 0, 10, Outcome::Success);
    assert_eq!(health.snapshot(at(10)).breaker.value(), 2);
    let ticket = health.admit(at(30_000), &ask(true, false)).unwrap();
    assert_eq!(health.view(at(30_000), SEED).state, DeploymentState::HalfOpenBusy);
    assert_eq!(health.snapshot(at(30_000)).breaker.value(), 1);
    assert_eq!(health.admit(at(30_000), &ask(true, false)).unwrap_err(), NotAdmitted::Ticket);
    health.retract(at(30_000), ticket);
    assert_eq!(health.view(at(30_000), SEED).state, DeploymentState::HalfOpen);
}

#[test]
fn the_ramp_lets_its_share_of_seeds_in_and_only_adds_to_them() {
    let mut health = health(Limits::default());
    for _ in 0..5 {
        call(&mut health, 0, 0, failed(FailureKind::Unavailable));
    }
    for _ in 0..3 {
        call(&mut health, 30_000, 0, Outcome::Success);
    }
    let (mut before, mut now_ms) = (vec![], 30_000);
    for share in [10, 25, 50] {
        let inside = |seed: &u64| health.view(at(now_ms), *seed).state == DeploymentState::Ramp;
        let inside: Vec<u64> = (0..10_000).filter(inside).collect();
        let percent = inside.len() / 100;
        assert!(percent.abs_diff(share) <= 1, "{percent} % for {share} %");
        assert!(before.iter().all(|seed| inside.contains(seed)));
        before = inside;
        now_ms += 10_000;
        for _ in 0..5 {
            call(&mut health, now_ms, 0, Outcome::Success);
        }
    }
    assert_eq!(health.view(at(now_ms), SEED).state, DeploymentState::Closed);
}

#[test]
fn silence_defers_until_something_answers() {
    let mut health = health(Limits::default());
    for _ in 0..10 {
        let mut permit = health.admit(at(0), &ask(true, false)).unwrap();
        health.first_byte(at(100), &mut permit);
        health.end(at(200), permit, &ending(Outcome::Success));
    }
    let mut silent: Vec<_> = (0..5).map(|_| health.admit(at(1_000), &ask(true, false)).unwrap()).collect();
    assert_eq!(health.view(at(3_000), SEED).state, DeploymentState::Closed);
    assert_eq!(health.view(at(3_001), SEED).state, DeploymentState::Suspect);
    assert_eq!(health.admit(at(3_001), &ask(true, false)).unwrap_err(), NotAdmitted::Ticket);
    assert!(health.snapshot(at(3_001)).suspect);
    health.first_byte(at(3_002), silent.first_mut().unwrap());
    assert_eq!(health.view(at(3_002), SEED).state, DeploymentState::Closed);
    for permit in silent {
        health.end(at(3_003), permit, &ending(Outcome::Cancelled));
    }
    assert_eq!(health.view(at(9_000), SEED).in_flight, 0);
}

#[test]
fn a_provider_that_says_when_is_left_alone_until_then() {
    let mut health = health(Limits::default());
    let permit = health.admit(at(0), &ask(true, false)).unwrap();
    let retry_after = Some(Duration::from_secs(2));
    let outcome = failed(FailureKind::RateLimited);
    health.end(at(0), permit, &Ending { outcome, tokens: Some(0), retry_after });
    let view = health.view(at(500), SEED);
    assert!(view.rate_spent && view.returns_in_ms == 1_500 && view.state == DeploymentState::Closed);
    assert_eq!(health.admit(at(500), &ask(true, true)).unwrap_err(), NotAdmitted::Rate(at(2_000)));
    assert!(health.admit(at(2_000), &ask(true, false)).is_ok());
}

#[test]
fn a_reload_keeps_what_is_known() {
    let mut health = health(Limits { concurrency: Some(1), ..Limits::default() });
    for _ in 0..5 {
        call(&mut health, 0, 0, failed(FailureKind::Unavailable));
    }
    let permit = health.admit(at(0), &ask(true, true)).unwrap();
    health.reconfigure(&policy(), Limits { concurrency: Some(2), ..Limits::default() }, at(1));
    let view = health.view(at(1), SEED);
    assert_eq!((view.state, view.in_flight), (DeploymentState::Open, 1));
    health.end(at(2), permit, &ending(Outcome::Success));
    health.reconfigure(&BreakerPolicy { enabled: false, ..policy() }, Limits::default(), at(3));
    assert_eq!(health.view(at(3), SEED).state, DeploymentState::Closed);
}
