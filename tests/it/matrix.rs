//! The fault matrix: everything a provider is known to do wrong, through real sockets, for each wire format, way of asking,
//! client dialect and alternative; and what is right but odd. `ROUTER_TESTS_MATRIX=5` runs it so often, few at once, and
//! prints how much time each fault costs.

mod cells;
mod dialects;
mod judge;
mod rows;
mod table;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cells::{Came, cells, run};
use dialects::DIALECTS;
use rows::{MODES, WIRES};

/// Cells of one server that run at once, and servers.
const AT_ONCE: (usize, usize) = (16, 2);
/// The same when time is measured.
const MEASURED: (usize, usize) = (2, 1);

#[test]
fn every_fault_gives_one_clean_answer_or_one_clear_error() {
    let rounds = std::env::var("ROUTER_TESTS_MATRIX").ok().and_then(|n| n.parse().ok());
    let at_once = if rounds.is_some() { MEASURED } else { AT_ONCE };
    let mut all = Vec::new();
    for _ in 0..rounds.unwrap_or(1) {
        all.extend(round(at_once));
    }
    let wrong: Vec<_> = all.iter().flat_map(judge::wrongs).collect();
    println!("{} cells", all.len());
    if rounds.is_some() {
        table::print(&all);
    }
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

/// Every cell once.
fn round((cells_at_once, servers_at_once): (usize, usize)) -> Vec<Came> {
    let mut groups = Vec::new();
    for dialect in &DIALECTS {
        groups.extend(WIRES.into_iter().flat_map(|wire| MODES.map(|mode| cells(dialect, wire, mode))));
    }
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..servers_at_once {
            scope.spawn(|| {
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let came = run(group, cells_at_once);
                    all.lock().unwrap().extend(came);
                }
            });
        }
    });
    all.into_inner().unwrap()
}
