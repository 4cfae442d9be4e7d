//! The board at a glance, over HTTP.

use mozi_api::LogStream;
use serde_json::{Value, json};

use crate::support::{ADMIN, OPERATOR, SCOPED, TestBoard, VIEWER};

#[tokio::test]
async fn a_night_in_one_answer() {
    let board = TestBoard::new().await;
    board.hello().await;
    let asks = board.claimed(&json!({ "title": "which database?" })).await;
    let said = json!({ "status": "blocked", "kind": "needs_input", "detail": "staging or production?" });
    board.post(&asks.at("/status"), &asks.token, &said).await.expect(200);
    board.end(&asks.session, &json!({ "cause": "itself", "exit_code": 0 })).await;
    let done = board.claimed(&json!({ "title": "三月报告" })).await;
    let output = json!({ "type": "data", "title": "t", "content": "abc" });
    board.post(&done.at("/outputs"), &done.token, &output).await.expect(201);
    board.post(&done.at("/status"), &done.token, &json!({ "status": "review" })).await.expect(200);
    board.end(&done.session, &json!({ "cause": "itself", "exit_code": 0 })).await;
    let runs = board.claimed(&json!({ "title": "at it", "timeout_seconds": 600 })).await;
    board.started(&runs).await;
    board.files.write(&runs.session, LogStream::Stdout, b"hello\n", false);
    board
        .post("/api/projects/default/tasks", OPERATOR, &json!({ "title": "x", "agent": "ghost" }))
        .await
        .expect(201);

    let status = board.get("/api/status", VIEWER).await.expect(200);
    assert_eq!(status["blocked"]["items"][0]["kind"], "needs_input", "{status:#}");
    assert_eq!(status["blocked"]["items"][0]["detail"], "staging or production?");
    assert_eq!(status["reviews"]["items"][0]["title"], "三月报告");
    assert_eq!((&status["reviews"]["total"], &status["reviews"]["exact"]), (&json!(1), &json!(true)));
    let running = &status["running"]["items"][0];
    assert_eq!((&running["title"], &running["role"]), (&json!("at it"), &json!("executor")));
    assert_eq!(running["session_id"], json!(runs.session));
    assert!(running["deadline"].is_string() && running["last_sign_at"].is_string(), "{running:#}");
    assert_eq!(status["waiting"][0]["waiting_for"]["kind"], "agent_unknown");
    assert_eq!(status["waiting"][0]["needs_somebody"], true);
    assert_eq!(status["counts"]["blocked"], 1);
    assert_eq!(status["spent"]["attempts"], 2);
    assert_eq!(status["spent"]["cost_micro_usd"], Value::Null);

    let decided = json!({ "status": "done" });
    board.post(&done.at("/status"), OPERATOR, &decided).await.expect(200);
    let status = board.get("/api/status?since=1m&project=default", ADMIN).await.expect(200);
    assert_eq!(status["reviews"]["total"], 0);
    assert_eq!(status["ended"]["items"][0]["task_id"], json!(done.task));
    assert_eq!(status["ended"]["items"][0]["outcome"], "completed");
    assert_eq!(status["ended_counts"], json!({ "done": 1, "failed": 0, "cancelled": 0 }));
    // Events go on where the answer ends.
    let cursor = status["cursor"].as_str().unwrap();
    board.post(&runs.at("/comments"), &runs.token, &json!({ "body": "b" })).await.expect(201);
    let next = board.get(&format!("/api/projects/default/events?after={cursor}"), VIEWER).await.expect(200);
    assert_eq!(next["items"].as_array().unwrap().len(), 1, "{next:#}");
    let all = board.get("/api/status", VIEWER).await.expect(200);
    let cursor = all["cursor"].as_str().unwrap();
    let next = board.get(&format!("/api/events?after={cursor}"), VIEWER).await.expect(200);
    assert_eq!(next["items"], json!([]));
}

#[tokio::test]
async fn a_glance_is_asked_for_strictly_and_stays_in_its_project() {
    let board = TestBoard::new().await;
    for (query, named) in
        [("since=yesterday", "since"), ("since=", "since"), ("limit=0", "limit"), ("projct=x", "projct")]
    {
        let answer = board.get(&format!("/api/status?{query}"), VIEWER).await;
        let said = answer.refused(422, "invalid_body");
        assert!(said["detail"].as_str().unwrap().contains(named), "{said}");
    }
    board.get("/api/status?project=nowhere", VIEWER).await.refused(404, "not_found");
    board.post("/api/projects/default/tasks", OPERATOR, &json!({ "title": "x" })).await.expect(201);
    let seen = board.get("/api/status", SCOPED).await.expect(200);
    assert_eq!((&seen["project_id"], &seen["counts"]["pending"]), (&json!("other"), &json!(0)));
    board.get("/api/status?project=default", SCOPED).await.refused(404, "not_found");
}
