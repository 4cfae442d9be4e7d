//! Attempts and what they cost.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::{AgentId, Object, ProjectId, RunnerId, SessionId, TaskId, Time};

/// One run of one agent at one task, in a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its project.
    pub project_id: ProjectId,
    /// Its task.
    pub task_id: TaskId,
    /// Its number there: 1, 2, 3 …
    pub attempt_number: u32,
    /// `executor` or `reviewer`; an open list.
    pub role: String,
    /// Who runs.
    pub agent: AgentId,
    /// Its running side.
    pub session_id: SessionId,
    /// The runner that has it.
    pub runner_id: RunnerId,
    /// What the agent said of the task.
    pub verdict: Option<String>,
    /// When it said so.
    pub verdict_at: Option<Time>,
    /// When its task left its hands otherwise than by its verdict: from then on it writes nothing.
    pub revoked_at: Option<Time>,
    /// Why.
    pub revoked_why: Option<String>,
    /// How it ended, an open list; `null` while it runs.
    pub outcome: Option<String>,
    /// Why it ended so, an open list.
    pub reason: Option<String>,
    /// The agent's exit status, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The folder it works in.
    pub workspace: Option<String>,
    /// When it was claimed.
    pub started_at: Time,
    /// When it was closed.
    pub completed_at: Option<Time>,
    /// Where its log is.
    pub log: LogInfo,
    /// Tokens and money, as far as known.
    pub usage: Option<Usage>,
    /// What it cost the machine.
    pub resources: Option<Resources>,
    /// Everything else worth keeping: the error of a failed start, what was killed.
    pub metadata: Object,
}

/// Where the log of an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogInfo {
    /// `live`, `stored` or `expired`.
    pub state: String,
    /// Bytes written to standard output, as far as known.
    pub stdout_bytes: Option<u64>,
    /// Bytes written to standard error, as far as known.
    pub stderr_bytes: Option<u64>,
}

/// Whether the files of an ended attempt's log are still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// They are.
    Stored,
    /// They are gone; the tail in the database is left.
    Expired,
}

/// Tokens and money of an attempt. What is not known of every model is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Input tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// Cost in millionths of a US dollar.
    pub cost_micro_usd: Option<i64>,
    /// `reported` by the runtime or `estimated`; an open list.
    pub source: String,
    /// The same per model.
    pub by_model: Vec<ModelUsage>,
}

/// Tokens and money of one model in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelUsage {
    /// The model, if known.
    #[serde(default)]
    pub model: Option<String>,
    /// Input tokens.
    #[serde(default)]
    pub input_tokens: Option<u64>,
    /// Output tokens.
    #[serde(default)]
    pub output_tokens: Option<u64>,
    /// Input tokens read from a cache.
    #[serde(default)]
    pub cache_read_tokens: Option<u64>,
    /// Input tokens written to a cache.
    #[serde(default)]
    pub cache_write_tokens: Option<u64>,
    /// Cost in millionths of a US dollar.
    #[serde(default)]
    pub cost_micro_usd: Option<i64>,
    /// `reported` or `estimated`.
    #[serde(default = "reported")]
    pub source: String,
}

fn reported() -> String {
    REPORTED.to_owned()
}
const REPORTED: &str = "reported";
const ESTIMATED: &str = "estimated";

impl From<&core::Usage> for ModelUsage {
    fn from(u: &core::Usage) -> Self {
        Self {
            model: u.model.clone(),
            input_tokens: u.input_tokens,
            output_tokens: u.output_tokens,
            cache_read_tokens: u.cache_read_tokens,
            cache_write_tokens: u.cache_write_tokens,
            cost_micro_usd: u.cost_micro_usd,
            source: if u.reported { REPORTED } else { ESTIMATED }.to_owned(),
        }
    }
}

impl From<ModelUsage> for core::Usage {
    fn from(u: ModelUsage) -> Self {
        Self {
            model: u.model,
            input_tokens: u.input_tokens,
            output_tokens: u.output_tokens,
            cache_read_tokens: u.cache_read_tokens,
            cache_write_tokens: u.cache_write_tokens,
            cost_micro_usd: u.cost_micro_usd,
            reported: u.source == REPORTED,
        }
    }
}

impl Usage {
    /// The sum of rows; none without rows. A sum with an unknown part is unknown.
    pub fn of(rows: &[core::Usage]) -> Option<Self> {
        let tokens = |f: fn(&core::Usage) -> Option<u64>| {
            rows.iter().map(f).try_fold(0_u64, |sum, n| Some(sum.saturating_add(n?)))
        };
        let reported = rows.iter().all(|u| u.reported);
        (!rows.is_empty()).then(|| Self {
            input_tokens: tokens(|u| u.input_tokens),
            output_tokens: tokens(|u| u.output_tokens),
            cost_micro_usd: rows.iter().try_fold(0_i64, |sum, u| Some(sum.saturating_add(u.cost_micro_usd?))),
            source: if reported { REPORTED } else { ESTIMATED }.to_owned(),
            by_model: rows.iter().map(Into::into).collect(),
        })
    }
}

/// What a session cost the machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Resources {
    /// Processor time of it and all its descendants.
    pub cpu_seconds: f64,
    /// The largest resident size of one of its processes.
    pub max_rss_bytes: u64,
}

impl From<core::attempt::Resources> for Resources {
    fn from(r: core::attempt::Resources) -> Self {
        Self {
            cpu_seconds: std::time::Duration::from_millis(r.cpu_ms).as_secs_f64(),
            max_rss_bytes: r.max_rss_bytes,
        }
    }
}

impl From<Resources> for core::attempt::Resources {
    fn from(r: Resources) -> Self {
        let cpu = std::time::Duration::try_from_secs_f64(r.cpu_seconds).unwrap_or_default();
        Self { cpu_ms: u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX), max_rss_bytes: r.max_rss_bytes }
    }
}

impl Attempt {
    /// An attempt as the board knows it. `ended_log` says what is left of the log of an ended one.
    pub fn new(a: &core::Attempt, usage: &[core::Usage], ended_log: LogState) -> Self {
        let state = match (a.is_open(), ended_log) {
            (true, _) => "live",
            (false, LogState::Stored) => "stored",
            (false, LogState::Expired) => "expired",
        };
        Self {
            project_id: a.key.project.clone().into(),
            task_id: a.key.task.clone().into(),
            attempt_number: a.number,
            role: a.role.as_str().to_owned(),
            agent: a.agent.clone().into(),
            session_id: a.session_id.into(),
            runner_id: a.runner_id.clone().into(),
            verdict: a.verdict.map(|v| v.as_str().to_owned()),
            verdict_at: a.verdict_at.map(Into::into),
            revoked_at: a.revoked_at.map(Into::into),
            revoked_why: a.revoked_why.clone(),
            outcome: a.outcome.map(|o| o.as_str().to_owned()),
            reason: a.reason.map(|r| r.as_str().to_owned()),
            exit_code: a.exit_code,
            signal: a.signal,
            workspace: a.workspace.clone(),
            started_at: a.started_at.into(),
            completed_at: a.completed_at.map(Into::into),
            log: LogInfo {
                state: state.to_owned(),
                stdout_bytes: a.tail.as_ref().map(|t| t.stdout_bytes),
                stderr_bytes: a.tail.as_ref().map(|t| t.stderr_bytes),
            },
            usage: Usage::of(usage),
            resources: a.resources.map(Into::into),
            metadata: Object::of(&a.metadata),
        }
    }
}
