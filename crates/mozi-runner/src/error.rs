//! What can go wrong in a runner.

use std::io;
use std::path::{Path, PathBuf};

/// A file operation that did not succeed. The text fits after "could not …".
#[derive(Debug, thiserror::Error)]
#[error("{doing} {path}: {source}", path = path.display())]
pub struct FileError {
    /// The verb of what was tried.
    pub doing: &'static str,
    /// What it was tried on.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn at<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { doing, path: path.to_path_buf(), source }
    }

    /// The disk is full, as far as the system says.
    pub fn is_storage_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Why a runner could not work at all.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A folder that it needs cannot be made or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system has no random numbers or does not say what it is.
    #[error("{0}")]
    System(String),
    /// The board does not let this runner in: its token is not valid, or names another runner.
    #[error("be let in by the board: {0}")]
    NotLetIn(String),
}
