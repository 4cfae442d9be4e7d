//! What can go wrong, by what the caller can do about it.

use std::{path::PathBuf, time::Duration};

use mozi_core::Refusal;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer version of the program wrote it.
    #[error(
        "open {}: its format {found} is newer than the newest that this version knows ({known}): use the version \
         that wrote it, or a newer one",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// An older version wrote it and it may not be changed now.
    #[error(
        "read {}: its format {found} is older than {known}: start the server once, it brings the database up to date",
        .path.display()
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format known here.
        known: u32,
    },
    /// It is no database of a board, or it is damaged.
    #[error("open {}: {why}", .path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The file or its folder.
    #[error("open {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else that the database says.
    #[error("open {}: {message}", .path.display())]
    Sql {
        /// The database.
        path: PathBuf,
        /// What it says.
        message: String,
    },
}

/// Why a database could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no room for the copy.
    #[error("copy the database to {}: the disk is full", .target.display())]
    Full {
        /// Where the copy should have been.
        target: PathBuf,
    },
    /// The copy cannot be made there.
    #[error("write {}: {source}", .target.display())]
    Target {
        /// Where the copy should have been.
        target: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else that the database says.
    #[error("copy {} to {}: {why}", .path.display(), .target.display())]
    Failed {
        /// The database.
        path: PathBuf,
        /// Where the copy should have been.
        target: PathBuf,
        /// What it says.
        why: String,
    },
}

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The rules do not allow it; nothing was changed.
    #[error("{0}")]
    Refused(Refusal),
    /// Too many commands are waiting; nothing was changed. Again later.
    #[error("take the request: too many are waiting, try again in a moment")]
    Busy,
    /// The disk is full; nothing was changed.
    #[error("store the request: the disk is full")]
    Full,
    /// The database cannot be written to; nothing was changed.
    #[error("store the request: {0}")]
    Unavailable(String),
    /// It may or may not be on disk. Asked again with the same key, it is done once.
    #[error("say whether the request was stored ({0}): ask again with the same key")]
    Unknown(String),
    /// The rules failed on it; nothing was changed.
    #[error("carry out the request: an internal error, which the log of the server shows")]
    Panicked,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Too many questions are waiting.
    #[error("read: too many requests are waiting, try again in a moment")]
    Busy,
    /// It took longer than a snapshot may live.
    #[error("read: it took longer than {} seconds", .0.as_secs())]
    TooLong(Duration),
    /// A cursor that was not given out here.
    #[error("read on from {0:?}: this is no cursor of this list")]
    BadCursor(String),
    /// The database cannot be read, or holds what it must not hold.
    #[error("read the database: {0}")]
    Unavailable(String),
    /// The question failed here.
    #[error("read: an internal error, which the log of the server shows")]
    Panicked,
}
