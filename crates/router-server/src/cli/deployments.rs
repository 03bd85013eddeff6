//! `deployments`: who is taken out by hand, and orders that every replica follows, through the ledger.

use anyhow::{Context, bail};
use router_core::health::{SavedHealth, Subject};
use router_core::time::Timestamp;
use router_ledger::Ledger;
use serde_json::{Value, json};

use super::{GOOD, LedgerArgument, kind, line};
use crate::admin::deployments::{known, order};
use crate::clock::Clock;
use crate::config::{Source, load};
use crate::engine::Engine;
use crate::rotation::{CONTROL, HEALTH, Order, controls, row, write};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// What is taken out by hand, and whose breaker is not closed
    List(List),
    /// Take a deployment, or all of a provider, out of use; what is in flight ends
    Disable(Removal),
    /// The same, shown as draining: for waiting until nothing is in flight there any more
    Drain(Removal),
    /// Put a deployment, or all of a provider, back into use
    Enable(Target),
    /// Forget a deployment's failures, refused credentials and learned limits, as if it had just been added
    Reset(Target),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    place: LedgerArgument,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Removal {
    #[command(flatten)]
    target: Target,
    /// It comes back then by itself: 2026-11-22T11:50:00Z, or 30m, 12h, 7d from now; without it, when it is enabled
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// For those who find it out of use
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct Target {
    /// A deployment's id, or with --provider a provider's name
    id: String,
    /// All deployments of the provider of this name
    #[arg(long)]
    provider: bool,
    #[command(flatten)]
    place: LedgerArgument,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    match &arguments.action {
        Action::List(arguments) => list(arguments),
        Action::Disable(removal) => remove("disable", removal),
        Action::Drain(removal) => remove("drain", removal),
        Action::Enable(target) => give("enable", target, None, None),
        Action::Reset(target) => give("reset", target, None, None),
    }
}

fn remove(word: &str, removal: &Removal) -> anyhow::Result<u8> {
    give(word, &removal.target, removal.until.as_deref(), Some(&removal.reason))
}

fn give(word: &str, target: &Target, until: Option<&str>, reason: Option<&str>) -> anyhow::Result<u8> {
    let now = Clock::new().now();
    let id = target.id.as_str().into();
    let subject = if target.provider { Subject::Provider(id) } else { Subject::Deployment(id) };
    let order = order(word, until, reason, now).map_err(anyhow::Error::msg)?;
    let url = place_of(&subject, &target.place)?;
    with(&url, async |ledger| Ok(write(ledger, &row(&subject, &order, now)).await?))?;
    line(&format!("{}: {}", subject.text(), said(&order)));
    Ok(GOOD)
}

fn said(order: &Order) -> String {
    match order {
        Order::Enable => "back in use".to_owned(),
        Order::Reset => "begins anew".to_owned(),
        Order::Remove(control) => {
            let until = control.until.map(|until| format!(" until {}", until.rfc3339())).unwrap_or_default();
            format!("{}{until}: {}", control.removal.name(), control.reason)
        }
    }
}

fn list(arguments: &List) -> anyhow::Result<u8> {
    let now = Clock::new().now();
    let url = arguments.place.url()?;
    let (out, health) =
        with(&url, async |ledger| Ok((ledger.states(CONTROL).await?, ledger.states(HEALTH).await?)))?;
    let out = controls(&out);
    let held = out.iter().filter(|(_, control)| control.holds(now)).map(|(subject, control)| {
        json!({ "subject": subject.text(), "state": control.removal.name(), "reason": &*control.reason,
            "since": control.since.rfc3339(), "until": control.until.map(Timestamp::rfc3339) })
    });
    let held: Vec<Value> = held.collect();
    let unwell = health.iter().map(|(id, value, at)| {
        let saved: SavedHealth = serde_json::from_str(value).unwrap_or_default();
        json!({ "deployment": id, "breaker": saved.breaker, "at": at.rfc3339() })
    });
    let unwell: Vec<Value> = unwell.collect();
    if arguments.json {
        line(&json!({ "controls": held, "health": unwell }).to_string());
        return Ok(GOOD);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for row in &held {
        let until = row["until"].as_str().map(|until| format!(" until {until}")).unwrap_or_default();
        line(&format!("{}  {}{until}: {}", text(&row["subject"]), text(&row["state"]), text(&row["reason"])));
    }
    for row in &unwell {
        line(&format!(
            "{}  breaker {} since {}",
            text(&row["deployment"]),
            text(&row["breaker"]),
            text(&row["at"])
        ));
    }
    if held.is_empty() && unwell.is_empty() {
        line("nothing is taken out, and no breaker is known to be open");
    }
    Ok(GOOD)
}

/// The ledger's URL. The subject must be one of the configuration, unless there is none here and the ledger is named.
fn place_of(subject: &Subject, place: &LedgerArgument) -> anyhow::Result<String> {
    let source = Source::find(place.config.config.clone());
    if let (Some(url), Source::Embedded) = (&place.ledger, &source) {
        return Ok(url.clone());
    }
    let loaded = load(&source)?;
    let engine = Engine::new(&loaded.checked, None, Clock::new().now());
    let engine = engine.map_err(|problem| anyhow::anyhow!("{problem}"))?;
    if let Err(text) = known(&engine, subject) {
        bail!("{text} in {source}");
    }
    place.url_in(&source, &loaded)
}

fn with<T>(url: &str, work: impl AsyncFnOnce(&dyn Ledger) -> anyhow::Result<T>) -> anyhow::Result<T> {
    super::block_on(async {
        let ledger = router_ledger::connect_existing(url).await?;
        work(&*ledger).await
    })?
    .with_context(|| format!("ledger {}", kind(url)))
}
