//! Callbacks without a token: as the agent at work at the task, and as nobody else.

use mozi_core::{
    ActorKind, Command, Reply, Status,
    command::{AgentHello, Hello, Report},
};

use crate::fixture::{Who, World, hello, hello_of, key};

/// A world in which `coder` reports as 开发者 too.
fn world() -> World {
    let mut w = World::new();
    let coder = AgentHello { aliases: vec!["开发者".into(), "Dev".into()], ..hello_of("coder") };
    let agents = vec![coder, hello_of("critic"), hello_of("script")];
    w.ok(Who::Runner, Command::Hello(Box::new(Hello { agents, ..hello() })));
    w
}

fn says(task: &str, agent: Option<&str>, status: Status) -> Command {
    let Command::Report(report) = World::say(task, status, Some("so")) else { unreachable!() };
    Command::Report(Box::new(Report { claimed_agent: agent.map(str::to_owned), ..*report }))
}

fn output(task: &str, agent: &str) -> Command {
    let mut new = World::new_output(task);
    new.claimed_agent = Some(agent.into());
    Command::AddOutput(Box::new(new))
}

#[test]
fn the_agent_at_work_reports_under_its_names() {
    let mut w = world();
    w.add("a");
    w.claim("a");
    for name in ["coder", "CODER", "开发者", "dev"] {
        w.ok(Who::Anonymous, says("a", Some(name), Status::Working));
    }
    w.ok(Who::Anonymous, output("a", "开发者"));
    let comment = Command::AddComment { key: key("a"), author: Some("dev".into()), body: "hm".into() };
    let Reply::Comment { comment, warnings } = w.ok(Who::Anonymous, comment) else { panic!() };
    assert_eq!((comment.author.as_str(), warnings.len()), ("coder", 0));
    w.ok(Who::Anonymous, says("a", Some("开发者"), Status::Review));
    assert_eq!(w.status("a"), Status::Review);
    let event = w.board.events_of(&key("a")).last().unwrap();
    assert_eq!((event.actor.kind, event.actor.name.as_deref()), (ActorKind::Anonymous, Some("coder")));
    assert_eq!(event.attempt_number, Some(1));
}

#[test]
fn nobody_else_is_heard() {
    let mut w = world();
    w.add("a");
    assert_eq!(w.refused(Who::Anonymous, says("a", Some("coder"), Status::Working)), "unauthenticated");
    let c = w.claim("a");
    for name in [None, Some("critic"), Some(""), Some("code")] {
        assert_eq!(w.refused(Who::Anonymous, says("a", name, Status::Working)), "unauthenticated");
    }
    assert_eq!(w.refused(Who::Anonymous, says("none", Some("coder"), Status::Working)), "unauthenticated");
    assert_eq!(w.refused(Who::Nobody, says("a", Some("coder"), Status::Working)), "unauthenticated");
    for never in [Status::Done, Status::Pending] {
        assert_eq!(w.refused(Who::Anonymous, says("a", Some("coder"), never)), "transition_refused");
    }
    let create = Command::CreateTask(Box::new(World::new_task("b")));
    assert_eq!(w.refused(Who::Anonymous, create), "unauthenticated");
    w.decide("a", Status::Blocked);
    // Revoked: from here on it is heard no more, though it is still being ended.
    assert_eq!(w.refused(Who::Anonymous, says("a", Some("coder"), Status::Review)), "unauthenticated");
    w.end(&c, |_| ());
    assert_eq!(w.refused(Who::Anonymous, output("a", "coder")), "unauthenticated");
}

#[test]
fn a_reviewer_shows_its_token() {
    let mut w = world();
    w.add_with("a", |n| n.spec.review = Some(mozi_core::project::Review::Agent("critic".parse().unwrap())));
    w.finish("a");
    let review = w.claim("a");
    assert_eq!(review.attempt.agent.as_str(), "critic");
    for status in [Status::Done, Status::Pending, Status::Working] {
        assert_eq!(w.refused(Who::Anonymous, says("a", Some("critic"), status)), "unauthenticated");
    }
    w.report(&review, Status::Done);
}

#[test]
fn an_alias_beside_a_token_is_no_wrong_name() {
    let mut w = world();
    w.add("a");
    let c = w.claim("a");
    let warnings = |reply| match reply {
        Reply::Status { warnings, .. } => warnings,
        other => panic!("{other:?}"),
    };
    assert_eq!(warnings(w.ok(c.who(), says("a", Some("开发者"), Status::Working))), [""; 0]);
    let wrong = warnings(w.ok(c.who(), says("a", Some("critic"), Status::Working)));
    assert!(wrong[0].contains("critic") && wrong[0].contains("coder"), "{wrong:?}");
}
