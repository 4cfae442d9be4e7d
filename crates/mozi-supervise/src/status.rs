//! `status.json`: what a session is doing, one record of fixed size that its supervisor rewrites in place.
//!
//! The file is a JSON object whose first member is a checksum over everything behind it, padded with spaces to
//! [`RECORD_BYTES`]. It is never synced: it is worth something only while the machine that wrote it runs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::exit_record::{Cause, StopOrder};
use crate::sys;

/// The format of `status.json` that this version writes.
pub const STATUS_VERSION: u32 = 1;

/// The size of the record.
pub(crate) const RECORD_BYTES: usize = 8192;

/// The length of `{"checksum":"`, 16 hexadecimal digits and `",`.
const BODY_AT: usize = 13 + 16 + 2;

/// So long past deadline and grace a supervisor must have moved; otherwise it is stuck itself.
const OVERDUE_MS: u64 = 60_000;

/// What a session is doing, as its supervisor last wrote it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Format of the file, see [`STATUS_VERSION`].
    pub version: u32,
    /// Counts the writes.
    pub generation: u64,
    /// The boot of the machine in which this was written.
    pub boot_id: String,
    /// The process namespace in which the process ids count (the inode number of `/proc/self/ns/pid`).
    pub pid_ns: u64,
    /// The supervisor.
    pub supervisor: ProcId,
    /// The agent, once there is one.
    #[serde(default)]
    pub agent: Option<ProcId>,
    /// Where the session stands.
    pub phase: Phase,
    /// Why it is being ended.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// Who asked for it, where the cause is `stop`.
    #[serde(default)]
    pub stop: Option<StopOrder>,
    /// How the agent process itself ended.
    #[serde(default)]
    pub agent_ended: Option<AgentEnd>,
    /// When the agent was started, RFC 3339.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When this was written, RFC 3339.
    pub updated_at: String,
    /// When this was written, in ms of `CLOCK_MONOTONIC`.
    pub updated_mono_ms: u64,
    /// When the deadline is, in ms of `CLOCK_MONOTONIC`.
    #[serde(default)]
    pub deadline_mono_ms: Option<u64>,
    /// The time between SIGTERM and SIGKILL.
    #[serde(default)]
    pub grace_ms: u64,
    /// When the agent last wrote something, RFC 3339 (at most a second old).
    #[serde(default)]
    pub last_output_at: Option<String>,
    /// The length of `stdout.log`.
    #[serde(default)]
    pub stdout_bytes: u64,
    /// The length of `stderr.log`.
    #[serde(default)]
    pub stderr_bytes: u64,
    /// The highest number of a message that was done.
    #[serde(default)]
    pub highest_message: u64,
    /// Inode numbers of the pipes that the agent's output comes by.
    #[serde(default)]
    pub pipe_inodes: Vec<u64>,
    /// Process sessions that descendants were seen in, with the start time of their leader (0: it is gone).
    #[serde(default)]
    pub process_sessions: Vec<ProcId>,
    /// Processes that cannot be killed.
    #[serde(default)]
    pub left_behind: Vec<LeftBehind>,
    /// How many those are (the list may be cut).
    #[serde(default)]
    pub left_behind_count: u64,
    /// What keeps the session from ending, in words.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// A process, safe against the reuse of its number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcId {
    /// Its number.
    pub pid: i32,
    /// When it was started, in clock ticks since boot.
    pub start_time_ticks: u64,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The agent is being started.
    #[default]
    Starting,
    /// The agent runs.
    Running,
    /// The session is being ended, or the agent has ended and its descendants are being ended.
    Ending,
    /// Something cannot be killed; see `left_behind`.
    Stuck,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// How the agent process itself ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentEnd {
    /// Its exit status, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Whether it dumped core.
    pub core: bool,
    /// When, RFC 3339.
    pub at: String,
}

/// A process of the session that cannot be killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// Its process id.
    pub pid: i32,
    /// Its short name.
    pub command: String,
    /// Whose it is.
    pub uid: u32,
    /// The letter of its state in `/proc` (`D`: waits for the kernel).
    pub state: String,
}

impl Status {
    /// Whether the supervisor should have ended the session long ago and no longer moves: see
    /// [`kill_stuck_supervisor`](crate::kill_stuck_supervisor). Meaningful on the machine that wrote the status.
    pub fn supervisor_overdue(&self) -> bool {
        let now = sys::monotonic_ms();
        let overdue = |since: u64| now.saturating_sub(since) > OVERDUE_MS;
        self.deadline_mono_ms.is_some_and(|at| overdue(at.saturating_add(self.grace_ms)))
            && overdue(self.updated_mono_ms)
    }

    /// The record as it stands in the file, cut down until it fits.
    pub fn to_record(&self) -> Vec<u8> {
        let mut cut = None;
        loop {
            let text = serde_json::to_vec(cut.as_ref().unwrap_or(self)).unwrap_or_default();
            // The object's own `{` gives way to the prefix; one byte is for the line end.
            if let Some(body) = text.get(1..)
                && BODY_AT + body.len() < RECORD_BYTES
            {
                return framed(body);
            }
            let smaller = cut.get_or_insert_with(|| self.clone());
            let sessions = smaller.process_sessions.len();
            if smaller.left_behind.len() > 8 {
                smaller.left_behind.truncate(smaller.left_behind.len() / 2);
            } else if sessions > 8 {
                smaller.process_sessions.truncate(sessions - sessions / 4);
            } else {
                smaller.left_behind.clear();
                smaller.process_sessions.clear();
                smaller.trouble = None;
                if let Some(stop) = &mut smaller.stop {
                    stop.why = String::new();
                    stop.by.truncate(stop.by.floor_char_boundary(200));
                }
            }
        }
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(RECORD_BYTES - BODY_AT - 1, b' ');
    padded.push(b'\n');
    let mut record = prefix(&padded).into_bytes();
    record.extend_from_slice(&padded);
    record
}

/// The beginning of a record with this body.
fn prefix(body: &[u8]) -> String {
    format!("{{\"checksum\":\"{:016x}\",", checksum(body))
}

/// FNV-1a, 64 bits: it is to notice a torn write, not an attack.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Reads a record; `None` if it is torn, cut off or not one.
fn parse(record: &[u8]) -> Option<Status> {
    let (start, body) = record.split_at_checked(BODY_AT)?;
    if record.len() != RECORD_BYTES || start != prefix(body).as_bytes() {
        return None;
    }
    let mut object = Vec::with_capacity(RECORD_BYTES);
    object.push(b'{');
    object.extend_from_slice(body);
    serde_json::from_slice(&object).ok()
}

/// Reads the status from an open file, again if a write went on meanwhile.
pub(crate) fn read_from(file: &File) -> Option<Status> {
    let mut record = vec![0; RECORD_BYTES];
    (0..5).find_map(|_| {
        file.read_exact_at(&mut record, 0).ok()?;
        parse(&record)
    })
}

/// The supervisor's side of the file.
pub(crate) struct StatusFile {
    file: File,
    /// What the next write says.
    pub(crate) now: Status,
}

impl StatusFile {
    pub(crate) fn create(path: &Path, first: Status) -> io::Result<StatusFile> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(StatusFile { file, now: first })
    }

    /// Writes the record anew. A status that cannot be written must not end the agent: the error is kept in it
    /// instead, for the next write that succeeds.
    pub(crate) fn write(&mut self) {
        self.now.generation += 1;
        self.now.updated_at = crate::clock::wall_now();
        self.now.updated_mono_ms = sys::monotonic_ms();
        if let Err(error) = self.file.write_all_at(&self.now.to_record(), 0) {
            self.now.trouble = Some(format!("could not write status.json: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Status {
        Status { version: STATUS_VERSION, generation: 3, boot_id: "b".to_owned(), ..Status::default() }
    }

    #[test]
    fn comes_back_as_written_and_is_valid_json_for_others() {
        let record = example().to_record();
        assert_eq!(record.len(), RECORD_BYTES);
        assert_eq!(parse(&record), Some(example()));
        assert!(serde_json::from_slice::<serde_json::Value>(&record).is_ok());
    }

    #[test]
    fn every_single_torn_byte_is_noticed() {
        let record = example().to_record();
        for at in 0..record.len() {
            let mut torn = record.clone();
            torn[at] ^= 1;
            assert_eq!(parse(&torn), None, "byte {at}");
        }
        assert_eq!(parse(&record[..4096]), None);
    }

    #[test]
    fn what_does_not_fit_is_cut_but_counted() {
        let left = LeftBehind { pid: 1, command: "x".repeat(15), uid: 0, state: "D".to_owned() };
        let status = Status {
            left_behind: vec![left; 1000],
            left_behind_count: 1000,
            process_sessions: vec![ProcId { pid: 4_194_304, start_time_ticks: u64::MAX }; 1000],
            stop: Some(StopOrder { by: "编".repeat(5000), why: "y".repeat(9000) }),
            ..example()
        };
        let read = parse(&status.to_record()).unwrap();
        assert_eq!(read.left_behind_count, 1000);
    }
}
