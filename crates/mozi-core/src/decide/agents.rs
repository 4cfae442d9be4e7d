//! Agents and runners.

use super::{About, Desk};
use crate::{
    agent::{Agent, PAUSE_INITIAL, PAUSE_MAX, Pause, Runner, SPAWN_FAILURES_PAUSE_AGENT},
    change::{Change, Reply},
    command::{Cause, End, Hello},
    event::EventKind,
    id::{AgentId, RunnerId},
    limits,
    outcome::{Outcome, Reason},
    refusal::Refusal,
    retry,
    session::Session,
    token::{Actor, Identity},
};

pub(super) fn hello(d: &mut Desk<'_>, h: &Hello) -> Result<Reply, Refusal> {
    d.runner(&h.runner_id)?;
    let now = d.now;
    let runner = Runner {
        id: h.runner_id.clone(),
        max_sessions: h.max_sessions,
        online: true,
        boot_id: h.boot_id.clone(),
        pid_namespace: h.pid_namespace.clone(),
        version: h.version.clone(),
        seen_at: now,
    };
    d.write(Change::PutRunner(Box::new(runner)));
    for new in &h.agents {
        let before = d.state.agents.get(&new.id).cloned();
        if let Some(other) = before.as_ref().filter(|a| a.configured && a.runner_id != h.runner_id) {
            let text = format!(
                "agent {} is known from runner {} already: runner {} cannot bring it too",
                new.id, other.runner_id, h.runner_id
            );
            d.emit(
                About::agent(&new.id),
                Actor::board(),
                EventKind::Notice { code: "agent_taken".into(), text, more: serde_json::Map::new() },
            );
            continue;
        }
        let (paused, spawn_failures, pauses) =
            before.map_or((None, 0, 0), |a| (a.paused, a.spawn_failures, a.pauses));
        let agent = Agent {
            id: new.id.clone(),
            runner_id: h.runner_id.clone(),
            runtime: new.runtime.clone(),
            aliases: new.aliases.clone(),
            roles: new.roles.clone(),
            max_sessions: new.max_sessions,
            verdict_mode: new.verdict_mode,
            timeout_ms: new.timeout_ms,
            callback: new.callback.clone(),
            configured: true,
            held_back: new.held_back.clone(),
            paused,
            spawn_failures,
            pauses,
            seen_at: now,
        };
        d.write(Change::PutAgent(Box::new(agent)));
    }
    let gone: Vec<_> = d
        .state
        .agents
        .values()
        .filter(|a| a.configured && a.runner_id == h.runner_id && !h.agents.iter().any(|n| n.id == a.id))
        .map(|a| a.id.clone())
        .collect();
    for id in gone {
        if let Some(a) = d.change_agent(&id) {
            a.configured = false;
        }
    }
    Ok(Reply::Done)
}

pub(super) fn goodbye(d: &mut Desk<'_>, id: &RunnerId) -> Result<Reply, Refusal> {
    d.runner(id)?;
    let now = d.now;
    if let Some(r) = d.state.runners.get(id).cloned() {
        d.write(Change::PutRunner(Box::new(Runner { online: false, seen_at: now, ..r })));
    }
    Ok(Reply::Done)
}

pub(super) fn board_started(d: &mut Desk<'_>) -> Result<Reply, Refusal> {
    if d.state.identity != Identity::Board {
        return Err(Refusal::Forbidden { why: "only the board itself may do this".into() });
    }
    let online: Vec<_> = d.state.runners.values().filter(|r| r.online).cloned().collect();
    for r in online {
        d.write(Change::PutRunner(Box::new(Runner { online: false, ..r })));
    }
    Ok(Reply::Done)
}

fn known(d: &Desk<'_>, id: &AgentId) -> Result<(), Refusal> {
    d.state.agents.get(id).map(|_| ()).ok_or_else(|| Refusal::not_found(format!("agent {id}")))
}

pub(super) fn pause(d: &mut Desk<'_>, id: &AgentId, detail: Option<&str>) -> Result<Reply, Refusal> {
    d.person(None)?;
    known(d, id)?;
    limits::opt_text("detail", detail, limits::DETAIL_BYTES)?;
    let pause = Pause {
        since: d.now,
        until: None,
        reason: None,
        detail: Some(detail.unwrap_or("paused by a person").to_owned()),
        reset_named: false,
    };
    let actor = d.actor();
    set_pause(d, id, pause, actor);
    reply(d, id)
}

pub(super) fn set_pause(d: &mut Desk<'_>, id: &AgentId, pause: Pause, actor: Actor) {
    let kind =
        EventKind::AgentPaused { until: pause.until, reason: pause.reason, detail: pause.detail.clone() };
    if let Some(a) = d.change_agent(id) {
        a.paused = Some(pause);
    }
    d.emit(About::agent(id), actor, kind);
}

pub(super) fn resume(d: &mut Desk<'_>, id: &AgentId) -> Result<Reply, Refusal> {
    d.person(None)?;
    known(d, id)?;
    let was = d.state.agents.get(id).is_some_and(|a| a.paused.is_some() || a.pauses > 0);
    if was {
        if let Some(a) = d.change_agent(id) {
            a.paused = None;
            a.pauses = 0;
            a.spawn_failures = 0;
        }
        let actor = d.actor();
        d.emit(About::agent(id), actor, EventKind::AgentResumed);
    }
    reply(d, id)
}

fn reply(d: &Desk<'_>, id: &AgentId) -> Result<Reply, Refusal> {
    let agent = d.state.agents.get(id).ok_or_else(|| Refusal::not_found(format!("agent {id}")))?;
    Ok(Reply::Agent(Box::new(agent.clone())))
}

/// Failed starts and a provider in trouble hold the agent back; an agent that has worked since is as good as new.
pub(super) fn after_end(
    d: &mut Desk<'_>,
    session: &Session,
    end: &End,
    outcome: Outcome,
    reason: Option<Reason>,
) {
    let Some(agent) = d.state.agents.get(&session.agent).cloned() else { return };
    let blamed = reason.is_some_and(Reason::blames_provider);
    let failed_start = outcome == Outcome::SpawnFailed && end.cause != Cause::NeverStarted;
    if failed_start && let Some(a) = d.change_agent(&agent.id) {
        a.spawn_failures = a.spawn_failures.saturating_add(1);
    }
    if blamed || failed_start && agent.spawn_failures.saturating_add(1) >= SPAWN_FAILURES_PAUSE_AGENT {
        hold_back(d, session, end, reason, blamed, &agent);
        return;
    }
    let ran = match outcome {
        Outcome::Completed
        | Outcome::NoVerdict
        | Outcome::Crashed
        | Outcome::TimedOut
        | Outcome::Stalled
        | Outcome::OverBudget => true,
        Outcome::SpawnFailed | Outcome::Lost | Outcome::Cancelled | Outcome::DryRun => false,
    };
    if ran {
        good_as_new(d, session, &agent);
    }
}

/// Its process runs: starts work again. What the provider was to blame for is seen only by a turn that ends.
pub(super) fn start_worked(d: &mut Desk<'_>, session: &Session) {
    let Some(agent) = d.state.agents.get(&session.agent).cloned() else { return };
    if !agent.paused.as_ref().and_then(|p| p.reason).is_some_and(Reason::blames_provider) {
        good_as_new(d, session, &agent);
    }
}

fn hold_back(
    d: &mut Desk<'_>,
    session: &Session,
    end: &End,
    reason: Option<Reason>,
    blamed: bool,
    agent: &Agent,
) {
    let now = d.now;
    let reset = end.reading.reset_at.filter(|at| blamed && *at > now);
    let paused = agent.paused.as_ref().filter(|p| p.holds(now));
    // Many sessions may run into the same trouble at once: that is one pause, unless the provider names a later end.
    if let Some(p) = paused.filter(|p| p.until.is_some() && session.started_at <= p.since) {
        if let Some(until) = reset.filter(|at| p.until.is_none_or(|before| *at > before)) {
            let longer = Pause { until: Some(until), reset_named: true, ..p.clone() };
            set_pause(d, &agent.id, longer, Actor::board());
        }
        return;
    }
    let length = retry::doubled(PAUSE_INITIAL, agent.pauses, PAUSE_MAX);
    if let Some(a) = d.change_agent(&agent.id) {
        a.pauses = a.pauses.saturating_add(1);
    }
    // A person's pause has no end, so nothing is added to it.
    if paused.is_some_and(|p| p.until.is_none()) {
        return;
    }
    let detail = if blamed {
        reason.map(|r| r.advice().0.to_owned())
    } else {
        end.error.clone().or_else(|| Some("it could not be started several times in a row".into()))
    };
    let until = Some(reset.unwrap_or_else(|| now.plus(length)));
    let pause = Pause { since: now, until, reason, detail, reset_named: reset.is_some() };
    set_pause(d, &agent.id, pause, Actor::board());
}

/// A session that began after the agent's last pause has shown that it works.
fn good_as_new(d: &mut Desk<'_>, session: &Session, agent: &Agent) {
    let now = d.now;
    let before_pause = agent.paused.as_ref().is_some_and(|p| session.started_at <= p.since);
    if before_pause || agent.spawn_failures == 0 && agent.pauses == 0 {
        return;
    }
    let over = agent.paused.as_ref().is_some_and(|p| !p.holds(now));
    if let Some(a) = d.change_agent(&agent.id) {
        a.spawn_failures = 0;
        a.pauses = 0;
        if over {
            a.paused = None;
        }
    }
    if over {
        d.emit(About::agent(&agent.id), Actor::board(), EventKind::AgentResumed);
    }
}
