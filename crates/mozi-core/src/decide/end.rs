//! The end of a session: what it was, and what follows for its task.

use super::{About, Desk, Move, agents, deliver, report::give_verdict, review, sessions};
use crate::{
    agent::SPAWN_FAILURES_BLOCK_TASK,
    attempt::{Attempt, Role, Verdict, VerdictMode},
    change::{Change, Reply},
    command::{End, NewOutput},
    event::EventKind,
    id::TaskKey,
    outcome::{Outcome, Reason},
    output::{Content, OutputType},
    project::{OnNoVerdict, RetryOrBlock},
    refusal::Refusal,
    retry,
    session::SessionStatus,
    task::{NotBefore, Status},
    token::Actor,
};

pub use judge::{Ended, judge};

mod judge;

pub(super) fn end(d: &mut Desk<'_>, end: &End) -> Result<Reply, Refusal> {
    sessions::own(d, end.session_id)?;
    let session = d.session(end.session_id)?.clone();
    if !session.is_open() {
        let attempt = session.attempt.as_ref().and_then(|(k, n)| d.attempt(k, *n)).cloned();
        return Ok(Reply::Session { session: Box::new(session), attempt: attempt.map(Box::new) });
    }
    let attempt = session.attempt.as_ref().and_then(|(k, n)| d.attempt(k, *n)).cloned();
    let (outcome, reason) = judge(Ended {
        verdict: attempt.as_ref().and_then(|a| a.verdict),
        revoked: attempt.as_ref().is_some_and(|a| a.revoked_at.is_some()),
        stop_requested: session.stop_requested.is_some(),
        exit_is_verdict: attempt.as_ref().is_none_or(|a| a.verdict_mode == VerdictMode::Exit),
        cause: end.cause,
        exit_code: end.exit_code,
        signal: end.signal,
        reason: end.reason.or(end.reading.reason),
        ended_as: end.reading.ended_as,
    });
    let now = d.now;
    if let Some(s) = d.change_session(end.session_id) {
        s.status = SessionStatus::Ended(outcome);
        s.held_up = None;
        s.error.clone_from(&end.error);
        s.completed_at = Some(now);
    }
    match &attempt {
        None => {
            let actor = d.actor();
            d.emit(
                About::agent(&session.agent),
                actor,
                EventKind::SessionEnded { session_id: session.id, outcome, reason },
            );
        }
        Some(a) => close(d, end, a, outcome, reason)?,
    }
    agents::after_end(d, &session, end, outcome, reason);
    let attempt = session.attempt.as_ref().and_then(|(k, n)| d.attempt(k, *n)).cloned();
    Ok(Reply::Session {
        session: Box::new(d.session(end.session_id)?.clone()),
        attempt: attempt.map(Box::new),
    })
}

/// What the close of an attempt makes of its task.
struct Next {
    to: Status,
    kind: Option<String>,
    detail: Option<String>,
}

impl Next {
    fn to(to: Status) -> Self {
        Self { to, kind: None, detail: None }
    }
    fn blocked(kind: &str, detail: impl Into<String>) -> Self {
        Self { to: Status::Blocked, kind: Some(kind.to_owned()), detail: Some(detail.into()) }
    }
}

fn close(
    d: &mut Desk<'_>,
    end: &End,
    a: &Attempt,
    outcome: Outcome,
    reason: Option<Reason>,
) -> Result<(), Refusal> {
    let key = &a.key;
    let (now, seed) = (d.now, d.request.seed);
    let untouched = a.verdict.is_some() || a.revoked_at.is_some();
    let by_exit = !untouched && outcome == Outcome::Completed;
    if let Some(x) = d.change_attempt(key, a.number) {
        x.outcome = Some(outcome);
        x.reason = reason;
        x.exit_code = end.exit_code;
        x.signal = end.signal;
        x.completed_at = Some(now);
        x.resources = end.resources;
        x.tail.clone_from(&end.tail);
        x.metadata = metadata(end);
    }
    if !end.reading.usage.is_empty() {
        d.write(Change::InsertUsage { key: key.clone(), number: a.number, rows: end.reading.usage.clone() });
    }
    d.change_task(key)?.state.open = None;
    let status = d.task(key)?.state.status;
    let moves = !untouched
        && match a.role {
            Role::Executor => matches!(status, Status::Claimed | Status::Working),
            Role::Reviewer => status == Status::Review,
        };
    let blames_provider = reason.is_some_and(Reason::blames_provider);
    let counted =
        moves && !by_exit && !blames_provider && !matches!(outcome, Outcome::SpawnFailed | Outcome::DryRun);
    if moves {
        count(d, key, a.role, outcome, counted)?;
    }
    let next = (moves && !by_exit).then(|| after_close(d, a, outcome, reason)).transpose()?;
    let not_before = match &next {
        Some(n) if repeats(n, a.role) => {
            let s = &d.project(&key.project)?.settings;
            let pause = retry::backoff(d.task(key)?.state.repeats, s.backoff_initial, s.backoff_max, seed);
            Some(now.plus(pause))
        }
        _ => None,
    };
    if let Some(at) = not_before {
        d.change_task(key)?.state.not_before = Some(NotBefore { at, by_board: true });
    }
    let actor = d.actor();
    d.emit(
        About { attempt: Some(a.number), agent: Some(&a.agent), ..About::task(key) },
        actor,
        EventKind::AgentEnded {
            outcome,
            role: a.role,
            reason,
            exit_code: end.exit_code,
            signal: end.signal,
            counted,
            not_before,
        },
    );
    if by_exit && moves {
        return accept_exit(d, end, a);
    }
    let Some(next) = next else { return Ok(()) };
    if a.role == Role::Reviewer {
        return match next.detail {
            Some(why) if next.to == Status::Blocked => review::give_up_reviewer(d, key, &why),
            _ => Ok(()),
        };
    }
    let to = next.to;
    d.move_task(key, to, Actor::board(), Move { detail: next.detail, kind: next.kind, ..Move::default() })?;
    if to == Status::Review {
        review::arrived(d, key, false)?;
    }
    Ok(())
}

/// A reviewer's task stays in `review`: "blocked" stands for "no other reviewer is tried".
fn repeats(next: &Next, role: Role) -> bool {
    match role {
        Role::Executor => next.to == Status::Pending,
        Role::Reviewer => next.to != Status::Blocked,
    }
}

fn count(
    d: &mut Desk<'_>,
    key: &TaskKey,
    role: Role,
    outcome: Outcome,
    counted: bool,
) -> Result<(), Refusal> {
    let s = &mut d.change_task(key)?.state;
    s.repeats = s.repeats.saturating_add(1);
    s.spawn_failures = if outcome == Outcome::SpawnFailed { s.spawn_failures.saturating_add(1) } else { 0 };
    let used = match role {
        Role::Executor => &mut s.budget_used,
        Role::Reviewer => &mut s.review_used,
    };
    if counted {
        *used = used.saturating_add(1);
    }
    Ok(())
}

fn after_close(d: &Desk<'_>, a: &Attempt, outcome: Outcome, reason: Option<Reason>) -> Result<Next, Refusal> {
    let task = d.task(&a.key)?;
    let settings = &d.project(&a.key.project)?.settings;
    let s = &task.state;
    let why = |what: &str| match reason {
        Some(r) => format!("attempt {} {what}: {}", a.number, r.advice().0),
        None => format!("attempt {} {what}", a.number),
    };
    let (used, limit) = match a.role {
        Role::Executor => (s.budget_used, task.spec.max_attempts.unwrap_or(settings.max_attempts)),
        Role::Reviewer => (s.review_used, settings.max_review_attempts),
    };
    let again = || {
        if used < limit {
            return Next { detail: Some(why(&format!("ended as {outcome}"))), ..Next::to(Status::Pending) };
        }
        // Numbers go on after a person has given it new ones.
        let since = if a.number == limit { "" } else { " since somebody last set it going" };
        let detail = why(&format!("ended as {outcome}, the last of {limit}{since}"));
        match a.role {
            Role::Executor => Next { detail: Some(detail), ..Next::to(Status::Failed) },
            Role::Reviewer => Next::blocked("reviewer", detail),
        }
    };
    let again_or_block = |choice| {
        if choice == RetryOrBlock::Block && a.role == Role::Executor {
            Next::blocked(outcome.as_str(), why(&format!("ended as {outcome}")))
        } else {
            again()
        }
    };
    Ok(match outcome {
        Outcome::DryRun => Next::blocked("dry_run", "a dry run: nothing was started"),
        Outcome::SpawnFailed if s.spawn_failures >= SPAWN_FAILURES_BLOCK_TASK => Next::blocked(
            "spawn_failed",
            why(&format!("could not be started, {} times in a row", s.spawn_failures)),
        ),
        Outcome::SpawnFailed => {
            Next { detail: Some(why("could not be started")), ..Next::to(Status::Pending) }
        }
        Outcome::OverBudget if a.role == Role::Executor => {
            Next::blocked("over_budget", why("passed a limit"))
        }
        Outcome::Lost => again_or_block(settings.on_lost),
        Outcome::TimedOut => again_or_block(settings.on_timeout),
        Outcome::NoVerdict if a.role == Role::Executor => {
            let review = || Next {
                kind: Some("no_verdict".into()),
                detail: Some(why("ended without a verdict")),
                ..Next::to(Status::Review)
            };
            match settings.on_no_verdict {
                OnNoVerdict::Review => review(),
                OnNoVerdict::Auto if a.outputs > 0 => review(),
                OnNoVerdict::Auto | OnNoVerdict::Retry => again(),
                OnNoVerdict::Block => Next::blocked("no_verdict", why("ended without a verdict")),
            }
        }
        Outcome::NoVerdict
        | Outcome::OverBudget
        | Outcome::Crashed
        | Outcome::Stalled
        | Outcome::Cancelled
        | Outcome::Completed => again(),
    })
}

/// `verdict = "exit"` and exit 0: that is the verdict, and the last lines are the output.
fn accept_exit(d: &mut Desk<'_>, end: &End, a: &Attempt) -> Result<(), Refusal> {
    let key = &a.key;
    let text = end.tail.as_ref().map(|t| t.stdout.clone()).filter(|t| !t.trim().is_empty());
    if let (Some(text), Some(sha256)) = (text, end.tail_sha256.clone()) {
        let new = NewOutput {
            key: key.clone(),
            output_type: OutputType::Document,
            title: "Last output lines".into(),
            summary: None,
            file_name: None,
            sha256,
            size_bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
            content: Content::Inline(text.into_bytes()),
            claimed_agent: None,
        };
        deliver::add_output(d, &new, Some((a.number, a.agent.clone())))?;
    }
    give_verdict(d, key, a.number, Verdict::Review);
    let by_exit = Move { verdict_of: Some(a.number), ..Move::default() };
    d.move_task(key, Status::Review, Actor::board(), by_exit)?;
    review::arrived(d, key, true)
}

fn metadata(end: &End) -> serde_json::Value {
    let mut map = end.metadata.as_object().cloned().unwrap_or_default();
    let mut put = |name: &str, value: Option<&String>| {
        if let Some(v) = value {
            map.insert(name.to_owned(), v.clone().into());
        }
    };
    put("error", end.error.as_ref());
    put("final_text", end.reading.final_text.as_ref());
    serde_json::Value::Object(map)
}
