//! An attempt's token against every route, and an agent that must not become the owner.

use serde_json::{Value, json};

use crate::support::Setup;

const HOLDER: &str =
    "cat > /dev/null; mozi report working; echo \"$MOZI_TOKEN\" > \"$TEST_DIR/token\"; sleep 1000";

#[test]
fn an_attempts_token_against_every_route() {
    let board = Setup::agents(&[("a", HOLDER, "")]).start();
    let mine = board.add(&json!({ "title": "mine", "agent": "a" }));
    let token = board.file("token");
    let other = board.add(&json!({ "title": "somebody else's", "agent": "nobody" }));
    let before = board.task(&other);
    let api = board.get("/openapi.json");
    let mut tried = 0;
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods
            .as_object()
            .unwrap()
            .keys()
            .filter(|m| ["get", "post", "put", "patch", "delete"].contains(&m.as_str()))
        {
            if !path.starts_with("/api/") || path == "/api/version" || path.contains("/runners/") {
                continue;
            }
            let real = path
                .split('/')
                .map(|part| match part {
                    "{p}" | "{project}" | "{project_id}" => "default",
                    "{t}" | "{task}" | "{task_id}" => other.as_str(),
                    p if p.starts_with('{') => "1",
                    p => p,
                })
                .collect::<Vec<_>>()
                .join("/");
            let answer = board.api_as(
                &token,
                &method.to_uppercase(),
                &real,
                &json!({ "status": "done", "body": "x" }),
            );
            assert!(
                [401, 403, 404, 405, 422].contains(&answer.status),
                "{method} {real} answered {} to an attempt's token: {}",
                answer.status,
                answer.body
            );
            tried += 1;
        }
    }
    assert!(tried > 25, "only {tried} routes");
    let after = board.task(&other);
    assert_eq!(before, after, "nothing was changed");
    let own =
        board.api_as(&token, "GET", &format!("/api/projects/default/tasks/{mine}?expand=all"), &Value::Null);
    assert_eq!(own.status, 200);
    board.ok(&["task", "cancel", &mine]);
    board.until_outcome(&mine, 1, "cancelled");
    let late = board.api_as(
        &token,
        "POST",
        &format!("/api/projects/default/tasks/{mine}/comments"),
        &json!({ "body": "x" }),
    );
    assert_eq!((late.status, &late.body["code"]), (409, &json!("attempt_closed")));
    board.finish();
}

#[test]
fn an_agent_does_not_become_the_owner() {
    let script = "cat > /dev/null; mozi report working; unset MOZI_TOKEN\n\
                  mozi --json task approve \"$MOZI_TASK\" > \"$TEST_DIR/out\" 2>&1; echo \"$?\" > \"$TEST_DIR/code\"; sleep 1000";
    let board = Setup::agents(&[("a", script, "")]).start();
    let id = board.add(&json!({ "title": "mine", "agent": "a" }));
    assert_ne!(board.file("code"), "0");
    let said = std::fs::read_to_string(board.path("out")).unwrap();
    assert!(said.contains("agent_context") && said.contains("--as-person"), "{said}");
    assert_eq!(board.task(&id)["status"], "working");
    board.ok(&["task", "cancel", &id]);
    board.finish();
}

#[test]
fn secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let board = Setup::agents(&[("a", HOLDER, "")]).start();
    let id = board.add(&json!({ "title": "mine", "agent": "a" }));
    let token = board.file("token");
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&board.data().join("token")), 0o600);
    let session = board.task(&id)["attempts"][0]["session_id"].as_str().unwrap().to_owned();
    let dir = board.data().join("sessions").join(&session);
    assert_eq!(mode(&dir), 0o700);
    for file in ["spec.json", "status.json"] {
        let text = String::from_utf8_lossy(&std::fs::read(dir.join(file)).unwrap()).into_owned();
        assert!(!text.contains(&token), "{file} holds the token");
    }
    let prompt =
        board.api("GET", &format!("/api/projects/default/tasks/{id}/attempts/1/prompt"), &Value::Null);
    assert!(!prompt.body.to_string().contains(&token));
    assert!(
        !board.log().contains(&token) && !board.log().contains(&board.token()),
        "the server's log masks secrets"
    );
    board.ok(&["task", "cancel", &id]);
    board.finish();
}

#[test]
fn strangers_are_refused() {
    let board = Setup::agents(&[]).start();
    let nobody = board.api_as("mozi_u_wrong", "GET", "/api/projects", &Value::Null);
    assert_eq!((nobody.status, &nobody.body["code"]), (401, &json!("unauthenticated")));
    let auth = format!("Bearer {}", board.token());
    let foreign = crate::support::request(
        board.port,
        "GET",
        "/api/projects",
        &[("authorization", &auth), ("origin", "https://evil.example")],
        "",
    );
    let (status, body) = foreign.unwrap();
    assert!(status == 403 && body.contains("origin_refused"), "{status} {body}");
    let raw = "GET /api/projects HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let mut s = std::net::TcpStream::connect(("127.0.0.1", board.port)).unwrap();
    std::io::Write::write_all(&mut s, raw.as_bytes()).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut s, &mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 403") && text.contains("host_refused"), "{text}");
    board.finish();
}
