//! The clocks of a session: deadline, stall, grace after the verdict.

use mozi_supervise::*;

use crate::help::*;

#[test]
fn the_deadline_needs_no_runner() {
    let sessions = Sessions::new();
    let record = sessions.run(&Spec { timeout_ms: Some(100), ..sessions.spec("exec sleep 1000") });
    assert_eq!(
        (record.cause, record.ended, record.signal),
        (Cause::Deadline, Some(Ended::Signalled), Some(15))
    );
    assert!(record.elapsed_ms.unwrap() >= 100);
}

#[test]
fn silence_counts_only_while_a_runner_is_connected() {
    let sessions = Sessions::new();
    let spec = Spec { stall_timeout_ms: Some(700), ..sessions.spec("echo ready; exec sleep 1000") };
    let mut live = sessions.start(&spec);
    live.wait_output("ready");
    nap(std::time::Duration::from_millis(1500));
    assert_eq!(live.dir.read_status().unwrap().phase, Phase::Running);
    let control = live.control();
    let record = live.wait_end();
    drop(control);
    assert_eq!((record.cause, record.stop), (Cause::Stall, None));
}

#[test]
fn signs_of_life_and_output_begin_the_silence_anew() {
    let sessions = Sessions::new();
    let fifo = |name: &str| sessions.root().join(name).display().to_string();
    shell(&format!("mkfifo {}", fifo("go")));
    let script = format!("for i in 1 2 3 4 5 6; do sleep 0.5; echo $i; done; read x < {}", fifo("go"));
    let mut live = sessions.start(&Spec { stall_timeout_ms: Some(2_000), ..sessions.spec(&script) });
    let mut control = live.control();
    // Three seconds of output every half second,
    live.wait_output("6");
    // then three seconds of signs of life, and no output at all.
    for _ in 0..6 {
        control.request(&Request::SignOfLife).unwrap();
        nap(std::time::Duration::from_millis(500));
    }
    assert_eq!(control.ask_status().unwrap().phase, Phase::Running);
    shell(&format!("echo > {}", fifo("go")));
    assert_eq!(live.wait_end().cause, Cause::Itself);
}

#[test]
fn an_agent_that_lingers_after_its_verdict_is_stopped() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("exec sleep 1000"));
    let mut control = live.control();
    control.request(&Request::VerdictGiven { since_ms_ago: 59_500, grace_ms: 60_000 }).unwrap();
    drop(control);
    let record = live.wait_end();
    assert_eq!((record.cause, record.stop.unwrap().by.as_str()), (Cause::Stop, StopOrder::GRACE));
    assert!(record.elapsed_ms.unwrap() >= 400);
}

#[test]
fn an_agent_that_ends_within_the_grace_has_ended_by_itself() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("sleep 0.3; exit 5"));
    let mut control = live.control();
    control.request(&Request::VerdictGiven { since_ms_ago: 0, grace_ms: 60_000 }).unwrap();
    let record = live.wait_end();
    assert_eq!((record.cause, record.exit_code), (Cause::Itself, Some(5)));
}
