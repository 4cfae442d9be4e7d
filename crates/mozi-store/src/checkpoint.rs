//! Checkpoints on a thread and connection of their own: the writer never waits for them.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

use rusqlite::Connection;

use crate::OpenError;

/// The thread that moves pages from the log into the database.
pub(crate) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Held while a checkpoint runs: two at once are refused by the database.
    running: Arc<Mutex<()>>,
}

impl fmt::Debug for Checkpointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointer").finish_non_exhaustive()
    }
}

impl Checkpointer {
    pub(crate) fn start(connection: Connection, path: &Path) -> Result<Self, OpenError> {
        // One wish can wait: a second one would be the same.
        let (wake, wishes) = sync_channel(1);
        let running = Arc::new(Mutex::new(()));
        let here = Arc::clone(&running);
        let thread = Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                while wishes.recv().is_ok() {
                    let _running = here.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Err(e) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                        tracing::warn!(error = %e, "a checkpoint failed; the next one tries again");
                    }
                }
            })
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { wake: Some(wake), thread: Some(thread), running })
    }

    /// Waits until no checkpoint runs; none begins while the answer is held.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a checkpoint, without waiting for it.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Full: it is asked for already.
            wake.try_send(()).ok();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
