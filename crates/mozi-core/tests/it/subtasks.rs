//! Tasks that executors create.

use mozi_core::{
    Command, Reply, Role, Status, TaskId,
    command::{NewTask, SettingChange},
    project::Review,
};

use crate::fixture::{Claimed, Who, World, agent, id};

fn sub(name: Option<&str>) -> NewTask {
    NewTask { id: name.map(id), ..World::new_task(name.unwrap_or("sub")) }
}
fn create(new: NewTask) -> Command {
    Command::CreateTask(Box::new(new))
}
fn allowed() -> (World, Claimed) {
    let mut w = World::new();
    w.set(SettingChange::AgentsMayCreate(true));
    w.add("t");
    let c = w.claim("t");
    (w, c)
}

#[test]
fn only_where_the_project_allows_it() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    assert_eq!(w.refused(c.who(), create(sub(None))), "forbidden");
    w.set(SettingChange::AgentsMayCreate(true));
    w.ok(c.who(), create(sub(None)));
}

#[test]
fn a_subtask_is_a_child_of_the_task_it_was_created_from() {
    let (mut w, c) = allowed();
    let Reply::Task { task, created: true, .. } = w.ok(c.who(), create(sub(Some("part")))) else { panic!() };
    assert_eq!((task.spec.parent.as_ref().map(TaskId::as_str), task.state.depth), (Some("t"), 1));
    assert_eq!(task.created_by.name.as_deref(), Some("coder"));
    let mut elsewhere = sub(Some("x"));
    elsewhere.spec.parent = Some(id("part"));
    assert_eq!(w.refused(c.who(), create(elsewhere)), "invalid_body");
    let mut foreign = sub(Some("x"));
    foreign.project = "other".parse().unwrap();
    assert_eq!(w.refused(c.who(), create(foreign)), "not_found");
    // A parent is a link, no more: the child may even end first, or never.
    w.deliver(&c);
    w.report(&c, Status::Review);
    w.decide("t", Status::Done);
    assert_eq!(w.status("part"), Status::Pending);
}

#[test]
fn at_most_fifty_an_attempt() {
    let (mut w, c) = allowed();
    for n in 0..50 {
        w.ok(c.who(), create(sub(Some(&format!("s{n}")))));
    }
    assert_eq!(w.refused(c.who(), create(sub(Some("s50")))), "forbidden");
    // What it has created already is answered, not counted.
    let Reply::Task { created: false, .. } = w.ok(c.who(), create(sub(Some("s0")))) else { panic!() };
    assert_eq!(w.project().counts.to_array().iter().sum::<u64>(), 51);
}

#[test]
fn at_most_three_deep() {
    let (mut w, mut c) = allowed();
    for depth in 1..=3 {
        let name = format!("d{depth}");
        let mut new = sub(Some(&name));
        new.spec.priority = -depth;
        w.ok(c.who(), create(new));
        c = w.claim(&name);
        assert_eq!(i64::from(w.task(&name).state.depth), depth);
    }
    assert_eq!(w.refused(c.who(), create(sub(Some("d4")))), "forbidden");
    // What a person links below begins anew.
    let mut mine = sub(Some("mine"));
    mine.spec.parent = Some(id("d3"));
    let Reply::Task { task, .. } = w.ok(Who::Operator, create(mine)) else { panic!() };
    assert_eq!(task.state.depth, 0);
}

#[test]
fn not_by_reviewers_nor_after_the_verdict_has_left_the_task() {
    let (mut w, c) = allowed();
    w.set(SettingChange::Review(Review::Agent(agent("critic"))));
    w.deliver(&c);
    w.report(&c, Status::Review);
    w.ok(c.who(), create(sub(Some("follow-up"))));
    w.end(&c, |_| ());
    w.decide("follow-up", Status::Blocked);
    let reviewer = w.claim("t");
    assert_eq!(reviewer.attempt.role, Role::Reviewer);
    assert_eq!(w.refused(reviewer.who(), create(sub(Some("x")))), "forbidden");
    w.report(&reviewer, Status::Pending);
    w.end(&reviewer, |_| ());
    let c = w.work("t");
    w.decide("t", Status::Done);
    assert_eq!(w.refused(c.who(), create(sub(Some("x")))), "verdict_given");
}

#[test]
fn a_parent_must_be_there() {
    let mut w = World::new();
    let mut new = sub(Some("x"));
    new.spec.parent = Some(id("nothing"));
    assert_eq!(w.refused(Who::Operator, create(new)), "invalid_body");
}
