//! The files of sessions, which lie with their runner.

use std::{fs::File, pin::Pin, time::Duration};

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One of the streams of a session's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

crate::wire::named! {
    LogStreamWord = LogStream, "A stream of a session's log." { Stdout => "stdout", Stderr => "stderr" }
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where they begin: further on than asked for if the log's beginning is gone.
    pub offset: u64,
    /// The size of the log now.
    pub end: u64,
    /// The session lives: more may come.
    pub live: bool,
}

/// Why a file of a session could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// The runner that has it is not there.
    #[error("the runner that has the file is not there")]
    Gone,
    /// The path leads to where an output may not come from.
    #[error("{0}")]
    Refused(String),
    /// It is larger than is taken.
    #[error("the file has {size} bytes, more than the {max} that are taken")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// It could not be read.
    #[error("could not read {path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// The files of sessions. The runner implements it; the board asks for them.
pub trait SessionFiles: Send + Sync {
    /// At most `max` bytes of a log from byte `from` on.
    fn log<'a>(
        &'a self,
        session: &'a str,
        stream: LogStream,
        from: u64,
        max: usize,
    ) -> BoxFuture<'a, Result<LogChunk, FilesError>>;

    /// Returns when the log has grown beyond `from`, the session has ended, or `up_to` has passed.
    fn wait_log<'a>(
        &'a self,
        session: &'a str,
        stream: LogStream,
        from: u64,
        up_to: Duration,
    ) -> BoxFuture<'a, ()>;

    /// When each of the sessions last printed anything, as far as known; nothing at all where nobody knows.
    fn last_output(&self, sessions: Vec<String>) -> BoxFuture<'_, Vec<Option<mozi_core::Timestamp>>> {
        drop(sessions);
        Box::pin(std::future::ready(Vec::new()))
    }

    /// The prompt as it was given.
    fn prompt<'a>(&'a self, session: &'a str) -> BoxFuture<'a, Result<String, FilesError>>;

    /// A regular file beneath the session's workspace or its agent's `output_roots`, opened for reading.
    fn open_output<'a>(
        &'a self,
        session: &'a str,
        path: &'a str,
        max_bytes: u64,
    ) -> BoxFuture<'a, Result<File, FilesError>>;
}
