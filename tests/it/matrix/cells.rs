//! The cells of the matrix that share a server: its configuration, and what came of each.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use router_tests::client::Answer;
use router_tests::ledger::{AttemptRow, RequestRow, plain};
use router_tests::plan::CAPABILITIES;
use router_tests::prices::Price;
use router_tests::server::Server;
use router_tests::upstream::{Call, Fault, Part, Stage, Wire};
use serde_json::{Value, json};

use super::dialects::{Dialect, Saw};
use super::rows::{ALTERNATIVES, Alternative, Mode, ROWS, Row};

pub(super) const PRICE: Price = Price { input: 1_234_567, cached: 123_457, output: 9_876_543 };

/// Limits of deployments that fall silent, in milliseconds.
pub(super) const SILENT_MS: u64 = 300;
/// Of all others: far longer than a busy machine needs.
const PATIENT_MS: u64 = 30_000;
/// Of deployments that have no limits of their own: the slow start is longer.
const COMMON_MS: u64 = 1_000;
/// Most attempts that are paid.
pub(super) const ATTEMPTS: usize = 3;

/// One cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) number: usize,
    pub(super) row: &'static Row,
    pub(super) dialect: &'static Dialect,
    pub(super) wire: Wire,
    pub(super) mode: Mode,
    pub(super) alternative: Alternative,
}

/// By what an alternative is forbidden; the cells take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ban {
    /// The model's own deployments are others.
    Model,
    /// The deployment itself is asked for.
    Name,
    /// The request allows no fallback.
    Request,
    /// The key is bound to a region.
    Key,
}

const BANS: [Ban; 4] = [Ban::Model, Ban::Name, Ban::Request, Ban::Key];

impl Cell {
    /// The deployment that does what the row says.
    pub(super) fn primary(&self) -> String {
        format!("c{}m", self.number)
    }

    /// The healthy one.
    pub(super) fn other(&self) -> String {
        format!("c{}a", self.number)
    }

    fn ban(&self) -> Option<Ban> {
        (self.alternative == Alternative::Forbidden)
            .then(|| BANS[self.number / ALTERNATIVES.len() % BANS.len()])
    }

    /// Where it stands in the matrix.
    pub(super) fn place(&self) -> String {
        let Self { row, dialect, wire, mode, alternative, .. } = self;
        let ban = self.ban().map(|ban| format!(" by {ban:?}")).unwrap_or_default();
        format!("{} | {wire:?} | {mode:?} | {} | {alternative:?}{ban}", row.name, dialect.name)
    }
}

/// What came of a cell.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) cell: Cell,
    pub(super) answer: Answer,
    pub(super) saw: Saw,
    pub(super) took: Duration,
    /// Calls that the faulty and the healthy deployment received.
    pub(super) calls: [Vec<Call>; 2],
    /// Rows of the ledger.
    pub(super) attempts: Vec<AttemptRow>,
    pub(super) request: Option<RequestRow>,
    /// What the admin API says of both; the second may be missing.
    pub(super) health: [Value; 2],
}

/// The cells of one dialect, wire format and mode.
pub(super) fn cells(dialect: &'static Dialect, wire: Wire, mode: Mode) -> Vec<Cell> {
    let rows = ROWS.iter().filter(|row| row.happens(mode));
    let all = rows.flat_map(|row| ALTERNATIVES.map(|alternative| (row, alternative)));
    all.enumerate()
        .map(|(number, (row, alternative))| Cell { number, row, dialect, wire, mode, alternative })
        .collect()
}

/// Runs the cells on a server of their own, so many at once.
pub(super) fn run(cells: &[Cell], at_once: usize) -> Vec<Came> {
    let parts = cells.iter().flat_map(parts).collect::<BTreeMap<_, _>>();
    let stage = Stage::start(parts.clone());
    let server = Server::start(config(cells, &stage, &parts));
    let (next, heavy, answers) = (AtomicUsize::new(0), Mutex::new(()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _one_at_a_time = cell.row.is_heavy().then(|| heavy.lock().unwrap());
                    let asked = ask(cell, &server);
                    answers.lock().unwrap().push((*cell, asked));
                }
            });
        }
    });
    let health = router_tests::client::Request::get("/admin/v1/deployments").send(server.admin()).json();
    let rows = server.stop().rows();
    let calls = stage.calls();
    let of = |model: &str| calls.iter().filter(|call| call.model == model).cloned().collect();
    let health_of = |model: &str| {
        let mut all = health["deployments"].as_array().into_iter().flatten();
        all.find(|row| row["upstream_model"] == model).cloned().unwrap_or_default()
    };
    let came = |(cell, (answer, took)): (Cell, (Answer, Duration))| {
        let id = plain(answer.header("x-request-id"));
        let of_request = |row: &[u8]| row.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == id;
        Came {
            saw: (cell.dialect.read)(&answer, cell.mode),
            calls: [of(&cell.primary()), of(&cell.other())],
            attempts: rows.attempts.iter().filter(|row| of_request(&row.request)).cloned().collect(),
            request: rows.requests.iter().find(|row| of_request(&row.request)).cloned(),
            health: [health_of(&cell.primary()), health_of(&cell.other())],
            cell,
            answer,
            took,
        }
    };
    let mut all: Vec<_> = answers.into_inner().unwrap().into_iter().map(came).collect();
    all.sort_by_key(|came| came.cell.number);
    all
}

fn ask(cell: &Cell, server: &Server) -> (Answer, Duration) {
    let model = match cell.ban() {
        Some(Ban::Name) => format!("{0}/{0}", cell.primary()),
        _ => format!("c{}", cell.number),
    };
    let mut request = (cell.dialect.ask)(&model, cell.mode, cell.row.turn);
    let key = if cell.ban() == Some(Ban::Key) { "sk-bound" } else { "sk-free" };
    request = request.with("authorization", &format!("Bearer {key}"));
    if cell.ban() == Some(Ban::Request) {
        request = request.with("x-router-allow-fallbacks", "false");
    }
    let start = Instant::now();
    let answer = request.try_send(server.data());
    (answer.unwrap_or_else(|error| panic!("{}: {error}", cell.place())), start.elapsed())
}

/// The deployments of a cell.
fn parts(cell: &Cell) -> Vec<(String, Part)> {
    let (row, wire, mode) = (cell.row, cell.wire, cell.mode);
    let primary = Part { wire, fault: row.fault, speech: row.faulty_speech(mode) };
    let other = Part { wire: cell.alternative.wire(wire), fault: Fault::None, speech: row.speech(mode) };
    let mut parts = vec![(cell.primary(), primary)];
    if cell.alternative != Alternative::None {
        parts.push((cell.other(), other));
    }
    parts
}

fn config(cells: &[Cell], stage: &Stage, parts: &BTreeMap<String, Part>) -> Value {
    let dialect = |wire| match wire {
        Wire::OpenaiChat => "openai_chat",
        Wire::Anthropic => "anthropic",
        Wire::Gemini => "gemini",
    };
    // A provider each: what is learned of one says nothing of another.
    let provider = |(name, part): (&String, &Part)| {
        let region = if name.ends_with('m') { "eu" } else { "us" };
        (
            name.clone(),
            json!({ "dialect": dialect(part.wire), "base_url": stage.base_url(part),
                "api_key": "sk-upstream", "region": region }),
        )
    };
    let deployments: Vec<_> = cells.iter().flat_map(deployments).collect();
    let models: BTreeMap<_, _> = cells
        .iter()
        .map(|cell| {
            let name = |model: String| format!("{model}/{model}");
            let mut own = vec![name(cell.primary())];
            if cell.alternative.may_answer() || matches!(cell.ban(), Some(Ban::Request | Ban::Key)) {
                own.push(name(cell.other()));
            }
            (format!("c{}", cell.number), json!({ "deployments": own, "strategy": "priority" }))
        })
        .collect();
    json!({
        "server": { "threads": 2 },
        "providers": parts.iter().map(provider).collect::<BTreeMap<_, _>>(),
        "deployments": deployments,
        "models": models,
        "keys": [{ "name": "free", "secret": "sk-free" }, { "name": "bound", "secret": "sk-bound", "regions": ["eu"] }],
        "reliability": {
            "time_limits": { "connect_ms": PATIENT_MS, "first_byte_ms": COMMON_MS, "answer_ms": COMMON_MS,
                "idle_ms": COMMON_MS, "deadline_ms": 20_000 },
            "breaker": { "cooldown_secs": 600 },
            // The storm is another test's matter: here each request may repeat.
            "retries": { "attempts": ATTEMPTS, "per_sec": 10_000, "backoff_base_ms": 5, "backoff_cap_ms": 20 }
        }
    })
}

fn deployments(cell: &Cell) -> Vec<Value> {
    let limits = |ms: u64| json!({ "first_byte_ms": ms, "answer_ms": ms, "idle_ms": ms });
    let one = |(name, part): (String, Part)| {
        let silent = cell.row.silent && part.fault != Fault::None;
        let reasons = matches!(part.fault, Fault::SlowStart(_));
        let prefills = part.fault == Fault::None && part.wire == Wire::Anthropic;
        let mut capabilities = CAPABILITIES.to_vec();
        capabilities.extend(reasons.then_some("reasoning"));
        capabilities.extend(prefills.then_some("prefill"));
        json!({ "id": format!("{name}/{name}"), "price_usd_per_million": PRICE.configured(),
            "capabilities": capabilities, "max_input_tokens": 200_000, "max_output_tokens": 8_192,
            "time_limits": limits(if silent { SILENT_MS } else { PATIENT_MS }) })
    };
    parts(cell).into_iter().map(one).collect()
}
