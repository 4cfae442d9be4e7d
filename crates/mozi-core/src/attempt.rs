//! Attempts: one run of one agent at one task.

use serde_json::Value;

use crate::{
    id::{AgentId, AttemptNumber, RunnerId, SessionId, TaskKey},
    outcome::{Outcome, Reason},
    project::words,
    task::Status,
    time::Timestamp,
    token::TokenHash,
};

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Does the task.
    Executor,
    /// Decides on its result.
    Reviewer,
}

/// What an agent itself said of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Executor: finished, look at it.
    Review,
    /// Executor: it cannot be done.
    Failed,
    /// Executor: somebody has to help.
    Blocked,
    /// Executor: it should not be done.
    Cancelled,
    /// Reviewer: accepted.
    Done,
    /// Reviewer: sent back.
    Pending,
}

/// A reviewer's or person's decision on a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReviewVerdict {
    /// Accepted.
    Approve,
    /// Sent back with a remark.
    Reject,
}

/// How an agent's verdict is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerdictMode {
    /// It reports it.
    Report,
    /// Exit status 0 is `review`, everything else a crash.
    Exit,
}

words! {
    Role { Executor => "executor", Reviewer => "reviewer" }
    Verdict {
        Review => "review", Failed => "failed", Blocked => "blocked", Cancelled => "cancelled",
        Done => "done", Pending => "pending",
    }
    ReviewVerdict { Approve => "approve", Reject => "reject" }
    VerdictMode { Report => "report", Exit => "exit" }
}

impl Verdict {
    /// The verdict that a report of `status` is, in `role`.
    pub const fn of(role: Role, status: Status) -> Option<Self> {
        match (role, status) {
            (Role::Executor, Status::Review) => Some(Self::Review),
            (Role::Executor, Status::Failed) => Some(Self::Failed),
            (Role::Executor, Status::Blocked) => Some(Self::Blocked),
            (Role::Executor, Status::Cancelled) => Some(Self::Cancelled),
            (Role::Reviewer, Status::Done) => Some(Self::Done),
            (Role::Reviewer, Status::Pending) => Some(Self::Pending),
            (
                Role::Executor | Role::Reviewer,
                Status::Pending
                | Status::Claimed
                | Status::Working
                | Status::Review
                | Status::Done
                | Status::Failed
                | Status::Blocked
                | Status::Cancelled,
            ) => None,
        }
    }
    /// The status that it asks for.
    pub const fn status(self) -> Status {
        match self {
            Self::Review => Status::Review,
            Self::Failed => Status::Failed,
            Self::Blocked => Status::Blocked,
            Self::Cancelled => Status::Cancelled,
            Self::Done => Status::Done,
            Self::Pending => Status::Pending,
        }
    }
}

/// One run of one agent at one task, in a role.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The task.
    pub key: TaskKey,
    /// Its number there.
    pub number: AttemptNumber,
    /// What it is for.
    pub role: Role,
    /// Who runs.
    pub agent: AgentId,
    /// Its running side.
    pub session_id: SessionId,
    /// The runner that has it.
    pub runner_id: RunnerId,
    /// The runner's machine boot when it was claimed: another one proves death.
    pub boot_id: Option<String>,
    /// The runner's pid namespace when it was claimed.
    pub pid_namespace: Option<String>,
    /// The hash of its bearer token. None until its runner has taken it up (a claim by name).
    pub token_hash: Option<TokenHash>,
    /// How its verdict is known.
    pub verdict_mode: VerdictMode,
    /// What the agent said.
    pub verdict: Option<Verdict>,
    /// When it said so: the grace counts from here.
    pub verdict_at: Option<Timestamp>,
    /// When its task left its hands otherwise than by its verdict: it is being stopped and writes nothing.
    pub revoked_at: Option<Timestamp>,
    /// Why.
    pub revoked_why: Option<String>,
    /// How it ended; none while it is open.
    pub outcome: Option<Outcome>,
    /// Why it ended so.
    pub reason: Option<Reason>,
    /// The agent's exit status, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// How long it may take, milliseconds; none = the agent's own limit.
    pub timeout_ms: Option<u64>,
    /// The folder it works in, as the runner reported it.
    pub workspace: Option<String>,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it was closed.
    pub completed_at: Option<Timestamp>,
    /// How many outputs it has added.
    pub outputs: u32,
    /// How many tasks it has created.
    pub created_tasks: u32,
    /// What it cost the machine.
    pub resources: Option<Resources>,
    /// The last bytes of its log, and what is left of it after the log is gone.
    pub tail: Option<Tail>,
    /// Everything else worth keeping: the error of a failed start, what was killed, figures of the runtime.
    pub metadata: Value,
}

impl Attempt {
    /// Not closed.
    pub const fn is_open(&self) -> bool {
        self.completed_at.is_none()
    }
}

/// What a session cost the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Processor time of it and all its descendants, milliseconds.
    pub cpu_ms: u64,
    /// The largest resident size of one of its processes, bytes.
    pub max_rss_bytes: u64,
}

/// The end of a session's logs, stored with its close.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tail {
    /// The last bytes of standard output, as text.
    pub stdout: String,
    /// The last bytes of standard error, as text.
    pub stderr: String,
    /// Bytes written to standard output.
    pub stdout_bytes: u64,
    /// Bytes written to standard error.
    pub stderr_bytes: u64,
}

/// Tokens and money of one model in one attempt. What could not be read is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The model, if known.
    pub model: Option<String>,
    /// Input tokens.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// Input tokens read from a cache.
    pub cache_read_tokens: Option<u64>,
    /// Input tokens written to a cache.
    pub cache_write_tokens: Option<u64>,
    /// Cost in millionths of a US dollar.
    pub cost_micro_usd: Option<i64>,
    /// Reported by the runtime (true) or estimated here.
    pub reported: bool,
}
