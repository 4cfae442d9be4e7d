//! Backups and what may go, as far as the board has a part in it.

use std::{io, sync::Mutex};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use mozi_api::{
    BoxFuture,
    house::{GcLine, GcReport},
};
use mozi_board::{Backup, House, HouseError, Made};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{ADMIN, OPERATOR, TestBoard};

/// A house that gives what a test has put there.
#[derive(Default)]
pub(crate) struct FakeHouse {
    pub(crate) broken_off: Mutex<bool>,
    pub(crate) full: Mutex<bool>,
    pub(crate) nothing: Mutex<bool>,
}

impl House for FakeHouse {
    fn backup(&self) -> BoxFuture<'_, Result<Backup, HouseError>> {
        let full = *self.full.lock().unwrap();
        let broken_off = *self.broken_off.lock().unwrap();
        Box::pin(async move {
            if full {
                return Err(HouseError {
                    code: "storage_full",
                    detail: "could not copy the database".into(),
                });
            }
            let (tell, made) = oneshot::channel();
            let mut pieces: Vec<io::Result<Bytes>> = vec![Ok(Bytes::from_static(b"an archive"))];
            if broken_off {
                pieces.push(Err(io::Error::other("a blob became shorter")));
            } else {
                tell.send(Made { size_bytes: 10, blobs: 2, damaged: 1 }).unwrap();
            }
            Ok(Backup { bytes: Box::pin(futures_util::stream::iter(pieces)), made })
        })
    }

    fn gc(&self, dry_run: bool) -> BoxFuture<'_, Result<GcReport, HouseError>> {
        let count = if *self.nothing.lock().unwrap() { 0 } else { 3 };
        let removed = vec![
            GcLine { kind: "logs".into(), count, bytes: Some(70) },
            GcLine { kind: "events".into(), count: 0, bytes: None },
        ];
        Box::pin(async move { Ok(GcReport { dry_run, removed, notes: vec!["one stays".into()] }) })
    }
}

async fn told(board: &TestBoard) -> Vec<Value> {
    let events = board.get("/api/events?limit=500", ADMIN).await.expect(200);
    let own = |e: &&Value| e["event_type"] == "backup_made" || e["detail"]["code"] == "house_kept";
    events["items"].as_array().unwrap().iter().filter(own).cloned().collect()
}

#[tokio::test]
async fn a_backup_is_streamed_and_told_of_in_the_name_of_who_asked() {
    let board = TestBoard::new().await;
    let mut commits = board.store.subscribe();
    let before = commits.borrow_and_update().seq;
    let reply = board.get("/api/backup", ADMIN).await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    assert_eq!((reply.header("content-type"), reply.text().as_str()), ("application/x-tar", "an archive"));
    commits.wait_for(|c| c.seq > before).await.unwrap();
    let told = told(&board).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["detail"], json!({ "size_bytes": 10, "blobs": 2, "damaged": 1 }));
    assert_eq!((&told[0]["actor"]["kind"], &told[0]["project_id"]), (&json!("user"), &Value::Null));
    board.get("/api/backup", OPERATOR).await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_backup_that_is_broken_off_ends_as_an_error_and_is_none() {
    let board = TestBoard::new().await;
    *board.house.broken_off.lock().unwrap() = true;
    let response = board.ask(&Method::GET, "/api/backup").token(ADMIN).open().await;
    assert!(response.into_body().collect().await.is_err());
    *board.house.full.lock().unwrap() = true;
    board.get("/api/backup", ADMIN).await.refused(507, "storage_full");
    assert_eq!(told(&board).await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_went_is_told_and_what_would_go_is_not() {
    let board = TestBoard::new().await;
    let would = board.get("/api/gc", ADMIN).await.expect(200);
    assert_eq!((&would["dry_run"], &would["removed"][0]["count"]), (&json!(true), &json!(3)));
    assert_eq!(told(&board).await, Vec::<Value>::new());
    let gone = board.ask(&Method::DELETE, "/api/gc").token(ADMIN).send().await.expect(200);
    assert_eq!((&gone["dry_run"], &gone["notes"]), (&json!(false), &json!(["one stays"])));
    *board.house.nothing.lock().unwrap() = true;
    board.ask(&Method::DELETE, "/api/gc").token(ADMIN).send().await.expect(200);
    let told = told(&board).await;
    assert_eq!(told.len(), 1, "nothing is told where nothing went");
    assert_eq!(told[0]["detail"]["text"], "removed: 3 logs");
    assert_eq!(told[0]["detail"]["because"], "gc");
}
