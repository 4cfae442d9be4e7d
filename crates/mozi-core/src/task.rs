//! Tasks, their statuses and what they depend on.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    attempt::Role,
    id::{AgentId, AttemptNumber, TaskId, TaskKey},
    project::{Review, words},
    time::Timestamp,
    token::Actor,
};

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Waits to be claimed.
    Pending,
    /// A runner has claimed it; its agent has not reported in yet.
    Claimed,
    /// Its agent has reported in.
    Working,
    /// Its result waits for a decision.
    Review,
    /// Accepted; final.
    Done,
    /// Ended without success; only a person undoes it.
    Failed,
    /// A person decides how it goes on.
    Blocked,
    /// Called off; only a person undoes it.
    Cancelled,
}

words! {
    Status {
        Pending => "pending", Claimed => "claimed", Working => "working", Review => "review",
        Done => "done", Failed => "failed", Blocked => "blocked", Cancelled => "cancelled",
    }
    Until { Done => "done", Review => "review", Ended => "ended" }
}

impl Status {
    /// `done`, `failed` and `cancelled`: nothing moves it by itself.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// How far a dependency must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Until {
    /// `done`.
    Done,
    /// `review` or later.
    Review,
    /// Any end.
    Ended,
}

impl Until {
    /// Whether a dependency in `status` has come far enough.
    pub const fn is_reached_by(self, status: Status) -> bool {
        match self {
            Self::Done => matches!(status, Status::Done),
            Self::Review => matches!(status, Status::Review | Status::Done),
            Self::Ended => status.is_end(),
        }
    }
}

/// One task's wait for another of the same project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The task that is waited for.
    pub on: TaskId,
    /// How far it must have come.
    pub until: Until,
    /// Its status now.
    pub status: Status,
}

impl Dependency {
    /// Whether it holds nothing up any more.
    pub const fn is_met(&self) -> bool {
        self.until.is_reached_by(self.status)
    }
}

/// How many tasks of a project are in each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusCounts([u64; 8]);

impl StatusCounts {
    /// From counts in the order of [`Status::ALL`].
    pub const fn from_array(counts: [u64; 8]) -> Self {
        Self(counts)
    }
    /// Counts in the order of [`Status::ALL`].
    pub const fn to_array(self) -> [u64; 8] {
        self.0
    }
    /// How many are in `status`.
    pub fn get(&self, status: Status) -> u64 {
        self.0.get(status as usize).copied().unwrap_or(0)
    }
    pub(crate) fn shift(&mut self, from: Option<Status>, to: Option<Status>) {
        if let Some(n) = from.and_then(|s| self.0.get_mut(s as usize)) {
            *n = n.saturating_sub(1);
        }
        if let Some(n) = to.and_then(|s| self.0.get_mut(s as usize)) {
            *n = n.saturating_add(1);
        }
    }
}

/// The type of a task whose author named none.
pub const DEFAULT_TASK_TYPE: &str = "general";
/// The priority of a task whose author named none; smaller is more urgent.
pub const DEFAULT_PRIORITY: i64 = 5;

/// What its author says of a task. Text, priority and limits may change at any time, for the next attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// One line.
    pub title: String,
    /// The rest, if any.
    pub description: Option<String>,
    /// A word of the author's; `general` by default.
    pub task_type: String,
    /// Smaller is more urgent.
    pub priority: i64,
    /// The conditions that a result has to meet.
    pub must_haves: Vec<String>,
    /// Who does it; else the project's default agent.
    pub agent: Option<AgentId>,
    /// How long an attempt may take; else the agent's own limit. Milliseconds.
    pub timeout: Option<Duration>,
    /// Else the project's.
    pub max_attempts: Option<u32>,
    /// Else the project's.
    pub review: Option<Review>,
    /// A link, no more.
    pub parent: Option<TaskId>,
    /// For people and queries.
    pub labels: BTreeMap<String, String>,
    /// Any JSON object; not looked into.
    pub metadata: Value,
}

impl TaskSpec {
    /// A task with nothing but a title.
    pub fn titled(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            description: None,
            task_type: DEFAULT_TASK_TYPE.into(),
            priority: DEFAULT_PRIORITY,
            must_haves: Vec::new(),
            agent: None,
            timeout: None,
            max_attempts: None,
            review: None,
            parent: None,
            labels: BTreeMap::new(),
            metadata: Value::Object(serde_json::Map::new()),
        }
    }
}

/// A point in time before which a task is not claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBefore {
    /// The time.
    pub at: Timestamp,
    /// Set by the board as a pause before a repetition, not by a person. Such a time is never believed to be
    /// further away than the longest that the board may set: the clock may have jumped.
    pub by_board: bool,
}

/// What the board knows of a task: only decisions change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskState {
    /// Where it is.
    pub status: Status,
    /// Why it is there, as a word: `held`, `dry_run`, `needs_input` …
    pub kind: Option<String>,
    /// Why it is there, in words.
    pub detail: Option<String>,
    /// The attempt whose report set the status; what it repeats is no news.
    pub set_by: Option<AttemptNumber>,
    /// Not claimed before.
    pub not_before: Option<NotBefore>,
    /// The number of the newest attempt; 0 for none.
    pub last_attempt: AttemptNumber,
    /// The attempt that is open, if any.
    pub open: Option<OpenAttempt>,
    /// Agents that did executor attempts: they may not review.
    pub executors: Vec<AgentId>,
    /// Executor attempts of this budget that were closed without a verdict and count.
    pub budget_used: u32,
    /// The same for reviewer attempts.
    pub review_used: u32,
    /// Repetitions in a row, for the backoff.
    pub repeats: u32,
    /// Failed starts in a row.
    pub spawn_failures: u32,
    /// Send-backs by reviewers since a person last acted.
    pub rounds: u32,
    /// No reviewer agent will be tried any more; a person decides.
    pub reviewer_given_up: bool,
    /// How many of its dependencies are not met.
    pub unmet: u32,
    /// How deep below a task of a person: 0, 1, 2, 3.
    pub depth: u32,
    /// The number that its next output gets.
    pub next_output: u32,
    /// The number that its next comment gets.
    pub next_comment: u32,
}

/// The open attempt as its task sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Its number.
    pub number: AttemptNumber,
    /// Its role.
    pub role: Role,
}

/// A unit of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its project and id.
    pub key: TaskKey,
    /// What its author says.
    pub spec: TaskSpec,
    /// What the board knows.
    pub state: TaskState,
    /// Who created it.
    pub created_by: Actor,
    /// When.
    pub created_at: Timestamp,
    /// When `version` last changed.
    pub updated_at: Timestamp,
    /// Changes with every change of the task and with every output.
    pub version: u64,
}

/// The place of a ready task in the queue, from which claims are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuePlace {
    /// The role that it waits for.
    pub role: Role,
    /// The agent that it waits for; none = whom the project's settings name.
    pub agent: Option<AgentId>,
    /// Not claimable before this time.
    pub from: Option<Timestamp>,
}

impl TaskState {
    /// The state of a new task.
    pub fn new(
        status: Status,
        kind: Option<String>,
        not_before: Option<Timestamp>,
        unmet: u32,
        depth: u32,
    ) -> Self {
        Self {
            status,
            kind,
            detail: None,
            set_by: None,
            not_before: not_before.map(|at| NotBefore { at, by_board: false }),
            last_attempt: 0,
            open: None,
            executors: Vec::new(),
            budget_used: 0,
            review_used: 0,
            repeats: 0,
            spawn_failures: 0,
            rounds: 0,
            reviewer_given_up: false,
            unmet,
            depth,
            next_output: 1,
            next_comment: 1,
        }
    }
}

impl Task {
    /// Its place in the queue, or none while something of its own holds it up. Limits, pauses and settings of
    /// others are looked at when it is claimed: the queue holds what could run if they allowed it.
    pub fn queue_place(&self) -> Option<QueuePlace> {
        let s = &self.state;
        if s.open.is_some() {
            return None;
        }
        let from = s.not_before.map(|n| n.at);
        match s.status {
            Status::Pending if s.unmet == 0 => {
                Some(QueuePlace { role: Role::Executor, agent: self.spec.agent.clone(), from })
            }
            Status::Review if !s.reviewer_given_up => match &self.spec.review {
                None => Some(QueuePlace { role: Role::Reviewer, agent: None, from }),
                Some(Review::Agent(a)) => {
                    Some(QueuePlace { role: Role::Reviewer, agent: Some(a.clone()), from })
                }
                Some(Review::Human | Review::None) => None,
            },
            Status::Pending
            | Status::Review
            | Status::Claimed
            | Status::Working
            | Status::Done
            | Status::Failed
            | Status::Blocked
            | Status::Cancelled => None,
        }
    }
}
