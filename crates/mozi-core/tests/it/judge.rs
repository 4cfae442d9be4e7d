//! What an end is called, written out.

use mozi_core::{
    Outcome, Reason, Verdict,
    command::{Cause, EndedAs},
    decide::end::{Ended, judge},
};

const CAUSES: [Cause; 12] = [
    Cause::Itself,
    Cause::Deadline,
    Cause::Stall,
    Cause::OutputLimit,
    Cause::Grace,
    Cause::Stop,
    Cause::SupervisorLost,
    Cause::SupervisorStuck,
    Cause::Reboot,
    Cause::SpawnError,
    Cause::NeverStarted,
    Cause::DryRun,
];

fn by(cause: Cause) -> Ended {
    Ended {
        verdict: None,
        revoked: false,
        stop_requested: false,
        exit_is_verdict: false,
        cause,
        exit_code: None,
        signal: None,
        reason: None,
        ended_as: None,
    }
}

fn exit(code: i32) -> Ended {
    Ended { exit_code: Some(code), ..by(Cause::Itself) }
}

#[test]
fn without_a_verdict() {
    let table = [
        (exit(0), Outcome::NoVerdict, Some(Reason::NoReport)),
        (exit(1), Outcome::Crashed, Some(Reason::ExitStatus)),
        (Ended { signal: Some(11), ..by(Cause::Itself) }, Outcome::Crashed, Some(Reason::KilledBySignal)),
        (by(Cause::Itself), Outcome::Crashed, None),
        (Ended { exit_is_verdict: true, ..exit(0) }, Outcome::Completed, None),
        (Ended { exit_is_verdict: true, ..exit(3) }, Outcome::Crashed, Some(Reason::ExitStatus)),
        (
            Ended { reason: Some(Reason::QuotaExhausted), ..exit(1) },
            Outcome::Crashed,
            Some(Reason::QuotaExhausted),
        ),
        (
            Ended { reason: Some(Reason::RateLimited), ..exit(0) },
            Outcome::NoVerdict,
            Some(Reason::RateLimited),
        ),
        (Ended { ended_as: Some(EndedAs::Finished), ..exit(0) }, Outcome::NoVerdict, Some(Reason::NoReport)),
        (Ended { ended_as: Some(EndedAs::TimedOut), ..exit(0) }, Outcome::TimedOut, Some(Reason::Deadline)),
        (Ended { ended_as: Some(EndedAs::Failed), ..exit(0) }, Outcome::Crashed, Some(Reason::Incomplete)),
        (by(Cause::Deadline), Outcome::TimedOut, Some(Reason::Deadline)),
        (by(Cause::Stall), Outcome::Stalled, Some(Reason::Stall)),
        (by(Cause::OutputLimit), Outcome::OverBudget, Some(Reason::OutputLimit)),
        (by(Cause::SupervisorLost), Outcome::Lost, Some(Reason::SupervisorLost)),
        (by(Cause::SupervisorStuck), Outcome::Lost, Some(Reason::SupervisorStuck)),
        (by(Cause::Reboot), Outcome::Lost, Some(Reason::MachineRebooted)),
        (by(Cause::SpawnError), Outcome::SpawnFailed, Some(Reason::BadConfig)),
        (
            Ended { reason: Some(Reason::ProgramNotFound), ..by(Cause::SpawnError) },
            Outcome::SpawnFailed,
            Some(Reason::ProgramNotFound),
        ),
        (by(Cause::NeverStarted), Outcome::SpawnFailed, Some(Reason::NeverStarted)),
        (by(Cause::DryRun), Outcome::DryRun, None),
        // A machine that is shut down tells supervisors to stop; nobody here did.
        (by(Cause::Stop), Outcome::Lost, Some(Reason::SupervisorLost)),
        (
            Ended { stop_requested: true, ..by(Cause::Stop) },
            Outcome::Cancelled,
            Some(Reason::StoppedByPerson),
        ),
        // Asked to stop, but it had ended by itself before.
        (Ended { stop_requested: true, ..exit(0) }, Outcome::NoVerdict, Some(Reason::NoReport)),
    ];
    for (ended, outcome, reason) in table {
        assert_eq!(judge(ended), (outcome, reason), "{ended:?}");
    }
}

#[test]
fn revoked_before_any_verdict_is_cancelled_whatever_ended_it() {
    for cause in CAUSES {
        for exit_code in [None, Some(0), Some(1)] {
            let ended = Ended { revoked: true, exit_code, exit_is_verdict: true, ..by(cause) };
            assert_eq!(judge(ended), (Outcome::Cancelled, Some(Reason::StoppedByPerson)), "{ended:?}");
        }
    }
}

#[test]
fn after_a_verdict_it_is_completed_unless_something_of_ours_cut_it_short() {
    let cut_short = |cause| match cause {
        Cause::Deadline => Some(Outcome::TimedOut),
        Cause::Stall => Some(Outcome::Stalled),
        Cause::OutputLimit => Some(Outcome::OverBudget),
        _ => None,
    };
    for cause in CAUSES {
        for verdict in Verdict::ALL {
            for exit_code in [None, Some(0), Some(1)] {
                let said = Ended { verdict: Some(*verdict), exit_code, ..by(cause) };
                let expected = cut_short(cause).unwrap_or(Outcome::Completed);
                assert_eq!(judge(said).0, expected, "{said:?}");
                for stopped in [Ended { revoked: true, ..said }, Ended { stop_requested: true, ..said }] {
                    let expected = if cause == Cause::Stop { Outcome::Cancelled } else { expected };
                    assert_eq!(judge(stopped).0, expected, "{stopped:?}");
                }
            }
        }
    }
    let lingered = Ended { verdict: Some(Verdict::Review), ..by(Cause::Grace) };
    assert_eq!(judge(lingered), (Outcome::Completed, Some(Reason::Lingered)));
}
