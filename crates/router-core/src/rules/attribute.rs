//! The attribute table: what each attribute can be. Everything rules know of attributes is derived from it.

use crate::attributes::{AttributeSet, Task, Topic};
use crate::capability;
use crate::chat::DialectId;

/// What values an attribute can have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// One of these names.
    Names(fn() -> Vec<&'static str>),
    /// Two lower-case letters, ISO 639-1.
    Language,
    /// True or false.
    Truth,
    /// A whole number between bounds.
    Whole(f64, f64),
    /// A number between bounds.
    Real(f64, f64),
    /// A list of at most so many items of one kind.
    List(&'static Kind, u64),
}

const COUNT: Kind = Kind::Whole(0.0, f64::INFINITY);
const SHARE: Kind = Kind::Real(0.0, 1.0);

/// Every attribute with its kind.
pub(crate) const TABLE: [(AttributeSet, Kind); 23] = [
    (AttributeSet::MODEL, Kind::Text),
    (AttributeSet::DIALECT, Kind::Names(dialects)),
    (AttributeSet::INPUT_TOKENS, COUNT),
    (AttributeSet::EXPECTED_OUTPUT_TOKENS, COUNT),
    (AttributeSet::MAX_TOKENS, COUNT),
    (AttributeSet::TEMPERATURE, Kind::Real(0.0, f64::INFINITY)),
    (AttributeSet::STREAM, Kind::Truth),
    (AttributeSet::TURNS, COUNT),
    (AttributeSet::TOOLS, COUNT),
    (AttributeSet::CAPABILITIES, Kind::List(&Kind::Names(capabilities), capability::NAMES.len() as u64)),
    (AttributeSet::LANGUAGE, Kind::Language),
    (AttributeSet::TASK, Kind::Names(tasks)),
    (AttributeSet::TOPIC, Kind::Names(topics)),
    (AttributeSet::COMPLEXITY_SCORE, SHARE),
    (AttributeSet::CONFIDENCE, SHARE),
    (AttributeSet::LATENCY_BUDGET_MS, COUNT),
    (AttributeSet::QUALITY, SHARE),
    (AttributeSet::TAGS, Kind::List(&Kind::Text, u64::MAX)),
    (AttributeSet::KEY, Kind::Text),
    (AttributeSet::OWNER, Kind::Text),
    (AttributeSet::SESSION_ID, Kind::Text),
    (AttributeSet::HOUR_UTC, Kind::Whole(0.0, 23.0)),
    (AttributeSet::WEEKDAY_UTC, Kind::Whole(1.0, 7.0)),
];

fn dialects() -> Vec<&'static str> {
    use DialectId as D;
    [D::OpenaiChat, D::OpenaiResponses, D::Anthropic, D::Gemini, D::Bedrock].map(DialectId::name).to_vec()
}

fn capabilities() -> Vec<&'static str> {
    capability::NAMES.iter().map(|(name, _)| *name).collect()
}

fn tasks() -> Vec<&'static str> {
    Task::ALL.iter().map(|task| task.name()).collect()
}

fn topics() -> Vec<&'static str> {
    Topic::ALL.iter().map(|topic| topic.name()).collect()
}

/// The attribute with this name.
pub(crate) fn named(name: &str) -> Option<(AttributeSet, Kind)> {
    let bit = AttributeSet::named(name)?;
    TABLE.iter().copied().find(|(b, _)| *b == bit)
}

/// The kind of one attribute.
pub(crate) fn kind(attribute: AttributeSet) -> Kind {
    TABLE.iter().find(|(b, _)| *b == attribute).map_or(Kind::Text, |(_, kind)| *kind)
}

/// A whole number in 0..=23, say.
impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let range = |f: &mut std::fmt::Formatter<'_>, what: &str, low: f64, high: f64| {
            if high.is_finite() {
                write!(f, "{what} in {low}..={high}")
            } else {
                write!(f, "{what}, {low} or more")
            }
        };
        match self {
            Self::Text => f.write_str("a text"),
            Self::Names(names) => write!(f, "one of {}", names().join(", ")),
            Self::Language => f.write_str("two lower-case letters (ISO 639-1)"),
            Self::Truth => f.write_str("true or false"),
            Self::Whole(low, high) => range(f, "a whole number", *low, *high),
            Self::Real(low, high) => range(f, "a number", *low, *high),
            Self::List(item, _) => write!(f, "a list; each item is {item}"),
        }
    }
}

impl Kind {
    /// The keywords that can apply to it.
    pub(crate) const fn keywords(self) -> &'static [&'static str] {
        match self {
            Self::Text | Self::Names(_) | Self::Language => &["const", "enum", "pattern"],
            Self::Truth => &["const", "enum"],
            Self::Whole(..) | Self::Real(..) => {
                &["const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
            }
            Self::List(..) => &["contains", "minItems", "maxItems"],
        }
    }

    /// Whether the attribute can have this value.
    pub(crate) fn admits(self, value: &serde_json::Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Names(names) => value.as_str().is_some_and(|v| names().contains(&v)),
            Self::Language => {
                value.as_str().is_some_and(|v| v.len() == 2 && v.bytes().all(|b| b.is_ascii_lowercase()))
            }
            Self::Truth => value.is_boolean(),
            Self::Whole(low, high) => {
                value.as_f64().is_some_and(|v| v.fract() == 0.0 && (low..=high).contains(&v))
            }
            Self::Real(low, high) => value.as_f64().is_some_and(|v| (low..=high).contains(&v)),
            Self::List(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_in_the_table_once() {
        let mut all = AttributeSet::empty();
        for (attribute, _) in TABLE {
            assert!(!all.intersects(attribute), "{attribute:?}");
            all |= attribute;
        }
        assert_eq!(all, AttributeSet::all());
    }

    #[test]
    fn the_table_agrees_with_the_published_schema_of_attributes() {
        let schema = serde_json::to_value(schemars::schema_for!(crate::attributes::Attributes)).unwrap();
        for (attribute, kind) in TABLE {
            let name = attribute.names().next().unwrap();
            let written = schema["properties"][&name].to_string();
            let expected = match kind {
                Kind::Text | Kind::Language => "\"string\"",
                Kind::Names(_) => "$ref",
                Kind::Truth => "\"boolean\"",
                Kind::Whole(..) => "\"integer\"",
                Kind::Real(..) => "\"number\"",
                Kind::List(Kind::Text, _) => "\"array\"",
                Kind::List(..) => "Capabilities",
            };
            assert!(written.contains(expected), "{name}: {written}");
        }
    }
}
