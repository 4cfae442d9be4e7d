//! Who keeps the house of a board: the one place that applies the rule of retention, and makes backups.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use mozi_api::{
    BoxFuture,
    house::{GcLine, GcReport},
};
use mozi_board::{Backup, Blobs, Clock, House, HouseError, Made};
use mozi_core::{
    Command, Request,
    command::{Credential, Removed},
};
use mozi_store::{Contents, CopyError, Store};
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::{
    archive::{self, Manifest, Source},
    backups_dir, make_dir,
};
use crate::{
    config::Config,
    error::{Failure, Result, plain},
};

/// How often the rule of retention is applied.
const EVERY: Duration = Duration::from_hours(1);
/// Pieces of an archive that may wait to be sent.
const PIECES: usize = 8;
const PIECE_BYTES: usize = 256 * 1024;

/// Keeps the house of one board; it holds the data folder, or works for who does.
pub(crate) struct Keeper {
    pub(super) data: PathBuf,
    pub(super) store: Store,
    pub(super) blobs: Blobs,
    pub(super) clock: Clock,
    /// As it is now: a changed rule is taken at the next look.
    pub(super) config: watch::Receiver<Arc<Config>>,
    /// One pass at a time.
    pub(super) pass: Mutex<()>,
}

/// A copy of the database, in a folder that goes with it.
struct Copied {
    folder: tempfile::TempDir,
    contents: Contents,
}

impl Copied {
    fn database(&self) -> PathBuf {
        self.folder.path().join("mozi.db")
    }
}

impl Keeper {
    pub(crate) fn new(data: &Path, store: Store, blobs: Blobs, config: watch::Receiver<Arc<Config>>) -> Self {
        Self { data: data.to_path_buf(), store, blobs, clock: Clock::system(), config, pass: Mutex::new(()) }
    }

    pub(super) async fn submit(&self, command: Command) -> Result<()> {
        let (now, seed) = (self.clock.now(), self.clock.seed());
        let request =
            Request { credential: Credential::Board, via: Some("house".into()), now, seed, command };
        self.store.submit(request, None).await.map(drop).map_err(|e| Failure::new(format!("could not {e}")))
    }

    /// Applies the rule of retention, now and every hour, until it is told to stop.
    pub(crate) async fn keep(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        loop {
            match self.apply(super::gc::Scope::Retention, false).await {
                Ok(report) => self.tell("retention", report.removed()).await,
                Err(e) => tracing::warn!("the rule of retention could not be applied: {}", e.what),
            }
            let stopped = stopping.wait_for(|stop| *stop);
            // A sender that is gone is a stop too.
            if tokio::time::timeout(EVERY, stopped).await.is_ok() {
                return;
            }
        }
    }

    /// An event of what was removed, if anything was.
    pub(crate) async fn tell(&self, because: &str, removed: Vec<Removed>) {
        if removed.is_empty() {
            return;
        }
        let told = self.submit(Command::KeptHouse { because: because.to_owned(), removed }).await;
        if let Err(e) = told {
            tracing::warn!("something was removed, but could not be told of: {}", e.what);
        }
    }

    fn copied(&self) -> Result<Copied> {
        let dir = backups_dir(&self.data);
        let unwritable = |e: &io::Error| {
            let failure = Failure::io("make a copy of the database in", &dir, e);
            if is_full(e) { failure.code("storage_full") } else { failure }
        };
        make_dir(&dir).map_err(|e| unwritable(&e))?;
        let folder =
            tempfile::Builder::new().prefix(".copy-").tempdir_in(&dir).map_err(|e| unwritable(&e))?;
        let copy = folder.path().join("mozi.db");
        mozi_store::copy(&self.data.join("mozi.db"), &copy).map_err(|e| {
            let failure = Failure::new(format!("could not {e}"));
            match &e {
                CopyError::Full { .. } => failure
                    .hint("a backup first copies the database beside itself: make room on the board's disk")
                    .code("storage_full"),
                CopyError::Target { source, .. } => {
                    if is_full(source) {
                        failure.code("storage_full")
                    } else {
                        failure
                    }
                }
                CopyError::Failed { .. } => failure,
            }
        })?;
        let contents = mozi_store::contents(&copy).map_err(|e| Failure::new(format!("could not {e}")))?;
        Ok(Copied { folder, contents })
    }

    fn source(&self, copied: &Copied) -> Source {
        let config = Arc::clone(&self.config.borrow());
        Source {
            database: copied.database(),
            contents: copied.contents.clone(),
            blobs: self.blobs.dir().to_path_buf(),
            config: config.file.clone(),
            prompts: Some(config.dir.join("prompts")),
            made_at: self.clock.now(),
        }
    }

    /// Writes a backup to `out`.
    pub(crate) fn write_to(&self, out: impl Write) -> Result<Manifest> {
        let copied = self.copied()?;
        archive::write(&self.source(&copied), out)
            .map_err(|e| Failure::new(format!("could not write the backup: {}", plain(&e))))
    }

    async fn begin(self: &Arc<Self>) -> Result<Backup> {
        let this = Arc::clone(self);
        let copied = tokio::task::spawn_blocking(move || {
            let copied = this.copied()?;
            Ok((this.source(&copied), copied))
        });
        let (source, copied) =
            copied.await.map_err(|e| Failure::new(format!("could not copy the database: {e}")))??;
        let (pieces, sent) = mpsc::channel(PIECES);
        let (tell, made) = oneshot::channel();
        drop(tokio::task::spawn_blocking(move || {
            let mut out = io::BufWriter::with_capacity(
                PIECE_BYTES,
                Pieces { to: pieces.clone(), size: 0, gone: false },
            );
            match archive::write(&source, &mut out) {
                Ok(manifest) => {
                    let size_bytes = out.get_ref().size;
                    let damaged = manifest.damaged.len() as u64;
                    let made = Made { size_bytes, blobs: manifest.blobs, damaged };
                    if tell.send(made).is_err() {
                        tracing::debug!("nobody waits for a backup any more");
                    }
                }
                Err(e) => {
                    if !out.get_ref().gone {
                        tracing::error!("a backup was broken off: {}", plain(&e));
                    }
                    drop(pieces.blocking_send(Err(e)));
                    // What is still in the buffer is not sent after the error.
                    drop(out.into_parts());
                }
            }
            drop(copied);
        }));
        let bytes = stream::unfold(sent, |mut sent| async move { Some((sent.recv().await?, sent)) });
        Ok(Backup { bytes: Box::pin(bytes), made })
    }
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Sends what is written in pieces.
struct Pieces {
    to: mpsc::Sender<io::Result<Bytes>>,
    size: u64,
    gone: bool,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        if self.to.blocking_send(Ok(piece)).is_err() {
            self.gone = true;
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "whoever asked has gone away"));
        }
        self.size = self.size.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The keeper as the board's routes know it.
pub(crate) struct Door(pub(crate) Arc<Keeper>);

fn house_error(failure: &Failure) -> HouseError {
    let code = if failure.code.as_deref() == Some("storage_full") { "storage_full" } else { "unavailable" };
    let hint = failure.hint.as_deref().map(|h| format!(": {h}")).unwrap_or_default();
    HouseError { code, detail: format!("{}{hint}", failure.what) }
}

impl House for Door {
    fn backup(&self) -> BoxFuture<'_, std::result::Result<Backup, HouseError>> {
        Box::pin(async move { self.0.begin().await.map_err(|e| house_error(&e)) })
    }

    fn gc(&self, dry_run: bool) -> BoxFuture<'_, std::result::Result<GcReport, HouseError>> {
        Box::pin(
            async move { self.0.apply(super::gc::Scope::All, dry_run).await.map_err(|e| house_error(&e)) },
        )
    }
}

/// A line of a report.
pub(super) fn line(kind: &str, count: u64, bytes: Option<u64>) -> GcLine {
    GcLine { kind: kind.to_owned(), count, bytes }
}
