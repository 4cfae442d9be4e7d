//! Idempotency keys: every POST of people and scripts does its work once.

use std::sync::Arc;

use http::Method;
use mozi_board::{Access, declared};
use serde_json::{Value, json};

use crate::support::{ADMIN, OPERATOR, RUNNER, Reply, TestBoard};

async fn keyed(board: &TestBoard, path: &str, token: &str, key: &str, body: &Value) -> Reply {
    let ask = board.ask(&Method::POST, path).token(token).header("idempotency-key", key);
    ask.json(body).send().await
}

/// A body for each POST, and another one.
fn bodies(path: &str) -> Option<(Value, Value)> {
    Some(match path {
        "/api/projects" => (json!({ "project_id": "new" }), json!({ "project_id": "newer" })),
        "/api/projects/{p}/tasks" | "/api/projects/{p}/import" => {
            (json!({ "title": "One" }), json!({ "title": "Two" }))
        }
        "/api/projects/{p}/tasks/{t}/status" => {
            (json!({ "status": "blocked" }), json!({ "status": "cancelled" }))
        }
        "/api/projects/{p}/tasks/{t}/outputs" => (
            json!({ "type": "code", "title": "t", "content": "a" }),
            json!({ "type": "code", "title": "t", "content": "b" }),
        ),
        "/api/projects/{p}/tasks/{t}/comments" => (json!({ "body": "one" }), json!({ "body": "two" })),
        "/api/sessions" => {
            (json!({ "agent": "coder", "message": "a" }), json!({ "agent": "coder", "message": "b" }))
        }
        "/api/sessions/{sid}/stop" | "/api/agents/{a}/pause" => {
            (json!({ "detail": "one" }), json!({ "detail": "two" }))
        }
        "/api/agents/{a}/resume" | "/api/config/reload" => (json!({}), Value::Null),
        "/api/tokens" => (json!({ "name": "ci", "role": "viewer" }), json!({ "name": "phone" })),
        "/api/users" => (json!({ "name": "bob" }), json!({ "name": "eve" })),
        _ => return None,
    })
}

#[tokio::test]
async fn every_post_does_its_work_once() {
    for (method, path, access) in declared() {
        if method != Method::POST || access == Access::RUNNER {
            continue;
        }
        let board = TestBoard::new().await;
        board.hello().await;
        let run = board.claimed(&json!({})).await;
        let (body, other) = bodies(path).unwrap_or_else(|| panic!("a body for POST {path}"));
        let to = path.replace("{p}", "default").replace("{t}", &run.task).replace("{a}", "coder");
        let to = to.replace("{sid}", &run.session);
        let first = keyed(&board, &to, ADMIN, "k", &body).await;
        assert!(first.status.is_success(), "{path}: {}", first.text());
        assert_eq!(first.header("idempotency-replayed"), "");
        let events = board.get("/api/events?limit=500", ADMIN).await.expect(200);
        let again = keyed(&board, &to, ADMIN, "k", &body).await;
        assert_eq!((first.status, first.text()), (again.status, again.text()), "{path}");
        assert_eq!(again.header("idempotency-replayed"), "true", "{path}");
        for header in ["location", "etag", "content-type"] {
            assert_eq!(first.header(header), again.header(header), "{header} of {path}");
        }
        let after = board.get("/api/events?limit=500", ADMIN).await.expect(200);
        assert_eq!(events, after, "{path}: nothing happened twice");
        if other.is_null() {
            continue; // It takes one body only.
        }
        keyed(&board, &to, ADMIN, "k", &other).await.refused(409, "idempotency_conflict");
        // Another's key is another key.
        let theirs = keyed(&board, &to, OPERATOR, "k", &other).await;
        assert_ne!(theirs.json()["code"], "idempotency_conflict", "{path}");
        keyed(&board, &to, ADMIN, &"k".repeat(256), &body).await.refused(422, "invalid_body");
    }
}

#[tokio::test]
async fn a_token_is_shown_again_under_its_key_only_and_after_a_restart() {
    let board = TestBoard::new().await;
    let body = json!({ "name": "ci" });
    let first = keyed(&board, "/api/tokens", ADMIN, "k", &body).await.expect(201);
    let secret = first["token"].as_str().unwrap().to_owned();
    board.get("/api/projects", &secret).await.expect(200);
    let board = board.restarted().await;
    assert_eq!(keyed(&board, "/api/tokens", ADMIN, "k", &body).await.expect(201), first);
    // Under another key it is another token, and the name is taken.
    keyed(&board, "/api/tokens", ADMIN, "l", &body).await.refused(409, "duplicate_id");
    // The secret stands nowhere on the disk.
    for file in std::fs::read_dir(board.dir.path()).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            let bytes = std::fs::read(file.path()).unwrap();
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{}", file.path().display());
        }
    }
    // Without the board's own secret it cannot be shown again, and says so.
    std::fs::remove_file(board.dir.path().join("secret")).unwrap();
    let board = board.restarted().await;
    let refused = keyed(&board, "/api/tokens", ADMIN, "k", &body).await.refused(409, "idempotency_conflict");
    assert!(refused["detail"].as_str().unwrap().contains("revoke"), "{refused}");
}

#[tokio::test]
async fn a_key_that_is_used_at_the_same_time_does_its_work_once() {
    let board = Arc::new(TestBoard::new().await);
    let body = json!({ "title": "One" });
    let path = "/api/projects/default/tasks";
    let all = (0..16).map(|_| keyed(&board, path, OPERATOR, "k", &body));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.expect(201)["task_id"], "1");
    }
    let list = board.get(path, OPERATOR).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_runner_says_takes_a_key_without_harm() {
    let board = TestBoard::new().await;
    board.hello().await;
    let body = json!({ "agents": ["coder"], "wait_seconds": 0 });
    for _ in 0..2 {
        keyed(&board, "/api/runners/local/poll", RUNNER, "k", &body).await.expect(200);
    }
}
