//! Reports that were kept while the board was away.

use std::time::Duration;

use mozi_core::command::Cause;
use mozi_runner::Secret;
use mozi_runner::outbox::{Entry, Outbox, Submitted};
use serde_json::json;

use crate::board::Board;
use crate::help::{Place, task};

fn comment(text: &str) -> Entry {
    Entry {
        method: "POST".into(),
        path: "/api/projects/p/tasks/1/comments".into(),
        token: Secret::new("mozi_a_of_the_attempt"),
        content_type: "application/json".into(),
        idempotency_key: text.into(),
        body: json!({ "body": text }).to_string().into_bytes(),
    }
}

#[tokio::test]
async fn what_waits_is_delivered_in_order_before_the_end() {
    let mut p = Place::new("outbox_order");
    let go = p.file("go");
    p.agent("coder", &format!("until [ -e {} ]; do sleep 0.05; done", go.display()));
    p.board.put(task("coder"));
    let runner = p.run();
    let (id, _) = p.board.running().await;
    let outbox = Outbox::at(p.dir(id).outbox_path());
    for text in ["one", "two, refuse it", "three"] {
        outbox.enqueue(comment(text)).await.unwrap();
    }
    let fallback = Outbox::fallback(&p.config.workspaces_dir().join("p/1"), &id.to_string());
    std::fs::create_dir_all(fallback.path()).unwrap();
    fallback.enqueue(comment("four")).await.unwrap();
    std::fs::write(&go, "").unwrap();
    assert_eq!(p.board.end_of(id).await.cause.0, Cause::Itself);
    p.board.with(|s| {
        let told: Vec<_> = s.log.iter().filter(|l| !l.starts_with("hello")).cloned().collect();
        let expected = [
            "claim",
            "started",
            "report one",
            "report two, refuse it",
            "report three",
            "notice outbox_refused",
            "report four",
            "end itself",
        ];
        assert_eq!(told, expected);
        assert!(s.reports.iter().all(|(_, token, _)| token == "Bearer mozi_a_of_the_attempt"));
        let notice = &s.notices[0];
        assert_eq!(notice.more.0["refused_code"], "attempt_closed");
        assert!(notice.task_id.is_some() && notice.attempt_number == Some(1));
    });
    assert!(outbox.is_empty() && !fallback.path().exists());
    runner.stop().await;
}

#[tokio::test]
async fn a_command_goes_straight_only_when_nothing_waits_and_the_board_answers() {
    let board = Board::new();
    let client = board.client();
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::at(dir.path());
    let patience = Duration::from_secs(3);
    let submit = async |text: &str| outbox.submit(&client, comment(text), patience).await.unwrap();
    let Submitted::Answered(answer) = submit("straight").await else { panic!() };
    assert!(answer.is_success());
    board.set_away(true);
    let Submitted::Kept { behind: 0, .. } = submit("kept one").await else { panic!() };
    let Submitted::Kept { behind: 1, .. } = submit("kept two").await else { panic!() };
    assert!(!outbox.is_empty());
    board.set_away(false);
    let Submitted::Answered(_) = submit("last").await else { panic!() };
    let Submitted::Answered(refused) = submit("refuse me").await else { panic!() };
    assert_eq!((refused.status, refused.problem().unwrap().code.as_str()), (409, "attempt_closed"));
    let log = board.with(|s| s.log.clone());
    assert_eq!(
        log,
        ["report straight", "report kept one", "report kept two", "report last", "report refuse me"]
    );
    assert!(outbox.is_empty());
}

#[tokio::test]
async fn two_commands_at_once_keep_their_order_and_lose_nothing() {
    let board = Board::new();
    board.set_away(true);
    let dir = tempfile::tempdir().unwrap();
    let submit = async |n: u32| {
        let client = board.client();
        Outbox::at(dir.path()).submit(&client, comment(&n.to_string()), Duration::from_secs(3)).await.unwrap()
    };
    tokio::join!(submit(1), submit(2), submit(3), submit(4));
    board.set_away(false);
    let delivered = Outbox::at(dir.path()).deliver(&board.client(), Duration::from_secs(3)).await.unwrap();
    assert_eq!((delivered.taken, delivered.refused, delivered.left), (4, 0, 0));
    assert_eq!(board.with(|s| s.reports.len()), 4);
}
