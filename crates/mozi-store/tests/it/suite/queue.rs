//! Claims: the most urgent first, then the oldest; nothing else slows or starves them.

use mozi_core::{Command, Reply, TaskSpec, command::SettingChange, project::Dispatch};

use crate::support::{Disk, after, board, claim, create, hello, id, project, task};

fn claimed(reply: Reply) -> Vec<String> {
    match reply {
        Reply::Claimed(claimed) => {
            claimed.iter().map(|(a, _)| format!("{}/{}", a.key.project, a.key.task)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn in_project(name: &str, task_id: &str, spec: TaskSpec) -> Command {
    Command::CreateTask(Box::new(mozi_core::command::NewTask { project: id(name), ..task(task_id, spec) }))
}

fn of(agent: &str, priority: i64) -> TaskSpec {
    TaskSpec { agent: Some(id(agent)), priority, ..TaskSpec::titled("a task") }
}

fn floor(agents: &[&str], projects: &[(&str, Vec<SettingChange>)]) -> Disk {
    let d = Disk::new();
    for (name, settings) in projects {
        d.done(board(after(0), project(name, settings.clone())));
    }
    d.done(board(after(0), hello(agents, 100)));
    d
}

#[test]
fn over_all_projects_the_most_urgent_first() {
    let by_default = vec![SettingChange::DefaultAgent(Some(id("b")))];
    let d = floor(&["a", "b"], &[("app", vec![]), ("web", by_default)]);
    d.done(board(after(1), in_project("app", "late", of("a", 5))));
    d.done(board(after(2), in_project("web", "mid", TaskSpec { priority: 2, ..TaskSpec::titled("b's") })));
    d.done(board(after(3), in_project("app", "first", of("a", -1))));
    d.done(board(after(4), in_project("web", "old", of("a", 5))));
    let all = claimed(d.done(board(after(5), claim(&["a", "b"], 1..=9))));
    assert_eq!(all, ["app/first", "web/mid", "app/late", "web/old"]);
    d.check();
}

#[test]
fn full_manual_and_archived_projects_do_not_stand_in_the_way() {
    let d = floor(
        &["a"],
        &[
            ("full", vec![SettingChange::MaxSessions(Some(1))]),
            ("hand", vec![SettingChange::Dispatch(Dispatch::Manual)]),
            ("gone", vec![]),
            ("app", vec![]),
        ],
    );
    for name in ["full", "hand", "gone"] {
        for n in 0..20 {
            d.done(board(after(1), in_project(name, &format!("t{n}"), of("a", 0))));
        }
    }
    d.done(board(
        after(1),
        Command::SetProject { id: id("gone"), name: None, settings: vec![], archived: Some(true) },
    ));
    for n in 0..5 {
        d.done(board(after(2), in_project("app", &format!("t{n}"), of("a", 9))));
    }
    let got = claimed(d.done(board(after(5), claim(&["a"], 1..=3))));
    assert_eq!(got, ["full/t0", "app/t0", "app/t1"]);
    let got = claimed(d.done(board(after(6), claim(&["a"], 4..=5))));
    assert_eq!(got, ["app/t2", "app/t3"]);
}

#[test]
fn what_is_delayed_comes_when_its_time_has_come() {
    let d = floor(&["a"], &[("app", vec![])]);
    for n in 0..30u64 {
        let mut later = task(&format!("t{n}"), of("a", 0));
        later.not_before = Some(after(100 + n));
        d.done(board(after(1), Command::CreateTask(Box::new(later))));
    }
    d.done(board(after(2), create("now", of("a", 9))));
    assert_eq!(claimed(d.done(board(after(3), claim(&["a"], 1..=2)))), ["app/now"]);
    assert_eq!(d.ask(d.store.next_due(after(3))).unwrap(), Some(after(100)));
    assert_eq!(claimed(d.done(board(after(102), claim(&["a"], 2..=9)))).len(), 3);
    // Back before its time: it waits again, and is not in the way of others.
    d.done(board(after(103), Command::Due));
    d.done(board(after(50), create("other", of("a", 9))));
    assert_eq!(claimed(d.done(board(after(51), claim(&["a"], [20])))), ["app/other"]);
    d.check();
}
