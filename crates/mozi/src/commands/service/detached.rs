//! A server in the background without systemd: a session of its own, a log, and a word when it is ready.

use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::{fs::OpenOptionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::error::{Failure, Result, plain};

/// A log that has become so large is put aside before the next start.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;
/// So often it is looked whether the server is still there while nothing is heard of it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where a detached server writes.
pub(super) fn log_file(data: &Path) -> PathBuf {
    data.join("serve.log")
}

/// Starts a server and waits until it says that it is ready; its process id.
pub(super) fn start(exe: &Path, data: &Path, words: &[String]) -> Result<u32> {
    let (log, begin) = open_log(data)?;
    let folder = tempfile::Builder::new().prefix("mozi-up-").tempdir();
    let folder =
        folder.map_err(|e| Failure::new(format!("could not make a temporary folder: {}", plain(&e))))?;
    let socket = folder.path().join("ready");
    let ready = UnixDatagram::bind(&socket).and_then(|ready| {
        ready.set_read_timeout(Some(LOOK_EVERY))?;
        Ok(ready)
    });
    let ready = ready.map_err(|e| Failure::io("listen at", &socket, &e))?;
    let error_log = log.try_clone().map_err(|e| Failure::io("write to", &log_file(data), &e))?;
    #[expect(clippy::disallowed_methods, reason = "the server itself, which is to outlive this command")]
    let mut command = Command::new(exe);
    command
        .args(["serve", "--detached"])
        .args(words)
        .current_dir(data)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(error_log)
        .env("NOTIFY_SOCKET", &socket);
    let mut child = command
        .spawn()
        .map_err(|e| Failure::new(format!("could not start {}: {}", exe.display(), plain(&e))))?;
    wait(&mut child, &ready, || said(data, begin))?;
    Ok(child.id())
}

fn wait(child: &mut Child, ready: &UnixDatagram, said: impl FnOnce() -> String) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match ready.recv(&mut buffer) {
            Ok(n) if buffer.get(..n).is_some_and(|text| text.starts_with(b"READY=1")) => return Ok(()),
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) => {}
            Err(e) => return Err(Failure::new(format!("could not wait for the board: {}", plain(&e)))),
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Failure::new(format!("the board did not start ({status}); it said:\n{}", said())));
        }
    }
}

/// The log, and where what comes now begins.
fn open_log(data: &Path) -> Result<(fs::File, u64)> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|e| Failure::io("make the data folder", data, &e))?;
    let path = log_file(data);
    let failed = |e: io::Error| Failure::io("write to", &path, &e);
    if fs::metadata(&path).is_ok_and(|m| m.len() > LOG_LIMIT) {
        #[expect(clippy::disallowed_methods, reason = "an old log: nothing is lost with it")]
        fs::rename(&path, path.with_extension("log.1")).map_err(failed)?;
    }
    let log = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
    let begin = log.metadata().map_err(failed)?.len();
    Ok((log, begin))
}

/// What the server has written since it was started.
fn said(data: &Path, begin: u64) -> String {
    let mut text = String::new();
    let read = fs::File::open(log_file(data)).and_then(|mut log| {
        log.seek(SeekFrom::Start(begin))?;
        log.take(8192).read_to_string(&mut text)
    });
    if read.is_err() && text.is_empty() {
        return format!("see {}", log_file(data).display());
    }
    text.trim_end().to_owned()
}
