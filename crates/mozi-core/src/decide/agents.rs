//! Agents and runners.

use super::{About, Desk};
use crate::{
    agent::{Agent, Pause, Runner},
    change::{Change, Reply},
    command::Hello,
    event::EventKind,
    id::{AgentId, RunnerId},
    limits,
    refusal::Refusal,
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
    set_pause(d, id, pause);
    reply(d, id)
}

pub(super) fn set_pause(d: &mut Desk<'_>, id: &AgentId, pause: Pause) {
    let kind =
        EventKind::AgentPaused { until: pause.until, reason: pause.reason, detail: pause.detail.clone() };
    if let Some(a) = d.change_agent(id) {
        a.paused = Some(pause);
    }
    let actor = d.actor();
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
