//! Stop, grace, and a person's word.

use std::time::Duration;

use mozi_api::runner::OrderKind;
use mozi_core::command::Cause;
use mozi_runner::config::{ProjectConfig, WorkspaceMode};

use crate::board::Job;
use crate::help::{Place, alive, task, wait_for_file};

/// Ignores SIGTERM, and so does a child in a session of its own.
const STUBBORN: &str = "trap '' TERM; \
    setsid nohup bash -c 'trap \"\" TERM; echo > READY; while :; do sleep 1; done' & \
    while :; do sleep 1; done";

#[tokio::test]
async fn a_stop_ends_the_agent_and_all_that_it_started() {
    let mut p = Place::new("a_stop");
    let ready = p.file("ready");
    p.agent("coder", &STUBBORN.replace("READY", &ready.display().to_string())).grace =
        Duration::from_millis(200);
    p.board.put(task("coder"));
    let runner = p.run();
    let (id, pid) = p.board.running().await;
    wait_for_file(&ready).await;
    p.board.stop(id, OrderKind::Stop, None);
    let end = p.board.end_of(id).await;
    assert_eq!((end.cause.0, end.signal), (Cause::Stop, Some(9)));
    assert!(!alive(pid));
    assert!(end.metadata.0.contains_key("killed"), "{:?}", end.metadata);
    p.census.wait_for_none(Duration::from_secs(5));
    runner.stop().await;
}

#[tokio::test]
async fn after_its_verdict_an_agent_has_its_grace_and_no_more() {
    let mut p = Place::new("grace");
    p.agent("coder", "while :; do sleep 1; done").grace = Duration::from_secs(5);
    p.board.put(task("coder"));
    let runner = p.run();
    let (id, _) = p.board.running().await;
    // The verdict is nearly as old as the grace is long.
    p.board.stop(id, OrderKind::Grace, Some(4_500));
    let end = p.board.end_of(id).await;
    assert_eq!(end.cause.0, Cause::Grace);
    runner.stop().await;
}

#[tokio::test]
async fn a_session_that_is_stopped_before_its_start_never_starts() {
    let mut p = Place::new("stopped_before_start");
    let mark = p.file("mark");
    p.agent("coder", &format!("touch {}", mark.display()));
    let folder = p.file("src");
    std::fs::create_dir(&folder).unwrap();
    let project = ProjectConfig { path: Some(folder), workspace: WorkspaceMode::InPlace };
    p.config.projects.insert("p".parse().unwrap(), project);
    // The second waits for the folder.
    p.agent("holder", "while :; do sleep 1; done");
    p.board.put(task("holder"));
    let runner = p.run();
    let (holder, _) = p.board.running().await;
    let waiting = "7f0f7a52-4a43-4f0e-9b51-222222222222".parse().unwrap();
    let job = Job { message: Some("x".into()), ..task("coder") };
    p.board.order(waiting, job);
    p.board
        .wait("it to be in hand", |s| s.polls.iter().any(|poll| !poll.known.is_empty()).then_some(()))
        .await;
    p.board.stop(waiting, OrderKind::Stop, None);
    let end = p.board.end_of(waiting).await;
    assert_eq!(end.cause.0, Cause::Stop);
    assert!(!mark.exists() && p.dir(waiting).exit_path().exists());
    p.board.stop(holder, OrderKind::Stop, None);
    p.board.end_of(holder).await;
    runner.stop().await;
}
