//! The breaker of one deployment (DESIGN D7): closed, open, half open, ramp.
//!
//! Auth and OutOfCredit open it at once. "Until a probe succeeds" is the half-open ticket: after the cooldown one request
//! tries, and one success closes it, for it was the credentials that were sick, not the machine.

use std::time::Duration;

use super::window::{Counts, Window};
use crate::attempt::HealthEffect;
use crate::compiled::BreakerPolicy;
use crate::select::DeploymentState;
use crate::time::Timestamp;

/// Successes, one after the other, that lead from half open to the ramp.
const PROBES: u32 = 3;

/// Shares of requests on the way back, in percent. After the last comes all of them: closed.
const RAMP_PERCENT: [u8; 3] = [10, 25, 50];

/// Outcomes a step of the ramp is judged by, at least.
const STEP_OUTCOMES: u32 = 5;

/// Failures a step may have, in percent of its outcomes.
const STEP_FAILURES_PERCENT: u32 = 20;

/// After so long closed, the next cooldown is the first again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { since: Timestamp },
    Open { until: Timestamp, refused: bool },
    HalfOpen { successes: u32, ticket_out: bool, refused: bool },
    Ramp { step: usize, since: Timestamp, seen: Counts },
}

/// How an attempt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    /// In the window, or in the ramp's step.
    Traffic,
    /// It holds the half-open ticket.
    Ticket,
    /// Let in as the last resort: it says nothing.
    Not,
}

/// Leave to try, to be brought back with the result.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    generation: u32,
    counting: Counting,
}

/// The breaker's state, window and memory of past openings.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    window: Window,
    state: State,
    consecutive: u32,
    /// Goes up with each opening: results of attempts from before it are not for now.
    generation: u32,
    /// Openings since it was last closed for long.
    openings: u32,
}

impl Breaker {
    /// Closed, as if for long.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self {
            window: Window::new(policy.window),
            policy,
            state: State::Closed { since: Timestamp::ZERO },
            consecutive: 0,
            generation: 0,
            openings: 0,
        }
    }

    /// Another policy from now on. Where it stands is kept, except what the change may have cured: a breaker opened by
    /// refused credentials or money closes, and so does one that is switched off.
    pub fn reconfigure(&mut self, policy: &BreakerPolicy, now: Timestamp) {
        if policy.window != self.policy.window {
            self.window = Window::new(policy.window);
        }
        self.policy = policy.clone();
        let cured =
            matches!(self.state, State::Open { refused: true, .. } | State::HalfOpen { refused: true, .. });
        if cured || !policy.enabled {
            self.generation = self.generation.wrapping_add(1);
            self.close(now);
            self.openings = 0;
        }
        if let State::Open { until, .. } = &mut self.state {
            *until = (*until).min(now + policy.max_cooldown);
        }
    }

    /// Where it stands for a request with this draw (0..=99; inside the ramp's share when below it).
    pub fn state(&mut self, now: Timestamp, draw: u8) -> DeploymentState {
        self.tick(now);
        match self.state {
            State::Closed { .. } => DeploymentState::Closed,
            State::Open { .. } => DeploymentState::Open,
            State::HalfOpen { ticket_out: false, .. } => DeploymentState::HalfOpen,
            State::HalfOpen { ticket_out: true, .. } => DeploymentState::HalfOpenBusy,
            State::Ramp { step, .. } if draw < share(step) => DeploymentState::Ramp,
            State::Ramp { .. } => DeploymentState::RampHeld,
        }
    }

    /// Time until it lets somebody in again; zero when it does now, or when that hangs on a result.
    pub fn returns_in(&self, now: Timestamp) -> Duration {
        match self.state {
            State::Open { until, .. } => until.since(now),
            State::Ramp { since, .. } => (since + self.policy.ramp_step).since(now),
            State::Closed { .. } | State::HalfOpen { .. } => Duration::ZERO,
        }
    }

    /// Requests and failures in the window.
    pub fn counts(&mut self, now: Timestamp) -> Counts {
        self.window.counts(now)
    }

    /// Lets an attempt in, whatever the state: the caller has asked [`Breaker::state`]. Takes the ticket when there is one.
    pub fn enter(&mut self, now: Timestamp) -> Pass {
        self.tick(now);
        let counting = match &mut self.state {
            State::Closed { .. } | State::Ramp { .. } => Counting::Traffic,
            State::HalfOpen { ticket_out: free @ false, .. } => {
                *free = true;
                Counting::Ticket
            }
            State::HalfOpen { .. } | State::Open { .. } => Counting::Not,
        };
        Pass { generation: self.generation, counting }
    }

    /// An attempt's result. [`HealthEffect::None`] gives a ticket back and counts nowhere.
    pub fn leave(&mut self, now: Timestamp, pass: Pass, effect: HealthEffect) {
        self.tick(now);
        let stale = pass.generation != self.generation || pass.counting == Counting::Not;
        if stale || !self.policy.enabled {
            return;
        }
        let ticket = pass.counting == Counting::Ticket;
        match effect {
            HealthEffect::None if ticket => self.give_ticket_back(),
            HealthEffect::None => {}
            HealthEffect::Open => self.open(now, true),
            HealthEffect::Success => self.count(now, ticket, false),
            HealthEffect::Failure => self.count(now, ticket, true),
        }
    }

    fn give_ticket_back(&mut self) {
        if let State::HalfOpen { ticket_out, .. } = &mut self.state {
            *ticket_out = false;
        }
    }

    fn count(&mut self, now: Timestamp, ticket: bool, failed: bool) {
        self.consecutive = if failed { self.consecutive.saturating_add(1) } else { 0 };
        match &mut self.state {
            State::Closed { .. } => {
                self.window.record(now, failed);
                if self.is_too_sick(now) {
                    self.open(now, false);
                }
            }
            State::Ramp { seen, .. } => {
                seen.requests += 1;
                seen.failures += u32::from(failed);
                let judged = seen.requests >= STEP_OUTCOMES;
                if (judged && !is_good_step(*seen)) || self.consecutive >= self.policy.consecutive {
                    self.open(now, false);
                } else {
                    self.tick(now);
                }
            }
            State::HalfOpen { refused, .. } if ticket && failed => {
                let refused = *refused;
                self.open(now, refused);
            }
            State::HalfOpen { successes, ticket_out, refused } if ticket => {
                *ticket_out = false;
                *successes += 1;
                if *refused {
                    self.close(now);
                } else if *successes >= PROBES {
                    self.state = State::Ramp { step: 0, since: now, seen: Counts::default() };
                }
            }
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    fn is_too_sick(&mut self, now: Timestamp) -> bool {
        let Counts { requests, failures } = self.window.counts(now);
        let policy = &self.policy;
        let often = f64::from(failures) > policy.error_rate * f64::from(requests);
        let enough = requests >= policy.min_requests && failures >= policy.min_failures;
        (often && enough) || self.consecutive >= policy.consecutive
    }

    fn open(&mut self, now: Timestamp, refused: bool) {
        if let State::Closed { since } = self.state
            && now.since(since) >= FORGIVEN_AFTER
        {
            self.openings = 0;
        }
        let doubled = self.policy.cooldown.saturating_mul(1 << self.openings.min(20));
        self.state = State::Open { until: now + doubled.min(self.policy.max_cooldown), refused };
        self.openings = self.openings.saturating_add(1);
        self.generation = self.generation.wrapping_add(1);
        self.consecutive = 0;
        self.window.clear();
    }

    fn close(&mut self, now: Timestamp) {
        self.state = State::Closed { since: now };
        self.consecutive = 0;
        self.window.clear();
    }

    /// What time alone changes.
    fn tick(&mut self, now: Timestamp) {
        match self.state {
            State::Open { until, refused } if now >= until => {
                self.state = State::HalfOpen { successes: 0, ticket_out: false, refused };
            }
            State::Ramp { step, since, seen } => {
                let long_enough = now.since(since) >= self.policy.ramp_step;
                if !long_enough || seen.requests < STEP_OUTCOMES || !is_good_step(seen) {
                    return;
                }
                if step + 1 < RAMP_PERCENT.len() {
                    self.state = State::Ramp { step: step + 1, since: now, seen: Counts::default() };
                } else {
                    self.close(now);
                }
            }
            _ => {}
        }
    }
}

fn share(step: usize) -> u8 {
    RAMP_PERCENT.get(step).copied().unwrap_or(100)
}

fn is_good_step(seen: Counts) -> bool {
    seen.failures * 100 <= seen.requests * STEP_FAILURES_PERCENT
}

#[cfg(test)]
pub(super) mod tests {
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
            DeploymentState::RampHeld => "R10",
            DeploymentState::Suspect => "?",
        }
    }

    /// Script words: `.` success, `x` failure, `r` no verdict, `a` refused (a word may hold many); `+N` N seconds pass;
    /// `(` an attempt begins, `).` the oldest begun ends so; `cfg` the configuration changes; `off` the breaker is switched
    /// off. Expected: the state after each word, as a request with draw 30 sees it: C, O, H, B, R10, R25, R50.
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
        check("a", "O");
        check(".a +29 +1", "O O H");
    }

    #[test]
    fn comes_back_by_degrees() {
        check("xxxxx +29 +1 . . .", "O O H H H R10");
        check("xxxxx +30 ... ..... +9 +1", "O H R10 R10 R10 R25");
        check("xxxxx +30 ... +10 .... .", "O H R10 R10 R10 R25");
        check("xxxxx +30 ... ..... +10 ..... +10 ..... +10", "O H R10 R10 R25 R25 R50 R50 C");
        // A fifth of failures is allowed, more is not; the step's own outcomes count.
        check("xxxxx +30 ... x.... +10 xx... +60 +1", "O H R10 R10 R25 O H H");
        check("xxxxx +30 ... ....x.... x x", "O H R10 R10 R10 O");
        // After closing, the window is empty.
        check(
            "xxxxx +30 ... ..... +10 ..... +10 ..... +10 xxxx ....... x",
            "O H R10 R10 R25 R25 R50 R50 C C C C",
        );
    }

    #[test]
    fn cooldowns_double_and_are_forgiven() {
        check("xxxxx +30 x +59 +1 x +119 +1", "O H O O H O O H");
        check("xxxxx +30 x +60 x +120 x +240 x +480 x +599 +1 x +599 +1", "O H O H O H O H O H O O H O O H");
        let back = "... ..... +10 ..... +10 ..... +10";
        check(&format!("xxxxx +30 {back} +299 xxxxx +59 +1"), "O H R10 R10 R25 R25 R50 R50 C C O O H");
        check(&format!("xxxxx +30 {back} +300 xxxxx +29 +1"), "O H R10 R10 R25 R25 R50 R50 C C O O H");
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
        // One that began in the ramp and ends when closed counts as traffic.
        check(
            "xxxxx +30 ... ( ..... +10 ..... +10 ..... +10 )x xxxx",
            "O H R10 R10 R10 R25 R25 R50 R50 C C O",
        );
    }

    #[test]
    fn refused_credentials_return_by_one_probe_or_a_change() {
        check("a +30 . xxxx", "O H C C");
        check("a +30 a +59 +1 .", "O H O O H C");
        check("a +30 x +60 .", "O H O H C");
        check("a cfg", "O C");
        check("a +30 ( cfg )x", "O H B C C");
        check("xxxxx cfg +30 cfg", "O O H H");
        check("...a +30 .", "O H C");
    }

    #[test]
    fn off_is_off() {
        check("xxxxx off xxxxxxxxxxxxxxxxxxxxxxxxx a", "O C C C");
        check("off xxxxxxxx cfg xxxx x", "C C C C O");
    }

    proptest! {
        /// Whatever happens: at most one ticket out, cooldowns within bounds, and it always comes back.
        #[test]
        fn it_always_comes_back(steps in prop::collection::vec((0u8..6, 0u64..40), 1..300)) {
            let mut breaker = Breaker::new(policy());
            let mut now = Timestamp::from_millis(1_795_348_200_000);
            let mut begun: Vec<Pass> = Vec::new();
            for (what, number) in steps {
                match what {
                    0 => now = now + Duration::from_secs(number),
                    1 => begun.push(breaker.enter(now)),
                    _ if begun.is_empty() => {}
                    _ => {
                        let pass = begun.swap_remove(number as usize % begun.len());
                        breaker.leave(now, pass, effect(['.', 'x', 'r', 'a'][what as usize - 2]));
                    }
                }
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
}
