//! The grammar of identifiers.

use std::collections::{BTreeSet, HashSet};

use mozi_core::{Command, ProjectId, Reply, SessionId, TaskId};

use crate::fixture::{Who, World, key};

#[test]
fn what_is_an_id() {
    let longest = "x".repeat(127);
    for good in ["a", "7", "A.b_c-d", "0.", "a..b", longest.as_str()] {
        assert_eq!(good.parse::<TaskId>().unwrap().as_str(), good);
    }
    let too_long = "x".repeat(128);
    let bad =
        ["", ".a", "-a", "_a", "a b", "a/b", "..", "a\n", "ä", "任务", "a\0", "a:b", "$(x)", "'", &too_long];
    for bad in bad {
        let e = bad.parse::<TaskId>().unwrap_err();
        assert!(e.to_string().contains("is not an id"), "{e}");
    }
}

#[test]
fn case_makes_no_difference_and_is_kept() {
    let (a, b): (TaskId, TaskId) = ("Fix-1".parse().unwrap(), "fIX-1".parse().unwrap());
    assert_eq!(a, b);
    assert_eq!(a.cmp(&b), std::cmp::Ordering::Equal);
    assert_eq!((a.as_str(), a.folded()), ("Fix-1", "fix-1".to_owned()));
    assert_eq!(HashSet::from([a.clone(), b.clone()]).len(), 1);
    assert_eq!(BTreeSet::from([a, b]).len(), 1);
    let order: BTreeSet<ProjectId> = ["b", "A", "c", "B2"].iter().map(|s| s.parse().unwrap()).collect();
    assert_eq!(order.iter().map(ProjectId::as_str).collect::<Vec<_>>(), ["A", "b", "B2", "c"]);
}

#[test]
fn an_id_in_another_case_is_the_same_task() {
    let mut w = World::new();
    w.add("Fix-1");
    let mut again = World::new_task("FIX-1");
    again.fingerprint = "another".into();
    assert_eq!(w.refused(Who::Operator, Command::CreateTask(Box::new(again.clone()))), "duplicate_id");
    again.fingerprint = "Fix-1".into();
    let Reply::Task { task, created: false, .. } = w.ok(Who::Operator, Command::CreateTask(Box::new(again)))
    else {
        panic!("made twice")
    };
    assert_eq!(task.key.task.as_str(), "Fix-1");
    assert_eq!(w.claim("fix-1").attempt.key, key("FIX-1"));
}

#[test]
fn a_task_without_an_id_gets_the_next_free_number() {
    let mut w = World::new();
    w.add("2");
    let numbers: Vec<_> = (0..3)
        .map(|n| {
            let new =
                mozi_core::command::NewTask { id: None, fingerprint: format!("{n}"), ..World::new_task("x") };
            let Reply::Task { task, created: true, .. } =
                w.ok(Who::Operator, Command::CreateTask(Box::new(new)))
            else {
                panic!("not made")
            };
            task.key.task.to_string()
        })
        .collect();
    assert_eq!(numbers, ["1", "3", "4"]);
}

#[test]
fn session_ids_are_uuids() {
    let text = "2f1e4c2a-0000-4000-8000-0123456789ab";
    assert_eq!(text.parse::<SessionId>().unwrap().to_string(), text);
    assert!("2f1e".parse::<SessionId>().is_err());
}
