//! The runner's long poll, and what is derived for it.

use std::time::Duration;

use mozi_api::runner::MAX_POLL_SECONDS;
use serde_json::{Value, json};

use crate::support::{OPERATOR, RUNNER, TestBoard, sha256_of};

const TASKS: &str = "/api/projects/default/tasks";
const POLL: &str = "/api/runners/local/poll";

/// A poll that nothing wakes would run into this.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_waiting_poll_is_woken_by_a_task() {
    let board = TestBoard::new().await;
    board.hello().await;
    let work = async {
        let (reply, token) = board.poll(&["coder"], MAX_POLL_SECONDS).await;
        (reply["claimed"][0].clone(), token)
    };
    let make = async {
        let body = json!({ "title": "t", "agent": "coder" });
        board.post(TASKS, OPERATOR, &body).await.expect(201)
    };
    let ((assignment, token), made) =
        tokio::time::timeout(SOON, async { tokio::join!(work, make) }).await.unwrap();
    assert_eq!(assignment["task_id"], made["task_id"]);
    assert_eq!(assignment["role"], "executor");
    assert_eq!(assignment["attempt_number"], 1);
    assert_eq!(assignment["language"], "en");
    let text = assignment["prompt"]["text"].as_str().unwrap();
    for name in ["token", "url", "workspace", "outbox", "mozi", "session_id", "workspace_state"] {
        assert!(assignment["prompt"]["marks"][name].is_string(), "mark {name}");
    }
    assert!(!text.contains(&token), "the board never has the token");
}

#[tokio::test]
async fn a_repeated_offer_answers_the_same_attempt() {
    let board = TestBoard::new().await;
    board.hello().await;
    board.post(TASKS, OPERATOR, &json!({ "title": "t", "agent": "coder" })).await.expect(201);
    let offer = json!({ "session_id": "00000000-0000-4000-8000-00000000000a", "token_sha256": sha256_of("mozi_a_x") });
    let body = json!({ "agents": ["coder"], "offers": [offer], "wait_seconds": 0 });
    let first = board.post(POLL, RUNNER, &body).await.expect(200);
    let again = board.post(POLL, RUNNER, &body).await.expect(200);
    assert_eq!(first["claimed"][0]["session_id"], again["claimed"][0]["session_id"]);
    assert_eq!(again["claimed"][0]["attempt_number"], 1);
    let open = board.get("/api/runners/local/sessions", RUNNER).await.expect(200);
    assert_eq!(open.as_array().unwrap().len(), 1);
    assert_eq!(open[0]["attempt"]["boot_id"], "b1");
}

#[tokio::test]
async fn a_caller_that_has_gone_claims_nothing() {
    let board = TestBoard::new().await;
    board.hello().await;
    let gone = tokio::time::timeout(Duration::from_millis(50), board.poll(&["coder"], 30)).await;
    assert!(gone.is_err(), "there was nothing to claim");
    let made = board.post(TASKS, OPERATOR, &json!({ "title": "t", "agent": "coder" })).await.expect(201);
    let task = made["task_id"].as_str().unwrap();
    assert_eq!(board.get(&format!("{TASKS}/{task}"), OPERATOR).await.expect(200)["status"], "pending");
    board.claim(task, "coder").await;
}

#[tokio::test]
async fn orders_follow_from_the_state_and_wake_the_poll() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    board.started(&run).await;
    let wait = async |known: Value| {
        let body = json!({ "known": known, "wait_seconds": 30 });
        let reply = tokio::time::timeout(SOON, board.post(POLL, RUNNER, &body)).await.unwrap();
        reply.expect(200)
    };
    let output = json!({ "type": "code", "title": "t", "content": "c" });
    board.post(&run.at("/outputs"), &run.token, &output).await.expect(201);
    let verdict = async {
        board.post(&run.at("/status"), &run.token, &json!({ "status": "review" })).await.expect(200);
        board.later(Duration::from_secs(3));
    };
    let (reply, ()) = tokio::join!(wait(json!([])), verdict);
    assert_eq!(reply["stop"][0]["order"], "grace");
    let later = wait(json!([])).await;
    assert_eq!(later["stop"][0]["verdict_age_ms"], 3000);

    // What it knows is left out, until something stronger is ordered.
    let known = json!([{ "session_id": run.session, "order": "grace" }]);
    let stop = async {
        let path = format!("/api/sessions/{}/stop", run.session);
        board.post(&path, OPERATOR, &json!({ "detail": "enough" })).await.expect(200);
    };
    let (reply, ()) = tokio::join!(wait(known), stop);
    assert_eq!((&reply["stop"][0]["order"], &reply["stop"][0]["why"]), (&json!("stop"), &json!("enough")));
}

#[tokio::test]
async fn a_revoked_attempt_is_a_stop_order() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    board.post(&run.at("/status"), OPERATOR, &json!({ "status": "cancelled" })).await.expect(200);
    let reply = board.post(POLL, RUNNER, &json!({})).await.expect(200);
    assert_eq!(reply["stop"][0]["order"], "stop");
    let refused = board.post(&run.at("/comments"), &run.token, &json!({ "body": "x" })).await;
    refused.refused(409, "attempt_closed");
    // It may still read why.
    board.get(&run.path, &run.token).await.expect(200);
    board.end(&run.session, &json!({ "cause": "stop", "signal": 15 })).await;
    assert_eq!(board.get(&run.at("/attempts/1"), OPERATOR).await.expect(200)["outcome"], "cancelled");
}

#[tokio::test]
async fn held_up_sessions_are_shown_and_forced() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    board.started(&run).await;
    let note = format!("/api/runners/local/sessions/{}/note", run.session);
    let clean = format!("/api/sessions/{}?force=true", run.session);
    let delete = async || board.ask(&http::Method::DELETE, &clean).token(OPERATOR).send().await;
    delete().await.refused(409, "session_active");
    board.post(&note, RUNNER, &json!({ "note": "held_up" })).await.refused(422, "invalid_body");
    let body = json!({ "note": "held_up", "by": "gateway", "detail": "no answer" });
    let shown = board.post(&note, RUNNER, &body).await.expect(200);
    assert_eq!(shown["status"], "stuck");
    let task = board.get(&run.path, OPERATOR).await.expect(200);
    assert_eq!(task["waiting_for"][0]["kind"], "gateway");
    delete().await.expect(200);
    let reply = board.post(POLL, RUNNER, &json!({})).await.expect(200);
    assert_eq!(reply["stop"][0]["order"], "force");
}

#[tokio::test]
async fn a_time_that_has_come_wakes_the_poll() {
    let board = TestBoard::new().await;
    board.hello().await;
    // The clock of this board stands still: the time comes when it is set, and the board looks for it by itself.
    let soon = "2026-01-02T03:04:05.300Z";
    board
        .post(TASKS, OPERATOR, &json!({ "title": "t", "agent": "coder", "not_before": soon }))
        .await
        .expect(201);
    let (reply, _) = board.poll(&["coder"], 0).await;
    assert_eq!(reply["claimed"], json!([]));
    board.later(Duration::from_millis(300));
    let (reply, _) = tokio::time::timeout(SOON, board.poll(&["coder"], 30)).await.unwrap();
    assert_eq!(reply["claimed"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_last_lines_of_a_script_become_its_output() {
    let board = TestBoard::new().await;
    let agent = json!({ "id": "script", "runtime": "command", "roles": ["executor"], "verdict": "exit", "callback": "env" });
    let hello =
        json!({ "max_sessions": 1, "boot_id": "b", "pid_namespace": "n", "version": "0", "agents": [agent] });
    board.post("/api/runners/local/hello", RUNNER, &hello).await.expect(200);
    let run = board.claimed(&json!({ "agent": "script" })).await;
    board.started(&run).await;
    let tail = json!({ "stdout": "done: 42\n", "stderr": "", "stdout_bytes": 9, "stderr_bytes": 0 });
    let usage = json!([{ "model": "m", "input_tokens": 5, "output_tokens": 2, "cost_micro_usd": 12 }]);
    let end = json!({
        "cause": "itself", "exit_code": 0, "tail": tail, "reading": { "usage": usage },
        "resources": { "cpu_seconds": 1.5, "max_rss_bytes": 1000 },
    });
    board.end(&run.session, &end).await;
    let task = board.get(&run.at("?expand=all"), OPERATOR).await.expect(200);
    assert_eq!(task["status"], "review");
    assert_eq!(board.get(&run.at("/outputs/1/content"), OPERATOR).await.text(), "done: 42\n");
    let attempt = &task["attempts"][0];
    assert_eq!(attempt["usage"]["cost_micro_usd"], 12);
    assert_eq!(attempt["resources"]["cpu_seconds"], 1.5);
    assert_eq!(attempt["log"]["stdout_bytes"], 9);
    // The end again changes nothing.
    let last = board.get("/api/projects/default/events?limit=500", OPERATOR).await.expect(200);
    board.end(&run.session, &end).await;
    assert_eq!(board.get("/api/projects/default/events?limit=500", OPERATOR).await.expect(200), last);
}

#[tokio::test]
async fn nothing_is_passed_over_while_a_poll_looks() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    board.started(&run).await;
    // Orders it knows wake it again and again; tasks that come meanwhile are claimed all the same.
    for round in 0..30 {
        let session = mozi_core::SessionId(uuid::Uuid::from_u128(1000 + round));
        let body = json!({
            "agents": ["coder"],
            "offers": [{ "session_id": session.to_string(), "token_sha256": sha256_of(&format!("mozi_a_{round}")) }],
            "known": [{ "session_id": run.session, "order": "stop" }],
            "wait_seconds": 30,
        });
        let poll = async { board.post(POLL, RUNNER, &body).await.expect(200) };
        let noise = async {
            let path = format!("/api/sessions/{}/stop", run.session);
            board.post(&path, OPERATOR, &json!({ "detail": format!("round {round}") })).await.expect(200);
            board.post(TASKS, OPERATOR, &json!({ "title": "t", "agent": "coder" })).await.expect(201);
        };
        let (reply, ()) = tokio::time::timeout(SOON, async { tokio::join!(poll, noise) }).await.unwrap();
        assert_eq!(reply["claimed"][0]["session_id"], session.to_string(), "round {round}");
        board.end(&session.to_string(), &json!({ "cause": "dry_run" })).await;
    }
}
