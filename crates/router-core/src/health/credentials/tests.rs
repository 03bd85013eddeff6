//! Refused, tried, put back; drawn by weight among those that may be used.

use proptest::prelude::*;

use super::super::breaker::tests::policy;
use super::*;

const START: Timestamp = Timestamp::from_millis(1_795_348_200_000);

/// Script words: `(` a call begins, `)V` the oldest begun ends (`.` accepted, `a` refused, `r` no verdict), a word of such
/// letters: calls one after the other; `kN` doubt and `oN` hope for credential N; `+N` N seconds pass; `cfg` the configuration changes. Expected after each word: `C` there is one, else O, H, B.
fn check(weights: &[u32], script: &str, expected: &str) {
    let mut all = Credentials::new(&policy());
    all.weigh(weights);
    let mut now = START;
    let (mut begun, mut states) = (std::collections::VecDeque::new(), Vec::new());
    let verdict = |letter: char| match letter {
        '.' => Verdict::Accepted,
        'a' => Verdict::Refused,
        _ => Verdict::Unknown,
    };
    for word in script.split_whitespace() {
        match word.split_at(1) {
            ("+", secs) => now = now + Duration::from_secs(secs.parse().unwrap()),
            ("(", _) => begun.push_back(all.draw(now, 1, 5)),
            (")", end) => {
                let made = begun.pop_front().unwrap();
                all.leave(now, made, verdict(end.chars().next().unwrap()));
            }
            ("k", at) => all.doubt(at.parse().unwrap()),
            ("o", at) => all.hope(at.parse().unwrap()),
            ("c", _) => all.reconfigure(&policy()),
            _ => {
                for letter in word.chars() {
                    let made = all.draw(now, 1, 5);
                    all.leave(now, made, verdict(letter));
                }
            }
        }
        states.push(match all.lack(now) {
            None => "C",
            Some((DeploymentState::Open, _)) => "O",
            Some((DeploymentState::HalfOpen, _)) => "H",
            Some(_) => "B",
        });
    }
    assert_eq!(states.join(" "), expected, "{script}");
}

#[test]
fn refused_credentials_return_by_one_probe_or_a_change() {
    check(&[1], "a +29 +1 .", "O O H C");
    check(&[], "a +30 a +59 +1 .", "O H O O H C");
    check(&[1], "a +30 r r .", "O H H H C");
    // Refused again as the last resort: the cooldown is no longer for it.
    check(&[1], "aaaaaa +29 +1 a +59 aaa +1", "O O H O O O H");
    check(&[1], "a cfg", "O C");
    check(&[1], "a +30 ( cfg )a", "O H B C C");
    check(&[1], "a +30 ( ( )r )r", "O H B B H H");
    // One that began before it was refused says nothing any more, neither way.
    check(&[1], "( ( a )a ). +30", "C C O O O H");
}

#[test]
fn the_deployment_is_out_when_all_are() {
    check(&[3, 1], "a a +29 +1 . .", "C O O H C C");
    check(&[3, 1], "a a +30 ( (", "C O H H B");
}

#[test]
fn doubt_and_hope_are_probed_by_ticket() {
    check(&[1], "k0 ( ( ).", "H B B C");
    check(&[1], "k0 a +29", "H O O");
    check(&[1], "a a a k0 o0 .", "O O O O H C");
    // Calls from before the doubt are evidence too.
    check(&[1], "( k0 ).", "C H C");
    check(&[1], "k7 o7", "C C");
}

#[test]
fn draws_follow_weights_among_those_that_may_be_used() {
    let mut all = Credentials::new(&policy());
    all.weigh(&[3, 1]);
    let count = |all: &mut Credentials, now| {
        let drawn: Vec<_> = (0..4_000).map(|seed| all.draw(now, 0, seed).at).collect();
        drawn.iter().filter(|at| **at == 0).count()
    };
    let first = count(&mut all, START);
    assert!((2_900..3_100).contains(&first), "{first}");
    let of = |all: &Credentials, at| Use { at, epoch: all.epoch, ..Use::NONE };
    all.learned(of(&all, 0)).unwrap().hold(START, Duration::from_secs(5));
    assert_eq!((count(&mut all, START), all.free_at(START, 1) <= START), (0, true));
    all.learned(of(&all, 1)).unwrap().hold(START, Duration::from_secs(3));
    assert_eq!(all.free_at(START, 1), START + Duration::from_secs(3));
    assert_eq!(all.held_until(), START + Duration::from_secs(3));
}

#[test]
fn what_was_begun_with_others_says_nothing_of_these() {
    let mut all = Credentials::new(&policy());
    let begun: Vec<Use> = (0..4).map(|seed| all.draw(START, 1, seed)).collect();
    all.weigh(&[1, 1]);
    let said = crate::limit::RateState {
        requests_left: Some(0),
        requests_reset_in: Some(Duration::from_secs(60)),
        ..Default::default()
    };
    for made in begun {
        all.learn(START, made, &said);
        assert!(!all.leave(START, made, Verdict::Refused));
    }
    assert_eq!((all.refused(START), all.free_at(START, 1) <= START), (0, true));
    // Nor do they give places back that are not theirs, when there is one again.
    let made = all.draw(START, 1, 1);
    all.weigh(&[1]);
    let now = all.draw(START, 1, 1);
    all.learn(START, now, &said);
    all.retract(START, made, 1);
    assert!(all.free_at(START, 1) > START);
}

proptest! {
    /// Whatever happens: one ticket per credential at most, cooldowns within bounds, and all come back in the end.
    #[test]
    fn they_always_come_back(steps in prop::collection::vec((0u8..7, 0u64..40), 1..300)) {
        let mut all = Credentials::new(&policy());
        all.weigh(&[1, 2, 3]);
        let mut now = START;
        let mut begun: Vec<Use> = Vec::new();
        for (what, number) in steps {
            match what {
                0 => now = now + Duration::from_secs(number),
                1 => begun.push(all.draw(now, 1, number)),
                2 => all.doubt(number as u16 % 3),
                3 => all.hope(number as u16 % 3),
                _ if begun.is_empty() => {}
                _ => {
                    let made = begun.swap_remove(number as usize % begun.len());
                    let verdicts = [Verdict::Accepted, Verdict::Refused, Verdict::Unknown];
                    all.leave(now, made, verdicts[what as usize - 4]);
                }
            }
            for at in 0..3u16 {
                let generation = all.list[usize::from(at)].generation;
                let tickets = begun.iter().filter(|u| u.at == at && u.ticket && u.generation == generation);
                prop_assert!(tickets.count() <= 1);
            }
            prop_assert!(all.lack(now).is_none_or(|(_, back)| back <= Duration::from_secs(600)));
        }
        for made in begun {
            all.leave(now, made, Verdict::Unknown);
        }
        now = now + Duration::from_secs(600);
        for seed in 0..200 {
            let made = all.draw(now, 1, seed);
            all.leave(now, made, Verdict::Accepted);
        }
        prop_assert_eq!(all.refused(now), 0);
    }
}
