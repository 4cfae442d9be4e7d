//! What is told of tasks when the events that they came by are gone.

use mozi_core::{
    Command, EventKind, Status, TaskId,
    command::Removed,
    event::{Folded, fold, snapshot::PRUNED},
};

use crate::fixture::{Who, World, key, project};

fn snapshot(tasks: &[&str]) -> Command {
    let tasks = tasks.iter().map(|t| t.parse::<TaskId>().unwrap()).collect();
    Command::SnapshotTasks { project: project(), tasks }
}

fn forget(up_to: u64) -> Command {
    Command::ForgetEvents { project: project(), up_to }
}

/// One task that was done, one at work, and one that waits.
fn scene() -> World {
    let mut w = World::new();
    w.add("a");
    w.finish("a");
    w.decide("a", Status::Done);
    w.add("b");
    w.claim("b");
    w.add("c");
    w
}

#[test]
fn finished_tasks_are_told_by_a_snapshot_and_the_others_are_left_alone() {
    let mut w = scene();
    assert_eq!(w.board.tasks[&key("a")].state.status, Status::Done);
    let before = w.board.events.len();
    w.ok(Who::Board, snapshot(&["a", "b", "c", "none"]));
    let written: Vec<_> = w.board.events[before..].iter().map(|e| (e.task.clone(), e.kind.clone())).collect();
    let [(Some(task), EventKind::TaskSnapshot(s))] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!((task.as_str(), s.because.as_str()), ("a", PRUNED));
    assert_eq!(s.folded.attempts.len(), 1, "all its attempts are told");
}

#[test]
fn nothing_is_forgotten_that_a_task_is_not_told_without() {
    let mut w = scene();
    let of_a = w.board.events_of(&key("a")).last().unwrap().id;
    let last = w.board.projects[&project()].last_event;
    let refused = |w: &mut World, up_to| w.ask(Who::Board, forget(up_to)).unwrap_err().to_string();
    assert!(refused(&mut w, of_a).contains("snapshot"));
    w.ok(Who::Board, snapshot(&["a"]));
    assert!(refused(&mut w, last).contains("snapshot"), "b and c have events before it");
    let newest = w.board.projects[&project()].last_event;
    assert!(refused(&mut w, newest).contains("newest"));
    for who in [Who::Admin, Who::Operator, Who::Runner] {
        assert!(w.ask(who, forget(of_a)).is_err());
        assert!(w.ask(who, snapshot(&["a"])).is_err());
        assert!(w.ask(who, Command::ExpireLogs { sessions: Vec::new() }).is_err());
    }
    // `ok` looks the whole board over: the stream begins later and has no gap, and every fold is as its rows.
    w.ok(Who::Board, forget(of_a));
    let kept: Vec<u64> = w.board.events.iter().filter(|e| e.project.is_some()).map(|e| e.id).collect();
    assert_eq!(kept, (of_a + 1..=newest).collect::<Vec<_>>());
    let attempts: Vec<_> = w.board.attempts_of(&key("a")).cloned().collect();
    let rows = Folded::of(&w.board.tasks[&key("a")], &attempts);
    assert_eq!(fold(w.board.events_of(&key("a"))), Some(rows));
    w.ok(Who::Board, forget(of_a));
    assert_eq!(w.board.projects[&project()].last_event, newest);
}

#[test]
fn what_was_removed_is_told_once_and_not_where_there_was_nothing() {
    let mut w = World::new();
    let before = w.board.events.len();
    w.ok(Who::Admin, Command::KeptHouse { because: "gc".into(), removed: Vec::new() });
    assert_eq!(w.board.events.len(), before);
    let removed = vec![Removed { kind: "logs".into(), count: 3, bytes: Some(70) }];
    w.ok(Who::Admin, Command::KeptHouse { because: "gc".into(), removed: removed.clone() });
    let told = w.board.events.last().unwrap();
    assert_eq!(told.project, None);
    let EventKind::Notice { code, text, more } = &told.kind else { panic!("{told:?}") };
    assert_eq!((code.as_str(), text.as_str()), ("house_kept", "removed: 3 logs"));
    assert_eq!(more["logs"]["bytes"], 70);
    assert!(w.ask(Who::Operator, Command::KeptHouse { because: "gc".into(), removed }).is_err());
    let made = Command::BackupMade { size_bytes: 7, blobs: 1, damaged: 0 };
    assert!(w.ask(Who::Operator, made.clone()).is_err());
    w.ok(Who::Admin, made);
    let told = &w.board.events.last().unwrap().kind;
    assert_eq!(EventKind::parse(&told.name(), told.detail()), *told);
}
