//! Suspect: a deployment that takes requests and says nothing is passed over before its time limits run out (DESIGN D7).

use std::time::Duration;

use crate::time::Timestamp;

/// So many must wait too long.
const OLDEST: u32 = 5;

/// Shortest silence that means anything.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);

/// Silence beyond so many times the p95 of the first byte.
const PATIENCE_P95S: u32 = 4;

/// Attempts that can be watched at once. Later ones are not, until a place is free: they are not among the oldest.
const WATCHED: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    since: Timestamp,
    patience: Duration,
}

/// Attempts in flight that have not been answered.
///
/// Suspect when five of them have waited longer than max(2 s, 4 x p95) and nothing at all was answered for as long. It
/// stays so until something answers or nothing waits any more. Attempts without a p95 to measure them by are not watched:
/// nobody knows how long this deployment thinks.
#[derive(Clone, Debug)]
pub struct Silence {
    waiting: [Waiting; WATCHED],
    /// Bit n: `waiting[n]` is in use.
    used: u64,
    /// All that wait, watched or not.
    in_flight: u32,
    last_answer: Timestamp,
    suspect: bool,
}

impl Default for Silence {
    fn default() -> Self {
        Self {
            waiting: [Waiting::default(); WATCHED],
            used: 0,
            in_flight: 0,
            last_answer: Timestamp::ZERO,
            suspect: false,
        }
    }
}

/// A place among those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(Option<u8>);

impl Silence {
    /// An attempt begins to wait. `p95_millis`: of answers of its kind; 0: unknown.
    pub fn begin(&mut self, now: Timestamp, p95_millis: u32) -> Place {
        self.in_flight += 1;
        let free = self.used.trailing_ones();
        if p95_millis == 0 {
            return Place(None);
        }
        let Some(place) = self.waiting.get_mut(free as usize) else { return Place(None) };
        let p95 = Duration::from_millis(u64::from(p95_millis));
        *place = Waiting { since: now, patience: LEAST_PATIENCE.max(p95 * PATIENCE_P95S) };
        self.used |= 1 << free;
        Place(u8::try_from(free).ok())
    }

    /// It waits no more. `answered`: the deployment said something, be it an error.
    pub fn end(&mut self, now: Timestamp, place: Place, answered: bool) {
        if !answered {
            // Those that give up are evidence too: look before they are gone.
            self.is_suspect(now);
        }
        if let Place(Some(bit)) = place {
            self.used &= !(1u64 << (bit & 63));
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        if answered {
            self.last_answer = self.last_answer.max(now);
        }
        if answered || self.in_flight == 0 {
            self.suspect = false;
        }
    }

    /// Forgets the silence so far: what waits now must wait as long again.
    pub fn reset(&mut self, now: Timestamp) {
        (self.suspect, self.last_answer) = (false, self.last_answer.max(now));
    }

    /// Whether it has fallen silent.
    pub fn is_suspect(&mut self, now: Timestamp) -> bool {
        let heard_lately = now.since(self.last_answer) <= LEAST_PATIENCE;
        if !self.suspect && !heard_lately && self.used.count_ones() >= OLDEST {
            let silence = now.since(self.last_answer);
            let overdue = |w: &Waiting| now.since(w.since) > w.patience && silence > w.patience;
            let used = |bit: usize| self.used & (1 << bit) != 0;
            let late = self.waiting.iter().enumerate().filter(|(bit, w)| used(*bit) && overdue(w)).count();
            self.suspect = late >= OLDEST as usize;
        }
        self.suspect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Script: `b` an attempt begins, `a` the oldest is answered, `g` the oldest gives up, `+MS` advances. After each
    /// word: `S` suspect, `-` not.
    fn check(p95_millis: u32, script: &str, expected: &str) {
        let (mut silence, mut places) = (Silence::default(), std::collections::VecDeque::new());
        let mut now = Timestamp::from_millis(1_000_000);
        let mut states = String::new();
        for word in script.split_whitespace() {
            if let Some(ms) = word.strip_prefix('+') {
                now = now + Duration::from_millis(ms.parse().unwrap());
            } else {
                for letter in word.chars() {
                    match letter {
                        'b' => places.push_back(silence.begin(now, p95_millis)),
                        _ => silence.end(now, places.pop_front().unwrap(), letter == 'a'),
                    }
                }
            }
            states.push(if silence.is_suspect(now) { 'S' } else { '-' });
        }
        assert_eq!(states, expected, "{script}");
    }

    #[test]
    fn scripts() {
        check(100, "bbbbb +2000 +1", "--S");
        check(100, "bbbb +9000", "--");
        check(1_000, "bbbbb +3999 +2", "--S");
        // An answer from any of them ends it, and nothing is said for another while.
        check(100, "bbbbbb +2001 a +2000 +1", "-S--S");
        // Something answered meanwhile.
        check(100, "bbbbbb +1500 a +1000 +1001", "----S");
        // Sticky while fewer than five wait; over when none does.
        check(100, "bbbbb +2001 ggg +60000 gg +1 bbbbb", "-SSS---");
        // Giving up all at once is noticed.
        check(100, "bbbbbb +30000 ggggg", "-SS");
        check(0, "bbbbb +60000", "--");
        check(100, "b +2001 bbbb +1999 +2", "----S");
    }

    #[test]
    fn more_than_can_be_watched_is_no_harm() {
        let many = "b".repeat(200);
        check(100, &format!("{many} +3000 a +2001"), "-S-S");
        check(100, &format!("{many} {} +3000 bbbbb +2001", "a".repeat(200)), "----S");
    }
}
