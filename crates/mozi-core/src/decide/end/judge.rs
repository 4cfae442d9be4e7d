//! How an attempt ended, from what is known of its process and of what it said.

use crate::{
    attempt::Verdict,
    command::{Cause, EndedAs},
    outcome::{Outcome, Reason},
};

/// What is known at the end of a session.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// What the agent said.
    pub verdict: Option<Verdict>,
    /// Its task had left its hands otherwise.
    pub revoked: bool,
    /// A person had asked for its stop.
    pub stop_requested: bool,
    /// Exit 0 is a verdict; also for a session without a task.
    pub exit_is_verdict: bool,
    /// What ended its process.
    pub cause: Cause,
    /// Exit status.
    pub exit_code: Option<i32>,
    /// Signal.
    pub signal: Option<i32>,
    /// Why, as far as the runner can tell.
    pub reason: Option<Reason>,
    /// How its runtime says that the turn ended.
    pub ended_as: Option<EndedAs>,
}

/// The outcome, and why. When several are true: cancelled if revoked before any verdict; else completed if a
/// verdict was given and nothing of ours cut it short before its grace; else what ended it.
pub fn judge(e: Ended) -> (Outcome, Option<Reason>) {
    if e.revoked && e.verdict.is_none() {
        return (Outcome::Cancelled, Some(Reason::StoppedByPerson));
    }
    if e.verdict.is_some() {
        match e.cause {
            Cause::Deadline | Cause::Stall | Cause::OutputLimit => {}
            Cause::Stop if e.revoked || e.stop_requested => {}
            Cause::Grace => return (Outcome::Completed, Some(Reason::Lingered)),
            // A stop that nobody asked for is none of ours: it takes nothing from what was said.
            Cause::Stop
            | Cause::Itself
            | Cause::SupervisorLost
            | Cause::SupervisorStuck
            | Cause::Reboot
            | Cause::SpawnError
            | Cause::NeverStarted
            | Cause::DryRun => return (Outcome::Completed, None),
        }
    }
    match e.cause {
        Cause::Deadline => (Outcome::TimedOut, Some(Reason::Deadline)),
        Cause::Stall => (Outcome::Stalled, Some(Reason::Stall)),
        Cause::OutputLimit => (Outcome::OverBudget, Some(Reason::OutputLimit)),
        Cause::Stop if e.revoked || e.stop_requested => (Outcome::Cancelled, Some(Reason::StoppedByPerson)),
        // Somebody else told the supervisor to stop, as a machine does that is shut down.
        Cause::Stop => (Outcome::Lost, Some(e.reason.unwrap_or(Reason::SupervisorLost))),
        Cause::SupervisorLost => (Outcome::Lost, Some(Reason::SupervisorLost)),
        Cause::SupervisorStuck => (Outcome::Lost, Some(Reason::SupervisorStuck)),
        Cause::Reboot => (Outcome::Lost, Some(Reason::MachineRebooted)),
        Cause::SpawnError => (Outcome::SpawnFailed, Some(e.reason.unwrap_or(Reason::BadConfig))),
        Cause::NeverStarted => (Outcome::SpawnFailed, Some(Reason::NeverStarted)),
        Cause::DryRun => (Outcome::DryRun, None),
        Cause::Itself | Cause::Grace => by_itself(e),
    }
}

fn by_itself(e: Ended) -> (Outcome, Option<Reason>) {
    match e.ended_as {
        Some(EndedAs::TimedOut) => return (Outcome::TimedOut, Some(e.reason.unwrap_or(Reason::Deadline))),
        Some(EndedAs::Failed) => return (Outcome::Crashed, Some(e.reason.unwrap_or(Reason::Incomplete))),
        Some(EndedAs::Finished) | None => {}
    }
    match (e.exit_code, e.signal) {
        (Some(0), _) if e.exit_is_verdict => (Outcome::Completed, None),
        (Some(0), _) => (Outcome::NoVerdict, Some(e.reason.unwrap_or(Reason::NoReport))),
        (Some(_), _) => (Outcome::Crashed, Some(e.reason.unwrap_or(Reason::ExitStatus))),
        (None, Some(_)) => (Outcome::Crashed, Some(e.reason.unwrap_or(Reason::KilledBySignal))),
        (None, None) => (Outcome::Crashed, e.reason),
    }
}
