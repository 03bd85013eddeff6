//! A deployment's way back by a call of the router's own: when one is awaited, and the leave to make it.

use super::{DeploymentHealth, is_out};
use crate::failover::{NotAdmitted, Place};
use crate::health::{Ask, Permit};
use crate::select::DeploymentState;
use crate::time::Timestamp;

impl DeploymentHealth {
    /// Whether it is out, and one call would tell if it still has to be: its cooldown is over, nobody is trying, and no
    /// limit speaks against it.
    pub fn awaits_probe(&mut self, now: Timestamp) -> bool {
        // The draw 0 is inside every share.
        let breaker = self.breaker.state(now, 0);
        let stands = match self.credentials.lack(now) {
            Some((lack, _)) if !is_out(breaker) => lack,
            _ => breaker,
        };
        stands == DeploymentState::HalfOpen
            && self.control(now).is_none()
            && !self.limiter.is_full()
            && self.limiter.free_at(now, 1).max(self.credentials.free_at(now, 1)) <= now
    }

    /// Lets a probe in, with the ticket that it is about. Its answer is so short that its time says nothing about others.
    ///
    /// # Errors
    /// It is not awaited (any more), or has no place.
    pub fn admit_probe(&mut self, now: Timestamp, seed: u64, tokens: u64) -> Result<Permit, NotAdmitted> {
        if !self.awaits_probe(now) {
            return Err(NotAdmitted::Ticket);
        }
        // Not subject to the share of clients' requests that may try.
        let ask = Ask { seed, tokens, stream: false, last_resort: true, place: Place::Now };
        let mut permit = self.admit(now, &ask)?;
        permit.seat.timed = false;
        Ok(permit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, call, ending, failed, health};
    use crate::attempt::{FailureKind, Outcome};
    use crate::compiled::Limits;
    use crate::health::{Control, Removal};

    /// A deployment is put out by failures of a kind; then, at seconds after that, `?` asks whether a probe is awaited, `.`
    /// and `x` are probes that succeed and fail, `(` one that begins, `)` its success, `!` one that is refused. Expected:
    /// a letter for each: `y`, `n` awaited or not, `-` the probe had no place, and the breaker after a probe's end.
    fn check(kind: FailureKind, limits: Limits, script: &str, expected: &str) {
        let mut health = health(limits);
        for _ in 0..5 {
            call(&mut health, 0, 0, failed(kind));
        }
        let (mut now, mut under_way, mut said) = (at(0), None, String::new());
        for (n, word) in script.split_whitespace().enumerate() {
            if let Some(secs) = word.strip_prefix('+') {
                now = now + std::time::Duration::from_secs(secs.parse().unwrap());
                continue;
            }
            let outcome = match word {
                "?" => {
                    said.push(if health.awaits_probe(now) { 'y' } else { 'n' });
                    continue;
                }
                "x" => failed(FailureKind::Unavailable),
                "!" => failed(FailureKind::Auth),
                _ => Outcome::Success,
            };
            let begun = under_way.take().map_or_else(|| health.admit_probe(now, n as u64, 10), Ok);
            match begun {
                Err(_) => said.push('-'),
                Ok(permit) if word == "(" => under_way = Some(permit),
                Ok(permit) => {
                    health.end(now, permit, &ending(outcome));
                    said.push(health.snapshot(now).breaker.name().chars().next().unwrap());
                }
            }
        }
        assert_eq!(said, expected, "{kind:?} {script}");
        assert_eq!(health.view(now, 0).mean_total_ms, 0, "its time is no sample");
    }

    #[test]
    fn a_probe_is_awaited_after_the_cooldown_and_leads_back() {
        let free = Limits::default();
        check(FailureKind::Unavailable, free, "? . +29 ? +1 ? . ? . . ?", "n-nyryrrn");
        check(FailureKind::Unavailable, free, "+30 ( ? ) ? x ? +59 ? +1 ?", "nryonny");
        // Its second way back is for a share of the requests alone, whatever their seeds; a probe is not one of them.
        check(FailureKind::Unavailable, free, "+30 x +60 . . .", "orrr");
        // Refused credentials: one that is accepted is enough.
        check(FailureKind::Auth, free, "? +30 ? ! ? +60 ? . ?", "nyonycn");
        // A healthy one is never asked, nor one that has no room.
        check(FailureKind::BadRequest, free, "? .", "n-");
        let slow = Limits { rpm: Some(5), ..Limits::default() };
        check(FailureKind::Unavailable, slow, "+30 . . ? +12 ?", "rrny");
    }

    #[test]
    fn what_is_taken_out_by_hand_is_not_probed() {
        let mut health = health(Limits::default());
        for _ in 0..5 {
            call(&mut health, 0, 0, failed(FailureKind::Unavailable));
        }
        assert!(health.awaits_probe(at(30_000)));
        let control =
            Control { removal: Removal::Disable, reason: "it lies".into(), until: None, since: at(0) };
        health.set_control(Some(control));
        assert!(!health.awaits_probe(at(30_000)));
        assert!(health.admit_probe(at(30_000), 1, 1).is_err());
    }
}
