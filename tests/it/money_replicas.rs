//! Three processes with a spool each on one PostgreSQL, and one dollar on a key made by command: never more is spent, nearly
//! all of it can be, though clients leave, providers fail, a process is killed and the database goes away.
//! `ROUTER_TESTS_SPENDERS=1000` has so many clients ask; CI 120.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use router_test_postgres::Postgres;
use router_tests::client::Request;
use router_tests::eventually;
use router_tests::ledger::{Database, Rows, plain};
use router_tests::plan::{self, Place};
use router_tests::prices::{Price, usd};
use router_tests::server::{self, Process, merged};
use router_tests::spender::{self, DOLLAR, Kind, Tally, Told, ask, asked};
use router_tests::upstream::Wire;
use serde_json::{Value, json};

const PRICE: Price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };

/// Time between two looks at what is spent and held.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Some that answer any question, of which the first fails three in ten, and one that thinks.
fn places() -> Vec<Place> {
    let place = |name, tier, wire| {
        Place::new(name, tier, wire, PRICE).with(|script| {
            script.words = 120;
            script.latency = Duration::from_millis(2);
        })
    };
    vec![
        place("one", "economy", Wire::OpenaiChat).with(|script| script.fail_percent = 30),
        place("two", "economy", Wire::Anthropic),
        place("thinks", "strong", Wire::OpenaiChat),
    ]
}

/// A ledger on PostgreSQL with one key, and directories for processes.
struct Scene {
    places: Vec<Place>,
    url: String,
    key: String,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new(places: Vec<Place>, postgres: &mut Postgres) -> Self {
        let (url, directory) = (postgres.fresh_database().unwrap(), server::directory());
        let words = "keys create --name k --budget-usd 1.00 --period total --ledger";
        let arguments: Vec<_> = words.split(' ').chain([url.as_str()]).collect();
        let made = server::run(&arguments, directory.path());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = String::from_utf8_lossy(&made.stdout).lines().last().unwrap().to_owned();
        Self { places, url, key, directory }
    }

    /// A process with a spool of its own.
    fn serve(&self, name: &str) -> Process {
        let folder = self.directory.path().join(name);
        if !folder.exists() {
            std::fs::create_dir(&folder).unwrap();
            self.configure(&folder);
        }
        Process::serve(&folder.join("router.yaml"))
    }

    fn configure(&self, folder: &Path) -> PathBuf {
        let mut config = merged(server::base(), plan::config(&self.places));
        for deployment in config["deployments"].as_array_mut().unwrap() {
            if deployment["id"] == "thinks/m" {
                deployment["capabilities"].as_array_mut().unwrap().push(json!("reasoning"));
            }
        }
        let rest = json!({
            "ledger": { "url": self.url },
            "selection": { "default_tier": "economy", "near_equal_percent": 100 },
        });
        let path = folder.join("router.yaml");
        std::fs::write(&path, merged(config, rest).to_string()).unwrap();
        path
    }

    fn calls(&self) -> usize {
        self.places.iter().map(|place| place.upstream.count()).sum()
    }

    /// After all processes have ended: what is in the ledger adds up.
    fn assert_settled(&self) -> Rows {
        let database = Database::at(&self.url);
        let rows = database.rows();
        println!("{} USD spent by {} attempts", usd(rows.cost_nanousd()), rows.attempts.len());
        spender::assert_spent(&rows, DOLLAR);
        let by_call = rows.by_call();
        assert_eq!(by_call.len(), rows.attempts.len(), "no attempt twice");
        let calls: BTreeSet<_> = plan::calls(&self.places).iter().map(|(_, call)| plain(&call.id)).collect();
        assert_eq!(calls.len(), self.calls(), "no call twice");
        for call in &calls {
            let row = by_call.get(call).unwrap_or_else(|| panic!("a call that is not booked: {call}"));
            assert!(row.outcome.is_some(), "{row:?}");
        }
        for (call, row) in &by_call {
            let never_sent = row.outcome.as_deref() == Some("lost");
            assert!(
                calls.contains(call) || never_sent || row.cost_nanousd == 0,
                "a row without a call: {row:?}"
            );
        }
        let spent = i64::try_from(rows.cost_nanousd()).unwrap();
        let budgets = database.budgets().unwrap();
        assert_eq!(budgets.len(), 1, "{budgets:?}");
        let budget = &budgets[0];
        assert_eq!((budget.allotted, budget.settled, budget.drawers), (spent, spent, 0), "{budget:?}");
        rows
    }
}

/// Looks again and again at what each process says and what the ledger has, until it is over; how many looks.
fn watched(scene: &Scene, addresses: &RwLock<Vec<SocketAddr>>, over: &AtomicBool) -> usize {
    let (database, mut looks) = (Database::at(&scene.url), 0);
    let limit = i64::try_from(DOLLAR).unwrap();
    while !over.load(Ordering::SeqCst) {
        for address in addresses.read().unwrap().clone() {
            if let Some((settled, held, _)) = spender::usage(&scene.key, address) {
                assert!(settled + held <= DOLLAR, "{} spent, {} held", usd(settled), usd(held));
                looks += 1;
            }
        }
        for budget in database.budgets().unwrap_or_default() {
            assert!(budget.allotted <= limit && budget.settled <= budget.allotted, "{budget:?}");
            looks += 1;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    looks
}

#[test]
fn three_processes_spend_one_dollar_of_one_key() {
    let clients = std::env::var("ROUTER_TESTS_SPENDERS").ok().and_then(|n| n.parse().ok()).unwrap_or(120);
    let mut postgres = Postgres::start().unwrap();
    let scene = Scene::new(places(), &mut postgres);
    let (one, two, three) = (scene.serve("a"), scene.serve("b"), scene.serve("c"));
    let addresses = RwLock::new(vec![one.data(), two.data(), three.data()]);
    let at = |number: usize, turn: usize| {
        let all = addresses.read().unwrap();
        all.get((number + turn) % all.len()).copied()
    };
    let kinds = [Kind::Json, Kind::Capped, Kind::Stream, Kind::Leaves, Kind::Of("thinks/m")];
    let over = AtomicBool::new(false);
    let (tally, four, looks) = std::thread::scope(|scope| {
        let looks = scope.spawn(|| watched(&scene, &addresses, &over));
        let spending = scope.spawn(|| spender::spend((clients, &scene.key), &kinds, &at));
        eventually("there is load", || (scene.calls() >= 150).then_some(()));
        three.kill();
        // It finds what the killed one had drawn and not spent.
        let four = scene.serve("c");
        addresses.write().unwrap()[2] = four.data();
        let tally = spending.join().unwrap();
        eventually("what came back last is spent too", || {
            spender::spend((6, &scene.key), &kinds[..3], &at);
            let (_, _, left) = spender::usage(&scene.key, four.data())?;
            (left < DOLLAR * 2 / 100).then_some(())
        });
        over.store(true, Ordering::SeqCst);
        (tally, four, looks.join().unwrap())
    });
    for process in [one, two, four] {
        process.stop();
    }
    println!("{clients} clients, {} calls, {tally:?}, {looks} looks", scene.calls());
    let rows = scene.assert_settled();
    let outcomes: BTreeSet<_> = rows.attempts.iter().filter_map(|row| row.outcome.as_deref()).collect();
    for outcome in ["success", "failure", "cancelled"] {
        assert!(outcomes.contains(outcome), "{outcomes:?}");
    }
}

#[test]
fn a_database_that_goes_away_stops_spending_for_a_while_and_loses_nothing() {
    let mut postgres = Postgres::own().unwrap();
    let scene = Scene::new(places(), &mut postgres);
    let (one, two) = (scene.serve("a"), scene.serve("b"));
    let all = [one.data(), two.data()];
    let (goes, away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    let tally = Tally::default();
    let client = |number: usize| {
        let kind = [Kind::Json, Kind::Stream, Kind::Capped][number % 3];
        while !over.load(Ordering::SeqCst) {
            match asked(&scene.key, kind, all[number % 2], &tally) {
                Told::Goes => goes.fetch_add(1, Ordering::SeqCst),
                Told::Away => away.fetch_add(1, Ordering::SeqCst),
                told => panic!("{told:?}"),
            };
        }
    };
    std::thread::scope(|scope| {
        for number in 0..6 {
            let client = &client;
            scope.spawn(move || client(number));
        }
        eventually("there is load", || (goes.load(Ordering::SeqCst) >= 40).then_some(()));
        postgres.stop().unwrap();
        let before = goes.load(Ordering::SeqCst);
        eventually("what was drawn is spent on", || (goes.load(Ordering::SeqCst) > before).then_some(()));
        eventually("then there is no more", || (away.load(Ordering::SeqCst) > 0).then_some(()));
        // Keys are known all the same, and what costs nothing is answered.
        assert_eq!(Request::get("/v1/models").with("x-api-key", &scene.key).send(one.data()).status, 200);
        postgres.start_again().unwrap();
        let before = goes.load(Ordering::SeqCst);
        eventually("money comes again", || (goes.load(Ordering::SeqCst) > before + 12).then_some(()));
        over.store(true, Ordering::SeqCst);
    });
    let ends = |value: &Value| assert_eq!(value["error"]["code"], "budget_exceeded", "{value}");
    let at = |number: usize, turn| (turn == 0).then(|| all[number % 2]);
    eventually("the rest of it", || {
        spender::spend((6, &scene.key), &[Kind::Capped, Kind::Stream, Kind::Json], &at);
        let (_, _, left) = spender::usage(&scene.key, all[0])?;
        (left < DOLLAR * 2 / 100).then_some(())
    });
    ends(&ask(&scene.key, json!({ "max_tokens": 8_000, "model": "thinks/m" })).send(all[0]).json());
    one.stop();
    two.stop();
    println!("{} answers, {} times away", goes.into_inner(), away.into_inner());
    scene.assert_settled();
}
