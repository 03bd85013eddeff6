//! A report as a table for a terminal.

use std::fmt::{Display, Formatter, Result};

use super::{Figures, Percentiles, Report};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let total = &self.total;
        for (name, value) in [
            ("requests", total.requests.to_string()),
            ("error rate", percent(total.error_rate)),
            ("latency p50 / p95", both(total.latency_ms)),
            ("first byte p50 / p95", both(total.first_byte_ms)),
            ("tokens", total.tokens.to_string()),
            ("cost", format!("{} USD", total.cost_usd)),
            ("cost per success", total.cost_per_success_usd.map_or("-".into(), |c| format!("{c} USD"))),
            ("saved", format!("{} USD", total.saved_usd)),
            ("attempts", attempts(total)),
        ] {
            writeln!(f, "{name:<22}{value}")?;
        }
        if total.simulated_requests > 0 {
            let (n, cost) = (total.simulated_requests, total.simulated_cost_usd);
            writeln!(f, "{:<22}{n} requests, {cost} USD at list price, not in the cost", "simulated")?;
        }
        self.rows(f)
    }
}

impl Report {
    fn rows(&self, f: &mut Formatter<'_>) -> Result {
        let Some(first) = self.rows.as_deref().and_then(<[_]>::first) else {
            return Ok(());
        };
        let figures = ["requests", "errors", "p50 / p95", "tokens", "cost USD", "saved USD"];
        let header: Vec<String> = first.group.keys().copied().chain(figures).map(str::to_owned).collect();
        let labels = first.group.len();
        let mut table = vec![header];
        for row in self.rows.iter().flatten() {
            let group = row.group.values().map(|value| value.clone().unwrap_or_else(|| "-".into()));
            table.push(group.chain(cells(&row.figures)).collect());
        }
        let columns = labels + figures.len();
        let width =
            |column| table.iter().filter_map(|row| row.get(column)).map(|c: &String| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        writeln!(f)?;
        for row in &table {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                if column < labels {
                    write!(f, "{gap}{cell:<width$}")?;
                } else {
                    write!(f, "{gap}{cell:>width$}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn cells(figures: &Figures) -> [String; 6] {
    [
        figures.requests.to_string(),
        percent(figures.error_rate),
        both(figures.latency_ms),
        figures.tokens.to_string(),
        figures.cost_usd.to_string(),
        figures.saved_usd.to_string(),
    ]
}

fn attempts(total: &Figures) -> String {
    let Figures { attempts, open_attempts, lost_attempts, estimated_attempts, .. } = total;
    format!("{attempts} ({open_attempts} open, {lost_attempts} lost, {estimated_attempts} estimated)")
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn both(of: Percentiles) -> String {
    let ms = |value: Option<f64>| value.map_or("-".into(), |ms| format!("{ms:.0}"));
    format!("{} / {} ms", ms(of.p50), ms(of.p95))
}

#[cfg(test)]
mod tests {
    use super::super::{Report, ReportRow};

    #[test]
    fn the_table_lines_up() {
        let row = |key: Option<&str>, requests| ReportRow {
            group: [("key", key.map(str::to_owned))].into(),
            figures: super::Figures { requests, ..Default::default() },
        };
        let report =
            Report { rows: Some(vec![row(Some("invoice-bot"), 12), row(None, 3)]), ..Report::default() };
        let text = report.to_string();
        let table: Vec<&str> = text.split("\n\n").nth(1).unwrap().lines().collect();
        assert_eq!(
            table,
            [
                "key          requests  errors  p50 / p95  tokens  cost USD  saved USD",
                "invoice-bot        12  0.00 %   - / - ms       0         0          0",
                "-                   3  0.00 %   - / - ms       0         0          0",
            ]
        );
    }
}
