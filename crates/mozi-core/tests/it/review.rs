//! Results and decisions on them, by people and by agents.

use mozi_core::{Command, EventKind, Outcome, Role, Status, command::SettingChange, project::Review};

use crate::fixture::{Claimed, Who, World, agent, ends_as, secs};

fn by_critic() -> World {
    let mut w = World::new();
    w.set(SettingChange::Review(Review::Agent(agent("critic"))));
    w.add("t");
    w.finish("t");
    w
}

fn send_back(w: &mut World) -> Claimed {
    let c = w.claim("t");
    assert_eq!((c.attempt.role, &c.attempt.agent), (Role::Reviewer, &agent("critic")));
    w.report(&c, Status::Working);
    w.report(&c, Status::Pending);
    w.end(&c, |_| ());
    c
}

#[test]
fn a_reviewer_does_not_move_the_status_by_being_there() {
    let mut w = by_critic();
    let c = w.claim("t");
    assert_eq!(w.status("t"), Status::Review);
    w.report(&c, Status::Working);
    assert_eq!(w.status("t"), Status::Review);
    assert_eq!(w.history("t").last().unwrap(), "agent_started", "a sign of life is no news");
    w.report(&c, Status::Done);
    assert_eq!(w.status("t"), Status::Done);
    let closed = w.end(&c, |_| ());
    assert_eq!((closed.outcome, w.status("t")), (Some(Outcome::Completed), Status::Done));
    let given = w.board.events.iter().filter(|e| matches!(e.kind, EventKind::ReviewGiven { .. })).count();
    assert_eq!(given, 1);
}

#[test]
fn reviewers_send_back_so_often_and_no_more_until_a_person_acts() {
    let mut w = by_critic();
    w.set(SettingChange::MaxReviewRounds(3));
    for round in 1..=2 {
        send_back(&mut w);
        assert_eq!((w.status("t"), w.task("t").state.rounds), (Status::Pending, round));
        w.finish("t");
    }
    let last = send_back(&mut w);
    assert_eq!(w.status("t"), Status::Blocked);
    assert_eq!(w.task("t").state.kind.as_deref(), Some("review_rounds"));
    assert!(w.task("t").state.detail.as_ref().unwrap().contains("said so"), "the last remark is there");
    assert_eq!(w.history("t").iter().filter(|e| *e == "review>blocked").count(), 1);
    assert_eq!(
        w.board.attempts[&(last.attempt.key.clone(), last.attempt.number)].outcome,
        Some(Outcome::Completed)
    );
    // A person's word begins a new count.
    w.decide("t", Status::Pending);
    assert_eq!(w.task("t").state.rounds, 0);
    w.finish("t");
    send_back(&mut w);
    w.finish("t");
    w.decide("t", Status::Pending);
    assert_eq!(w.task("t").state.rounds, 0, "a person's send-back is none of a reviewer");
    for round in 1..=2 {
        w.finish("t");
        send_back(&mut w);
        assert_eq!(w.task("t").state.rounds, round);
    }
}

#[test]
fn a_send_back_begins_a_new_budget() {
    let mut w = World::new();
    w.set(SettingChange::Review(Review::Agent(agent("critic"))));
    w.add("t");
    for _ in 0..2 {
        let c = w.claim("t");
        w.end(&c, |e| ends_as(e, Outcome::Crashed));
        w.later(secs(600));
    }
    w.finish("t");
    assert_eq!(w.task("t").state.budget_used, 2, "a verdict is not the end of the budget");
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    w.later(secs(600));
    send_back(&mut w);
    let s = &w.task("t").state;
    assert_eq!((s.budget_used, s.review_used, s.repeats, s.not_before), (0, 0, 0, None));
}

#[test]
fn a_person_may_be_faster_than_the_reviewer() {
    for decision in [Status::Done, Status::Pending, Status::Blocked, Status::Cancelled] {
        let mut w = by_critic();
        let c = w.claim("t");
        w.decide("t", decision);
        assert_eq!(w.status("t"), decision);
        assert_eq!(w.refused(c.who(), World::say("t", Status::Done, None)), "attempt_closed");
        let closed = w.end(&c, |e| ends_as(e, Outcome::Cancelled));
        assert_eq!((closed.outcome, closed.verdict), (Some(Outcome::Cancelled), None));
        assert_eq!(w.status("t"), decision);
        assert_eq!(w.task("t").state.review_used, 0);
    }
}

#[test]
fn nobody_reviews_what_is_their_own() {
    // The setting names an author: found when it arrives.
    let mut w = World::new();
    w.set(SettingChange::Review(Review::Agent(agent("coder"))));
    w.add("t");
    w.finish("t");
    assert!(w.task("t").state.reviewer_given_up);
    assert_eq!(w.history("t").last().unwrap(), "agent_completed");
    assert!(w.history("t").contains(&"reviewer_given_up".to_owned()));
    assert_eq!(w.waits("t"), ["review"]);
    // It is changed to one later: found by the claim, once.
    let mut w = by_critic();
    w.set(SettingChange::Review(Review::Agent(agent("coder"))));
    assert_eq!(w.waits("t"), ["review"]);
    w.add("other");
    assert_eq!(w.claim_many(2).len(), 1, "it holds up nobody else");
    assert!(w.task("t").state.reviewer_given_up);
    assert!(w.claim_many(2).is_empty());
    assert_eq!(w.history("t").iter().filter(|e| *e == "reviewer_given_up").count(), 1);
    // Another reviewer for this task is another chance.
    w.edit("t", |p| p.review = Some(Some(Review::Agent(agent("critic")))));
    assert_eq!(w.claim("t").attempt.agent, agent("critic"));
}

#[test]
fn an_author_of_an_earlier_attempt_is_an_author() {
    let mut w = World::new();
    w.add_with("t", |n| n.spec.agent = Some(agent("critic")));
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    w.edit("t", |p| {
        p.agent = Some(Some(agent("coder")));
        p.review = Some(Some(Review::Agent(agent("critic"))));
    });
    w.later(secs(60));
    w.finish("t");
    assert!(w.claim_many(1).is_empty());
    assert!(w.task("t").state.reviewer_given_up);
}

#[test]
fn without_review_a_verdict_is_enough() {
    let mut w = World::new();
    w.set(SettingChange::Review(Review::None));
    w.add("t");
    let c = w.work("t");
    assert_eq!(w.status("t"), Status::Done);
    assert_eq!(
        w.history("t")[3..],
        ["output_added", "claimed>working", "working>review", "review>done"],
        "each move is told"
    );
    // Every repetition of the verdict is answered with the task as it is now.
    w.ok(c.who(), World::say("t", Status::Review, None));
    assert_eq!(w.refused(c.who(), World::say("t", Status::Working, None)), "verdict_given");
}

#[test]
fn the_review_setting_is_read_when_the_verdict_is_given_and_a_change_moves_nothing() {
    let mut w = World::new();
    w.add("t");
    w.finish("t");
    w.set(SettingChange::Review(Review::None));
    assert_eq!(w.status("t"), Status::Review);
    w.edit("t", |p| p.review = Some(Some(Review::None)));
    assert_eq!(w.status("t"), Status::Review);
    assert!(w.claim_many(1).is_empty());
    w.edit("t", |p| p.review = Some(Some(Review::Agent(agent("critic")))));
    assert_eq!(w.claim("t").attempt.role, Role::Reviewer, "and when a reviewer is claimed");
    // The task's own setting comes before the project's.
    w.add_with("own", |n| n.spec.review = Some(Review::Human));
    w.work("own");
    assert_eq!(w.status("own"), Status::Review);
}

#[test]
fn a_reviewer_may_comment_and_deliver_while_it_reviews() {
    let mut w = by_critic();
    let c = w.claim("t");
    w.deliver(&c);
    let say =
        |body: &str| Command::AddComment { key: c.attempt.key.clone(), author: None, body: body.into() };
    w.ok(c.who(), say("hm"));
    w.report(&c, Status::Done);
    w.ok(c.who(), say("well done"));
    w.decide_is_refused("t", Status::Pending);
}

impl World {
    #[track_caller]
    fn decide_is_refused(&mut self, task: &str, to: Status) {
        assert_eq!(self.refused(Who::Operator, Self::say(task, to, Some("no"))), "transition_refused");
    }
}

#[test]
fn the_executors_pause_is_none_of_the_reviewers() {
    let mut w = World::new();
    w.set(SettingChange::Review(Review::Agent(agent("critic"))));
    w.set(SettingChange::OnNoVerdict(mozi_core::project::OnNoVerdict::Review));
    w.add("t");
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    w.later(secs(60));
    let c = w.claim("t");
    w.end(&c, |_| ());
    assert_eq!(w.task("t").state.not_before, None);
    assert_eq!(w.claim("t").attempt.role, Role::Reviewer, "nobody vouched for it: all the more to review");
}

#[test]
fn a_send_back_gives_reviewers_another_chance() {
    let mut w = by_critic();
    w.set(SettingChange::MaxReviewAttempts(1));
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    assert!(w.task("t").state.reviewer_given_up);
    w.decide("t", Status::Pending);
    w.finish("t");
    assert_eq!(w.claim("t").attempt.role, Role::Reviewer);
}
