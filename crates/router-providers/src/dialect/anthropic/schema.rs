//! Whether a JSON Schema is within what Anthropic's constrained output accepts. Nothing is rewritten: a constraint taken
//! out in silence would be a promise broken.

use serde_json::Value;
use serde_json::value::RawValue;

/// Keywords the API refuses (Claude API documentation, "Structured outputs", JSON Schema limitations).
const REFUSED: [&str; 21] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "contains",
    "prefixItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "dependentSchemas",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
];

/// Checks a schema whole.
///
/// # Errors
/// The JSON pointer of the first thing not accepted, and what it is.
pub(super) fn check(schema: &RawValue) -> Result<(), String> {
    let schema: Value = serde_json::from_str(schema.get()).map_err(|problem| problem.to_string())?;
    check_at(&schema, "")
}

fn check_at(schema: &Value, at: &str) -> Result<(), String> {
    let Value::Object(members) = schema else { return Ok(()) };
    if let Some(keyword) = REFUSED.iter().find(|keyword| members.contains_key(**keyword)) {
        return Err(format!("{at}/{keyword} in a schema"));
    }
    if members.get("minItems").is_some_and(|least| least.as_u64().is_none_or(|least| least > 1)) {
        return Err(format!("{at}/minItems above 1 in a schema"));
    }
    if members.get("$ref").is_some_and(|to| to.as_str().is_none_or(|to| !to.starts_with("#/"))) {
        return Err(format!("{at}/$ref outside the schema's definitions"));
    }
    let is_object =
        members.get("type").and_then(Value::as_str) == Some("object") || members.contains_key("properties");
    if is_object && members.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err(format!("{at}: an object schema without \"additionalProperties\": false"));
    }
    for key in ["properties", "$defs", "definitions"] {
        for (name, inner) in members.get(key).and_then(Value::as_object).into_iter().flatten() {
            check_at(inner, &format!("{at}/{key}/{name}"))?;
        }
    }
    for key in ["anyOf", "allOf"] {
        for (place, inner) in members.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
            check_at(inner, &format!("{at}/{key}/{place}"))?;
        }
    }
    members.get("items").map_or(Ok(()), |inner| check_at(inner, &format!("{at}/items")))
}
