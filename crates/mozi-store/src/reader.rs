//! The readers: threads with a connection each that answer questions on snapshots.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    OpenError, READ_LIMIT, ReadError,
    sqlite::{ReadConnection, Snapshot},
};

type Question = Box<dyn FnOnce(&mut ReadConnection) + Send>;

/// The reader threads and the queue of what is asked.
pub(crate) struct Readers {
    queue: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Readers {
    pub(crate) fn start(path: &Path, readers: usize, queue: usize) -> Result<Self, OpenError> {
        let (sender, receiver) = mpsc::channel::<Question>(queue.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        let mut this = Self { queue: Some(sender), threads: Vec::new() };
        for n in 0..readers.max(1) {
            let mut connection = ReadConnection::open(path)?;
            let receiver = Arc::clone(&receiver);
            let answer_all = move || {
                // The lock is held while waiting: whoever has it takes the next question.
                while let Some(question) =
                    { receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv() }
                {
                    question(&mut connection);
                }
            };
            let thread = Builder::new()
                .name(format!("store-read-{n}"))
                .spawn(answer_all)
                .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
            this.threads.push(thread);
        }
        Ok(this)
    }

    /// Asks a question; the answer comes from one snapshot.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.ask_within(READ_LIMIT, question).await
    }

    /// The same for what may take longer than everyday questions.
    pub(crate) async fn ask_within<T: Send + 'static>(
        &self,
        limit: Duration,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (answer, answered) = oneshot::channel();
        let job: Question = Box::new(move |connection| {
            // Who asked may have gone.
            if answer.is_closed() {
                return;
            }
            let result = catch_unwind(AssertUnwindSafe(|| connection.on_snapshot(limit, question)))
                .unwrap_or_else(|panic| {
                    tracing::error!(
                        panic = crate::writer::panic_text(&*panic),
                        "a question to the store panicked"
                    );
                    connection.give_up_snapshot();
                    Err(ReadError::Panicked)
                });
            drop(answer.send(result));
        });
        let Some(queue) = &self.queue else { return Err(ended()) };
        queue.try_send(job).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => ReadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        answered.await.map_err(|_| ended())?
    }
}

fn ended() -> ReadError {
    ReadError::Unavailable("the store has been closed".into())
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}
