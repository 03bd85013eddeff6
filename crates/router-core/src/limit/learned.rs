//! What a provider has said about its own limit on one credential: to come back later, or how much is left.
//!
//! *Come back later* (429 with a time) is an order: nothing is sent before. *So much is left until then* is a reason to go
//! elsewhere, no more: the limits behind those headers are buckets that refill all the while (OpenAI and Anthropic tell
//! when they will be full again), so who has nowhere else to go waits a second and asks the provider itself. Neither ever
//! raises a configured limit, which is kept beside it. Other replicas spend from the same bucket: every answer tells what
//! all of them have left, the answer to the newest call counts, and what was started since that call is taken off it.

use std::time::Duration;

use crate::time::Timestamp;

/// Longest time an upstream keeps other requests away; beyond it the deployment is asked again.
const HELD_MAX: Duration = Duration::from_secs(600);

/// So long a request that has nowhere else to go believes that nothing is left.
const SPENT_PATIENCE: Duration = Duration::from_secs(1);

/// A provider's answer on its own limits, as its headers have it. `None`: not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateState {
    /// Requests left.
    pub requests_left: Option<u64>,
    /// Time until all requests are there again.
    pub requests_reset_in: Option<Duration>,
    /// Tokens left.
    pub tokens_left: Option<u64>,
    /// Time until all tokens are there again.
    pub tokens_reset_in: Option<Duration>,
}

impl RateState {
    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the count of calls stood when one was started: what is told with its answer is as of then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    calls: u64,
    tokens: u64,
}

impl Mark {
    /// Before the first call.
    pub const START: Self = Self { calls: 0, tokens: 0 };
}

/// So much is left until then.
#[derive(Clone, Copy, Debug)]
struct Quota {
    left: u64,
    until: Timestamp,
    /// The call whose answer said so.
    as_of: u64,
}

impl Quota {
    fn spent(self, now: Timestamp, units: u64) -> Option<Timestamp> {
        (now < self.until && self.left < units).then_some(self.until)
    }
}

/// The limit of one credential at one deployment, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    requests: Option<Quota>,
    tokens: Option<Quota>,
    started: Mark,
    held_until: Timestamp,
}

impl Learned {
    /// A call of `tokens` is started.
    pub fn start(&mut self, tokens: u64) -> Mark {
        for (quota, units) in [(&mut self.requests, 1), (&mut self.tokens, tokens)] {
            if let Some(quota) = quota {
                quota.left = quota.left.saturating_sub(units);
            }
        }
        self.started.calls += 1;
        self.started.tokens = self.started.tokens.saturating_add(tokens);
        self.started
    }

    /// An admitted call is not sent after all: only the count of what is left hears of it.
    pub fn retract(&mut self, tokens: u64) {
        for (quota, units) in [(&mut self.requests, 1), (&mut self.tokens, tokens)] {
            if let Some(quota) = quota {
                quota.left = quota.left.saturating_add(units);
            }
        }
    }

    /// The answer to a call says what is left. Without a time nothing is learned: it is stale at once.
    pub fn learn(&mut self, now: Timestamp, mark: Mark, said: &RateState) {
        let since = (self.started.calls - mark.calls, self.started.tokens.saturating_sub(mark.tokens));
        let dimensions = [
            (&mut self.requests, said.requests_left, said.requests_reset_in, since.0),
            (&mut self.tokens, said.tokens_left, said.tokens_reset_in, since.1),
        ];
        for (quota, left, reset_in, started_since) in dimensions {
            let (Some(left), Some(reset_in)) = (left, reset_in) else { continue };
            let until = now + reset_in.min(HELD_MAX);
            let told = Quota { left: left.saturating_sub(started_since), until, as_of: mark.calls };
            *quota = Some(match *quota {
                // An answer overtaken by that to a later call can only take away.
                Some(known) if now < known.until && mark.calls < known.as_of => {
                    Quota { left: known.left.min(told.left), ..known }
                }
                _ => told,
            });
        }
    }

    /// The provider itself said not to come back for so long. At most ten minutes are believed.
    pub fn hold(&mut self, now: Timestamp, retry_after: Duration) {
        self.hold_until(now + retry_after.min(HELD_MAX));
    }

    /// The same, with a moment.
    pub fn hold_until(&mut self, until: Timestamp) {
        self.held_until = self.held_until.max(until);
    }

    /// Until when the provider ordered to stay away; in the past when it does not.
    pub const fn held_until(&self) -> Timestamp {
        self.held_until
    }

    /// When another call of `tokens` makes sense, as long as there is somewhere else to go; in the past: now.
    pub fn free_at(&self, now: Timestamp, tokens: u64) -> Timestamp {
        self.spent_until(now, tokens).max(self.held_until)
    }

    /// When a request that has nowhere else to go may be sent.
    pub fn bookable_at(&self, now: Timestamp, tokens: u64) -> Timestamp {
        self.spent_until(now, tokens).min(now + SPENT_PATIENCE).max(self.held_until)
    }

    /// Forgets what was said, not what was started.
    pub fn clear(&mut self) {
        *self = Self { started: self.started, ..Self::default() };
    }

    fn spent_until(&self, now: Timestamp, tokens: u64) -> Timestamp {
        let spent = |quota: Option<Quota>, units| quota.and_then(|q| q.spent(now, units)).unwrap_or_default();
        spent(self.requests, 1).max(spent(self.tokens, tokens))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_795_348_200_000);

    /// Script words: `+MS` advance; `sN` a call of N tokens starts; `aK:R/MS` the K-th call's answer says R requests left,
    /// all back in MS; `tK:T/MS` the same of tokens; `hMS` hold. After each word that starts with a capital,
    /// `F` (free) or `B` (bookable) for ten tokens: milliseconds from the start, `now` when at once.
    fn check(script: &str, expected: &str) {
        let (mut learned, mut now, mut marks) = (Learned::default(), START, Vec::new());
        let mut said = Vec::new();
        for word in script.split_whitespace() {
            let (op, rest) = word.split_at(1);
            let number = |text: &str| text.parse::<u64>().unwrap();
            match op {
                "+" => now = now + Duration::from_millis(number(rest)),
                "s" => marks.push(learned.start(number(rest))),
                "h" => learned.hold(now, Duration::from_millis(number(rest))),
                "a" | "t" => {
                    let (call, told) = rest.split_once(':').unwrap();
                    let (left, ms) = told.split_once('/').unwrap();
                    let (left, reset) = (Some(number(left)), Some(Duration::from_millis(number(ms))));
                    let mut state = RateState::default();
                    if op == "a" {
                        (state.requests_left, state.requests_reset_in) = (left, reset);
                    } else {
                        (state.tokens_left, state.tokens_reset_in) = (left, reset);
                    }
                    learned.learn(now, marks[number(call) as usize - 1], &state);
                }
                _ => {
                    let at = if op == "F" { learned.free_at(now, 10) } else { learned.bookable_at(now, 10) };
                    let ms = at.since(START).as_millis();
                    said.push(if at > now { ms.to_string() } else { "now".to_owned() });
                }
            }
        }
        assert_eq!(said.join(" "), expected, "{script}");
    }

    #[test]
    fn what_is_left_is_not_overspent_and_ends() {
        check("F B s1 F", "now now now");
        check("s1 a1:0/5000 F B +5000 F", "5000 1000 now");
        check("s1 a1:2/5000 F s1 F s1 F", "now now 5000");
        // Two were started after the call whose answer says so.
        check("s1 s1 s1 a1:2/5000 F", "5000");
        check("s1 s1 s1 a1:3/5000 F", "now");
        // Tokens: what is left must cover the call.
        check("s10 t1:25/5000 F s10 F s10 F", "now now 5000");
        // A later call's answer counts; an overtaken one only takes away.
        check("s1 s1 a1:0/5000 F a2:7/5000 F a1:1/5000 F", "5000 now 5000");
        check("s1 s1 a2:0/5000 a1:9/9000 F +5000 a1:9/9000 F", "5000 now");
    }

    #[test]
    fn an_order_to_stay_away_is_kept_to_ten_minutes() {
        check("h500 F B +500 F B", "500 500 now now");
        check("h999999999 F B", "600000 600000");
        check("h5000 h500 F", "5000");
        check("s1 a1:0/60000 B +1500 B", "1000 2500");
    }

    proptest! {
        /// Never more than the newest answer says is left, whatever is started and whenever answers come.
        #[test]
        fn not_more_than_was_left(left in 0u64..20, ahead in 0usize..10, tries in 0usize..40) {
            let mut learned = Learned::default();
            let mark = learned.start(1);
            for _ in 0..ahead {
                learned.start(1);
            }
            let reset = Some(Duration::from_secs(60));
            let said = RateState { requests_left: Some(left), requests_reset_in: reset, ..RateState::default() };
            learned.learn(START, mark, &said);
            let mut started = 0;
            for _ in 0..tries {
                if learned.free_at(START, 1) <= START {
                    learned.start(1);
                    started += 1;
                }
            }
            prop_assert_eq!(started, tries.min((left as usize).saturating_sub(ahead)));
            prop_assert!(learned.free_at(START + Duration::from_secs(60), 1) <= START + Duration::from_secs(60));
        }
    }
}
