//! The part that claims tasks for the agents of one machine, starts supervisors and follows sessions.
//!
//! It knows the board only through its client: the runner inside `serve` and one on another machine are the same code.
//! What to do is decided without input or output in [`step`] and [`mod@reconcile`]; the driver carries it out.

pub mod config;
mod entropy;
mod env;
mod error;
mod files;
pub mod outbox;
pub mod reconcile;
mod runtime;
mod slots;
mod workspace;

pub use config::RunnerConfig;
pub use entropy::{Offer, Secret, fresh_key};
pub use env::is_outer_mark;
pub use error::{FileError, RunnerError};
pub use files::session_files;
