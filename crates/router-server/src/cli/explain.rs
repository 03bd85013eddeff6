//! `explain`: the decision for one request, calling no one.

use std::path::PathBuf;

use anyhow::Context;
use router_core::health::Controls;
use router_core::record::RequestId;
use router_core::select::{DeploymentState, DeploymentView};
use router_providers::dialect::openai_chat::OpenaiChat;
use router_providers::dialect::{Client, ScanLimits};
use serde_json::Value;

use super::{ConfigArgument, GOOD, NO, line};
use crate::clock::Clock;
use crate::config::{Source, load};
use crate::dispatch::decision_input;
use crate::engine::Engine;
use crate::explain::explained;
use crate::ingress::{Arrival, settle};
use crate::ledger::keys_somewhere;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The request's body, a file; - for standard input
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The dialect it is in
    #[arg(long, default_value = "openai_chat", value_parser = ["openai_chat"])]
    dialect: String,
    /// A ledger to take the deployments' latency from, and what is taken out by hand
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How far back a ledger speaks for a deployment's latency.
const LEDGER_WINDOW: std::time::Duration = std::time::Duration::from_secs(3_600);

pub(super) fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let source = Source::find(arguments.config.config);
    let loaded = load(&source)?;
    keys_somewhere(&source, &loaded)?;
    let clock = Clock::new();
    let engine = Engine::new(&loaded.checked, None, clock.now()).map_err(|p| anyhow::anyhow!("{p}"))?;
    let body = if arguments.request.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).context("standard input")?;
        bytes
    } else {
        std::fs::read(&arguments.request).with_context(|| arguments.request.display().to_string())?
    };
    let client: &'static dyn Client = &OpenaiChat;
    let limits = ScanLimits { max_depth: loaded.checked.server.max_json_depth };
    let mut envelope =
        client.scan(body.into(), limits).with_context(|| arguments.request.display().to_string())?;
    if let Err(error) = settle(&mut envelope, &hyper::HeaderMap::new(), &engine.compiled) {
        let place = error.pointer.unwrap_or_default();
        anyhow::bail!("{}: {place}: {}", error.code, error.message);
    }
    let id = RequestId(uuid::Uuid::now_v7().as_u128());
    let arrival = Arrival { id, received: clock.now(), client };
    let mut out = Controls::default();
    let mut board = vec![DeploymentView::default(); engine.compiled.deployments.len()];
    if let Some(url) = &arguments.ledger {
        let since = clock.now() - LEDGER_WINDOW;
        let (stats, states) = super::block_on(async {
            let ledger = router_ledger::connect_existing(url).await?;
            let states = ledger.states(crate::rotation::CONTROL).await?;
            ledger.deployment_stats(since).await.map(|stats| (stats, states))
        })?
        .with_context(|| "ledger")?;
        out = crate::rotation::controls(&states);
        for stat in stats {
            let Some(at) = engine.compiled.deployment_named(&stat.deployment) else { continue };
            board[at.get()].p95_total_ms = stat.p95_ms.and_then(|ms| u32::try_from(ms).ok()).unwrap_or(0);
            board[at.get()].mean_total_ms = stat.p50_ms.and_then(|ms| u32::try_from(ms).ok()).unwrap_or(0);
        }
    }
    let request = router_providers::exchange::Request::new(envelope);
    crate::state::put_on(&engine, &out);
    for (view, slot) in board.iter_mut().zip(&engine.slots) {
        if slot.control(arrival.received).is_some() {
            view.state = DeploymentState::Disabled;
        }
    }
    let input = decision_input(&engine, &request, None, arrival, board);
    let (explanation, somebody) = match explained(&engine, &input) {
        Ok(explained) => explained,
        Err(error) => anyhow::bail!("{}: {}", error.code, error.message),
    };
    if arguments.json {
        line(&explanation.to_string());
    } else {
        print(&explanation);
    }
    Ok(if somebody { GOOD } else { NO })
}

fn print(explanation: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    line(&format!("rule: {}", text(&explanation["rule"])));
    for passed in explanation["rules_passed_over"].as_array().into_iter().flatten() {
        line(&format!("  passed over {}: {}", text(&passed["name"]), text(&passed["path"])));
    }
    let plan: Vec<_> = explanation["plan"].as_array().into_iter().flatten().map(text).collect();
    line(&format!("plan: {}", if plan.is_empty() { "nobody".to_owned() } else { plan.join(", ") }));
    for verdict in explanation["verdicts"].as_array().into_iter().flatten() {
        if verdict["reason"] == "not_in_set" {
            continue;
        }
        let cost = verdict.get("cost_usd").map(|c| format!(" {} USD", text(c))).unwrap_or_default();
        let reason = verdict
            .get("reason")
            .filter(|r| !r.is_null())
            .map(|r| format!(" {}", text(r)))
            .unwrap_or_default();
        let detail = verdict.get("detail").map(|d| format!(" ({})", text(d))).unwrap_or_default();
        line(&format!("  {}:{cost}{reason}{detail}", text(&verdict["deployment"])));
    }
    line(&format!("attributes: {}", explanation["attributes"]));
}
