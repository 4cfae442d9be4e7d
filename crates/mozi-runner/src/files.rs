//! The files of this runner's sessions, for the board to serve: logs, prompts, and outputs named by path.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use mozi_api::files::{BoxFuture, FilesError, LogChunk, LogStream, SessionFiles};
use mozi_core::{SessionId, Timestamp};
use mozi_supervise::SessionDir;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, SeekFrom, openat2, seek};

use crate::config::RunnerConfig;
use crate::runtime::RuntimeData;

/// How often a log that nobody tells us of is looked at. Its writer is another process, and a watch of the file for
/// each reader would cost more than a look at its size.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Stands in the directory of a session whose logs are not kept any more.
pub(crate) const NO_LOGS: &str = "logs-expired";
/// A larger prompt is not shown.
const PROMPT_LIMIT: u64 = 16 * 1024 * 1024;

/// The files of a runner's sessions.
pub fn session_files(config: &RunnerConfig) -> Arc<dyn SessionFiles> {
    Arc::new(Files { sessions: config.sessions_dir() })
}

#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) sessions: PathBuf,
}

impl Files {
    /// Only a session's id leads to a directory: nothing else of the text is believed.
    fn dir(&self, session: &str) -> Result<SessionDir, FilesError> {
        let id: SessionId = session.parse().map_err(|_| FilesError::NotFound)?;
        Ok(SessionDir::at(self.sessions.join(id.to_string())))
    }

    fn log_path(&self, session: &str, stream: LogStream) -> Result<(SessionDir, PathBuf), FilesError> {
        let dir = self.dir(session)?;
        let path = match stream {
            LogStream::Stdout => dir.stdout_path(),
            LogStream::Stderr => dir.stderr_path(),
        };
        Ok((dir, path))
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FilesError + '_ {
    |source| match source.kind() {
        io::ErrorKind::NotFound => FilesError::NotFound,
        _ => FilesError::Io { path: path.display().to_string(), source },
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(FilesError::Io { path: "the session's files".into(), source: io::Error::other(error) })
        }
    }
}

/// Opens a regular file of a session directory; neither follows a link nor waits for a FIFO.
fn open_own(path: &Path) -> Result<File, FilesError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file: File =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|e| io_error(path)(e.into()))?.into();
    if file.metadata().map_err(io_error(path))?.is_file() { Ok(file) } else { Err(FilesError::NotFound) }
}

pub(crate) fn read_log(path: &Path, from: u64, max: usize) -> Result<(Vec<u8>, u64, u64), FilesError> {
    let file = open_own(path)?;
    let end = file.metadata().map_err(io_error(path))?.len();
    // What lies before the first data was dropped at the limit: offsets stay, the bytes are gone.
    let offset = match seek(&file, SeekFrom::Data(from)) {
        Ok(at) => at.max(from),
        Err(rustix::io::Errno::NXIO) => from.min(end),
        // A file system that knows no holes has all of it.
        Err(_) => from,
    };
    let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(max)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(u64::try_from(filled).unwrap_or(0));
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(io_error(path)(e)),
        }
    }
    bytes.truncate(filled);
    Ok((bytes, offset, end))
}

/// When a log was last written to; an empty one never was.
fn last_written(dir: &SessionDir) -> Option<Timestamp> {
    let written = |path: PathBuf| {
        let meta = fs::metadata(path).ok().filter(|m| m.len() > 0)?;
        let since = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_micros()).ok().map(Timestamp::from_micros)
    };
    written(dir.stdout_path()).max(written(dir.stderr_path()))
}

impl SessionFiles for Files {
    fn log<'a>(
        &'a self,
        session: &'a str,
        stream: LogStream,
        from: u64,
        max: usize,
    ) -> BoxFuture<'a, Result<LogChunk, FilesError>> {
        let place = self.log_path(session, stream);
        Box::pin(async move {
            let (dir, path) = place?;
            blocking(move || {
                // First the question whether more may come: what is written between the two looks is still read.
                let live = dir.path().is_dir() && !dir.exit_path().exists();
                match read_log(&path, from, max) {
                    Ok((bytes, offset, end)) => Ok(LogChunk { bytes, offset, end, live }),
                    // Just being started, or never started: there is no log yet, or there never will be.
                    Err(FilesError::NotFound)
                        if dir.path().is_dir() && !dir.path().join(NO_LOGS).exists() =>
                    {
                        Ok(LogChunk { bytes: Vec::new(), offset: 0, end: 0, live })
                    }
                    Err(other) => Err(other),
                }
            })
            .await
        })
    }

    fn last_output(&self, sessions: Vec<String>) -> BoxFuture<'_, Vec<Option<Timestamp>>> {
        let dirs: Vec<_> = sessions.iter().map(|s| self.dir(s).ok()).collect();
        Box::pin(async move {
            let look = move || Ok(dirs.iter().map(|d| last_written(d.as_ref()?)).collect());
            blocking(look).await.unwrap_or_default()
        })
    }

    fn wait_log<'a>(
        &'a self,
        session: &'a str,
        stream: LogStream,
        from: u64,
        up_to: Duration,
    ) -> BoxFuture<'a, ()> {
        let place = self.log_path(session, stream);
        Box::pin(async move {
            let Ok((dir, path)) = place else { return };
            let until = tokio::time::Instant::now() + up_to;
            loop {
                let grown = fs::metadata(&path).is_ok_and(|meta| meta.len() > from);
                let ended = !dir.path().is_dir() || dir.exit_path().exists();
                let now = tokio::time::Instant::now();
                if grown || ended || now >= until {
                    return;
                }
                tokio::time::sleep_until(until.min(now + LOOK_EVERY)).await;
            }
        })
    }

    fn prompt<'a>(&'a self, session: &'a str) -> BoxFuture<'a, Result<String, FilesError>> {
        let dir = self.dir(session);
        Box::pin(async move {
            let path = dir?.prompt_path();
            blocking(move || {
                let file = open_own(&path)?;
                let size = file.metadata().map_err(io_error(&path))?.len();
                if size > PROMPT_LIMIT {
                    return Err(FilesError::TooLarge { size, max: PROMPT_LIMIT });
                }
                let mut text = String::new();
                io::Read::read_to_string(&mut io::Read::take(file, PROMPT_LIMIT), &mut text)
                    .map_err(io_error(&path))?;
                Ok(text)
            })
            .await
        })
    }

    fn open_output<'a>(
        &'a self,
        session: &'a str,
        path: &'a str,
        max_bytes: u64,
    ) -> BoxFuture<'a, Result<File, FilesError>> {
        let dir = self.dir(session);
        let path = PathBuf::from(path);
        Box::pin(async move {
            let dir = dir?;
            blocking(move || open_output(&dir, &path, max_bytes)).await
        })
    }
}

/// Opens what an agent names as its output. The kernel resolves the path beneath a permitted folder in one step, so
/// neither `..` nor a link, nor a swap of one for the other meanwhile, leads out.
fn open_output(dir: &SessionDir, path: &Path, max_bytes: u64) -> Result<File, FilesError> {
    let spec = dir.read_spec().map_err(|_| FilesError::NotFound)?;
    let mut roots = vec![spec.cwd];
    roots.extend(RuntimeData::read(&spec.runtime_data).output_roots);
    let mut why = None;
    for root in &roots {
        let Some(below) = below(root, path) else { continue };
        match open_beneath(root, &below) {
            Ok(file) => return checked(file, path, max_bytes),
            Err(error) => why = Some(error),
        }
    }
    let shown = path.display();
    Err(match why {
        None => {
            let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
            FilesError::Refused(format!("{shown} does not lie beneath {}", roots.join(" or ")))
        }
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            FilesError::Refused(format!("there is no file {shown}"))
        }
        Some(rustix::io::Errno::XDEV | rustix::io::Errno::LOOP) => {
            FilesError::Refused(format!("{shown} leads out of the folder that it is named in"))
        }
        Some(error) => FilesError::Refused(format!("{shown} cannot be read: {}", io::Error::from(error))),
    })
}

/// The part of a path below a root, as a relative path. A relative one lies in every root.
fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    if path.is_relative() {
        return Some(path.to_path_buf());
    }
    if let Ok(rest) = path.strip_prefix(root) {
        return Some(rest.to_path_buf());
    }
    // The agent may know the folder by its real name.
    let real = root.canonicalize().ok()?;
    path.strip_prefix(real).ok().map(Path::to_path_buf)
}

fn open_beneath(root: &Path, below: &Path) -> Result<File, rustix::io::Errno> {
    if !below.components().any(|part| matches!(part, Component::Normal(_))) {
        return Err(rustix::io::Errno::NOENT);
    }
    let root = openat2(
        CWD,
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    )?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel asks to try again where a rename elsewhere disturbed its walk.
    for _ in 0..32 {
        match openat2(&root, below, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            other => return other.map(File::from),
        }
    }
    Err(rustix::io::Errno::AGAIN)
}

fn checked(file: File, path: &Path, max: u64) -> Result<File, FilesError> {
    let meta = file.metadata().map_err(io_error(path))?;
    if !meta.is_file() {
        return Err(FilesError::Refused(format!("{} is not a regular file", path.display())));
    }
    if meta.len() > max {
        return Err(FilesError::TooLarge { size: meta.len(), max });
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
