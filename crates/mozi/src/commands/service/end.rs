//! The end of a server: asked for by a signal, and waited for.

use std::path::Path;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    error::{Failure, Result},
    serve::lock,
};

/// So long a server has for its running requests, and then some.
const WITHIN_SECONDS: i64 = 45;

/// Asks the server of a data folder to end, and waits until it has. Agents go on.
pub(super) async fn server(pid: u32, data: &Path) -> Result<()> {
    let failed = |e: Errno| match e {
        Errno::PERM => Failure::new(format!("the board (pid {pid}) belongs to another user"))
            .hint("run this as that user, or as root"),
        e => Failure::new(format!("could not stop process {pid}: {e}")),
    };
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let process = match pidfd_open(process, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    // Held by now, it cannot become another process; and it is still the one that was meant.
    if lock::holder(data) != Some(pid) {
        return Ok(());
    }
    match pidfd_send_signal(&process, Signal::TERM) {
        Ok(()) => {}
        Err(Errno::SRCH) => return Ok(()),
        Err(e) => return Err(failed(e)),
    }
    let gone = tokio::task::spawn_blocking(move || {
        let within = Timespec { tv_sec: WITHIN_SECONDS, tv_nsec: 0 };
        // The file of a process can be read from when it has ended.
        let mut watched = [PollFd::new(&process, PollFlags::IN)];
        poll(&mut watched, Some(&within))
    });
    let gone = gone.await.map_err(|e| Failure::new(format!("could not wait for process {pid}: {e}")))?;
    let gone = gone.map_err(failed)? > 0;
    if gone {
        return Ok(());
    }
    Err(Failure::new(format!("the board (pid {pid}) has not ended within {WITHIN_SECONDS} s")).hint(format!(
        "it may hang: kill -9 {pid} ends it; agents at work and all that was acknowledged stay"
    )))
}
