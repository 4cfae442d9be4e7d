//! Events in pages and streams: nothing is lost, nothing comes twice.

use std::time::Duration;

use axum::body::Body;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{ADMIN, OPERATOR, SCOPED, TestBoard, VIEWER};

const EVENTS: &str = "/api/projects/default/events";
const SOON: Duration = Duration::from_secs(30);

/// Somebody who reads a stream.
struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    async fn open(board: &TestBoard, path: &str, token: &str, last: Option<&str>) -> Self {
        let ask = board.ask(&Method::GET, path).token(token).header("accept", "text/event-stream");
        let ask = match last {
            Some(id) => ask.header("last-event-id", id),
            None => ask,
        };
        let answer = ask.open().await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        let mut this = Self { body: answer.into_body(), text: String::new() };
        // The answer begins when it watches.
        while !this.text.contains("\n\n") {
            assert!(this.more().await);
        }
        let (greeting, rest) = this.text.split_once("\n\n").unwrap();
        assert!(greeting.starts_with(": watching\nid: "), "{greeting}");
        this.text = rest.to_owned();
        this
    }

    async fn more(&mut self) -> bool {
        let frame =
            tokio::time::timeout(SOON, self.body.frame()).await.expect("a piece of the stream in time");
        let Some(frame) = frame else { return false };
        self.text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        true
    }

    /// The next event: its id, type and data. None when the stream has ended.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|l| l.strip_prefix(name)).map(str::to_owned);
                let found = field("id: ").zip(field("event: ")).zip(field("data: "));
                let rest = rest.to_owned();
                self.text = rest;
                if let Some(((id, kind), data)) = found {
                    return Some((id, kind, serde_json::from_str(&data).unwrap()));
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }
}

async fn comment(board: &TestBoard, body: &str) {
    let path = "/api/projects/default/tasks/1/comments";
    board.post(path, OPERATOR, &json!({ "body": body })).await.expect(201);
}

async fn with_task() -> TestBoard {
    let board = TestBoard::new().await;
    board.post("/api/projects/default/tasks", OPERATOR, &json!({ "title": "t" })).await.expect(201);
    board
}

#[tokio::test]
async fn who_comes_after_a_quiet_while_misses_nothing() {
    let board = with_task().await;
    for round in 0..20 {
        // Nobody watches meanwhile.
        comment(&board, "unseen").await;
        let mut reader = Reader::open(&board, EVENTS, VIEWER, None).await;
        let said = format!("round {round}");
        comment(&board, &said).await;
        comment(&board, "the next").await;
        let (first, kind, _) = reader.next().await.unwrap();
        let (second, _, _) = reader.next().await.unwrap();
        let ids = [first, second].map(|id| id.parse::<u64>().unwrap());
        // Two events are there to begin with, then three a round.
        assert_eq!((ids, kind.as_str()), ([round * 3 + 4, round * 3 + 5], "comment_added"));
    }
}

#[tokio::test]
async fn pages_count_without_gap() {
    let board = with_task().await;
    for i in 0..5 {
        comment(&board, &i.to_string()).await;
    }
    let page = board.get(&format!("{EVENTS}?limit=3"), VIEWER).await.expect(200);
    let ids: Vec<_> = page["items"].as_array().unwrap().iter().map(|e| e["id"].as_u64().unwrap()).collect();
    assert_eq!((ids, &page["next_cursor"]), (vec![1, 2, 3], &json!("3")));
    let page = board.get(&format!("{EVENTS}?after=3"), VIEWER).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
    assert_eq!(page["items"][3]["event_type"], "comment_added");
    insta::assert_json_snapshot!(page["items"][3]);
    let end = board.get(&format!("{EVENTS}?after=7"), VIEWER).await.expect(200);
    assert_eq!(end, json!({ "items": [], "next_cursor": null }));

    // Over all projects: also what belongs to none, behind cursors that mean nothing to anybody else.
    let all = board.get("/api/events?limit=500", VIEWER).await.expect(200);
    let items = all["items"].as_array().unwrap();
    assert!(items.iter().any(|e| e["event_type"] == "token_created" && e["project_id"].is_null()));
    let cursor = all["next_cursor"].as_str().unwrap();
    comment(&board, "late").await;
    let rest = board.get(&format!("/api/events?after={cursor}"), VIEWER).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    board.get("/api/events", SCOPED).await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_left() {
    let board = with_task().await;
    comment(&board, "seen").await;
    let mut live = Reader::open(&board, EVENTS, VIEWER, None).await;
    let mut all = Reader::open(&board, "/api/events", VIEWER, None).await;
    comment(&board, "new").await;
    let (id, kind, data) = live.next().await.unwrap();
    assert_eq!(
        (id.as_str(), kind.as_str()),
        ("4", "comment_added"),
        "without a place, a stream begins with what comes next"
    );
    assert_eq!(data["id"], 4);
    let (cursor, _, same) = all.next().await.unwrap();
    assert_eq!(same, data);

    comment(&board, "while away").await;
    for (path, place) in [(EVENTS, "4"), ("/api/events", cursor.as_str())] {
        let mut resumed = Reader::open(&board, path, VIEWER, Some(place)).await;
        assert_eq!(resumed.next().await.unwrap().2["id"], 5);
        let mut asked = Reader::open(&board, &format!("{path}?after={place}"), VIEWER, None).await;
        assert_eq!(asked.next().await.unwrap().2["id"], 5);
    }
    let mut first = Reader::open(&board, &format!("{EVENTS}?after=0"), VIEWER, None).await;
    for id in 1..=5 {
        assert_eq!(first.next().await.unwrap().2["id"], id);
    }
}

#[tokio::test]
async fn many_watchers_get_everything_in_order() {
    let board = with_task().await;
    let mut watchers = Vec::new();
    for i in 0..100 {
        let path = if i % 2 == 0 { EVENTS } else { "/api/events" };
        watchers.push(Reader::open(&board, path, VIEWER, None).await);
    }
    let idle = Reader::open(&board, "/api/projects/other/events", VIEWER, None).await;
    // One reads nothing until it is far behind the ring.
    let mut slow = Reader::open(&board, "/api/events", VIEWER, None).await;
    let count = 600;
    let write = async {
        for i in 0..count {
            comment(&board, &i.to_string()).await;
        }
    };
    let read = futures_util::future::join_all(watchers.iter_mut().map(async |w| {
        for id in 3..3 + count {
            assert_eq!(w.next().await.unwrap().2["id"], id);
        }
    }));
    tokio::join!(write, read);
    for id in 3..3 + count {
        assert_eq!(slow.next().await.unwrap().2["id"], id);
    }
    comment(&board, "last").await;
    assert_eq!(slow.next().await.unwrap().2["id"], 3 + count);
    assert_eq!(idle.text, "", "what is another project's does not come");
}

#[tokio::test]
async fn who_watches_a_project_sees_the_history_that_is_taken_in() {
    let from = TestBoard::new().await;
    for _ in 0..3 {
        from.post("/api/projects/default/tasks", OPERATOR, &json!({ "title": "t" })).await.expect(201);
    }
    let archive = from.get("/api/projects/default/export", ADMIN).await.bytes;
    let to = TestBoard::new().await;
    let before = to.get(EVENTS, ADMIN).await.expect(200)["items"].as_array().unwrap().len();
    let mut reader = Reader::open(&to, EVENTS, ADMIN, None).await;
    let path = "/api/projects/default/import";
    let taken = to.ask(&Method::POST, path).token(ADMIN).raw("application/x-tar", archive).send().await;
    taken.expect(200);
    let mut kinds = Vec::new();
    for n in 1..=5 {
        let (id, kind, _) = reader.next().await.unwrap();
        assert_eq!(id, (before + n).to_string(), "{kinds:?}");
        kinds.push(kind);
    }
    assert_eq!(kinds, ["project_created", "task_created", "task_created", "task_created", "notice"]);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let board = with_task().await;
    let token = board.post("/api/tokens", ADMIN, &json!({ "name": "x", "role": "viewer" })).await.expect(201);
    let token = token["token"].as_str().unwrap().to_owned();
    let mut theirs = Reader::open(&board, EVENTS, &token, None).await;
    let mut other = Reader::open(&board, "/api/events", VIEWER, None).await;
    board.ask(&Method::DELETE, "/api/tokens/x").token(ADMIN).send().await.expect(200);
    assert_eq!(other.next().await.unwrap().1, "token_revoked");
    assert!(theirs.next().await.is_none());
}

#[tokio::test]
async fn a_quiet_stream_shows_signs_of_life() {
    let board = with_task().await;
    let mut quiet = Reader::open(&board, EVENTS, VIEWER, None).await;
    assert!(quiet.more().await);
    assert_eq!(quiet.text, ": still here\n\n");
}
