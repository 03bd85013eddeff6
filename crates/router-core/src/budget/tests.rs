//! Tests of the budget arithmetic: one process, and several that share a limit.

use proptest::prelude::*;

use super::*;

fn usd(nano: i64) -> Usd {
    Usd::from_nano(nano)
}

#[test]
fn all_or_none() {
    let (mut wide, mut narrow) = (Budget::new(Some(usd(100))), Budget::new(Some(usd(10))));
    let refused = hold_all(&mut [&mut wide, &mut narrow], usd(11)).unwrap_err();
    assert_eq!(refused, NotCovered { wanted: usd(11), left: usd(10), budget: 1 });
    assert_eq!((wide.held(), narrow.held()), (Usd::ZERO, Usd::ZERO));
    let mut hold = hold_all(&mut [&mut wide, &mut narrow], usd(8)).unwrap();
    assert!(extend_all(&mut [&mut wide, &mut narrow], &mut hold, usd(3)).is_err());
    assert_eq!((hold.amount(), wide.held()), (usd(8), usd(8)));
    settle_all(&mut [&mut wide, &mut narrow], hold, usd(5));
    assert_eq!((wide.left(), narrow.left(), narrow.held()), (Some(usd(95)), Some(usd(5)), Usd::ZERO));
}

#[test]
fn an_overrun_is_booked_in_full_and_counted() {
    let mut budget = Budget::new(Some(usd(10)));
    let hold = budget.hold(usd(10)).unwrap();
    assert_eq!(budget.settle(hold, usd(13)), usd(3));
    assert_eq!((budget.settled(), budget.overrun(), budget.overruns()), (usd(13), usd(3), 1));
    assert_eq!(budget.left(), Some(Usd::ZERO));
    let nothing = budget.hold(Usd::ZERO).unwrap();
    budget.release(nothing);
    assert!(budget.hold(usd(1)).is_err());
}

#[test]
fn an_unlimited_budget_counts_and_a_restored_one_goes_on() {
    let mut unlimited = Budget::default();
    let hold = unlimited.hold(usd(i64::MAX / 2)).unwrap();
    assert_eq!(unlimited.settle(hold, usd(7)), Usd::ZERO);
    assert_eq!((unlimited.left(), unlimited.settled()), (None, usd(7)));
    let text = serde_json::to_string(&unlimited).unwrap();
    assert_eq!(serde_json::from_str::<Budget>(&text).unwrap(), unlimited);
    assert_eq!(Budget::restored(Some(usd(9)), usd(4)).left(), Some(usd(5)));
}

proptest! {
    /// Any interleaving of holds, extensions and settlements on three budgets.
    #[test]
    fn settled_and_held_stay_within_the_limit(
        limits in prop::array::uniform3(0i64..2_000),
        steps in prop::collection::vec((0usize..4, 0usize..8, -50i64..400), 1..200),
    ) {
        let mut budgets = limits.map(|limit| Budget::new(Some(usd(limit))));
        let mut holds: Vec<Hold> = Vec::new();
        let mut over = [0i64; 3];
        let mut spent = 0;
        for (what, which, amount) in steps {
            let mut all: Vec<&mut Budget> = budgets.iter_mut().collect();
            match what {
                0 => holds.extend(hold_all(&mut all, usd(amount)).ok()),
                1 => if let Some(hold) = holds.get_mut(which) {
                    let before = hold.amount();
                    let more = extend_all(&mut all, hold, usd(amount)).is_ok();
                    prop_assert_eq!(hold.amount() - before, usd(if more { amount.max(0) } else { 0 }));
                },
                _ if which < holds.len() => {
                    let hold = holds.swap_remove(which);
                    let ceiling = hold.amount().nano();
                    // One kind of settlement honours the ceiling, the other may not.
                    let actual = if what == 2 { amount.clamp(0, ceiling) } else { amount.max(0) };
                    spent += actual;
                    let excess = settle_all(&mut all, hold, usd(actual)).nano();
                    prop_assert_eq!(excess, (actual - ceiling).max(0));
                    over.iter_mut().for_each(|o| *o += excess);
                }
                _ => {}
            }
            for (budget, over) in budgets.iter().zip(over) {
                let used = budget.settled().nano() + budget.held().nano();
                prop_assert!(used <= budget.limit().unwrap().nano() + over);
                prop_assert_eq!(budget.overrun().nano(), over);
                prop_assert_eq!(budget.settled().nano(), spent);
                prop_assert_eq!(budget.held().nano(), holds.iter().map(|h| h.amount().nano()).sum::<i64>());
            }
        }
    }
}

/// Where several processes draw from, as the ledger keeps it: one row, updated whole or not at all.
#[derive(Debug)]
struct Shared {
    limit: Usd,
    allotted: Usd,
    settled: Usd,
}

impl Shared {
    fn draw(&mut self, least: Usd, most: Usd) -> Usd {
        let left = self.limit - self.allotted;
        let drawn = if left < least { Usd::ZERO } else { most.min(left).max(Usd::ZERO) };
        self.allotted += drawn;
        drawn
    }
}

/// A process: what it has drawn, and its attempts with what each is opened with.
#[derive(Debug, Default)]
struct Process {
    money: Budget,
    holds: Vec<Hold>,
}

impl Process {
    fn new() -> Self {
        Self { money: Budget::new(Some(Usd::ZERO)), holds: Vec::new() }
    }

    /// Killed: what it held is booked, what it had drawn and not spent goes back.
    fn die(&mut self, shared: &mut Shared) {
        let dead = std::mem::replace(self, Self::new());
        let lost: Usd = dead.holds.into_iter().map(|hold| hold.amount()).sum();
        shared.settled += lost;
        let drawn = dead.money.limit().unwrap();
        shared.allotted = shared.allotted - (drawn - dead.money.settled() - lost);
    }
}

proptest! {
    /// Three processes, each of which draws, holds, extends, settles, gives back, is killed, in any order.
    #[test]
    fn processes_that_share_a_limit_never_spend_more_together(
        limit in 1_i64..5_000,
        steps in prop::collection::vec((0_usize..3, 0_usize..7, 0_usize..6, 0_i64..600), 1..300),
    ) {
        let mut shared = Shared { limit: usd(limit), allotted: Usd::ZERO, settled: Usd::ZERO };
        let mut all = [Process::new(), Process::new(), Process::new()];
        let mut over = Usd::ZERO;
        for (who, what, which, amount) in steps {
            let process = &mut all[who];
            match what {
                0 => {
                    let left = shared.limit - shared.allotted;
                    let most = size::draw(left.max(Usd::ZERO), usd(amount), usd(amount / 2));
                    let drawn = shared.draw(usd(1), most);
                    process.money.draw(drawn);
                }
                1 => {
                    let back = process.money.give_back(usd(amount));
                    shared.allotted = shared.allotted - back;
                }
                2 => process.holds.extend(process.money.hold(usd(amount)).ok()),
                3 => if let Some(hold) = process.holds.get_mut(which) {
                    let _ = process.money.extend(hold, usd(amount));
                },
                4 | 5 if which < process.holds.len() => {
                    let hold = process.holds.swap_remove(which);
                    // One provider honours its limit, the other does not.
                    let cost = if what == 4 { usd(amount).min(hold.amount()) } else { usd(amount) };
                    shared.settled += cost;
                    over += process.money.settle(hold, cost);
                    let uncovered = process.money.uncovered();
                    shared.allotted += uncovered;
                    process.money.draw(uncovered);
                }
                6 if amount < 60 => process.die(&mut shared),
                _ => {}
            }
            let held: Usd = all.iter().map(|p| p.money.held()).sum();
            prop_assert!(shared.settled + held <= shared.limit + over, "{shared:?} {all:?}");
            let drawn: Usd = all.iter().map(|p| p.money.limit().unwrap() - p.money.settled()).sum();
            prop_assert!(all.iter().all(|p| p.money.uncovered() == Usd::ZERO));
            prop_assert_eq!(shared.allotted, shared.settled + drawn);
        }
    }

    /// Three processes ask in turn for attempts of one size until none of them can make one: next to nothing is left over.
    #[test]
    fn nearly_all_of_a_limit_can_be_spent(
        turns in prop::collection::vec(0_usize..3, 4_000..4_001), size in 1_i64..20, cost_percent in 1_i64..=100,
    ) {
        let limit = usd(10_000);
        let mut shared = Shared { limit, allotted: Usd::ZERO, settled: Usd::ZERO };
        let mut all = [Process::new(), Process::new(), Process::new()];
        let mut turns = turns.into_iter().cycle();
        let mut refused = 0;
        while refused < 64 {
            let process = &mut all[turns.next().unwrap()];
            if process.money.left() < Some(usd(size)) {
                let needed = usd(size) - process.money.left().unwrap();
                let most = size::draw(limit - shared.allotted, needed, usd(size * 4));
                let drawn = shared.draw(usd(1), most);
                process.money.draw(drawn);
            }
            match process.money.hold(usd(size)) {
                Ok(hold) => {
                    let cost = usd((size * cost_percent + 99) / 100);
                    shared.settled += cost;
                    process.money.settle(hold, cost);
                    refused = 0;
                }
                Err(_) => {
                    refused += 1;
                    let back = process.money.give_back(usd(size));
                    shared.allotted = shared.allotted - back;
                }
            }
        }
        prop_assert!(shared.settled <= limit);
        let left = limit - shared.settled;
        prop_assert!(left < usd(size * 3) && left <= usd(limit.nano() * 2 / 100).max(usd(size * 2)), "{left}");
    }
}
