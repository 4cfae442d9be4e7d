//! Why is this not running? The same code decides a claim and explains its absence.

use std::collections::BTreeMap;

use crate::{
    agent::{Agent, Runner},
    attempt::{Attempt, Role},
    id::{AgentId, AttemptNumber, ProjectId, RunnerId, SessionId, TaskId},
    outcome::Reason,
    project::{Dispatch, Project, Review},
    session::{HeldUp, Session},
    task::{Dependency, Status, Task, Until},
    time::Timestamp,
};

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are what the variant's line names")]
pub enum WaitingFor {
    /// Another task has not come far enough.
    Dependency { task_id: TaskId, status: Status, until: Until },
    /// A time; set by the board as a pause, or by a person.
    Time { at: Timestamp, by_board: bool },
    /// A free slot of the agent, held by these sessions.
    AgentSlot { agent: AgentId, held_by: Vec<SessionId> },
    /// A free slot of the project.
    ProjectSlot { project_id: ProjectId, held_by: Vec<SessionId> },
    /// A free slot of the runner.
    RunnerSlot { runner_id: RunnerId, held_by: Vec<SessionId> },
    /// An attempt is at work.
    Attempt { number: AttemptNumber, role: Role, agent: AgentId, since: Timestamp },
    /// An attempt is ending, and what is left of it.
    AttemptEnding { number: AttemptNumber, held_up: Option<HeldUp> },
    /// Neither the task nor the project names an agent.
    NoAgent,
    /// No runner knows this agent.
    AgentUnknown { agent: AgentId },
    /// Its runner is not there.
    AgentOffline { agent: AgentId, since: Timestamp },
    /// It is given no work.
    AgentPaused { agent: AgentId, until: Option<Timestamp>, reason: Option<Reason>, detail: Option<String> },
    /// Something stands in the way of starting it.
    AgentHeldBack { agent: AgentId, why: String },
    /// It may not be claimed for this role.
    AgentRole { agent: AgentId, role: Role },
    /// The project is started by hand only.
    Manual,
    /// The project is archived.
    Archived,
    /// The folder of the project is worked on in place and busy.
    FolderBusy,
    /// A person decides on the result.
    Review,
    /// A person decides how it goes on.
    Person { kind: Option<String>, detail: Option<String> },
}

impl WaitingFor {
    /// The word that stands for it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dependency { .. } => "dependency",
            Self::Time { .. } => "time",
            Self::AgentSlot { .. } | Self::ProjectSlot { .. } | Self::RunnerSlot { .. } => "slot",
            Self::Attempt { .. } => "attempt",
            Self::AttemptEnding {
                held_up: Some(HeldUp { by: crate::session::HoldUp::Gateway, .. }), ..
            } => "gateway",
            Self::AttemptEnding { .. } => "attempt_ending",
            Self::NoAgent => "no_agent",
            Self::AgentUnknown { .. } => "agent_unknown",
            Self::AgentOffline { .. } => "agent_offline",
            Self::AgentPaused { .. } => "agent_paused",
            Self::AgentHeldBack { .. } => "agent_held_back",
            Self::AgentRole { .. } => "agent_role",
            Self::Manual => "manual",
            Self::Archived => "archived",
            Self::FolderBusy => "folder_busy",
            Self::Review => "review",
            Self::Person { .. } => "person",
        }
    }

    /// It does not pass by itself: somebody has to see to it.
    pub const fn needs_somebody(&self) -> bool {
        match self {
            Self::Dependency { status, .. } => status.is_end(),
            Self::AttemptEnding { held_up, .. } => held_up.is_some(),
            Self::AgentPaused { until, .. } => until.is_none(),
            Self::NoAgent
            | Self::AgentUnknown { .. }
            | Self::AgentOffline { .. }
            | Self::AgentHeldBack { .. }
            | Self::AgentRole { .. }
            | Self::Manual
            | Self::Archived
            | Self::Review
            | Self::Person { .. } => true,
            Self::Time { .. }
            | Self::AgentSlot { .. }
            | Self::ProjectSlot { .. }
            | Self::RunnerSlot { .. }
            | Self::Attempt { .. }
            | Self::FolderBusy => false,
        }
    }
}

impl std::fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dependency { task_id, status, until } if status.is_end() => {
                write!(f, "task {task_id}, which has ended as {status}: by itself it will not be {until}")
            }
            Self::Dependency { task_id, status, until } => {
                write!(f, "task {task_id}, which is {status}, until it is {until}")
            }
            Self::Time { at: _, by_board: true } => f.write_str("the pause before it is tried again"),
            Self::Time { at: _, by_board: false } => f.write_str("its time"),
            Self::AgentSlot { agent, held_by } => {
                write!(f, "a free slot of agent {agent} ({} in use)", held_by.len())
            }
            Self::ProjectSlot { project_id, held_by } => {
                write!(f, "a free slot of project {project_id} ({} in use)", held_by.len())
            }
            Self::RunnerSlot { runner_id, held_by } => {
                write!(f, "a free slot of runner {runner_id} ({} in use)", held_by.len())
            }
            Self::Attempt { number, role, agent, since: _ } => {
                write!(f, "attempt {number} of agent {agent}, its {role}, which is at work")
            }
            Self::AttemptEnding { number, held_up: None } => write!(f, "attempt {number}, which is ending"),
            Self::AttemptEnding { number, held_up: Some(h) } => {
                write!(f, "attempt {number}, which cannot end: {}", h.detail)
            }
            Self::NoAgent => f.write_str("an agent: neither the task nor its project names one"),
            Self::AgentUnknown { agent } => write!(f, "agent {agent}, which no runner knows"),
            Self::AgentOffline { agent, since: _ } => {
                write!(f, "the runner of agent {agent}, which is not there")
            }
            Self::AgentPaused { agent, detail, .. } => {
                write!(f, "agent {agent}, which is paused")?;
                if let Some(d) = detail {
                    write!(f, ": {d}")?;
                }
                Ok(())
            }
            Self::AgentHeldBack { agent, why } => write!(f, "agent {agent}, which cannot be started: {why}"),
            Self::AgentRole { agent, role } => write!(f, "an agent that may be {role}: {agent} may not"),
            Self::Manual => f.write_str("somebody to start it: the project is dispatched by hand"),
            Self::Archived => f.write_str("its project, which is archived"),
            Self::FolderBusy => f.write_str("the project's folder, in which another session works"),
            Self::Review => f.write_str("a person's decision on the result"),
            Self::Person { detail: Some(d), .. } => write!(f, "a person: {d}"),
            Self::Person { detail: None, .. } => f.write_str("a person's decision"),
        }
    }
}

/// What claims are decided by, beside the task and its project.
#[derive(Debug, Clone, Copy)]
pub struct Floor<'a> {
    /// Agents by id: at least those that the task may go to.
    pub agents: &'a BTreeMap<AgentId, Agent>,
    /// Runners by id: at least those of the agents.
    pub runners: &'a BTreeMap<RunnerId, Runner>,
    /// All open sessions.
    pub live: &'a [Session],
    /// Projects whose folder is worked on in place and busy, as the claiming runner says.
    pub busy: &'a [ProjectId],
    /// Now.
    pub now: Timestamp,
}

/// What holds up a claim, if anything, and the agent and role that it would be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimability {
    /// Whom the task would go to.
    pub agent: Option<AgentId>,
    /// For what.
    pub role: Role,
    /// Empty = it can be claimed.
    pub waiting_for: Vec<WaitingFor>,
}

/// The agent that a task in `role` goes to.
pub fn agent_for(task: &Task, project: &Project, role: Role) -> Option<AgentId> {
    match role {
        Role::Executor => task.spec.agent.clone().or_else(|| project.settings.default_agent.clone()),
        Role::Reviewer => match review_of(task, project) {
            Review::Agent(a) => Some(a.clone()),
            Review::Human | Review::None => None,
        },
    }
}

/// Who decides on the task's result.
pub fn review_of<'a>(task: &'a Task, project: &'a Project) -> &'a Review {
    task.spec.review.as_ref().unwrap_or(&project.settings.review)
}

/// Whether the task, which is pending or in review, can be claimed, and if not, for what it waits.
/// `chosen` is the agent of a claim by name. `dependencies` may be empty where they are known to be met.
pub fn claimability(
    task: &Task,
    project: &Project,
    dependencies: &[Dependency],
    chosen: Option<&AgentId>,
    floor: Floor<'_>,
) -> Claimability {
    let role = if task.state.status == Status::Review { Role::Reviewer } else { Role::Executor };
    let agent = chosen.cloned().or_else(|| agent_for(task, project, role));
    let mut waits = Vec::new();
    if project.archived {
        waits.push(WaitingFor::Archived);
    }
    if project.settings.dispatch == Dispatch::Manual && chosen.is_none() {
        waits.push(WaitingFor::Manual);
    }
    for d in dependencies.iter().filter(|d| role == Role::Executor && !d.is_met()) {
        waits.push(WaitingFor::Dependency { task_id: d.on.clone(), status: d.status, until: d.until });
    }
    if let Some(at) = believed_not_before(task, project, floor.now) {
        let by_board = task.state.not_before.is_some_and(|n| n.by_board);
        waits.push(WaitingFor::Time { at, by_board });
    }
    if let Some(open) = task.state.open {
        let held_up = floor
            .live
            .iter()
            .find(|s| s.attempt.as_ref().is_some_and(|(k, n)| *k == task.key && *n == open.number))
            .and_then(|s| s.held_up.clone());
        waits.push(WaitingFor::AttemptEnding { number: open.number, held_up });
    }
    if floor.busy.contains(&project.id) {
        waits.push(WaitingFor::FolderBusy);
    }
    match &agent {
        None => waits.push(WaitingFor::NoAgent),
        // Nobody reviews what is their own.
        Some(id) if role == Role::Reviewer && task.state.executors.contains(id) => {
            waits.push(WaitingFor::Review);
        }
        Some(id) => waits.extend(agent_blockers(id, role, floor)),
    }
    let held: Vec<_> =
        held_by(floor.live, |s| s.attempt.as_ref().is_some_and(|(k, _)| k.project == project.id));
    if project.settings.max_sessions.is_some_and(|max| held.len() >= max as usize) {
        waits.push(WaitingFor::ProjectSlot { project_id: project.id.clone(), held_by: held });
    }
    Claimability { agent, role, waiting_for: waits }
}

/// What holds up a start of `agent`, whatever for.
pub fn agent_blockers(id: &AgentId, role: Role, floor: Floor<'_>) -> Vec<WaitingFor> {
    let Some(agent) = floor.agents.get(id).filter(|a| a.configured) else {
        return vec![WaitingFor::AgentUnknown { agent: id.clone() }];
    };
    let mut waits = Vec::new();
    let runner = floor.runners.get(&agent.runner_id);
    if !runner.is_some_and(|r| r.online) {
        let since = runner.map_or(agent.seen_at, |r| r.seen_at);
        waits.push(WaitingFor::AgentOffline { agent: id.clone(), since });
    }
    if !agent.roles.contains(&role) {
        waits.push(WaitingFor::AgentRole { agent: id.clone(), role });
    }
    if let Some(pause) = agent.paused.as_ref().filter(|p| p.holds(floor.now)) {
        waits.push(WaitingFor::AgentPaused {
            agent: id.clone(),
            until: pause.believed_until(floor.now),
            reason: pause.reason,
            detail: pause.detail.clone(),
        });
    }
    if let Some(why) = &agent.held_back {
        waits.push(WaitingFor::AgentHeldBack { agent: id.clone(), why: why.clone() });
    }
    let held = held_by(floor.live, |s| s.agent == *id);
    // After a pause by the board one task is tried before the rest; what still runs from before does not count.
    let since = agent.paused.as_ref().map(|p| p.since);
    let tried = held_by(floor.live, |s| s.agent == *id && since.is_none_or(|at| s.started_at > at));
    if agent.max_sessions > 0 && held.len() >= agent.max_sessions as usize {
        waits.push(WaitingFor::AgentSlot { agent: id.clone(), held_by: held });
    } else if agent.pauses > 0 && !tried.is_empty() {
        waits.push(WaitingFor::AgentSlot { agent: id.clone(), held_by: tried });
    }
    let on_runner = held_by(floor.live, |s| s.runner_id == agent.runner_id);
    if let Some(r) = runner.filter(|r| on_runner.len() >= r.max_sessions as usize) {
        waits.push(WaitingFor::RunnerSlot { runner_id: r.id.clone(), held_by: on_runner });
    }
    waits
}

fn held_by(live: &[Session], which: impl Fn(&Session) -> bool) -> Vec<SessionId> {
    live.iter().filter(|s| s.is_open() && which(s)).map(|s| s.id).collect()
}

/// The time before which the task is not claimed, as far as the board believes at `now`; none if it has passed.
pub fn believed_not_before(task: &Task, project: &Project, now: Timestamp) -> Option<Timestamp> {
    let n = task.state.not_before?;
    let at = if n.by_board { n.at.min(now.plus(project.settings.backoff_max)) } else { n.at };
    (at > now).then_some(at)
}

/// Why a task does not run, whatever its status. Empty: it will be claimed at once, or it has ended.
pub fn waiting_for(
    task: &Task,
    project: &Project,
    dependencies: &[Dependency],
    open: Option<&Attempt>,
    floor: Floor<'_>,
) -> Vec<WaitingFor> {
    let person = || WaitingFor::Person { kind: task.state.kind.clone(), detail: task.state.detail.clone() };
    let ending = |a: &Attempt| {
        let held_up = floor.live.iter().find(|s| s.id == a.session_id).and_then(|s| s.held_up.clone());
        WaitingFor::AttemptEnding { number: a.number, held_up }
    };
    let at_work = |a: &Attempt| WaitingFor::Attempt {
        number: a.number,
        role: a.role,
        agent: a.agent.clone(),
        since: a.started_at,
    };
    match task.state.status {
        Status::Done | Status::Failed | Status::Cancelled => Vec::new(),
        Status::Blocked => open.map(ending).into_iter().chain([person()]).collect(),
        Status::Claimed | Status::Working => match open {
            Some(a) => {
                let held_up =
                    floor.live.iter().find(|s| s.id == a.session_id).is_some_and(|s| s.held_up.is_some());
                vec![if held_up { ending(a) } else { at_work(a) }]
            }
            None => Vec::new(),
        },
        Status::Pending => claimability(task, project, dependencies, None, floor).waiting_for,
        Status::Review => match (open, review_of(task, project)) {
            (Some(a), review) if a.role == Role::Reviewer && a.revoked_at.is_none() => match review {
                Review::Agent(_) => vec![at_work(a)],
                // It was said while a reviewer was at work that a person decides.
                Review::Human | Review::None => vec![at_work(a), WaitingFor::Review],
            },
            (_, Review::Agent(_)) if !task.state.reviewer_given_up => {
                let waits = claimability(task, project, &[], None, floor).waiting_for;
                // A person may be faster than any reviewer; say so beside what holds the reviewer up.
                let waits = waits.into_iter().filter(|w| *w != WaitingFor::Review);
                waits.chain([WaitingFor::Review]).collect()
            }
            // A person may decide before the executor has gone.
            _ => open.map(ending).into_iter().chain([WaitingFor::Review]).collect(),
        },
    }
}
