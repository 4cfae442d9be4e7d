//! What can go wrong with a session directory, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on a session directory that did not succeed. The texts fit after "could not …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{doing} {path}: {source}", path = path.display())]
    Io {
        /// The verb of what was tried: `open`, `write`, …
        doing: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is there, but its content is not what it should be.
    #[error("read {path}: {why}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file was written by a newer version in a format that this one does not know.
    #[error("read {path}: a newer mozi wrote it (format {found}, this one knows {known})", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found in it.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The text cannot be the name of a session directory.
    #[error(
        "use {id:?} as a session id: letters, digits, `-`, `_` and `.` only, at most 127, not starting with a dot"
    )]
    InvalidId {
        /// The text.
        id: String,
    },
    /// The directory is there already: whoever made it starts or closes the session.
    #[error("make {path}: it exists already", path = path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody else holds the lock.
    #[error("lock {path}: another process holds it", path = path.display())]
    Locked {
        /// The session directory.
        path: PathBuf,
    },
    /// The lock that was handed over is not the lock of this directory (it was replaced or removed).
    #[error("use the lock of {path}: it is no longer the file at that place", path = path.display())]
    ForeignLock {
        /// The session directory.
        path: PathBuf,
    },
    /// The session has ended already: its `exit.json` is there.
    #[error("write {path}: the session has ended already", path = path.display())]
    Ended {
        /// The exit record's place.
        path: PathBuf,
    },
    /// The session has not ended: it cannot be removed.
    #[error("remove {path}: the session has not ended", path = path.display())]
    NotEnded {
        /// The session directory.
        path: PathBuf,
    },
}

impl Error {
    /// Gives an I/O error the verb and the path that it lacks.
    pub(crate) fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { doing, path: path.to_path_buf(), source }
    }
}
