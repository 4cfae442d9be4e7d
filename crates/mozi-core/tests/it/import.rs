//! Many tasks at once: all or none, and every wrong line is named.

use mozi_core::{
    Command, EventKind, Refusal, Reply, Status, TaskId, Until,
    command::{BadLine, ImportLine, ImportTasks},
    project::Review,
};

use crate::fixture::{Who, World, agent, key, project};

fn id(text: &str) -> TaskId {
    key(text).task
}

/// A line: id (empty for none) and what it waits for.
fn line(line: u64, task: &str, on: &[&str]) -> ImportLine {
    let mut new = World::new_task("x");
    new.id = (!task.is_empty()).then(|| id(task));
    new.fingerprint = format!("{task} {on:?}");
    new.depends_on = on.iter().map(|on| (id(on), Until::Done)).collect();
    ImportLine { line, task: new }
}

fn import(lines: Vec<ImportLine>) -> Command {
    Command::ImportTasks(Box::new(ImportTasks {
        project: project(),
        lines,
        bad: Vec::new(),
        check_only: false,
    }))
}

fn bad(w: &mut World, lines: Vec<ImportLine>) -> Vec<(u64, String, String)> {
    match w.ask(Who::Operator, import(lines)) {
        Err(Refusal::BadLines { lines, of }) => {
            assert_eq!(lines.len(), of);
            lines.into_iter().map(|BadLine { line, field, why, task: _ }| (line, field, why)).collect()
        }
        other => {
            assert_eq!(other, Ok(Reply::Done), "bad lines are refused");
            Vec::new()
        }
    }
}

#[test]
fn tasks_may_wait_for_each_other_in_any_order() {
    let mut w = World::new();
    let lines =
        vec![line(1, "last", &["first", "middle"]), line(2, "middle", &["first"]), line(3, "first", &[])];
    let reply = w.ok(Who::Operator, import(lines));
    assert!(matches!(reply, Reply::Imported { created: 3, existing: 0, .. }), "{reply:?}");
    let unmet = |w: &World, t: &str| w.board.tasks[&crate::fixture::key(t)].state.unmet;
    assert_eq!((unmet(&w, "last"), unmet(&w, "middle"), unmet(&w, "first")), (2, 1, 0));
    let claimed = w.claim_many(3);
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].attempt.key.task, id("first"));
    let created = w.board.events.iter().filter(|e| matches!(e.kind, EventKind::TaskCreated { .. })).count();
    assert_eq!(created, 3);
}

#[test]
fn the_same_body_again_is_there_already_and_another_is_wrong() {
    let mut w = World::new();
    w.ok(Who::Operator, import(vec![line(1, "a", &[]), line(2, "b", &["a"])]));
    let lines = || vec![line(1, "a", &[]), line(2, "b", &["a"]), line(3, "c", &["b"])];
    let again = w.ok(Who::Operator, import(lines()));
    assert!(matches!(again, Reply::Imported { created: 1, existing: 2, .. }), "{again:?}");
    let again = w.ok(Who::Operator, import(lines()));
    assert!(matches!(again, Reply::Imported { created: 0, existing: 3, .. }), "{again:?}");
    let found = bad(&mut w, vec![line(1, "a", &["c"])]);
    assert_eq!(found[0].1, "task_id");
}

#[test]
fn every_wrong_line_is_named_and_nothing_is_taken_in() {
    let mut w = World::new();
    w.ok(Who::Operator, import(vec![line(1, "there", &[])]));
    let events = w.board.events.len();
    let mut long = line(3, "long", &[]);
    long.task.spec.title = "x".repeat(501);
    let mut other = line(4, "there", &[]);
    other.task.fingerprint = "another body".into();
    let mut orphan = line(9, "orphan", &[]);
    orphan.task.spec.parent = Some(id("nowhere"));
    let found = bad(
        &mut w,
        vec![
            line(1, "good", &["there"]),
            line(2, "lost", &["nobody"]),
            long,
            other,
            line(5, "GOOD", &[]),
            line(6, "itself", &["itself"]),
            line(7, "one", &["two"]),
            line(8, "two", &["three"]),
            orphan,
            line(10, "three", &["one"]),
            line(11, "behind", &["one"]),
            line(12, "twice", &["good", "good"]),
        ],
    );
    let named: Vec<_> = found.iter().map(|(line, field, _)| (*line, field.as_str())).collect();
    assert_eq!(
        named,
        [
            (2, "depends_on"),
            (3, "title"),
            (4, "task_id"),
            (5, "task_id"),
            (6, "depends_on"),
            (7, "depends_on"),
            (9, "parent"),
            (12, "depends_on"),
        ]
    );
    assert!(found[5].2.contains("one waits for two waits for three waits for one"), "{}", found[5].2);
    assert_eq!(w.board.events.len(), events);
}

#[test]
fn what_could_not_be_read_may_be_what_another_line_means() {
    let mut w = World::new();
    let unread = |task: Option<&str>| BadLine {
        line: 1,
        task: task.map(id),
        field: "title".into(),
        why: "is missing".into(),
    };
    for task in [Some("first"), None] {
        let lines = vec![line(2, "second", &["first"])];
        let command = ImportTasks { project: project(), lines, bad: vec![unread(task)], check_only: false };
        let refused = w.ask(Who::Operator, Command::ImportTasks(Box::new(command)));
        assert_eq!(refused, Err(Refusal::BadLines { lines: vec![unread(task)], of: 1 }));
    }
}

#[test]
fn numbers_are_given_past_those_that_lines_and_tasks_have() {
    let mut w = World::new();
    w.ok(Who::Operator, import(vec![line(1, "2", &[])]));
    w.ok(
        Who::Operator,
        import(vec![line(1, "", &[]), line(2, "", &[]), line(3, "3", &[]), line(4, "", &[])]),
    );
    let ids: Vec<_> = w.board.created.iter().map(|k| k.task.to_string()).collect();
    assert_eq!(ids, ["2", "1", "4", "3", "5"]);
    assert_eq!(w.board.projects[&project()].next_task, 6);
}

#[test]
fn a_look_writes_nothing() {
    let mut w = World::new();
    let before = w.board.clone();
    let lines = vec![line(1, "a", &[])];
    let look = ImportTasks { project: project(), lines, bad: Vec::new(), check_only: true };
    let reply = w.ok(Who::Operator, Command::ImportTasks(Box::new(look)));
    assert!(matches!(reply, Reply::Imported { created: 1, existing: 0, .. }), "{reply:?}");
    assert_eq!(w.board, before);
}

#[test]
fn only_who_may_add_tasks_takes_them_in_and_only_where_tasks_may_be_added() {
    let mut w = World::new();
    for who in [Who::Viewer, Who::Stranger, Who::Runner, Who::Nobody, Who::Forged] {
        assert!(w.ask(who, import(vec![line(1, "a", &[])])).is_err(), "{who:?}");
    }
    w.ok(
        Who::Admin,
        Command::SetProject { id: project(), name: None, settings: Vec::new(), archived: Some(true) },
    );
    let refused = w.ask(Who::Operator, import(vec![line(1, "a", &[])]));
    assert!(matches!(refused, Err(Refusal::ProjectArchived { .. })), "{refused:?}");
}

#[test]
fn who_is_not_there_is_told_once() {
    let mut w = World::new();
    let by = |n: u64, who: &str| {
        let mut line = line(n, "", &[]);
        line.task.spec.agent = Some(agent(who));
        line.task.spec.review = Some(Review::Agent(agent("judge")));
        line
    };
    let reply = w.ok(Who::Operator, import(vec![by(1, "ghost"), by(2, "ghost"), by(3, "coder")]));
    let Reply::Imported { warnings, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("ghost: 2 of the tasks wait"), "{warnings:?}");
}

#[test]
fn held_lines_begin_blocked() {
    let mut w = World::new();
    let mut held = line(1, "held", &[]);
    held.task.held = true;
    w.ok(Who::Operator, import(vec![held]));
    assert_eq!(w.status("held"), Status::Blocked);
}
