//! Agents and the runners that start them, as the board knows them.

use std::time::Duration;

use crate::{
    attempt::{Role, VerdictMode},
    id::{AgentId, RunnerId},
    outcome::Reason,
    time::Timestamp,
};

/// The first pause of an agent that cannot be started or whose provider is in trouble.
pub const PAUSE_INITIAL: Duration = Duration::from_mins(1);
/// The longest such pause without a named reset time.
pub const PAUSE_MAX: Duration = Duration::from_hours(1);
/// Failed starts in a row, over all tasks, that pause an agent.
pub const SPAWN_FAILURES_PAUSE_AGENT: u32 = 3;
/// Failed starts in a row of one task that block it.
pub const SPAWN_FAILURES_BLOCK_TASK: u32 = 5;

/// Why and until when an agent is not given work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// When it began.
    pub since: Timestamp,
    /// When it ends by itself; none = when a person says so.
    pub until: Option<Timestamp>,
    /// Why, if the board did it.
    pub reason: Option<Reason>,
    /// Why, in words.
    pub detail: Option<String>,
    /// The end was named by the provider and may be further away than [`PAUSE_MAX`].
    pub reset_named: bool,
}

impl Pause {
    /// When it ends as far as the board believes at `now`: an end that the board set itself is never further
    /// away than the longest pause, for the clock may have jumped.
    pub fn believed_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.until?;
        Some(if self.reset_named { until } else { until.min(now.plus(PAUSE_MAX)) })
    }
    /// Whether it holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.believed_until(now).is_none_or(|until| until > now)
    }
}

/// A named worker that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// The runner whose configuration names it.
    pub runner_id: RunnerId,
    /// How it is started.
    pub runtime: String,
    /// Other names under which it reports.
    pub aliases: Vec<String>,
    /// What it may be claimed for.
    pub roles: Vec<Role>,
    /// Sessions at once; 0 = only the runner's limit.
    pub max_sessions: u32,
    /// How its verdict is known.
    pub verdict_mode: VerdictMode,
    /// How long an attempt may take, milliseconds; none = no limit.
    pub timeout_ms: Option<u64>,
    /// How it knows its token: decides how the prompt is written.
    pub callback: String,
    /// Still in its runner's configuration.
    pub configured: bool,
    /// What stands in the way of starting it, as its runner found.
    pub held_back: Option<String>,
    /// It is given no work.
    pub paused: Option<Pause>,
    /// Failed starts in a row, over all tasks.
    pub spawn_failures: u32,
    /// Pauses by the board in a row: the next is twice as long, and after one a single task is tried.
    pub pauses: u32,
    /// When its runner last named it.
    pub seen_at: Timestamp,
}

/// The part that starts agents on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Its id.
    pub id: RunnerId,
    /// Sessions at once.
    pub max_sessions: u32,
    /// It has said hello since the board started and not goodbye.
    pub online: bool,
    /// Its machine's boot.
    pub boot_id: String,
    /// Its pid namespace.
    pub pid_namespace: String,
    /// Its program's version.
    pub version: String,
    /// When it last said hello or goodbye.
    pub seen_at: Timestamp,
}
