//! The lock of a session: whoever holds it, and nobody else, may start the agent or make an end of the session.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The lock of a session directory, held. Dropping it frees it.
///
/// It belongs to the open file, not to a process: a child that inherits the descriptor goes on holding it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// What came of an attempt to take the lock.
#[derive(Debug)]
pub enum LockAttempt {
    /// It is ours now.
    Locked(Lock),
    /// Somebody else holds it at this instant. That alone proves nothing: a child between fork and exec holds a copy
    /// for an instant. Look again.
    Held,
}

impl Lock {
    /// Takes an open lock file as held, if it is, or can be had.
    pub(crate) fn adopt(file: File) -> io::Result<Option<Lock>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Makes the lock file; fails if there is one.
    pub(crate) fn create_new(path: &Path) -> io::Result<File> {
        options().create_new(true).open(path)
    }

    /// Opens the lock file, and makes it if it is missing.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
        regular(options().create(true).truncate(false).open(path)?)
    }

    /// Opens the lock file if there is one.
    pub(crate) fn open_existing(path: &Path) -> io::Result<File> {
        regular(options().open(path)?)
    }

    /// Whether this is still the file at `path`. Inode numbers are reused, but not while this file is open.
    pub(crate) fn is_file_at(&self, path: &Path) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        match path.symlink_metadata() {
            Ok(there) => Ok(ours.dev() == there.dev() && ours.ino() == there.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the open file away, to be handed to a supervisor.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.file.into()
    }
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Neither a link is followed nor a FIFO waited for.
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}
