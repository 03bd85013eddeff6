//! Scripts of results and time, and what may follow what.

use proptest::prelude::*;

use super::*;

pub(in crate::health) fn policy() -> BreakerPolicy {
    BreakerPolicy {
        enabled: true,
        window: Duration::from_secs(300),
        error_rate: 0.05,
        min_requests: 20,
        min_failures: 5,
        consecutive: 5,
        cooldown: Duration::from_secs(30),
        max_cooldown: Duration::from_secs(600),
        ramp_step: Duration::from_secs(10),
    }
}

fn effect(letter: char) -> HealthEffect {
    match letter {
        '.' => HealthEffect::Success,
        'x' => HealthEffect::Failure,
        'r' => HealthEffect::None,
        'a' => HealthEffect::Open,
        other => panic!("no such result: {other}"),
    }
}

fn name(breaker: &mut Breaker, now: Timestamp) -> &'static str {
    match breaker.state(now, 30) {
        DeploymentState::Closed => "C",
        DeploymentState::Open => "O",
        DeploymentState::HalfOpen => "H",
        DeploymentState::HalfOpenBusy => "B",
        DeploymentState::Ramp => "R50",
        DeploymentState::RampHeld if breaker.state(now, 10) == DeploymentState::Ramp => "R25",
        DeploymentState::RampHeld if breaker.state(now, 5) == DeploymentState::Ramp => "R10",
        DeploymentState::RampHeld => "h",
        DeploymentState::Suspect | DeploymentState::Disabled => "?",
    }
}

/// Script words: `.` success, `x` failure, `r` no verdict, `a` refused (a word may hold many); `+N` N seconds pass;
/// `(` an attempt begins, `).` the oldest begun ends so; `cfg` the configuration changes; `off` the breaker is switched
/// off; `doubt` and `hope` by its neighbours; `new` a restart. Expected: the state after each word, as a request with draw 30 sees it: C, O, H, B, h (half open, for a share of requests), R10, R25, R50.
fn check(script: &str, expected: &str) {
    let mut breaker = Breaker::new(policy());
    let mut now = Timestamp::from_millis(1_795_348_200_000);
    let (mut begun, mut states) = (std::collections::VecDeque::new(), Vec::new());
    for word in script.split_whitespace() {
        match word.split_at(1) {
            ("+", secs) => now = now + Duration::from_secs(secs.parse().unwrap()),
            ("(", _) => begun.push_back(breaker.enter(now)),
            (")", result) => {
                let pass = begun.pop_front().unwrap();
                breaker.leave(now, pass, effect(result.chars().next().unwrap()));
            }
            ("d", _) => breaker.doubt(now),
            ("h", _) => breaker.hope(),
            ("n", _) => {
                let saved = breaker.saved(now);
                let text = serde_json::to_string(&saved).unwrap();
                breaker = Breaker::new(policy());
                if let Some(saved) = serde_json::from_str::<Option<SavedBreaker>>(&text).unwrap() {
                    breaker.restore(now, now, &saved);
                }
            }
            ("c", _) => breaker.reconfigure(&policy(), now),
            ("o", _) => breaker.reconfigure(&BreakerPolicy { enabled: false, ..policy() }, now),
            _ => {
                for letter in word.chars() {
                    let pass = breaker.enter(now);
                    breaker.leave(now, pass, effect(letter));
                }
            }
        }
        states.push(name(&mut breaker, now));
    }
    assert_eq!(states.join(" "), expected, "{script}");
}

#[test]
fn opens() {
    check(".................. xx", "C C");
    check("xxxx x", "C O");
    check("xxxx. xxxx x", "C C O");
    check("xxxxrrr x", "C O");
    // 5 of 95 with a success between: over 5 %; 5 of 100 is not over it.
    check(
        "...................................................................... x.x.x.x.................. x",
        "C C O",
    );
    check(
        "............................................................................................ x.x.x.x. x",
        "C C C",
    );
    // Over the rate, but fewer than 20 requests, or fewer than 5 failures.
    check("x.x.x.x.x.x.x.x.x. x.", "C O");
    check("x.x.x.x. ............", "C C");
    // The 300 s slide: old failures do not count.
    check("x.x.x.x. +301 ................... x.", "C C C C");
}

#[test]
fn comes_back_by_degrees() {
    check("xxxxx +29 +1 . . .", "O O H H H R10");
    check("xxxxx +30 ... ..... +9 +1", "O H R10 R10 R10 R25");
    check("xxxxx +30 ... +10 .... .", "O H R10 R10 R10 R25");
    check("xxxxx +30 ... ..... +10 ..... +10 ..... +10", "O H R10 R10 R25 R25 R50 R50 C");
    // A fifth of failures is allowed, more is not; the step's own outcomes count.
    check("xxxxx +30 ... x.... +10 xx... +60 +1", "O H R10 R10 R25 O h h");
    check("xxxxx +30 ... ....x.... x x", "O H R10 R10 R10 O");
    // After closing, the window is empty.
    check(
        "xxxxx +30 ... ..... +10 ..... +10 ..... +10 xxxx ....... x",
        "O H R10 R10 R25 R25 R50 R50 C C C C",
    );
}

#[test]
fn cooldowns_double_and_are_forgiven() {
    check("xxxxx +30 x +59 +1 x +119 +1", "O H O O h O O h");
    check("xxxxx +30 x +60 x +120 x +240 x +480 x +599 +1 x +599 +1", "O H O h O h O h O h O O h O O h");
    let back = "... ..... +10 ..... +10 ..... +10";
    check(&format!("xxxxx +30 {back} +299 xxxxx +59 +1"), "O H R10 R10 R25 R25 R50 R50 C C O O h");
    check(&format!("xxxxx +30 {back} +300 xxxxx +29 +1"), "O H R10 R10 R25 R25 R50 R50 C C O O H");
}

#[test]
fn after_a_failed_return_it_is_cautious() {
    // Half open for a share of requests alone, and a step of the ramp ends with its first failure too many.
    check("xxxxx +30 x +60 ... x +119 +1", "O H O h R10 O O h");
    check("xxxxx +30 x +60 ... ..... x x", "O H O h R10 R10 R10 O");
}

#[test]
fn one_ticket_at_a_time() {
    check("xxxxx +30 ( ( ). ). ( ).", "O H B B H H B H");
    check("xxxxx +30 ( )r ( )x", "O H B H B O");
    // The second got in as the last resort: its failure says nothing.
    check("xxxxx +30 ( ( ). )x . .", "O H B B H H H R10");
}

#[test]
fn attempts_from_before_an_opening_do_not_disturb() {
    check("( ( ( xxxxx )x +30 )x ). . .", "C C C O O H H H H H");
    check("( xxxxx +30 ... )x .....", "C O H R10 R10 R10");
    check("( xxxxx )a +30", "C O O H");
    check("aaaaaaaaaa", "C");
    // One that began in the ramp and ends when closed counts as traffic.
    check("xxxxx +30 ... ( ..... +10 ..... +10 ..... +10 )x xxxx", "O H R10 R10 R10 R25 R25 R50 R50 C C O");
}

#[test]
fn doubted_by_its_neighbours_it_is_probed_and_one_success_is_enough() {
    check("doubt . xxxx", "H C C");
    check("doubt ( ( ).", "H B B C");
    check("doubt x +29 +1 .", "H O O H H");
    // What was in flight is evidence, of both kinds; what says nothing gives the ticket back.
    check("( doubt ).", "C H C");
    check("( doubt )x", "C H O");
    check("doubt r r a .", "H H H H C");
    // An open one stays open; one on the ramp is on probation again.
    check("xxxxx doubt +30 doubt .", "O O H H H");
    // One on the ramp was bad itself: one success is no proof.
    check("xxxxx +30 ... doubt . ..", "O H R10 H H R10");
    check("off doubt", "C C");
}

#[test]
fn hope_ends_a_cooldown_and_nothing_else() {
    check("xxxxx hope . . .", "O H H H R10");
    check("xxxxx hope x +59 +1", "O H O O h");
    check("hope xxxxx +30 ... hope", "C O H R10 R10");
    check("xxxxx +30 ( hope", "O H B B");
}

#[test]
fn a_restart_goes_on_where_it_stood() {
    check("xxxxx +10 new +19 +1 . . . new", "O O O O H H H R10 R10");
    check("xxxxx +30 x new +59 +1", "O H O O O h");
    check("xxxxx +30 ... ..... +10 new +10 ..... +10 .....", "O H R10 R10 R25 R25 R25 R50 R50 C");
    check("xxxx new xxxx x", "C C C O");
    check("doubt new .", "H H C");
    let mut breaker = Breaker::new(policy());
    let at = Timestamp::from_millis(1_795_348_200_000);
    let saved = SavedBreaker { standing: Standing::Open { until: at }, openings: 3 };
    breaker.restore(at + Duration::from_secs(601), at, &saved);
    assert_eq!(breaker.saved(at), None);
    breaker.restore(at + Duration::from_secs(600), at, &saved);
    assert_eq!(breaker.state(at + Duration::from_secs(600), 0), DeploymentState::HalfOpen);
}

#[test]
fn a_change_of_the_configuration_keeps_where_it_stands() {
    check("xxxxx cfg +30 cfg", "O O H H");
}

#[test]
fn off_is_off() {
    check("xxxxx off xxxxxxxxxxxxxxxxxxxxxxxxx", "O C C");
    check("off xxxxxxxx cfg xxxx x", "C C C C O");
}

/// Whether one step (the number of a kind of event below) may lead from one state to the other.
fn is_legal(from: State, to: State, what: u8) -> bool {
    use State::{Closed, HalfOpen, Open, Ramp};
    let (time, result, doubt, hope, reset) =
        (what == 0, (2..6).contains(&what), what == 6, what == 7, what == 8);
    match (from, to) {
        (Closed { .. }, Closed { .. }) => true,
        (Open { until }, Open { until: then }) => until == then,
        (HalfOpen { .. }, HalfOpen { .. }) => true,
        (Ramp { step, .. }, Ramp { step: then, .. }) => {
            then == step || (then == step + 1 && (time || result))
        }
        (Open { .. }, HalfOpen { doubted, .. }) => !doubted && (time || hope),
        (Closed { .. }, HalfOpen { doubted, .. }) => doubted && doubt,
        (Ramp { .. }, HalfOpen { doubted, .. }) => !doubted && doubt,
        (Closed { .. } | HalfOpen { .. } | Ramp { .. }, Open { .. }) => result,
        (HalfOpen { doubted, .. }, Ramp { step, .. }) => !doubted && step == 0 && result,
        (HalfOpen { doubted, .. }, Closed { .. }) => reset || (doubted && result),
        (Ramp { step, .. }, Closed { .. }) => reset || (step == 2 && (time || result)),
        (Open { .. }, Closed { .. }) => reset,
        (Closed { .. } | Open { .. }, Ramp { .. }) => false,
    }
}

proptest! {
    /// Whatever happens: only legal transitions, at most one ticket out, cooldowns within bounds, and it always comes
    /// back.
    #[test]
    fn it_always_comes_back(steps in prop::collection::vec((0u8..9, 0u64..40), 1..300)) {
        let mut breaker = Breaker::new(policy());
        let mut now = Timestamp::from_millis(1_795_348_200_000);
        let mut begun: Vec<Pass> = Vec::new();
        for (what, number) in steps {
            breaker.tick(now);
            let before = breaker.state;
            match what {
                0 => now = now + Duration::from_secs(number),
                1 => begun.push(breaker.enter(now)),
                6 => breaker.doubt(now),
                7 => breaker.hope(),
                8 if number == 0 => breaker.reset(now),
                8 => {}
                _ if begun.is_empty() => {}
                _ => {
                    let pass = begun.swap_remove(number as usize % begun.len());
                    breaker.leave(now, pass, effect(['.', 'x', 'r', 'a'][what as usize - 2]));
                }
            }
            breaker.tick(now);
            prop_assert!(is_legal(before, breaker.state, what), "{before:?} to {:?} by {what}", breaker.state);
            let current = breaker.generation;
            let tickets = begun.iter().filter(|p| p.counting == Counting::Ticket && p.generation == current);
            prop_assert!(tickets.count() <= 1);
            prop_assert!(breaker.returns_in(now) <= Duration::from_secs(600));
        }
        for pass in begun {
            breaker.leave(now, pass, HealthEffect::Success);
        }
        now = now + Duration::from_secs(600);
        for _ in 0..40 {
            let pass = breaker.enter(now);
            breaker.leave(now, pass, HealthEffect::Success);
            now = now + Duration::from_secs(1);
        }
        prop_assert_eq!(breaker.state(now, 99), DeploymentState::Closed);
    }
}
