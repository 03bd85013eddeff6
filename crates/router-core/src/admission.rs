//! Who is let in when the server itself is nearly full: places for requests and bytes for their bodies, shared among
//! client keys so that no key crowds the others out. Nothing waits here: there is a place, or there is none.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A key may hold so many times what is still free. So one key alone gets four fifths of everything and n greedy ones
/// 4 / (1 + 4n) each, nearly an equal share, whatever n is; and something is always left for one who comes new.
/// The rule of Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (IEEE/ACM
/// Transactions on Networking 6(2), 1998), with their alpha.
const HELD_PER_FREE: u64 = 4;

/// While a key of higher priority has requests in flight, those of lower priority see so much of everything, in percent.
const LOWER_SEES_PERCENT: u64 = 80;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The key, as whoever calls numbers them.
    pub key: u64,
    /// The key's priority: higher before lower.
    pub priority: i8,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// All requests that fit are in flight.
    Places,
    /// Bodies fill the memory they may.
    Memory,
    /// The key holds its share of a server that is nearly full.
    Share,
    /// What is left is for keys of higher priority that are at work.
    Priority,
}

/// Something there is so much of.
#[derive(Clone, Copy, Debug)]
struct Pool {
    most: u64,
    used: u64,
}

impl Pool {
    /// Whether one who holds `held` may have `units` more.
    fn admits(self, held: u64, units: u64, outranked: bool, full: Crowded) -> Result<(), Crowded> {
        let free = self.most.saturating_sub(self.used);
        if units > free {
            return Err(full);
        }
        let visible = if outranked { self.most.saturating_mul(LOWER_SEES_PERCENT) / 100 } else { self.most };
        let free = visible.saturating_sub(self.used);
        if units > free {
            return Err(Crowded::Priority);
        }
        // Whoever holds nothing may always have the last place.
        if held > 0 && held.saturating_add(units) > HELD_PER_FREE.saturating_mul(free - units) {
            return Err(Crowded::Share);
        }
        Ok(())
    }
}

/// What one key holds.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    places: u64,
    bytes: u64,
    /// As it was when it began to hold something.
    priority: i8,
}

/// The server's places and the memory of bodies, and who holds how much of them.
#[derive(Clone, Debug)]
pub struct Admission {
    places: Pool,
    memory: Pool,
    /// Keys with something in flight.
    holders: BTreeMap<u64, Held>,
    /// How many of those have each priority.
    priorities: BTreeMap<i8, u32>,
}

impl Admission {
    /// All free: places for requests, and bytes of bodies.
    pub const fn new(places: u64, memory_bytes: u64) -> Self {
        Self {
            places: Pool { most: places, used: 0 },
            memory: Pool { most: memory_bytes, used: 0 },
            holders: BTreeMap::new(),
            priorities: BTreeMap::new(),
        }
    }

    /// Requests in flight.
    pub const fn in_flight(&self) -> u64 {
        self.places.used
    }

    /// Bytes of their bodies.
    pub const fn body_bytes(&self) -> u64 {
        self.memory.used
    }

    /// Takes a place and as many bytes as a body is known to have; both or none. `None`: whoever may ask without a key
    /// shares with nobody.
    ///
    /// # Errors
    /// Why not.
    pub fn enter(&mut self, who: Option<Claimant>, bytes: u64) -> Result<(), Crowded> {
        let (held, outranked) = self.standing(who);
        self.places.admits(held.places, 1, outranked, Crowded::Places)?;
        if bytes > 0 {
            self.memory.admits(held.bytes, bytes, outranked, Crowded::Memory)?;
        }
        self.places.used += 1;
        self.memory.used += bytes;
        let Some(who) = who else { return Ok(()) };
        match self.holders.entry(who.key) {
            Entry::Occupied(mut known) => {
                known.get_mut().places += 1;
                known.get_mut().bytes += bytes;
            }
            Entry::Vacant(new) => {
                new.insert(Held { places: 1, bytes, priority: who.priority });
                *self.priorities.entry(who.priority).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Takes more bytes for a body that turns out to be longer, for one who has a place.
    ///
    /// # Errors
    /// Why not; the place is kept.
    pub fn grow(&mut self, who: Option<Claimant>, bytes: u64) -> Result<(), Crowded> {
        let (held, outranked) = self.standing(who);
        self.memory.admits(held.bytes, bytes, outranked, Crowded::Memory)?;
        self.memory.used += bytes;
        if let Some(held) = who.and_then(|who| self.holders.get_mut(&who.key)) {
            held.bytes += bytes;
        }
        Ok(())
    }

    /// Gives a place and all its bytes back.
    pub fn leave(&mut self, who: Option<Claimant>, bytes: u64) {
        self.places.used = self.places.used.saturating_sub(1);
        self.memory.used = self.memory.used.saturating_sub(bytes);
        let Some(Entry::Occupied(mut entry)) = who.map(|who| self.holders.entry(who.key)) else { return };
        let held = entry.get_mut();
        held.places = held.places.saturating_sub(1);
        held.bytes = held.bytes.saturating_sub(bytes);
        if held.places > 0 {
            return;
        }
        let priority = entry.remove().priority;
        if let Entry::Occupied(mut same) = self.priorities.entry(priority) {
            *same.get_mut() -= 1;
            if *same.get() == 0 {
                same.remove();
            }
        }
    }

    /// What it holds, and whether somebody of higher priority is at work.
    fn standing(&self, who: Option<Claimant>) -> (Held, bool) {
        let Some(who) = who else { return (Held::default(), false) };
        let held = self.holders.get(&who.key).copied().unwrap_or_default();
        let highest = self.priorities.last_key_value().map(|(priority, _)| *priority);
        (held, highest.is_some_and(|highest| highest > who.priority))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEMORY: u64 = 1_000_000;

    /// Keys are letters; those from `n` on have priority 1, the others 0, `z` -1; `-` asks without a key.
    fn claimant(key: char) -> Option<Claimant> {
        let priority = match key {
            'z' => -1,
            'n'..'z' => 1,
            _ => 0,
        };
        (key != '-').then_some(Claimant { key: u64::from(key), priority })
    }

    /// Script words: `aN` key a asks N times for a place, `-aN` it leaves N times. Expected: for each asking, how many
    /// were let in, and why the first other one was not.
    fn check(places: u64, script: &str, expected: &str) {
        let mut admission = Admission::new(places, MEMORY);
        let mut said = Vec::new();
        for word in script.split_whitespace() {
            let (leaves, word) = word.strip_prefix('<').map_or((false, word), |word| (true, word));
            let (key, count) = word.split_at(1);
            let (who, count) = (claimant(key.chars().next().unwrap()), count.parse::<u64>().unwrap());
            if leaves {
                (0..count).for_each(|_| admission.leave(who, 0));
                continue;
            }
            let answers: Vec<_> = (0..count).map(|_| admission.enter(who, 0)).collect();
            let good = answers.iter().filter(|answer| answer.is_ok()).count();
            said.push(match answers.iter().find_map(|answer| answer.err()) {
                Some(why) => format!("{good}:{why:?}"),
                None => good.to_string(),
            });
        }
        assert_eq!(said.join(" "), expected, "{places}: {script}");
    }

    #[test]
    fn places_are_shared() {
        // Without keys there is nobody to share with.
        check(10, "-11", "10:Places");
        check(1, "a2 b1", "1:Places 0:Places");
        check(2, "a2 b1 c1", "1:Share 1 0:Places");
        // One key alone: four fifths; the rest is for whoever comes.
        check(1000, "a1000", "800:Share");
        check(1000, "a1000 b1000 c1000", "800:Share 160:Share 32:Share");
        check(100, "a100 b5 c3 d1", "80:Share 5 3 1");
        // What one gives back another may have.
        check(100, "a100 <a40 b100 a100", "80:Share 48:Share 1:Share");
        // Lower priority is refused first, and only while a higher one is at work.
        check(100, "a70 n1 a20 n20", "70 1 0:Share 20");
        check(100, "a40 b40 n1 c1 n10 <n11 c1", "40 40 1 0:Priority 10 1");
        check(100, "z30 a1 z60", "30 1 33:Share");
    }

    #[test]
    fn memory_is_shared_too_and_given_back_whole() {
        let (a, b) = (claimant('a'), claimant('b'));
        let mut admission = Admission::new(1_000, MEMORY);
        assert_eq!(admission.enter(a, MEMORY + 1), Err(Crowded::Memory));
        assert_eq!(admission.in_flight(), 0, "both or none");
        assert_eq!(admission.enter(a, 500_000), Ok(()));
        assert_eq!(admission.enter(a, 400_000), Err(Crowded::Share));
        assert_eq!(admission.grow(a, 300_000), Ok(()));
        assert_eq!(admission.grow(a, 1), Err(Crowded::Share));
        assert_eq!(admission.enter(b, 200_000), Ok(()), "the first body of a key has all that is left");
        assert_eq!(admission.enter(b, 1), Err(Crowded::Memory));
        assert_eq!(admission.enter(b, 0), Ok(()), "without a body no memory is asked for");
        admission.leave(a, 800_000);
        admission.leave(b, 200_000);
        admission.leave(b, 0);
        assert_eq!((admission.in_flight(), admission.body_bytes()), (0, 0));
        assert!(admission.holders.is_empty() && admission.priorities.is_empty());
    }

    #[test]
    fn greedy_keys_come_to_equal_shares() {
        let mut admission = Admission::new(1_000, MEMORY);
        let keys = ['a', 'b', 'c', 'd'].map(claimant);
        while admission.enter(keys[0], 0).is_ok() {}
        // Every request ends at some time, the longest holder's first here; all keys ask for every place.
        for _ in 0..4_000 {
            let held =
                |who: &Option<Claimant>| admission.holders.get(&who.unwrap().key).map_or(0, |h| h.places);
            let longest = keys.into_iter().max_by_key(held).unwrap();
            admission.leave(longest, 0);
            for who in keys {
                let _ = admission.enter(who, 0);
            }
        }
        for who in keys {
            let held = admission.holders[&who.unwrap().key].places;
            // 4 / (1 + 4 x 4) of a thousand.
            assert!((200..=240).contains(&held), "{held}");
        }
    }

    proptest! {
        /// One key asks ten thousand times, ten others now and then: those are never refused, and no more than there is
        /// is ever given.
        #[test]
        fn a_greedy_key_crowds_nobody_out(steps in prop::collection::vec((0u64..12, any::<bool>(), 1u64..2_000), 1..400)) {
            const PLACES: u64 = 1_000;
            let mut admission = Admission::new(PLACES, 100 << 20);
            let mut held: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            let mut greedy_asks = 0;
            for (key, leaves, bytes) in steps {
                let who = Some(Claimant { key, priority: 0 });
                let own = held.entry(key).or_default();
                if key == 0 {
                    for _ in 0..200 {
                        greedy_asks += 1;
                        if greedy_asks <= 10_000 && admission.enter(who, bytes).is_ok() {
                            own.push(bytes);
                        }
                    }
                } else if !leaves && own.len() < 10 {
                    prop_assert_eq!(admission.enter(who, bytes), Ok(()), "key {} with {}", key, own.len());
                    own.push(bytes);
                }
                if leaves && let Some(bytes) = own.pop() {
                    admission.leave(who, bytes);
                }
                prop_assert!(admission.in_flight() <= PLACES);
                prop_assert_eq!(admission.in_flight(), held.values().map(|h| h.len() as u64).sum::<u64>());
                prop_assert_eq!(admission.body_bytes(), held.values().flatten().sum::<u64>());
            }
        }
    }
}
