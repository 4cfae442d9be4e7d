//! Why a task is not running: each answer, and the moment after it.

use mozi_core::{
    Command, Outcome, Status, Until, WaitingFor,
    command::{SessionNote, SettingChange},
    project::Review,
    session::{HeldUp, HoldUp},
};

use crate::fixture::{Who, World, agent, ends_as, id, secs};

#[test]
fn a_task_that_is_ready_waits_for_nothing() {
    let mut w = World::new();
    w.add("t");
    assert!(w.waiting("t").is_empty());
    let c = w.claim("t");
    let at_work = [WaitingFor::Attempt {
        number: 1,
        role: mozi_core::Role::Executor,
        agent: agent("coder"),
        since: w.now,
    }];
    assert_eq!(w.waiting("t"), at_work);
    w.report(&c, Status::Working);
    assert_eq!(w.waiting("t"), at_work);
    w.deliver(&c);
    w.report(&c, Status::Review);
    let ending = WaitingFor::AttemptEnding { number: 1, held_up: None };
    assert_eq!(w.waiting("t"), [ending, WaitingFor::Review], "it has said so and is still there");
    w.end(&c, |_| ());
    assert_eq!(w.waiting("t"), [WaitingFor::Review]);
    w.decide("t", Status::Done);
    assert!(w.waiting("t").is_empty(), "it has ended");
}

#[test]
fn a_reviewer_at_work_is_named_also_where_a_person_decides() {
    let mut w = World::new();
    w.set(SettingChange::Review(Review::Agent(agent("critic"))));
    w.add("t");
    w.finish("t");
    let c = w.claim("t");
    assert_eq!(w.waits("t"), ["attempt"]);
    w.set(SettingChange::Review(Review::Human));
    assert_eq!(w.waits("t"), ["attempt", "review"]);
    w.end(&c, |_| ());
    assert_eq!(w.waits("t"), ["review"]);
}

#[test]
fn a_dependency_is_named_with_its_status() {
    let mut w = World::new();
    w.add("a");
    w.add_after("b", "a", Until::Done);
    let dependency = |status| WaitingFor::Dependency { task_id: id("a"), status, until: Until::Done };
    assert_eq!(w.waiting("b"), [dependency(Status::Pending)]);
    w.decide("a", Status::Cancelled);
    assert_eq!(w.waiting("b"), [dependency(Status::Cancelled)]);
    assert!(w.waiting("b")[0].to_string().contains("has ended as cancelled"), "{}", w.waiting("b")[0]);
}

#[test]
fn a_person_is_told_what_to_decide() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    let mut r = World::say("t", Status::Blocked, Some("which database?"));
    if let Command::Report(r) = &mut r {
        r.kind = Some("needs_input".into());
    }
    w.ok(c.who(), r);
    let person =
        WaitingFor::Person { kind: Some("needs_input".into()), detail: Some("which database?".into()) };
    assert_eq!(
        w.waiting("t"),
        [WaitingFor::AttemptEnding { number: 1, held_up: None }, person.clone()],
        "it has said so and is still there"
    );
    w.end(&c, |_| ());
    assert_eq!(w.waiting("t"), [person]);
}

#[test]
fn an_attempt_that_cannot_end_says_what_is_left_of_it() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    w.decide("t", Status::Blocked);
    w.decide("t", Status::Pending);
    assert_eq!(w.waits("t"), ["attempt_ending"]);
    for (by, kind) in [(HoldUp::Processes, "attempt_ending"), (HoldUp::Gateway, "gateway")] {
        let held_up = HeldUp { by, detail: "pid 4711 (postgres)".into() };
        w.ok(
            Who::Runner,
            Command::NoteSession { session_id: c.session(), note: SessionNote::HeldUp(held_up.clone()) },
        );
        assert_eq!(w.waits("t"), [kind]);
        assert_eq!(w.waiting("t"), [WaitingFor::AttemptEnding { number: 1, held_up: Some(held_up) }]);
    }
    w.ok(Who::Runner, Command::NoteSession { session_id: c.session(), note: SessionNote::Free });
    assert_eq!(w.waiting("t"), [WaitingFor::AttemptEnding { number: 1, held_up: None }]);
    w.end(&c, |e| ends_as(e, Outcome::Cancelled));
    assert!(w.waiting("t").is_empty());
}

#[test]
fn a_task_at_work_whose_agent_has_ended_but_cannot_be_closed_says_so() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    let held_up = HeldUp { by: HoldUp::Gateway, detail: "no answer".into() };
    w.ok(Who::Runner, Command::NoteSession { session_id: c.session(), note: SessionNote::HeldUp(held_up) });
    assert_eq!(w.waits("t"), ["gateway"]);
}

#[test]
fn a_slot_is_named_with_who_holds_it() {
    let mut w = World::new();
    w.set(SettingChange::MaxSessions(Some(1)));
    w.add("a");
    w.add("b");
    let c = w.claim("a");
    let [WaitingFor::ProjectSlot { held_by, .. }] = &w.waiting("b")[..] else { panic!() };
    assert_eq!(held_by, &[c.session()]);
}

#[test]
fn a_review_by_an_agent_says_what_holds_it_up_and_that_a_person_may_be_faster() {
    let mut w = World::new();
    w.add_with("t", |n| n.spec.review = Some(Review::Agent(agent("critic"))));
    let c = w.work("t");
    assert_eq!(w.waits("t"), ["attempt_ending", "review"]);
    w.end(&c, |_| ());
    assert_eq!(w.waits("t"), ["review"], "it will be claimed");
    w.ok(Who::Operator, Command::PauseAgent { agent: agent("critic"), detail: None });
    assert_eq!(w.waits("t"), ["agent_paused", "review"]);
    w.ok(Who::Operator, Command::ResumeAgent { agent: agent("critic") });
    let c = w.claim("t");
    assert_eq!(w.waits("t"), ["attempt"]);
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    assert_eq!(w.waits("t"), ["time", "review"]);
    w.later(secs(60));
    w.claim("t");
}

#[test]
fn all_that_is_in_the_way_is_said_at_once() {
    let mut w = World::new();
    w.add("a");
    w.add_with("b", |n| {
        n.depends_on.push((id("a"), Until::Done));
        n.not_before = Some(mozi_core::Timestamp::from_micros(i64::MAX));
        n.spec.agent = Some(agent("stranger"));
    });
    w.set(SettingChange::Dispatch(mozi_core::project::Dispatch::Manual));
    assert_eq!(w.waits("b"), ["manual", "dependency", "time", "agent_unknown"]);
}
