//! Lists: every item once, in order, whatever the page size.

use std::collections::BTreeMap;

use mozi_core::{Command, Status, TaskSpec, waiting::WaitingFor};
use mozi_store::{ReadError, TaskQuery, TaskSort};

use crate::support::{
    Disk, after, board, comment, create, hello, id, key, page, person, person_token, project, report,
};

/// 30 tasks, some made at the same time: priorities 0 to 4, every third one cancelled, every fifth one for an agent.
fn thirty() -> Disk {
    let d = Disk::new();
    d.done(board(after(0), project("app", vec![])));
    d.done(board(after(0), project("other", vec![])));
    d.done(board(after(0), hello(&["coder"], 8)));
    d.done(person_token());
    for n in 0..30u32 {
        let spec = TaskSpec {
            priority: i64::from(n % 5),
            agent: n.is_multiple_of(5).then(|| id("coder")),
            task_type: if n % 2 == 0 { "general".into() } else { "bug".into() },
            labels: BTreeMap::from([("area".to_owned(), format!("a{}", n % 4))]),
            description: (n % 7 == 3).then(|| "A Needle in the hay".to_owned()),
            ..TaskSpec::titled(format!("task number {n}"))
        };
        d.done(board(after(10 + u64::from(n / 11)), create(&format!("t{n}"), spec)));
        if n.is_multiple_of(3) {
            d.done(person(after(100 - u64::from(n)), report(key(&format!("t{n}")), Status::Cancelled, None)));
        }
    }
    d
}

fn all(d: &Disk, query: &TaskQuery) -> Vec<String> {
    let mut found = Vec::new();
    let mut query = query.clone();
    loop {
        let page = d.ask(d.store.tasks(query.clone(), after(200))).unwrap();
        assert!(page.items.len() <= query.limit);
        found.extend(page.items.iter().map(|v| v.task.key.task.to_string()));
        match page.next_cursor {
            Some(cursor) => query.after = Some(cursor),
            None => return found,
        }
    }
}

#[test]
fn every_task_is_on_one_page_in_order() {
    let d = thirty();
    for sort in [TaskSort::Updated, TaskSort::Created, TaskSort::Priority] {
        let whole = all(&d, &TaskQuery { sort, limit: 500, ..TaskQuery::all(id("app")) });
        assert_eq!(whole.len(), 30);
        for limit in [1, 7, 10, 29, 30] {
            assert_eq!(all(&d, &TaskQuery { sort, limit, ..TaskQuery::all(id("app")) }), whole);
        }
        let view = |t: &String| d.ask(d.store.task(&key(t), after(200))).unwrap().unwrap().task;
        let tasks: Vec<_> = whole.iter().map(view).collect();
        match sort {
            TaskSort::Updated => assert!(tasks.is_sorted_by(|a, b| a.updated_at >= b.updated_at)),
            TaskSort::Created => assert!(tasks.is_sorted_by(|a, b| a.created_at >= b.created_at)),
            TaskSort::Priority => {
                let rank = |t: &mozi_core::Task| (t.spec.priority, t.created_at);
                assert!(tasks.is_sorted_by(|a, b| rank(a) <= rank(b)));
            }
        }
    }
}

#[test]
fn filters_find_what_they_say() {
    let d = thirty();
    let base = || TaskQuery { limit: 4, sort: TaskSort::Created, ..TaskQuery::all(id("app")) };
    let count = |query: TaskQuery| all(&d, &query).len();
    assert_eq!(count(TaskQuery { statuses: vec![Status::Cancelled], ..base() }), 10);
    let twice = vec![Status::Cancelled, Status::Pending, Status::Cancelled];
    assert_eq!(count(TaskQuery { statuses: twice, ..base() }), 30);
    assert_eq!(count(TaskQuery { statuses: vec![Status::Done], ..base() }), 0);
    assert_eq!(count(TaskQuery { agent: Some(id("CODER")), ..base() }), 6);
    assert_eq!(count(TaskQuery { task_type: Some("bug".into()), ..base() }), 15);
    let label = |v: &str| vec![("area".to_owned(), v.to_owned())];
    assert_eq!(count(TaskQuery { labels: label("a1"), ..base() }), 8);
    assert_eq!(count(TaskQuery { labels: label("a9"), ..base() }), 0);
    assert_eq!(count(TaskQuery { q: Some("needle IN".into()), ..base() }), 4);
    assert_eq!(count(TaskQuery { q: Some("NUMBER 2".into()), ..base() }), 11);
    assert_eq!(count(TaskQuery { q: Some("t29".into()), ..base() }), 1);
    assert_eq!(count(TaskQuery { q: Some("100%' OR '1".into()), ..base() }), 0);
    assert_eq!(
        count(TaskQuery {
            q: Some("number".into()),
            task_type: Some("bug".into()),
            labels: label("a1"),
            ..base()
        }),
        8
    );
    assert_eq!(count(TaskQuery::all(id("other"))), 0);
    assert_eq!(count(TaskQuery::all(id("none"))), 0);
}

#[test]
fn a_foreign_cursor_is_refused() {
    let d = thirty();
    let query = |sort, after| TaskQuery { sort, after, limit: 3, ..TaskQuery::all(id("app")) };
    let page = d.ask(d.store.tasks(query(TaskSort::Updated, None), after(200))).unwrap();
    let cursor = page.next_cursor.unwrap();
    for bad in
        [&cursor, "", "p", "p1.2", "p1.2.3.4", "pg.1.1", "p-1.1.1", "p+1.1.1", "v1.0.1", "p1.1.1.1.1.1"]
    {
        let answer = d.ask(d.store.tasks(query(TaskSort::Priority, Some(bad.to_owned())), after(200)));
        assert!(matches!(answer, Err(ReadError::BadCursor(_))), "{bad}: {answer:?}");
    }
}

/// Turns the pages of a list while others write between them; what was seen, in the order in which it was.
fn turned(d: &Disk, sort: TaskSort, limit: usize, mut between: impl FnMut(u64)) -> Vec<String> {
    let mut found = Vec::new();
    let mut query = TaskQuery { sort, limit, ..TaskQuery::all(id("app")) };
    for turn in 0.. {
        let page = d.ask(d.store.tasks(query.clone(), after(200))).unwrap();
        found.extend(page.items.iter().map(|v| v.task.key.task.to_string()));
        let Some(cursor) = page.next_cursor else { break };
        query.after = Some(cursor);
        between(turn);
    }
    found
}

#[test]
fn a_task_that_is_there_all_the_time_is_on_one_page_whatever_others_do() {
    for sort in [TaskSort::Created, TaskSort::Priority] {
        for limit in [1, 4, 7] {
            let d = thirty();
            let mut n = 0u32;
            let found = turned(&d, sort, limit, |turn| {
                // New ones come in front, in the middle and behind; others change their status and their text.
                let spec = TaskSpec { priority: i64::from(n % 6), ..TaskSpec::titled("new") };
                d.done(board(after(300 + turn), create(&format!("new{turn}"), spec)));
                let key = key(&format!("t{}", (n * 7) % 30));
                let status = if n.is_multiple_of(2) { Status::Pending } else { Status::Cancelled };
                drop(d.answer(person(after(300 + turn), report(key, status, Some("again"))), None));
                n += 1;
            });
            for n in 0..30 {
                let times = found.iter().filter(|f| **f == format!("t{n}")).count();
                assert_eq!(times, 1, "t{n} by {sort:?} in pages of {limit}: {found:?}");
            }
        }
    }
}

#[test]
fn by_the_last_change_nothing_is_missed_and_what_changed_comes_once_more() {
    for limit in [1, 4, 7, 29] {
        let d = thirty();
        let still = turned(&d, TaskSort::Updated, limit, |_| ());
        assert_eq!(still.len(), 30, "where nothing changes, each once");
        let mut touched = Vec::new();
        let found = turned(&d, TaskSort::Updated, limit, |turn| {
            // One that was not shown yet jumps to the front, out of the pages that follow.
            let Some(last) = still.get(29usize.wrapping_sub(usize::try_from(turn).unwrap())) else { return };
            if turn < 10 {
                let patch = Box::new(mozi_core::command::TaskPatch {
                    title: Some(format!("changed {turn}")),
                    ..Default::default()
                });
                d.done(person(after(400 + turn), Command::EditTask { key: key(last), patch }));
                touched.push(last.clone());
            }
        });
        assert!(!touched.is_empty());
        for n in 0..30 {
            assert!(found.contains(&format!("t{n}")), "t{n} is missed in pages of {limit}: {found:?}");
        }
        // At the end, in the order in which they changed.
        let tail: Vec<_> = found.iter().rev().take(touched.len()).rev().cloned().collect();
        assert_eq!(tail, touched, "in pages of {limit}");
    }
}

#[test]
fn a_list_says_why_tasks_wait() {
    let d = thirty();
    let page =
        d.ask(d.store.tasks(TaskQuery { limit: 30, ..TaskQuery::all(id("app")) }, after(200))).unwrap();
    for view in page.items {
        let expected = match (view.task.state.status, &view.task.spec.agent) {
            (Status::Cancelled, _) | (_, Some(_)) => vec![],
            _ => vec![WaitingFor::NoAgent],
        };
        assert_eq!(view.waiting_for, expected, "{:?}", view.task.key);
    }
}

#[test]
fn projects_are_listed_by_id() {
    let d = thirty();
    d.done(board(after(0), project("Beta", vec![])));
    let first = d.ask(d.store.projects(None, 2)).unwrap();
    assert_eq!(first.items.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["app", "Beta"]);
    assert_eq!(first.items[0].counts.get(Status::Cancelled), 10);
    let rest = d.ask(d.store.projects(first.next_cursor, 2)).unwrap();
    assert_eq!(rest.items.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["other"]);
    assert_eq!(rest.next_cursor, None);
}

#[test]
fn ids_are_one_whatever_their_case() {
    let d = thirty();
    let view = d.ask(d.store.task(&key("T7"), after(200))).unwrap().unwrap();
    assert_eq!(view.task.key.task.as_str(), "t7", "as its author wrote it");
    d.done(board(after(200), comment(key("T7"), "hello")));
    assert_eq!(d.ask(page(&d.store, &key("t7"))).comments.len(), 1);
    let again = d.answer(board(after(201), create("T7", TaskSpec::titled("another"))), None);
    assert!(again.is_err(), "{again:?}");
    let unnamed =
        mozi_core::command::NewTask { id: None, ..crate::support::task("x", TaskSpec::titled("new")) };
    d.done(board(after(202), Command::CreateTask(Box::new(unnamed))));
    assert!(d.ask(d.store.task(&key("1"), after(203))).unwrap().is_some());
    d.check();
}
