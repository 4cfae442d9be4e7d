//! The directory of a session: its files, who holds it, how it is listed and removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::durable::{durable_write, sync_dir};
use crate::error::Error;
use crate::exit_record::{Cause, ExitRecord, WrittenBy};
use crate::lock::{Lock, LockAttempt};
use crate::spec::Spec;
use crate::status::{self, Status};
use crate::sys;

/// A larger `spec.json` or `exit.json` than this is not one.
const RECORD_LIMIT: u64 = 4 * 1024 * 1024;

/// Names in a session directory.
pub(crate) mod name {
    pub(crate) const SPEC: &str = "spec.json";
    pub(crate) const STATUS: &str = "status.json";
    pub(crate) const EXIT: &str = "exit.json";
    /// `exit.json` before it has its name: its space is reserved at the start.
    pub(crate) const EXIT_RESERVED: &str = ".exit.json";
    pub(crate) const PROMPT: &str = "prompt.md";
    pub(crate) const LOCK: &str = "lock";
    pub(crate) const CONTROL: &str = "control.sock";
    pub(crate) const STDOUT: &str = "stdout.log";
    pub(crate) const STDERR: &str = "stderr.log";
    pub(crate) const OUTBOX: &str = "outbox";
    /// Where a supervisor says its last words if it breaks.
    pub(crate) const PANIC: &str = "supervisor-panic.txt";
}

/// A session directory. Holding this value claims nothing: the [`Lock`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDir {
    path: PathBuf,
}

/// What a look at a session directory tells.
#[derive(Debug)]
pub enum Probe {
    /// There is no such directory.
    Missing,
    /// `exit.json` is there: everything of the session is dead.
    Ended(Box<ExitRecord>),
    /// Somebody holds the lock: a supervisor, the starter, or whoever is making an end of it.
    Running(Option<Box<Status>>),
    /// Nobody held the lock and there is no readable `exit.json`: take the lock and
    /// [`reconcile_dead`](crate::reconcile_dead).
    Dead,
}

impl SessionDir {
    /// Makes the directory (0700) with `outbox/` and the lock, held.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is one: somebody else starts the session, or has made sure that nobody does.
    pub fn create(root: &Path, session_id: &str) -> Result<(SessionDir, Lock), Error> {
        if !is_valid_id(session_id) {
            return Err(Error::InvalidId { id: session_id.to_owned() });
        }
        let dir = SessionDir::at(root.join(session_id));
        let exists = |source: io::Error, path: &Path| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: dir.path.clone() },
            _ => Error::Io { doing: "make", path: path.to_path_buf(), source },
        };
        DirBuilder::new().mode(0o700).create(&dir.path).map_err(|source| exists(source, &dir.path))?;
        let lock_path = dir.file(name::LOCK);
        let file = Lock::create_new(&lock_path).map_err(|source| exists(source, &lock_path))?;
        let lock = dir.lock_new_file(&file)?;
        let outbox = dir.outbox_path();
        DirBuilder::new().mode(0o700).create(&outbox).map_err(Error::io("make", &outbox))?;
        Ok((dir, lock))
    }

    /// A look at the directory by somebody else may hold the new lock for an instant: try for a while.
    fn lock_new_file(&self, file: &File) -> Result<Lock, Error> {
        let path = self.file(name::LOCK);
        for _ in 0..100 {
            let copy = file.try_clone().map_err(Error::io("open", &path))?;
            if let Some(lock) = Lock::adopt(copy).map_err(Error::io("lock", &path))? {
                // Whoever was there before us may have closed the session meanwhile.
                return if self.read_exit().is_some() {
                    Err(Error::Exists { path: self.path.clone() })
                } else {
                    Ok(lock)
                };
            }
            sys::pause(Duration::from_millis(2));
        }
        Err(Error::Locked { path: self.path.clone() })
    }

    /// A directory that may or may not exist.
    pub fn at(path: impl Into<PathBuf>) -> SessionDir {
        SessionDir { path: path.into() }
    }

    /// All session directories below `root`; anything else there is passed over. None, if `root` does not exist.
    ///
    /// # Errors
    /// If `root` cannot be read.
    pub fn list(root: &Path) -> Result<impl Iterator<Item = SessionDir>, Error> {
        let entries = match fs::read_dir(root) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(Error::Io { doing: "read", path: root.to_path_buf(), source }),
        };
        Ok(entries.into_iter().flatten().flatten().filter_map(|entry| {
            let is_session = entry.file_name().to_str().is_some_and(is_valid_id)
                && entry.file_type().is_ok_and(|kind| kind.is_dir());
            is_session.then(|| SessionDir::at(entry.path()))
        }))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The session's id: the directory's name.
    pub fn session_id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// `prompt.md`
    pub fn prompt_path(&self) -> PathBuf {
        self.file(name::PROMPT)
    }

    /// `stdout.log`
    pub fn stdout_path(&self) -> PathBuf {
        self.file(name::STDOUT)
    }

    /// `stderr.log`
    pub fn stderr_path(&self) -> PathBuf {
        self.file(name::STDERR)
    }

    /// `outbox/`
    pub fn outbox_path(&self) -> PathBuf {
        self.file(name::OUTBOX)
    }

    /// `spec.json`
    pub fn spec_path(&self) -> PathBuf {
        self.file(name::SPEC)
    }

    /// `status.json`
    pub fn status_path(&self) -> PathBuf {
        self.file(name::STATUS)
    }

    /// `exit.json`
    pub fn exit_path(&self) -> PathBuf {
        self.file(name::EXIT)
    }

    /// `lock`
    pub fn lock_path(&self) -> PathBuf {
        self.file(name::LOCK)
    }

    /// `control.sock`; too long a path for `connect` where the data folder is deep, see
    /// [`control_address`](SessionDir::control_address).
    pub fn control_path(&self) -> PathBuf {
        self.file(name::CONTROL)
    }

    /// An address for `connect` that is short however deep the directory lies. It works as long as the returned file
    /// (the open directory) lives.
    ///
    /// # Errors
    /// If the directory cannot be opened.
    pub fn control_address(&self) -> Result<(File, PathBuf), Error> {
        let dir = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(&self.path)
            .map_err(Error::io("open", &self.path))?;
        let address = PathBuf::from(format!(
            "/proc/self/fd/{}/{}",
            std::os::fd::AsRawFd::as_raw_fd(&dir),
            name::CONTROL
        ));
        Ok((dir, address))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes `spec.json` (0600). Not synced: after a restart of the machine nothing of the session lives anyway.
    ///
    /// # Errors
    /// If it exists already or cannot be written.
    pub fn write_spec(&self, spec: &Spec) -> Result<(), Error> {
        let path = self.spec_path();
        let text = serde_json::to_vec_pretty(spec)
            .map_err(|error| Error::Malformed { path: path.clone(), why: error.to_string() })?;
        write_new(&path, &text)
    }

    /// Writes `prompt.md` (0600: it may hold a token).
    ///
    /// # Errors
    /// If it exists already or cannot be written.
    pub fn write_prompt(&self, prompt: &[u8]) -> Result<(), Error> {
        write_new(&self.prompt_path(), prompt)
    }

    /// Reads `spec.json`.
    ///
    /// # Errors
    /// [`Error::Newer`] if a later version wrote it, [`Error::Malformed`] if it is not one, [`Error::Io`] otherwise.
    pub fn read_spec(&self) -> Result<Spec, Error> {
        let path = self.spec_path();
        let bytes = read_regular(&path).map_err(Error::io("read", &path))?;
        Spec::parse(&bytes, &path)
    }

    /// Reads `status.json`; `None` if there is none that makes sense.
    pub fn read_status(&self) -> Option<Status> {
        let file = open_regular(&self.status_path()).ok()?;
        status::read_from(&file)
    }

    /// Reads `exit.json`. One that is not readable counts as absent.
    pub fn read_exit(&self) -> Option<ExitRecord> {
        serde_json::from_slice(&read_regular(&self.exit_path()).ok()?).ok()
    }

    /// Tries to take the lock. A missing lock file is made: then a starter that has just made the directory cannot
    /// start any more.
    ///
    /// # Errors
    /// If the directory is not there or its lock cannot be opened.
    pub fn try_lock(&self) -> Result<LockAttempt, Error> {
        let path = self.lock_path();
        loop {
            let file = Lock::open_or_create(&path).map_err(Error::io("open", &path))?;
            let Some(lock) = Lock::adopt(file).map_err(Error::io("lock", &path))? else {
                return Ok(LockAttempt::Held);
            };
            // Between open and lock the file may have been replaced: then we hold nothing of worth.
            if lock.is_file_at(&path).map_err(Error::io("look at", &path))? {
                return Ok(LockAttempt::Locked(lock));
            }
        }
    }

    /// Looks at the directory without changing it.
    ///
    /// # Errors
    /// If the lock cannot be opened for another reason than a missing directory.
    pub fn probe(&self) -> Result<Probe, Error> {
        if let Some(record) = self.read_exit() {
            return Ok(Probe::Ended(Box::new(record)));
        }
        if !self.path.is_dir() {
            return Ok(Probe::Missing);
        }
        let path = self.lock_path();
        let held = match Lock::open_existing(&path) {
            Ok(file) => Lock::adopt(file).map_err(Error::io("lock", &path))?.is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(Error::Io { doing: "open", path, source }),
        };
        if held {
            return Ok(Probe::Running(self.read_status().map(Box::new)));
        }
        // The supervisor may have ended between the two looks.
        Ok(self.read_exit().map_or(Probe::Dead, |record| Probe::Ended(Box::new(record))))
    }

    /// Checks that a lock is this directory's, and that the session has not ended: what must hold before anything
    /// final is written.
    pub(crate) fn check_open(&self, lock: &Lock) -> Result<(), Error> {
        let path = self.lock_path();
        if !lock.is_file_at(&path).map_err(Error::io("look at", &path))? {
            return Err(Error::ForeignLock { path: self.path.clone() });
        }
        if self.read_exit().is_some() {
            return Err(Error::Ended { path: self.exit_path() });
        }
        Ok(())
    }

    /// Writes `exit.json` durably, under the lock.
    pub(crate) fn write_exit(&self, record: &ExitRecord, _held: &Lock) -> Result<(), Error> {
        let path = self.exit_path();
        let text = serde_json::to_vec(record)
            .map_err(|error| Error::Malformed { path: path.clone(), why: error.to_string() })?;
        match durable_write(&path, &text) {
            // On a full disk the space that the supervisor had reserved is still ours to use.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::StorageFull => {
                drop(fs::remove_file(self.file(name::EXIT_RESERVED)));
                durable_write(&path, &text)
            }
            other => other,
        }?;
        // Nobody needs the reserve any more; that it was never there is the usual case.
        drop(fs::remove_file(self.file(name::EXIT_RESERVED)));
        Ok(())
    }

    /// Removes the directory of an ended session. `exit.json` goes last, so that an interrupted removal leaves an
    /// ended session.
    ///
    /// # Errors
    /// [`Error::NotEnded`] without `exit.json`, [`Error::Locked`] while somebody holds the lock.
    pub fn remove(&self) -> Result<(), Error> {
        if self.read_exit().is_none() {
            return Err(Error::NotEnded { path: self.path.clone() });
        }
        let LockAttempt::Locked(lock) = self.try_lock()? else {
            return Err(Error::Locked { path: self.path.clone() });
        };
        for entry in fs::read_dir(&self.path).map_err(Error::io("read", &self.path))? {
            let entry = entry.map_err(Error::io("read", &self.path))?;
            if entry.file_name() == name::EXIT {
                continue;
            }
            let path = entry.path();
            let is_dir = entry.file_type().map_err(Error::io("look at", &path))?.is_dir();
            if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                .map_err(Error::io("remove", &path))?;
        }
        let exit = self.exit_path();
        fs::remove_file(&exit).map_err(Error::io("remove", &exit))?;
        fs::remove_dir(&self.path).map_err(Error::io("remove", &self.path))?;
        drop(lock);
        Ok(())
    }
}

/// Makes it true that a session was never started, by making its directory with an `exit.json` in it: a starter's
/// `mkdir` then fails.
///
/// # Errors
/// [`Error::Exists`] if there is a directory: look at it with [`SessionDir::probe`].
pub fn close_never_started(
    root: &Path,
    session_id: &str,
    cause: Cause,
    error: Option<String>,
    by: WrittenBy,
) -> Result<ExitRecord, Error> {
    let (dir, lock) = SessionDir::create(root, session_id)?;
    let record = ExitRecord::not_started(cause, error, by);
    dir.write_exit(&record, &lock)?;
    sync_dir(root)?;
    Ok(record)
}

/// Ends a session whose directory was made but whose supervisor was not spawned: a dry run, an error before the spawn.
///
/// # Errors
/// [`Error::ForeignLock`], [`Error::Ended`], or what the system refuses.
pub fn write_not_started(
    dir: &SessionDir,
    lock: Lock,
    cause: Cause,
    error: Option<String>,
) -> Result<ExitRecord, Error> {
    dir.check_open(&lock)?;
    let record = ExitRecord::not_started(cause, error, WrittenBy::Runner);
    dir.write_exit(&record, &lock)?;
    drop(lock);
    Ok(record)
}

fn is_valid_id(id: &str) -> bool {
    let byte_is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !id.is_empty() && id.len() <= 127 && !id.starts_with('.') && id.bytes().all(byte_is_fine)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("make", path))?;
    io::Write::write_all(&mut file, bytes).map_err(Error::io("write", path))
}

/// Opens a regular file; neither waits for a FIFO nor follows a link.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4096);
    open_regular(path)?.take(RECORD_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}
