//! Keeping house, as far as the board has a part in it: its blobs, and the routes behind which somebody else does
//! the work who knows the files of the machine.

use std::{io, pin::Pin};

use bytes::Bytes;
use futures_util::Stream;
use mozi_api::{BoxFuture, house::GcReport};
use tokio::sync::oneshot;

/// Why something could not be done, with the code of the interface.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct HouseError {
    /// `storage_full`, `unavailable` …
    pub code: &'static str,
    /// In words.
    pub detail: String,
}

/// What a finished archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Its size.
    pub size_bytes: u64,
    /// Its blobs.
    pub blobs: u64,
    /// Blobs that were missing or damaged.
    pub damaged: u64,
}

/// An archive on its way.
pub struct Backup {
    /// Its bytes; an error ends it before it is whole.
    pub bytes: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    /// Told when all of it has been given away; dropped when it was not.
    pub made: oneshot::Receiver<Made>,
}

/// Who keeps the house of this board.
pub trait House: Send + Sync {
    /// A backup of everything, as it is now.
    fn backup(&self) -> BoxFuture<'_, Result<Backup, HouseError>>;
    /// Removes what may go, or only says what would.
    fn gc(&self, dry_run: bool) -> BoxFuture<'_, Result<GcReport, HouseError>>;
}
