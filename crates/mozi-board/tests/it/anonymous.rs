//! Agents that show no token in a header: in the address, or none at all where the board allows that.

use http::Method;
use mozi_board::declared;
use serde_json::{Value, json};

use crate::support::{ADMIN, OPERATOR, RUNNER, TestBoard};

#[tokio::test]
async fn the_contract_without_a_token() {
    let board = TestBoard::anonymous().await;
    let agent = json!({ "id": "coder", "runtime": "command", "aliases": ["开发者"], "roles": ["executor"],
        "verdict": "report", "callback": "anonymous" });
    let hello = json!({ "max_sessions": 8, "boot_id": "b1", "pid_namespace": "n1", "version": "0.1.0",
        "agents": [agent] });
    board.post("/api/runners/local/hello", RUNNER, &hello).await.expect(200);
    let run = board.claimed(&json!({})).await;

    let nobody = async |rest: &str, body: Value| board.post(&run.at(rest), "", &body).await;
    nobody("/status", json!({ "status": "working", "agent": "开发者" })).await.expect(200);
    let output = json!({ "type": "data", "title": "t", "content": "abc", "agent": "Coder" });
    let made = nobody("/outputs", output.clone()).await.expect(201);
    assert_eq!(made["warnings"], json!([]));
    board.files.outputs.lock().unwrap().insert("a.txt".into(), write(&board, "from a file"));
    let by_path = json!({ "type": "data", "title": "f", "content_path": "a.txt", "agent": "coder" });
    nobody("/outputs", by_path).await.expect(201);
    nobody("/comments", json!({ "body": "hm", "author": "coder" })).await.expect(201);
    let seen = board.get(&run.at("?expand=all"), "").await.expect(200);
    assert_eq!(seen["outputs"].as_array().unwrap().len(), 2);
    let event = seen["events"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (event["actor"]["kind"].as_str(), event["actor"]["name"].as_str()),
        (Some("anonymous"), Some("coder"))
    );

    // As somebody else, as nobody, and for what no agent may do.
    let before = board.store.last_seq().await.unwrap();
    nobody("/status", json!({ "status": "working", "agent": "other" })).await.refused(401, "unauthenticated");
    nobody("/status", json!({ "status": "working" })).await.refused(401, "unauthenticated");
    nobody("/outputs", json!({ "type": "data", "title": "t", "content": "c" }))
        .await
        .refused(401, "unauthenticated");
    nobody("/comments", json!({ "body": "hm", "author": "ann" })).await.refused(401, "unauthenticated");
    for never in ["done", "pending"] {
        let body = json!({ "status": never, "agent": "coder", "detail": "so" });
        nobody("/status", body).await.refused(409, "transition_refused");
    }
    // Nothing is opened for whoever does not name the agent.
    board.files.opened.lock().unwrap().clear();
    for agent in [json!("other"), Value::Null] {
        let body = json!({ "type": "data", "title": "t", "content_path": "a.txt", "agent": agent });
        nobody("/outputs", body).await.refused(401, "unauthenticated");
    }
    assert!(board.files.opened.lock().unwrap().is_empty());
    assert_eq!(board.store.last_seq().await.unwrap(), before);

    // The key of a call counts for the attempt that it was made by.
    let keyed = async || {
        let ask = board.ask(&Method::POST, &run.at("/outputs")).header("idempotency-key", "output-1");
        ask.json(&output).send().await.expect(201)["output_id"].clone()
    };
    let first = keyed().await;
    assert_eq!(keyed().await, first);
    nobody("/status", json!({ "status": "failed", "agent": "coder", "detail": "no" })).await.expect(200);
    board.end(&run.session, &json!({ "cause": "itself", "exit_code": 0 })).await;
    nobody("/status", json!({ "status": "working", "agent": "coder" })).await.refused(401, "unauthenticated");
    board.get(&run.path, "").await.refused(401, "unauthenticated");
    board.post(&run.at("/status"), OPERATOR, &json!({ "status": "pending" })).await.expect(200);
    board.get(&run.path, "").await.refused(401, "unauthenticated");
    let again = board.claim(&run.task, "coder").await;
    assert_eq!(again.path, run.path);
    assert_ne!(keyed().await, first);
}

fn write(board: &TestBoard, text: &str) -> std::path::PathBuf {
    let file = board.dir.path().join("a.txt");
    std::fs::write(&file, text).unwrap();
    file
}

/// What is no call of the contract is not for nobody, whatever the board allows, and neither is another's task.
#[tokio::test]
async fn nothing_else_is_taken_without_a_token() {
    let board = TestBoard::anonymous().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let idle =
        board.post("/api/projects/default/tasks", OPERATOR, &json!({ "title": "x" })).await.expect(201);
    let idle = idle["task_id"].as_str().unwrap();
    let mut open = Vec::new();
    for (method, path, access) in declared().into_iter().filter(|(_, _, a)| !a.open) {
        for task in [&run.task, idle] {
            let at = path
                .replace("{p}", "default")
                .replace("{t}", task)
                .replace("{sid}", &run.session)
                .replace("{r}", "local")
                .replace(['{', '}'], "");
            let reply = board.send(&method, &at, "", &json!({ "agent": "nobody" })).await;
            if access.anonymous && task == run.task {
                open.push(format!("{method} {path}"));
            } else {
                reply.refused(401, "unauthenticated");
            }
        }
    }
    open.sort();
    assert_eq!(
        open,
        [
            "GET /api/projects/{p}/tasks/{t}",
            "POST /api/projects/{p}/tasks/{t}/comments",
            "POST /api/projects/{p}/tasks/{t}/outputs",
            "POST /api/projects/{p}/tasks/{t}/status",
        ]
    );
}

#[tokio::test]
async fn a_board_that_was_not_told_so_takes_nothing_without_a_token() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let body = json!({ "status": "working", "agent": "coder" });
    board.post(&run.at("/status"), "", &body).await.refused(401, "unauthenticated");
    board.get(&run.path, "").await.refused(401, "unauthenticated");
}

/// A reviewer has the word over somebody's work: it shows its token.
#[tokio::test]
async fn a_reviewer_shows_its_token() {
    let board = TestBoard::anonymous().await;
    board.hello().await;
    let run = board.claimed(&json!({ "review": "reviewer" })).await;
    let output = json!({ "type": "data", "title": "t", "content": "abc", "agent": "coder" });
    board.post(&run.at("/outputs"), "", &output).await.expect(201);
    board.post(&run.at("/status"), "", &json!({ "status": "review", "agent": "coder" })).await.expect(200);
    board.end(&run.session, &json!({ "cause": "itself", "exit_code": 0 })).await;
    let review = board.claim(&run.task, "reviewer").await;
    let body = json!({ "status": "working", "agent": "reviewer" });
    board.post(&review.at("/status"), "", &body).await.refused(401, "unauthenticated");
    board.post(&review.at("/status"), &review.token, &body).await.expect(200);
}

#[tokio::test]
async fn a_token_in_the_address() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let base = format!("/t/{}", run.token);
    let call = async |method: Method, path: String, body: &Value| board.send(&method, &path, "", body).await;
    let status = json!({ "status": "working" });
    let said = call(Method::POST, format!("{base}{}", run.at("/status")), &status).await;
    assert_eq!(said.expect(200)["attempt_number"], 1);
    call(Method::GET, format!("{base}{}", run.at("?expand=all")), &Value::Null).await.expect(200);
    // It is that attempt and nobody else.
    call(Method::GET, format!("{base}/api/projects"), &Value::Null).await.refused(404, "not_found");
    // Who shows the same twice is the same.
    let both = board.ask(&Method::GET, &format!("{base}{}", run.path)).token(&run.token);
    both.send().await.expect(200);
    let two = board.ask(&Method::GET, &format!("{base}{}", run.path)).token(ADMIN);
    two.send().await.refused(401, "unauthenticated");

    for other in [ADMIN, RUNNER, "mozi", "mozi_a_unknown"] {
        let path = format!("/t/{other}{}", run.path);
        let said = call(Method::GET, path, &Value::Null).await;
        said.refused(401, "unauthenticated");
    }
    for path in ["", "/", "/nowhere", "/t/x", "//"] {
        let said = call(Method::GET, format!("{base}{path}"), &Value::Null).await;
        assert!(matches!(said.status.as_u16(), 401 | 404), "{path}: {}", said.text());
        assert!(!said.text().contains(&run.token), "{path}: {}", said.text());
    }
    let wrong = call(Method::DELETE, format!("{base}{}", run.at("/status")), &Value::Null).await;
    assert!(!wrong.refused(405, "method_not_allowed").to_string().contains(&run.token));
    // Where something was made is told without it.
    board
        .send(
            &Method::PATCH,
            "/api/projects/default",
            ADMIN,
            &json!({ "settings": { "agents_may_create": true } }),
        )
        .await
        .expect(200);
    let made =
        call(Method::POST, format!("{base}/api/projects/default/tasks"), &json!({ "title": "sub" })).await;
    made.expect(201);
    assert!(
        made.header("location").starts_with("/api/projects/default/tasks/"),
        "{}",
        made.header("location")
    );
}
