//! The calls that agents were written for, and the whole life of a task.

use serde_json::json;

use crate::support::{OPERATOR, TestBoard};

#[tokio::test]
async fn the_contract_word_for_word() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({ "must_haves": "It works" })).await;
    board.started(&run).await;

    // B1
    let body = json!({ "status": "working", "agent": "coder", "detail": "begun" });
    let reply = board.post(&run.at("/status"), &run.token, &body).await.expect(200);
    assert_eq!(reply["task_id"], run.task.as_str());
    assert_eq!(reply["status"], "working");
    assert_eq!(reply["attempt_number"], 1);
    assert!(reply["event_id"].as_u64().unwrap() > 1);
    assert_eq!(reply["warnings"], json!([]));

    // B2
    let body = json!({ "agent": "coder", "type": "code", "title": "The code", "content": "fn main() {}\n", "summary": "All of it" });
    let reply = board.post(&run.at("/outputs"), &run.token, &body).await.expect(201);
    assert_eq!(reply["output_id"], 1);
    assert_eq!(reply["size_bytes"], 13);
    assert_eq!(reply["sha256"].as_str().unwrap().len(), 64);
    let back = board.get(&run.at("/outputs/1/content"), &run.token).await;
    assert_eq!(back.text(), "fn main() {}\n");

    // B3
    let body = json!({ "author": "coder", "body": "这里有一个问题" });
    let reply = board.post(&run.at("/comments"), &run.token, &body).await.expect(201);
    assert_eq!(reply["comment_id"], 1);

    let body = json!({ "status": "review", "agent": "coder" });
    board.post(&run.at("/status"), &run.token, &body).await.expect(200);

    // B4
    let task = board.get(&run.at("?expand=all"), &run.token).await.expect(200);
    assert_eq!(task["status"], "review");
    assert_eq!(task["must_haves"], json!(["It works"]));
    assert_eq!(task["priority"], 5);
    assert_eq!(task["task_type"], "general");
    assert_eq!(task["outputs"][0]["title"], "The code");
    assert_eq!(task["outputs"][0]["agent"], "coder");
    assert_eq!(task["comments"][0]["body"], "这里有一个问题");
    assert_eq!(task["attempts"][0]["verdict"], "review");
    assert_eq!(task["attempts"][0]["outcome"], serde_json::Value::Null);
    let types: Vec<_> =
        task["events"].as_array().unwrap().iter().map(|e| e["event_type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "task_created",
            "status_changed",
            "agent_started",
            "session_started",
            "status_changed",
            "output_added",
            "comment_added",
            "status_changed"
        ]
    );

    // A person approves, the runner says the end.
    board.post(&run.at("/status"), OPERATOR, &json!({ "status": "done" })).await.expect(200);
    let ended = board.end(&run.session, &json!({ "cause": "itself", "exit_code": 0 })).await;
    assert_eq!(ended["status"], "completed");
    let attempt = board.get(&run.at("/attempts/1"), OPERATOR).await.expect(200);
    assert_eq!(attempt["outcome"], "completed");
    assert_eq!(attempt["log"]["state"], "stored");
    board.get(&run.path, &run.token).await.refused(409, "attempt_closed");
}
