//! The same on a database that may not grow.

use mozi_core::{Command, TaskKey, TaskSpec, command::NewTask};

use super::{Announce, Credential, Job, Request, Shift, SubmitError, Timestamp, mpsc, oneshot};
use crate::{Committed, sqlite};

fn ask(command: Command) -> Request {
    Request { credential: Credential::Board, via: None, now: Timestamp::from_micros(1), seed: 0, command }
}

/// One batch; gives the answers in order.
fn batch(path: &std::path::Path, pages: u32, commands: Vec<Command>) -> Vec<super::Answered> {
    let (connection, _) = sqlite::open(path, "x").unwrap();
    connection.pragma_update(None, "max_page_count", pages).unwrap();
    let backend = sqlite::Sqlite::new(connection, path).unwrap();
    let (announce, _news) = Announce::from(Committed::default());
    let (queue, jobs) = mpsc::channel(100);
    let mut waiting = Vec::new();
    for command in commands {
        let (answer, answered) = oneshot::channel();
        assert!(queue.try_send(Job { request: ask(command), key: None, answer }).is_ok());
        waiting.push(answered);
    }
    drop(queue);
    Shift { backend, announce }.work(jobs, 100);
    waiting.into_iter().map(|mut w| w.try_recv().expect("every command is answered")).collect()
}

#[test]
fn a_batch_that_does_not_fit_is_answered_command_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    let key = TaskKey::new("app".parse().unwrap(), "1".parse().unwrap());
    let task = NewTask {
        project: key.project.clone(),
        id: Some(key.task.clone()),
        spec: TaskSpec::titled("x"),
        depends_on: Vec::new(),
        not_before: None,
        held: false,
        fingerprint: String::new(),
    };
    let project = Command::CreateProject { id: key.project.clone(), name: None, settings: Vec::new() };
    let begun = batch(&path, 1 << 30, vec![project, Command::CreateTask(Box::new(task))]);
    assert!(begun.iter().all(Result::is_ok), "{begun:?}");
    let size = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0))
        .unwrap();
    let comment = |n: u32| Command::AddComment {
        key: key.clone(),
        author: None,
        body: format!("{n} {}", "x".repeat(3_000)),
    };
    let answers = batch(&path, size + 30, (0..64).map(comment).collect());
    let db = rusqlite::Connection::open(&path).unwrap();
    let mut there = db.prepare("SELECT body FROM comments ORDER BY comment_id").unwrap();
    let there: Vec<u32> = there
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .map(|body| body.unwrap().split(' ').next().unwrap().parse().unwrap())
        .collect();
    let is_done = |n: &u32| answers[*n as usize].is_ok();
    let mut done: Vec<u32> = (0..64).filter(is_done).collect();
    let mut found = there;
    done.sort_unstable();
    found.sort_unstable();
    assert_eq!(done, found, "what was acknowledged, and nothing else");
    assert!(!done.is_empty() && done.len() < 64, "{} of 64", done.len());
    for answer in &answers {
        assert!(matches!(answer, Ok(_) | Err(SubmitError::Full)), "{answer:?}");
    }
    // With room, everything goes on.
    let after = batch(&path, 1 << 30, (0..64).map(comment).collect());
    assert!(after.iter().all(Result::is_ok));
}
