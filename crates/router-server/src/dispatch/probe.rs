//! The router's own calls: a deployment whose cooldown is over is asked for a word, so that no client's request has to find
//! out whether it is well again (`reliability.probe`). Beside the data path: nothing here is done for a request.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use router_core::attempt::Outcome;
use router_core::capability::Capabilities;
use router_core::chat::DialectId;
use router_core::compiled::{Deployment, DeploymentIdx};
use router_core::cost::Dearest;
use router_core::failover::AttemptNo;
use router_core::money::Usd;
use router_core::record::{PROBE, RequestId, RequestRecord};
use router_providers::dialect::{ReplyMeta, ScanLimits, client};
use router_providers::exchange::{Call, Limits, Request};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::admit::Taken;
use super::attempt::{Destination, Live, Step};
use super::books::Books;
use super::metered::Bound;
use super::money::Funded;
use super::spent::{Spent, may_be_billed};
use crate::engine::Engine;
use crate::respond;
use crate::rotation::told;
use crate::treasury::{Ask, Taking, counting};
use crate::worker::Worker;

/// How often is looked for deployments whose cooldown is over.
const LOOK: Duration = Duration::from_secs(1);

/// Probes under way at once: an outage of everything is no reason for a burst.
const AT_ONCE: usize = 4;

/// Longest answer. One token shows that a model answers ...
const ANSWER_TOKENS: u64 = 1;

/// ... but one that may reason counts what it thinks as well, and OpenAI's newer models take no limit below this.
const REASONING_ANSWER_TOKENS: u64 = 16;

/// The one attempt that a probe is.
const ONLY: AttemptNo = AttemptNo(1);

/// What is known of probes, by deployment id: under way, or ended then.
type Known = BTreeMap<Arc<str>, Option<Instant>>;

/// Probes until told to stop; what is under way is ended then, and settled.
pub(crate) async fn run(worker: Arc<Worker>, stop: watch::Receiver<bool>) {
    let (mut known, mut under_way) = (Known::new(), JoinSet::new());
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopped = stop.clone();
    loop {
        tokio::select! {
            () = told(&mut stopped) => break,
            Some(ended) = under_way.join_next(), if !under_way.is_empty() => {
                if let Ok(id) = ended {
                    known.insert(id, Some(Instant::now()));
                }
            }
            _ = look.tick() => {
                let engine = worker.shared.engine.load_full();
                known.retain(|id, ended| ended.is_none() || engine.compiled.deployment_named(id).is_some());
                for at in due(&worker, &engine, &known) {
                    if under_way.len() >= AT_ONCE {
                        break;
                    }
                    known.insert(Arc::clone(&engine.compiled.deployment(at).id), None);
                    under_way.spawn(one(Arc::clone(&worker), Arc::clone(&engine), at, stop.clone()));
                }
            }
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Deployments that await a probe now.
fn due(worker: &Worker, engine: &Engine, known: &Known) -> Vec<DeploymentIdx> {
    let Some(interval) = engine.compiled.reliability.probe else { return Vec::new() };
    let rested = |id: &Arc<str>| match known.get(id) {
        None => true,
        Some(ended) => ended.is_some_and(|ended| ended.elapsed() >= interval),
    };
    let now = worker.shared.clock.now();
    let deployments = engine.compiled.indices().zip(&engine.compiled.deployments);
    let due = deployments.filter(|(at, deployment)| {
        !deployment.simulated && rested(&deployment.id) && engine.slot(*at).awaits_probe(now)
    });
    due.map(|(at, _)| at).collect()
}

/// One probe, settled whatever happens. Returns whose it was.
async fn one(
    worker: Arc<Worker>,
    engine: Arc<Engine>,
    at: DeploymentIdx,
    stop: watch::Receiver<bool>,
) -> Arc<str> {
    let deployment = engine.compiled.deployment(at);
    let now = worker.shared.clock.now();
    let request = RequestRecord {
        request: worker.ids.next(now),
        at: now,
        ended: now,
        model: Arc::clone(&deployment.id),
        rule: Some(Arc::from(PROBE)),
        ..RequestRecord::default()
    };
    let id = request.request;
    let mut books = Books::unasked(&worker, &engine, request);
    let probe = Probe { worker: &worker, engine: &engine, at, deployment, id };
    let panicked = AssertUnwindSafe(probe.run(&mut books, stop)).catch_unwind().await.is_err();
    if books.abandon() || panicked {
        tracing::error!(
            deployment = &*deployment.id,
            panicked,
            "a defect: a probe did not end by itself; it is settled"
        );
    }
    Arc::clone(&deployment.id)
}

/// A probe.
struct Probe<'a> {
    worker: &'a Arc<Worker>,
    engine: &'a Arc<Engine>,
    at: DeploymentIdx,
    deployment: &'a Deployment,
    id: RequestId,
}

impl Probe<'_> {
    async fn run(&self, books: &mut Books, mut stop: watch::Receiver<bool>) {
        let Some(request) = request(self.deployment) else { return };
        let Some(taken) = self.take(&request).await else { return };
        let credential = taken.permit.credential();
        if books.open(ONLY, self.at, taken).is_err() {
            return;
        }
        let to = Destination { deployment: self.at, simulated: false };
        let mut live = Live::send(self.worker, ONLY, &to, self.call(request, credential));
        let (outcome, spent, retry_after) = tokio::select! {
            end = self.answer(&mut live, books) => end,
            () = told(&mut stop) => (Outcome::Cancelled, Spent::so_far(&mut live), None),
        };
        tracing::debug!(deployment = &*self.deployment.id, outcome = outcome.name(), "probed");
        books.close(ONLY, outcome, spent, retry_after);
    }

    /// Money first, because only it may have to be waited for; then the ticket with everything else.
    async fn take(&self, request: &Request) -> Option<Taken> {
        let (shared, envelope) = (&self.worker.shared, request.envelope());
        let output = envelope.max_tokens.as_ref().map_or(ANSWER_TOKENS, |max| max.value);
        let input = envelope.stats.bound(u64::from(envelope.turns), u64::from(envelope.tools));
        let input = self.deployment.max_input_tokens.map_or(input, |window| input.min(window));
        let accounts = shared.treasury.accounts(&self.engine.compiled, None, &self.deployment.id);
        let accounts = counting(&accounts, self.deployment);
        let unseen = !accounts.is_empty();
        if unseen && self.deployment.price.as_ref().is_none_or(|price| !price.is_complete()) {
            return None;
        }
        let dearest = Dearest::of(self.deployment, input, None);
        let ceiling = dearest.ceiling(output);
        let held = match shared.treasury.take(accounts, Ask { wanted: ceiling, least: ceiling }) {
            Taking::Held(held) => held,
            Taking::Wait(money) => money.await.ok()?,
            Taking::Short(_) => return None,
        };
        let tokens = envelope.stats.estimate().saturating_add(output);
        let slot = self.engine.slot(self.at);
        let Ok(permit) = slot.admit_probe(shared.clock.now(), self.id.0 as u64, tokens) else {
            shared.treasury.settle(held, Usd::ZERO);
            return None;
        };
        let bound = Bound { input_tokens: input, output_tokens: output };
        let money = Funded { held, bound, dearest, meter: None, cap: None, unseen };
        Some(Taken { permit, money })
    }

    fn call(&self, request: Request, credential: usize) -> Call {
        let limits = self.engine.compiled.time_limits(&self.deployment.id, self.at);
        // So short an answer is whole when a longer one would have begun.
        let answer = limits.answer.min(limits.first_byte);
        Call {
            request: Arc::new(request),
            target: self.engine.target(self.at, credential),
            max_tokens: None,
            limits: Limits {
                connect: limits.connect,
                first_byte: answer,
                answer,
                show: answer,
                idle: limits.idle,
            },
            meta: ReplyMeta {
                id: format!("chatcmpl-{}", self.id),
                model: self.deployment.upstream_model.to_string(),
                created: self.worker.shared.clock.now().as_secs(),
                include_usage: true,
            },
            tag: respond::value(&format!("{}/{}", self.id, ONLY.0)),
            goes_on: None,
        }
    }

    async fn answer(&self, live: &mut Live, books: &mut Books) -> (Outcome, Spent, Option<Duration>) {
        loop {
            match live.step().await {
                Step::Whole(reply) => {
                    books.first_byte(ONLY, Some(&reply.headers.rate));
                    return (Outcome::Success, Spent::of_whole(&reply), None);
                }
                Step::Item(_) => {}
                Step::Done => return (Outcome::Success, Spent::of_stream(live), None),
                Step::Failed(fault) => {
                    books.learn(ONLY, &fault.rate);
                    let spent = if may_be_billed(&fault) { Spent::so_far(live) } else { Spent::Nothing };
                    return (Outcome::Failure(fault.kind), spent, fault.retry_after);
                }
            }
        }
    }
}

/// The least a deployment can be asked.
fn request(deployment: &Deployment) -> Option<Request> {
    let reasons = deployment.capabilities.contains(Capabilities::REASONING);
    let body = serde_json::json!({
        "model": &*deployment.id,
        "messages": [{ "role": "user", "content": "Hi" }],
        "max_tokens": if reasons { REASONING_ANSWER_TOKENS } else { ANSWER_TOKENS },
    });
    let scanned =
        client(DialectId::OpenaiChat)?.scan(Bytes::from(body.to_string()), ScanLimits { max_depth: 8 });
    scanned.ok().map(Request::new)
}
