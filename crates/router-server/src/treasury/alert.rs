//! Who is told that a budget is spent, or nearly: the log, and the operator's webhooks. Once per budget, period and share,
//! over restarts and processes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap};
use router_core::budget::BudgetPolicy;
use router_core::config::file::{Webhook, WebhookEvent};
use router_core::money::Usd;
use router_core::time::Timestamp;
use router_providers::transport::{HttpTransport, Outbound, Pieces, Transport};
use tokio::sync::Semaphore;

use super::Treasury;
use crate::respond::JSON;

/// Under which kind the ledger remembers what was said.
const KIND: &str = "alert";

/// Deliveries under way; more are dropped, and said to be.
const MAX_DELIVERIES: usize = 64;

/// Waits between the tries of a delivery.
const AGAIN: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(240),
];

/// So long a webhook may take for its answer.
const ANSWER: Duration = Duration::from_secs(10);

/// So long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// So long the ledger may take.
const LEDGER: Duration = Duration::from_secs(3);

/// What happened.
pub(super) struct Said {
    pub(super) policy: Arc<BudgetPolicy>,
    pub(super) start: Timestamp,
    /// The share passed, in parts per million; `None`: a request was refused.
    pub(super) share: Option<u32>,
    pub(super) settled: Usd,
}

impl Said {
    const fn event(&self) -> WebhookEvent {
        match self.share {
            Some(_) => WebhookEvent::BudgetAlert,
            None => WebhookEvent::BudgetExceeded,
        }
    }

    /// What is remembered, so that it is said once. The begin of the period comes last but one: it tells old ones.
    fn id(&self) -> String {
        let share = self.share.map_or_else(|| "exceeded".to_owned(), |ppm| ppm.to_string());
        format!("{}|{}|{share}", self.policy.name, self.start.as_micros())
    }

    /// What a webhook is sent.
    fn body(&self, at: Timestamp) -> String {
        serde_json::json!({
            "event": self.event().name(),
            "at": at.rfc3339(),
            "budget": &*self.policy.name,
            "period": self.policy.period.name(),
            "period_start": self.start.rfc3339(),
            "share": self.share.map(|ppm| f64::from(ppm) / 1e6),
            "limit_usd": self.policy.limit.to_string(),
            "settled_usd": self.settled.to_string(),
        })
        .to_string()
    }
}

/// Says it.
pub(super) struct Alerts {
    treasury: Arc<Treasury>,
    transport: Option<Arc<HttpTransport>>,
    places: Arc<Semaphore>,
}

impl Alerts {
    pub(super) fn new(treasury: Arc<Treasury>) -> Self {
        Self { treasury, transport: None, places: Arc::new(Semaphore::new(MAX_DELIVERIES)) }
    }

    /// Says it, unless it was said before.
    pub(super) async fn say(&mut self, said: &Said) {
        let at = self.treasury.clock.now();
        if self.was_said(said, at).await {
            return;
        }
        let (budget, limit, settled) = (&*said.policy.name, said.policy.limit, said.settled);
        match said.share {
            Some(ppm) => {
                let percent = f64::from(ppm) / 1e4;
                tracing::warn!(budget, %limit, %settled, percent, "budget alert");
            }
            None => tracing::warn!(budget, %limit, %settled, "budget exceeded: requests are refused"),
        }
        let hooks = Arc::clone(&self.treasury.webhooks.lock().unwrap_or_else(PoisonError::into_inner));
        let told = hooks.iter().enumerate().filter(|(_, hook)| hook.events.contains(&said.event()));
        let body = said.body(at);
        for (number, hook) in told {
            self.deliver(number, hook, &body);
        }
    }

    /// Whether the ledger remembers it; it does from now on. While it cannot be reached it is said: twice is better than
    /// never.
    async fn was_said(&self, said: &Said, at: Timestamp) -> bool {
        let (ledger, id) = (&self.treasury.ledger, said.id());
        let Ok(Ok(all)) = tokio::time::timeout(LEDGER, ledger.states(KIND)).await else { return false };
        if all.iter().any(|(known, _, _)| *known == id) {
            return true;
        }
        let of_this = format!("{}|", said.policy.name);
        let of_now = format!("{of_this}{}|", said.start.as_micros());
        let old = |known: &&String| known.starts_with(&of_this) && !known.starts_with(&of_now);
        for past in all.iter().map(|(known, _, _)| known).filter(old) {
            let _ = tokio::time::timeout(LEDGER, ledger.delete_state(KIND, past)).await;
        }
        let settled = said.settled.to_string();
        let _ = tokio::time::timeout(LEDGER, ledger.put_state(KIND, &id, &settled, at)).await;
        false
    }

    fn deliver(&mut self, number: usize, hook: &Webhook, body: &str) {
        let made =
            || HttpTransport::new().inspect_err(|error| tracing::error!(%error, "webhooks cannot be told"));
        if self.transport.is_none() {
            self.transport = made().ok().map(Arc::new);
        }
        let (Some(transport), Ok(place)) =
            (self.transport.clone(), Arc::clone(&self.places).try_acquire_owned())
        else {
            tracing::error!(webhook = number, "too many deliveries under way: this webhook is not told");
            return;
        };
        let (hook, body) = (hook.clone(), body.to_owned());
        tokio::spawn(async move {
            if let Err(why) = tried(&*transport, &hook, &body).await {
                tracing::error!(webhook = number, why, "a webhook could not be told");
            }
            drop(place);
        });
    }
}

/// Sends it, again and again for a while. The address stands in no text: it may hold a secret.
async fn tried(transport: &dyn Transport, hook: &Webhook, body: &str) -> Result<(), String> {
    let mut why = String::new();
    for wait in std::iter::once(Duration::ZERO).chain(AGAIN) {
        tokio::time::sleep(wait).await;
        let url = hook.url.expose().parse().map_err(|_| "its address cannot be used".to_owned())?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
        let body = Pieces::from_vec(vec![body.to_owned().into()]);
        let request = Outbound { url, headers, body, connect: CONNECT };
        why = match tokio::time::timeout(ANSWER, transport.send(request)).await {
            Ok(Ok(answer)) if answer.status.is_success() => return Ok(()),
            Ok(Ok(answer)) => format!("it answered {}", answer.status.as_u16()),
            Ok(Err(error)) => error.message,
            Err(_) => "no answer in time".to_owned(),
        };
    }
    Err(why)
}
