//! Allotments on each backend: what is drawn never passes the limit, what is spent counts exactly once.

use std::sync::Arc;

use proptest::prelude::*;
use router_core::attempt::Outcome;
use router_core::budget::BudgetUse;
use router_core::money::Usd;
use router_core::record::{LedgerRecord, OpenRecord};
use router_core::time::Timestamp;

use super::{Fresh, budget, close, instance, open_record, second, write};
use crate::{Batch, Draw, InstanceId, Ledger, Position};

pub(super) async fn run(backend: &mut impl Fresh) {
    draws_stop_at_the_limit(&*backend.one().await).await;
    attempts_spend_once(&*backend.one().await).await;
    the_dead_give_back_what_they_have_not_spent(&*backend.one().await).await;
    nonsense_amounts_do_not_stop_the_ledger(&*backend.one().await).await;
    many_draw_at_once(&backend.fresh(4).await).await;
    any_interleaving_adds_up(backend).await;
}

fn usd(nano: i64) -> Usd {
    Usd::from_nano(nano)
}

fn ask(limit: i64, least: i64, most: i64) -> Draw {
    Draw { limit: Some(usd(limit)), least: usd(least), most: usd(most) }
}

/// What is drawn from a budget, and what is spent.
async fn figures(ledger: &dyn Ledger, budget: &BudgetUse) -> (i64, i64) {
    let figures = ledger.budget_figures(std::slice::from_ref(budget)).await.unwrap();
    assert_eq!((figures.len(), &figures[0].budget, figures[0].start), (1, &budget.budget, budget.start));
    (figures[0].allotted.nano(), figures[0].settled.nano())
}

/// An attempt's beginning that counts on budgets; ceiling 5 USD.
fn counted(id: u128, budgets: &[BudgetUse]) -> LedgerRecord {
    LedgerRecord::Open(OpenRecord { budgets: budgets.to_vec(), ..open_record(id, 1) })
}

async fn draws_stop_at_the_limit(ledger: &dyn Ledger) {
    let (a, b) = (instance(ledger, "a").await, instance(ledger, "b").await);
    let (team, next) = (budget("team"), BudgetUse { start: second(200), ..budget("team") });
    let draw = async |who, budget, draw| ledger.draw(who, budget, draw).await.unwrap().nano();
    assert_eq!(draw(a, &team, ask(100, 10, 60)).await, 60);
    assert_eq!(draw(b, &team, ask(100, 10, 60)).await, 40);
    assert_eq!(draw(b, &team, ask(100, 1, 60)).await, 0);
    assert_eq!(figures(ledger, &team).await, (100, 0));
    // Another period, another budget.
    assert_eq!(draw(b, &next, ask(100, 10, 60)).await, 60);
    // What is not kept goes back, once however often it is said.
    ledger.keep(a, &team, usd(35)).await.unwrap();
    ledger.keep(a, &team, usd(35)).await.unwrap();
    assert_eq!(draw(b, &team, ask(100, 10, 60)).await, 25);
    ledger.keep(a, &team, usd(0)).await.unwrap();
    ledger.keep(a, &team, usd(-1_000)).await.unwrap();
    ledger.keep(a, &budget("none"), usd(0)).await.unwrap();
    assert_eq!(figures(ledger, &team).await, (65, 0));
    // More than was drawn is an overrun: booked, whatever the limit.
    ledger.keep(a, &team, usd(50)).await.unwrap();
    ledger.keep(a, &team, usd(50)).await.unwrap();
    assert_eq!(figures(ledger, &team).await, (115, 0));
    assert_eq!(draw(b, &team, ask(100, 0, 60)).await, 0);
    // The limit may be another at any time; without one all is only counted.
    assert_eq!(draw(b, &team, ask(120, 0, 60)).await, 5);
    assert_eq!(draw(b, &team, Draw { limit: None, ..ask(0, 10, 60) }).await, 60);
    let both = ledger.budget_figures(&[next, budget("none"), team]).await.unwrap();
    assert_eq!(both.iter().map(|f| f.allotted.nano()).collect::<Vec<_>>(), [60, 0, 180]);
}

async fn attempts_spend_once(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    let (team, key) = (budget("team"), budget("key:bot"));
    let both = [team.clone(), key.clone()];
    let settled = async || (figures(ledger, &team).await.1, figures(ledger, &key).await.1);
    let mut offset = 0;
    let mut apply = async |records: Vec<LedgerRecord>| {
        offset += 10;
        let mut batch = Batch::default();
        records.into_iter().for_each(|record| batch.push(process, record));
        batch.reach(Position { instance: process, series: 0, file: 1, offset });
        // Tried again, as after an answer that got lost.
        ledger.apply(&batch).await.unwrap();
        ledger.apply(&batch).await.unwrap();
    };
    apply(vec![counted(1, &both), close(1, 1, Outcome::Success, 7), counted(2, &both), counted(3, &[])])
        .await;
    assert_eq!(settled().await, (7, 7));
    apply(vec![close(2, 1, Outcome::Cancelled, 20), close(3, 1, Outcome::Success, 400)]).await;
    assert_eq!(settled().await, (27, 27));
    apply(vec![counted(4, &both[..1]), counted(5, &both), close(5, 1, Outcome::Success, 1)]).await;
    assert_eq!(settled().await, (28, 28));
    // An end that comes a second time, at another place.
    apply(vec![close(2, 1, Outcome::Cancelled, 20)]).await;
    assert_eq!(settled().await, (28, 28));
    // More than one statement's worth.
    apply((100..500).map(|id| counted(id, &both)).collect()).await;
    apply((100..500).map(|id| close(id, 1, Outcome::Success, 1)).collect()).await;
    assert_eq!(settled().await, (428, 428));
    ledger.finish(process).await.unwrap();
    assert_eq!(settled().await, (5_000_000_428, 428));
    ledger.finish(process).await.unwrap();
    assert_eq!(settled().await, (5_000_000_428, 428));
}

async fn the_dead_give_back_what_they_have_not_spent(ledger: &dyn Ledger) {
    let (dead, living) = (instance(ledger, "dead").await, instance(ledger, "living").await);
    let (wide, narrow, never) = (budget("wide"), budget("narrow"), budget("never"));
    let draw = async |who, budget, draw| ledger.draw(who, budget, draw).await.unwrap().nano();
    let limit = 20_000_000_000;
    assert_eq!(draw(dead, &wide, ask(limit, 1, 8_000_000_000)).await, 8_000_000_000);
    assert_eq!(draw(living, &wide, ask(limit, 1, 1_000)).await, 1_000);
    assert_eq!(draw(dead, &narrow, ask(limit, 1, 100)).await, 100);
    let on = [wide.clone(), narrow.clone()];
    let never_drawn = [never.clone()];
    write(ledger, dead, [counted(1, &on), close(1, 1, Outcome::Success, 90)]).await;
    write(ledger, dead, [counted(2, &on), counted(3, &never_drawn)]).await;
    for _ in 0..2 {
        ledger.finish(dead).await.unwrap();
        // Spent: 90 and a lost attempt's ceiling. The living keep theirs; what was spent beyond is booked.
        assert_eq!(figures(ledger, &wide).await, (5_000_001_090, 5_000_000_090));
        assert_eq!(figures(ledger, &narrow).await, (5_000_000_090, 5_000_000_090));
        assert_eq!(figures(ledger, &never).await, (5_000_000_000, 5_000_000_000));
    }
    assert_eq!(draw(living, &wide, ask(limit, 1, i64::MAX)).await, limit - 5_000_001_090);
}

async fn nonsense_amounts_do_not_stop_the_ledger(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    let team = [budget("team")];
    for id in 1..=3 {
        write(ledger, process, [counted(id, &team), close(id, 1, Outcome::Success, i64::MAX)]).await;
    }
    write(ledger, process, [counted(4, &team), close(4, 1, Outcome::Success, -5)]).await;
    ledger.keep(process, &team[0], Usd::MAX).await.unwrap();
    assert_eq!(figures(ledger, &team[0]).await, (i64::MAX, i64::MAX));
    ledger.finish(process).await.unwrap();
    assert_eq!(figures(ledger, &team[0]).await.1, i64::MAX);
}

/// Several processes, drawing and giving back as fast as they can.
async fn many_draw_at_once(ledgers: &[Arc<dyn Ledger>]) {
    const LIMIT: i64 = 10_000;
    let team = budget("team");
    let mut tasks = tokio::task::JoinSet::new();
    let mut processes = Vec::new();
    for n in 0..ledgers.len() * 4 {
        let (ledger, team) = (ledgers[n / 4].clone(), team.clone());
        let process = instance(&*ledger, &format!("p{n}")).await;
        processes.push(process);
        tasks.spawn(async move { spend(&*ledger, process, &team, n as u64, LIMIT).await });
    }
    let kept: i64 = tasks.join_all().await.into_iter().sum();
    assert_eq!(figures(&*ledgers[0], &team).await, (kept, 0));
    assert!(kept <= LIMIT);
    // All die; nothing was spent.
    for process in processes {
        ledgers[0].finish(process).await.unwrap();
    }
    assert_eq!(figures(&*ledgers[0], &team).await, (0, 0));
}

/// Draws and gives back some of it, at random; what it has kept.
async fn spend(ledger: &dyn Ledger, process: InstanceId, team: &BudgetUse, seed: u64, limit: i64) -> i64 {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |below: i64| {
        // Xorshift: any numbers will do, if they are the same at every run.
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        i64::try_from(dice % u64::try_from(below).unwrap()).unwrap()
    };
    let mut kept = 0;
    for _ in 0..20 {
        let least = roll(500);
        let drawn = ledger.draw(process, team, ask(limit, least, least + roll(2_000))).await.unwrap().nano();
        assert!(drawn == 0 || drawn >= least);
        let (allotted, _) = figures(ledger, team).await;
        assert!(allotted <= limit, "{allotted} of {limit} drawn");
        let back = roll(drawn + 1);
        kept += drawn - back;
        ledger.keep(process, team, usd(kept)).await.unwrap();
    }
    kept
}

#[derive(Clone, Debug)]
enum Step {
    Draw(usize, i64, i64),
    GiveBack(usize, i64),
    Overdraw(usize, i64),
    /// An attempt begins; its ceiling is taken from what the process has drawn.
    Open(usize, i64),
    /// The process's oldest attempt ends, at this share of its ceiling.
    Close(usize, i64),
    Die(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..3usize;
    prop_oneof![
        4 => (who.clone(), 0..300i64, 0..600i64).prop_map(|(who, least, most)| Step::Draw(who, least, most)),
        1 => (who.clone(), 1..=100i64).prop_map(|(who, share)| Step::GiveBack(who, share)),
        1 => (who.clone(), 0..50i64).prop_map(|(who, over)| Step::Overdraw(who, over)),
        4 => (who.clone(), 1..=100i64).prop_map(|(who, share)| Step::Open(who, share)),
        3 => (who.clone(), 0..=100i64).prop_map(|(who, share)| Step::Close(who, share)),
        1 => who.prop_map(Step::Die),
    ]
}

/// What a process knows of its own money.
#[derive(Default)]
struct Wallet {
    life: u32,
    drawn: i64,
    spent: i64,
    /// Attempts running, with their ceilings.
    running: Vec<(u128, i64)>,
}

impl Wallet {
    fn free(&self) -> i64 {
        self.drawn - self.spent - self.running.iter().map(|(_, ceiling)| ceiling).sum::<i64>()
    }
}

/// Processes that keep to the rules, in any order: the ledger agrees with what they know, after every step.
async fn any_interleaving_adds_up(backend: &mut impl Fresh) {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let ledgers = backend.fresh(3).await;
    for round in 0..12u64 {
        let steps = prop::collection::vec(step(), 40).new_tree(&mut runner).unwrap().current();
        let team = BudgetUse { start: Timestamp::from_millis(round), ..budget("team") };
        live_through(&ledgers, &team, round, steps).await;
    }
}

async fn live_through(ledgers: &[Arc<dyn Ledger>], team: &BudgetUse, round: u64, steps: Vec<Step>) {
    const LIMIT: i64 = 1_000;
    let mut wallets: [Wallet; 3] = Default::default();
    let (mut overdrawn, mut ended, mut next) = (0, 0, u128::from(round) * 1_000 + 1);
    for step in steps {
        let (Step::Draw(who, ..)
        | Step::GiveBack(who, _)
        | Step::Overdraw(who, _)
        | Step::Open(who, _)
        | Step::Close(who, _)
        | Step::Die(who)) = step;
        let (ledger, wallet) = (&*ledgers[who], &mut wallets[who]);
        let process = instance(ledger, &format!("{round}-{who}-{}", wallet.life)).await;
        match step {
            Step::Draw(_, least, most) => {
                wallet.drawn += ledger.draw(process, team, ask(LIMIT, least, most)).await.unwrap().nano();
            }
            Step::GiveBack(_, share) => {
                let back = wallet.free().max(0) * share / 100;
                wallet.drawn -= back;
                ledger.keep(process, team, usd(wallet.drawn)).await.unwrap();
            }
            Step::Overdraw(_, over) => {
                wallet.drawn += over;
                ledger.keep(process, team, usd(wallet.drawn)).await.unwrap();
                overdrawn += over;
            }
            Step::Open(_, share) => {
                let ceiling = wallet.free().max(0) * share / 100;
                let open =
                    OpenRecord { budgets: vec![team.clone()], ceiling: usd(ceiling), ..open_record(next, 1) };
                write(ledger, process, [LedgerRecord::Open(open)]).await;
                wallet.running.push((next, ceiling));
                next += 1;
            }
            Step::Close(_, share) if !wallet.running.is_empty() => {
                let (id, ceiling) = wallet.running.remove(0);
                write(ledger, process, [close(id, 1, Outcome::Success, ceiling * share / 100)]).await;
                wallet.spent += ceiling * share / 100;
            }
            Step::Close(..) => {}
            Step::Die(_) => {
                ledgers[(who + 1) % 3].finish(process).await.unwrap();
                let lost: i64 = wallet.running.iter().map(|(_, ceiling)| ceiling).sum();
                ended += wallet.spent + lost;
                *wallet = Wallet { life: wallet.life + 1, ..Wallet::default() };
            }
        }
        let allotted: i64 = ended + wallets.iter().map(|w| w.drawn).sum::<i64>();
        let settled: i64 = ended + wallets.iter().map(|w| w.spent).sum::<i64>();
        assert_eq!(figures(&*ledgers[0], team).await, (allotted, settled));
        assert!(allotted <= LIMIT + overdrawn && settled <= allotted);
    }
}
