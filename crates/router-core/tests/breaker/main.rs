//! The breaker, proved in virtual time: two deployments, one of which fails a share of its calls, through health and failover
//! as they are; beside them an exact model that keeps every result, and must agree at every step.
//!
//! An ordinary run is short. `cargo xtask prove` runs the long form (`ROUTER_BREAKER_RUNS`, read when the test is compiled;
//! cargo compiles it anew when the number changes) and prints the table of docs/reliability.md.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a proof: it prints its figures, and what goes wrong ends it"
)]

mod model;
mod traffic;

use std::time::Duration;

use traffic::{Figures, Setting, run};

const FAILING_PERCENT: [u32; 6] = [100, 30, 10, 6, 4, 2];
const PER_MIN: [u32; 3] = [6, 60, 600];
const REQUESTS: u32 = 2_000;
const DAY_MINS: u32 = 24 * 60;

fn runs() -> u32 {
    option_env!("ROUTER_BREAKER_RUNS").and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn mean(all: &[Figures], figure: impl Fn(&Figures) -> f64) -> f64 {
    all.iter().map(figure).sum::<f64>() / all.len() as f64
}

#[test]
fn a_failing_deployment_leaves_the_rotation_and_no_client_sees_it() {
    println!("| fails | per min | opened | its calls | its share once open | clients that saw a failure |");
    println!("|---|---|---|---|---|---|");
    for percent in FAILING_PERCENT {
        for per_min in PER_MIN {
            let setting = Setting { percent, per_min, requests: REQUESTS, well_after: None };
            let all: Vec<Figures> = (0..runs()).map(|seed| run(&setting, u64::from(seed))).collect();
            let opened: Vec<&Figures> = all.iter().filter(|f| f.opened_at.is_some()).collect();
            let after = opened.iter().map(|f| f64::from(f.opened_at.unwrap())).sum::<f64>()
                / opened.len().max(1) as f64;
            let calls = mean(&all, |f| f64::from(f.calls)) / f64::from(REQUESTS);
            let open: f64 = opened.iter().map(|f| f64::from(f.calls_once_open)).sum();
            let share = open / opened.iter().map(|f| f64::from(f.requests_once_open)).sum::<f64>().max(1.0);
            let seen: u32 = all.iter().map(|f| f.client_failures).sum();
            let (share_text, after_text) = if opened.is_empty() {
                ("-".to_owned(), "never".to_owned())
            } else {
                let runs = if opened.len() == all.len() {
                    String::new()
                } else {
                    format!(" ({} of {} runs)", opened.len(), all.len())
                };
                (format!("{:.2} %", share * 100.0), format!("after {after:.0} requests{runs}"))
            };
            println!(
                "| {percent} % | {per_min} | {after_text} | {:.2} % | {share_text} | {seen} |",
                calls * 100.0
            );
            assert_eq!(seen, 0, "{percent} % at {per_min}: the other one is well");
            if percent >= 10 {
                assert_eq!(opened.len(), all.len(), "{percent} % at {per_min}: it opens always");
            }
            if percent >= 30 {
                assert!(share < 0.05, "{percent} % at {per_min}: {share:.4} once open");
            }
        }
    }
}

#[test]
fn a_healthy_one_stays() {
    println!("| fails | per min | days | opened |");
    println!("|---|---|---|---|");
    for per_min in PER_MIN {
        // As many days as make the same number of requests.
        let days = runs() * (600 / per_min).min(20);
        let requests = days.div_ceil(4) * per_min * DAY_MINS / 20;
        let setting = Setting { percent: 1, per_min, requests, well_after: None };
        let opened: u32 = (0..4).map(|seed| run(&setting, seed).openings).sum();
        let days = f64::from(requests) * 4.0 / f64::from(per_min * DAY_MINS);
        println!("| 1 % | {per_min} | {days:.1} | {:.3} a day |", f64::from(opened) / days);
        assert!(f64::from(opened) <= 1.0_f64.max(0.2 * days), "{opened} times in {days} days");
    }
}

#[test]
fn it_comes_back_by_degrees() {
    println!(
        "| per min | down for | first call after it is well | closed after | calls on the way: 10 %, 25 %, 50 % |"
    );
    println!("|---|---|---|---|---|");
    for per_min in PER_MIN {
        for down_secs in [60, 600] {
            let well_after = Some(Duration::from_secs(down_secs));
            let requests = per_min * u32::try_from(down_secs).unwrap() / 60 + per_min * 60;
            let setting = Setting { percent: 100, per_min, requests, well_after };
            let all: Vec<Figures> = (0..runs()).map(|seed| run(&setting, u64::from(seed))).collect();
            let closed: Vec<f64> =
                all.iter().filter_map(|f| f.closed_after.map(|d| d.as_secs_f64())).collect();
            let first = mean(&all, |f| f.tried_after.unwrap().as_secs_f64());
            let ramp: Vec<String> =
                (0..3).map(|step| format!("{:.0} %", mean(&all, |f| f.ramp_share(step)) * 100.0)).collect();
            let back = closed.iter().sum::<f64>() / closed.len().max(1) as f64;
            println!("| {per_min} | {down_secs} s | {first:.0} s | {back:.0} s | {} |", ramp.join(", "));
            assert_eq!(
                closed.len(),
                all.len(),
                "{per_min} per minute, down for {down_secs} s: it comes back"
            );
            assert!(all.iter().all(|f| f.client_failures == 0));
            for (step, share) in [0.10, 0.25, 0.50].into_iter().enumerate() {
                let got = mean(&all, |f| f.ramp_share(step));
                // With little traffic a step is five calls: what is measured then is chance.
                assert!(per_min < 600 || (got - share).abs() < 0.05, "step {step}: {got}");
            }
        }
    }
}
