//! Making an end of sessions whose supervisor is gone, or no longer moves.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::durable::sync_dir;
use crate::elsewhere::{self, Elsewhere};
use crate::error::Error;
use crate::exit_record::{Cause, ExitRecord, StopOrder, WrittenBy};
use crate::lock::{Lock, LockAttempt};
use crate::proc;
use crate::session_dir::{Probe, SessionDir};
use crate::status::{LeftBehind, ProcId, Status};
use crate::sweep::{Marks, sweep};
use crate::sys::{self, PollFd};

/// What came of an attempt to make an end of a session.
#[derive(Debug)]
pub enum Reconciled {
    /// Everything is dead; the record is written (or was already there).
    Ended(Box<ExitRecord>),
    /// These cannot be killed. Nothing was written; try again later.
    StillAlive(Vec<LeftBehind>),
    /// The session lived in another process namespace: what is there can neither be seen nor killed from here.
    /// Nothing was written.
    OtherNamespace,
    /// A supervisor of the same session works in another directory, which is not ours: what lives belongs to it, and
    /// nothing of it was touched. Nothing was written; try again later.
    Elsewhere(Elsewhere),
}

/// What lives of a session and bears its marks, in whatever directory: only looked at.
pub fn living(dir: &SessionDir) -> Vec<LeftBehind> {
    Marks::of(dir, dir.read_status().as_ref()).left()
}

/// Makes an end of a session whose lock we hold: sweeps until two passes find nothing, then writes `exit.json`.
///
/// `started_in` is the boot id that the caller knows the session to have been started in (the directory of a machine
/// that lost power may not know it). If the machine has been restarted since, nothing is swept.
///
/// Blocks for some milliseconds, up to about ten seconds if something does not die.
///
/// # Errors
/// [`Error::ForeignLock`], or what the system refuses.
pub fn reconcile_dead(dir: &SessionDir, lock: Lock, started_in: Option<&str>) -> Result<Reconciled, Error> {
    let reconciled = reconcile(dir, &lock, started_in, Cause::SupervisorLost, true);
    drop(lock);
    reconciled
}

/// As [`reconcile_dead`], for a session of which nobody has heard that its agent ran. If its supervisor has never got
/// to write a status either, and nothing bears its marks, then nothing ran, and the record says so.
///
/// # Errors
/// As [`reconcile_dead`].
pub fn reconcile_unheard(
    dir: &SessionDir,
    lock: Lock,
    started_in: Option<&str>,
) -> Result<Reconciled, Error> {
    let reconciled = reconcile(dir, &lock, started_in, Cause::SupervisorLost, false);
    drop(lock);
    reconciled
}

/// Makes an end of a session without a directory: it was never made, or somebody has removed it, perhaps under a living
/// supervisor. Makes the directory, so that nobody can start the session any more, then goes on as
/// [`reconcile_dead`] where the agent is known to have run (`ran`), else as [`reconcile_unheard`].
///
/// # Errors
/// [`Error::Exists`] if there is a directory: look at it with [`SessionDir::probe`]; otherwise what the system refuses.
pub fn reconcile_missing(
    root: &Path,
    session_id: &str,
    started_in: Option<&str>,
    ran: bool,
) -> Result<Reconciled, Error> {
    // Looked for before there is anything of ours: the session stays without a directory for as long as that lives.
    if let Some(other) = elsewhere::find(&SessionDir::at(root.join(session_id))) {
        return Ok(Reconciled::Elsewhere(other));
    }
    let (dir, lock) = SessionDir::create(root, session_id)?;
    let reconciled = reconcile(&dir, &lock, started_in, Cause::SupervisorLost, ran)?;
    drop(lock);
    sync_dir(root)?;
    Ok(reconciled)
}

fn reconcile(
    dir: &SessionDir,
    lock: &Lock,
    started_in: Option<&str>,
    cause: Cause,
    ran: bool,
) -> Result<Reconciled, Error> {
    match dir.check_open(lock) {
        Err(Error::Ended { .. }) => {
            if let Some(record) = dir.read_exit() {
                return Ok(Reconciled::Ended(Box::new(record)));
            }
        }
        other => other?,
    }
    let status = dir.read_status();
    let boot_path = std::path::Path::new("/proc/sys/kernel/random/boot_id");
    let boot_id = proc::boot_id().map_err(Error::io("read", boot_path))?;
    let other_boot = |id: &str| !id.is_empty() && id != boot_id;
    let restarted =
        started_in.is_some_and(other_boot) || status.as_ref().is_some_and(|s| other_boot(&s.boot_id));
    let record = if restarted {
        ExitRecord::reconciled(status.as_ref(), Cause::Reboot)
    } else {
        let namespace =
            proc::pid_namespace().map_err(Error::io("look at", std::path::Path::new("/proc/self/ns/pid")))?;
        if status.as_ref().is_some_and(|status| status.pid_ns != namespace) {
            return Ok(Reconciled::OtherNamespace);
        }
        if let Some(other) = elsewhere::find(dir) {
            return Ok(Reconciled::Elsewhere(other));
        }
        let mut record = ExitRecord::reconciled(status.as_ref(), cause);
        if let Err(left) = sweep(&Marks::of(dir, status.as_ref()), &mut record) {
            return Ok(Reconciled::StillAlive(left));
        }
        // A supervisor writes its first status, and makes the logs, before there is an agent.
        let traces = [dir.status_path(), dir.stdout_path(), dir.stderr_path()];
        if !ran && record.killed_count == 0 && traces.iter().all(|path| path.symlink_metadata().is_err()) {
            record = ExitRecord::not_started(cause, None, WrittenBy::Reconcile);
        }
        record.ended_at = crate::clock::wall_now();
        record
    };
    dir.write_exit(&record, lock)?;
    Ok(Reconciled::Ended(Box::new(record)))
}

/// Writes `exit.json` on a person's word that what is left is not Mozi's, for a session without a supervisor. For one
/// whose supervisor lives there is [`Request::Abandon`](crate::Request::Abandon).
///
/// # Errors
/// [`Error::ForeignLock`], [`Error::Ended`], or what the system refuses.
pub fn abandon_dead(
    dir: &SessionDir,
    lock: Lock,
    by: StopOrder,
    left: Vec<LeftBehind>,
) -> Result<ExitRecord, Error> {
    dir.check_open(&lock)?;
    let mut record = ExitRecord::reconciled(dir.read_status().as_ref(), Cause::SupervisorLost);
    record.error = Some(format!("ended on the word of {}: {}", by.by, by.why));
    record.stop = Some(by);
    record.left_behind = left;
    dir.write_exit(&record, &lock)?;
    drop(lock);
    Ok(record)
}

/// Ends a supervisor that no longer moves, and its session: SIGCONT, `patience` (10 s is usual), SIGKILL, sweep.
///
/// When to call it: [`Status::supervisor_overdue`]. Blocks for `patience` and the sweep.
///
/// # Errors
/// [`Error::Locked`] if the lock is held all the same by somebody that is not a supervisor of this session;
/// otherwise what the system refuses.
pub fn kill_stuck_supervisor(dir: &SessionDir, patience: Duration) -> Result<Reconciled, Error> {
    // If it never got to write a status, whoever holds the lock file open is it, or its child.
    let known = dir.read_status().map(|Status { supervisor, .. }| supervisor);
    let mut suspects: Vec<ProcId> = known.map_or_else(|| lock_holders(dir), |supervisor| vec![supervisor]);
    suspects.retain(|id| proc::process_start_time(id.pid).is_ok_and(|start| start == id.start_time_ticks));
    for suspect in &suspects {
        // It may have ended by itself since.
        drop(proc::signal(*suspect, libc::SIGCONT));
    }
    let until = Instant::now() + patience;
    for suspect in &suspects {
        wait_for_end(*suspect, until);
    }
    if known.is_none() {
        // A child of ours between fork and exec may have had the file open for an instant.
        let holders = lock_holders(dir);
        suspects.retain(|suspect| holders.contains(suspect));
    }
    for suspect in &suspects {
        if proc::signal(*suspect, libc::SIGKILL).is_ok() {
            wait_for_end(*suspect, Instant::now() + Duration::from_secs(5));
        }
    }
    // A child between fork and exec may hold a copy of the lock for an instant after the kill.
    for _ in 0..100 {
        if let Probe::Ended(record) = dir.probe()? {
            return Ok(Reconciled::Ended(record));
        }
        match dir.try_lock()? {
            LockAttempt::Locked(lock) => return reconcile(dir, &lock, None, Cause::SupervisorStuck, true),
            LockAttempt::Held => sys::pause(Duration::from_millis(10)),
        }
    }
    Err(Error::Locked { path: dir.path().to_path_buf() })
}

/// Waits until a process has ended.
fn wait_for_end(id: ProcId, until: Instant) {
    let Ok(pidfd) = sys::pidfd_open(id.pid) else { return };
    if proc::process_start_time(id.pid).is_ok_and(|start| start == id.start_time_ticks) {
        sys::poll(&mut [PollFd::readable(&pidfd)], Some(until.saturating_duration_since(Instant::now())));
    }
}

/// Processes other than this one that have the lock file open.
fn lock_holders(dir: &SessionDir) -> Vec<ProcId> {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = dir.lock_path().canonicalize() else { return Vec::new() };
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    proc::all()
        .into_iter()
        .filter(|process| process.id.pid != own && !process.has_ended())
        .filter(|process| {
            proc::open_files(process.id.pid).iter().any(|file| file.target == path.as_os_str().as_bytes())
        })
        .map(|process| process.id)
        .collect()
}
