//! The board at a glance.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    agent::{Agent, Runner},
    body::Invalid,
    query::{Query, Writer},
    session::Session,
    waiting::WaitingFor,
    wire::{AgentId, ProjectId, Status, TaskId, Time, parse_duration},
};

/// How far back it is told what has ended, where nothing else was asked for.
pub const SINCE: Duration = Duration::from_hours(8);

/// From when on it is told what has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Time),
}

impl std::str::FromStr for Since {
    type Err = crate::wire::BadText;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        parse_duration(text).map(Self::Ago).map_err(|_| {
            crate::wire::BadText(
                "must be a duration with its unit, like 8h or 2d, or a time in RFC 3339 with its zone"
                    .to_owned(),
            )
        })
    }
}

impl std::fmt::Display for Since {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ago(span) => f.write_str(&crate::wire::show_duration(*span)),
            Self::At(at) => at.fmt(f),
        }
    }
}

/// Which glance.
#[derive(Debug, Clone, PartialEq, Eq, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatusQuery {
    /// At this project; else at all.
    pub project: Option<ProjectId>,
    /// From when on it is told what has ended: `8h` (default), `2d`, or a time in RFC 3339.
    #[param(value_type = Option<String>, example = "8h")]
    pub since: Option<Since>,
    /// At most so many items of each list; 50 by default, at most 500.
    pub limit: Option<u32>,
}

impl StatusQuery {
    /// Reads the part after the `?`.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let mut q = Query::parse(raw)?;
        let read = Self { project: q.value("project")?, since: q.value("since")?, limit: Some(q.limit()?) };
        q.finish()?;
        Ok(read)
    }
    /// As a query with its `?`.
    pub fn encode(&self) -> String {
        Writer::default()
            .put("project", self.project.as_ref())
            .put("since", self.since)
            .put("limit", self.limit)
            .into_query()
    }
}

/// The board, or one project of it, at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BoardStatus {
    /// When.
    pub at: Time,
    /// From when on it is told what has ended and what it cost.
    pub since: Time,
    /// The one project, if it is one.
    pub project_id: Option<ProjectId>,
    /// Events after this moment: the `after` of the project's events, or of those over all projects.
    pub cursor: String,
    /// Tasks by status.
    pub counts: BTreeMap<String, u64>,
    /// Results for which a person decides, the oldest first.
    pub reviews: Listed<TaskLine>,
    /// Tasks that need a person's help, the oldest first; without those that a person holds back.
    pub blocked: Listed<TaskLine>,
    /// Sessions, the oldest first.
    pub running: Listed<RunningLine>,
    /// Tasks that have ended since: failed, then done, then cancelled ones, each the newest first.
    pub ended: Listed<EndedLine>,
    /// How many of them ended how; of many, so many at least.
    pub ended_counts: BTreeMap<String, u64>,
    /// What tasks wait for, those first that somebody has to see to.
    pub waiting: Vec<WaitingGroup>,
    /// Tasks whose time has not come.
    pub delayed: Delayed,
    /// Agents that are paused or cannot be started.
    pub agents: Vec<Agent>,
    /// Runners that are not there although agents are theirs.
    pub runners: Vec<Runner>,
    /// What attempts that have ended since have cost.
    pub spent: Spent,
}

/// The beginning of a list, and how long it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listed<T> {
    /// In order.
    pub items: Vec<T>,
    /// How many there are.
    pub total: u64,
    /// There are so many and not more: of very many it is only told that there are so many at least.
    pub exact: bool,
}

/// A task in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskLine {
    /// Its project.
    pub project_id: ProjectId,
    /// Its id there.
    pub task_id: TaskId,
    /// What it is about.
    pub title: String,
    /// Where it is.
    pub status: Status,
    /// Why it is there, as a word: `needs_input` …
    pub kind: Option<String>,
    /// Why it is there, in words.
    pub detail: Option<String>,
    /// The number of its newest attempt.
    pub attempt_number: Option<u32>,
    /// Its reviewer did not come to a verdict: a person decides instead.
    pub reviewer_given_up: bool,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A session at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningLine {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// What its task is about, if it has one.
    pub title: Option<String>,
    /// Where that task is.
    pub task_status: Option<Status>,
    /// `executor` or `reviewer`, at a task; an open list.
    pub role: Option<String>,
    /// When its time is over, about: its deadline counts from its process's start.
    pub deadline: Option<Time>,
    /// When it last printed or said something, as far as known.
    pub last_sign_at: Option<Time>,
    /// Its runner is there.
    pub runner_online: bool,
}

/// A task that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndedLine {
    /// The task.
    #[serde(flatten)]
    pub task: TaskLine,
    /// The agent of its newest attempt to do it; attempts to review it do not count.
    pub agent: Option<AgentId>,
    /// How that attempt ended; an open list.
    pub outcome: Option<String>,
    /// Why it ended so; an open list.
    pub reason: Option<String>,
    /// The last line that it wrote to standard error.
    pub last_error: Option<String>,
    /// How long agents worked on it, all attempts together.
    pub worked_seconds: u64,
    /// Millionths of a dollar, all attempts together, as far as known.
    pub cost_micro_usd: Option<i64>,
    /// Some of its attempts did not say what they cost.
    pub cost_incomplete: bool,
}

/// Tasks that wait for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingGroup {
    /// What for.
    pub waiting_for: WaitingFor,
    /// It does not pass by itself: somebody has to see to it.
    pub needs_somebody: bool,
    /// How many tasks wait for it.
    pub tasks: u64,
    /// There are so many and not more.
    pub exact: bool,
    /// The project of one of them.
    pub project_id: ProjectId,
    /// One of them.
    pub task_id: TaskId,
}

/// Tasks whose time has not come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delayed {
    /// How many.
    pub total: u64,
    /// There are so many and not more.
    pub exact: bool,
    /// When the first of them is ready.
    pub next_at: Option<Time>,
    /// That first one.
    pub next: Option<TaskLine>,
}

/// What attempts have cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Spent {
    /// How many have ended.
    pub attempts: u64,
    /// How many of them said what they cost.
    pub known: u64,
    /// The sum of those, in millionths of a dollar; `null` = none did.
    pub cost_micro_usd: Option<i64>,
    /// All were looked at: of very many, only the last.
    pub exact: bool,
}
