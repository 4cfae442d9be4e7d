//! The small process that stands over one agent, from its start to the death of its last descendant, and what a
//! runner needs to start it, follow it and make an end of it.
//!
//! This crate knows no other crate of the workspace, no async runtime, no logging and no argument parser.
//!
//! # Who may start, who may close
//! The directory alone decides. (1) The lock is never free between spawn and death: the runner makes and locks it
//! ([`SessionDir::create`]) and hands the open file to the supervisor ([`spawn_supervisor`]). (2) Whoever holds the
//! lock and finds no `exit.json` may do one thing: a supervisor may start the agent, once; anybody else must make an
//! end ([`reconcile_dead`]). (3) "Never started" is made true before it is said ([`close_never_started`]).

use std::path::Path;
use std::process::ExitCode;

mod clock;
mod control;
mod durable;
mod error;
mod exit_record;
mod lock;
mod proc;
mod reconcile;
mod session_dir;
mod spawn;
mod spec;
mod status;
mod sweep;
#[expect(unsafe_code, reason = "the system calls that std lacks; the only module with unsafe code")]
mod sys;

pub use control::{Answer, Control, ControlError, LINE_LIMIT, Message, Request};
pub use durable::durable_write;
pub use error::Error;
pub use exit_record::{
    Cause, EXIT_VERSION, Ended, ExitRecord, Killed, LogEnd, Logs, Resources, StopOrder, WrittenBy,
};
pub use lock::{Lock, LockAttempt};
pub use proc::{boot_id, pid_namespace, process_start_time};
pub use reconcile::{Reconciled, abandon_dead, kill_stuck_supervisor, reconcile_dead};
pub use session_dir::{Probe, SessionDir, close_never_started, write_not_started};
pub use spawn::spawn_supervisor;
pub use spec::{DEFAULT_LOG_LIMIT, LogOverflow, SPEC_VERSION, Spec, StdinSource};
pub use status::{AgentEnd, LeftBehind, Phase, ProcId, STATUS_VERSION, Status};

/// The life of `supervise <dir>`.
pub fn run(dir: &Path) -> ExitCode {
    let _ = dir;
    ExitCode::FAILURE
}
