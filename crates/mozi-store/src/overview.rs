//! The board at a glance: what waits for a person, what runs, what has ended, what does not go on and why.

use std::time::Duration;

use mozi_core::{
    Agent, ProjectId, Role, Runner, Session, Status, TaskKey, Timestamp, WaitingFor, task::StatusCounts,
};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct OverviewQuery {
    /// Of this project; none = of all.
    pub project: Option<ProjectId>,
    /// What has ended is told from then on.
    pub since: Timestamp,
    /// The most items of each list.
    pub limit: usize,
}

/// The beginning of a list, and how long it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// In order.
    pub items: Vec<T>,
    /// How many there are.
    pub total: u64,
    /// There are so many and not more: counting has a limit.
    pub exact: bool,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0, exact: true }
    }
}

/// A task in a line.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskLine {
    /// Which.
    pub key: TaskKey,
    /// What it is about.
    pub title: String,
    /// Where it is.
    pub status: Status,
    /// Why it is there, as a word.
    pub kind: Option<String>,
    /// Why it is there, in words.
    pub detail: Option<String>,
    /// Its newest attempt; 0 = none.
    pub attempts: u32,
    /// Its reviewer was given up: a person decides instead.
    pub reviewer_given_up: bool,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A session at work.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningLine {
    /// The session.
    pub session: Session,
    /// What its task is about, if it has one.
    pub title: Option<String>,
    /// Where that task is.
    pub status: Option<Status>,
    /// As what the agent runs.
    pub role: Option<Role>,
    /// How long the attempt may take.
    pub timeout: Option<Duration>,
    /// The newest event of its task: at least then the agent gave a sign of life or was started.
    pub last_event_at: Option<Timestamp>,
    /// Its runner is there.
    pub runner_online: bool,
}

/// A task that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedLine {
    /// The task.
    pub task: TaskLine,
    /// The agent of its newest attempt to do it.
    pub agent: Option<String>,
    /// How that attempt ended.
    pub outcome: Option<String>,
    /// Why it ended so.
    pub reason: Option<String>,
    /// The last line that it wrote to standard error.
    pub last_error: Option<String>,
    /// How long agents worked on it, all attempts together.
    pub worked: Duration,
    /// Millionths of a dollar, all attempts together, as far as known.
    pub cost_micro_usd: Option<i64>,
    /// Some of its attempts did not say what they cost.
    pub cost_incomplete: bool,
}

/// Tasks that wait for the same thing.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingGroup {
    /// What for.
    pub waits_for: WaitingFor,
    /// How many tasks do.
    pub tasks: u64,
    /// There are so many and not more.
    pub exact: bool,
    /// One of them.
    pub example: TaskKey,
}

/// Tasks whose time has not come.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delayed {
    /// How many.
    pub tasks: u64,
    /// There are so many and not more.
    pub exact: bool,
    /// When the first of them is ready.
    pub next_at: Option<Timestamp>,
    /// That first one.
    pub next: Option<TaskLine>,
}

/// What attempts that have ended since then have cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// How many ended.
    pub attempts: u64,
    /// How many of them said what they cost.
    pub known: u64,
    /// The sum of those that did, in millionths of a dollar; none = none did.
    pub cost_micro_usd: Option<i64>,
    /// All were looked at.
    pub exact: bool,
}

/// The board at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overview {
    /// Tasks by status.
    pub counts: StatusCounts,
    /// The newest event: of the project, or over all projects.
    pub last_event: u64,
    /// Results for which a person decides, the oldest first.
    pub reviews: Listed<TaskLine>,
    /// Tasks that need a person's help, the oldest first.
    pub blocked: Listed<TaskLine>,
    /// Sessions, the oldest first.
    pub running: Listed<RunningLine>,
    /// Tasks that have ended: failed ones first, then done, then cancelled ones, each the newest first.
    pub ended: Listed<EndedLine>,
    /// How many have ended how.
    pub ended_counts: StatusCounts,
    /// What pending tasks wait for, those that somebody has to see to first.
    pub waiting: Vec<WaitingGroup>,
    /// Tasks whose time has not come.
    pub delayed: Delayed,
    /// Agents that are paused or cannot be started.
    pub agents: Vec<Agent>,
    /// Runners that are not there although agents are theirs.
    pub runners: Vec<Runner>,
    /// What has been spent.
    pub spent: Spent,
}
