//! Agents and runners.

use std::collections::BTreeSet;

use http::StatusCode;
use mozi_api::{
    Page,
    agent::{Agent, PauseAgent, ResumeAgent, Runner},
};
use mozi_core::{AgentId, Command, Reply, SessionId};

use crate::{
    call::{Call, Outcome, json},
    error::ApiError,
};

pub(super) async fn list(call: Call) -> Outcome {
    let now = call.board.clock.now();
    let agents = all(&call).await?;
    json(StatusCode::OK, &Page::whole(agents.iter().map(|(a, live)| Agent::new(a, live, now)).collect()))
}

/// All agents, each with its open sessions: to whoever is limited to one project, with those of that project.
async fn all(call: &Call) -> Result<Vec<(mozi_core::Agent, Vec<SessionId>)>, ApiError> {
    let mut agents = call.board.store.agents().await?;
    if let Some(scope) = call.scope() {
        let theirs = call.board.store.sessions(Some(true), usize::MAX).await?;
        let theirs: BTreeSet<SessionId> = theirs
            .iter()
            .filter(|s| s.attempt.as_ref().is_some_and(|(key, _)| key.project == *scope))
            .map(|s| s.id)
            .collect();
        for (_, live) in &mut agents {
            live.retain(|id| theirs.contains(id));
        }
    }
    Ok(agents)
}

pub(super) async fn show(call: Call) -> Outcome {
    let id: AgentId = call.path("a", "agent")?;
    answer(&call, &id).await
}

async fn answer(call: &Call, id: &AgentId) -> Outcome {
    let now = call.board.clock.now();
    let agents = all(call).await?;
    match agents.iter().find(|(a, _)| a.id == *id) {
        Some((agent, live)) => json(StatusCode::OK, &Agent::new(agent, live, now)),
        None => Err(ApiError::not_found(format_args!("agent {id}"))),
    }
}

pub(super) async fn pause(mut call: Call) -> Outcome {
    let agent: AgentId = call.path("a", "agent")?;
    let body: PauseAgent = call.json_or_default().await?;
    call.submit(Command::PauseAgent { agent: agent.clone(), detail: body.detail }).await?;
    answer(&call, &agent).await
}

pub(super) async fn resume(mut call: Call) -> Outcome {
    let agent: AgentId = call.path("a", "agent")?;
    let ResumeAgent {} = call.json_or_default().await?;
    let answered = call.submit(Command::ResumeAgent { agent: agent.clone() }).await?;
    match answered.reply {
        Reply::Agent(_) => answer(&call, &agent).await,
        _ => Err(ApiError::internal("the reply is no agent")),
    }
}

pub(super) async fn runners(call: Call) -> Outcome {
    let runners = call.board.store.runners().await?;
    json(StatusCode::OK, &Page::whole(runners.iter().map(Runner::from).collect()))
}
