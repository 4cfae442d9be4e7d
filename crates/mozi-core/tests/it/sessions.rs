//! Sessions: stopped, stuck, forced, cleaned up.

use mozi_core::{
    Command, Outcome, SessionStatus, Status,
    command::{Cause, SessionNote},
    session::{HeldUp, HoldUp},
};

use crate::fixture::{Claimed, Who, World, ends_as};

fn live() -> (World, Claimed) {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    (w, c)
}
fn stop(c: &Claimed) -> Command {
    Command::StopSession { session_id: c.session(), why: Some("wrong branch".into()) }
}
fn clean(c: &Claimed, force: bool) -> Command {
    Command::CleanSession { session_id: c.session(), force }
}
fn note(c: &Claimed, note: SessionNote) -> Command {
    Command::NoteSession { session_id: c.session(), note }
}
fn stuck() -> SessionNote {
    SessionNote::HeldUp(HeldUp { by: HoldUp::Processes, detail: "pid 9 (dd)".into() })
}

#[test]
fn a_stop_by_hand_holds_the_task_and_revokes_the_attempt() {
    let (mut w, c) = live();
    w.report(&c, Status::Working);
    w.ok(Who::Operator, stop(&c));
    let s = &w.task("t").state;
    assert_eq!(
        (s.status, s.kind.as_deref(), s.detail.as_deref()),
        (Status::Blocked, Some("held"), Some("wrong branch"))
    );
    assert_eq!(w.board.sessions[&c.session()].stop_requested.as_deref(), Some("wrong branch"));
    assert_eq!(w.refused(c.who(), World::say("t", Status::Working, None)), "attempt_closed");
    let closed = w.end(&c, |e| ends_as(e, Outcome::Cancelled));
    assert_eq!((closed.outcome, w.status("t")), (Some(Outcome::Cancelled), Status::Blocked));
    let before = w.board.clone();
    w.ok(Who::Operator, stop(&c));
    assert!(w.board == before, "it has ended already");
}

#[test]
fn a_stop_in_the_grace_leaves_the_verdict_alone() {
    let (mut w, c) = live();
    w.deliver(&c);
    w.report(&c, Status::Review);
    w.ok(Who::Operator, stop(&c));
    assert_eq!(w.status("t"), Status::Review);
    let closed = w.end(&c, |e| e.cause = Cause::Stop);
    assert_eq!((closed.outcome, closed.revoked_at), (Some(Outcome::Cancelled), None));
    w.decide("t", Status::Done);
}

#[test]
fn a_stop_nobody_asked_for_is_no_stop_by_a_person() {
    let (mut w, c) = live();
    let closed = w.end(&c, |e| e.cause = Cause::Stop);
    assert_eq!((closed.outcome, w.status("t")), (Some(Outcome::Lost), Status::Pending));
}

#[test]
fn only_what_is_held_up_can_be_forced() {
    let (mut w, c) = live();
    assert_eq!(w.refused(Who::Operator, clean(&c, false)), "session_active");
    assert_eq!(w.refused(Who::Operator, clean(&c, true)), "session_active");
    w.ok(Who::Runner, note(&c, stuck()));
    assert_eq!(w.board.sessions[&c.session()].status, SessionStatus::Stuck);
    assert_eq!(w.refused(Who::Operator, clean(&c, false)), "session_active");
    w.ok(Who::Operator, clean(&c, true));
    assert!(w.board.sessions[&c.session()].forced);
    assert!(w.board.attempts.values().any(mozi_core::Attempt::is_open), "its runner closes it, not the word");
    assert!(w.history("t").contains(&"session_forced".to_owned()));
    w.end(&c, |e| ends_as(e, Outcome::Lost));
    assert_eq!(w.status("t"), Status::Pending);
}

#[test]
fn what_holds_up_an_end_is_told_once() {
    let (mut w, c) = live();
    w.ok(Who::Runner, note(&c, SessionNote::Ending));
    for _ in 0..3 {
        w.ok(Who::Runner, note(&c, stuck()));
    }
    assert_eq!(w.history("t").iter().filter(|e| *e == "held_up_processes").count(), 1);
    w.ok(Who::Runner, note(&c, SessionNote::Free));
    assert_eq!(w.board.sessions[&c.session()].status, SessionStatus::Ending);
    assert_eq!(w.refused(Who::OtherRunner, note(&c, stuck())), "not_found");
}

#[test]
fn an_ended_session_is_forgotten_when_its_files_are_gone() {
    let (mut w, c) = live();
    assert_eq!(w.refused(Who::Runner, note(&c, SessionNote::Cleaned)), "session_active");
    w.end(&c, |_| ());
    w.ok(Who::Operator, clean(&c, false));
    assert!(w.board.sessions[&c.session()].clean_requested);
    w.ok(Who::Runner, note(&c, SessionNote::Cleaned));
    assert!(!w.board.sessions.contains_key(&c.session()));
    assert_eq!(w.refused(Who::Runner, note(&c, SessionNote::Cleaned)), "not_found");
    assert_eq!(w.board.attempts.len(), 1, "the attempt stays");
}

#[test]
fn started_is_told_once() {
    let (mut w, c) = live();
    let started =
        |pid| Command::Started { session_id: c.session(), pid: Some(pid), workspace: Some("/w".into()) };
    w.ok(Who::Runner, started(1));
    let before = w.board.clone();
    w.ok(Who::Runner, started(2));
    assert!(w.board == before);
    let s = &w.board.sessions[&c.session()];
    assert_eq!((s.status, s.pid), (SessionStatus::Running, Some(1)));
    assert_eq!(w.board.attempts[&(c.attempt.key.clone(), 1)].workspace.as_deref(), Some("/w"));
    w.end(&c, |_| ());
    let before = w.board.clone();
    w.ok(Who::Runner, started(3));
    assert!(w.board == before, "a late word of a session that has ended");
}

#[test]
fn a_session_without_a_task_ends_as_it_exits() {
    for (code, outcome) in [(0, Outcome::Completed), (1, Outcome::Crashed)] {
        let mut w = World::new();
        let Err(mozi_core::Refusal::NotFound { what }) = w.start_by_name(None, "coder") else { panic!() };
        let s = w.end_session(what.parse().unwrap(), |e| e.exit_code = Some(code));
        assert_eq!(s.status, SessionStatus::Ended(outcome));
        assert_eq!(w.board.events.last().unwrap().kind.name(), "session_ended");
        assert_eq!(w.board.events.last().unwrap().project, None);
    }
}
