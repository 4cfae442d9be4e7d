//! The board comes to rest once, and says how much waits for people.

use mozi_core::{
    Command, EventKind, Outcome, Status, TaskKey,
    command::SettingChange,
    project::{Dispatch, Review},
};

use crate::fixture::{Who, World, agent, ends_as, local, project, secs};

/// Looks, and counts how often the board has said that it rests.
#[track_caller]
fn idle(w: &mut World) -> usize {
    w.ok(Who::Board, Command::Rest);
    w.board.events.iter().filter(|e| matches!(e.kind, EventKind::Idle { .. })).count()
}

#[test]
fn it_rests_once_when_all_is_done() {
    let mut w = World::new();
    assert_eq!(idle(&mut w), 0, "an empty board has not come to rest");
    w.add("a");
    w.add("b");
    assert_eq!(idle(&mut w), 0);
    w.finish("a");
    assert_eq!(idle(&mut w), 0, "b can be claimed");
    let b = w.work("b");
    assert_eq!(idle(&mut w), 0, "b has not ended");
    w.end(&b, |_| ());
    assert_eq!(idle(&mut w), 1);
    assert_eq!(idle(&mut w), 1);
    let last = w.board.events.last().unwrap();
    assert_eq!(last.kind, EventKind::Idle { review: 2, blocked: 0, pending: 0, failed: 0 });
    assert_eq!((last.project.as_ref(), last.kind.name().as_str()), (None, "idle"));
    assert_eq!(EventKind::parse("idle", last.kind.detail()), last.kind);
    w.decide("a", Status::Done);
    assert_eq!(idle(&mut w), 1, "a decision alone begins nothing");
    w.decide("b", Status::Pending);
    assert_eq!(idle(&mut w), 1);
    w.finish("b");
    assert_eq!(idle(&mut w), 2);
}

#[test]
fn what_ran_between_two_looks_counts() {
    let mut w = World::new();
    w.add("a");
    w.finish("a");
    assert_eq!(idle(&mut w), 1);
    drop(w.start_by_name(None, "coder"));
    let n = w.board.sessions.values().find(|s| s.attempt.is_none()).unwrap().id.0.as_u128();
    assert_eq!(idle(&mut w), 1, "a session without a task runs too");
    w.end_session(n, |_| ());
    assert_eq!(idle(&mut w), 2);
    assert_eq!(idle(&mut w), 2, "and a board that is started anew says nothing");
}

#[test]
fn what_comes_by_itself_is_no_rest() {
    let mut w = World::new();
    w.add("a");
    let c = w.claim("a");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    assert_eq!(idle(&mut w), 0, "it is tried again soon");
    w.later(secs(600));
    let c = w.claim("a");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    w.ok(Who::Runner, Command::Goodbye { runner_id: local() });
    assert_eq!(idle(&mut w), 0, "runners come back");
}

#[test]
fn what_waits_for_a_person_is_rest() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 5] = [
        ("paused", |w| {
            drop(w.ok(Who::Operator, Command::PauseAgent { agent: agent("coder"), detail: None }));
        }),
        ("manual", |w| w.set(SettingChange::Dispatch(Dispatch::Manual))),
        ("no agent", |w| w.set(SettingChange::DefaultAgent(None))),
        ("unknown", |w| w.set(SettingChange::DefaultAgent(Some(agent("stranger"))))),
        ("archived", |w| {
            let archived = Some(true);
            w.ok(
                Who::Admin,
                Command::SetProject { id: project(), name: None, settings: Vec::new(), archived },
            );
        }),
    ];
    for (name, change) in cases {
        let mut w = World::new();
        w.add("a");
        assert_eq!(idle(&mut w), 0, "{name}");
        change(&mut w);
        assert_eq!(idle(&mut w), 1, "{name}");
    }
}

#[test]
fn a_reviewer_that_will_come_is_no_rest() {
    let mut w = World::new();
    w.set(SettingChange::Review(Review::Agent(agent("critic"))));
    w.add("a");
    w.add_after("b", "a", mozi_core::Until::Done);
    w.finish("a");
    assert_eq!(idle(&mut w), 0);
    let review = w.claim("a");
    w.report(&review, Status::Pending);
    w.end(&review, |_| ());
    assert_eq!(idle(&mut w), 0, "it was sent back");
    let key: TaskKey = crate::fixture::key("a");
    assert_eq!(w.board.tasks[&key].state.status, Status::Pending);
}
