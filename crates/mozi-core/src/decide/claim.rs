//! Claims: of what is ready, and by name.

use super::{About, Desk, Move, review};
use crate::{
    attempt::{Attempt, Role, VerdictMode},
    change::{Change, Reply},
    command::{Claim, Offer, StartSession},
    event::EventKind,
    id::{AgentId, ProjectId, RunnerId, SessionId, TaskKey},
    limits,
    refusal::Refusal,
    session::{Order, Session, SessionStatus},
    task::{OpenAttempt, Status},
    token::{Actor, TokenHash},
    waiting::{self, Floor, WaitingFor},
};

pub(super) fn claim(d: &mut Desk<'_>, c: &Claim) -> Result<Reply, Refusal> {
    d.runner(&c.runner_id)?;
    if !d.state.runners.contains_key(&c.runner_id) {
        return Err(Refusal::not_found(format!("runner {}: it has to say hello first", c.runner_id)));
    }
    for (i, offer) in c.offers.iter().enumerate() {
        let same = |o: &Offer| o.session_id == offer.session_id || o.token_hash == offer.token_hash;
        if c.offers.iter().take(i).any(same) {
            return Err(Refusal::invalid("offers", "names a session or a token twice"));
        }
    }
    let mut claimed = Vec::new();
    let mut ready = std::mem::take(&mut d.state.ready).into_iter();
    for offer in &c.offers {
        if let Some(session) = d.state.sessions.get(&offer.session_id) {
            claimed.extend(offered_before(d, c, offer).map(|a| (a.clone(), session.clone())));
            continue;
        }
        for key in ready.by_ref() {
            if let Some(opened) = try_claim(d, c, offer, &key)? {
                claimed.push(opened);
                break;
            }
        }
    }
    Ok(Reply::Claimed(claimed))
}

/// A repeated offer answers the attempt that it opened; a lost reply is asked for again like this.
fn offered_before<'a>(d: &'a Desk<'_>, c: &Claim, offer: &Offer) -> Option<&'a Attempt> {
    d.state.attempts.iter().find(|a| {
        a.session_id == offer.session_id
            && a.is_open()
            && a.runner_id == c.runner_id
            && a.token_hash == Some(offer.token_hash)
    })
}

fn try_claim(
    d: &mut Desk<'_>,
    c: &Claim,
    offer: &Offer,
    key: &TaskKey,
) -> Result<Option<(Attempt, Session)>, Refusal> {
    let (task, project) = (d.task(key)?, d.project(&key.project)?);
    if !matches!(task.state.status, Status::Pending | Status::Review) {
        return Ok(None);
    }
    let reviewing = task.state.status == Status::Review;
    if reviewing
        && waiting::agent_for(task, project, Role::Reviewer)
            .is_some_and(|a| task.state.executors.contains(&a))
    {
        review::give_up_reviewer(d, key, "the agent that should review it has worked on it itself")?;
        return Ok(None);
    }
    let found = waiting::claimability(task, project, &[], None, floor(d, &c.busy));
    let its_own = |id: &AgentId| {
        c.agents.contains(id) && d.state.agents.get(id).is_some_and(|a| a.runner_id == c.runner_id)
    };
    let Some(agent) = found.agent.filter(its_own) else { return Ok(None) };
    if c.in_place.contains(&project.id) && has_live(d, &project.id) {
        return Ok(None);
    }
    if task.state.unmet > 0 && !reviewing || !found.waiting_for.is_empty() {
        return Ok(None);
    }
    let opening = Opening {
        session_id: offer.session_id,
        token_hash: Some(offer.token_hash),
        runner_id: c.runner_id.clone(),
        agent,
        role: found.role,
        order: None,
    };
    open(d, key, opening).map(Some)
}

/// Whether a session works on a task of the project.
fn has_live(d: &Desk<'_>, project: &ProjectId) -> bool {
    let of_project = |s: &Session| s.attempt.as_ref().is_some_and(|(k, _)| k.project == *project);
    d.state.live.iter().any(|s| s.is_open() && of_project(s))
}

fn floor<'a>(d: &'a Desk<'_>, busy: &'a [ProjectId]) -> Floor<'a> {
    Floor { agents: &d.state.agents, runners: &d.state.runners, live: &d.state.live, busy, now: d.now }
}

struct Opening {
    session_id: SessionId,
    token_hash: Option<TokenHash>,
    runner_id: RunnerId,
    agent: AgentId,
    role: Role,
    order: Option<Order>,
}

fn open(d: &mut Desk<'_>, key: &TaskKey, o: Opening) -> Result<(Attempt, Session), Refusal> {
    let now = d.now;
    let by_name = o.order.is_some();
    let agent = d.state.agents.get(&o.agent).cloned();
    let runner = d.state.runners.get(&o.runner_id);
    let (boot_id, pid_namespace) = runner.map(|r| (r.boot_id.clone(), r.pid_namespace.clone())).unzip();
    let task = d.change_task(key)?;
    let number = task.state.last_attempt.saturating_add(1);
    task.state.last_attempt = number;
    task.state.open = Some(OpenAttempt { number, role: o.role });
    if o.role == Role::Executor && !task.state.executors.contains(&o.agent) {
        task.state.executors.push(o.agent.clone());
    }
    let timeout_ms = match task.spec.timeout {
        Some(t) => Some(u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
        None => agent.as_ref().and_then(|a| a.timeout_ms),
    };
    // A reviewer has to say what it decides: an exit status alone is no decision on somebody's work.
    let verdict_mode = match o.role {
        Role::Executor => agent.map_or(VerdictMode::Report, |a| a.verdict_mode),
        Role::Reviewer => VerdictMode::Report,
    };
    let attempt = Attempt {
        key: key.clone(),
        number,
        role: o.role,
        agent: o.agent.clone(),
        session_id: o.session_id,
        runner_id: o.runner_id.clone(),
        boot_id,
        pid_namespace,
        token_hash: o.token_hash,
        verdict_mode,
        verdict: None,
        verdict_at: None,
        revoked_at: None,
        revoked_why: None,
        outcome: None,
        reason: None,
        exit_code: None,
        signal: None,
        timeout_ms,
        workspace: None,
        started_at: now,
        completed_at: None,
        outputs: 0,
        created_tasks: 0,
        resources: None,
        tail: None,
        metadata: serde_json::Value::Object(serde_json::Map::new()),
    };
    let session = Session {
        id: o.session_id,
        agent: o.agent.clone(),
        runner_id: o.runner_id,
        attempt: Some((key.clone(), number)),
        order: o.order,
        status: SessionStatus::Starting,
        pid: None,
        held_up: None,
        error: None,
        stop_requested: None,
        forced: false,
        clean_requested: false,
        started_at: now,
        completed_at: None,
    };
    d.begin_work();
    d.write(Change::InsertAttempt(Box::new(attempt.clone())));
    d.write(Change::PutSession(Box::new(session.clone())));
    d.state.attempts.push(attempt.clone());
    d.state.live.push(session.clone());
    let actor = d.actor();
    if o.role == Role::Executor {
        // Whoever asks, the claim is the board's move: only what a person decides begins a new count of rounds.
        d.move_task(key, Status::Claimed, Actor::board(), Move::default())?;
    }
    d.emit(
        About { attempt: Some(number), agent: Some(&o.agent), ..About::task(key) },
        actor,
        EventKind::AgentStarted { role: o.role, session_id: o.session_id, by_name },
    );
    Ok((attempt, session))
}

/// A session by name. With a task it is a claim like every other, by the same rules.
pub(super) fn start_by_name(d: &mut Desk<'_>, s: &StartSession) -> Result<Reply, Refusal> {
    d.person(s.task.as_ref().map(|k| &k.project))?;
    limits::opt_text("message", s.message.as_deref(), limits::DESCRIPTION_BYTES)?;
    if s.verbatim && s.message.as_ref().is_none_or(|m| m.trim().is_empty()) {
        return Err(Refusal::invalid("message", "is needed where it is the whole prompt"));
    }
    if d.state.sessions.contains_key(&s.session_id) {
        return Err(Refusal::DuplicateId { what: format!("session {}", s.session_id) });
    }
    let order = Some(Order { message: s.message.clone(), verbatim: s.verbatim, taken: false });
    let Some(key) = &s.task else { return start_without_task(d, s, order) };
    let (task, project) = (d.task(key)?, d.project(&key.project)?);
    if task.spec.agent.as_ref().is_some_and(|a| *a != s.agent) && task.state.status != Status::Review {
        let owner = task.spec.agent.as_ref().map_or("", AgentId::as_str);
        return Err(Refusal::invalid("agent", format!("is {}, but the task is for {owner}", s.agent)));
    }
    let floor = floor(d, &[]);
    let found = waiting::claimability(task, project, &d.state.dependencies, Some(&s.agent), floor);
    let mut waits = found.waiting_for;
    if !matches!(task.state.status, Status::Pending | Status::Review) {
        waits = waiting::waiting_for(task, project, &d.state.dependencies, d.open_attempt(key), floor);
        if waits.is_empty() {
            waits.push(WaitingFor::Person {
                kind: task.state.kind.clone(),
                detail: Some(format!("the task is {}: set it to pending first", task.state.status)),
            });
        }
    }
    if !waits.is_empty() {
        return Err(Refusal::NotClaimable { waiting_for: waits });
    }
    let runner_id = runner_of(d, &s.agent)?;
    let opening = Opening {
        session_id: s.session_id,
        token_hash: None,
        runner_id,
        agent: s.agent.clone(),
        role: found.role,
        order,
    };
    let (attempt, session) = open(d, key, opening)?;
    Ok(Reply::Session { session: Box::new(session), attempt: Some(Box::new(attempt)) })
}

fn runner_of(d: &Desk<'_>, agent: &AgentId) -> Result<RunnerId, Refusal> {
    let known = d.state.agents.get(agent).map(|a| a.runner_id.clone());
    known.ok_or_else(|| Refusal::NotClaimable {
        waiting_for: vec![WaitingFor::AgentUnknown { agent: agent.clone() }],
    })
}

fn start_without_task(d: &mut Desk<'_>, s: &StartSession, order: Option<Order>) -> Result<Reply, Refusal> {
    let waits = waiting::agent_blockers(&s.agent, Role::Executor, floor(d, &[]));
    let waits: Vec<_> = waits.into_iter().filter(|w| !matches!(w, WaitingFor::AgentRole { .. })).collect();
    if !waits.is_empty() {
        return Err(Refusal::NotClaimable { waiting_for: waits });
    }
    let session = Session {
        id: s.session_id,
        agent: s.agent.clone(),
        runner_id: runner_of(d, &s.agent)?,
        attempt: None,
        order,
        status: SessionStatus::Starting,
        pid: None,
        held_up: None,
        error: None,
        stop_requested: None,
        forced: false,
        clean_requested: false,
        started_at: d.now,
        completed_at: None,
    };
    d.begin_work();
    d.write(Change::PutSession(Box::new(session.clone())));
    Ok(Reply::Session { session: Box::new(session), attempt: None })
}
