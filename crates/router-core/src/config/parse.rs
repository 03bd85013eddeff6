//! A JSON value -> the file's types. The published schema finds every slip with its path; the types then read what
//! passed it. No message shows a text from the file unless it is a name, so none can show a secret.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::config::{File, Problem};

/// Reads a configuration. `${}` must have been replaced already, a missing provider key by `null`.
///
/// # Errors
/// Every unknown key, wrong type and value out of range, with its path.
pub fn parse(value: &Value) -> Result<File, Vec<Problem>> {
    static FORM: LazyLock<Form> = LazyLock::new(form::<File>);
    read(value, &FORM)
}

/// Reads a catalog.
///
/// # Errors
/// As [`parse`].
pub fn parse_catalog(value: &Value) -> Result<Catalog, Vec<Problem>> {
    static FORM: LazyLock<Form> = LazyLock::new(form::<Catalog>);
    read(value, &FORM)
}

/// A published schema, and the same compiled. A constant of its type, so it is made once.
type Form = (Value, Result<Validator, String>);

fn form<T: JsonSchema>() -> Form {
    let schema = schemars::schema_for!(T).to_value();
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string());
    (schema, validator)
}

fn read<T: DeserializeOwned>(value: &Value, (schema, validator): &Form) -> Result<T, Vec<Problem>> {
    let mut problems = Vec::new();
    match validator {
        Ok(validator) => {
            validator.iter_errors(value).for_each(|error| explain(&error, schema, &mut problems));
        }
        Err(error) => problems.push(Problem::new("", format!("the schema does not compile: {error}"))),
    }
    // What a schema cannot say (more decimals than money has) is found while reading, one at a time.
    let mut rest = value.clone();
    while problems.len() < MAX_PROBLEMS {
        let error = match serde_path_to_error::deserialize::<_, T>(&rest) {
            Ok(read) if problems.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(error) => error,
        };
        let path = pointer(error.path());
        let shown = path_of(&path);
        if !problems.iter().any(|p| overlaps(&p.path, &shown)) {
            problems.push(Problem::new(&shown, error.inner().to_string()));
        }
        if !remove(&mut rest, &path) {
            break;
        }
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}

/// Nobody reads more at once.
const MAX_PROBLEMS: usize = 1_000;

fn overlaps(a: &str, b: &str) -> bool {
    a.is_empty() || b.is_empty() || a.starts_with(b) || b.starts_with(a)
}

fn explain(error: &ValidationError<'_>, schema: &Value, problems: &mut Vec<Problem>) {
    let path = location(error.instance_path());
    let text = match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            let known = known_keys(schema, error.schema_path());
            for name in unexpected {
                problems.push(Problem::new(join(&path, name), unknown_key(name, &known)));
            }
            return;
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            return branch(error, context, schema, problems);
        }
        Kind::Required { property } => {
            format!("\"{}\" is missing", property.as_str().unwrap_or_default())
        }
        Kind::Type { kind } => format!("is {}, must be {}", type_name(error.instance()), types(kind)),
        Kind::Enum { options } => {
            let options = options.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>();
            format!("{} is not one of {}", plain(error.instance()), options.join(", "))
        }
        Kind::Constant { expected_value } => format!("must be {}", plain(expected_value)),
        Kind::Minimum { limit } => format!("{} is below {limit}", plain(error.instance())),
        Kind::Maximum { limit } => format!("{} is above {limit}", plain(error.instance())),
        Kind::MinLength { .. } | Kind::MinProperties { .. } | Kind::MinItems { .. } => {
            "must not be empty".into()
        }
        Kind::UniqueItems => "holds something twice".into(),
        Kind::Pattern { pattern } => format!("does not look like {pattern}"),
        other => format!("does not satisfy {}", other.keyword()),
    };
    problems.push(Problem::new(path, text));
}

/// Of alternatives, the one that is meant is that whose type fits; its problems are shown.
fn branch(
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
    schema: &Value,
    problems: &mut Vec<Problem>,
) {
    let here = error.instance_path().as_str();
    let misses = |errors: &&Vec<ValidationError<'static>>| {
        errors.iter().any(|e| matches!(e.kind(), Kind::Type { .. }) && e.instance_path().as_str() == here)
    };
    // Named values with a description each are alternatives too.
    let named: Vec<String> = context
        .iter()
        .flatten()
        .filter(|e| e.instance_path().as_str() == here)
        .filter_map(|e| match e.kind() {
            Kind::Constant { expected_value } => Some(vec![plain(expected_value)]),
            Kind::Enum { options } => Some(options.as_array().into_iter().flatten().map(plain).collect()),
            _ => None,
        })
        .flatten()
        .collect();
    if named.len() > 1 && error.instance().is_string() {
        let text = format!("{} is not one of {}", plain(error.instance()), named.join(", "));
        return problems.push(Problem::new(location(error.instance_path()), text));
    }
    if let Some(meant) = context.iter().find(|errors| !misses(errors)) {
        // What a decimal must look like is said better by the type that reads it.
        let told = meant.iter().filter(|inner| !matches!(inner.kind(), Kind::Pattern { .. }));
        told.for_each(|inner| explain(inner, schema, problems));
        return;
    }
    let wanted: Vec<String> = context
        .iter()
        .flatten()
        .filter_map(|e| match e.kind() {
            Kind::Type { kind } => Some(types(kind)),
            _ => None,
        })
        .collect();
    let text = format!("is {}, must be {}", type_name(error.instance()), wanted.join(" or "));
    problems.push(Problem::new(location(error.instance_path()), text));
}

fn unknown_key(name: &str, known: &[String]) -> String {
    match known.iter().map(|k| (distance(k, name), k)).min() {
        Some((away, near)) if away <= 2 => format!("unknown key; did you mean \"{near}\"?"),
        Some(_) => format!("unknown key; known here: {}", known.join(", ")),
        None => "unknown key".into(),
    }
}

/// The members that the object schema around a keyword declares.
fn known_keys(schema: &Value, keyword: &Location) -> Vec<String> {
    let around = keyword.as_str().rsplit_once('/').map_or("", |(around, _)| around);
    let found = schema.pointer(around).and_then(|s| s["properties"].as_object());
    found.map(|p| p.keys().cloned().collect()).unwrap_or_default()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cb, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(ca != *cb)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => wanted(&one.to_string()),
        TypeKind::Multiple(many) => {
            many.iter().map(|t| wanted(&t.to_string())).collect::<Vec<_>>().join(" or ")
        }
    }
}

/// JSON Schema's name of a type, in words.
fn wanted(schema_type: &str) -> String {
    match schema_type {
        "object" => "a map",
        "array" => "a list",
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    }
    .to_owned()
}

const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// A number or a name, short.
fn plain(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { text.chars().take(57).chain("...".chars()).collect() } else { text }
}

fn location(location: &Location) -> String {
    location.segments().fold(String::new(), |path, segment| match segment {
        LocationSegment::Property(name) => join(&path, &name),
        LocationSegment::Index(at) => format!("{path}[{at}]"),
    })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn pointer(path: &serde_path_to_error::Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            serde_path_to_error::Segment::Seq { index } => Some(Step::At(*index)),
            serde_path_to_error::Segment::Map { key } => Some(Step::Key(key.clone())),
            _ => None,
        })
        .collect()
}

enum Step {
    At(usize),
    Key(String),
}

fn path_of(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Key(name) => join(&path, name),
        Step::At(at) => format!("{path}[{at}]"),
    })
}

/// Takes out what a path names, so that reading can go on behind it.
fn remove(value: &mut Value, steps: &[Step]) -> bool {
    match (steps, value) {
        ([Step::Key(name)], Value::Object(map)) => map.remove(name).is_some(),
        // Without an item, all behind it would have other paths.
        ([Step::At(_)], Value::Array(_)) => false,
        ([Step::Key(name), rest @ ..], Value::Object(map)) => {
            map.get_mut(name).is_some_and(|inside| remove(inside, rest))
        }
        ([Step::At(at), rest @ ..], Value::Array(items)) => {
            items.get_mut(*at).is_some_and(|inside| remove(inside, rest))
        }
        _ => false,
    }
}
