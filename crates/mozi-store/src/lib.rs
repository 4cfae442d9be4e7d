//! The board's durable state: one writer, many readers, and the only crate that knows SQL.
//!
//! A [`Store`] is a few threads with a connection each, fed by bounded queues. The writer takes all commands that
//! wait, decides and writes them in one transaction and answers after the commit; the readers answer questions,
//! each on one snapshot. Rules are not here: the store loads the slice of the board that a command needs and
//! writes the changes that were decided on it.

pub mod archive;
mod backend;
mod checkpoint;
mod error;
mod overview;
mod query;
mod reader;
mod reads;
mod sqlite;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mozi_core::{Reply, Request};
use tokio::sync::{oneshot, watch};

pub use archive::{BadArchive, Staging};
pub use backend::Recalled;
pub use error::{CopyError, OpenError, ReadError, SubmitError};
pub use overview::{
    Delayed, EndedLine, Listed, Overview, OverviewQuery, RunningLine, Spent, TaskLine, WaitingGroup,
};
pub use query::{
    AttemptView, EventPage, Forgettable, Page, PromptMaterial, RunnerWork, TaskPage, TaskQuery, TaskSort,
    TaskView, Totals, Upstream, Wanted,
};
pub use sqlite::copy::{Contents, Format, NamedBlob, contents, copy, format_of, unsound};

use crate::{
    reader::Readers,
    writer::{News, Writer},
};

/// How long a snapshot of a reader may live.
pub const READ_LIMIT: Duration = Duration::from_secs(5);

/// The most rows that one page of a list holds.
pub const PAGE_LIMIT: usize = 500;

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file; its folder must exist.
    pub path: PathBuf,
    /// Reader threads.
    pub readers: usize,
    /// Commands and questions that may wait, each.
    pub queue: usize,
    /// Commands in one transaction at most.
    pub batch: usize,
    /// The id that a board gets when its database is made: nothing is random in here.
    pub new_board_id: String,
}

impl Options {
    /// The usual figures.
    pub fn new(path: impl Into<PathBuf>, new_board_id: impl Into<String>) -> Self {
        Self { path: path.into(), readers: 2, queue: 4096, batch: 1000, new_board_id: new_board_id.into() }
    }
}

/// What was committed last: a hint to look, given after every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// The number of the newest event over all projects.
    pub seq: u64,
    /// Grows when something may have become claimable.
    pub ready: u64,
    /// Grows when a runner may have to do something.
    pub orders: u64,
}

/// A key under which a command is carried out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Who asks, and by which route.
    pub scope: String,
    /// The key.
    pub key: String,
    /// The hash of the body: another body under the same key is refused.
    pub body_sha256: [u8; 32],
}

/// The answer to a command, which is on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was decided.
    pub reply: Reply,
    /// It was carried out before, under the same key; this is the answer of then.
    pub repeated: bool,
}

/// The store of a board. Clones share it; dropping the last one ends its threads, after what waits is written.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    board_id: String,
    path: PathBuf,
    // Readers end first: only the last connection that may write folds the log into the file when it is closed.
    readers: Readers,
    /// None where the database was opened for reading only.
    writer: Option<Writer>,
    news: News,
}

impl Store {
    /// Opens a database, makes it if it is not there, and brings it up to date.
    ///
    /// # Errors
    /// When it cannot be opened or written, or was written by a newer version.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let (connection, board_id) = sqlite::open(&options.path, &options.new_board_id)?;
        let readers = Readers::start(&options.path, options.readers, options.queue)?;
        let backend = sqlite::Sqlite::new(connection, &options.path)?;
        let (writer, news) = Writer::start(backend, &options)?;
        Ok(Self {
            inner: Arc::new(Inner { board_id, path: options.path, readers, writer: Some(writer), news }),
        })
    }

    /// Opens the database of a board that does not run, to look at it.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is of another version.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        let (board_id, seq) = sqlite::look(path)?;
        let readers = Readers::start(path, 1, 64)?;
        let news = News::none(Committed { seq, ..Committed::default() });
        Ok(Self { inner: Arc::new(Inner { board_id, path: path.to_owned(), readers, writer: None, news }) })
    }

    /// The id of the board, made with its database.
    pub fn board_id(&self) -> &str {
        &self.inner.board_id
    }

    /// Carries out a command. The answer is given when it is on disk. A caller that goes away before its command is
    /// begun has not asked.
    ///
    /// # Errors
    /// A refusal, or why it could not be stored.
    pub async fn submit(&self, request: Request, key: Option<IdempotencyKey>) -> Result<Answer, SubmitError> {
        let Some(writer) = &self.inner.writer else {
            return Err(SubmitError::Unavailable("the database is open for reading only".into()));
        };
        let (answer, answered) = oneshot::channel();
        writer.send(writer::Job { request, key, answer })?;
        answered
            .await
            .unwrap_or_else(|_| Err(SubmitError::Unknown("the writer has ended before it answered".into())))
    }

    /// Tells of every commit.
    pub fn subscribe(&self) -> watch::Receiver<Committed> {
        self.inner.news.all.clone()
    }

    /// Tells only of commits with a hint for runners: `ready` or `orders` has grown.
    pub fn subscribe_hints(&self) -> watch::Receiver<Committed> {
        self.inner.news.hints.clone()
    }
}
