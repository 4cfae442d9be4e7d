//! Sessions between their claim and their end.

use super::{About, Desk, Move, agents};
use crate::{
    attempt::Attempt,
    change::{Change, Reply},
    command::SessionNote,
    event::EventKind,
    id::SessionId,
    limits,
    refusal::Refusal,
    session::SessionStatus,
    task::Status,
    token::TokenHash,
    transition::{Mover, permits},
};

/// The runner's own session, live or not.
pub(super) fn own(d: &Desk<'_>, id: SessionId) -> Result<(), Refusal> {
    let runner = d.session(id)?.runner_id.clone();
    d.runner(&runner)
}

fn attempt_of(d: &Desk<'_>, id: SessionId) -> Option<Attempt> {
    let (key, n) = d.state.sessions.get(&id)?.attempt.clone()?;
    d.attempt(&key, n).cloned()
}

fn reply(d: &Desk<'_>, id: SessionId) -> Result<Reply, Refusal> {
    let attempt = attempt_of(d, id).map(Box::new);
    Ok(Reply::Session { session: Box::new(d.session(id)?.clone()), attempt })
}

/// Until its process runs, a runner may take an order up again with a new token: the reply may have been lost.
pub(super) fn take(d: &mut Desk<'_>, id: SessionId, token: TokenHash) -> Result<Reply, Refusal> {
    own(d, id)?;
    let session = d.session(id)?;
    let revoked = attempt_of(d, id).is_some_and(|a| a.revoked_at.is_some());
    let stopped = revoked || session.stop_requested.is_some();
    if stopped || !session.is_open() || session.status != SessionStatus::Starting || session.order.is_none() {
        return Err(Refusal::SessionActive { why: format!("session {id} cannot be taken up any more") });
    }
    if let Some(order) = d.change_session(id).and_then(|s| s.order.as_mut()) {
        order.taken = true;
    }
    if let Some((key, n)) = d.session(id)?.attempt.clone()
        && let Some(a) = d.change_attempt(&key, n)
    {
        a.token_hash = Some(token);
    }
    reply(d, id)
}

pub(super) fn started(
    d: &mut Desk<'_>,
    id: SessionId,
    pid: Option<u32>,
    workspace: Option<&String>,
) -> Result<Reply, Refusal> {
    own(d, id)?;
    let session = d.session(id)?.clone();
    if !session.is_open() || session.status != SessionStatus::Starting {
        return reply(d, id);
    }
    if let Some(s) = d.change_session(id) {
        s.status = SessionStatus::Running;
        s.pid = pid;
    }
    agents::start_worked(d, &session);
    let actor = d.actor();
    let kind = EventKind::SessionStarted { session_id: id, pid };
    if let Some((key, n)) = &session.attempt {
        if let Some(a) = d.change_attempt(key, *n) {
            a.workspace = workspace.cloned();
        }
        d.emit(About { attempt: Some(*n), agent: Some(&session.agent), ..About::task(key) }, actor, kind);
    } else {
        d.emit(About::agent(&session.agent), actor, kind);
    }
    reply(d, id)
}

pub(super) fn note(d: &mut Desk<'_>, id: SessionId, note: &SessionNote) -> Result<Reply, Refusal> {
    own(d, id)?;
    let session = d.session(id)?.clone();
    if *note == SessionNote::Cleaned {
        if session.is_open() {
            return Err(Refusal::SessionActive { why: format!("session {id} is alive") });
        }
        d.write(Change::DeleteSession(id));
        return Ok(Reply::Done);
    }
    if !session.is_open() {
        return reply(d, id);
    }
    let (status, held_up) = match note {
        SessionNote::HeldUp(h) => (SessionStatus::Stuck, Some(h.clone())),
        SessionNote::Ending | SessionNote::Free | SessionNote::Cleaned => (SessionStatus::Ending, None),
    };
    if session.status == status && session.held_up == held_up {
        return reply(d, id);
    }
    let news = held_up.clone().filter(|_| session.held_up.is_none());
    if let Some(s) = d.change_session(id) {
        s.status = status;
        s.held_up = held_up;
    }
    if let Some(h) = news {
        let actor = d.actor();
        let kind = EventKind::Notice {
            code: format!("held_up_{}", h.by),
            text: format!("session {id} cannot end: {}", h.detail),
            more: serde_json::Map::new(),
        };
        let about = match &session.attempt {
            Some((key, n)) => About { attempt: Some(*n), agent: Some(&session.agent), ..About::task(key) },
            None => About::agent(&session.agent),
        };
        d.emit(about, actor, kind);
    }
    reply(d, id)
}

/// A person stops a session: a task that it had in its hands is held.
pub(super) fn stop(d: &mut Desk<'_>, id: SessionId, why: Option<&str>) -> Result<Reply, Refusal> {
    let session = match d.session(id) {
        Ok(s) => s.clone(),
        Err(e) => return d.person(None).and(Err(e)),
    };
    d.person(session.attempt.as_ref().map(|(k, _)| &k.project))?;
    limits::opt_text("detail", why, limits::DETAIL_BYTES)?;
    if !session.is_open() {
        return reply(d, id);
    }
    let why = why.unwrap_or("its session was stopped by a person").to_owned();
    if let Some(s) = d.change_session(id) {
        s.stop_requested = Some(why.clone());
    }
    if let Some((key, n)) = &session.attempt
        && d.attempt(key, *n).is_some_and(|a| a.verdict.is_none() && a.revoked_at.is_none())
        && permits(d.task(key)?.state.status, Status::Blocked, Mover::Person)
    {
        let revoked = d.revoke_open(key, &why);
        d.change_task(key)?.state.rounds = 0;
        let actor = d.actor();
        let by = Move { detail: Some(why), kind: Some("held".into()), revoked, ..Move::default() };
        d.move_task(key, Status::Blocked, actor, by)?;
    }
    reply(d, id)
}

/// An ended session is forgotten once its runner has removed its files. With `force`, a live one that is held up
/// is given up: a person says that what is left of it is not Mozi's.
pub(super) fn clean(d: &mut Desk<'_>, id: SessionId, force: bool) -> Result<Reply, Refusal> {
    let session = match d.session(id) {
        Ok(s) => s.clone(),
        Err(e) => return d.person(None).and(Err(e)),
    };
    d.person(session.attempt.as_ref().map(|(k, _)| &k.project))?;
    if session.is_open() && !(force && session.held_up.is_some()) {
        let how = if force { "is not held up by anything" } else { "is alive: stop it first" };
        return Err(Refusal::SessionActive { why: format!("session {id} {how}") });
    }
    let live = session.is_open();
    if let Some(s) = d.change_session(id) {
        if live {
            s.forced = true;
        } else {
            s.clean_requested = true;
        }
    }
    if live {
        let actor = d.actor();
        let left = session.held_up.as_ref().map(|h| h.detail.clone()).unwrap_or_default();
        let kind = EventKind::Notice {
            code: "session_forced".into(),
            text: format!("a person says that what is left of session {id} is not Mozi's: {left}"),
            more: serde_json::Map::new(),
        };
        let about = match &session.attempt {
            Some((key, n)) => About { attempt: Some(*n), agent: Some(&session.agent), ..About::task(key) },
            None => About::agent(&session.agent),
        };
        d.emit(about, actor, kind);
    }
    reply(d, id)
}
