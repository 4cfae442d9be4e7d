//! The seam between the one writer loop and a database: load a slice, apply changes, in transactions.

use mozi_core::{Change, Needs, Reply, State, Timestamp};

use crate::IdempotencyKey;

/// What a database said instead of doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// There is no room.
    pub(crate) full: bool,
    /// In its words.
    pub(crate) message: String,
}

/// What a failed commit leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// Certainly nothing: it is as if the transaction had never been.
    Nothing(Fault),
    /// Nobody can tell.
    Unknown(Fault),
}

/// What is remembered of an idempotency key.
#[derive(Debug)]
pub enum Recalled {
    /// Nothing, or nothing any more.
    Nothing,
    /// Another body came under it.
    OtherBody,
    /// This was answered.
    Answer(Box<Reply>),
}

/// A database as the writer uses it: one connection, one transaction at a time.
pub(crate) trait Backend {
    /// Begins a transaction for writing. One that is open is rolled back first.
    fn begin(&mut self) -> Result<(), Fault>;
    /// A point inside the transaction to roll back to; they do not nest.
    fn savepoint(&mut self) -> Result<(), Fault>;
    /// Keeps what was done since the savepoint.
    fn release(&mut self) -> Result<(), Fault>;
    /// Undoes what was done since the savepoint, and ends it.
    fn roll_back_to(&mut self) -> Result<(), Fault>;
    /// Undoes the transaction, if there is one.
    fn roll_back(&mut self);
    /// Makes the transaction durable.
    fn commit(&mut self) -> Result<(), CommitFault>;
    /// Whether the transaction is still there: some errors end it.
    fn in_transaction(&self) -> bool;
    /// Begins anew with a fresh connection.
    fn reopen(&mut self) -> Result<(), Fault>;
    /// The slice of the board that a command needs.
    fn load(&mut self, needs: &Needs) -> Result<State, Fault>;
    /// Writes one change.
    fn apply(&mut self, change: &Change) -> Result<(), Fault>;
    /// What was answered under a key in the last day.
    fn recall(&mut self, key: &IdempotencyKey, now: Timestamp) -> Result<Recalled, Fault>;
    /// Remembers an answer, and forgets old ones.
    fn remember(&mut self, key: &IdempotencyKey, reply: &Reply, now: Timestamp) -> Result<(), Fault>;
    /// The number of the newest event.
    fn last_seq(&mut self) -> Result<u64, Fault>;
    /// A moment to tidy up: no transaction is open and nobody waits for an answer.
    fn pause(&mut self) {}
}
