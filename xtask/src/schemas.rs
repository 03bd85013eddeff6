//! `schemas/*.json`, generated from the Rust types, committed, compared by CI. A new schema is a row of the table.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use router_core::attributes::Attributes;
use router_core::catalog::Catalog;
use router_core::chat::RequestOptions;
use router_core::config::File;
use router_core::record::log::LogEvent;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

/// How a schema is made.
type Make = fn() -> Schema;

/// File name and how to make it.
const SCHEMAS: &[(&str, Make)] = &[
    ("catalog.schema.json", read::<Catalog>),
    ("decision-log.schema.json", written::<LogEvent<'static>>),
    ("request-attributes.schema.json", read::<Attributes>),
    ("request-options.schema.json", read::<RequestOptions>),
    ("router.schema.json", read::<File>),
];

/// The schema of what we read: members with a default may be absent.
fn read<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}

/// The schema of what we write: members that are always written are required.
fn written<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// Writes the schemas, or compares them.
///
/// # Errors
/// A file cannot be read or written; with `check`, one differs.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let dir = root.join("schemas");
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let mut differ = Vec::new();
    for (name, make) in SCHEMAS {
        let path = dir.join(name);
        // Sorted, so that the text does not depend on which map serde_json was built with.
        let mut schema = make().to_value();
        schema.sort_all_objects();
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        if check {
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            differ.extend((there != text).then_some(*name));
        } else {
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            println!("schemas: wrote {}", path.display());
        }
    }
    match differ.as_slice() {
        [] => Ok(()),
        names => {
            bail!("schemas: run `cargo xtask schemas`; these differ from the types: {}", names.join(", "))
        }
    }
}
