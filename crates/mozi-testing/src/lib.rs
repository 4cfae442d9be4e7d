//! Helpers for the tests of this workspace; never published.
//!
//! Tests run side by side, as root or as an ordinary user, maybe inside another agent's shell. So: ports are asked of
//! the system, folders are temporary, processes are marked by their environment and counted at the end, and what an
//! outer agent has set is taken out.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is test code: what it cannot do fails the test"
)]

mod binary;
mod census;
mod command;
mod env;
mod place;
mod wait;

pub use binary::{built_binary, workspace_root};
pub use census::{Census, MARK, Process, is_alive, processes_with, start_time};
pub use command::{Guarded, command};
pub use env::{clean_env, is_outer_mark};
pub use place::{free_port, temp_dir};
pub use wait::{wait_for, wait_for_blocking, wait_until, wait_until_blocking};
