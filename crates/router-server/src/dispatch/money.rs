//! What an attempt may cost, and the money set aside for it: whole, in slices as its answer comes, or for an answer that is
//! capped (DESIGN D8).

use router_core::budget::WhenLow;
use router_core::budget::size::{self, Cap, Meter};
use router_core::capability::Capabilities;
use router_core::compiled::DeploymentIdx;
use router_core::cost::Dearest;
use router_core::failover::{AttemptNo, Event, NotAdmitted, Place};
use router_core::health::Ask;
use router_core::tokens::IMAGE_TOKENS_BOUND;

use super::metered::Bound;
use super::run::Run;
use crate::error::ApiError;
use crate::treasury::{self, Accounts, Held, Short, Taking, Waiting, Why};

/// Bound on the output of a deployment whose longest output is not known, when the client sets none either: the longest
/// of any chat model in the catalog's present snapshot is 128k.
pub(super) const UNKNOWN_OUTPUT: u64 = 131_072;

/// Bound on input of which no formula is known (documents, sound, video), where the deployment's window is not known: the
/// longest window in the catalog's present snapshot is two million.
const UNKNOWN_INPUT: u64 = 2_097_152;

/// Tokens that the instruction to go on with an answer adds to what was shown of it.
const CONTINUATION_TOKENS: u64 = 512;

/// How an attempt's output is paid for.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The most it can be is held.
    Whole,
    /// Slices ahead of what is seen.
    Metered,
    /// What is held is the limit on the wire.
    Capped(Cap),
}

/// What money an attempt needs.
pub(super) struct Plan {
    accounts: Accounts,
    bound: Bound,
    dearest: Dearest,
    answers: u64,
    way: Way,
}

/// An attempt that is paid for.
pub(super) struct Funded {
    pub(super) held: Held,
    pub(super) bound: Bound,
    pub(super) dearest: Dearest,
    /// Its output is paid for in slices.
    pub(super) meter: Option<Meter>,
    /// The limit on the wire, where money sets it: output tokens of one answer.
    pub(super) cap: Option<u64>,
    /// It counts on a budget, and its tokens may come unseen.
    pub(super) unseen: bool,
}

/// An attempt that waits for money, with what else it asks for.
pub(super) struct Waits {
    money: Waiting,
    plan: Plan,
    ask: Ask,
    draws: bool,
}

impl Plan {
    const fn most(&self) -> u64 {
        self.bound.output_tokens.saturating_mul(self.answers)
    }

    fn ask(&self) -> treasury::Ask {
        let both = |tokens| (tokens, tokens);
        let (wanted, least) = match self.way {
            Way::Whole => both(self.most()),
            Way::Metered => (
                Meter::new(self.most()).held(),
                self.most().min(size::FLOOR_TOKENS.max(size::LEAD_TOKENS * 2)),
            ),
            Way::Capped(cap) => {
                (cap.wanted.saturating_mul(self.answers), cap.least.saturating_mul(self.answers))
            }
        };
        treasury::Ask { wanted: self.dearest.ceiling(wanted), least: self.dearest.ceiling(least) }
    }

    fn funded(self, held: Held) -> Funded {
        let most = self.most();
        let affords = self.dearest.affords(held.amount()).unwrap_or(0);
        let (mut meter, mut cap) = (None, None);
        match self.way {
            Way::Whole => {}
            Way::Metered => meter = Some(Meter::holding(affords.min(most), most)),
            Way::Capped(wanted) => {
                let tokens = wanted.wanted.min(affords / self.answers);
                cap = Some(tokens).filter(|tokens| *tokens < self.bound.output_tokens);
            }
        }
        let unseen = meter.is_none() && !self.accounts.is_empty();
        Funded { held, bound: self.bound, dearest: self.dearest, meter, cap, unseen }
    }
}

impl Run<'_> {
    /// What an attempt may use at most.
    fn bound(&self, at: DeploymentIdx) -> Bound {
        let envelope = self.asked.envelope();
        let deployment = self.engine.compiled.deployment(at);
        let asked = envelope.max_tokens.as_ref().map(|m| m.value);
        let mut input = envelope
            .stats
            .bound(u64::from(envelope.turns), u64::from(envelope.tools))
            .saturating_add(u64::from(envelope.images).saturating_mul(IMAGE_TOKENS_BOUND));
        // Whatever else of the body reaches the model as text (a schema of the answer, earlier reasoning, what is unknown
        // here and passed through) is not longer than what is left of it; of media, the bytes are not text.
        let untold = (envelope.body.len() as u64).saturating_sub(envelope.stats.bytes);
        if envelope.images == 0 || envelope.needs.contains(Capabilities::JSON_SCHEMA) {
            input = input.saturating_add(untold);
        }
        if envelope.needs.intersects(Capabilities::PDF | Capabilities::AUDIO_IN | Capabilities::VIDEO_IN) {
            input = deployment.max_input_tokens.unwrap_or(UNKNOWN_INPUT).max(input);
        }
        if let Some(cut) = self.cut() {
            input = input.saturating_add(cut.shown().text().len() as u64 + CONTINUATION_TOKENS);
        }
        Bound {
            // Nothing longer than its window is taken by a deployment, however many bytes it has.
            input_tokens: deployment.max_input_tokens.map_or(input, |window| input.min(window)),
            output_tokens: [asked, deployment.max_output_tokens]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(UNKNOWN_OUTPUT),
        }
    }

    fn plan(&self, at: DeploymentIdx) -> Result<Plan, Short> {
        let (bound, deployment) = (self.bound(at), self.engine.compiled.deployment(at));
        let accounts = treasury::counting(self.books.accounts(), deployment);
        let dearest = Dearest::of(deployment, bound.input_tokens, self.books.tier_asked());
        let plan = Plan { accounts, bound, dearest, answers: self.books.answers(), way: Way::Whole };
        let Some(first) = plan.accounts.first() else { return Ok(plan) };
        let treasury = &self.worker.shared.treasury;
        if deployment.price.as_ref().is_none_or(|price| !price.is_complete()) {
            return Err(treasury.unpriced(first));
        }
        if plan.accounts.iter().any(|account| account.policy.when_low == WhenLow::Refuse) {
            return Ok(plan);
        }
        let envelope = self.asked.envelope();
        let reasons = (deployment.capabilities | envelope.needs).contains(Capabilities::REASONING);
        let hidden = reasons || envelope.needs.contains(Capabilities::AUDIO_OUT) || self.cut().is_some();
        if envelope.stream && !hidden {
            return Ok(Plan { way: Way::Metered, ..plan });
        }
        let available = treasury.available(&plan.accounts).unwrap_or_default();
        let affordable = dearest.affords(available).unwrap_or(0) / plan.answers;
        let cap = size::cap(bound.output_tokens, affordable, self.books.expected_output(), reasons);
        Ok(Plan { way: Way::Capped(cap), ..plan })
    }

    /// Money first, because only it may have to be waited for; then everything else. `None`: it is waited for.
    pub(super) fn fund(
        &mut self,
        attempt: AttemptNo,
        at: DeploymentIdx,
        ask: &Ask,
        draws: bool,
    ) -> Option<Event> {
        let plan = match self.plan(at) {
            Ok(plan) => plan,
            Err(short) => return Some(self.no_money(attempt, at, ask, short)),
        };
        match self.worker.shared.treasury.take(plan.accounts.clone(), plan.ask()) {
            Taking::Held(held) => Some(self.place(attempt, at, (ask, draws), plan.funded(held))),
            Taking::Short(short) => Some(self.no_money(attempt, at, ask, short)),
            Taking::Wait(money) => {
                let waits = Waits { money, plan, ask: *ask, draws };
                if let Some(admission) = &mut self.admission {
                    admission.waits = Some(Box::new(waits));
                }
                None
            }
        }
    }

    /// What was waited for came, or did not.
    pub(super) fn waited(&mut self, money: Result<Held, Short>) -> Event {
        let admission = self.admission.as_mut();
        let waits = admission.and_then(|a| Some((a.attempt, a.deployment, a.waits.take()?)));
        let Some((attempt, at, waits)) = waits else { return Event::Timer };
        let Waits { plan, ask, draws, .. } = *waits;
        match money {
            Ok(held) => self.place(attempt, at, (&ask, draws), plan.funded(held)),
            Err(short) => self.no_money(attempt, at, &ask, short),
        }
    }

    fn no_money(&mut self, attempt: AttemptNo, at: DeploymentIdx, ask: &Ask, short: Short) -> Event {
        if ask.place == Place::Booked {
            self.engine.slot(at).unbook(ask.tokens);
        }
        self.short = Some(short);
        Event::NotAdmitted(attempt, NotAdmitted::Budget)
    }
}

impl Waits {
    /// The place under the rate limit was booked.
    pub(super) fn is_booked(&self) -> bool {
        self.ask.place == Place::Booked
    }
}

/// Resolves when the money that is waited for has come, or will not.
pub(super) async fn granted(waits: Option<&mut Waits>) -> Result<Held, Short> {
    match waits {
        Some(waits) => waits.money.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The error of a request for which there is no money.
pub(super) fn refusal(short: &Short) -> ApiError {
    let Short { policy, left, needed, resets, why } = short;
    let name = &policy.name;
    let again = match resets {
        Some(at) => format!("; it begins anew at {}", at.rfc3339().as_str()),
        None => String::new(),
    };
    let figures = format!(
        "{left} USD are left of the budget \"{name}\" ({} USD, {}), and this needs {needed} USD",
        policy.limit,
        policy.period.name()
    );
    match why {
        Why::Spent => ApiError::new("budget_exceeded", format!("{figures}{again}")),
        Why::Held => {
            let text = format!("{figures}; the rest is held for requests under way{again}");
            ApiError::new("budget_exceeded", text).retry_after(HELD_RETRY)
        }
        Why::Away => {
            let text =
                format!("the ledger cannot be reached, and what was drawn of the budget \"{name}\" is spent");
            ApiError::new("ledger_unavailable", text).retry_after(HELD_RETRY)
        }
        Why::Unpriced => {
            let text =
                format!("unpriced: a deployment without a price cannot be called on the budget \"{name}\"");
            ApiError::new("no_eligible_deployment", text)
        }
    }
}

/// When to come back if others hold the money, or the ledger is away: after a second there may be some.
const HELD_RETRY: std::time::Duration = std::time::Duration::from_secs(1);
