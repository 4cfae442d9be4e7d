//! What the board is asked in a day, on both stores, and what can be read of it afterwards.

mod archive;
mod idempotency;
mod lists;
mod overview;
mod queue;
mod stories;
