//! Making an end of a session whose supervisor is gone: nobody can say any more what descends from the agent, so its
//! processes are found by their marks.
//!
//! A process belongs to the session if
//! - `MOZI_SESSION_ID` in the environment that it was started with is the session's id (the supervisor has it too, so
//!   a child between fork and exec has it), or
//! - it is in a process session that the supervisor saw a descendant in, or
//! - it holds one of the pipes of the agent's output, or a file of the session directory open for writing, or the
//!   prompt as standard input, or
//! - its parent belongs to it.
//!
//! What hides: a process with an emptied environment, in a process session of its own that the supervisor never saw
//! (it looks every few seconds), without the agent's output streams, whose parent has ended.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::exit_record::{ExitRecord, Killed};
use crate::proc::{self, Process};
use crate::session_dir::{SessionDir, name};
use crate::status::{LeftBehind, ProcId, Status};
use crate::sys;

/// So long processes are looked for and killed before the rest counts as not killable.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name of the environment variable that marks a session's processes.
pub(crate) const SESSION_VARIABLE: &str = "MOZI_SESSION_ID";

/// By what a session's processes are known.
pub(crate) struct Marks {
    session_id: String,
    /// The session directory with all links resolved, as `/proc` shows it.
    directory: PathBuf,
    process_sessions: Vec<ProcId>,
    pipes: BTreeSet<Vec<u8>>,
}

impl Marks {
    pub(crate) fn of(dir: &SessionDir, status: Option<&Status>) -> Marks {
        Marks {
            session_id: dir.session_id(),
            directory: dir.path().canonicalize().unwrap_or_else(|_| dir.path().to_path_buf()),
            process_sessions: status.map(|status| status.process_sessions.clone()).unwrap_or_default(),
            pipes: status
                .map(|status| {
                    status.pipe_inodes.iter().map(|inode| format!("pipe:[{inode}]").into_bytes()).collect()
                })
                .unwrap_or_default(),
        }
    }

    fn are_on(&self, process: &Process) -> bool {
        let by_environment = proc::environment_says(process, SESSION_VARIABLE, &self.session_id);
        if by_environment == Some(true) {
            return true;
        }
        let files = proc::open_files(process.id.pid);
        if files.iter().any(|file| self.pipes.contains(&file.target)) {
            return true;
        }
        // A process of another session may well look into this one; the weaker marks say nothing then. Nor do they of a
        // child of ours between fork and exec, which has all that this process has open.
        by_environment.is_none()
            && !is_copy_of_us(process)
            && (self.in_known_session(process) || files.iter().any(|file| self.is_ours(file)))
    }

    fn in_known_session(&self, process: &Process) -> bool {
        self.process_sessions.iter().any(|known| {
            known.pid == process.session
                // If a leader is there, it must be the one that was seen: the number may have gone to a stranger.
                && (known.start_time_ticks == 0
                    || proc::process_start_time(known.pid).map_or(true, |start| start == known.start_time_ticks))
        })
    }

    fn is_ours(&self, file: &proc::OpenFile) -> bool {
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&file.target));
        // The lock is never an agent's: whoever sweeps has it open.
        path.starts_with(&self.directory)
            && !path.ends_with(name::LOCK)
            && (file.writable || (file.number == 0 && path.ends_with(name::PROMPT)))
    }

    /// All living processes of the session, for people.
    pub(crate) fn left(&self) -> Vec<LeftBehind> {
        self.find().iter().map(Process::left_behind).collect()
    }

    /// All living processes of the session.
    fn find(&self) -> Vec<Process> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let mut others: Vec<Process> =
            proc::all().into_iter().filter(|process| process.id.pid != own && !process.has_ended()).collect();
        let mut found: Vec<Process> = others.extract_if(.., |process| self.are_on(process)).collect();
        let mut family: BTreeSet<i32> = found.iter().map(|process| process.id.pid).collect();
        loop {
            let children: Vec<Process> =
                others.extract_if(.., |process| family.contains(&process.parent)).collect();
            if children.is_empty() {
                return found;
            }
            family.extend(children.iter().map(|process| process.id.pid));
            found.extend(children);
        }
    }
}

/// Whether a process is a child of this one and executes the same file, as it does until its exec.
fn is_copy_of_us(process: &Process) -> bool {
    let own = std::process::id();
    i32::try_from(own).is_ok_and(|own| process.parent == own)
        && match (executable("self"), executable(&process.id.pid.to_string())) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => false,
        }
}

fn executable(pid: &str) -> Option<(u64, u64)> {
    let file = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}

/// Ends everything that bears the marks; adds what it killed to the record.
///
/// # Errors
/// What could not be killed in time.
pub(crate) fn sweep(marks: &Marks, record: &mut ExitRecord) -> Result<(), Vec<LeftBehind>> {
    let until = Instant::now() + PATIENCE;
    let mut killed = BTreeSet::new();
    let mut empty_passes = 0;
    let mut wait = Duration::from_millis(1);
    loop {
        let found = stop_all(marks, until);
        if found.is_empty() {
            empty_passes += 1;
            if empty_passes == 2 {
                return Ok(());
            }
            continue;
        }
        empty_passes = 0;
        for process in &found {
            // One that has just ended needs no signal; one that is not ours to kill is told at the end.
            if proc::signal(process.id, libc::SIGKILL).is_ok() && killed.insert(process.id) {
                record.note_killed(Killed {
                    pid: process.id.pid,
                    command: process.command.clone(),
                    signal: libc::SIGKILL,
                });
            }
        }
        if Instant::now() >= until {
            let rest = marks.find();
            if !rest.is_empty() {
                return Err(rest.iter().map(Process::left_behind).collect());
            }
        }
        sys::pause(wait);
        wait = (wait * 2).min(Duration::from_millis(200));
    }
}

/// Stops what is found until nothing new turns up: what stands still cannot fork.
fn stop_all(marks: &Marks, until: Instant) -> Vec<Process> {
    let mut stopped = BTreeSet::new();
    loop {
        let found = marks.find();
        let mut new = false;
        for process in &found {
            if stopped.insert(process.id) {
                // It may have ended, or be another user's: the kill that follows tells.
                new |= proc::signal(process.id, libc::SIGSTOP).is_ok();
            }
        }
        if !new || Instant::now() >= until {
            // Whoever bore a mark for an instant only must not stand still for ever.
            for id in stopped.iter().filter(|id| found.iter().all(|process| process.id != **id)) {
                // It may have ended, too.
                drop(proc::signal(*id, libc::SIGCONT));
            }
            return found;
        }
    }
}
