//! Strategies that look at the board, and sessions that keep together: orders, shares, and that the propensity recorded is
//! the probability of coming first.

use std::collections::BTreeMap;

use super::super::testing::{compiled, input_on};
use super::{check, firsts};
use crate::select::decide;

/// The probability of coming first as recorded, by id, in percent.
fn odds(script: &str, words: &str) -> BTreeMap<String, u32> {
    let compiled = compiled(script);
    let decision = decide(&compiled, &input_on(words, Some(&compiled)));
    let some = decision.verdicts.iter().filter(|verdict| verdict.propensity > 0.0);
    some.map(|v| (compiled.deployment(v.deployment).id.to_string(), (v.propensity * 100.0).round() as u32))
        .collect()
}

/// What is recorded is what happens, within two percent over 4,000 requests.
fn as_recorded(script: &str, words: &str) -> BTreeMap<String, u32> {
    let (odds, shares) = (odds(script, words), firsts(script, words));
    for id in odds.keys().chain(shares.keys()) {
        let (said, seen) = (odds.get(id).copied().unwrap_or(0), shares.get(id).copied().unwrap_or(0));
        assert!(said.abs_diff(seen) <= 2, "{id}: {said} % said, {seen} % seen, {words}");
    }
    odds
}

#[test]
fn the_least_busy_for_its_weight_comes_first() {
    check(
        "a/x in=3\n b/y in=2\n c/z in=1 weight=2\n d/u in=1 weight=0
         model m a/x b/y c/z d/u strategy=least_busy",
        &[
            ("model=m a/x:flying=2 b/y:flying=1 c/z:flying=4", "b/y c/z a/x d/u"),
            ("model=m a/x:flying=2 b/y:flying=1 c/z:flying=1", "c/z b/y a/x d/u"),
            ("model=m a/x:flying=1 b/y:flying=1 c/z:flying=2", "c/z b/y a/x d/u"),
            ("model=m b/y:flying=9 c/z:open", "a/x b/y d/u | c/z; c/z breaker_open (open)"),
        ],
    );
    let alike = "a/x\n b/y\n c/z\n model m a/x b/y c/z strategy=least_busy";
    assert_eq!(as_recorded(alike, "model=m").into_values().collect::<Vec<_>>(), [33, 33, 33]);
    assert_eq!(as_recorded(alike, "model=m b/y:flying=1").into_values().collect::<Vec<_>>(), [50, 50]);
}

#[test]
fn of_two_drawn_the_one_with_the_shorter_expected_time_comes_first() {
    let four = "a/x\n b/y\n c/z\n d/u\n model m a/x b/y c/z d/u strategy=lowest_latency";
    let check = |words: &str, expected: &[(&str, u32)]| {
        let seen = as_recorded(four, words);
        let seen: Vec<_> = seen.iter().map(|(id, percent)| (id.as_str(), *percent)).collect();
        assert_eq!(seen, expected, "{words}");
    };
    let board = "a/x:mean=100,first=9 b/y:mean=200,first=8 c/z:mean=300,first=7 d/u:mean=400,first=6";
    check(&format!("model=m {board}"), &[("a/x", 50), ("b/y", 33), ("c/z", 17)]);
    check(&format!("model=m stream {board}"), &[("b/y", 17), ("c/z", 33), ("d/u", 50)]);
    // What is in flight counts: 4 x 100 against 200.
    check(
        "model=m a/x:mean=100,flying=3 b/y:mean=200 c/z:mean=300 d/u:mean=900",
        &[("a/x", 17), ("b/y", 50), ("c/z", 33)],
    );
    // One without a sample is tried as if it were the fastest, until something is in flight there.
    check(
        "model=m a/x:mean=100 b/y:mean=200 c/z:mean=300 d/u:flying=9",
        &[("a/x", 50), ("b/y", 33), ("c/z", 17)],
    );
    check("model=m a/x:open b/y:open c/z:open", &[("d/u", 100)]);
    check("model=m a/x:mean=2 b/y:mean=1 c/z:open d/u:open", &[("b/y", 100)]);
}

#[test]
fn what_the_request_sorts_by_is_kept_to_strictly() {
    check(
        "a/x in=3\n b/y in=2\n c/z in=2.01\n model m a/x b/y c/z strategy=weighted\n set near=1000000",
        &[
            ("model=m sort=price", "b/y c/z a/x"),
            ("model=m sort=throughput a/x:mean=5 b/y:mean=9", "a/x b/y c/z"),
            ("model=m stream sort=latency a/x:mean=5,first=4 c/z:mean=9,first=3", "c/z a/x b/y"),
            ("model=m sort=latency order=b a/x:mean=5", "b/y a/x c/z"),
        ],
    );
}

/// The first choice of each of so many sessions.
fn homes(script: &str, words: &str, sessions: u32) -> Vec<String> {
    let compiled = compiled(script);
    let home = |session: u32| {
        // Another seed each time: a session's home comes from nothing but the session.
        let input =
            input_on(&format!("{words} session=s-{session} seed={session} turn={session}"), Some(&compiled));
        let decision = decide(&compiled, &input);
        let first = decision.plan.ranked[0];
        assert_eq!(decision.verdict(first).unwrap().propensity, 1.0, "a session's choice is no draw");
        compiled.deployment(first).id.to_string()
    };
    (0..sessions).map(home).collect()
}

fn share(homes: &[String], id: &str) -> usize {
    homes.iter().filter(|home| *home == id).count()
}

#[test]
fn a_session_keeps_to_one_of_the_near_equals_and_never_pays_for_it() {
    let near = "a/x in=100 out=0\n b/y in=100.5 out=0\n c/z in=101 out=0\n d/u in=150 out=0
        model m a/x b/y c/z d/u\n model not a/x b/y c/z d/u sticky=false\n set near=10000";
    let all = homes(near, "model=m", 3_000);
    assert_eq!(all, homes(near, "model=m seed=99", 3_000), "the same in every replica");
    for id in ["a/x", "b/y", "c/z"] {
        assert!((900..1_100).contains(&share(&all, id)), "{id}: {}", share(&all, id));
    }
    assert_eq!(share(&all, "d/u"), 0);
    let without = as_recorded(near, "model=not session=s");
    assert_eq!(
        without.into_values().collect::<Vec<_>>(),
        [33, 33, 33],
        "`sticky: false`: drawn by each request"
    );
}

#[test]
fn a_deployment_that_is_out_moves_its_own_sessions_only_and_they_return() {
    for strategy in ["cheapest", "weighted", "round_robin", "least_busy", "lowest_latency"] {
        let script = format!(
            "a/x in=1 weight=1\n b/y in=2 weight=2\n c/z in=3 weight=3\n model m a/x b/y c/z sticky=true strategy={strategy}"
        );
        let before = homes(&script, "model=m", 1_200);
        for (id, expected) in [("a/x", 200), ("b/y", 400), ("c/z", 600)] {
            assert!(share(&before, id).abs_diff(expected) < 60, "{strategy} {id}: {}", share(&before, id));
        }
        let during = homes(&script, "model=m b/y:open", 1_200);
        for (before, during) in before.iter().zip(&during) {
            assert_eq!(before != during, before == "b/y", "{strategy}: {before} to {during}");
        }
        assert_eq!(homes(&script, "model=m a/x:flying=3,mean=9", 1_200), before, "{strategy}");
    }
}

#[test]
fn priority_stays_an_order_and_a_rule_may_say_otherwise() {
    check(
        "a/x in=2\n b/y in=1\n model m a/x b/y sticky=true strategy=priority\n model r a/x b/y sticky=true rules
         rule off when={} sticky=false quality=0",
        &[("model=m session=1", "a/x b/y"), ("model=m session=2", "a/x b/y"), ("model=r session=3", "b/y a/x")],
    );
}
