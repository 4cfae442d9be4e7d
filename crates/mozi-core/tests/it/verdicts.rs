//! What an attempt may still write, and when.

use mozi_core::{
    Command, Outcome, Reply, Status,
    command::{Report, SettingChange},
    project::RequireOutput,
};

use crate::fixture::{Claimed, Who, World, agent, ends_as, key};

fn output(c: &Claimed) -> Command {
    Command::AddOutput(Box::new(World::new_output(c.attempt.key.task.as_str())))
}
fn comment(c: &Claimed) -> Command {
    Command::AddComment { key: c.attempt.key.clone(), author: None, body: "hello".into() }
}

#[test]
fn a_verdict_review_needs_an_output_of_this_attempt() {
    for setting in [RequireOutput::Auto, RequireOutput::Always] {
        let mut w = World::new();
        w.set(SettingChange::RequireOutput(setting));
        w.add("t");
        let c = w.claim("t");
        w.deliver(&c);
        w.end(&c, |e| ends_as(e, Outcome::Crashed));
        w.ok(Who::Operator, output(&c));
        w.later(crate::fixture::secs(60));
        let c = w.claim("t");
        assert_eq!(w.refused(c.who(), World::say("t", Status::Review, None)), "output_required");
        assert_eq!(w.status("t"), Status::Claimed, "nothing moved");
        w.deliver(&c);
        w.report(&c, Status::Review);
    }
    let mut w = World::new();
    w.set(SettingChange::RequireOutput(RequireOutput::Never));
    w.add("t");
    let c = w.claim("t");
    w.report(&c, Status::Review);
    // No other verdict needs one.
    for said in [Status::Failed, Status::Blocked, Status::Cancelled] {
        let mut w = World::new();
        w.add("t");
        let c = w.claim("t");
        w.report(&c, said);
    }
}

#[test]
fn a_verdict_again_is_answered_with_the_task_as_it_is_now() {
    let mut w = World::new();
    w.add("t");
    let c = w.work("t");
    for now in [Status::Review, Status::Done] {
        if now != Status::Review {
            w.decide("t", now);
        }
        let before = w.board.clone();
        let Reply::Status { task, attempt_number, event_id, .. } =
            w.ok(c.who(), World::say("t", Status::Review, Some("again")))
        else {
            panic!()
        };
        assert_eq!((task.state.status, attempt_number), (now, Some(1)));
        assert_eq!(event_id, w.project().last_event);
        assert!(w.board == before);
        assert_eq!(w.refused(c.who(), World::say("t", Status::Failed, None)), "verdict_given");
    }
}

#[test]
fn what_a_person_approved_does_not_change() {
    let mut w = World::new();
    w.add("t");
    let c = w.work("t");
    // Until then, what belongs to the verdict may still be added.
    w.ok(c.who(), output(&c));
    w.ok(c.who(), comment(&c));
    w.decide("t", Status::Done);
    assert_eq!(w.refused(c.who(), output(&c)), "verdict_given");
    assert_eq!(w.refused(c.who(), comment(&c)), "verdict_given");
    w.ok(Who::Operator, comment(&c));
    w.ok(Who::Operator, output(&c));
    w.end(&c, |_| ());
    assert_eq!(w.refused(c.who(), output(&c)), "attempt_closed");
}

#[test]
fn a_person_decides_while_the_executor_is_in_its_grace() {
    for decision in [Status::Done, Status::Pending] {
        let mut w = World::new();
        w.add("t");
        let c = w.work("t");
        w.decide("t", decision);
        let a = w.board.attempts[&(key("t"), 1)].clone();
        assert_eq!((a.revoked_at, a.is_open()), (None, true), "it ends by itself");
        assert_eq!(w.refused(c.who(), comment(&c)), "verdict_given");
        assert!(w.claim_many(1).is_empty());
        let closed = w.end(&c, |e| e.cause = mozi_core::command::Cause::Grace);
        assert_eq!(closed.outcome, Some(Outcome::Completed));
        assert_eq!(w.status("t"), decision);
    }
}

#[test]
fn a_closed_or_revoked_attempt_writes_nothing() {
    for revoked in [false, true] {
        let mut w = World::new();
        w.set(SettingChange::AgentsMayCreate(true));
        w.add("t");
        let c = w.claim("t");
        if revoked {
            w.decide("t", Status::Blocked);
        } else {
            w.end(&c, |e| ends_as(e, Outcome::Crashed));
        }
        let sub = mozi_core::command::NewTask { id: None, ..World::new_task("sub") };
        let mut all = vec![output(&c), comment(&c), Command::CreateTask(Box::new(sub))];
        all.extend(Status::ALL.iter().map(|s| World::say("t", *s, Some("x"))));
        for command in all {
            assert_eq!(w.refused(c.who(), command), "attempt_closed");
        }
    }
}

#[test]
fn an_attempt_writes_to_its_own_task_only_and_does_nothing_else() {
    let mut w = World::new();
    w.add("t");
    w.add_with("other", |n| n.spec.agent = Some(agent("critic")));
    let all = w.claim_many(2);
    let c = &all[0];
    let other = &all[1];
    for command in [output(other), comment(other), World::say("other", Status::Working, None)] {
        assert_eq!(w.refused(c.who(), command), "not_found");
    }
    let patch = Box::default();
    for command in [
        Command::EditTask { key: key("t"), patch },
        Command::RemoveDependency { key: key("t"), on: crate::fixture::id("other") },
        Command::StopSession { session_id: other.session(), why: None },
        Command::CleanSession { session_id: other.session(), force: true },
        Command::PauseAgent { agent: agent("coder"), detail: None },
        Command::RevokeToken { name: "Admin".into() },
        Command::SetProject {
            id: crate::fixture::project(),
            name: None,
            settings: vec![],
            archived: Some(true),
        },
    ] {
        assert_eq!(w.refused(c.who(), command), "not_found");
    }
    let end = Command::End(Box::new(crate::fixture::exit(c.n, 0)));
    assert_eq!(w.refused(c.who(), end), "forbidden");
}

#[test]
fn what_the_body_claims_beside_a_token_is_a_warning() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    let report = |agent: &str| {
        Command::Report(Box::new(Report {
            key: key("t"),
            status: Status::Working,
            detail: None,
            kind: None,
            attempt_number: None,
            claimed_agent: Some(agent.into()),
        }))
    };
    let Reply::Status { warnings, .. } = w.ok(c.who(), report("somebody")) else { panic!() };
    assert_eq!(warnings.len(), 1);
    let Reply::Status { warnings, .. } = w.ok(c.who(), report("CODER")) else { panic!() };
    assert!(warnings.is_empty());
    let author = Command::AddComment { key: key("t"), author: Some("boss".into()), body: "hi".into() };
    let Reply::Comment { comment, warnings } = w.ok(c.who(), author.clone()) else { panic!() };
    assert_eq!((comment.author.as_str(), warnings.len()), ("coder", 1));
    let Reply::Comment { comment, warnings } = w.ok(Who::Operator, author) else { panic!() };
    assert_eq!((comment.author.as_str(), warnings.len(), comment.id), ("boss", 0, 2));
    assert_eq!(comment.actor.id.as_deref(), Some("operator"));
}

#[test]
fn an_output_changes_the_version_of_its_task_a_comment_does_not() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    let version = w.task("t").version;
    w.ok(c.who(), comment(&c));
    assert_eq!(w.task("t").version, version);
    w.deliver(&c);
    assert!(w.task("t").version > version);
}
