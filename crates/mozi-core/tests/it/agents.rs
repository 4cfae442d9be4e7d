//! Agents: failed starts, providers in trouble, pauses, and runners that come and go.

use mozi_core::{
    Command, EventKind, Outcome, Reason, Reply, WaitingFor,
    command::{AgentHello, Hello},
};

use crate::fixture::{Claimed, Who, World, agent, ends_as, hello, hello_of, local, secs};

/// A world with tasks enough for every slot.
fn busy() -> World {
    let mut w = World::new();
    for n in 1..=30 {
        w.add(&format!("t{n}"));
    }
    w
}

fn one(w: &mut World) -> Claimed {
    w.claim_many(1).pop().unwrap_or_else(|| panic!("nothing to claim: {:?}", w.agent("coder")))
}

fn spawn_failed(w: &mut World, c: &Claimed) {
    w.end(c, |e| {
        ends_as(e, Outcome::SpawnFailed);
        e.error = Some("no such program".into());
        e.reason = Some(Reason::ProgramNotFound);
    });
}

fn blamed(w: &mut World, c: &Claimed, reason: Reason) {
    w.end(c, |e| {
        ends_as(e, Outcome::Crashed);
        e.reason = Some(reason);
    });
}

fn paused_for(w: &World) -> Option<u64> {
    w.agent("coder")
        .paused
        .as_ref()
        .filter(|p| p.holds(w.now))
        .map(|p| p.until.unwrap().since(w.now).as_secs())
}

#[test]
fn three_failed_starts_in_a_row_pause_the_agent_twice_as_long_each_time_up_to_an_hour() {
    let mut w = busy();
    for _ in 0..2 {
        let c = one(&mut w);
        spawn_failed(&mut w, &c);
        assert_eq!(paused_for(&w), None);
    }
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        let c = one(&mut w);
        spawn_failed(&mut w, &c);
        assert_eq!(paused_for(&w), Some(minutes * 60));
        assert!(w.claim_many(1).is_empty());
        let [WaitingFor::AgentPaused { until: Some(until), reason, .. }] = &w.waiting("t30")[..] else {
            panic!("{:?}", w.waiting("t30"))
        };
        assert_eq!((*until, *reason), (w.now.plus(secs(minutes * 60)), Some(Reason::ProgramNotFound)));
        w.later(secs(minutes * 60));
    }
}

#[test]
fn after_a_pause_one_task_is_tried_before_the_rest() {
    let mut w = busy();
    let long_running = one(&mut w);
    for _ in 0..3 {
        let c = one(&mut w);
        spawn_failed(&mut w, &c);
    }
    w.later(secs(60));
    let tried = w.claim_many(8);
    assert_eq!(tried.len(), 1, "what runs from before the pause does not count, what is tried does");
    assert_eq!(w.waits("t30"), ["slot"]);
    // Its process runs: starts work again.
    w.ok(Who::Runner, Command::Started { session_id: tried[0].session(), pid: Some(7), workspace: None });
    assert_eq!((w.agent("coder").pauses, w.agent("coder").spawn_failures), (0, 0));
    assert!(w.agent("coder").paused.is_none());
    assert_eq!(w.claim_many(8).len(), 6, "all of the runner's slots but two");
    let resumed = w.board.events.iter().filter(|e| e.kind == EventKind::AgentResumed).count();
    assert_eq!(resumed, 1);
    w.end(&long_running, |_| ());
}

#[test]
fn what_ran_before_the_pause_says_nothing_of_the_agent_after_it() {
    let mut w = busy();
    let all = w.claim_many(3);
    blamed(&mut w, &all[0], Reason::RateLimited);
    w.end(&all[1], |e| ends_as(e, Outcome::Crashed));
    assert_eq!((w.agent("coder").pauses, paused_for(&w)), (1, Some(60)));
    w.later(secs(60));
    w.end(&all[2], |e| ends_as(e, Outcome::Crashed));
    assert_eq!(w.agent("coder").pauses, 1);
    assert_eq!(w.claim_many(8).len(), 1, "one is tried all the same");
}

#[test]
fn a_repetition_after_trouble_with_the_provider_waits_longer_each_time() {
    let mut w = World::new();
    w.add("t");
    for full in [10, 20, 40] {
        let c = w.claim("t");
        blamed(&mut w, &c, Reason::RateLimited);
        let pause = w.task("t").state.not_before.unwrap().at.since(w.now);
        assert!(pause <= secs(full) && pause >= secs(full) * 3 / 4, "{pause:?}");
        w.later(secs(3_600));
    }
}

#[test]
fn a_failed_trial_pauses_again() {
    let mut w = busy();
    for _ in 0..3 {
        let c = one(&mut w);
        spawn_failed(&mut w, &c);
    }
    w.later(secs(60));
    let c = one(&mut w);
    spawn_failed(&mut w, &c);
    assert_eq!(paused_for(&w), Some(120));
}

#[test]
fn a_start_that_works_breaks_the_row() {
    let mut w = busy();
    for _ in 0..5 {
        for _ in 0..2 {
            let c = one(&mut w);
            spawn_failed(&mut w, &c);
        }
        let c = one(&mut w);
        w.end(&c, |e| ends_as(e, Outcome::Crashed));
        assert_eq!(paused_for(&w), None);
    }
    // What never ran because Mozi was interrupted is no fault of the agent.
    for _ in 0..5 {
        let c = one(&mut w);
        w.end(&c, |e| e.cause = mozi_core::command::Cause::NeverStarted);
        assert_eq!(paused_for(&w), None);
    }
}

#[test]
fn one_attempt_that_the_provider_is_to_blame_for_pauses_the_agent() {
    for reason in [Reason::AuthFailed, Reason::QuotaExhausted, Reason::RateLimited] {
        let mut w = busy();
        let c = one(&mut w);
        blamed(&mut w, &c, reason);
        assert_eq!(paused_for(&w), Some(60), "{reason}");
        w.later(secs(60));
        let c = one(&mut w);
        // A process that starts says nothing of the provider.
        w.ok(Who::Runner, Command::Started { session_id: c.session(), pid: None, workspace: None });
        assert!(w.claim_many(8).is_empty(), "one is tried");
        blamed(&mut w, &c, reason);
        assert_eq!(paused_for(&w), Some(120));
        w.later(secs(120));
        let c = one(&mut w);
        w.end(&c, |e| ends_as(e, Outcome::Crashed));
        assert_eq!((w.agent("coder").pauses, paused_for(&w)), (0, None));
        assert_eq!(w.claim_many(3).len(), 3);
    }
    let mut w = busy();
    let c = one(&mut w);
    blamed(&mut w, &c, Reason::ModelError);
    assert_eq!(paused_for(&w), None, "an error of the model counts against the task");
}

#[test]
fn what_was_said_in_a_verdict_blames_nobody() {
    let mut w = World::new();
    w.add("t");
    let c = w.work("t");
    blamed(&mut w, &c, Reason::RateLimited);
    assert_eq!(paused_for(&w), None);
}

#[test]
fn many_sessions_in_the_same_trouble_are_one_pause() {
    let mut w = busy();
    let all = w.claim_many(8);
    for c in &all {
        blamed(&mut w, c, Reason::RateLimited);
        w.later(secs(1));
    }
    assert_eq!(w.agent("coder").pauses, 1);
    assert_eq!(paused_for(&w), Some(60 - 8));
}

#[test]
fn a_reset_time_that_the_provider_named_is_believed() {
    let mut w = busy();
    let all = w.claim_many(3);
    let (soon, later) = (w.now.plus(secs(5 * 3_600)), w.now.plus(secs(9 * 3_600)));
    for (c, at, until) in [(&all[0], soon, soon), (&all[1], later, later), (&all[2], soon, later)] {
        w.end(c, |e| {
            ends_as(e, Outcome::Crashed);
            e.reason = Some(Reason::QuotaExhausted);
            e.reading.reset_at = Some(at);
        });
        assert_eq!(w.agent("coder").paused.as_ref().unwrap().until, Some(until));
        w.later(secs(1));
    }
    // One that has passed already is not: the agent would be tried again at once, and again.
    let mut w = busy();
    let c = one(&mut w);
    let past = w.now;
    w.end(&c, |e| {
        ends_as(e, Outcome::Crashed);
        e.reason = Some(Reason::QuotaExhausted);
        e.reading.reset_at = Some(past);
    });
    assert_eq!(paused_for(&w), Some(60));
}

#[test]
fn a_pause_of_the_board_ends_an_hour_after_the_clock_has_jumped_back() {
    let mut w = busy();
    let c = one(&mut w);
    blamed(&mut w, &c, Reason::AuthFailed);
    w.now = mozi_core::Timestamp::from_micros(w.now.as_micros() - 400 * 86_400 * 1_000_000);
    let [WaitingFor::AgentPaused { until: Some(until), .. }] = w.waiting("t30")[..] else { panic!() };
    assert_eq!(until, w.now.plus(secs(3_600)));
    w.ok(Who::Board, Command::Due);
    w.later(secs(3_600));
    assert_eq!(one(&mut w).attempt.agent, agent("coder"));
}

#[test]
fn a_persons_pause_holds_until_a_person_ends_it() {
    let mut w = busy();
    let running = one(&mut w);
    w.ok(Who::Operator, Command::PauseAgent { agent: agent("coder"), detail: Some("holidays".into()) });
    blamed(&mut w, &running, Reason::RateLimited);
    w.later(secs(40 * 86_400));
    assert!(w.claim_many(1).is_empty());
    let [WaitingFor::AgentPaused { until: None, detail: Some(d), .. }] = &w.waiting("t30")[..] else {
        panic!()
    };
    assert_eq!(d, "holidays");
    assert_eq!(w.refused(Who::Viewer, Command::ResumeAgent { agent: agent("coder") }), "forbidden");
    w.ok(Who::Operator, Command::ResumeAgent { agent: agent("coder") });
    assert_eq!(w.claim_many(3).len(), 3);
    let before = w.board.clone();
    w.ok(Who::Operator, Command::ResumeAgent { agent: agent("coder") });
    assert!(w.board == before, "nothing to resume, nothing written");
    assert_eq!(
        w.refused(Who::Operator, Command::PauseAgent { agent: agent("nobody"), detail: None }),
        "not_found"
    );
}

#[test]
fn what_is_gone_from_the_configuration_is_unknown_and_comes_back_as_it_was() {
    let mut w = World::new();
    w.add("t");
    w.ok(Who::Operator, Command::PauseAgent { agent: agent("coder"), detail: None });
    let less = Hello { agents: vec![hello_of("critic")], ..hello() };
    w.ok(Who::Runner, Command::Hello(Box::new(less)));
    assert_eq!(w.waits("t"), ["agent_unknown"]);
    w.ok(Who::Runner, Command::Hello(Box::new(hello())));
    assert_eq!(w.waits("t"), ["agent_paused"]);
    w.ok(Who::Operator, Command::ResumeAgent { agent: agent("coder") });
    let held = AgentHello { held_back: Some("node 22 is needed".into()), ..hello_of("coder") };
    w.ok(Who::Runner, Command::Hello(Box::new(Hello { agents: vec![held], ..hello() })));
    assert_eq!(w.waits("t"), ["agent_held_back"]);
}

#[test]
fn an_agent_belongs_to_the_runner_that_brought_it() {
    let mut w = World::new();
    w.add("t");
    let remote = Hello { runner_id: "remote".parse().unwrap(), agents: vec![hello_of("coder")], ..hello() };
    w.ok(Who::OtherRunner, Command::Hello(Box::new(remote.clone())));
    assert_eq!(w.agent("coder").runner_id, local());
    let taken = |w: &World| {
        w.board
            .events
            .iter()
            .any(|e| matches!(&e.kind, EventKind::Notice { code, .. } if code == "agent_taken"))
    };
    assert!(taken(&w));
    assert_eq!(w.refused(Who::Runner, Command::Hello(Box::new(remote))), "not_found");
    // It cannot claim for an agent that is another's either.
    let mut claim = w.claim_of(1);
    claim.runner_id = "remote".parse().unwrap();
    let Reply::Claimed(got) = w.ok(Who::OtherRunner, Command::Claim(Box::new(claim))) else { panic!() };
    assert!(got.is_empty());
    assert_eq!(w.claim("t").attempt.runner_id, local());
}

#[test]
fn a_runner_that_is_not_there_is_offline() {
    let mut w = World::new();
    w.add("t");
    w.ok(Who::Runner, Command::Goodbye { runner_id: local() });
    assert_eq!(w.waits("t"), ["agent_offline"]);
    assert!(w.claim_many(1).is_empty());
    w.ok(Who::Runner, Command::Hello(Box::new(hello())));
    assert_eq!(w.waits("t"), [""; 0]);
    w.ok(Who::Board, Command::BoardStarted);
    assert_eq!(w.waits("t"), ["agent_offline"]);
    assert_eq!(w.refused(Who::Admin, Command::BoardStarted), "forbidden");
}

#[test]
fn every_reason_advises_in_both_languages() {
    for reason in Reason::ALL {
        let (en, zh) = reason.advice();
        assert!(en.ends_with('.') && en.is_ascii(), "{reason}: {en}");
        assert!(zh.ends_with('。') && zh.chars().any(|c| ('一'..='鿿').contains(&c)), "{reason}: {zh}");
    }
}
