//! The board in an `SQLite` database.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use mozi_core::{Change, Needs, Reply, State, Timestamp};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, ffi, hooks::Wal};

use crate::{
    IdempotencyKey, OpenError, ReadError,
    backend::{Backend, CommitFault, Fault, Recalled},
    checkpoint::Checkpointer,
};

mod apply;
pub(crate) mod archive;
pub(crate) mod copy;
mod kept;
mod load;
mod migrate;
mod query;
mod queue;
mod replay;
mod rest;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use migrate::{look, open};
pub(crate) use query::Snapshot;

/// Statements that a connection keeps prepared; there are about a hundred.
const STATEMENTS: usize = 256;
/// After so many new pages in the log the checkpoint thread is woken.
const CHECKPOINT_PAGES: u32 = 1000;
/// Above so many pages (64 MiB) the writer itself sees to it that the log begins anew.
const RESTART_PAGES: u32 = 16 * 1024;
/// How long the writer waits for readers to let go of the log.
const RESTART_WAIT: Duration = Duration::from_millis(500);
/// How long a connection waits for another process that has locked the database.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How many steps of a query pass between two looks at the clock.
const STEPS_PER_LOOK: i32 = 10_000;

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        let full = e.sqlite_error_code() == Some(ErrorCode::DiskFull);
        Self { full, message: e.to_string() }
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans do not depend on values: else a statement is prepared anew whenever another LIMIT or filter is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// A connection that writes.
fn writing(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// The writer's side of an `SQLite` database.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    checkpointer: Checkpointer,
    /// Pages in the log, as of the last commit.
    pages: Arc<AtomicU32>,
    /// Pages in the log when the checkpoint thread was last woken.
    woken_at: u32,
    /// So many pages are too many.
    restart_at: u32,
    kept: kept::Kept,
    /// Another database is attached.
    adopted: bool,
    /// Changes when another connection has written.
    version: i64,
}

impl Sqlite {
    pub(crate) fn new(connection: Connection, path: &Path) -> Result<Self, OpenError> {
        let sql = |e: rusqlite::Error| OpenError::Sql { path: path.to_owned(), message: e.to_string() };
        let checkpointer = Checkpointer::start(writing(path).map_err(sql)?, path)?;
        let pages = Arc::new(AtomicU32::new(0));
        let (path, restart_at) = (path.to_owned(), RESTART_PAGES);
        let mut this = Self {
            connection,
            path,
            checkpointer,
            pages,
            woken_at: 0,
            restart_at,
            kept: kept::Kept::default(),
            adopted: false,
            version: 0,
        };
        this.watch_log().map_err(sql)?;
        Ok(this)
    }

    fn watch_log(&mut self) -> rusqlite::Result<()> {
        let pages = Arc::clone(&self.pages);
        self.connection.wal_hook(Some(move |_: &mut Wal, n: i32| {
            pages.store(u32::try_from(n).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
    }

    /// Sees to it that the log begins anew. Readers keep it from that: their snapshots are short, but somebody else's
    /// need not be, and then the log grows by a quarter before it is tried again.
    fn restart_log(&mut self, pages: u32) {
        let alone = self.checkpointer.hold();
        let restart = || {
            self.connection.busy_timeout(RESTART_WAIT)?;
            let busy =
                self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, bool>(0));
            self.connection.busy_timeout(LOCK_WAIT)?;
            busy
        };
        let restarted = restart();
        drop(alone);
        let done = match restarted {
            Ok(busy) => !busy,
            Err(e) => {
                tracing::warn!(error = %e, "a checkpoint failed; it is tried again later");
                false
            }
        };
        self.woken_at = if done { 0 } else { pages };
        self.restart_at = if done { RESTART_PAGES } else { pages.saturating_add(RESTART_PAGES / 4) };
        if done {
            self.pages.store(0, Ordering::Relaxed);
        }
    }

    fn run(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.connection.prepare_cached(sql)?.execute([]).map(|_| ())?)
    }
}

impl Backend for Sqlite {
    fn begin(&mut self) -> Result<(), Fault> {
        if self.in_transaction() {
            self.roll_back();
        }
        self.run("BEGIN IMMEDIATE")?;
        let version =
            self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version != self.version {
            self.kept.forget_all();
            self.version = version;
        }
        Ok(())
    }
    fn savepoint(&mut self) -> Result<(), Fault> {
        self.run("SAVEPOINT command")
    }
    fn release(&mut self) -> Result<(), Fault> {
        self.run("RELEASE command")
    }
    fn roll_back_to(&mut self) -> Result<(), Fault> {
        self.kept.forget_all();
        self.run("ROLLBACK TO command")?;
        self.release()
    }
    fn roll_back(&mut self) {
        self.kept.forget_all();
        if self.in_transaction()
            && let Err(fault) = self.run("ROLLBACK")
        {
            tracing::error!(error = fault.message, "a transaction could not be rolled back");
        }
    }
    fn commit(&mut self) -> Result<(), CommitFault> {
        self.run("COMMIT").map_err(|fault| {
            self.kept.forget_all();
            // No room for the pages: the mark that makes them count is written last, so it is not there, and the
            // database has undone the rest. Anything else may have struck after that mark.
            if fault.full { CommitFault::Nothing(fault) } else { CommitFault::Unknown(fault) }
        })
    }
    fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }
    fn reopen(&mut self) -> Result<(), Fault> {
        self.kept.forget_all();
        self.connection = writing(&self.path)?;
        Ok(self.watch_log()?)
    }
    fn load(&mut self, needs: &Needs) -> Result<State, Fault> {
        Ok(load::load(&self.connection, &mut self.kept, needs)?)
    }
    fn apply(&mut self, change: &Change) -> Result<(), Fault> {
        self.adopted |= matches!(change, Change::Adopt { .. });
        Ok(apply::apply(&self.connection, &mut self.kept, change)?)
    }
    fn recall(&mut self, key: &IdempotencyKey, now: Timestamp) -> Result<Recalled, Fault> {
        Ok(replay::recall(&self.connection, key, now)?)
    }
    fn remember(&mut self, key: &IdempotencyKey, reply: &Reply, now: Timestamp) -> Result<(), Fault> {
        Ok(replay::remember(&self.connection, key, reply, now)?)
    }
    fn last_seq(&mut self) -> Result<u64, Fault> {
        Ok(query::last_seq(&self.connection)?)
    }
    fn pause(&mut self) {
        if std::mem::take(&mut self.adopted) {
            archive::let_go(&self.connection);
        }
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.woken_at {
            self.woken_at = 0;
        }
        if pages >= self.restart_at {
            self.restart_log(pages);
        } else if pages.saturating_sub(self.woken_at) >= CHECKPOINT_PAGES {
            self.woken_at = pages;
            self.checkpointer.wake();
        }
    }
}

/// A connection that only reads.
#[derive(Debug)]
pub(crate) struct ReadConnection {
    connection: Connection,
}

impl ReadConnection {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Self::connect(path).map_err(|e| OpenError::Sql { path: path.to_owned(), message: e.to_string() })
    }

    fn connect(path: &Path) -> rusqlite::Result<Self> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.execute_batch(
            "PRAGMA query_only = ON; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;",
        )?;
        Ok(Self { connection })
    }

    /// The database, as it is at one moment, for as long as `read` takes.
    pub(crate) fn whole<T>(
        &mut self,
        limit: Duration,
        read: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        self.on_snapshot(limit, |s| read(s.db()))
    }

    /// Answers a question on one snapshot, which lives for `limit` at most.
    pub(crate) fn on_snapshot<T>(
        &mut self,
        limit: Duration,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let end = Instant::now().checked_add(limit);
        let late = move || end.is_some_and(|end| Instant::now() >= end);
        self.connection.progress_handler(STEPS_PER_LOOK, Some(late))?;
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let answer = question(&Snapshot::of(&self.connection));
        self.give_up_snapshot();
        answer.map_err(|e| if matches!(e, ReadError::TooLong(_)) { ReadError::TooLong(limit) } else { e })
    }

    /// Ends the snapshot, whatever has become of the question.
    pub(crate) fn give_up_snapshot(&mut self) {
        // The end must not be interrupted by the limit of what it ends.
        let free = self.connection.progress_handler(0, None::<fn() -> bool>);
        let ended = free.and_then(|()| {
            if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
        });
        if let Err(e) = ended {
            tracing::error!(error = %e, "a snapshot could not be ended");
        }
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Self::TooLong(crate::READ_LIMIT),
            _ => Self::Unavailable(e.to_string()),
        }
    }
}

/// Whether an error says that the file is no database or a damaged one.
fn is_corrupt(e: &rusqlite::Error) -> bool {
    matches!(e.sqlite_error().map(|e| e.extended_code & 0xff), Some(ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB))
}
