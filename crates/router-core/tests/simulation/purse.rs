//! The money of a world: budgets, what hedging may cost, and every cost booked once.

use router_core::budget::{Budget, Hold, hold_all, settle_all};
use router_core::failover::HedgeCredit;
use router_core::money::Usd;
use router_core::time::Timestamp;

/// All the money there is.
#[derive(Debug)]
pub(crate) struct Purse {
    budgets: Vec<Budget>,
    pub(crate) hedges: HedgeCredit,
    share_ppm: i64,
    /// Earned for hedges, and spent on them.
    earned: Usd,
    extra: Usd,
    /// Attempts sent and not booked yet.
    open: usize,
    pub(crate) booked: usize,
    sum: Usd,
}

impl Purse {
    /// These limits, and hedging for this share. The first budget counts everything and has none.
    pub(crate) fn new(limits: &[i64], share_ppm: Option<u32>) -> Self {
        let limits = limits.iter().map(|nano| Budget::new(Some(Usd::from_nano(*nano))));
        Self {
            budgets: [Budget::new(None)].into_iter().chain(limits).collect(),
            hedges: HedgeCredit::new(share_ppm.unwrap_or_default()),
            share_ppm: share_ppm.unwrap_or_default().into(),
            earned: Usd::ZERO,
            extra: Usd::ZERO,
            open: 0,
            booked: 0,
            sum: Usd::ZERO,
        }
    }

    fn of(&mut self, wanted: &[usize]) -> Vec<&mut Budget> {
        let counted = self.budgets.iter_mut().enumerate().filter(|(at, _)| wanted.contains(at));
        counted.map(|(_, budget)| budget).collect()
    }

    pub(crate) fn hold(&mut self, budgets: &[usize], ceiling: Usd) -> Option<Hold> {
        hold_all(&mut self.of(budgets), ceiling).ok()
    }

    /// Of an attempt that was not sent.
    pub(crate) fn release(&mut self, budgets: &[usize], hold: Hold) {
        settle_all(&mut self.of(budgets), hold, Usd::ZERO);
    }

    pub(crate) fn sent(&mut self) {
        self.open += 1;
    }

    /// Of an attempt that was sent.
    pub(crate) fn book(&mut self, budgets: &[usize], hold: Hold, cost: Usd) {
        assert_eq!(settle_all(&mut self.of(budgets), hold, cost), Usd::ZERO, "within its ceiling");
        self.open -= 1;
        self.booked += 1;
        self.sum += cost;
    }

    /// A request is over: what it cost, and how much of that for a race.
    pub(crate) fn close(&mut self, now: Timestamp, cost: Usd, extra: Usd) {
        self.hedges.earn(now, cost - extra);
        self.earned += cost - extra;
        self.extra += extra;
        assert!(
            self.extra.nano() * 1_000_000 <= self.earned.nano() * self.share_ppm,
            "hedges cost {} of {}",
            self.extra,
            self.earned
        );
    }

    /// What holds at every instant.
    pub(crate) fn assert_kept(&self) {
        for budget in &self.budgets {
            let within = budget.limit().is_none_or(|limit| budget.settled() + budget.held() <= limit);
            assert!(within && budget.overrun() == Usd::ZERO, "budget kept: {budget:?}");
        }
    }

    /// What holds at the end.
    pub(crate) fn assert_settled(&self, sent: usize) {
        assert_eq!((self.open, self.booked), (0, sent), "every call is booked once");
        let all = &self.budgets[0];
        assert_eq!((all.settled(), all.held()), (self.sum, Usd::ZERO), "and at its cost");
        assert!(self.budgets.iter().all(|budget| budget.held() == Usd::ZERO), "nothing stays held");
    }
}
