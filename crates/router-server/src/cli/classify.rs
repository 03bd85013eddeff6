//! `classify`: requests on standard input, one per line; their attributes on standard output, in order.

use std::io::BufRead;
use std::path::PathBuf;

use anyhow::Context;
use router_classify::Chain;
use router_core::attributes::{AttributeSet, Attributes};
use router_providers::dialect::openai_chat::OpenaiChat;
use router_providers::dialect::{Client, ScanLimits};
use serde_json::{Value, json};

use super::{ConfigArgument, GOOD, line};
use crate::config::{Source, load};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Directory of a decision model; not available in this version
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

/// Deepest nesting of a line.
const MAX_DEPTH: usize = 128;

pub(super) fn run(arguments: Arguments) -> anyhow::Result<u8> {
    anyhow::ensure!(arguments.model.is_none(), "--model: decision models are not available in this version");
    if let Some(path) = arguments.config.config {
        load(&Source::File(path))?;
    }
    let chain = Chain::standard();
    for (number, text) in std::io::stdin().lock().lines().enumerate() {
        let text = text.context("standard input")?;
        if text.trim().is_empty() {
            continue;
        }
        let attributes = attributes(&chain, text).with_context(|| format!("line {}", number + 1))?;
        line(&serde_json::to_string(&attributes)?);
    }
    Ok(GOOD)
}

/// A line is a chat body, or `{"prompt": ...}` for one user message.
fn attributes(chain: &Chain, text: String) -> anyhow::Result<Attributes> {
    let mut value: Value = serde_json::from_str(&text)?;
    let body = match value.get("prompt") {
        Some(Value::String(prompt)) => {
            json!({ "model": "auto", "messages": [{ "role": "user", "content": prompt }] }).to_string()
        }
        Some(_) => anyhow::bail!("\"prompt\" must be a string"),
        None if value.get("messages").is_none() => {
            anyhow::bail!("neither \"prompt\" nor a chat body with \"messages\"")
        }
        None if value.get("model").is_none() => {
            // The model says nothing about the kind of request, so none need be named.
            value["model"] = json!("auto");
            value.to_string()
        }
        None => text,
    };
    let client: &dyn Client = &OpenaiChat;
    let envelope = client.scan(body.into(), ScanLimits { max_depth: MAX_DEPTH })?;
    let mut attributes = crate::dispatch::scanned_attributes(&envelope);
    chain.classify(&envelope, AttributeSet::CLASSIFIED, &mut attributes);
    Ok(attributes)
}
