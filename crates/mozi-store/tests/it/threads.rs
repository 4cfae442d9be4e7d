//! Threads: who waits for whom, and that they end.

use std::time::Duration;

use mozi_core::{Status, TaskSpec};
use mozi_store::{Committed, Options, Store, SubmitError};

use crate::support::{
    Disk, after, board, claim, comment, create, hello, id, key, person, person_token, project, report,
};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|t| std::fs::read_to_string(t.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with("store-"))
        .count()
}

#[tokio::test(flavor = "current_thread")]
async fn a_store_can_be_opened_used_and_dropped_inside_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    let store = Store::open(Options::new(&path, "x")).unwrap();
    store.submit(board(after(0), project("app", vec![])), None).await.unwrap();
    assert!(threads() >= 4);
    let clone = store.clone();
    drop(store);
    assert!(clone.project(&id("app")).await.unwrap().is_some());
    drop(clone);
    // Nothing of it is left: the last connection has folded the log into the file.
    assert!(!folder.path().join("mozi.db-wal").exists());
    assert!(Store::open(Options::new(&path, "y")).unwrap().project(&id("app")).await.unwrap().is_some());
}

#[test]
fn what_waits_is_written_before_the_store_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answers = runtime.block_on(async {
        let store = Store::open(Options::new(&path, "x")).unwrap();
        let mut set = tokio::task::JoinSet::new();
        for n in 0..200 {
            let store = store.clone();
            set.spawn(
                async move { store.submit(board(after(0), project(&format!("p{n}"), vec![])), None).await },
            );
        }
        drop(store);
        set.join_all().await
    });
    assert!(answers.iter().all(Result::is_ok));
    let store = Store::open(Options::new(&path, "y")).unwrap();
    assert_eq!(runtime.block_on(store.counts()).unwrap().projects, 200);
}

#[test]
fn a_full_queue_says_so_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { queue: 2, batch: 1, ..Options::new(folder.path().join("mozi.db"), "x") };
    let store = Store::open(options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Another program holds the database: the writer waits with one command in its hands.
    let other = rusqlite::Connection::open(folder.path().join("mozi.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answers = runtime.block_on(async {
        let mut set = tokio::task::JoinSet::new();
        for n in 0..20 {
            let store = store.clone();
            set.spawn(
                async move { store.submit(board(after(0), project(&format!("p{n}"), vec![])), None).await },
            );
        }
        let mut answers = Vec::new();
        while let Some(answer) = set.join_next().await {
            answers.push(answer.unwrap());
            // All that find no place are answered while the rest still waits.
            if answers.len() == 17 {
                assert!(answers.iter().all(|a| matches!(a, Err(SubmitError::Busy))), "{answers:?}");
                other.execute_batch("ROLLBACK").unwrap();
            }
        }
        answers
    });
    let done = answers.iter().filter(|a| a.is_ok()).count();
    assert!((2..=3).contains(&done), "{done}");
    assert_eq!(runtime.block_on(store.counts()).unwrap().projects, done as u64);
}

#[test]
fn every_commit_is_announced_with_what_it_may_mean() {
    let d = Disk::new();
    d.done(person_token());
    let expect = |expected: (bool, bool), request| {
        let before = *d.store.subscribe().borrow();
        d.done(request);
        // The announcement follows the answer; not every command writes an event.
        let seq = d.ask(d.store.last_seq()).unwrap();
        let mut told = d.store.subscribe();
        let means = |c: &Committed| (c.ready != before.ready, c.orders != before.orders);
        let wanted = told.wait_for(|c| c.seq == seq && (c.seq != before.seq || means(c) == expected));
        let now =
            d.ask(async { tokio::time::timeout(Duration::from_secs(20), wanted).await.map(|c| *c.unwrap()) });
        let now = now.expect("an announcement");
        assert_eq!(means(&now), expected, "{before:?} {now:?}");
    };
    expect((true, false), board(after(0), project("app", vec![])));
    let spec = TaskSpec { agent: Some(id("a")), ..TaskSpec::titled("x") };
    expect((true, false), board(after(0), create("1", spec)));
    expect((false, false), board(after(1), comment(key("1"), "hello")));
    expect((true, false), board(after(1), hello(&["a"], 3)));
    expect((false, false), board(after(2), claim(&["a"], [1])));
    expect((false, true), person(after(3), report(key("1"), Status::Blocked, Some("wait"))));
}

#[test]
fn reads_see_what_was_answered() {
    let d = Disk::new();
    d.done(board(after(0), project("app", vec![])));
    for n in 0..50 {
        let name = format!("t{n}");
        d.done(board(after(n), create(&name, TaskSpec::titled("x"))));
        assert!(d.ask(d.store.task(&key(&name), after(n))).unwrap().is_some(), "{name}");
    }
}
