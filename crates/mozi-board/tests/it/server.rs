//! What the process around the board is told over HTTP, and what everybody hears of it.

use http::Method;
use mozi_api::server::ConfigMistake;
use mozi_board::Unreadable;
use serde_json::json;

use crate::support::{ADMIN, OPERATOR, TestBoard};

#[tokio::test]
async fn a_reload_is_answered_and_told() {
    let board = TestBoard::new().await;
    let answer = board.post("/api/config/reload", ADMIN, &json!({})).await.expect(200);
    assert_eq!((&answer["added"][0], &answer["file"]), (&json!("agents.writer"), &json!("/mozi.toml")));
    let text = "mozi.toml:2:1: unknown key `listn`".to_owned();
    let mistakes = vec![ConfigMistake { line: Some(2), column: Some(1), text: "unknown key `listn`".into() }];
    *board.host.refuse.lock().unwrap() = Some(Unreadable { text: text.clone(), mistakes });
    let refused = board.post("/api/config/reload", ADMIN, &json!({})).await.refused(422, "config_refused");
    assert_eq!((&refused["detail"], &refused["mistakes"][0]["line"]), (&json!(text), &json!(2)));
    let page = board.get("/api/events", ADMIN).await.expect(200);
    let told: Vec<_> =
        page["items"].as_array().unwrap().iter().filter(|e| e["project_id"].is_null()).collect();
    let last = &told[told.len() - 2..];
    assert_eq!(
        (&last[0]["event_type"], &last[0]["actor"]["kind"]),
        (&json!("config_reloaded"), &json!("user"))
    );
    assert_eq!(
        (&last[1]["event_type"], &last[1]["detail"]["text"]),
        (&json!("config_refused"), &json!(text))
    );
}

#[tokio::test]
async fn a_repeated_reload_is_answered_as_before_and_a_refused_one_is_tried_again() {
    let board = TestBoard::new().await;
    let ask = || {
        let ask = board.ask(&Method::POST, "/api/config/reload").token(ADMIN);
        ask.header("idempotency-key", "k1").json(&json!({})).send()
    };
    *board.host.refuse.lock().unwrap() = Some(Unreadable { text: "wrong".into(), mistakes: Vec::new() });
    ask().await.refused(422, "config_refused");
    let first = ask().await.expect(200);
    assert_eq!(ask().await.expect(200), first);
    assert_eq!(board.host.asked.lock().unwrap().len(), 2, "the repetition asked nobody");
}

#[tokio::test]
async fn nothing_is_done_for_those_who_may_not() {
    let board = TestBoard::new().await;
    for (method, path) in [(Method::POST, "/api/config/reload"), (Method::PUT, "/api/server/drain")] {
        board.ask(&method, path).token(OPERATOR).send().await.refused(403, "forbidden");
        board.ask(&method, path).send().await.refused(401, "unauthenticated");
    }
    assert!(board.host.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn draining_has_an_end() {
    let board = TestBoard::new().await;
    board.hello().await;
    board.claimed(&json!({})).await;
    let drain = |body| {
        let ask = board.ask(&Method::PUT, "/api/server/drain").token(ADMIN).json(&body);
        ask.send()
    };
    let answer = drain(json!({ "seconds": 60 })).await.expect(200);
    assert_eq!(answer, json!({ "draining": true, "active_sessions": 1 }));
    assert_eq!(drain(json!({ "seconds": 0 })).await.expect(200)["draining"], false);
    drain(json!({ "seconds": 3601 })).await.refused(422, "invalid_body");
    drain(json!({ "second": 1 })).await.refused(422, "invalid_body");
    assert_eq!(*board.host.asked.lock().unwrap(), ["drain 60", "drain 0"]);
}
