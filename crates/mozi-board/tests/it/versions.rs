//! Versions: what was changed in between is not overwritten.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, OPERATOR, Reply, SCOPED, TestBoard, VIEWER};

async fn asked(board: &TestBoard, method: &Method, path: &str, tag: &str, body: &Value) -> Reply {
    board.ask(method, path).token(OPERATOR).header("if-match", tag).json(body).send().await
}

#[tokio::test]
async fn a_task_is_changed_in_the_version_that_was_seen() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let seen = board.get(&run.path, OPERATOR).await;
    let tag = seen.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", seen.expect(200)["version"]));

    // An output makes another version of it.
    let output = json!({ "type": "code", "title": "t", "content": "c" });
    board.post(&run.at("/outputs"), &run.token, &output).await.expect(201);
    let now = board.get(&run.path, OPERATOR).await.header("etag").to_owned();
    assert_ne!(tag, now);
    let patch = json!({ "title": "Better" });
    let refused = asked(&board, &Method::PATCH, &run.path, &tag, &patch).await;
    let refused = refused.refused(412, "version_mismatch");
    assert_eq!(format!("\"{}\"", refused["version"]), now);
    let done = asked(&board, &Method::PATCH, &run.path, &format!("{tag}, {now}"), &patch).await;
    let next = done.header("etag").to_owned();
    assert_eq!(done.expect(200)["title"], "Better");
    assert_ne!(next, now);

    // A decision, and what it waits for.
    let hold = json!({ "status": "blocked" });
    asked(&board, &Method::POST, &run.at("/status"), &now, &hold).await.refused(412, "version_mismatch");
    asked(&board, &Method::POST, &run.at("/status"), &next, &hold).await.expect(200);
    let two = board.post("/api/projects/default/tasks", OPERATOR, &json!({ "title": "Two" })).await;
    let tag = two.header("etag").to_owned();
    let path = "/api/projects/default/tasks/2/dependencies/1";
    asked(&board, &Method::PUT, path, "\"77\"", &json!({})).await.refused(412, "version_mismatch");
    let put = asked(&board, &Method::PUT, path, &tag, &json!({})).await;
    put.expect(200);
    asked(&board, &Method::DELETE, path, &tag, &json!({})).await.refused(412, "version_mismatch");
    asked(&board, &Method::DELETE, path, put.header("etag"), &json!({})).await.expect(200);
}

#[tokio::test]
async fn a_project_is_changed_in_the_version_that_was_seen() {
    let board = TestBoard::new().await;
    let path = "/api/projects/default";
    let tag = board.get(path, VIEWER).await.header("etag").to_owned();
    assert_eq!(tag, "\"1\"");
    let patch = json!({ "name": "Mine" });
    let done = asked(&board, &Method::PATCH, path, &tag, &patch).await;
    assert_eq!((done.status.as_u16(), done.header("etag")), (200, "\"2\""));
    let refused = asked(&board, &Method::PATCH, path, &tag, &json!({ "name": "Yours" })).await;
    assert_eq!(refused.refused(412, "version_mismatch")["version"], 2);
    assert_eq!(board.get(path, VIEWER).await.expect(200)["name"], "Mine");
}

#[tokio::test]
async fn tags_that_are_none() {
    let board = TestBoard::new().await;
    let path = "/api/projects/default";
    let patch = json!({ "name": "Mine" });
    let tried = async |tag: &str| asked(&board, &Method::PATCH, path, tag, &patch).await;
    tried("latest").await.refused(422, "invalid_body");
    // Well formed, but of nothing that was ever shown.
    tried("\"abc\"").await.refused(412, "version_mismatch");
    tried("W/\"1\"").await.refused(412, "version_mismatch");
    // A number without quotes is understood, and a star means any.
    tried("1").await.expect(200);
    tried("*").await.expect(200);
    // Where nothing has a version, it is not passed over in silence.
    let new = asked(&board, &Method::POST, "/api/projects", "\"1\"", &json!({ "project_id": "new" })).await;
    assert_eq!(new.refused(422, "invalid_body")["field"], "if-match");
    // Whoever may not know of it learns no version.
    let ask = board.ask(&Method::PATCH, path).token(SCOPED).header("if-match", "\"99\"").json(&patch);
    assert_eq!(ask.send().await.refused(404, "not_found")["version"], Value::Null);
    let ask = board.ask(&Method::PATCH, "/api/projects/none").token(ADMIN).header("if-match", "\"1\"");
    ask.json(&patch).send().await.refused(404, "not_found");
}
