//! Claims: order, limits, repeated offers, starts by name.

use mozi_core::{
    Command, Outcome, Refusal, Reply, Role, Status,
    command::{Claim, Hello, Offer, SettingChange, StartSession},
    project::{Dispatch, Review},
    task::OpenAttempt,
};

use crate::fixture::{Who, World, agent, ends_as, hash, hello, hello_of, key, project, secs, session_id};

fn names(got: &[crate::fixture::Claimed]) -> Vec<String> {
    got.iter().map(|c| c.attempt.key.task.to_string()).collect()
}

#[test]
fn the_most_urgent_first_then_the_oldest() {
    let mut w = World::new();
    for (id, priority) in [("a", 5), ("b", 5), ("urgent", -3), ("late", 9), ("c", 5)] {
        w.add_with(id, |n| n.spec.priority = priority);
        w.later(secs(1));
    }
    assert_eq!(names(&w.claim_many(2)), ["urgent", "a"]);
    assert_eq!(names(&w.claim_many(8)), ["b", "c", "late"]);
}

#[test]
fn a_repeated_offer_answers_the_same_attempt() {
    let mut w = World::new();
    w.add("a");
    w.add("b");
    let claim = w.claim_of(1);
    let first = w.claim_with(claim.clone());
    let before = w.board.clone();
    let again = w.claim_with(claim.clone());
    assert_eq!(first[0].attempt, again[0].attempt);
    assert!(w.board == before, "a repeated offer claims nothing");
    // Along with a new one: one each.
    let mut both = claim.clone();
    both.offers.extend(w.claim_of(1).offers);
    assert_eq!(names(&w.claim_with(both)), ["a", "b"]);
    // With another token it is not the same offer.
    let forged = Claim { offers: vec![Offer { token_hash: hash(99), ..claim.offers[0] }], ..claim.clone() };
    w.add("c");
    assert!(w.claim_with(forged).is_empty());
    // Nor does an attempt that has ended answer it.
    w.end(&first[0], |e| ends_as(e, Outcome::Crashed));
    assert!(w.claim_with(claim).is_empty());
    assert_eq!(w.status("c"), Status::Pending);
}

#[test]
fn an_offer_is_for_one_attempt() {
    let mut w = World::new();
    w.add("a");
    w.add("b");
    let mut claim = w.claim_of(1);
    let offer = claim.offers[0];
    for twin in
        [offer, Offer { token_hash: hash(98), ..offer }, Offer { session_id: session_id(98), ..offer }]
    {
        claim.offers = vec![offer, twin];
        assert_eq!(w.refused(Who::Runner, Command::Claim(Box::new(claim.clone()))), "invalid_body");
    }
    assert_eq!(w.status("a"), Status::Pending);
}

#[test]
fn an_attempt_is_opened_with_all_that_its_end_needs() {
    let mut w = World::new();
    w.add_with("t", |n| n.spec.timeout = Some(secs(90)));
    let c = w.claim("t");
    let a = &c.attempt;
    assert_eq!((a.number, a.role, a.timeout_ms), (1, Role::Executor, Some(90_000)));
    assert_eq!((a.boot_id.as_deref(), a.pid_namespace.as_deref()), (Some("boot-1"), Some("pid-1")));
    assert_eq!(w.task("t").state.open, Some(OpenAttempt { number: 1, role: Role::Executor }));
    assert_eq!(w.history("t"), ["task_created", "pending>claimed", "agent_started"]);
    assert_eq!(w.board.sessions[&c.session()].attempt, Some((key("t"), 1)));
    w.add("u");
    assert_eq!(w.claim("u").attempt.timeout_ms, Some(7_200_000), "the agent's own");
}

#[test]
fn limits_of_agent_runner_and_project_hold_within_one_claim_too() {
    let with = |agents: u32, runner: u32, project_max: Option<u32>| {
        let mut w = World::new();
        let mut h = hello();
        h.max_sessions = runner;
        h.agents[0].max_sessions = agents;
        w.ok(Who::Runner, Command::Hello(Box::new(h)));
        w.set(SettingChange::MaxSessions(project_max));
        for n in 0..6 {
            w.add(&format!("t{n}"));
        }
        let first = w.claim_many(5).len();
        assert!(w.claim_many(5).is_empty(), "full is full");
        (first, w.waits("t5"), w.waiting("t5").len())
    };
    assert_eq!(with(2, 8, None), (2, vec!["slot"], 1));
    assert_eq!(with(0, 3, None), (3, vec!["slot"], 1));
    assert_eq!(with(0, 8, Some(1)), (1, vec!["slot"], 1));
    assert_eq!(with(1, 1, Some(1)), (1, vec!["slot", "slot", "slot"], 3));
}

#[test]
fn a_session_without_a_task_holds_a_slot_of_agent_and_runner() {
    let mut w = World::new();
    let mut h = hello();
    h.max_sessions = 1;
    w.ok(Who::Runner, Command::Hello(Box::new(h)));
    w.set(SettingChange::MaxSessions(Some(1)));
    w.add("t");
    let Err(Refusal::NotFound { what }) = w.start_by_name(None, "critic") else { panic!() };
    assert_eq!(w.waits("t"), ["slot"], "the runner's, not the project's");
    assert!(w.claim_many(1).is_empty());
    let ended = w.end_session(what.parse().unwrap(), |_| ());
    assert_eq!(ended.status, mozi_core::SessionStatus::Ended(Outcome::Completed));
    w.claim("t");
}

#[test]
fn archived_manual_busy_and_unknown_are_not_claimed() {
    let mut w = World::new();
    w.add("t");
    let archive =
        |yes| Command::SetProject { id: project(), name: None, settings: vec![], archived: Some(yes) };
    w.ok(Who::Operator, archive(true));
    assert_eq!(w.waits("t"), ["archived"]);
    assert!(w.claim_many(1).is_empty());
    let late = Command::CreateTask(Box::new(World::new_task("late")));
    assert_eq!(w.refused(Who::Operator, late), "project_archived");
    w.ok(Who::Operator, archive(false));
    w.set(SettingChange::Dispatch(Dispatch::Manual));
    assert_eq!(w.waits("t"), ["manual"]);
    assert!(w.claim_many(1).is_empty());
    w.set(SettingChange::Dispatch(Dispatch::Auto));
    let mut claim = w.claim_of(1);
    claim.busy = vec![project()];
    assert!(w.claim_with(claim).is_empty());
    w.set(SettingChange::DefaultAgent(None));
    assert_eq!(w.waits("t"), ["no_agent"]);
    w.edit("t", |p| p.agent = Some(Some(agent("stranger"))));
    assert_eq!(w.waits("t"), ["agent_unknown"]);
    w.edit("t", |p| p.agent = Some(Some(agent("critic"))));
    assert_eq!(w.claim("t").attempt.agent, agent("critic"));
    let unknown = Claim { runner_id: "nobody".parse().unwrap(), ..w.claim_of(1) };
    assert_eq!(w.refused(Who::Board, Command::Claim(Box::new(unknown))), "not_found");
}

#[test]
fn an_archived_project_lets_its_live_attempts_run_to_their_end() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    w.ok(
        Who::Operator,
        Command::SetProject { id: project(), name: None, settings: vec![], archived: Some(true) },
    );
    w.deliver(&c);
    w.report(&c, Status::Review);
    w.end(&c, |_| ());
    w.decide("t", Status::Done);
}

#[test]
fn a_folder_worked_on_in_place_is_given_to_one_at_a_time() {
    let mut w = World::new();
    w.add("a");
    w.add("b");
    let mut claim = w.claim_of(2);
    claim.in_place = vec![project()];
    let got = w.claim_with(claim);
    assert_eq!(names(&got), ["a"], "not even two in one claim");
    let mut claim = w.claim_of(2);
    claim.in_place = vec![project()];
    assert!(w.claim_with(claim.clone()).is_empty());
    w.end(&got[0], |e| ends_as(e, Outcome::OverBudget));
    assert_eq!(names(&w.claim_with(claim)), ["b"]);
}

#[test]
fn an_agent_is_claimed_only_in_its_roles() {
    let mut w = World::new();
    let mut h = Hello { agents: vec![hello_of("coder"), hello_of("critic")], ..hello() };
    h.agents[1].roles = vec![Role::Executor];
    w.ok(Who::Runner, Command::Hello(Box::new(h)));
    w.set(SettingChange::Review(Review::Agent(agent("critic"))));
    w.add("t");
    w.finish("t");
    assert!(w.claim_many(1).is_empty());
    assert_eq!(w.waits("t"), ["agent_role", "review"]);
}

#[test]
fn a_start_by_name_is_a_claim_like_every_other() {
    let mut w = World::new();
    w.set(SettingChange::Dispatch(Dispatch::Manual));
    w.add_with("t", |n| n.not_before = Some(w_now().plus(secs(60))));
    let waits = |r: Result<_, Refusal>| match r {
        Err(Refusal::NotClaimable { waiting_for }) => {
            waiting_for.iter().map(mozi_core::WaitingFor::kind).collect::<Vec<_>>()
        }
        Err(other) => panic!("{other}"),
        Ok(crate::fixture::Claimed { .. }) => Vec::new(),
    };
    assert_eq!(waits(w.start_by_name(Some("t"), "coder")), ["time"]);
    w.later(secs(60));
    assert_eq!(waits(w.start_by_name(Some("t"), "stranger")), ["agent_unknown"]);
    let c = w.start_by_name(Some("t"), "coder").unwrap();
    assert_eq!((c.attempt.number, w.status("t")), (1, Status::Claimed));
    // The token that its runner made is the attempt's.
    w.report(&c, Status::Working);
    assert_eq!(waits(w.start_by_name(Some("t"), "coder")), ["attempt"]);
    w.end(&c, |e| ends_as(e, Outcome::OverBudget));
    assert_eq!(waits(w.start_by_name(Some("t"), "coder")), ["person"]);
    w.decide("t", Status::Done);
    assert_eq!(waits(w.start_by_name(Some("t"), "coder")), ["person"]);
    // The task's own agent, if it names one.
    w.add_with("mine", |n| n.spec.agent = Some(agent("critic")));
    let Err(e) = w.start_by_name(Some("mine"), "coder") else { panic!() };
    assert_eq!(e.code(), "invalid_body");
    w.start_by_name(Some("mine"), "critic").unwrap();
    let Err(e) = w.start_by_name(Some("nothing"), "coder") else { panic!() };
    assert_eq!(e.code(), "not_found");
}

fn w_now() -> mozi_core::Timestamp {
    World::new().now
}

#[test]
fn a_start_by_name_may_choose_a_reviewer_but_no_author() {
    let mut w = World::new();
    w.add("t");
    w.finish("t");
    let Err(Refusal::NotClaimable { waiting_for }) = w.start_by_name(Some("t"), "coder") else { panic!() };
    assert_eq!(waiting_for, [mozi_core::WaitingFor::Review]);
    let c = w.start_by_name(Some("t"), "critic").unwrap();
    assert_eq!((c.attempt.role, w.status("t")), (Role::Reviewer, Status::Review));
    w.report(&c, Status::Done);
    assert_eq!(w.status("t"), Status::Done);
}

#[test]
fn an_order_is_taken_up_until_its_process_runs() {
    let mut w = World::new();
    w.add("t");
    let c = w.start_by_name(Some("t"), "coder").unwrap();
    let take = |n| Command::TakeSession { session_id: c.session(), token_hash: hash(n) };
    w.ok(Who::Runner, take(77));
    assert_eq!(w.refused(c.who(), World::say("t", Status::Working, None)), "unauthenticated");
    w.ok(Who::Attempt(77), World::say("t", Status::Working, None));
    assert_eq!(w.refused(Who::OtherRunner, take(78)), "not_found");
    w.ok(Who::Runner, Command::Started { session_id: c.session(), pid: Some(1), workspace: None });
    assert_eq!(w.refused(Who::Runner, take(78)), "session_active");
    // What was held before it was taken up is not started.
    w.add("u");
    let c = w.start_by_name(Some("u"), "coder").unwrap();
    w.decide("u", Status::Blocked);
    let take = Command::TakeSession { session_id: c.session(), token_hash: hash(79) };
    assert_eq!(w.refused(Who::Runner, take), "session_active");
    let closed = w.end(&c, |e| e.cause = mozi_core::command::Cause::NeverStarted);
    assert_eq!((closed.outcome, w.status("u")), (Some(Outcome::Cancelled), Status::Blocked));
}

#[test]
fn an_order_that_was_never_taken_up_ends_and_the_task_goes_on() {
    let mut w = World::new();
    w.add("t");
    let start = StartSession {
        session_id: session_id(5),
        agent: agent("coder"),
        message: None,
        verbatim: false,
        task: Some(key("t")),
    };
    w.ok(Who::Operator, Command::StartSession(Box::new(start.clone())));
    assert_eq!(w.refused(Who::Operator, Command::StartSession(Box::new(start))), "duplicate_id");
    w.end_session(5, |e| e.cause = mozi_core::command::Cause::NeverStarted);
    assert_eq!((w.status("t"), w.task("t").state.budget_used), (Status::Pending, 0));
    w.later(secs(60));
    assert_eq!(w.claim("t").attempt.number, 2);
}

#[test]
fn only_a_runner_claims_and_only_for_itself() {
    let mut w = World::new();
    w.add("t");
    let claim = Command::Claim(Box::new(w.claim_of(1)));
    for (who, code) in [
        (Who::Nobody, "unauthenticated"),
        (Who::Forged, "unauthenticated"),
        (Who::Admin, "forbidden"),
        (Who::OtherRunner, "not_found"),
    ] {
        assert_eq!(w.refused(who, claim.clone()), code);
    }
    let Reply::Claimed(got) = w.ok(Who::Runner, claim) else { panic!() };
    assert_eq!(got.len(), 1);
}

#[test]
fn the_place_in_the_queue() {
    let place = |w: &World, id: &str| w.task(id).queue_place().map(|p| (p.role, p.agent, p.from));
    let mut w = World::new();
    w.add("a");
    w.add_with("mine", |n| n.spec.agent = Some(agent("critic")));
    w.add_after("b", "a", mozi_core::Until::Done);
    w.add_with("held", |n| n.held = true);
    let at = w.now.plus(secs(60));
    w.add_with("later", |n| n.not_before = Some(at));
    assert_eq!(place(&w, "a"), Some((Role::Executor, None, None)));
    assert_eq!(place(&w, "mine"), Some((Role::Executor, Some(agent("critic")), None)));
    assert_eq!(place(&w, "b"), None, "a dependency is not met");
    assert_eq!(place(&w, "held"), None);
    assert_eq!(place(&w, "later"), Some((Role::Executor, None, Some(at))));
    w.edit("mine", |p| p.priority = Some(9));
    let c = w.work("a");
    assert_eq!(place(&w, "a"), None, "its attempt is still open");
    w.end(&c, |_| ());
    assert_eq!(
        place(&w, "a"),
        Some((Role::Reviewer, None, None)),
        "whom the project's setting names, if anybody"
    );
    for (review, expected) in [
        (Review::Human, None),
        (Review::None, None),
        (Review::Agent(agent("critic")), Some((Role::Reviewer, Some(agent("critic")), None))),
    ] {
        w.edit("a", |p| p.review = Some(Some(review)));
        assert_eq!(place(&w, "a"), expected);
    }
    w.decide("a", Status::Done);
    assert_eq!((place(&w, "a"), place(&w, "b")), (None, Some((Role::Executor, None, None))));
}
