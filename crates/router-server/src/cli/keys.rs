//! `keys`: client keys in a ledger, made and changed by hand. A running server sees a change within two seconds.

use anyhow::{Context, anyhow, bail};
use router_core::budget::Period;
use router_core::money::Usd;
use router_core::time::Timestamp;
use router_ledger::{KeyRow, Ledger};
use serde_json::json;

use super::{GOOD, LedgerArgument, line, span};
use crate::clock::Clock;
use crate::keys::secret;
use crate::keys::wish::{Wish, named, shown};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key; its secret is the last line of standard output, and shown nowhere else
    Create(Create),
    /// List the keys that are not revoked
    List(List),
    /// Change a key
    Update(Update),
    /// Give a key a new secret, the last line of standard output; the old one is accepted for a while
    Rotate(Rotate),
    /// End a key for good
    Revoke(Revoke),
    /// Make a key of a secret somebody has already, by its SHA-256
    Import(Import),
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    place: LedgerArgument,
    /// As JSON, on one line
    #[arg(long)]
    json: bool,
}

/// What a key may have; `none` takes a limit away, an empty value a list or the owner.
#[derive(Debug, clap::Args)]
struct Members {
    /// Its name, as in logs, reports and budgets; every key has one
    #[arg(long)]
    name: Option<String>,
    /// Who owns it: a team or a person, for budgets and reports
    #[arg(long)]
    owner: Option<String>,
    /// Labels bound to it, comma-separated: rules, budgets and reports go by them
    #[arg(long, value_name = "LIST", value_parser = list)]
    tags: Option<Names>,
    /// Models it may ask for and be answered by, comma-separated; none given: all
    #[arg(long, value_name = "LIST", value_parser = list)]
    models: Option<Names>,
    /// Providers it may be answered by, comma-separated; none given: all
    #[arg(long, value_name = "LIST", value_parser = list)]
    providers: Option<Names>,
    /// Regions it may be answered from, comma-separated; none given: all
    #[arg(long, value_name = "LIST", value_parser = list)]
    regions: Option<Names>,
    /// Requests per minute; none given: no limit
    #[arg(long, value_parser = limit::<u64>)]
    rpm: Option<Limit<u64>>,
    /// Tokens per minute, input and output; none given: no limit
    #[arg(long, value_parser = limit::<u64>)]
    tpm: Option<Limit<u64>>,
    /// Requests in flight at once; none given: no limit
    #[arg(long, value_parser = limit::<u32>)]
    concurrency: Option<Limit<u32>>,
    /// Who goes first when the server is nearly full: higher before lower; none given: 0
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i8>,
    /// Most it may spend in one period; none given: no limit of its own
    #[arg(long, value_name = "USD", value_parser = limit::<Usd>)]
    budget_usd: Option<Limit<Usd>>,
    /// The period of its budget: day, week, month (none given), total; they begin at midnight UTC
    #[arg(long, value_parser = period)]
    period: Option<Period>,
    /// When it ends: a span (90d), a moment (2026-12-31), or never (none given)
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    members: Members,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Import {
    /// SHA-256 of the secret, 64 hex digits
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Hash,
    #[command(flatten)]
    members: Members,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Update {
    /// Its id or name; without it, --name says which key
    key: Option<String>,
    #[command(flatten)]
    members: Members,
    #[command(flatten)]
    common: Common,
}

/// Which key, where nothing of it changes.
#[derive(Debug, clap::Args)]
struct Which {
    /// Its id or name
    #[arg(required_unless_present = "name")]
    key: Option<String>,
    /// Its name
    #[arg(long, conflicts_with = "key")]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    #[command(flatten)]
    which: Which,
    /// How long the old secret is still accepted
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "24h")]
    grace: std::time::Duration,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
}

/// A comma-separated list, whole: clap would make one value of each name.
#[derive(Clone, Debug)]
struct Names(Vec<String>);

/// A limit, or none.
#[derive(Clone, Copy, Debug)]
struct Limit<T>(Option<T>);

#[derive(Clone, Copy, Debug)]
struct Hash([u8; 32]);

fn list(text: &str) -> Result<Names, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(Names(names.map(str::to_owned).collect()))
}

fn limit<T: std::str::FromStr>(text: &str) -> Result<Limit<T>, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    text.parse().map(|value| Limit(Some(value))).map_err(|_| "must be a number, or none".to_owned())
}

fn period(text: &str) -> Result<Period, String> {
    Period::named(text).ok_or_else(|| "must be day, week, month or total".to_owned())
}

fn sha256(text: &str) -> Result<Hash, String> {
    secret::from_hex(text).map(Hash).ok_or_else(|| "must be 64 hex digits".to_owned())
}

impl Members {
    fn wish(self) -> Wish {
        Wish {
            name: self.name,
            owner: self.owner.map(|owner| Some(owner).filter(|owner| !owner.trim().is_empty())),
            tags: self.tags.map(|names| names.0),
            models: self.models.map(|names| names.0),
            providers: self.providers.map(|names| names.0),
            regions: self.regions.map(|names| names.0),
            rpm: self.rpm.map(|limit| limit.0),
            tpm: self.tpm.map(|limit| limit.0),
            concurrency: self.concurrency.map(|limit| limit.0),
            priority: self.priority,
            budget_usd: self.budget_usd.map(|limit| limit.0),
            period: self.period,
            expires: self.expires.map(|when| Some(when).filter(|when| when != "never" && when != "none")),
        }
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<u8> {
    super::block_on(async {
        match arguments.command {
            Command::Create(Create { members, common }) => {
                let secret = secret::new().context("the system's random numbers")?;
                let key = make(members.wish(), secret::hash(&secret), &common).await?;
                say(&key, &common, "made");
                // Nothing after it, and nothing else on its line: scripts take the last line.
                line(secret.expose());
            }
            Command::Import(Import { sha256, members, common }) => {
                let key = make(members.wish(), sha256.0, &common).await?;
                say(&key, &common, "imported");
            }
            Command::List(List { common }) => list_keys(&common).await?,
            Command::Update(Update { key, members, common }) => update(key, members.wish(), &common).await?,
            Command::Rotate(Rotate { which, grace, common }) => {
                let secret = secret::new().context("the system's random numbers")?;
                let ledger = existing(&common).await?;
                let key = find(&*ledger, &which.text()).await?;
                let until = Clock::new().now() + grace;
                let key = ledger.rotate_key(&key.id, secret::hash(&secret), until).await?;
                say(&key, &common, &format!("rotated; the old secret is accepted until {}", until.rfc3339()));
                line(secret.expose());
            }
            Command::Revoke(Revoke { which, common }) => {
                let ledger = existing(&common).await?;
                let key = find(&*ledger, &which.text()).await?;
                ledger.revoke_key(&key.id, Clock::new().now()).await?;
                say(&key, &common, "revoked");
            }
        }
        Ok(GOOD)
    })?
}

impl Which {
    fn text(&self) -> String {
        self.key.clone().or_else(|| self.name.clone()).unwrap_or_default()
    }
}

async fn make(wish: Wish, sha256: [u8; 32], common: &Common) -> anyhow::Result<KeyRow> {
    let new = wish.new_key(sha256, Clock::new().now()).map_err(|e| option(&e))?;
    Ok(router_ledger::connect(&common.place.url()?).await?.create_key(&new).await?)
}

async fn update(key: Option<String>, wish: Wish, common: &Common) -> anyhow::Result<()> {
    let (which, wish) = match key {
        Some(key) => (key, wish),
        None => {
            let name = wish.name.clone().ok_or_else(|| anyhow!("which key? name it, or use --name"))?;
            (name, Wish { name: None, ..wish })
        }
    };
    if wish == Wish::default() {
        bail!("nothing to change is given");
    }
    let ledger = existing(common).await?;
    let key = find(&*ledger, &which).await?;
    let change = wish.change(&key, Clock::new().now()).map_err(|e| option(&e))?;
    let key = ledger.update_key(&key.id, &change).await?.ok_or_else(|| no_such(&which))?;
    say(&key, common, "updated");
    Ok(())
}

async fn existing(common: &Common) -> anyhow::Result<std::sync::Arc<dyn Ledger>> {
    Ok(router_ledger::connect_existing(&common.place.url()?).await?)
}

async fn find(ledger: &dyn Ledger, which: &str) -> anyhow::Result<KeyRow> {
    let keys = ledger.keys().await?;
    named(&keys, which).cloned().ok_or_else(|| no_such(which))
}

fn no_such(which: &str) -> anyhow::Error {
    anyhow!("no key with the id or name \"{which}\" lives in this ledger")
}

/// What is wrong with a member, by the name of its option.
fn option(problem: &str) -> anyhow::Error {
    let (member, text) = problem.split_once(": ").unwrap_or(("", problem));
    anyhow!("--{}: {text}", member.replace('_', "-"))
}

fn say(key: &KeyRow, common: &Common, done: &str) {
    if common.json {
        line(&shown(key, None).to_string());
    } else {
        line(&format!("key \"{}\" ({}) {done}", key.name, key.id));
    }
}

async fn list_keys(common: &Common) -> anyhow::Result<()> {
    let keys = existing(common).await?.keys().await?;
    if common.json {
        let keys: Vec<_> = keys.iter().map(|key| shown(key, None)).collect();
        line(&json!({ "keys": keys }).to_string());
        return Ok(());
    }
    let now = Clock::new().now();
    for key in &keys {
        line(&described(key, now));
    }
    if keys.is_empty() {
        line("no keys");
    }
    Ok(())
}

/// One line: name and id, then what is not as for every key.
fn described(key: &KeyRow, now: Timestamp) -> String {
    let mut words = vec![key.name.clone(), key.id.clone()];
    let mut put = |name: &str, value: Option<String>| words.extend(value.map(|v| format!("{name}={v}")));
    let several = |names: &[String]| (!names.is_empty()).then(|| names.join(","));
    put("owner", key.owner.clone());
    for (name, names) in [
        ("tags", &key.tags),
        ("models", &key.models),
        ("providers", &key.providers),
        ("regions", &key.regions),
    ] {
        put(name, several(names));
    }
    put("rpm", key.rpm.map(|n| n.to_string()));
    put("tpm", key.tpm.map(|n| n.to_string()));
    put("concurrency", key.concurrency.map(|n| n.to_string()));
    put("priority", (key.priority != 0).then(|| key.priority.to_string()));
    put("budget", key.budget.map(|(limit, period)| format!("{limit}/{}", period.name())));
    let over = if key.expires_at.is_some_and(|at| at <= now) { " (over)" } else { "" };
    put("expires", key.expires_at.map(|at| format!("{}{over}", at.rfc3339())));
    let live = key.hashes.iter().filter(|hash| hash.until.is_none_or(|until| until > now));
    let starts = live.map(|hash| {
        let start: String = secret::hex(&hash.sha256).chars().take(8).collect();
        hash.until.map_or_else(|| start.clone(), |until| format!("{start}(until {})", until.rfc3339()))
    });
    put("sha256", Some(starts.collect::<Vec<_>>().join(",")));
    words.join("  ")
}
