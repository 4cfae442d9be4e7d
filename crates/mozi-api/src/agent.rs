//! Agents and runners as people see them.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::{AgentId, RunnerId, SessionId, Time};

/// A named worker that can be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its id.
    pub agent: AgentId,
    /// The runner whose configuration names it.
    pub runner_id: RunnerId,
    /// How it is started: `command`, `openclaw`, `dry-run` …
    pub runtime: String,
    /// Other names under which it reports.
    pub aliases: Vec<String>,
    /// What it may be claimed for: `executor`, `reviewer`.
    pub roles: Vec<String>,
    /// Sessions at once; 0 = only the runner's limit.
    pub max_sessions: u32,
    /// How its verdict is known: `report` or `exit`.
    pub verdict: String,
    /// How long an attempt may take; `null` = no limit.
    pub timeout_seconds: Option<u64>,
    /// How it knows its token: `env`, `header`.
    pub callback: String,
    /// Still in its runner's configuration.
    pub configured: bool,
    /// What stands in the way of starting it.
    pub held_back: Option<String>,
    /// It is given no work.
    pub paused: Option<Pause>,
    /// Its live sessions.
    pub sessions: Vec<SessionId>,
    /// When its runner last named it.
    pub seen_at: Time,
}

/// Why and until when an agent is given no work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pause {
    /// When it began.
    pub since: Time,
    /// When it ends by itself; `null` = when a person says so.
    pub until: Option<Time>,
    /// Why, if the board did it.
    pub reason: Option<String>,
    /// Why, in words.
    pub detail: Option<String>,
}

impl Agent {
    /// An agent as the board knows it at `now`, with its live sessions. A pause that is over is not shown.
    pub fn new(a: &core::Agent, live: &[core::SessionId], now: core::Timestamp) -> Self {
        Self {
            agent: a.id.clone().into(),
            runner_id: a.runner_id.clone().into(),
            runtime: a.runtime.clone(),
            aliases: a.aliases.clone(),
            roles: a.roles.iter().map(|r| r.as_str().to_owned()).collect(),
            max_sessions: a.max_sessions,
            verdict: a.verdict_mode.as_str().to_owned(),
            timeout_seconds: a.timeout_ms.map(|ms| ms / 1000),
            callback: a.callback.clone(),
            configured: a.configured,
            held_back: a.held_back.clone(),
            paused: a.paused.as_ref().filter(|p| p.holds(now)).map(|p| Pause {
                since: p.since.into(),
                until: p.believed_until(now).map(Into::into),
                reason: p.reason.map(|r| r.as_str().to_owned()),
                detail: p.detail.clone(),
            }),
            sessions: live.iter().map(|s| (*s).into()).collect(),
            seen_at: a.seen_at.into(),
        }
    }
}

/// Why an agent is paused (body of `POST …/pause`; may be left out).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseAgent {
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Nothing more to say (body of `POST …/resume`; may be left out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeAgent {}

/// The part that starts agents on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Runner {
    /// Its id.
    pub runner_id: RunnerId,
    /// Whether it is there.
    pub online: bool,
    /// Sessions at once.
    pub max_sessions: u32,
    /// Its machine's boot.
    pub boot_id: String,
    /// Its pid namespace.
    pub pid_namespace: String,
    /// Its program's version.
    pub version: String,
    /// When it last said hello or goodbye.
    pub seen_at: Time,
}

impl From<&core::Runner> for Runner {
    fn from(r: &core::Runner) -> Self {
        Self {
            runner_id: r.id.clone().into(),
            online: r.online,
            max_sessions: r.max_sessions,
            boot_id: r.boot_id.clone(),
            pid_namespace: r.pid_namespace.clone(),
            version: r.version.clone(),
            seen_at: r.seen_at.into(),
        }
    }
}
