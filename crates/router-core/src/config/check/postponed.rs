//! Parts that are written down and not there yet: refused with their path, never ignored.

use crate::config::File;
use crate::config::check::Report;
use crate::config::file::{Record, Strategy};

pub(super) const NOT_AVAILABLE: &str = "not available in this version";

pub(super) fn check(file: &File, report: &mut Report) {
    let classifier = &file.classifier;
    let mut refused: Vec<(bool, String)> = vec![
        (!file.passthrough.is_empty(), "passthrough".into()),
        (!file.server.fetch_images.is_empty(), "server.fetch_images".into()),
        (!file.server.compat.is_empty(), "server.compat".into()),
        (classifier.record != Record::Read, "classifier.record".into()),
        (classifier.examples.is_some(), "classifier.examples".into()),
        (classifier.model_dir.is_some(), "classifier.model_dir".into()),
    ];
    for (at, rule) in file.rules.iter().enumerate() {
        refused.push((rule.then.split.is_some(), format!("rules[{at}].use.split")));
        refused.push((later(rule.then.strategy), format!("rules[{at}].use.strategy")));
    }
    for (name, model) in &file.models {
        refused.push((later(model.strategy), format!("models.{name}.strategy")));
    }
    for (_, path) in refused.into_iter().filter(|(given, _)| *given) {
        report.problem(path, NOT_AVAILABLE);
    }
}

fn later(strategy: Option<Strategy>) -> bool {
    matches!(strategy, Some(Strategy::LeastBusy | Strategy::LowestLatency))
}
