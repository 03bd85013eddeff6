//! `when` as written -> conditions, with every slip reported by its path.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value, json};

use crate::attributes::AttributeSet;
use crate::config::Problem;
use crate::rules::attribute::{self, Kind};

/// A map of conditions: all of them hold.
#[derive(Clone, Debug, Default)]
pub(super) struct When {
    /// Conditions on attributes.
    pub attributes: Vec<(AttributeSet, Vec<Keyword>)>,
    /// All of these hold too.
    pub all_of: Vec<When>,
    /// If given, at least one of these holds.
    pub any_of: Option<Vec<When>>,
    /// If given, this does not hold, although everything it names has a value.
    pub not: Option<Box<When>>,
}

/// One keyword of an attribute's schema.
#[derive(Clone, Debug)]
pub(super) enum Keyword {
    /// `const`, `enum`
    Values(Vec<Value>),
    /// `minimum`, `exclusiveMinimum` (open)
    Min { bound: f64, open: bool },
    /// `maximum`, `exclusiveMaximum` (open)
    Max { bound: f64, open: bool },
    /// `pattern`
    Pattern(Pattern),
    /// `contains`: its text, by which two are compared, and its keywords.
    Contains(String, Vec<Keyword>),
    /// `minItems`
    MinItems(u64),
    /// `maxItems`
    MaxItems(u64),
}

/// A regular expression of linear time, with the very meaning it has in the compiled schema.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// As written.
    pub text: String,
    validator: Arc<Validator>,
}

impl Pattern {
    fn new(text: &str) -> Option<Self> {
        let schema = json!({ "pattern": text });
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        let validator = options.build(&schema).ok()?;
        Some(Self { text: text.to_owned(), validator: Arc::new(validator) })
    }

    /// Whether it is found in a text.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.validator.is_valid(&Value::String(text.to_owned()))
    }
}

impl When {
    /// Every attribute named in it, at any depth.
    pub(super) fn names(&self) -> AttributeSet {
        let direct = self.attributes.iter().map(|(a, _)| *a);
        direct.chain(self.children().map(Self::names)).collect()
    }

    /// The maps inside it.
    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        self.all_of.iter().chain(self.any_of.iter().flatten()).chain(self.not.as_deref())
    }
}

/// How deep maps may lie inside each other; a deeper one is no rule anybody reads.
const MAX_DEPTH: usize = 16;

/// Reads a map of conditions.
pub(super) fn when(map: &Map<String, Value>, path: &str, problems: &mut Vec<Problem>) -> When {
    nested(map, path, 0, problems)
}

fn nested(map: &Map<String, Value>, path: &str, depth: usize, problems: &mut Vec<Problem>) -> When {
    let mut when = When::default();
    if depth > MAX_DEPTH {
        problems.push(Problem::new(path, format!("deeper than {MAX_DEPTH} levels")));
        return when;
    }
    for (name, value) in map {
        let path = format!("{path}.{name}");
        match name.as_str() {
            "anyOf" => when.any_of = Some(list(value, &path, depth, problems)),
            "allOf" => when.all_of = list(value, &path, depth, problems),
            "not" => when.not = inside(value, &path, depth, problems).map(Box::new),
            _ => {
                let Some((attribute, kind)) = attribute::named(name) else {
                    let known: Vec<String> = AttributeSet::all().names().collect();
                    let text = format!(
                        "unknown attribute \"{name}\"; one of: {}, anyOf, allOf, not",
                        known.join(", ")
                    );
                    problems.push(Problem::new(path, text));
                    continue;
                };
                when.attributes.push((attribute, schema(value, kind, &path, problems)));
            }
        }
    }
    when
}

fn list(value: &Value, path: &str, depth: usize, problems: &mut Vec<Problem>) -> Vec<When> {
    let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
        problems.push(Problem::new(path, "must be a list of at least one map of conditions"));
        return Vec::new();
    };
    let each = items.iter().enumerate();
    each.filter_map(|(at, item)| inside(item, &format!("{path}[{at}]"), depth, problems)).collect()
}

fn inside(value: &Value, path: &str, depth: usize, problems: &mut Vec<Problem>) -> Option<When> {
    let Some(map) = value.as_object().filter(|map| !map.is_empty()) else {
        problems.push(Problem::new(
            path,
            "must be a map of at least one condition: an empty one accepts everything",
        ));
        return None;
    };
    Some(nested(map, path, depth + 1, problems))
}

/// Reads the schema of one attribute, or of the items of a list.
fn schema(value: &Value, kind: Kind, path: &str, problems: &mut Vec<Problem>) -> Vec<Keyword> {
    let Some(map) = value.as_object() else {
        let text = format!("must be a schema, such as {{ const: {} }}", shown(value));
        problems.push(Problem::new(path, text));
        return Vec::new();
    };
    if map.is_empty() {
        problems.push(Problem::new(path, "an empty schema accepts everything"));
    }
    let mut keywords = Vec::new();
    for (name, value) in map {
        let path = format!("{path}.{name}");
        if kind.keywords().contains(&name.as_str()) {
            keywords.extend(keyword(name, value, kind, &path, problems));
        } else {
            problems.push(Problem::new(path, not_applicable(name, kind)));
        }
    }
    keywords
}

fn not_applicable(name: &str, kind: Kind) -> String {
    let usable = kind.keywords().join(", ");
    let known = attribute::TABLE.iter().any(|(_, k)| k.keywords().contains(&name));
    if known {
        format!("{name} cannot apply to {kind}; usable: {usable}")
    } else {
        format!("unknown keyword \"{name}\"; usable: {usable}")
    }
}

fn keyword(
    name: &str,
    value: &Value,
    kind: Kind,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Keyword> {
    match name {
        "const" => {
            possible(value, kind, path, problems);
            Some(Keyword::Values(vec![value.clone()]))
        }
        "enum" => {
            let Some(values) = value.as_array().filter(|values| !values.is_empty()) else {
                problems.push(Problem::new(path, "must be a list of at least one value"));
                return None;
            };
            for (at, value) in values.iter().enumerate() {
                possible(value, kind, &format!("{path}[{at}]"), problems);
            }
            Some(Keyword::Values(values.clone()))
        }
        "pattern" => {
            let pattern = value.as_str().and_then(Pattern::new);
            if pattern.is_none() {
                let text = format!(
                    "{} is not a regular expression (no look-around, no back-references)",
                    shown(value)
                );
                problems.push(Problem::new(path, text));
            }
            pattern.map(Keyword::Pattern)
        }
        "contains" => {
            let Kind::List(item, _) = kind else { return None };
            let keywords = schema(value, *item, path, problems);
            Some(Keyword::Contains(value.to_string(), keywords))
        }
        "minItems" | "maxItems" => {
            let Some(count) = value.as_u64() else {
                problems.push(Problem::new(path, format!("{} is not a count", shown(value))));
                return None;
            };
            Some(if name == "minItems" { Keyword::MinItems(count) } else { Keyword::MaxItems(count) })
        }
        _ => bound(name, value, kind, path, problems),
    }
}

fn bound(name: &str, value: &Value, kind: Kind, path: &str, problems: &mut Vec<Problem>) -> Option<Keyword> {
    let (Kind::Whole(low, high) | Kind::Real(low, high)) = kind else { return None };
    match value.as_f64() {
        Some(bound) if (low..=high).contains(&bound) => Some(match name {
            "minimum" => Keyword::Min { bound, open: false },
            "exclusiveMinimum" => Keyword::Min { bound, open: true },
            "maximum" => Keyword::Max { bound, open: false },
            _ => Keyword::Max { bound, open: true },
        }),
        _ => {
            problems.push(Problem::new(path, format!("{} is not {kind}", shown(value))));
            None
        }
    }
}

fn possible(value: &Value, kind: Kind, path: &str, problems: &mut Vec<Problem>) {
    if !kind.admits(value) {
        problems.push(Problem::new(path, format!("{} can never be: it is {kind}", shown(value))));
    }
}

/// A value as text, cut: problems are read by people.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 80 { text.chars().take(77).chain("...".chars()).collect() } else { text }
}
