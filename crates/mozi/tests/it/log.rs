//! The server's log for programs: lines of JSON that say of what they are, without secrets.

use serde_json::{Value, json};

use crate::support::{Setup, request, wait_for};

#[test]
fn lines_of_json_name_the_request_and_the_session() {
    let script = "echo \"$MOZI_TOKEN\" > \"$TEST_DIR/token-of-agent\"; mozi report working; mozi report failed --detail \"it is late\"";
    let mut setup = Setup::agents(&[("coder", script, "")]);
    setup.env.push(("MOZI_LOG_FORMAT".to_owned(), "json".to_owned()));
    let board = setup.start();
    let id = board.add(&json!({ "title": "x", "agent": "coder" }));
    board.until_outcome(&id, 1, "completed");
    let headers = [("x-request-id", "seen-1"), ("authorization", "Bearer mozi_u_0123456789")];
    let path = format!("/api/projects/default/tasks/{id}/attempts/1?x=secret");
    assert_eq!(request(board.port, "GET", &path, &headers, "").unwrap().0, 422);
    let token = board.file("token-of-agent");
    assert_eq!(request(board.port, "GET", &format!("/t/{token}/nothing"), &[], "").unwrap().0, 404);

    let lines = wait_for("the lines of the log", || {
        let log = board.log();
        let lines = log.lines().filter(|l| l.starts_with('{'));
        let lines: Vec<Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
        lines.iter().any(|l| l["message"].as_str().is_some_and(|m| m.contains("/nothing"))).then_some(lines)
    });
    for line in &lines {
        for field in ["time", "level", "target"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
    let find = |what: &str| {
        let found = lines.iter().find(|l| l["message"].as_str().is_some_and(|m| m.ends_with(what)));
        found.unwrap_or_else(|| panic!("no line ends with {what}:\n{}", board.log()))
    };
    let asked = find("/attempts/1");
    assert_eq!((&asked["request_id"], &asked["status"]), (&json!("seen-1"), &json!(422)));
    assert_eq!((&asked["level"], &asked["ms"].is_u64()), (&json!("debug"), &true));
    let report = find(&format!("POST /api/projects/default/tasks/{id}/status"));
    assert_eq!((&report["project"], &report["task"]), (&json!("default"), &json!(id)));
    assert_eq!(report["attempt_number"], 1);
    // What the runner asks for a session says so, and of which task.
    let started = find("/started");
    let session = board.task(&id)["attempts"][0]["session_id"].clone();
    assert_eq!((&started["session_id"], &started["task"]), (&session, &json!(id)));
    let log = board.log();
    assert!(!log.contains(&token) && !log.contains("0123456789") && !log.contains("secret"), "{log}");
}

#[test]
fn a_wrong_format_is_refused_in_words() {
    let mut setup = Setup::agents(&[]);
    setup.config = String::new();
    let board = setup.start();
    let out = board.mozi(&["serve", "--log-format", "xml"]);
    assert_eq!(out.status.code(), Some(2), "usage");
    let out = board.mozi_command(&["serve"]).env("MOZI_LOG_FORMAT", "xml").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && said.contains("MOZI_LOG_FORMAT is text or json"), "{said}");
}
