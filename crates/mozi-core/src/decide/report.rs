//! Reports of a status, by agents and people alike.

use super::{Desk, Move, review, status_reply};
use crate::{
    attempt::{Attempt, Role, Verdict},
    change::Reply,
    command::Report,
    id::{AttemptNumber, TaskKey},
    limits,
    project::RequireOutput,
    refusal::Refusal,
    task::Status,
    token::Identity,
    transition::{self, Mover},
};

pub(super) fn report(d: &mut Desk<'_>, r: &Report) -> Result<Reply, Refusal> {
    limits::opt_text("detail", r.detail.as_deref(), limits::DETAIL_BYTES)?;
    if let Some(kind) = &r.kind {
        limits::line("kind", kind, limits::WORD_CHARS)?;
    }
    match d.state.identity.clone() {
        Identity::Attempt { key, number, role, .. } => {
            if key != r.key {
                return Err(Refusal::not_found(format!("task {} for this token", r.key.task)));
            }
            if let Some(claimed) = &r.claimed_agent {
                d.check_claimed("`agent`", &key, number, claimed);
            }
            match role {
                Role::Executor => by_executor(d, r, number),
                Role::Reviewer => by_reviewer(d, r, number),
            }
        }
        // What the board moves follows from what others do; it never reports.
        Identity::Board => Err(Refusal::Forbidden { why: "only a person or an attempt reports".into() }),
        Identity::User { .. } | Identity::Unknown | Identity::Runner(_) => {
            d.person(Some(&r.key.project))?;
            by_person(d, r)
        }
    }
}

/// The attempt of a token, if it may still write at all.
pub(super) fn open_for_writing<'a>(
    d: &'a Desk<'_>,
    key: &TaskKey,
    number: AttemptNumber,
) -> Result<&'a Attempt, Refusal> {
    let attempt = d.attempt(key, number).ok_or_else(|| Refusal::not_found(format!("attempt {number}")))?;
    if !attempt.is_open() {
        let outcome = attempt.outcome.map_or("", |o| o.as_str());
        return Err(Refusal::AttemptClosed { number, why: format!("it has ended: {outcome}") });
    }
    if attempt.revoked_at.is_some() {
        let why = attempt.revoked_why.clone().unwrap_or_else(|| "its task was taken from it".into());
        return Err(Refusal::AttemptClosed { number, why });
    }
    Ok(attempt)
}

/// The verdict again is answered, another one refused.
fn after_verdict(d: &mut Desk<'_>, r: &Report, number: AttemptNumber) -> Result<Option<Reply>, Refusal> {
    let attempt = open_for_writing(d, &r.key, number)?;
    let Some(verdict) = attempt.verdict else { return Ok(None) };
    if verdict.status() == r.status {
        return status_reply(d, &r.key, Some(number), None).map(Some);
    }
    Err(Refusal::VerdictGiven { verdict, current: d.task(&r.key)?.state.status })
}

fn refused(d: &Desk<'_>, r: &Report, who: Mover, why: Option<&str>) -> Refusal {
    match d.task(&r.key) {
        Err(e) => e,
        Ok(task) => Refusal::TransitionRefused {
            current: task.state.status,
            asked: r.status,
            allowed: transition::allowed(task.state.status, who),
            why: why.map(str::to_owned),
        },
    }
}

fn by_executor(d: &mut Desk<'_>, r: &Report, number: AttemptNumber) -> Result<Reply, Refusal> {
    if let Some(again) = after_verdict(d, r, number)? {
        return Ok(again);
    }
    let task = d.task(&r.key)?;
    let (current, set_by) = (task.state.status, task.state.set_by);
    if current == r.status && set_by == Some(number) {
        return status_reply(d, &r.key, Some(number), None);
    }
    if !transition::permits(current, r.status, Mover::Executor) {
        return Err(refused(d, r, Mover::Executor, None));
    }
    let actor = d.actor();
    let by = Move { set_by: Some(number), detail: r.detail.clone(), kind: r.kind.clone(), ..Move::default() };
    let Some(verdict) = Verdict::of(Role::Executor, r.status) else {
        let event = d.move_task(&r.key, r.status, actor, by)?;
        return status_reply(d, &r.key, Some(number), Some(event));
    };
    if verdict == Verdict::Review
        && d.project(&r.key.project)?.settings.require_output != RequireOutput::Never
        && open_for_writing(d, &r.key, number)?.outputs == 0
    {
        return Err(Refusal::OutputRequired);
    }
    if matches!(verdict, Verdict::Failed | Verdict::Blocked)
        && r.detail.as_ref().is_none_or(|t| t.trim().is_empty())
    {
        d.warn(format!("say why in `detail`: people will ask why it is {}", r.status));
    }
    if current == Status::Claimed {
        // It forgot to say that it is at work; the history shows both steps all the same.
        let silent = Move { set_by: Some(number), ..Move::default() };
        d.move_task(&r.key, Status::Working, actor.clone(), silent)?;
    }
    give_verdict(d, &r.key, number, verdict);
    let event = d.move_task(&r.key, r.status, actor, Move { verdict_of: Some(number), ..by })?;
    if verdict == Verdict::Review {
        review::arrived(d, &r.key, true)?;
    }
    status_reply(d, &r.key, Some(number), Some(event))
}

pub(super) fn give_verdict(d: &mut Desk<'_>, key: &TaskKey, number: AttemptNumber, verdict: Verdict) {
    let now = d.now;
    if let Some(a) = d.change_attempt(key, number) {
        a.verdict = Some(verdict);
        a.verdict_at = Some(now);
    }
}

fn by_reviewer(d: &mut Desk<'_>, r: &Report, number: AttemptNumber) -> Result<Reply, Refusal> {
    if let Some(again) = after_verdict(d, r, number)? {
        return Ok(again);
    }
    if r.status == Status::Working {
        return status_reply(d, &r.key, Some(number), None);
    }
    let current = d.task(&r.key)?.state.status;
    if !transition::permits(current, r.status, Mover::Reviewer) {
        return Err(refused(d, r, Mover::Reviewer, None));
    }
    let event = if r.status == Status::Done {
        review::approve(d, &r.key, Some(number), r.detail.clone())?
    } else {
        review::send_back(d, &r.key, Some(number), r.detail.as_deref())?
    };
    status_reply(d, &r.key, Some(number), Some(event))
}

fn by_person(d: &mut Desk<'_>, r: &Report) -> Result<Reply, Refusal> {
    let task = d.task(&r.key)?;
    let (current, last) = (task.state.status, task.state.last_attempt);
    if r.attempt_number.is_some_and(|n| n != last) {
        let why = format!("you have seen attempt {}, the newest is {last}", r.attempt_number.unwrap_or(0));
        return Err(refused(d, r, Mover::Person, Some(&why)));
    }
    if current == r.status {
        return status_reply(d, &r.key, None, None);
    }
    if !transition::permits(current, r.status, Mover::Person) {
        return Err(refused(d, r, Mover::Person, None));
    }
    let detail = r.detail.clone().filter(|t| !t.trim().is_empty());
    let actor = d.actor();
    let event = match r.status {
        Status::Done if current == Status::Review => review::approve(d, &r.key, None, detail)?,
        Status::Pending if current == Status::Review => {
            review::send_back(d, &r.key, None, detail.as_deref())?
        }
        Status::Done if detail.is_none() => {
            return Err(Refusal::invalid("detail", format!("is needed: say why a {current} task is done")));
        }
        to @ (Status::Pending
        | Status::Claimed
        | Status::Working
        | Status::Review
        | Status::Done
        | Status::Failed
        | Status::Blocked
        | Status::Cancelled) => {
            let ends_attempt = matches!(to, Status::Blocked | Status::Cancelled);
            let revoked = ends_attempt
                .then(|| d.revoke_open(&r.key, &format!("the task was {to} by a person")))
                .flatten();
            let kind = r.kind.clone().or_else(|| (to == Status::Blocked).then(|| "held".to_owned()));
            if to == Status::Pending {
                new_budget(d, &r.key)?;
            }
            d.change_task(&r.key)?.state.rounds = 0;
            d.move_task(&r.key, to, actor, Move { detail, kind, revoked, ..Move::default() })?
        }
    };
    status_reply(d, &r.key, None, Some(event))
}

/// A task that begins anew: attempts, failures and pauses so far do not count any more. A time that a person set
/// still does.
pub(super) fn new_budget(d: &mut Desk<'_>, key: &TaskKey) -> Result<(), Refusal> {
    let s = &mut d.change_task(key)?.state;
    s.budget_used = 0;
    s.review_used = 0;
    s.repeats = 0;
    s.spawn_failures = 0;
    s.reviewer_given_up = false;
    s.not_before = s.not_before.filter(|n| !n.by_board);
    Ok(())
}
