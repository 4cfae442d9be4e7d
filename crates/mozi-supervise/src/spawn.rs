//! Spawning a supervisor from a running server.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::lock::Lock;
use crate::session_dir::SessionDir;
use crate::sys;

/// Starts `exe supervise <dir>` (argument 0 is `mozi`) with the lock as its standard input, and closes our copy.
///
/// `exe` is `/proc/self/exe`: after an upgrade a running server still starts supervisors of its own version.
/// `environment` is the complete environment of supervisor and agent; it should hold `MOZI_SESSION_ID`, by which a
/// sweep finds what a killed supervisor leaves.
///
/// The child's `stdout` is a pipe on which the supervisor writes one line once `control.sock` listens, and which it
/// then closes; end of file without that line means that it has gone or will not start anything. The caller reaps the
/// child (`try_wait`); end of file on `control.sock` is the moment to do so.
///
/// # Errors
/// If the process cannot be made. The lock is free then, and the directory still without `exit.json`.
pub fn spawn_supervisor(
    exe: &Path,
    dir: &SessionDir,
    lock: Lock,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> io::Result<Child> {
    let path = std::path::absolute(dir.path())?;
    #[expect(clippy::disallowed_methods, reason = "supervisors are started here and nowhere else")]
    let mut command = Command::new(exe);
    command
        .arg0("mozi")
        .arg("supervise")
        .arg(path)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::from(lock.into_fd()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // A signal to our group must not hit the child before it has left that group: it inherits the blocked mask.
    let mask = sys::block_all_signals()?;
    let child = command.spawn();
    sys::set_signal_mask(&mask);
    child
}
