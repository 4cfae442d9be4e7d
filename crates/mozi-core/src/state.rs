//! The slice of the board that a command is decided on.

use std::collections::BTreeMap;

use crate::{
    agent::{Agent, Runner},
    attempt::Attempt,
    id::{AgentId, ProjectId, RunnerId, SessionId, TaskId, TaskKey},
    project::Project,
    rest::Queued,
    session::Session,
    task::{Dependency, Status, StatusCounts, Task, Until},
    time::Timestamp,
    token::{Identity, Token, TokenHash},
    user::User,
};

/// Which slice of the board a command needs. A store loads what is named here, and no more.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// When the command was asked: expired tokens are unknown.
    pub now: Timestamp,
    /// Whose credential it is. An attempt's also loads that attempt.
    pub credential: Option<TokenHash>,
    /// With an attempt's credential: also its task.
    pub identity_task: bool,
    /// These projects.
    pub projects: Vec<ProjectId>,
    /// These tasks, each with its project and its open attempt. Those that do not exist are absent.
    pub tasks: Vec<TaskKey>,
    /// These tasks, each with its project and all its attempts.
    pub histories: Vec<TaskKey>,
    /// Whether the project's tasks can be told without its events up to this one.
    pub told_without: Option<(ProjectId, u64)>,
    /// A task with this id, or the next number of the project that is free.
    pub new_task: Option<(ProjectId, Option<TaskId>)>,
    /// What many new tasks may meet.
    pub import: Option<ImportNeeds>,
    /// What this task waits for.
    pub dependencies: Option<TaskKey>,
    /// What waits for this task, where the wait may be over or begin anew by its change.
    pub dependents: Option<TaskKey>,
    /// Whether the first task of the project waits, over any number of steps, for the second.
    pub path: Option<(ProjectId, TaskId, TaskId)>,
    /// These sessions, each with its attempt, task, project and agent.
    pub sessions: Vec<SessionId>,
    /// Also what waits for the tasks of those sessions.
    pub session_dependents: bool,
    /// These agents.
    pub agents: Vec<AgentId>,
    /// Also the default agents of the projects loaded.
    pub default_agent: bool,
    /// Also the runners of the agents loaded.
    pub agent_runners: bool,
    /// All agents of this runner.
    pub agents_of: Option<RunnerId>,
    /// These runners.
    pub runners: Vec<RunnerId>,
    /// All runners.
    pub all_runners: bool,
    /// All open sessions: what holds slots.
    pub live: bool,
    /// Ready tasks.
    pub claim: Option<ClaimNeeds>,
    /// The token of this name.
    pub token: Option<String>,
    /// The user of this name.
    pub user: Option<String>,
    /// Tasks whose due time the board set and that is further away than it may set: at most 1,000.
    pub far_due: bool,
    /// All agents that are paused until a time.
    pub paused_agents: bool,
    /// Also the agents of the attempts loaded.
    pub attempt_agents: bool,
    /// What is left to do: all open sessions, and where none is open, what waits for a claim, with its projects,
    /// agents and their runners; and how many tasks are in which status.
    pub rest: bool,
}

/// What many new tasks may meet in their project.
#[derive(Debug, Clone)]
pub struct ImportNeeds {
    /// Where.
    pub project: ProjectId,
    /// Which of these exist, and what is known of them.
    pub ids: Vec<TaskId>,
    /// So many numbers that no task has as its id.
    pub numbers: usize,
}

/// What new tasks have to know of one that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTask {
    /// The digest of the body that made it.
    pub fingerprint: String,
    /// Where it is.
    pub status: Status,
}

/// Ready tasks for these agents.
#[derive(Debug, Clone)]
pub struct ClaimNeeds {
    /// Only for these.
    pub agents: Vec<AgentId>,
    /// Not in these projects.
    pub busy: Vec<ProjectId>,
    /// How many can be claimed at most. For each agent with a free slot, at least as many of its ready tasks as
    /// this are loaded, each with its project, listed over all agents by (priority, `created_at`, order of
    /// creation). Left
    /// out, so that they do not take the place of what can be claimed: tasks of archived, manual, full and busy
    /// projects, tasks whose time has not come (a time set by the board is believed at most `backoff_max` ahead),
    /// and tasks in a role that the agent has not.
    pub limit: usize,
}

/// A task that waits for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The one that waits.
    pub task: TaskId,
    /// The one that is waited for.
    pub on: TaskKey,
    /// How far that must come.
    pub until: Until,
}

/// What was loaded.
#[derive(Debug, Clone)]
pub struct State {
    /// Who asks.
    pub identity: Identity,
    /// By id.
    pub projects: BTreeMap<ProjectId, Project>,
    /// By key.
    pub tasks: BTreeMap<TaskKey, Task>,
    /// Open attempts of the tasks, all attempts where a history is needed, the attempts of the sessions, and that of the credential; each once.
    pub attempts: Vec<Attempt>,
    /// By id.
    pub sessions: BTreeMap<SessionId, Session>,
    /// All open sessions, if asked for.
    pub live: Vec<Session>,
    /// By id.
    pub agents: BTreeMap<AgentId, Agent>,
    /// By id.
    pub runners: BTreeMap<RunnerId, Runner>,
    /// What the task waits for.
    pub dependencies: Vec<Dependency>,
    /// What waits for the tasks in question.
    pub dependents: Vec<Dependent>,
    /// The answer to the need of the same name: each task with an event up to there has a snapshot behind it.
    pub told_without: bool,
    /// The answer to `path`.
    pub path_exists: bool,
    /// The fingerprint of the task that exists under the new task's id.
    pub existing_fingerprint: Option<String>,
    /// The next free number of the project for a task without an id.
    pub free_id: Option<TaskId>,
    /// Which of many ids exist.
    pub known_tasks: BTreeMap<TaskId, KnownTask>,
    /// Free numbers of the project, in order.
    pub free_ids: Vec<TaskId>,
    /// The keys of ready tasks, in order; the tasks are in `tasks`.
    pub ready: Vec<TaskKey>,
    /// The token asked for.
    pub token: Option<Token>,
    /// The user asked for.
    pub user: Option<User>,
    /// The newest event id of the stream of what belongs to no project.
    pub stream_last: u64,
    /// The board is known to be at rest: nothing has run since it said so.
    pub at_rest: bool,
    /// What waits for a claim, one of each kind.
    pub queued: Vec<Queued>,
    /// Tasks of projects that are not archived, by status.
    pub totals: StatusCounts,
}

impl Default for State {
    fn default() -> Self {
        Self {
            identity: Identity::Unknown,
            projects: BTreeMap::new(),
            tasks: BTreeMap::new(),
            attempts: Vec::new(),
            sessions: BTreeMap::new(),
            live: Vec::new(),
            agents: BTreeMap::new(),
            runners: BTreeMap::new(),
            dependencies: Vec::new(),
            dependents: Vec::new(),
            told_without: false,
            path_exists: false,
            existing_fingerprint: None,
            free_id: None,
            known_tasks: BTreeMap::new(),
            free_ids: Vec::new(),
            ready: Vec::new(),
            token: None,
            user: None,
            stream_last: 0,
            at_rest: true,
            queued: Vec::new(),
            totals: StatusCounts::default(),
        }
    }
}
