//! Failover by scripts: one line per case, events on the left of `>`, the actions they must lead to on the right.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::compiled::{RetryPolicy, TimeLimits};
use crate::money::Usd;
use crate::select::{DeploymentState, RoutePlan};

const START: Timestamp = Timestamp::from_millis(1_795_348_200_000);

fn limits() -> TimeLimits {
    TimeLimits {
        connect: Duration::from_secs(3),
        first_byte: Duration::from_secs(10),
        answer: Duration::from_secs(30),
        idle: Duration::from_secs(5),
    }
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        budget_percent: 20,
        per_sec: 10,
        attempts: 3,
        backoff_base: Duration::from_millis(200),
        backoff_cap: Duration::from_secs(2),
    }
}

/// A setting in words: deployments `a` to `z` in the order of the plan, `a:8000` with a window, `/` before the deferred,
/// `long/` and `filter/` before those kept for these failures; `json`, `single`, `deadline=5`, `attempts=2`, `seed=3`,
/// `limits` (shown with `send`), `no-rescue`, `hedge=2` (a first attempt is late then), `prefill=c`.
struct Setting {
    plan: RoutePlan,
    windows: [Option<u64>; 26],
    prefill: Option<DeploymentIdx>,
    hedge_after: Option<Duration>,
    rescue: bool,
    policy: RetryPolicy,
    json: bool,
    single: bool,
    show_limits: bool,
    deadline_secs: u64,
    seed: u64,
}

impl Setting {
    fn parse(text: &str) -> Self {
        let mut setting = Self {
            plan: RoutePlan::default(),
            windows: [None; 26],
            prefill: None,
            hedge_after: None,
            rescue: true,
            policy: policy(),
            json: false,
            single: false,
            show_limits: false,
            deadline_secs: 60,
            seed: 1,
        };
        let mut part = 0;
        for word in text.split_whitespace() {
            let (key, value) = word.split_once(['=', ':']).unwrap_or((word, ""));
            match key {
                "/" => part = 1,
                "long/" => part = 2,
                "filter/" => part = 3,
                "no-rescue" => setting.rescue = false,
                "hedge" => setting.hedge_after = Some(Duration::from_secs(value.parse().unwrap())),
                "prefill" => setting.prefill = Some(index(value)),
                "json" => setting.json = true,
                "single" => setting.single = true,
                "limits" => setting.show_limits = true,
                "deadline" => setting.deadline_secs = value.parse().unwrap(),
                "attempts" => setting.policy.attempts = value.parse().unwrap(),
                "seed" => setting.seed = value.parse().unwrap(),
                _ => {
                    let idx = index(key);
                    setting.windows[idx.get()] = value.parse().ok();
                    let plan = &mut setting.plan;
                    let lists = [
                        &mut plan.ranked,
                        &mut plan.deferred,
                        &mut plan.after_too_long,
                        &mut plan.after_filtered,
                    ];
                    lists.into_iter().nth(part).unwrap().push(idx);
                }
            }
        }
        setting
    }

    fn failover(&self) -> Failover {
        let input = FailoverInput {
            plan: &self.plan,
            no_fallbacks: self.single,
            policy: &self.policy,
            deadline: START + Duration::from_secs(self.deadline_secs),
            stream: !self.json,
            rescue: self.rescue,
            seed: self.seed,
        };
        let (windows, prefill, hedge_after) = (self.windows, self.prefill, self.hedge_after);
        Failover::new(&input, move |idx| CallTerms {
            limits: limits(),
            max_input_tokens: windows.get(idx.get()).copied().flatten(),
            prefill: prefill == Some(idx),
            hedge_after,
        })
    }
}

fn index(name: &str) -> DeploymentIdx {
    DeploymentIdx(u16::from(name.as_bytes()[0] - b'a'))
}

fn name(idx: DeploymentIdx) -> char {
    char::from(b'a' + u8::try_from(idx.0).unwrap())
}

fn at(secs: &str) -> Timestamp {
    START + Duration::from_millis((secs.parse::<f64>().unwrap() * 1_000.0) as u64)
}

fn kind(name: &str) -> FailureKind {
    FailureKind::ALL.into_iter().find(|k| k.name() == name).unwrap_or_else(|| panic!("no kind {name}"))
}

fn event(words: &[&str]) -> Event {
    let no = || AttemptNo(words[1].parse().unwrap());
    match words[0] {
        "start" => Event::Start,
        "in" => Event::Admitted(no()),
        "out" => Event::NotAdmitted(
            no(),
            match words[2] {
                "ticket" => NotAdmitted::Ticket,
                "rate" => NotAdmitted::Rate(at(words[3])),
                "booked" => NotAdmitted::Booked(at(words[3])),
                "full" => NotAdmitted::Concurrency,
                "queue" => NotAdmitted::QueueFull(at(words[3])),
                "money" => NotAdmitted::Budget,
                "budget" => NotAdmitted::RetryBudget,
                "ceiling" => NotAdmitted::CostCeiling,
                "credit" => NotAdmitted::HedgeCredit,
                "unfit" => NotAdmitted::CannotGoOn,
                other => panic!("no reason {other}"),
            },
        ),
        "headers" => Event::Headers(no()),
        "text" => Event::Visible(no(), Seen::Text),
        "more" => Event::Progress(no(), 10),
        "end" => Event::Ended(no()),
        "fail" => {
            let secs = |s: &str| Duration::from_secs(s.parse().unwrap());
            let mut failure =
                Failure { kind: kind(words[2]), retry_after: None, can_go_on: true, another: None };
            for word in &words[3..] {
                match word.split_once('=') {
                    Some(("another", at)) => {
                        let (ready_in, of) = at.split_once('/').unwrap();
                        let credentials = of.parse().unwrap();
                        failure.another = Some(Another { ready_in: secs(ready_in), credentials });
                    }
                    _ if *word == "stuck" => failure.can_go_on = false,
                    _ => failure.retry_after = Some(secs(word)),
                }
            }
            Event::Failed(no(), failure)
        }
        "timer" | "wake" => Event::Timer,
        "gone" => Event::ClientGone,
        other => panic!("no event {other}"),
    }
}

fn secs(at: Timestamp) -> String {
    format!("{}", at.since(START).as_micros() as f64 / 1e6)
}

/// A wake-up that is a backoff or a poll is shown as `~`: jitter has a test of its own.
fn wake(at: Timestamp) -> String {
    let whole = at.since(START).as_micros().is_multiple_of(500_000);
    if whole { secs(at) } else { "~".to_owned() }
}

fn action(action: &Action, show_limits: bool) -> String {
    match *action {
        Action::Admit { attempt: AttemptNo(no), deployment, draws, last_resort, place, hedge } => {
            let draws = if draws { " draws" } else { "" };
            let last = if last_resort { " last" } else { "" };
            let place = match place {
                Place::Now => "",
                Place::Book { .. } => " book",
                Place::Booked => " booked",
            };
            let hedge = if hedge { " hedge" } else { "" };
            format!("admit {no} {}{draws}{last}{place}{hedge}", name(deployment))
        }
        Action::Unbook(AttemptNo(no)) => format!("unbook {no}"),
        Action::Send(AttemptNo(no), l) if show_limits => {
            let (connect, answer, end) = (secs(l.connect_by), secs(l.answer_by), secs(l.deadline));
            format!("send {no} {connect}/{answer}/{}/{end}", l.idle.as_secs())
        }
        Action::Send(AttemptNo(no), _) => format!("send {no}"),
        Action::Commit(AttemptNo(no)) => format!("commit {no}"),
        Action::Cancel(AttemptNo(no), _) => format!("cancel {no}"),
        Action::WakeAt(at) => format!("wake {}", wake(at)),
        Action::Finish(how) => match how {
            Finish::Answered(AttemptNo(no)) => format!("answered {no}"),
            Finish::Failed(None) => "failed".to_owned(),
            Finish::Failed(Some(kind)) => format!("failed {}", kind.name()),
            Finish::DeadlineExceeded => "deadline".to_owned(),
            Finish::Broken(AttemptNo(no), kind) => format!("broken {no} {}", kind.name()),
            Finish::ClientGone => "gone".to_owned(),
            Finish::Busy(at) => format!("busy {}", wake(at)),
            Finish::NoMoney => "no money".to_owned(),
            Finish::OverCostCeiling(None) => "over ceiling".to_owned(),
            Finish::OverCostCeiling(Some(kind)) => format!("over ceiling {}", kind.name()),
        },
    }
}

/// Steps are separated by `|`. `+2.5` lets time pass; `b open 30`, `b proven`, `b closed` ... change the board; `wake` lets
/// the time asked for come and fires the timer; every other step is an event and, after `>`, the actions expected.
fn check(setting: &str, script: &str) {
    let setting = Setting::parse(setting);
    let mut failover = setting.failover();
    let (mut now, mut board, mut wake_at) = (START, vec![DeploymentView::default(); 26], START);
    for step in script.split('|') {
        let (left, expected) = step.split_once('>').unwrap_or((step, ""));
        let words: Vec<&str> = left.split_whitespace().collect();
        if let Some(seconds) = words[0].strip_prefix('+') {
            now = now + Duration::from_millis((seconds.parse::<f64>().unwrap() * 1_000.0) as u64);
            continue;
        }
        if words[0].len() == 1 {
            see(&mut board[index(words[0]).get()], &words[1..]);
            continue;
        }
        if words[0] == "wake" {
            now = now.max(wake_at);
        }
        let actions = failover.on(event(&words), now, &board);
        for action in &actions {
            if let Action::WakeAt(at) = action {
                wake_at = *at;
            }
        }
        // Every admission is preceded by a wake-up at the deadline, which is not shown.
        let deadline = Action::WakeAt(START + Duration::from_secs(setting.deadline_secs));
        let admits = |at: usize| matches!(actions.get(at), Some(Action::Admit { .. }));
        let shown = |(n, a): (usize, &Action)| {
            assert!(!admits(n) || n > 0 && actions[n - 1] == deadline, "no deadline before {a:?}");
            (!admits(n + 1)).then(|| action(a, setting.show_limits))
        };
        let shown: Vec<String> = actions.iter().enumerate().filter_map(shown).collect();
        assert_eq!(shown.join(", "), expected.trim(), "step {left:?} of {script}");
    }
}

fn see(view: &mut DeploymentView, words: &[&str]) {
    match words[0] {
        "proven" => view.proven = true,
        "unproven" => view.proven = false,
        "closed" => view.state = DeploymentState::Closed,
        "half" => view.state = DeploymentState::HalfOpen,
        "busy" => view.state = DeploymentState::HalfOpenBusy,
        "held" => view.state = DeploymentState::RampHeld,
        "suspect" => view.state = DeploymentState::Suspect,
        "open" => {
            view.state = DeploymentState::Open;
            view.returns_in_ms = words[1].parse::<u32>().unwrap() * 1_000;
        }
        other => panic!("no state {other}"),
    }
}

/// From the start to the first attempt under way on `a`.
const SENT: &str = "start > admit 1 a | in 1 > send 1";

fn sent(setting: &str, script: &str) {
    check(setting, &format!("{SENT} | {script}"));
}

#[test]
fn one_attempt() {
    sent("a", "headers 1 > | text 1 > commit 1 | more 1 > | end 1 > answered 1");
    sent("a json", "headers 1 > | end 1 > commit 1, answered 1");
    sent("a", "text 1 > commit 1 | text 1 > | end 1 > answered 1 | end 1 > | gone > | timer > | start >");
    sent("a", "start > | in 1 > | out 1 full > | end 2 > | fail 7 timeout > | text 2 >");
    check("a", "gone > | in 1 > | start > admit 1 a | text 1 > | end 1 > | fail 1 timeout > | in 2 >");
    check("", "start > failed");
    check("/ a b", "start > admit 1 a");
    check("a a / a", "start > admit 1 a | out 1 money > no money");
}

#[test]
fn time_limits_are_cut_to_the_deadline() {
    check("a limits", "+1 | start > admit 1 a | in 1 > send 1 4/11/5/60");
    check("a limits json", "start > admit 1 a | in 1 > send 1 3/30/5/60");
    check("a limits json deadline=20", "start > admit 1 a | in 1 > send 1 3/20/5/20");
    check("a limits deadline=2", "start > admit 1 a | in 1 > send 1 2/2/5/2");
}

#[test]
fn a_proven_deployment_is_free_and_others_draw() {
    sent("a b", "b proven | fail 1 overloaded > admit 2 b | in 2 > send 2 | end 2 > commit 2, answered 2");
    sent("a b", "fail 1 overloaded > admit 2 b draws");
    // The order of the plan holds; proof only makes it free.
    sent("a b c", "c proven | fail 1 timeout > admit 2 b draws");
    // The same again is never free, proven or not.
    sent("a", "a proven | fail 1 overloaded > wake ~ | wake > admit 2 a draws");
    sent(
        "a b",
        "b proven | fail 1 stalled > admit 2 b | in 2 > send 2 | +1 | fail 2 empty > admit 3 a draws",
    );
}

#[test]
fn another_credential_goes_on_at_once_and_each_gives_way_once() {
    for kind in ["auth", "out_of_credit", "rate_limited"] {
        // Nobody's repeat: neither the number of attempts nor the budget nor a backoff stands before it.
        let again =
            format!("fail 1 {kind} another=0/2 > admit 2 a | in 2 > send 2 | end 2 > commit 2, answered 2");
        sent("a b attempts=1", &again);
        sent("a b", &format!("b proven | a busy | fail 1 {kind} another=0/2 > admit 2 b"));
        // What follows it is as ever.
        let then = format!("fail 1 {kind} another=0/3 > admit 2 a | in 2 > send 2");
        sent("a b attempts=1", &format!("{then} | fail 2 timeout > failed timeout"));
        sent("a b", &format!("b proven | {then} | fail 2 timeout > admit 3 b"));
        sent("a b attempts=1", &format!("{then} | fail 2 bad_request > failed bad_request"));
    }
    // Three credentials give way twice: the third is the last.
    let twice = "fail 1 auth another=0/3 > admit 2 a | in 2 > send 2 | fail 2 auth another=0/3 > admit 3 a | in 3 > send 3";
    sent("a attempts=1", &format!("{twice} | fail 3 auth > failed auth"));
    sent("a attempts=1", &format!("{twice} | fail 3 auth another=0/3 > failed auth"));
    sent("a b", &format!("b proven | {twice} | fail 3 auth > admit 4 b"));
    sent("a", "fail 1 timeout another=0/2 > wake ~");
    // Not let in after all, it may still come.
    sent("a", "fail 1 auth another=0/2 > admit 2 a | out 2 full > wake ~ | wake > admit 2 a | in 2 > send 2");
}

#[test]
fn another_credential_without_room_is_waited_for_like_a_limit() {
    sent("a b", "b proven | fail 1 auth another=5/2 > admit 2 b");
    sent("a deadline=3", "fail 1 auth another=5/2 > busy ~");
    sent("a deadline=8", "fail 1 auth another=5/2 > wake ~ | wake > admit 2 a draws");
    // The sooner of both: the one that was limited, or the other.
    sent("a deadline=8", "fail 1 rate_limited 20 another=5/2 > wake ~ | wake > admit 2 a draws");
    sent("a deadline=8", "fail 1 rate_limited 20 another=30/2 > busy ~");
}

#[test]
fn attempts_count_paid_ones_only() {
    sent("a attempts=1", "fail 1 timeout > failed timeout");
    sent("a b attempts=1", "fail 1 timeout > failed timeout");
    sent(
        "a b attempts=1",
        "b proven | fail 1 timeout > admit 2 b | in 2 > send 2 | fail 2 timeout > failed timeout",
    );
    sent(
        "a b c d attempts=2",
        "b proven | c proven | fail 1 timeout > admit 2 b | in 2 > send 2 | fail 2 timeout > admit 3 c | in 3 > send 3 | fail 3 timeout > admit 4 d draws | in 4 > send 4 | fail 4 bad_reply > failed bad_reply",
    );
    sent(
        "a b c d",
        "fail 1 timeout > admit 2 b draws | in 2 > send 2 | fail 2 timeout > admit 3 c draws | in 3 > send 3 | fail 3 unavailable > failed unavailable",
    );
    // One that was not admitted is no attempt.
    check(
        "a b attempts=1",
        "start > admit 1 a | out 1 full > admit 1 b | in 1 > send 1 | fail 1 empty > failed empty",
    );
}

#[test]
fn kinds_decide_where_to_go() {
    sent("a b", "fail 1 bad_request > failed bad_request");
    sent("a b", "fail 1 filtered > failed filtered");
    sent(
        "a b",
        "fail 1 auth > admit 2 b draws | in 2 > send 2 | fail 2 out_of_credit > failed out_of_credit",
    );
    sent("a", "fail 1 auth > failed auth");
    sent(
        "a:8000 b:8000 c:4000 d:9000",
        "fail 1 too_long > admit 2 d draws | in 2 > send 2 | fail 2 too_long > failed too_long",
    );
    sent("a:8000 b", "fail 1 too_long > failed too_long");
    sent("a b c:1", "fail 1 too_long > admit 2 c draws");
    sent(
        "a b",
        "fail 1 rate_limited 5 > admit 2 b draws | in 2 > send 2 | fail 2 rate_limited > wake ~ | wake > admit 3 b draws",
    );
    sent("a:8000 b:9000 single", "fail 1 too_long > failed too_long");
}

#[test]
fn only_the_first_without_fallbacks() {
    sent(
        "a b / c single",
        "fail 1 overloaded > wake ~ | wake > admit 2 a draws | out 2 full > wake ~ | wake > admit 2 a draws",
    );
    check("/ b c single", "start > admit 1 b | out 1 money > no money");
}

#[test]
fn retry_after_is_kept_and_bounded_by_the_deadline() {
    sent("a seed=4", "fail 1 rate_limited 5 > wake ~ | +4.9 | timer > wake ~ | wake > admit 2 a draws");
    sent("a", "fail 1 overloaded 61 > failed overloaded");
    sent("a", "fail 1 rate_limited 70 > busy ~");
    sent("a b", "fail 1 rate_limited 70 > admit 2 b draws | in 2 > send 2 | fail 2 auth > failed auth");
}

#[test]
fn one_that_is_out_is_the_last_resort() {
    check("/ a", "a open 30 | start > admit 1 a last | in 1 > send 1");
    check("a / b", "a open 30 | start > admit 1 b");
    check("a b", "start > admit 1 a | out 1 ticket > admit 1 b | out 1 money > admit 1 a last");
    // A healthy one once more, then the one that is out, then the first again.
    sent(
        "a / b attempts=9",
        "b open 30 | fail 1 timeout > wake ~ | wake > admit 2 a draws | in 2 > send 2 | fail 2 timeout > admit 3 b draws last | in 3 > send 3 | +1 | fail 3 timeout > admit 4 a draws",
    );
    // The healthy one must be waited for: rather than go to a sick one.
    check("a / b", "b suspect | start > admit 1 a | out 1 rate 5 > admit 1 a book | out 1 booked 5 > wake 5");
    check("a / b", "b busy | start > admit 1 a | out 1 full > wake ~ | wake > admit 1 a");
    // Unless it comes back too late.
    check("a / b", "b open 90 | start > admit 1 a | out 1 rate 70 > admit 1 b last");
    // The cooldown ends sooner than the wait.
    sent("a / b", "b open 3 | fail 1 rate_limited 9 > wake 3 | b half | wake > admit 2 b draws");
    sent("a b", "b held | fail 1 out_of_credit > admit 2 b draws last");
    // A stale view does not make it ask for ever.
    check("a", "a half | start > admit 1 a | out 1 ticket > admit 1 a | out 1 ticket > wake ~");
    check("a", "a open 5 | start > admit 1 a last | out 1 ticket > wake ~");
}

#[test]
fn limits_are_waited_for_in_line() {
    check("a b / c", "start > admit 1 a | out 1 rate 3 > admit 1 b | out 1 full > admit 1 c | in 1 > send 1");
    check(
        "a b",
        "start > admit 1 a | out 1 rate 3 > admit 1 b | out 1 rate 2 > admit 1 b book | out 1 booked 4 > wake 4 | +3 | timer > wake 4 | wake > admit 1 b booked | in 1 > send 1 | end 1 > commit 1, answered 1",
    );
    check("a", "start > admit 1 a | out 1 rate 3 > admit 1 a book | in 1 > send 1");
    check("a", "start > admit 1 a | out 1 rate 3 > admit 1 a book | out 1 rate 80 > busy 80");
    check("a", "start > admit 1 a | out 1 rate 90 > busy 90");
    check("a b", "start > admit 1 a | out 1 rate 90 > admit 1 b | out 1 rate 70 > busy 70");
    check("a", "start > admit 1 a | out 1 rate 3 > admit 1 a book | out 1 booked 99 > unbook 1, busy 99");
    // Too many wait already: elsewhere, or away with the time to come back, at once.
    check("a b", "start > admit 1 a | out 1 queue 3 > admit 1 b | out 1 queue 5 > busy 3");
    check("a", "start > admit 1 a | out 1 rate 3 > admit 1 a book | out 1 queue 80 > busy 80");
    check("a deadline=1", "+0.99 | start > admit 1 a | out 1 full > busy ~");
    // Booked, and then the place is gone for another reason.
    check(
        "a b",
        "start > admit 1 a | out 1 rate 3 > admit 1 b | out 1 rate 9 > admit 1 a book | out 1 booked 3 > wake 3 | wake > admit 1 a booked | out 1 full > wake ~ | wake > admit 1 a",
    );
    // Booked, and then its breaker opens: to another, if there is one.
    check(
        "a / b",
        "b open 9 | start > admit 1 a | out 1 rate 3 > admit 1 a book | out 1 booked 3 > wake 3 | a open 30 | b closed | wake > unbook 1, admit 1 b",
    );
    check(
        "a",
        "start > admit 1 a | out 1 rate 3 > admit 1 a book | out 1 booked 3 > wake 3 | a open 30 | wake > admit 1 a last booked",
    );
    sent(
        "a",
        "fail 1 overloaded > wake ~ | wake > admit 2 a draws | out 2 rate 9 > admit 2 a draws book | out 2 booked 9 > wake 9 | wake > admit 2 a draws booked",
    );
}

#[test]
fn money_that_does_not_cover_leads_to_a_cheaper_one() {
    check("a b", "start > admit 1 a | out 1 money > admit 1 b | in 1 > send 1");
    check("a b", "start > admit 1 a | out 1 money > admit 1 b | out 1 money > no money");
    sent("a b", "fail 1 auth > admit 2 b draws | out 2 money > failed auth");
}

#[test]
fn a_spent_retry_budget_is_waited_for_but_not_long() {
    sent(
        "a b",
        "fail 1 timeout > admit 2 b draws | out 2 budget > wake ~ | wake > admit 2 b draws | in 2 > send 2",
    );
    sent(
        "a",
        "fail 1 timeout > wake ~ | wake > admit 2 a draws | out 2 rate 9 > admit 2 a draws book | out 2 budget > wake ~ | wake > admit 2 a draws",
    );
    // Somebody proved himself meanwhile.
    sent("a b", "fail 1 timeout > admit 2 b draws | out 2 budget > wake ~ | b proven | wake > admit 2 b");
    sent(
        "a b",
        "fail 1 timeout > admit 2 b draws | out 2 budget > wake ~ | +4 | timer > admit 2 b draws | out 2 budget > wake ~ | +2 | timer > failed timeout",
    );
    sent(
        "a b",
        "fail 1 timeout > admit 2 b draws | out 2 budget > wake ~ | +6 | c proven | b proven | timer > admit 2 b",
    );
}

#[test]
fn one_that_cannot_be_written_was_never_made() {
    sent(
        "a b c attempts=1",
        "fail 1 inexpressible > admit 2 b | in 2 > send 2 | fail 2 overloaded > failed overloaded",
    );
    sent(
        "a b",
        "fail 1 inexpressible > admit 2 b | in 2 > send 2 | fail 2 inexpressible > failed inexpressible",
    );
    sent(
        "a b",
        "fail 1 overloaded > admit 2 b draws | in 2 > send 2 | fail 2 inexpressible > wake ~ | wake > admit 3 a draws",
    );
    sent("a b", "fail 1 rate_limited 70 > admit 2 b draws | in 2 > send 2 | fail 2 inexpressible > busy ~");
}

#[test]
fn an_answer_that_breaks_off_is_gone_on_with() {
    // As freely, and no more freely, than any other repeat.
    sent(
        "a b",
        "text 1 > commit 1 | fail 1 truncated > admit 2 b draws | in 2 > send 2 | text 2 > commit 2 | end 2 > answered 2",
    );
    sent(
        "a b",
        "b proven | text 1 > commit 1 | fail 1 stalled > admit 2 b | in 2 > send 2 | end 2 > commit 2, answered 2",
    );
    // It may fail before it shows anything, or after, and another follows.
    sent(
        "a b c d",
        "b proven | c proven | d proven | text 1 > commit 1 | fail 1 truncated > admit 2 b | in 2 > send 2 | fail 2 overloaded > admit 3 c | in 3 > send 3 | text 3 > commit 3 | fail 3 empty > admit 4 d | in 4 > send 4 | text 4 > commit 4 | end 4 > answered 4",
    );
    // The same again, when there is no other.
    sent("a", "text 1 > commit 1 | fail 1 truncated > wake ~ | wake > admit 2 a draws");
    sent("a single", "text 1 > commit 1 | fail 1 bad_reply > wake ~ | wake > admit 2 a draws");
    // Rather one that is given the beginning of the answer than one that is told it.
    sent(
        "a b c prefill=c",
        "text 1 > commit 1 | fail 1 truncated > admit 2 c draws | out 2 unfit > admit 2 b draws",
    );
    sent("a b / c prefill=c", "c open 30 | text 1 > commit 1 | fail 1 truncated > admit 2 b draws");
}

#[test]
fn who_has_begun_an_answer_cannot_call_its_request_wrong() {
    sent("a b", "text 1 > commit 1 | fail 1 bad_request > admit 2 b draws | in 2 > send 2");
    sent("a b", "text 1 > commit 1 | fail 1 filtered > broken 1 filtered");
    sent("a b", "fail 1 bad_request > failed bad_request");
}

#[test]
fn half_an_answer_that_nobody_can_go_on_with_is_said_to_be_broken() {
    sent("a b no-rescue", "b proven | text 1 > commit 1 | fail 1 truncated > broken 1 truncated | end 1 >");
    sent("a b", "b proven | text 1 > commit 1 | fail 1 truncated stuck > broken 1 truncated");
    sent("a b", "text 1 > commit 1 | fail 1 filtered > broken 1 filtered");
    sent("a b attempts=1", "text 1 > commit 1 | fail 1 truncated > broken 1 truncated");
    sent("a", "text 1 > commit 1 | +60 | timer > cancel 1, broken 1 timeout");
    sent("a", "text 1 > commit 1 | +59 | timer > wake 60 | end 1 > answered 1");
    sent(
        "a b",
        "text 1 > commit 1 | fail 1 truncated > admit 2 b draws | in 2 > send 2 | +60 | timer > cancel 2, broken 1 timeout",
    );
    sent(
        "a b",
        "text 1 > commit 1 | fail 1 truncated > admit 2 b draws | out 2 unfit > wake ~ | wake > admit 2 a draws | out 2 money > broken 1 truncated",
    );
    sent(
        "a b",
        "text 1 > commit 1 | fail 1 truncated > admit 2 b draws | out 2 unfit > wake ~ | wake > admit 2 a draws | out 2 ceiling > broken 1 truncated",
    );
    sent("a b", "text 1 > commit 1 | fail 1 truncated > admit 2 b draws | gone > cancel 2, gone");
    // What they say of the request that we wrote is no word against the client's.
    sent(
        "a b c",
        "b proven | c proven | text 1 > commit 1 | fail 1 truncated > admit 2 b | in 2 > send 2 | fail 2 bad_request > admit 3 c | in 3 > send 3 | fail 3 filtered > wake ~",
    );
}

#[test]
fn a_late_first_attempt_is_raced() {
    let late = "hedge=2 a b";
    let raced = |script: &str| {
        check(
            late,
            &format!(
                "start > admit 1 a | in 1 > send 1, wake 2 | +2 | timer > admit 2 b hedge | in 2 > send 2 | {script}"
            ),
        );
    };
    raced("text 2 > commit 2, cancel 1 | end 2 > answered 2");
    raced("text 1 > commit 1, cancel 2 | text 2 > | end 1 > answered 1");
    raced("end 2 > commit 2, cancel 1, answered 2");
    raced("+58 | timer > cancel 1, cancel 2, deadline");
    raced("gone > cancel 1, cancel 2, gone");
    raced("timer > wake 60");
    // Whichever fails, the other goes on; and when both have, a third comes.
    raced("fail 1 overloaded > | text 2 > commit 2");
    raced("fail 2 bad_request > | fail 1 overloaded > wake ~ | wake > admit 3 a draws");
    raced("fail 1 bad_request > cancel 2, failed bad_request");
    raced("fail 1 timeout > | fail 2 bad_request > failed bad_request");
    raced("text 2 > commit 2, cancel 1 | fail 2 truncated > admit 3 a draws");
    // It is no paid attempt.
    let late = "hedge=2 a b attempts=2";
    check(
        late,
        "start > admit 1 a | in 1 > send 1, wake 2 | +2 | timer > admit 2 b hedge | in 2 > send 2 | fail 2 timeout > | fail 1 timeout > wake ~ | wake > admit 3 a draws",
    );
}

#[test]
fn a_race_is_only_run_where_it_harms_nobody() {
    let quiet = |setting: &str, script: &str| {
        check(setting, &format!("start > admit 1 a | in 1 > send 1, wake 2 | +2 | {script}"));
    };
    quiet("hedge=2 a / b", "timer > wake 60");
    quiet("hedge=2 a b c", "b open 30 | timer > admit 2 c hedge");
    quiet("hedge=2 a b", "b suspect | timer > wake 60");
    quiet(
        "hedge=2 a b c d",
        "timer > admit 2 b hedge | out 2 rate 3 > admit 2 c hedge | out 2 credit > | text 1 > commit 1",
    );
    quiet("hedge=2 a b", "timer > admit 2 b hedge | out 2 full > wake 60");
    quiet("hedge=2 a b", "timer > admit 2 b hedge | out 2 ceiling > | fail 1 timeout > admit 2 b draws");
    quiet("hedge=2 a b", "timer > admit 2 b hedge | fail 1 timeout > | out 2 credit > admit 2 b draws");
    quiet("hedge=2 a b", "text 1 > commit 1, wake 60 | timer > wake 60");
    quiet("hedge=2 a b", "fail 1 timeout > admit 2 b draws | in 2 > send 2 | +2 | timer > wake 60");
    check("hedge=2 a", "start > admit 1 a | in 1 > send 1");
    check("hedge=2 a b single", "start > admit 1 a | in 1 > send 1");
    check("hedge=10 a b", "start > admit 1 a | in 1 > send 1");
    check("hedge=10 a b json", "start > admit 1 a | in 1 > send 1, wake 10 | +10 | timer > admit 2 b hedge");
}

#[test]
fn the_cost_ceiling_leads_to_a_cheaper_one_or_ends_it() {
    check("a b", "start > admit 1 a | out 1 ceiling > admit 1 b | out 1 ceiling > over ceiling");
    sent("a b", "fail 1 auth > admit 2 b draws | out 2 ceiling > over ceiling auth");
    sent("a b c", "fail 1 timeout > admit 2 b draws | out 2 ceiling > admit 2 c draws");
}

#[test]
fn some_are_kept_for_a_kind_of_failure() {
    let kept = "a:8000 b:9000 long/ c d:7000 filter/ e";
    sent(kept, "fail 1 overloaded > admit 2 b draws | in 2 > send 2 | fail 2 auth > wake ~");
    sent(kept, "fail 1 too_long > admit 2 b draws | in 2 > send 2 | fail 2 too_long > admit 3 c draws");
    sent(kept, "fail 1 filtered > admit 2 e draws | in 2 > send 2 | fail 2 filtered > failed filtered");
    sent(
        "a long/ b filter/ b",
        "fail 1 filtered > admit 2 b draws | in 2 > send 2 | fail 2 too_long > failed too_long",
    );
    sent("a single long/ b filter/ c", "fail 1 filtered > failed filtered");
    sent("a single long/ b filter/ c", "fail 1 too_long > failed too_long");
    check("long/ a", "start > failed");
    sent(
        "a b c filter/ c",
        "fail 1 filtered > admit 2 c draws | in 2 > send 2 | fail 2 filtered > failed filtered",
    );
    // Half an answer that another's filter would let pass.
    sent("a b filter/ c", "text 1 > commit 1 | fail 1 filtered > admit 2 c draws");
}

#[test]
fn the_deadline_ends_everything() {
    sent("a b", "+60 | timer > cancel 1, deadline | end 1 >");
    sent("a b", "+60 | fail 1 timeout > deadline");
    sent("a b", "+60 | fail 1 bad_request > failed bad_request");
    check("a", "+60 | start > deadline");
    check("a", "start > admit 1 a | +60 | in 1 > cancel 1, deadline");
    check(
        "a",
        "start > admit 1 a | out 1 rate 3 > admit 1 a book | out 1 booked 3 > wake 3 | +60 | timer > unbook 1, deadline",
    );
    // A backoff that ends after it is not waited for.
    sent("a", "+59.9999 | fail 1 overloaded 1 > failed overloaded");
}

#[test]
fn a_client_that_leaves_ends_everything() {
    sent("a b", "gone > cancel 1, gone | fail 1 timeout >");
    sent("a", "text 1 > commit 1 | gone > cancel 1, gone");
    check("a", "start > admit 1 a | gone > cancel 1, gone | in 1 >");
    check(
        "a",
        "start > admit 1 a | out 1 rate 3 > admit 1 a book | out 1 booked 3 > wake 3 | gone > unbook 1, gone",
    );
    sent("a", "fail 1 overloaded > wake ~ | gone > gone");
}

#[test]
fn backoff_is_full_jitter_and_never_before_retry_after() {
    let mut longest = [Duration::ZERO; 2];
    for seed in 0..300 {
        for (told, longest) in [None, Some(Duration::from_secs(7))].into_iter().zip(&mut longest) {
            let setting = Setting::parse(&format!("a seed={seed}"));
            let mut failover = setting.failover();
            failover.on(Event::Start, START, &[]);
            failover.on(Event::Admitted(AttemptNo(1)), START, &[]);
            let failure =
                Failure { kind: FailureKind::Overloaded, retry_after: told, can_go_on: true, another: None };
            let failed = Event::Failed(AttemptNo(1), failure);
            let Some(Action::WakeAt(at)) = failover.on(failed, START, &[]).first().copied() else {
                panic!("no wake-up for seed {seed}");
            };
            let jitter = at.since(START + told.unwrap_or_default());
            assert!(at >= START + told.unwrap_or_default() && jitter <= policy().backoff_base, "{jitter:?}");
            *longest = (*longest).max(jitter);
        }
    }
    assert!(longest.iter().all(|l| *l > Duration::from_millis(190)), "{longest:?}");
    let mut rng = fastrand::Rng::with_seed(1);
    let most = (0..1_000).map(|_| retry::backoff(&policy(), 40, &mut rng)).max();
    assert!(most > Some(Duration::from_millis(1_900)) && most <= Some(policy().backoff_cap));
}

proptest! {
    /// The bound of the storm: at every withdrawal, the repeats of the window are within the share of its requests and the
    /// reserve; over any time, within the share of all requests and `per_sec` for that time and one window more.
    #[test]
    fn retries_are_bounded(
        percent in 0u32..100,
        per_sec in 0u32..12,
        steps in prop::collection::vec((0u64..400, 0u32..30, 0u32..60), 1..200),
    ) {
        let policy = RetryPolicy { budget_percent: percent, per_sec, ..policy() };
        let mut budget = RetryBudget::new(&policy);
        let (mut now, mut log, mut all) = (START, VecDeque::new(), (0u64, 0u64));
        for (step_ms, requests, wanted) in steps {
            now = now + Duration::from_millis(step_ms);
            for _ in 0..requests {
                budget.deposit(now);
            }
            let repeats = (0..wanted).filter(|_| budget.try_withdraw(now)).count() as u64;
            log.push_back((now.as_secs(), u64::from(requests), repeats));
            all = (all.0 + u64::from(requests), all.1 + repeats);
            while log.front().is_some_and(|(at, ..)| at + 10 <= now.as_secs()) {
                log.pop_front();
            }
            let (seen, made) = log.iter().fold((0, 0), |(r, m), (_, requests, repeats)| (r + requests, m + repeats));
            let (percent, per_sec) = (u64::from(percent), u64::from(per_sec));
            if repeats > 0 {
                prop_assert!(made * 100 <= seen * percent + per_sec * 1_000);
            } else if wanted > 0 {
                // Refused only when it was spent.
                prop_assert!((made + 1) * 100 > seen * percent + per_sec * 1_000);
            }
            let elapsed = now.since(START).as_secs() + 11;
            prop_assert!(all.1 * 100 <= all.0 * percent + per_sec * 100 * (elapsed + 10));
        }
    }
    /// At every grant, what the hedges of the hour were booked at and this one is expected to cost is at most their share of
    /// what the answers of the hour cost, and what is refused would have been over it. Many are booked at far more than
    /// expected, as a loser is that was stopped before it said anything, at its ceiling: the next ones wait until that is
    /// earned.
    #[test]
    fn hedges_cost_at_most_their_share(
        share_ppm in 0u32..200_000,
        steps in prop::collection::vec((0u64..900_000, 0i64..5_000, 0i64..5_000, 0i64..=1_000), 1..120),
    ) {
        let mut credit = HedgeCredit::new(share_ppm);
        let (mut now, mut log) = (START, VecDeque::new());
        for (step_ms, cost, expected, of_expected) in steps {
            now = now + Duration::from_millis(step_ms);
            credit.earn(now, Usd::from_nano(cost));
            log.push_back((now, cost, 0));
            // The window slides in slices of six minutes.
            let slice = |at: Timestamp| at.as_secs() / 360;
            log.retain(|(at, ..)| slice(*at) + 10 > slice(now));
            let (earned, extra) = log.iter().fold((0, 0), |(e, x), (_, earned, extra)| (e + earned, x + extra));
            let within = (extra + expected) * 1_000_000 <= earned * i64::from(share_ppm);
            prop_assert_eq!(credit.try_take(now, Usd::from_nano(expected)), within);
            if within {
                let actual = expected * of_expected / 100;
                credit.settle(now, Usd::from_nano(expected), Usd::from_nano(actual));
                log.push_back((now, 0, actual));
            }
        }
    }
}
