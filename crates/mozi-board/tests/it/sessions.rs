//! Sessions started by name, and whoever waits for their end.

use serde_json::{Value, json};

use crate::support::{OPERATOR, RUNNER, TestBoard, VIEWER, sha256_of};

/// The runner takes the next order to start, and ends the session so.
async fn carried_out(board: &TestBoard, end: &Value) {
    let poll = json!({ "wait_seconds": 10 });
    let reply = board.post("/api/runners/local/poll", RUNNER, &poll).await.expect(200);
    let session = reply["start"][0]["session_id"].as_str().unwrap().to_owned();
    let take = format!("/api/runners/local/sessions/{session}/take");
    board.post(&take, RUNNER, &json!({ "token_sha256": sha256_of("mozi_a_taken") })).await.expect(200);
    board.end(&session, end).await;
}

#[tokio::test]
async fn whoever_waits_is_answered_at_the_end() {
    let board = TestBoard::new().await;
    board.hello().await;
    let start = json!({ "agent": "coder", "message": "tidy up" });
    let ended = json!({ "cause": "itself", "exit_code": 0 });
    let started = board.post("/api/sessions?wait=60", OPERATOR, &start);
    let (reply, ()) = tokio::join!(started, carried_out(&board, &ended));
    let session = reply.expect(201);
    assert_eq!(session["status"], "completed");
    assert!(session["completed_at"].is_string());

    let session = board.post("/api/sessions", OPERATOR, &start).await.expect(201);
    assert_eq!(session["status"], "starting");
    let path = format!("/api/sessions/{}", session["session_id"].as_str().unwrap());
    // The time is over before anything has happened.
    assert_eq!(board.get(&format!("{path}?wait=0"), VIEWER).await.expect(200)["status"], "starting");
    // What could not be started is told to whoever waits, with the reason.
    let failed = json!({ "cause": "spawn_error", "error": "no such program" });
    let watched = format!("{path}?wait=60");
    let (reply, ()) = tokio::join!(board.get(&watched, VIEWER), carried_out(&board, &failed));
    let session = reply.expect(200);
    assert_eq!(
        (session["status"].as_str(), session["error"].as_str()),
        (Some("spawn_failed"), Some("no such program"))
    );
    // What has ended is not waited for.
    board.get(&watched, VIEWER).await.expect(200);
    for wrong in ["wait=301", "wait=x", "wait=-1", "weight=1"] {
        board.get(&format!("{path}?{wrong}"), VIEWER).await.refused(422, "invalid_body");
    }
}

/// The wait over, the answer says how it stands.
#[tokio::test]
async fn a_wait_ends_with_its_time() {
    let board = TestBoard::new().await;
    board.hello().await;
    let start = json!({ "agent": "coder", "message": "tidy up" });
    let session = board.post("/api/sessions?wait=1", OPERATOR, &start).await.expect(201);
    assert_eq!(session["status"], "starting");
}

/// A claim by name is the same decision as every claim.
#[tokio::test]
async fn what_cannot_be_claimed_is_refused_with_the_reason_at_once() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let start = json!({ "agent": "coder", "project_id": "default", "task_id": run.task });
    let refused = board.post("/api/sessions?wait=300", OPERATOR, &start).await.refused(409, "not_claimable");
    assert!(refused["waiting_for"][0]["kind"].is_string(), "{refused}");
}
