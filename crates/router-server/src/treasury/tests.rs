//! Tests of the treasury: with a ledger in memory and the treasurer's thread, and with a ledger that cannot be reached.

use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::FutureExt;
use router_core::budget::{Match, Period, WhenLow};
use router_core::time::Timestamp;
use router_ledger::{Spool, SpoolOptions, Writer};

use super::*;

/// A treasury with its thread, and what must outlive it.
struct Bench {
    treasury: Arc<Treasury>,
    treasurer: Treasurer,
    ledger: Arc<dyn Ledger>,
    _writer: Writer,
    _directory: tempfile::TempDir,
}

fn bench(ledger: Arc<dyn Ledger>, instance: &str) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(directory.path(), instance, SpoolOptions::default()).unwrap();
    let writer = Writer::start(&spool, Arc::clone(&ledger)).unwrap();
    let (treasury, told) = Treasury::new(Clock::new(), Arc::clone(&ledger), writer.watch());
    let treasurer = Treasurer::start(Arc::clone(&treasury), told, instance.to_owned()).unwrap();
    Bench { treasury, treasurer, ledger, _writer: writer, _directory: directory }
}

fn policy(name: &str, nano: i64) -> Arc<BudgetPolicy> {
    Arc::new(BudgetPolicy {
        name: name.into(),
        matches: Match::default(),
        limit: Usd::from_nano(nano),
        period: Period::Total,
        alert_at_ppm: Vec::new(),
        when_low: WhenLow::Clamp,
    })
}

fn usd(nano: i64) -> Usd {
    Usd::from_nano(nano)
}

impl Bench {
    fn accounts(&self, policies: &[Arc<BudgetPolicy>]) -> Accounts {
        policies.iter().map(|policy| self.treasury.account(policy)).collect()
    }

    async fn hold(&self, accounts: &Accounts, wanted: i64, least: i64) -> Result<Held, Short> {
        match self.treasury.take(accounts.clone(), Ask { wanted: usd(wanted), least: usd(least) }) {
            Taking::Held(held) => Ok(held),
            Taking::Wait(waiting) => waiting.await,
            Taking::Short(short) => Err(short),
        }
    }

    /// A client that leaves at once.
    fn ask_and_leave(&self, accounts: &Accounts) {
        let ask = Ask { wanted: usd(9_000_000), least: usd(2_000_000) };
        match self.treasury.take(accounts.clone(), ask) {
            Taking::Held(held) => assert_eq!(self.treasury.settle(held, Usd::ZERO), Usd::ZERO),
            Taking::Wait(waiting) => drop(waiting),
            Taking::Short(_) => {}
        }
    }

    /// Waits until the startup of the ledger is over, so that nothing is expected to come back from dead processes.
    async fn settled(&self) {
        while self.treasury.may_return() {
            tokio::task::yield_now().await;
        }
    }
}

async fn memory() -> Arc<dyn Ledger> {
    router_ledger::connect("sqlite::memory:").await.unwrap()
}

/// So many tasks hold, extend and settle on two budgets until there is no money; some leave the line.
async fn spend(bench: &Bench, accounts: &Accounts, tasks: usize) -> i64 {
    let (spent, held_now) = (AtomicI64::new(0), AtomicI64::new(0));
    let limit = 1_000_000_000;
    let task = |number: usize| {
        let (spent, held_now) = (&spent, &held_now);
        async move {
            let mut rng = fastrand_like(number as u64);
            loop {
                if number.is_multiple_of(7) {
                    bench.ask_and_leave(accounts);
                }
                let mut held = match bench.hold(accounts, 8_000_000, 2_000_000).await {
                    Ok(held) => held,
                    Err(short) if short.why == Why::Held => continue,
                    Err(short) => {
                        assert_eq!(short.why, Why::Spent, "{short:?}");
                        return;
                    }
                };
                if rng().is_multiple_of(3) {
                    let _ = bench.treasury.extend(&mut held, usd(1_000_000));
                }
                let amount = held.amount().nano();
                let all =
                    spent.load(Ordering::SeqCst) + held_now.fetch_add(amount, Ordering::SeqCst) + amount;
                assert!(all <= limit, "{all}");
                tokio::task::yield_now().await;
                let cost = amount.min(500_000 + (rng() % 2_000_000) as i64);
                // First it is no longer counted as held: between the two it is counted once at most.
                held_now.fetch_sub(amount, Ordering::SeqCst);
                spent.fetch_add(cost, Ordering::SeqCst);
                assert_eq!(bench.treasury.settle(held, usd(cost)), Usd::ZERO);
            }
        }
    };
    futures_util::future::join_all((0..tasks).map(task)).await;
    spent.into_inner()
}

/// A sequence that depends on its seed alone.
fn fastrand_like(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[tokio::test]
async fn a_thousand_tasks_spend_a_dollar_and_no_more() {
    let bench = bench(memory().await, "one");
    bench.settled().await;
    let accounts = bench.accounts(&[policy("narrow", 1_000_000_000), policy("wide", 5_000_000_000)]);
    let spent = spend(&bench, &accounts, 1_000).await;
    assert!((980_000_000..=1_000_000_000).contains(&spent), "{spent}");
    assert_eq!(bench.treasury.left(&accounts), Some(usd(1_000_000_000 - spent)));
}

#[tokio::test]
async fn two_processes_share_a_dollar() {
    let ledger = memory().await;
    let (one, two) = (bench(Arc::clone(&ledger), "one"), bench(ledger, "two"));
    one.settled().await;
    two.settled().await;
    let narrow = [policy("narrow", 1_000_000_000)];
    let (at_one, at_two) = (one.accounts(&narrow), two.accounts(&narrow));
    let spent = tokio::join!(spend(&one, &at_one, 50), spend(&two, &at_two, 50));
    let sum = spent.0 + spent.1;
    assert!((980_000_000..=1_000_000_000).contains(&sum), "{spent:?}");
    let on = [router_core::budget::BudgetUse { budget: "narrow".into(), start: Timestamp::ZERO }];
    let figures = one.ledger.budget_figures(&on).await.unwrap();
    assert!(figures[0].allotted <= usd(1_000_000_000), "{figures:?}");
}

#[tokio::test]
async fn whoever_leaves_the_line_blocks_nobody() {
    let bench = bench(memory().await, "one");
    bench.settled().await;
    let accounts = bench.accounts(&[policy("narrow", 100)]);
    let all = bench.hold(&accounts, 100, 100).await.unwrap();
    let mut gone = Box::pin(bench.hold(&accounts, 80, 80));
    let mut stays = Box::pin(bench.hold(&accounts, 60, 60));
    assert!(gone.as_mut().now_or_never().is_none());
    assert!(stays.as_mut().now_or_never().is_none());
    // What comes later does not overtake those in line, although it would fit.
    bench.treasury.settle(all, usd(30));
    let mut late = Box::pin(bench.hold(&accounts, 1, 1));
    assert!(late.as_mut().now_or_never().is_none());
    drop(gone);
    let held = stays.await.unwrap();
    assert_eq!(held.amount(), usd(60));
    let last = late.await.unwrap();
    bench.treasury.settle(held, usd(60));
    bench.treasury.settle(last, usd(1));
    assert_eq!(bench.treasury.left(&accounts), Some(usd(9)));
}

#[tokio::test]
async fn near_the_end_less_is_held_and_an_overrun_is_booked() {
    let bench = bench(memory().await, "one");
    bench.settled().await;
    let accounts = bench.accounts(&[policy("narrow", 100)]);
    let some = bench.hold(&accounts, 70, 70).await.unwrap();
    let less = bench.hold(&accounts, 50, 20).await.unwrap();
    assert_eq!(less.amount(), usd(30));
    assert_eq!(bench.treasury.settle(some, usd(95)), usd(25));
    bench.treasury.settle(less, usd(30));
    let short = bench.hold(&accounts, 10, 10).await.unwrap_err();
    assert_eq!((short.why, short.left), (Why::Spent, Usd::ZERO));
    let on = [router_core::budget::BudgetUse { budget: "narrow".into(), start: Timestamp::ZERO }];
    loop {
        // The treasurer books it soon.
        if bench.ledger.budget_figures(&on).await.unwrap()[0].allotted == usd(125) {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn where_one_of_two_budgets_refuses_nothing_stays_held() {
    let bench = bench(memory().await, "one");
    bench.settled().await;
    let (narrow, wide) = (policy("narrow", 100), policy("wide", 1_000));
    let both = bench.accounts(&[narrow, Arc::clone(&wide)]);
    let short = bench.hold(&both, 500, 500).await.unwrap_err();
    assert_eq!((&*short.policy.name, short.why), ("narrow", Why::Spent));
    let wide = bench.accounts(&[wide]);
    assert_eq!(bench.treasury.left(&wide), Some(usd(1_000)));
    let all = bench.hold(&wide, 1_000, 1_000).await.unwrap();
    bench.treasury.settle(all, usd(1_000));
}

#[tokio::test]
async fn a_limit_that_is_raised_takes_effect() {
    let bench = bench(memory().await, "one");
    bench.settled().await;
    let accounts = bench.accounts(&[policy("b", 100)]);
    let held = bench.hold(&accounts, 100, 100).await.unwrap();
    bench.treasury.settle(held, usd(100));
    assert!(bench.hold(&accounts, 50, 50).await.is_err());
    let accounts = bench.accounts(&[policy("b", 200)]);
    let held = bench.hold(&accounts, 50, 50).await.unwrap();
    bench.treasury.settle(held, usd(50));
    assert_eq!(bench.treasury.left(&accounts), Some(usd(50)));
    bench.treasurer.stop();
}

#[tokio::test]
async fn a_ledger_that_cannot_be_reached_gives_no_money() {
    let ledger = router_ledger::connect_lazily("postgres://nobody@127.0.0.1:1/none").unwrap();
    let bench = bench(ledger, "one");
    let accounts = bench.accounts(&[policy("b", 100)]);
    assert_eq!(bench.hold(&accounts, 10, 10).await.unwrap_err().why, Why::Away);
    // Where no budget counts, nothing is missed.
    assert!(bench.hold(&Accounts::new(), 10, 10).await.is_ok());
}
