//! Streams of events: however they are cut, and when they break.

use std::time::Duration;

use mozi_api::{
    Client, ClientError,
    sse::{Message, Parser},
};
use proptest::prelude::*;
use serde_json::json;

use crate::serve::{Answer, Server, json as answer};

fn messages(pieces: &[&[u8]]) -> Vec<Message> {
    let mut parser = Parser::default();
    let mut all = Vec::new();
    for piece in pieces {
        parser.feed(piece).expect("short messages");
        all.extend(std::iter::from_fn(|| parser.next()));
    }
    all
}

fn message(id: Option<&str>, event: Option<&str>, data: &str) -> Message {
    Message { id: id.map(Into::into), event: event.map(Into::into), data: data.into() }
}

#[test]
fn messages_are_read_as_browsers_read_them() {
    let text = "\u{feff}: hello\n\nid: 1\nevent: notice\ndata: a\ndata:b\ndata\n\nretry: 5\nid: 2\n\ndata: c\n\nid\ndata:  d\n\ndata: unfinished\n";
    assert_eq!(
        messages(&[text.as_bytes()]),
        [
            message(Some("1"), Some("notice"), "a\nb\n"),
            message(Some("2"), None, "c"),
            message(Some(""), None, " d"),
        ]
    );
    assert_eq!(messages(&[b"data: x\r\n\r\ndata: y\r\rdata: z\n\n"]).len(), 3);
    assert_eq!(messages(&[b"data: x\r", b"\n\r", b"\ndata: y\n", b"\n"]).len(), 2);
}

#[test]
fn a_stream_without_line_ends_does_not_fill_the_memory() {
    let mut parser = Parser::default();
    let piece = vec![b'x'; 1024 * 1024];
    let refused = (0..20).map(|_| parser.feed(&piece)).find(Result::is_err);
    assert!(refused.is_some());
}

proptest! {
    #[test]
    fn it_does_not_matter_where_bytes_are_cut(
        text in "(id: [0-9]{1,3}|event: [a-z]{1,4}|data: ?[a-z é]{0,6}|:|x: y|)((\n|\r|\r\n)(id: [0-9]{1,3}|data: ?[a-zé]{0,6}|:|)){0,12}(\n\n|\r\n\r\n|\r\r)",
        cuts in prop::collection::vec(0_usize..80, 0..6),
    ) {
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        pieces.push(&bytes[from..]);
        prop_assert_eq!(messages(&pieces), messages(&[bytes]));
    }
}

fn event(id: u64) -> String {
    let data = json!({
        "id": id, "project_id": "app", "task_id": null, "attempt_number": null, "agent": null,
        "actor": {"kind": "board", "id": null, "name": null, "via": null}, "event_type": "notice",
        "detail": {}, "at": "2026-08-01T12:00:00Z",
    });
    format!("id: c{id}\nevent: notice\ndata: {data}\n\n")
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_broken_stream_goes_on_behind_the_last_event() {
    let server = Server::start(|number, _| match number {
        // It breaks in the middle of the third event.
        1 => Answer::Close(format!("{HEAD}: hello\n\n{}{}id: c3\ndata: {{\"id\"", event(1), event(2))),
        2 => Answer::Close(String::new()),
        3 => answer("503 Service Unavailable", &json!({
            "type": "x", "title": "x", "status": 503, "detail": "stopping", "code": "unavailable", "request_id": "",
        })),
        _ => Answer::Keep(format!("{HEAD}{}{}", event(3), event(4))),
    })
    .await;
    let client = Client::new(&server.url, Some("t")).expect("a client");
    let mut stream = client.event_stream(Some(&"app".parse().expect("an id")), Some("c0".into()));
    for id in 1..=4 {
        let next = stream.next().await.expect("an event");
        assert_eq!((next.event.id, next.cursor), (id, format!("c{id}")));
    }
    assert_eq!(stream.cursor(), Some("c4"));
    let seen = server.requests();
    let asked: Vec<_> = seen.iter().map(|s| s.header("last-event-id").unwrap_or_default()).collect();
    assert_eq!(asked, ["c0", "c2", "c2", "c2"]);
    assert_eq!(seen[0].line, "GET /api/projects/app/events?after=c0 HTTP/1.1");
    assert_eq!(seen[0].header("accept"), Some("text/event-stream"));
}

#[tokio::test]
async fn a_refusal_ends_a_stream() {
    let server = Server::start(|number, _| match number {
        1 => Answer::Close(format!("{HEAD}{}", event(1))),
        _ => answer(
            "410 Gone",
            &json!({
                "type": "x", "title": "x", "status": 410, "detail": "too old", "code": "events_expired",
                "request_id": "", "oldest_id": 9,
            }),
        ),
    })
    .await;
    let client = Client::new(&server.url, None).expect("a client");
    let mut stream = client.event_stream(None, None);
    assert_eq!(stream.next().await.expect("an event").event.id, 1);
    let error = stream.next().await.expect_err("events expired");
    assert_eq!(error.code(), Some("events_expired"));
    assert_eq!(error.problem().and_then(|p| p.more.get("oldest_id")), Some(&json!(9)));
    assert_eq!(server.requests()[0].line, "GET /api/events HTTP/1.1");
}

#[tokio::test]
async fn a_board_that_was_never_there_is_an_error_at_once_and_one_that_stays_away_after_a_while() {
    let client = Client::new("http://127.0.0.1:1", None).expect("a client");
    let error = client.event_stream(None, None).next().await.expect_err("nobody there");
    assert!(matches!(error, ClientError::Unreachable { .. }));

    let server = Server::start(|_, _| Answer::Close(format!("{HEAD}{}", event(1)))).await;
    let client = Client::new(&server.url, None).expect("a client");
    let mut stream = client.event_stream(None, None).with_patience(Duration::from_millis(300));
    assert_eq!(stream.next().await.expect("an event").event.id, 1);
    drop(server);
    let begun = std::time::Instant::now();
    let error = stream.next().await.expect_err("it stays away");
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_dropped_wait_loses_no_event() {
    let server = Server::start(|_, _| Answer::Keep(format!("{HEAD}{}{}", event(1), event(2)))).await;
    let client = Client::new(&server.url, None).expect("a client");
    let mut stream = client.event_stream(None, None);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Ok(next) = tokio::time::timeout(Duration::from_micros(50), stream.next()).await {
            seen.push(next.expect("an event").event.id);
        }
    }
    assert_eq!(seen, [1, 2]);
}

#[tokio::test]
async fn a_stream_without_a_place_says_where_it_begins_and_loses_nothing_by_it() {
    let begin = format!("{HEAD}: watching\nid: c7\n\n{}{}", event(8), event(9));
    let server = Server::start(move |_, _| Answer::Keep(begin.clone())).await;
    let client = Client::new(&server.url, None).expect("a client");
    let mut stream = client.event_stream(None, None);
    assert_eq!(stream.place().await.expect("a place"), "c7");
    assert_eq!(stream.place().await.expect("the same"), "c7");
    assert_eq!(stream.next().await.expect("an event").event.id, 8);
    assert_eq!(stream.next().await.expect("an event").event.id, 9);
    assert_eq!(server.requests().len(), 1);
}
