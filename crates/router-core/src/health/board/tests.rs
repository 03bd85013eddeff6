//! The board's entry as a whole: what a view says, what admission takes and what comes back.

use super::super::breaker::tests::policy;
use super::super::control::Removal;
use super::*;

const SEED: u64 = 7;

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_795_348_200_000 + millis)
}

fn ask(stream: bool, last_resort: bool) -> Ask {
    Ask { seed: SEED, tokens: 10, stream, last_resort, place: Place::Now }
}

pub(super) fn health(limits: Limits) -> DeploymentHealth {
    DeploymentHealth::new("a/b", &policy(), limits)
}

pub(super) fn ending(outcome: Outcome) -> Ending {
    Ending { outcome, tokens: None, retry_after: None }
}

pub(super) fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failure(kind)
}

/// One whole attempt: admitted, ended `took_ms` later.
pub(super) fn call(health: &mut DeploymentHealth, start_ms: u64, took_ms: u64, outcome: Outcome) {
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
    let mut health =
        health(Limits { rpm: Some(1), concurrency: Some(1), tpm: Some(10), ..Limits::default() });
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
fn no_more_wait_than_may() {
    let asked_by = |seed: u64, place: Place| Ask { seed, place, ..ask(true, false) };
    let book = Place::Book { by: at(3_600_000) };
    let mut rated = health(Limits { rpm: Some(1), queue: Some(2), ..Limits::default() });
    let _first = rated.admit(at(0), &asked_by(0, Place::Now)).unwrap();
    let mut why = |seed, place, ms| rated.admit(at(ms), &asked_by(seed, place)).unwrap_err();
    assert_eq!(why(1, book, 0), NotAdmitted::Booked(at(60_000)));
    assert_eq!(why(2, book, 0), NotAdmitted::Booked(at(120_000)));
    assert_eq!(why(3, book, 0), NotAdmitted::QueueFull(at(180_000)));
    assert_eq!(
        why(4, book, 0),
        NotAdmitted::QueueFull(at(180_000)),
        "what was sent away left nothing behind"
    );
    assert!(rated.admit(at(60_000), &asked_by(1, Place::Booked)).is_ok());
    assert_eq!(rated.admit(at(60_000), &asked_by(3, book)).unwrap_err(), NotAdmitted::Booked(at(180_000)));
    rated.unbook(1);
    assert_eq!(rated.admit(at(60_000), &asked_by(4, book)).unwrap_err(), NotAdmitted::Booked(at(180_000)));

    let mut full = health(Limits { concurrency: Some(1), queue: Some(1), ..Limits::default() });
    let first = full.admit(at(0), &asked_by(0, Place::Now)).unwrap();
    assert_eq!(full.admit(at(0), &asked_by(1, Place::Now)).unwrap_err(), NotAdmitted::Concurrency);
    assert_eq!(full.admit(at(0), &asked_by(2, Place::Now)).unwrap_err(), NotAdmitted::QueueFull(at(1_000)));
    assert_eq!(full.admit(at(900), &asked_by(1, Place::Now)).unwrap_err(), NotAdmitted::Concurrency);
    full.end(at(950), first, &ending(Outcome::Success));
    let second = full.admit(at(960), &asked_by(1, Place::Now)).unwrap();
    assert_eq!(full.admit(at(960), &asked_by(2, Place::Now)).unwrap_err(), NotAdmitted::Concurrency);
    full.end(at(970), second, &ending(Outcome::Success));
    full.reconfigure(
        &policy(),
        Limits { concurrency: Some(0), queue: Some(0), ..Limits::default() },
        at(980),
    );
    assert!(matches!(
        full.admit(at(9_000), &asked_by(5, Place::Now)).unwrap_err(),
        NotAdmitted::QueueFull(_)
    ));
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

fn control(removal: Removal, until: Option<u64>) -> Option<Control> {
    Some(Control { removal, reason: "planned".into(), until: until.map(at), since: at(0) })
}

#[test]
fn what_is_taken_out_by_hand_is_not_even_the_last_resort() {
    for removal in [Removal::Disable, Removal::Drain] {
        let mut health = health(Limits { rpm: Some(1), ..Limits::default() });
        let under_way = health.admit(at(0), &ask(true, false)).unwrap();
        let book = Ask { place: Place::Book { by: at(600_000) }, ..ask(true, false) };
        assert!(matches!(health.admit(at(0), &book).unwrap_err(), NotAdmitted::Booked(_)));
        health.set_control(control(removal, Some(70_000)));
        let view = health.view(at(60_000), SEED);
        assert_eq!((view.state, view.in_flight), (DeploymentState::Disabled, 1));
        let booked = Ask { place: Place::Booked, ..ask(true, true) };
        assert_eq!(health.admit(at(60_000), &booked).unwrap_err(), NotAdmitted::Disabled);
        assert_eq!(health.admit(at(60_000), &ask(true, true)).unwrap_err(), NotAdmitted::Disabled);
        assert_eq!(health.view(at(60_000), SEED).returns_in_ms, 10_000);
        // What is in flight ends as it would have.
        health.end(at(69_000), under_way, &ending(Outcome::Success));
        assert!(health.control(at(69_999)).is_some() && health.control(at(70_000)).is_none());
        assert!(health.admit(at(70_000), &ask(true, false)).is_ok());
        health.set_control(control(removal, None));
        assert_eq!(health.view(at(u64::MAX / 1_000_000), SEED).state, DeploymentState::Disabled);
        health.set_control(None);
        assert_eq!(health.view(at(200_000), SEED).state, DeploymentState::Closed);
    }
}

#[test]
fn a_refused_credential_goes_and_the_others_stay() {
    let mut health = health(Limits::default());
    health.set_credentials(&[1, 1]);
    let first = health.admit(at(0), &ask(true, false)).unwrap();
    let bad = first.credential();
    let change = health.end(at(0), first, &ending(failed(FailureKind::Auth)));
    assert_eq!(change, Change::Refused { credential: bad as u16 });
    assert_eq!(health.another(at(0), bad, 1), Some(Another { ready_in: Duration::ZERO, credentials: 2 }));
    assert_eq!(health.another(at(0), 1 - bad, 1), None, "the other one is out");
    for n in 0..20 {
        let permit = health.admit(at(1), &Ask { seed: n, ..ask(true, false) }).unwrap();
        assert_ne!(permit.credential(), bad);
        let change = health.end(at(2), permit, &ending(Outcome::Success));
        assert_eq!(change, Change::Well { began: at(1), credential: 1 - bad as u16 });
    }
    assert_eq!(health.view(at(2), SEED).state, DeploymentState::Closed);
    assert_eq!(health.snapshot(at(2)).credentials_refused, 1);
    let last = health.admit(at(3), &ask(true, false)).unwrap();
    health.end(at(3), last, &ending(failed(FailureKind::OutOfCredit)));
    assert_eq!(health.another(at(3), 1 - bad, 1), None);
    let view = health.view(at(1_003), SEED);
    assert_eq!((view.state, view.returns_in_ms), (DeploymentState::Open, 28_997));
    assert_eq!(health.snapshot(at(1_003)).breaker, BreakerGauge::Open);
    // Unlike a breaker's, it is one success that is wanted; a reset or another configuration do as well.
    call(&mut health, 30_000, 10, Outcome::Success);
    assert_eq!(health.view(at(30_010), SEED).state, DeploymentState::Closed);
    for _ in 0..40 {
        call(&mut health, 40_000, 0, failed(FailureKind::Auth));
    }
    assert_eq!(health.view(at(40_000), SEED).state, DeploymentState::Open);
    health.reset(at(40_001));
    assert_eq!(health.view(at(40_001), SEED).state, DeploymentState::Closed);
}

#[test]
fn a_limited_credential_rests_and_the_others_go_on() {
    let mut health = health(Limits::default());
    health.set_credentials(&[1, 1]);
    let limited = |health: &mut DeploymentHealth, retry_after: Option<u64>| {
        let permit = health.admit(at(0), &ask(true, false)).unwrap();
        let credential = permit.credential();
        let retry_after = retry_after.map(Duration::from_millis);
        let outcome = failed(FailureKind::RateLimited);
        health.end(at(0), permit, &Ending { outcome, tokens: Some(0), retry_after });
        credential
    };
    let first = limited(&mut health, Some(5_000));
    let now = Some(Another { ready_in: Duration::ZERO, credentials: 2 });
    assert_eq!(health.another(at(0), first, 1), now);
    assert!(!health.view(at(1), SEED).rate_spent);
    // Without a time it rests for a moment.
    assert_ne!(limited(&mut health, None), first);
    let soon = Some(Another { ready_in: Duration::from_secs(1), credentials: 2 });
    assert_eq!(health.another(at(0), first, 1), soon, "the other has rested by then");
    assert_eq!(health.admit(at(1), &ask(true, true)).unwrap_err(), NotAdmitted::Rate(at(1_000)));
    assert_eq!(health.view(at(1), SEED).returns_in_ms, 999);
    for _ in 0..20 {
        let permit = health.admit(at(1_000), &ask(true, true)).unwrap();
        assert_ne!(permit.credential(), first);
        health.retract(at(1_000), permit);
    }
}

#[test]
fn what_is_left_defers_and_those_with_nowhere_else_ask_again_soon() {
    let mut health = health(Limits { rpm: Some(1_000), ..Limits::default() });
    let left = |n| RateState {
        requests_left: Some(n),
        requests_reset_in: Some(Duration::from_secs(20)),
        ..RateState::default()
    };
    let permit = health.admit(at(0), &ask(true, false)).unwrap();
    health.learn(at(0), &permit, &left(1));
    let other = health.admit(at(0), &ask(true, false)).unwrap();
    let view = health.view(at(0), SEED);
    assert!(view.rate_spent && view.returns_in_ms == 20_000 && view.state == DeploymentState::Closed);
    assert_eq!(health.admit(at(0), &ask(true, false)).unwrap_err(), NotAdmitted::Rate(at(20_000)));
    let book = Ask { place: Place::Book { by: at(60_000) }, ..ask(true, false) };
    assert_eq!(health.admit(at(0), &book).unwrap_err(), NotAdmitted::Booked(at(1_000)));
    assert_eq!(health.admit(at(0), &book).unwrap_err(), NotAdmitted::Booked(at(1_020)));
    let booked = Ask { place: Place::Booked, ..ask(true, false) };
    let third = health.admit(at(1_000), &booked).unwrap();
    // The newest answer counts; a limit of ours is never raised by it.
    health.learn(at(1_100), &third, &left(50_000));
    health.learn(at(1_200), &other, &left(7));
    let admitted = (0..2_000).filter(|_| health.admit(at(1_200), &ask(true, true)).is_ok()).count();
    assert!(admitted <= 7, "{admitted}");
    health.reset(at(1_300));
    let admitted = (0..2_000).filter(|_| health.admit(at(1_300), &ask(true, true)).is_ok()).count();
    assert!((900..=1_000).contains(&admitted), "{admitted}");
}

#[test]
fn a_restart_keeps_what_is_worth_keeping() {
    let mut before = health(Limits::default());
    for _ in 0..5 {
        call(&mut before, 0, 0, failed(FailureKind::Unavailable));
    }
    let permit = before.admit(at(30_000), &ask(true, false)).unwrap();
    assert!(before.saved(at(0)).held_until.is_empty());
    let retry_after = Some(Duration::from_secs(120));
    let outcome = failed(FailureKind::RateLimited);
    before.end(at(30_000), permit, &Ending { outcome, tokens: Some(0), retry_after });
    let text = serde_json::to_string(&before.saved(at(30_000))).unwrap();
    let mut after = health(Limits::default());
    after.restore(at(40_000), at(30_000), &serde_json::from_str(&text).unwrap());
    let view = after.view(at(40_000), SEED);
    assert_eq!((view.state, view.returns_in_ms), (DeploymentState::HalfOpen, 110_000));
    assert!(view.rate_spent && !after.saved(at(40_000)).is_empty());
    // Another form, and one that is too old, are not read.
    let mut fresh = health(Limits::default());
    fresh.restore(at(40_000), at(30_000), &serde_json::from_str(r#"{"version":9,"held_until":[]}"#).unwrap());
    fresh.restore(at(900_000), at(30_000), &serde_json::from_str(&text).unwrap());
    assert_eq!(fresh.view(at(900_000), SEED), DeploymentView::default());
}
