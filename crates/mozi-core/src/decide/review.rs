//! Results and decisions on them.

use super::{About, Desk, Move, report};
use crate::{
    attempt::{ReviewVerdict, Verdict},
    event::EventKind,
    id::{AttemptNumber, TaskKey},
    project::Review,
    refusal::Refusal,
    task::Status,
    token::Actor,
    waiting::review_of,
};

/// A task has come to `review`. With `vouched`, its agent (or exit 0) said that it is finished: only then may
/// `review = none` skip the review.
pub(super) fn arrived(d: &mut Desk<'_>, key: &TaskKey, vouched: bool) -> Result<(), Refusal> {
    let task = d.task(key)?;
    let review = review_of(task, d.project(&key.project)?).clone();
    let own = matches!(&review, Review::Agent(a) if task.state.executors.contains(a));
    let s = &mut d.change_task(key)?.state;
    s.repeats = 0;
    s.spawn_failures = 0;
    if review == Review::None && vouched {
        d.move_task(key, Status::Done, Actor::board(), Move::default())?;
    } else if own {
        give_up_reviewer(d, key, "the agent that should review it has worked on it itself")?;
    }
    Ok(())
}

/// No reviewer agent is tried any more: the task waits for a person.
pub(super) fn give_up_reviewer(d: &mut Desk<'_>, key: &TaskKey, why: &str) -> Result<(), Refusal> {
    d.change_task(key)?.state.reviewer_given_up = true;
    d.emit(
        About::task(key),
        Actor::board(),
        EventKind::Notice {
            code: "reviewer_given_up".into(),
            text: format!("a person has to decide: {why}"),
            more: serde_json::Map::new(),
        },
    );
    Ok(())
}

fn given(
    d: &mut Desk<'_>,
    key: &TaskKey,
    by: Option<AttemptNumber>,
    verdict: ReviewVerdict,
    remark: Option<String>,
) {
    let agent = by.and_then(|n| d.attempt(key, n)).map(|a| a.agent.clone());
    let actor = d.actor();
    d.emit(
        About { attempt: by, agent: agent.as_ref(), ..About::task(key) },
        actor,
        EventKind::ReviewGiven { verdict, remark },
    );
}

/// `by` = the reviewer's attempt; none = a person, who also ends an open reviewer's attempt.
pub(super) fn approve(
    d: &mut Desk<'_>,
    key: &TaskKey,
    by: Option<AttemptNumber>,
    detail: Option<String>,
) -> Result<u64, Refusal> {
    given(d, key, by, ReviewVerdict::Approve, detail.clone());
    let revoked = decided(d, key, by, Verdict::Done)?;
    let actor = d.actor();
    d.move_task(key, Status::Done, actor, Move { detail, set_by: by, revoked, ..Move::default() })
}

/// Needs a remark: what is to be done better goes into the next prompt.
pub(super) fn send_back(
    d: &mut Desk<'_>,
    key: &TaskKey,
    by: Option<AttemptNumber>,
    remark: Option<&str>,
) -> Result<u64, Refusal> {
    let Some(remark) = remark.map(str::trim).filter(|t| !t.is_empty()) else {
        return Err(Refusal::invalid("detail", "is needed: say what is to be done better"));
    };
    let detail = Some(remark.to_owned());
    given(d, key, by, ReviewVerdict::Reject, detail.clone());
    let revoked = decided(d, key, by, Verdict::Pending)?;
    let actor = d.actor();
    if by.is_some() {
        let limit = d.project(&key.project)?.settings.max_review_rounds;
        let s = &mut d.change_task(key)?.state;
        s.rounds = s.rounds.saturating_add(1);
        if s.rounds >= limit {
            let why = format!("reviewers have sent it back {limit} times; the last remark: {remark}");
            let by_board = Move { detail: Some(why), kind: Some("review_rounds".into()), ..Move::default() };
            return d.move_task(key, Status::Blocked, Actor::board(), by_board);
        }
    }
    report::new_budget(d, key)?;
    d.move_task(key, Status::Pending, actor, Move { detail, set_by: by, revoked, ..Move::default() })
}

/// Records a reviewer's verdict, or revokes its attempt where a person was first.
fn decided(
    d: &mut Desk<'_>,
    key: &TaskKey,
    by: Option<AttemptNumber>,
    verdict: Verdict,
) -> Result<Option<AttemptNumber>, Refusal> {
    if let Some(n) = by {
        report::give_verdict(d, key, n, verdict);
        return Ok(None);
    }
    d.change_task(key)?.state.rounds = 0;
    // An executor in the grace after its own verdict has nothing to lose: it ends by itself.
    let reviewing = d.open_attempt(key).is_some_and(|a| a.verdict.is_none());
    Ok(reviewing.then(|| d.revoke_open(key, "a person has decided")).flatten())
}
