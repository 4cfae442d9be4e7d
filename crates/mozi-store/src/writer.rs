//! The writer: one thread that takes all commands that wait, decides and writes them in one transaction, and answers
//! after the commit.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{Builder, JoinHandle},
};

use mozi_core::{Identity, Needs, Refusal, Request, command::Credential, decide};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Answer, Committed, IdempotencyKey, OpenError, Options, SubmitError,
    backend::{Backend, CommitFault, Fault, Recalled},
};

mod signals;

use signals::Signals;

#[cfg(test)]
mod tests;

/// A command that waits for the writer.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) answer: oneshot::Sender<Result<Answer, SubmitError>>,
}

/// The writer thread and its queue.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn start<B: Backend + Send + 'static>(
        mut backend: B,
        options: &Options,
    ) -> Result<(Self, News), OpenError> {
        let sql = |e: Fault| OpenError::Sql { path: options.path.clone(), message: e.message };
        let first = Committed { seq: backend.last_seq().map_err(sql)?, ..Committed::default() };
        let (announce, news) = Announce::from(first);
        let (queue, jobs) = mpsc::channel(options.queue.max(1));
        let batch = options.batch.max(1);
        let thread = Builder::new()
            .name("store-write".into())
            .spawn(move || Shift { backend, announce }.work(jobs, batch))
            .map_err(|source| OpenError::Io { path: options.path.clone(), source })?;
        Ok((Self { queue: Some(queue), thread: Some(thread) }, news))
    }

    pub(crate) fn send(&self, job: Job) -> Result<(), SubmitError> {
        let Some(queue) = &self.queue else { return Err(ended()) };
        queue.try_send(job).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => ended(),
        })
    }
}

fn ended() -> SubmitError {
    SubmitError::Unavailable("the store has been closed".into())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Where commits are told.
struct Announce {
    all: watch::Sender<Committed>,
    /// Only those that may concern a runner: most do not, and waking it for nothing costs others their time.
    hints: watch::Sender<Committed>,
}

/// Where commits are heard.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) all: watch::Receiver<Committed>,
    pub(crate) hints: watch::Receiver<Committed>,
}

impl Announce {
    fn from(first: Committed) -> (Self, News) {
        let (all, heard) = watch::channel(first);
        let (hints, heard_hints) = watch::channel(first);
        (Self { all, hints }, News { all: heard, hints: heard_hints })
    }
}

impl News {
    /// For a board to which nothing happens.
    pub(crate) fn none(first: Committed) -> Self {
        Announce::from(first).1
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// Why a command was not carried out.
enum Stop {
    Refused(Refusal),
    Fault(Fault),
    Panicked,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

type Done = Result<Answer, SubmitError>;

struct Shift<B> {
    backend: B,
    announce: Announce,
}

impl<B: Backend> Shift<B> {
    fn work(mut self, mut jobs: mpsc::Receiver<Job>, batch: usize) {
        while let Some(first) = jobs.blocking_recv() {
            let mut taken = vec![first];
            while taken.len() < batch
                && let Ok(job) = jobs.try_recv()
            {
                taken.push(job);
            }
            // Whoever asked and has gone away would never know: it was not asked.
            taken.retain(|job| !job.answer.is_closed());
            match taken.len() {
                0 => continue,
                1 => taken.into_iter().for_each(|job| self.alone(job, 2)),
                _ => self.together(taken),
            }
            self.backend.pause();
        }
    }

    /// All in one transaction, each in a savepoint of its own.
    fn together(&mut self, jobs: Vec<Job>) {
        let mut done: Vec<(Job, Result<Answer, Refusal>)> = Vec::with_capacity(jobs.len());
        let mut again = Vec::new();
        let mut signals = Signals::default();
        let mut lost = self.backend.begin().err();
        for job in jobs {
            if lost.is_some() {
                again.push(job);
                continue;
            }
            match self.in_savepoint(&job) {
                Ok(Ok((answer, s))) => {
                    signals.add(s);
                    done.push((job, Ok(answer)));
                }
                Ok(Err(Stop::Refused(refusal))) => done.push((job, Err(refusal))),
                Ok(Err(Stop::Panicked)) => drop(job.answer.send(Err(SubmitError::Panicked))),
                Ok(Err(Stop::Fault(_))) => again.push(job),
                Err(fault) => {
                    again.push(job);
                    lost = Some(fault);
                }
            }
        }
        let committed = match lost {
            Some(fault) => Err(CommitFault::Nothing(fault)),
            None => self.commit(),
        };
        match committed {
            Ok(seq) => {
                for (job, result) in done {
                    drop(job.answer.send(result.map_err(SubmitError::Refused)));
                }
                self.announce(seq, signals);
            }
            Err(CommitFault::Nothing(fault)) => {
                tracing::warn!(error = fault.message, commands = done.len(), "a batch was rolled back");
                self.backend.roll_back();
                again.splice(0..0, done.into_iter().map(|(job, _)| job));
            }
            Err(CommitFault::Unknown(fault)) => {
                tracing::error!(error = fault.message, commands = done.len(), "a commit failed");
                self.reopen();
                for (job, result) in done {
                    match result {
                        Ok(_) => drop(job.answer.send(Err(SubmitError::Unknown(fault.message.clone())))),
                        // It was refused on the ground of what may not be there: it is asked once more.
                        Err(_) => again.push(job),
                    }
                }
            }
        }
        for job in again {
            self.alone(job, 1);
        }
    }

    /// The error is that of a transaction that is gone.
    fn in_savepoint(&mut self, job: &Job) -> Result<Result<(Answer, Signals), Stop>, Fault> {
        self.backend.savepoint()?;
        let result = self.carry_out(job);
        match &result {
            Ok(_) => self.backend.release()?,
            Err(Stop::Fault(fault)) if !self.backend.in_transaction() => return Err(fault.clone()),
            Err(_) => self.backend.roll_back_to()?,
        }
        Ok(result)
    }

    /// One command in a transaction of its own, tried so many times.
    fn alone(&mut self, job: Job, tries: u32) {
        let mut result = self.try_alone(&job);
        for _ in 1..tries {
            let Err(Failed::Fault(fault)) = &result else { break };
            if !fault.full {
                tracing::warn!(error = fault.message, "a command is tried again");
                self.reopen();
            }
            result = self.try_alone(&job);
        }
        let (answer, news) = match result {
            Ok((answer, seq, signals)) => (Ok(answer), Some((seq, signals))),
            Err(Failed::Refused(refusal)) => (Err(SubmitError::Refused(refusal)), None),
            Err(Failed::Panicked) => (Err(SubmitError::Panicked), None),
            Err(Failed::Fault(fault)) => {
                tracing::error!(error = fault.message, "a command could not be stored");
                let e = if fault.full { SubmitError::Full } else { SubmitError::Unavailable(fault.message) };
                (Err(e), None)
            }
            Err(Failed::Unknown(fault)) => {
                tracing::error!(error = fault.message, "a commit failed");
                self.reopen();
                (Err(SubmitError::Unknown(fault.message)), None)
            }
        };
        drop::<Result<(), Done>>(job.answer.send(answer));
        if let Some((seq, signals)) = news {
            self.announce(seq, signals);
        }
    }

    fn try_alone(&mut self, job: &Job) -> Result<(Answer, u64, Signals), Failed> {
        self.backend.begin().map_err(Failed::Fault)?;
        match self.carry_out(job) {
            Ok((answer, signals)) => match self.commit() {
                Ok(seq) => Ok((answer, seq, signals)),
                Err(CommitFault::Nothing(fault)) => {
                    self.backend.roll_back();
                    Err(Failed::Fault(fault))
                }
                Err(CommitFault::Unknown(fault)) => Err(Failed::Unknown(fault)),
            },
            Err(stop) => {
                self.backend.roll_back();
                Err(match stop {
                    Stop::Refused(refusal) => Failed::Refused(refusal),
                    Stop::Fault(fault) => Failed::Fault(fault),
                    Stop::Panicked => Failed::Panicked,
                })
            }
        }
    }

    fn commit(&mut self) -> Result<u64, CommitFault> {
        let seq = self.backend.last_seq().map_err(CommitFault::Nothing)?;
        self.backend.commit()?;
        Ok(seq)
    }

    fn reopen(&mut self) {
        self.backend.roll_back();
        if let Err(fault) = self.backend.reopen() {
            tracing::error!(error = fault.message, "the database could not be opened anew");
        }
    }

    fn announce(&self, seq: u64, signals: Signals) {
        let tell = |c: &mut Committed| {
            let before = *c;
            c.seq = seq;
            c.ready = c.ready.wrapping_add(u64::from(signals.ready));
            c.orders = c.orders.wrapping_add(u64::from(signals.orders));
            *c != before
        };
        self.announce.all.send_if_modified(tell);
        if signals != Signals::default() {
            self.announce.hints.send_if_modified(tell);
        }
    }

    /// Load, decide, apply: a panic is the command's, not the writer's.
    fn carry_out(&mut self, job: &Job) -> Result<(Answer, Signals), Stop> {
        let backend = &mut self.backend;
        catch_unwind(AssertUnwindSafe(|| step(backend, job))).unwrap_or_else(|panic| {
            tracing::error!(panic = panic_text(&*panic), "a command panicked");
            Err(Stop::Panicked)
        })
    }
}

enum Failed {
    Refused(Refusal),
    Fault(Fault),
    Unknown(Fault),
    Panicked,
}

fn step<B: Backend>(backend: &mut B, job: &Job) -> Result<(Answer, Signals), Stop> {
    let request = &job.request;
    if let Some(key) = &job.key {
        match backend.recall(key, request.now)? {
            Recalled::Nothing => {}
            Recalled::OtherBody => return Err(Stop::Refused(Refusal::IdempotencyConflict)),
            Recalled::Answer(reply) => {
                if is_known(backend, request)? {
                    return Ok((Answer { reply: *reply, repeated: true }, Signals::default()));
                }
            }
        }
    }
    let state = backend.load(&request.needs())?;
    let decision = decide(state, request).map_err(Stop::Refused)?;
    let mut signals = Signals::default();
    for change in &decision.changes {
        backend.apply(change)?;
        signals.see(change);
    }
    if let Some(key) = &job.key {
        backend.remember(key, &decision.reply, request.now)?;
    }
    Ok((Answer { reply: decision.reply, repeated: false }, signals))
}

/// An answer of before is given to a credential that still exists: a revoked one is refused like any unknown one.
fn is_known<B: Backend>(backend: &mut B, request: &Request) -> Result<bool, Stop> {
    let Credential::Token(hash) = request.credential else { return Ok(true) };
    let needs = Needs { now: request.now, credential: Some(hash), ..Needs::default() };
    Ok(backend.load(&needs)?.identity != Identity::Unknown)
}
