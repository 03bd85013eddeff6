//! The figures: medians over the rounds, their ratio, how far rounds were apart, and the table that shows them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::round::Sample;
use super::workload::Workload;

/// Everything measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) machine: Machine,
    pub(super) connections: u16,
    /// Seconds of load per measurement.
    pub(super) seconds: u64,
    pub(super) rows: Vec<Row>,
}

/// What it was measured on: figures of a busy machine are worth less.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) load_average_before: f64,
    pub(super) load_average_after: f64,
}

impl Machine {
    /// The machine as it is now.
    ///
    /// # Errors
    /// It is not Linux.
    pub(super) fn now() -> Result<Self> {
        let load = std::fs::read_to_string("/proc/loadavg").context("reading the load average")?;
        let load = load.split(' ').next().and_then(|n| n.parse().ok()).context("no load average")?;
        let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            load_average_before: load,
            load_average_after: load,
        })
    }
}

/// One workload through both programs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) workload: String,
    what: &'static str,
    /// Processor time per request, microseconds.
    pass_cpu_us: Spread,
    router_cpu_us: Spread,
    /// Medians by the threads' names.
    router_cpu_us_by_thread: BTreeMap<String, f64>,
    pass_requests_per_sec: Spread,
    router_requests_per_sec: Spread,
    pass_p50_us: Spread,
    router_p50_us: Spread,
    router_p99_us: Spread,
    /// Of the medians; least and most: of the rounds.
    ratio: Spread,
    bar: Option<f64>,
    /// Whether the ratio keeps the bar.
    pub(super) met: Option<bool>,
}

/// A median, and how far rounds were from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = values.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let (half, last) = (sorted.len() / 2, sorted.len().saturating_sub(1));
        let median = if sorted.len() % 2 == 1 {
            at(half)
        } else {
            f64::midpoint(at(half.saturating_sub(1)), at(half))
        };
        Self { median, least: at(0), most: at(last) }
    }
}

impl Row {
    pub(super) fn new(workload: &Workload, passed: &[Sample], routed: &[Sample]) -> Self {
        let spread = |samples: &[Sample], of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of));
        let cpu = |s: &Sample| s.cpu_us;
        let rate = |s: &Sample| s.seen.requests as f64 / s.seen.seconds;
        let (pass_cpu_us, router_cpu_us) = (spread(passed, cpu), spread(routed, cpu));
        let rounds = Spread::of(passed.iter().zip(routed).map(|(p, r)| r.cpu_us / p.cpu_us));
        let ratio = Spread { median: router_cpu_us.median / pass_cpu_us.median, ..rounds };
        Self {
            workload: workload.name.to_owned(),
            what: workload.what,
            pass_cpu_us,
            router_cpu_us,
            router_cpu_us_by_thread: by_thread(routed),
            pass_requests_per_sec: spread(passed, rate),
            router_requests_per_sec: spread(routed, rate),
            pass_p50_us: spread(passed, |s| s.seen.p50_us as f64),
            router_p50_us: spread(routed, |s| s.seen.p50_us as f64),
            router_p99_us: spread(routed, |s| s.seen.p99_us as f64),
            ratio,
            bar: workload.bar,
            met: workload.bar.map(|bar| ratio.median <= bar),
        }
    }
}

/// Medians over the rounds; a thread that a round did not see used nothing in it.
fn by_thread(samples: &[Sample]) -> BTreeMap<String, f64> {
    let names = samples.iter().flat_map(|sample| sample.by_thread.keys());
    let of = |name: &String| {
        samples.iter().map(|sample| sample.by_thread.get(name).copied().unwrap_or(0.0)).collect()
    };
    let median = |values: Vec<f64>| Spread::of(values.into_iter()).median;
    names.map(|name| (name.clone(), median(of(name)))).collect()
}

/// The table, for people and for docs/benchmarks.md.
pub(super) fn table(figures: &Figures) -> String {
    let Figures { machine, connections, seconds, rows } = figures;
    let mut text = format!(
        "\n{} cores of {}; load average {:.1} before, {:.1} after; {connections} connections, {seconds} s a round\n\n",
        machine.cores, machine.processor, machine.load_average_before, machine.load_average_after
    );
    text.push_str(
        "| workload | pass-through CPU us | router CPU us | ratio | of the rounds | bar | |\n\
         |---|---:|---:|---:|---:|---:|---|\n",
    );
    for row in rows {
        let bar = row.bar.map_or_else(|| "-".to_owned(), |bar| format!("{bar:.1}"));
        let verdict = match row.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let ratio = row.ratio;
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.1} | {:.2} | {:.2}-{:.2} | {bar} | {verdict} |",
            row.what, row.pass_cpu_us.median, row.router_cpu_us.median, ratio.median, ratio.least, ratio.most
        );
    }
    text.push_str("\nThe router's, by thread:\n");
    for row in rows {
        let used = row.router_cpu_us_by_thread.iter().filter(|(_, us)| **us >= 0.05);
        let used: Vec<_> = used.map(|(name, us)| format!("{name} {us:.1}")).collect();
        let _ = writeln!(text, "- {}: {}", row.what, used.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::load::Seen;
    use super::super::workload::WORKLOADS;
    use super::*;

    fn samples(cpu_us: &[f64]) -> Vec<Sample> {
        let seen = Seen { requests: 100, seconds: 2.0, p50_us: 10, p99_us: 20 };
        let by_thread =
            |us: &f64| BTreeMap::from([("worker-0".to_owned(), us - 1.0), ("log".to_owned(), 1.0)]);
        cpu_us.iter().map(|us| Sample { cpu_us: *us, by_thread: by_thread(us), seen }).collect()
    }

    #[test]
    fn the_ratio_is_that_of_the_medians_and_decides() {
        let workload = Workload { bar: Some(2.5), ..WORKLOADS[0] };
        let check = |passed: &[f64], routed: &[f64], ratio: (f64, f64, f64), met: bool| {
            let row = Row::new(&workload, &samples(passed), &samples(routed));
            assert_eq!((row.ratio.median, row.ratio.least, row.ratio.most), ratio);
            assert_eq!(row.met, Some(met));
        };
        check(&[10.0, 20.0, 16.0], &[40.0, 40.0, 32.0], (2.5, 2.0, 4.0), true);
        check(&[10.0, 20.0], &[45.0, 45.0], (3.0, 2.25, 4.5), false);
    }

    #[test]
    fn the_table_says_which_bar_was_missed() {
        let row = Row::new(&WORKLOADS[0], &samples(&[10.0]), &samples(&[26.0]));
        let free = Row::new(&WORKLOADS[2], &samples(&[10.0]), &samples(&[26.0]));
        let machine = Machine {
            cores: 2,
            processor: "a processor".into(),
            load_average_before: 0.5,
            load_average_after: 1.0,
        };
        let text = table(&Figures { machine, connections: 64, seconds: 3, rows: vec![row, free] });
        assert!(text.contains("| 10.0 | 26.0 | 2.60 | 2.60-2.60 | 2.5 | MISSED |"), "{text}");
        assert!(text.contains("| 2.60-2.60 | - |  |"), "{text}");
        assert!(text.contains("- 1 KB, model named: log 1.0, worker-0 25.0\n"), "{text}");
    }
}
