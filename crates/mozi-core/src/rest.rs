//! When a board is at rest: nothing runs, and nothing will be claimed unless somebody does something.
//!
//! What comes by itself is no rest: a time that lies ahead, the end of a pause, a runner that was there and comes back.
//! What a person has to do is: a decision, an answer, an agent that nobody declares, a pause without an end.

use std::collections::BTreeMap;

use crate::{
    attempt::Role,
    id::{AgentId, ProjectId},
    project::{Dispatch, Project, Review},
    session::Session,
    waiting::{self, Floor, WaitingFor},
};

/// Tasks that wait for a claim, now or from a time on: a project, whom they name, and for what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queued {
    /// Their project.
    pub project: ProjectId,
    /// Whom they name; none = whom the project names.
    pub agent: Option<AgentId>,
    /// For what.
    pub role: Role,
}

/// Whether nothing runs and nothing will be claimed by itself. `queued` need not be complete while something runs.
pub fn is_at_rest(queued: &[Queued], projects: &BTreeMap<ProjectId, Project>, floor: Floor<'_>) -> bool {
    let moves = |q: &Queued| projects.get(&q.project).is_some_and(|p| moves_by_itself(q, p, floor));
    !floor.live.iter().any(Session::is_open) && !queued.iter().any(moves)
}

fn moves_by_itself(queued: &Queued, project: &Project, floor: Floor<'_>) -> bool {
    if project.archived || project.settings.dispatch == Dispatch::Manual {
        return false;
    }
    let by_project = || match queued.role {
        Role::Executor => project.settings.default_agent.clone(),
        Role::Reviewer => match &project.settings.review {
            Review::Agent(agent) => Some(agent.clone()),
            Review::Human | Review::None => None,
        },
    };
    let Some(agent) = queued.agent.clone().or_else(by_project) else { return false };
    waiting::agent_blockers(&agent, queued.role, floor).iter().all(passes)
}

/// Whether the wait ends without anybody's doing.
fn passes(wait: &WaitingFor) -> bool {
    match wait {
        WaitingFor::Time { .. }
        | WaitingFor::AgentSlot { .. }
        | WaitingFor::ProjectSlot { .. }
        | WaitingFor::RunnerSlot { .. }
        | WaitingFor::Attempt { .. }
        | WaitingFor::AttemptEnding { .. }
        | WaitingFor::FolderBusy
        // Boards are stopped and started again, and their runners with them.
        | WaitingFor::AgentOffline { .. } => true,
        WaitingFor::AgentPaused { until, .. } => until.is_some(),
        WaitingFor::Dependency { .. }
        | WaitingFor::NoAgent
        | WaitingFor::AgentUnknown { .. }
        | WaitingFor::AgentHeldBack { .. }
        | WaitingFor::AgentRole { .. }
        | WaitingFor::Manual
        | WaitingFor::Archived
        | WaitingFor::Review
        | WaitingFor::Person { .. } => false,
    }
}
