//! The meta-schema of `when`: which attributes there are and which keywords each takes, for editors and for reading.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::rules::attribute::{Kind, TABLE};

/// The schema of `when`, made from the attribute table.
pub(crate) fn when_schema(generator: &mut SchemaGenerator) -> Schema {
    let inside = generator.subschema_for::<Inside>();
    let mut properties = Map::new();
    for (attribute, kind) in TABLE {
        properties.extend(attribute.names().map(|name| (name, schema_of(kind))));
    }
    for name in ["anyOf", "allOf"] {
        properties.insert(name.into(), json!({ "type": "array", "minItems": 1, "items": inside }));
    }
    properties.insert("not".into(), json!(inside));
    json_schema!({
        "description": "A map from attribute to JSON Schema. Every attribute named must have a value.",
        "type": "object", "properties": properties, "additionalProperties": false
    })
}

/// A map of conditions inside another: never empty.
struct Inside;

impl schemars::JsonSchema for Inside {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Conditions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = when_schema(generator);
        schema.insert("minProperties".into(), json!(1));
        schema
    }
}

fn schema_of(kind: Kind) -> Value {
    let keywords = kind.keywords().iter().map(|name| ((*name).to_owned(), keyword(name, kind)));
    json!({
        "type": "object", "minProperties": 1, "additionalProperties": false,
        "properties": keywords.collect::<Map<_, _>>()
    })
}

fn keyword(name: &str, kind: Kind) -> Value {
    match (name, kind) {
        ("const", _) => value_of(kind),
        ("enum", _) => json!({ "type": "array", "minItems": 1, "items": value_of(kind) }),
        ("pattern", _) => json!({ "type": "string" }),
        ("contains", Kind::List(item, _)) => schema_of(*item),
        ("minItems" | "maxItems", _) => json!({ "type": "integer", "minimum": 0 }),
        (_, Kind::Whole(low, high)) => value_of(Kind::Real(low, high)),
        _ => value_of(kind),
    }
}

fn value_of(kind: Kind) -> Value {
    let bounded = |name: &str, low: f64, high: f64| {
        let mut schema = json!({ "type": name, "minimum": low });
        if high.is_finite()
            && let Some(map) = schema.as_object_mut()
        {
            map.insert("maximum".into(), json!(high));
        }
        schema
    };
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Names(names) => json!({ "type": "string", "enum": names() }),
        Kind::Language => json!({ "type": "string", "pattern": "^[a-z]{2}$" }),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Whole(low, high) => bounded("integer", low, high),
        Kind::Real(low, high) => bounded("number", low, high),
        Kind::List(item, _) => json!({ "type": "array", "items": value_of(*item) }),
    }
}
