//! The part that claims tasks for the agents of one machine, starts supervisors and follows sessions.
//!
//! It knows the board only through its client: the runner inside `serve` and one on another machine are the same code.
//! What to do is decided without input or output in [`step`] and [`mod@reconcile`]; the driver ([`run`]) carries it
//! out. A session goes through `start` (directory made and locked, supervisor spawned with the lock), `follow` (until
//! `exit.json` is there) and `end` (outbox delivered, runtime's confirmation, the board told).

mod child;
pub mod config;
mod control;
mod drive;
mod end;
mod entropy;
mod env;
mod error;
mod files;
mod follow;
mod hooks;
pub mod house;
mod link;
mod look;
mod orders;
pub mod outbox;
pub mod probe;
mod prompt;
pub mod reconcile;
mod report;
mod runtime;
mod session;
mod shared;
mod slots;
mod start;
pub mod step;
mod workspace;

pub use config::RunnerConfig;
pub use control::{Control, Controller, control};
pub use drive::run;
pub use entropy::{Offer, Secret, fresh_key};
pub use env::is_outer_mark;
pub use error::{FileError, RunnerError};
pub use files::session_files;
