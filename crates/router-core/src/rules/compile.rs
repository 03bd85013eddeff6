//! Conditions -> one standard JSON Schema (`properties` + `required`), compiled.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

use crate::attributes::AttributeSet;
use crate::config::Problem;
use crate::rules::analyse;
use crate::rules::parse::{self, When};

/// A rule's `when`, read, found to be neither impossible nor empty of meaning, and compiled.
#[derive(Debug)]
pub(crate) struct Condition {
    /// The attributes it names.
    pub(crate) reads: AttributeSet,
    /// The standard JSON Schema.
    pub(crate) schema: Value,
    /// The same, compiled.
    pub(crate) validator: Validator,
    pub(super) when: When,
}

/// Reads, checks and compiles `when`.
///
/// # Errors
/// Everything wrong with it, with paths that begin with `path`.
pub(crate) fn condition(map: &Map<String, Value>, path: &str) -> Result<Condition, Vec<Problem>> {
    let mut problems = Vec::new();
    let when = parse::when(map, path, &mut problems);
    if problems.is_empty() {
        analyse::meaning(&when, path, &mut problems);
    }
    let schema = compiled(map);
    let options = jsonschema::options().with_draft(Draft::Draft202012);
    match options.with_pattern_options(PatternOptions::regex()).build(&schema) {
        Ok(validator) if problems.is_empty() => {
            Ok(Condition { reads: when.names(), schema, validator, when })
        }
        Ok(_) => Err(problems),
        Err(error) => {
            if problems.is_empty() {
                problems.push(Problem::new(path, format!("does not compile: {error}")));
            }
            Err(problems)
        }
    }
}

/// The standard schema of a map: its attributes as properties, all of them required, as are those named under `not`:
/// a negation must not hold for want of a value.
fn compiled(map: &Map<String, Value>) -> Value {
    let (mut properties, mut schema) = (Map::new(), Map::new());
    let mut required = AttributeSet::empty();
    for (name, value) in map {
        match name.as_str() {
            "anyOf" | "allOf" => {
                let inside = value.as_array().into_iter().flatten().filter_map(Value::as_object);
                schema.insert(name.clone(), inside.map(compiled).collect());
            }
            "not" => {
                let inside = value.as_object().cloned().unwrap_or_default();
                required |= named(&inside);
                schema.insert(name.clone(), compiled(&inside));
            }
            _ => {
                required |= AttributeSet::named(name).unwrap_or_default();
                properties.insert(name.clone(), value.clone());
            }
        }
    }
    if !properties.is_empty() {
        schema.insert("properties".into(), Value::Object(properties));
    }
    if !required.is_empty() {
        schema.insert("required".into(), json!(required.names().collect::<Vec<_>>()));
    }
    Value::Object(schema)
}

/// Every attribute named in a map, at any depth.
fn named(map: &Map<String, Value>) -> AttributeSet {
    let of = |(name, value): (&String, &Value)| match name.as_str() {
        "anyOf" | "allOf" => {
            value.as_array().into_iter().flatten().filter_map(Value::as_object).map(named).collect()
        }
        "not" => value.as_object().map(named).unwrap_or_default(),
        _ => AttributeSet::named(name).unwrap_or_default(),
    };
    map.iter().map(of).collect()
}
