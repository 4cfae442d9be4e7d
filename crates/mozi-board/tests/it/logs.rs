//! Logs as bytes: whole, from a place on, followed, with tokens masked.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use mozi_api::LogStream::{Stderr, Stdout};
use serde_json::json;

use crate::support::{OPERATOR, TestBoard};

#[tokio::test]
async fn a_log_from_any_place_with_its_tokens_masked() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let line = format!("before mozi_a_{} after\n", "0123456789abcdef");
    board.files.write(&run.session, Stdout, line.as_bytes(), false);
    board.files.write(&run.session, Stderr, b"oh", false);
    let log = async |query: &str| board.get(&run.at(&format!("/attempts/1/log{query}")), OPERATOR).await;
    let masked = "before mozi_a_**************** after\n";
    let whole = log("").await;
    assert_eq!(whole.text(), masked);
    assert_eq!((whole.header("mozi-log-offset"), whole.header("mozi-log-size")), ("0", "37"));
    // From the middle of the token: no half of it is shown.
    for from in 0..=line.len() {
        assert_eq!(log(&format!("?from={from}")).await.text(), masked.get(from..).unwrap(), "from {from}");
    }
    assert_eq!(log("?from=9999").await.text(), "");
    assert_eq!(log("?stream=stderr").await.text(), "oh");
    log("?stream=stdlog").await.refused(422, "invalid_body");
    let by_session = board.get(&format!("/api/sessions/{}/log", run.session), OPERATOR).await;
    assert_eq!(by_session.text(), masked);
    let prompt = board.get(&run.at("/attempts/1/prompt"), &run.token).await;
    assert!(prompt.text().ends_with("token mozi_a_****************"), "{}", prompt.text());
}

#[tokio::test]
async fn a_large_log_comes_whole() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let large: Vec<u8> = (0..1_000_000u32).map(|n| b'a' + (n % 13) as u8).collect();
    board.files.write(&run.session, Stdout, &large, true);
    let whole = board.get(&run.at("/attempts/1/log?from=5"), OPERATOR).await;
    assert_eq!(whole.bytes, large[5..]);
}

#[tokio::test]
async fn a_log_is_followed_to_the_end_of_its_session() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    board.files.write(&run.session, Stdout, b"one\n", true);
    let ask = board.ask(&Method::GET, &run.at("/attempts/1/log?follow=true")).token(&run.token);
    let mut body = ask.open().await.into_body();
    let mut next = async || {
        let frame =
            tokio::time::timeout(Duration::from_secs(10), body.frame()).await.expect("a piece in time");
        frame.map(|f| String::from_utf8(f.unwrap().into_data().unwrap().to_vec()).unwrap())
    };
    assert_eq!(next().await.as_deref(), Some("one\n"));
    board.files.write(&run.session, Stdout, b"two mozi_a_55", true);
    assert_eq!(next().await.as_deref(), Some("two mozi_a_**"));
    board.files.write(&run.session, Stdout, b"66 moz", true);
    assert_eq!(next().await.as_deref(), Some("** "), "the beginning of what may be a token is held back");
    board.files.write(&run.session, Stdout, b"art\n", false);
    assert_eq!(next().await.as_deref(), Some("mozart\n"));
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn of_a_log_that_is_gone_the_last_lines_are_left() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let empty = board.get(&run.at("/attempts/1/log"), OPERATOR).await;
    assert_eq!((empty.status.as_u16(), empty.text()), (200, String::new()));
    let tail = json!({ "stdout": "end\n", "stderr": "", "stdout_bytes": 104, "stderr_bytes": 0 });
    board.end(&run.session, &json!({ "cause": "itself", "exit_code": 1, "tail": tail })).await;
    let left = board.get(&run.at("/attempts/1/log"), OPERATOR).await;
    assert_eq!(
        (left.text().as_str(), left.header("mozi-log-offset"), left.header("mozi-log-size")),
        ("end\n", "100", "104")
    );
    let left = board.get(&run.at("/attempts/1/log?from=102"), OPERATOR).await;
    assert_eq!((left.text().as_str(), left.header("mozi-log-offset")), ("d\n", "102"));
}
