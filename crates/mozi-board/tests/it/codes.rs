//! Every code that a problem can have is got over HTTP.

use http::Method;
use mozi_api::problem::CODES;
use mozi_core::Command;
use serde_json::{Value, json};

use crate::{
    sockets::{Served, strict, until},
    support::{ADMIN, Claimed, OPERATOR, Reply, SCOPED, TestBoard, VIEWER},
};

const TASKS: &str = "/api/projects/default/tasks";

/// What is got elsewhere, and where.
const ELSEWHERE: &[(&str, &str)] = &[
    ("config_refused", "the tests of the server here: it takes somebody who reads a configuration"),
    ("project_not_empty", "the tests of archives here: it takes an archive"),
    ("agent_context", "the tests of the local socket here: it depends on who is at the other end"),
    ("storage_full", "`on_a_full_disk_every_answer_is_true`, and the tests of backups here"),
    (
        "rate_limited",
        "nowhere: the board limits nobody yet; clients wait and ask again, as the client's tests show",
    ),
];

/// A board with an attempt at work on task 1, and task 2 that is held.
async fn scene() -> (TestBoard, Claimed) {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    board.post(TASKS, OPERATOR, &json!({ "title": "Two", "held": true })).await.expect(201);
    (board, run)
}

async fn posted(board: &TestBoard, path: &str, token: &str, header: (&str, &str), body: &str) -> Reply {
    let ask = board.ask(&Method::POST, path).token(token).header(header.0, header.1);
    ask.raw("application/json", body.to_owned()).send().await
}

/// A request that is refused with this code. None: it takes a socket.
async fn provoke(code: &str) -> Option<Reply> {
    let (board, run) = scene().await;
    let review = json!({ "status": "review" });
    Some(match code {
        "invalid_body" => board.post(TASKS, OPERATOR, &json!({ "title": "" })).await,
        "unauthenticated" => board.get("/api/projects", "mozi_u_unknown").await,
        "forbidden" => board.post(TASKS, VIEWER, &json!({ "title": "x" })).await,
        "host_refused" => {
            board.ask(&Method::GET, "/api/projects").header("host", "evil.example").token(ADMIN).send().await
        }
        "origin_refused" => {
            let ask = board.ask(&Method::GET, "/api/projects").header("origin", "https://evil.example");
            ask.token(ADMIN).send().await
        }
        "not_found" => board.get(&format!("{TASKS}/99"), SCOPED).await,
        "method_not_allowed" => board.send(&Method::PUT, TASKS, OPERATOR, &json!({})).await,
        "transition_refused" => board.post(&format!("{TASKS}/2/status"), OPERATOR, &review).await,
        "attempt_closed" => {
            board.end(&run.session, &json!({ "cause": "itself", "exit_code": 1 })).await;
            board.post(&run.at("/status"), &run.token, &review).await
        }
        "verdict_given" => {
            board.post(&run.at("/status"), &run.token, &json!({ "status": "failed" })).await.expect(200);
            board.post(&run.at("/status"), &run.token, &review).await
        }
        "output_required" => board.post(&run.at("/status"), &run.token, &review).await,
        "not_claimable" => {
            let body = json!({ "agent": "coder", "project_id": "default", "task_id": "2" });
            board.post("/api/sessions", OPERATOR, &body).await
        }
        "duplicate_id" => board.post(TASKS, OPERATOR, &json!({ "title": "Other", "task_id": "2" })).await,
        "dependency_cycle" => {
            board.send(&Method::PUT, &format!("{TASKS}/2/dependencies/2"), OPERATOR, &json!({})).await
        }
        "session_active" => {
            board.send(&Method::PATCH, &run.path, OPERATOR, &json!({ "agent": "other" })).await
        }
        "project_archived" => {
            board.send(&Method::PATCH, "/api/projects/default", OPERATOR, &json!({ "archived": true })).await;
            board.post(TASKS, OPERATOR, &json!({ "title": "x" })).await
        }
        "idempotency_conflict" => {
            posted(&board, TASKS, OPERATOR, ("idempotency-key", "k"), r#"{"title":"x"}"#).await.expect(201);
            posted(&board, TASKS, OPERATOR, ("idempotency-key", "k"), r#"{"title":"y"}"#).await
        }
        "events_expired" => {
            board.board(Command::ForgetEvents { project: "default".parse().unwrap(), up_to: 1 }).await;
            board.get("/api/projects/default/events?after=0", OPERATOR).await
        }
        "version_mismatch" => {
            let ask = board.ask(&Method::PATCH, &run.path).token(OPERATOR).header("if-match", "\"99\"");
            ask.json(&json!({ "title": "x" })).send().await
        }
        "payload_too_large" => {
            let large = json!({ "title": "x", "description": "y".repeat(1024 * 1024) });
            board.post(TASKS, OPERATOR, &large).await
        }
        "unsupported_media_type" => {
            board.ask(&Method::POST, TASKS).token(OPERATOR).raw("text/plain", "{}").send().await
        }
        "invalid_range" => {
            let output = json!({ "type": "code", "title": "t", "content": "abc" });
            board.post(&run.at("/outputs"), &run.token, &output).await.expect(201);
            let ask = board.ask(&Method::GET, &run.at("/outputs/1/content")).token(OPERATOR);
            ask.header("range", "bytes=9-12").send().await
        }
        "path_refused" => {
            let output = json!({ "type": "code", "title": "t", "content_path": "../x" });
            board.post(&run.at("/outputs"), &run.token, &output).await
        }
        "internal" => {
            *board.files.broken.lock().unwrap() = true;
            board.get(&run.at("/attempts/1/prompt"), OPERATOR).await
        }
        "unavailable" => {
            *board.files.gone.lock().unwrap() = true;
            let output = json!({ "type": "code", "title": "t", "content_path": "x" });
            board.post(&run.at("/outputs"), &run.token, &output).await
        }
        "request_timeout" | "header_too_large" => return None,
        other => panic!("how is {other} got?"),
    })
}

#[tokio::test]
async fn every_code_is_got_over_http() {
    let mut seen = 0;
    for (code, status, title) in CODES {
        if ELSEWHERE.iter().any(|(c, _)| c == code) {
            continue;
        }
        let problem = match provoke(code).await {
            Some(reply) => reply.refused(*status, code),
            None => over_a_socket(code, *status).await,
        };
        assert_eq!(problem["title"], *title);
        assert_eq!(problem["type"], format!("/docs#{code}"));
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.len() > 8 && detail != *title, "{code}: {detail}");
        assert!(!problem["request_id"].as_str().unwrap().is_empty(), "{code}");
        seen += 1;
    }
    assert_eq!(seen + ELSEWHERE.len(), CODES.len());
}

async fn over_a_socket(code: &str, status: u16) -> Value {
    let served = Served::new(strict()).await;
    let auth = format!("Host: localhost\r\nAuthorization: Bearer {OPERATOR}\r\nConnection: close\r\n");
    let head = if code == "request_timeout" {
        // Its body never comes.
        let more = "Content-Type: application/json\r\nContent-Length: 9";
        format!("POST /api/projects HTTP/1.1\r\n{auth}{more}\r\n\r\n{{")
    } else {
        let fields = (0..50).map(|n| format!("X-{n}: y\r\n")).collect::<Vec<_>>().concat();
        format!("GET /api/projects HTTP/1.1\r\n{auth}{fields}\r\n")
    };
    let mut stream = served.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    let said = until(&mut stream, "request_id").await;
    assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
    let (_, body) = said.split_once("\r\n\r\n").unwrap();
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["code"], code);
    problem
}
