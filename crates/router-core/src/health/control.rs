//! Taken out by hand: a deployment, or all of a provider, until a time or until somebody puts it back.
//!
//! What an operator has taken out is refused, not deferred: it is called by nobody, not even as the last resort. What is
//! in flight there ends as it would have.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// In which intention it was taken out. For requests it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// It is not to be used.
    Disable,
    /// It is to be used no more, and somebody waits for what is in flight to end.
    Drain,
}

impl Removal {
    /// The public name: `disabled` or `draining`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disabled",
            Self::Drain => "draining",
        }
    }
}

/// Taken out by hand, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// In which intention.
    pub removal: Removal,
    /// The operator's words.
    pub reason: Arc<str>,
    /// It comes back then by itself; `None`: when somebody puts it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Since when.
    pub since: Timestamp,
}

impl Control {
    /// Whether it holds at this moment.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// A key by which of two the one that lasts longer is the greater.
    fn lasts(&self) -> Timestamp {
        self.until.unwrap_or(Timestamp::from_micros(u64::MAX))
    }
}

/// What can be taken out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// One deployment, by id.
    Deployment(Arc<str>),
    /// All deployments of a provider, by its name.
    Provider(Arc<str>),
}

impl Subject {
    /// As text: `deployment:openai/gpt-4o`, `provider:openai`.
    pub fn text(&self) -> String {
        match self {
            Self::Deployment(id) => format!("deployment:{id}"),
            Self::Provider(name) => format!("provider:{name}"),
        }
    }

    /// From such text; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("deployment", id) if !id.is_empty() => Some(Self::Deployment(id.into())),
            ("provider", name) if !name.is_empty() => Some(Self::Provider(name.into())),
            _ => None,
        }
    }

    /// Whether it stands for this deployment of this provider.
    pub fn covers(&self, deployment: &str, provider: &str) -> bool {
        match self {
            Self::Deployment(id) => **id == *deployment,
            Self::Provider(name) => **name == *provider,
        }
    }
}

/// Everything that is taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls(BTreeMap<Subject, Control>);

impl Controls {
    /// What holds for a deployment of this provider: its own, or its provider's if that lasts longer.
    pub fn of(&self, deployment: &str, provider: &str) -> Option<&Control> {
        let covering = self.0.iter().filter(|(subject, _)| subject.covers(deployment, provider));
        covering.map(|(_, control)| control).max_by_key(|control| control.lasts())
    }

    /// Takes a subject out, or puts it back; what was there before.
    pub fn set(&mut self, subject: Subject, control: Option<Control>) -> Option<Control> {
        match control {
            Some(control) => self.0.insert(subject, control),
            None => self.0.remove(&subject),
        }
    }

    /// All, by subject.
    pub fn iter(&self) -> impl Iterator<Item = (&Subject, &Control)> {
        self.0.iter()
    }
}

impl FromIterator<(Subject, Control)> for Controls {
    fn from_iter<I: IntoIterator<Item = (Subject, Control)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(until_secs: Option<u64>) -> Control {
        Control {
            removal: Removal::Disable,
            reason: "planned".into(),
            until: until_secs.map(|s| Timestamp::from_millis(s * 1_000)),
            since: Timestamp::ZERO,
        }
    }

    /// `deployment:` or `provider:` with seconds or `-` for ever; then until when `a/m` is out.
    fn check(controls: &[(&str, Option<u64>)], expected: Option<Option<u64>>) {
        let parsed = |(text, until): &(&str, Option<u64>)| (Subject::parse(text).unwrap(), control(*until));
        let all: Controls = controls.iter().map(parsed).collect();
        let got = all.of("a/m", "a").map(|c| c.until.map(crate::time::Timestamp::as_secs));
        assert_eq!(got, expected, "{controls:?}");
    }

    #[test]
    fn its_own_or_its_providers_whichever_lasts_longer() {
        check(&[], None);
        check(&[("deployment:a/n", None), ("provider:b", None), ("provider:a/m", None)], None);
        check(&[("deployment:a/m", Some(5))], Some(Some(5)));
        check(&[("deployment:a/m", Some(5)), ("provider:a", Some(9))], Some(Some(9)));
        check(&[("deployment:a/m", None), ("provider:a", Some(9))], Some(None));
    }

    #[test]
    fn it_is_refused_with_the_reason_and_called_by_nobody() {
        use crate::select::testing::{compiled, input_on, plan};
        let compiled = compiled("a/m\nb/m\nmodel m a/m b/m strategy=priority");
        let mut input = input_on("model=m a/m:disabled", Some(&compiled));
        let (deployment, until) = (compiled.deployment_named("a/m").unwrap(), Some(Timestamp::ZERO));
        input.disabled = vec![crate::select::Disabled { deployment, reason: "planned".into(), until }];
        let decision = crate::select::decide(&compiled, &input);
        assert_eq!(plan(&compiled, &decision.plan), "b/m");
        let verdict = decision.verdict(deployment).unwrap();
        assert_eq!(verdict.reason.map(crate::select::Reason::name), Some("disabled"));
        let detail = verdict.detail.as_ref().unwrap().to_string();
        assert_eq!(detail, "taken out by hand until 1970-01-01T00:00:00.000000Z: planned");
    }

    #[test]
    fn subjects_are_text_and_back_and_controls_end() {
        for text in ["deployment:a/m:free", "provider:a"] {
            assert_eq!(Subject::parse(text).unwrap().text(), text);
        }
        for wrong in ["", "a/m", "deployment:", "model:a"] {
            assert_eq!(Subject::parse(wrong), None, "{wrong}");
        }
        assert!(control(None).holds(Timestamp::from_millis(9_000)));
        assert!(control(Some(9)).holds(Timestamp::from_millis(8_999)));
        assert!(!control(Some(9)).holds(Timestamp::from_millis(9_000)));
        let text = serde_json::to_string(&control(Some(9))).unwrap();
        assert_eq!(serde_json::from_str::<Control>(&text).unwrap(), control(Some(9)));
    }
}
