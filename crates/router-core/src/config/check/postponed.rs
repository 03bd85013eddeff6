//! Parts that are written down and not there yet: refused with their path, never ignored.

use crate::config::File;
use crate::config::check::Report;
use crate::config::file::Record;

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
    }
    for (_, path) in refused.into_iter().filter(|(given, _)| *given) {
        report.problem(path, NOT_AVAILABLE);
    }
}
