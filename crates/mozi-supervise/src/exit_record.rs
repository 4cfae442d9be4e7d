//! `exit.json`: how a session ended. Its presence means that everything of the session is dead.

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::status::{LeftBehind, Status};

/// The format of `exit.json` that this version writes.
pub const EXIT_VERSION: u32 = 1;

/// How a session ended. It holds no outcome: the board decides that from this record and the verdict.
///
/// What is not known is null. An attempt whose grace after the verdict ran out has cause `stop` with
/// `stop.by == "grace"` ([`StopOrder::GRACE`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Format of the file, see [`EXIT_VERSION`].
    pub version: u32,
    /// How the agent process itself ended; null when nobody was there to see it.
    #[serde(default)]
    pub ended: Option<Ended>,
    /// Its exit status, if it exited.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    #[serde(default)]
    pub signal: Option<i32>,
    /// Whether it dumped core.
    #[serde(default)]
    pub core: bool,
    /// Why the session ended.
    pub cause: Cause,
    /// Who asked for the stop, where `cause` is `stop`.
    #[serde(default)]
    pub stop: Option<StopOrder>,
    /// What went wrong, in words.
    #[serde(default)]
    pub error: Option<String>,
    /// When the agent was started.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When the agent process itself ended.
    #[serde(default)]
    pub agent_ended_at: Option<String>,
    /// When the last process of the session was gone.
    pub ended_at: String,
    /// From the start to the end, by the monotonic clock; null when no supervisor was there to measure it.
    #[serde(default)]
    pub elapsed_ms: Option<u64>,
    /// Processes that were signalled, with the last signal sent; at most [`ExitRecord::KILLED_LISTED`].
    #[serde(default)]
    pub killed: Vec<Killed>,
    /// How many were signalled in all.
    #[serde(default)]
    pub killed_count: u64,
    /// What a person declared not to be Mozi's (see `Abandon`): alive when this was written.
    #[serde(default)]
    pub left_behind: Vec<LeftBehind>,
    /// What the agent and its descendants used.
    #[serde(default)]
    pub resources: Option<Resources>,
    /// What became of the two logs; null where no supervisor wrote this.
    #[serde(default)]
    pub logs: Option<Logs>,
    /// Who wrote the record.
    pub by: WrittenBy,
}

/// How the agent process itself ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It exited with a status.
    Exited,
    /// A signal ended it.
    Signalled,
    /// It was never started.
    NotStarted,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The agent ended by itself.
    Itself,
    /// Its time was over.
    Deadline,
    /// It gave no sign of life for too long.
    Stall,
    /// A log passed its limit and `log_overflow` is `end`.
    OutputLimit,
    /// It was asked to end; see `stop`.
    Stop,
    /// Its supervisor was killed.
    SupervisorLost,
    /// Its supervisor no longer moved and was killed.
    SupervisorStuck,
    /// The machine was restarted.
    Reboot,
    /// The agent could not be started.
    SpawnError,
    /// Nothing was to be started.
    DryRun,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// Who wrote an exit record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrittenBy {
    /// The session's supervisor, after the kernel said that no descendant is left.
    Supervisor,
    /// The runner, for a session that it never started.
    Runner,
    /// Whoever made an end of a session whose supervisor was gone.
    Reconcile,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// Who asked for a stop, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Who: a user, `runner`, [`StopOrder::GRACE`] or [`StopOrder::SIGNAL`].
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub why: String,
}

impl StopOrder {
    /// `by` of a session that went on after its verdict until the grace was over.
    pub const GRACE: &'static str = "grace";
    /// `by` of a session whose supervisor got SIGTERM or SIGINT, as at the shutdown of a machine.
    pub const SIGNAL: &'static str = "signal";
}

/// A process that was signalled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    /// Its process id.
    pub pid: i32,
    /// Its short name.
    pub command: String,
    /// The last signal sent.
    pub signal: i32,
}

/// What the agent and its descendants used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// User and system time of all processes that were waited for.
    pub cpu_seconds: f64,
    /// The largest resident size of any of them.
    pub max_rss_bytes: u64,
}

/// What became of the two logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// Standard output.
    pub stdout: LogEnd,
    /// Standard error.
    pub stderr: LogEnd,
}

/// What became of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// The length of the log: the offset after its last byte.
    pub bytes: u64,
    /// The first offset that is still there; what lies before was dropped at the limit.
    pub kept_from: u64,
    /// Bytes that were read from the agent and could not be kept.
    pub lost_bytes: u64,
    /// Why they could not be kept.
    #[serde(default)]
    pub error: Option<String>,
}

impl ExitRecord {
    /// So many entries `killed` lists at most.
    pub const KILLED_LISTED: usize = 100;

    /// The record of a session in which nothing was started.
    pub fn not_started(cause: Cause, error: Option<String>, by: WrittenBy) -> ExitRecord {
        ExitRecord {
            version: EXIT_VERSION,
            ended: Some(Ended::NotStarted),
            exit_code: None,
            signal: None,
            core: false,
            cause,
            stop: None,
            error,
            started_at: None,
            agent_ended_at: None,
            ended_at: clock::wall_now(),
            elapsed_ms: None,
            killed: Vec::new(),
            killed_count: 0,
            left_behind: Vec::new(),
            resources: None,
            logs: None,
            by,
        }
    }

    /// Notes a signal that was sent.
    pub(crate) fn note_killed(&mut self, killed: Killed) {
        self.killed_count += 1;
        if self.killed.len() < ExitRecord::KILLED_LISTED {
            self.killed.push(killed);
        }
    }

    /// The record of a session whose supervisor is gone, from what its status still tells.
    ///
    /// If the supervisor had seen the agent's end, that end and its cause stand: only the rest was swept.
    pub(crate) fn reconciled(status: Option<&Status>, cause: Cause) -> ExitRecord {
        let mut record =
            ExitRecord { ended: None, ..ExitRecord::not_started(cause, None, WrittenBy::Reconcile) };
        let Some(status) = status else { return record };
        record.started_at.clone_from(&status.started_at);
        // After a restart of the machine the status may be older than what really happened.
        let end = if cause == Cause::Reboot { None } else { status.agent_ended.as_ref() };
        if let Some(end) = end {
            record.ended = Some(if end.signal.is_some() { Ended::Signalled } else { Ended::Exited });
            record.exit_code = end.exit_code;
            record.signal = end.signal;
            record.core = end.core;
            record.agent_ended_at = Some(end.at.clone());
            record.cause = status.cause.unwrap_or(Cause::Itself);
            record.stop.clone_from(&status.stop);
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_fields_of_a_later_version_are_read() {
        let text = r#"{"version":7,"ended":"vanished","exit_code":0,"cause":"moon_phase","ended_at":"x","by":"somebody","new":1}"#;
        let record: ExitRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.ended, Some(Ended::Unknown));
        assert_eq!(
            (record.cause, record.by, record.exit_code),
            (Cause::Unknown, WrittenBy::Unknown, Some(0))
        );
    }
}
