//! The end of a session, as its runner tells it.

use mozi_core::{self as core, command as cmd};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    attempt::{ModelUsage, Resources},
    wire::{Object, Reason, Time},
};

crate::wire::named! {
    CauseWord = cmd::Cause, "What ended an agent's process." {
        Itself => "itself", Deadline => "deadline", Stall => "stall", OutputLimit => "output_limit",
        Grace => "grace", Stop => "stop", SupervisorLost => "supervisor_lost",
        SupervisorStuck => "supervisor_stuck", Reboot => "reboot", SpawnError => "spawn_error",
        NeverStarted => "never_started", DryRun => "dry_run",
    }
    EndedAsWord = cmd::EndedAs, "How a runtime says that a turn ended." {
        Finished => "finished", TimedOut => "timed_out", Failed => "failed",
    }
}

/// The end of a session, proven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndSession {
    /// What ended it.
    pub cause: CauseWord,
    /// Exit status, if it exited.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Signal, if one ended it.
    #[serde(default)]
    pub signal: Option<i32>,
    /// The error of a failed start.
    #[serde(default)]
    pub error: Option<String>,
    /// Why, as far as the runner can tell.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// What the runtime read from its result.
    #[serde(default)]
    pub reading: EndReading,
    /// What it cost the machine.
    #[serde(default)]
    pub resources: Option<Resources>,
    /// The end of its logs.
    #[serde(default)]
    pub tail: Option<EndTail>,
    /// Everything else worth keeping.
    #[serde(default)]
    pub metadata: Object,
}

/// What its runtime read from a session's result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndReading {
    /// How the runtime says that the turn ended.
    #[serde(default)]
    pub ended_as: Option<EndedAsWord>,
    /// Why, as the runtime says.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// When the provider said that it goes on.
    #[serde(default)]
    pub reset_at: Option<Time>,
    /// The agent's last words.
    #[serde(default)]
    pub final_text: Option<String>,
    /// Tokens and money, per model.
    #[serde(default)]
    pub usage: Vec<ModelUsage>,
}

/// The last bytes of a session's logs, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndTail {
    /// Of standard output.
    pub stdout: String,
    /// Of standard error.
    pub stderr: String,
    /// Bytes written to standard output.
    pub stdout_bytes: u64,
    /// Bytes written to standard error.
    pub stderr_bytes: u64,
}

impl EndSession {
    /// An end of which nothing but the cause is known.
    pub fn of(cause: cmd::Cause) -> Self {
        Self {
            cause: cause.into(),
            exit_code: None,
            signal: None,
            error: None,
            reason: None,
            reading: EndReading::default(),
            resources: None,
            tail: None,
            metadata: Object::default(),
        }
    }

    /// The end that it stands for. `tail_sha256` is the hash of the tail's standard output.
    pub fn into_end(self, session_id: core::SessionId, tail_sha256: Option<String>) -> cmd::End {
        cmd::End {
            session_id,
            cause: self.cause.0,
            exit_code: self.exit_code,
            signal: self.signal,
            error: self.error,
            reason: self.reason.map(|r| r.0),
            reading: cmd::Reading {
                ended_as: self.reading.ended_as.map(|e| e.0),
                reason: self.reading.reason.map(|r| r.0),
                reset_at: self.reading.reset_at.map(|t| t.0),
                final_text: self.reading.final_text,
                usage: self.reading.usage.into_iter().map(Into::into).collect(),
            },
            resources: self.resources.map(Into::into),
            tail: self.tail.map(|t| core::attempt::Tail {
                stdout: t.stdout,
                stderr: t.stderr,
                stdout_bytes: t.stdout_bytes,
                stderr_bytes: t.stderr_bytes,
            }),
            metadata: self.metadata.into_value(),
            tail_sha256,
        }
    }
}
