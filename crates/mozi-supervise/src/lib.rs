//! The small process that stands over one agent, from its start to the death of its last descendant, and what a
//! runner needs to start it, follow it and make an end of it.
//!
//! This crate knows no other crate of the workspace, no async runtime, no logging and no argument parser.
//!
//! # Who may start, who may close
//! The directory alone decides. (1) The lock is never free between spawn and death: the runner makes and locks it
//! ([`SessionDir::create`]) and hands the open file to the supervisor ([`spawn_supervisor`]). (2) Whoever holds the
//! lock and finds no `exit.json` may do one thing: a supervisor may start the agent, once; anybody else must make an
//! end ([`reconcile_dead`]). (3) "Never started" is made true before it is said ([`close_never_started`] by whoever
//! would have started it, [`reconcile_missing`] by anybody else).

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use place::Place;
use session::Session;

mod agent;
mod clock;
mod control;
mod descendants;
mod durable;
mod elsewhere;
mod error;
mod exit_record;
mod limits;
mod lock;
mod logs;
mod marked;
mod place;
mod proc;
mod reconcile;
mod session;
mod session_dir;
mod spawn;
mod spec;
mod status;
mod sweep;
#[expect(unsafe_code, reason = "the system calls that std lacks; the only module with unsafe code")]
mod sys;

pub use control::{Answer, Control, ControlError, LINE_LIMIT, Message, Request};
pub use durable::durable_write;
pub use elsewhere::Elsewhere;
pub use error::Error;
pub use exit_record::{
    Cause, EXIT_VERSION, Ended, ExitRecord, Killed, LogEnd, Logs, Resources, StopOrder, WrittenBy,
};
pub use lock::{Lock, LockAttempt};
pub use marked::end_marked;
pub use proc::{boot_id, pid_namespace, process_parent, process_start_time};
pub use reconcile::{
    Reconciled, abandon_dead, kill_stuck_supervisor, living, reconcile_dead, reconcile_missing,
    reconcile_unheard,
};
pub use session_dir::{Probe, SessionDir, close_never_started, write_not_started};
pub use spawn::spawn_supervisor;
pub use spec::{DEFAULT_LOG_LIMIT, LogOverflow, SPEC_VERSION, Spec, StdinSource};
pub use status::{AgentEnd, LeftBehind, Phase, ProcId, STATUS_VERSION, Status};

/// No room for `exit.json`, say: the lock is kept and it is tried again so often.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The life of `mozi supervise <dir>`: the whole life of a session.
///
/// To be called first of all in `main`, before there is a second thread, a signal handler or an open file: it expects
/// the lock of the directory as standard input and takes the whole process over. SIGTERM and SIGINT to it end the
/// session in good order (a machine is shut down); SIGHUP and the rest are ignored.
pub fn run(dir: &Path) -> ExitCode {
    // Ours to start? Only with the directory's own lock in hand, and while the session has not been closed.
    let Ok(Some(mut place)) = Place::take_over(dir) else { return ExitCode::FAILURE };
    match Session::begin(&mut place) {
        Ok(mut session) => {
            // Everything happens here: output, limits, requests, the end, until the kernel knows no descendant.
            while !session.is_over() {
                session.turn(None);
            }
            let mut record = session.record();
            record.ended_at = clock::wall_now();
            close(&place, &record, |error, until| {
                session.note_trouble(error);
                while Instant::now() < until {
                    session.turn(Some(until));
                }
            });
        }
        Err(error) => {
            let record = ExitRecord::not_started(Cause::SpawnError, Some(error), WrittenBy::Supervisor);
            close(&place, &record, |_, until| sys::pause(until.saturating_duration_since(Instant::now())));
        }
    }
    // The lock goes with the process. Those that are connected read end of file: `exit.json` is there.
    ExitCode::SUCCESS
}

/// Writes `exit.json`, however long it takes; then the socket has nothing more to say.
fn close(place: &Place, record: &ExitRecord, mut wait: impl FnMut(String, Instant)) {
    while let Err(error) = place.write_exit(record) {
        // Everything is dead, and whoever makes an end of a session without a directory finds that out.
        if place.is_gone() {
            return;
        }
        wait(format!("could not {error}"), Instant::now() + TRY_AGAIN);
    }
    // It is missing if the session was not started.
    drop(std::fs::remove_file(session_dir::name::CONTROL));
}
