//! Many tasks at once, and whole projects: out of one board over HTTP, into another.

use std::{fs, path::Path};

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Claimed, OPERATOR, Reply, SCOPED, TestBoard, VIEWER};

async fn import(board: &TestBoard, path: &str, token: &str, body: impl Into<Vec<u8>>) -> Reply {
    board.ask(&Method::POST, path).token(token).raw("application/x-ndjson", body.into()).send().await
}

fn lines(all: &[Value]) -> String {
    all.iter().flat_map(|v| [v.to_string(), "\n".into()]).collect()
}

#[tokio::test]
async fn lines_become_tasks_all_or_none() {
    let board = TestBoard::new().await;
    let path = "/api/projects/default/import";
    let all = [
        json!({ "title": "last", "task_id": "last", "depends_on": ["first"] }),
        json!({ "title": "第一", "task_id": "first", "labels": { "area": "web" } }),
        json!({ "title": "numbered" }),
    ];
    let look = import(&board, &format!("{path}?dry_run=true"), OPERATOR, lines(&all)).await.expect(200);
    assert_eq!((look["created"].as_u64(), look["dry_run"].as_bool()), (Some(3), Some(true)));
    board.get("/api/projects/default/tasks/first", OPERATOR).await.refused(404, "not_found");
    let done = import(&board, path, OPERATOR, lines(&all)).await.expect(200);
    assert_eq!((done["created"].as_u64(), done["existing"].as_u64()), (Some(3), Some(0)), "{done}");
    assert_eq!(board.get("/api/projects/default/tasks/first", OPERATOR).await.expect(200)["title"], "第一");
    // The named ones are there already; the same body for the first is the same task.
    let again = import(&board, path, OPERATOR, lines(&all[..2])).await.expect(200);
    assert_eq!((again["created"].as_u64(), again["existing"].as_u64()), (Some(0), Some(2)));
    let body = "{\"title\":\"good\",\"task_id\":\"good\"}\n{\"titel\":\"x\"}\nno\n\n{\"title\":\"other\",\"task_id\":\"first\"}\n{\"title\":\"\"}";
    let refused = import(&board, path, OPERATOR, body).await.refused(422, "invalid_body");
    assert_eq!(refused["wrong_lines"], 4);
    let named: Vec<_> = refused["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (l["line"].as_u64().unwrap(), l["field"].as_str().unwrap()))
        .collect();
    assert_eq!(named, [(2, "titel"), (3, "line"), (5, "task_id"), (6, "title")]);
    board.get("/api/projects/default/tasks/good", OPERATOR).await.refused(404, "not_found");
    import(&board, path, VIEWER, lines(&all)).await.refused(403, "forbidden");
    import(&board, "/api/projects/nowhere/import", OPERATOR, lines(&all)).await.refused(404, "not_found");
    let nothing = import(&board, path, OPERATOR, "").await.expect(200);
    assert_eq!(nothing["created"], 0);
    // What comes out as lines goes in as new tasks elsewhere.
    let out = board.get("/api/projects/default/export?format=tasks", VIEWER).await;
    assert_eq!(out.status, 200);
    let other = TestBoard::new().await;
    let done = import(&other, path, OPERATOR, out.bytes).await.expect(200);
    assert_eq!(done["created"], 3);
}

/// All files beneath a folder, with their sizes.
fn files(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { names.extend(files(&path)) } else { names.push(path.display().to_string()) }
    }
    names.sort();
    names
}

fn large(seed: u8) -> String {
    (0..60_000_u32).map(|n| char::from(b'a' + ((n * n / 7 + u32::from(seed)) % 26) as u8)).collect()
}

/// A project in which something has happened, with small and large outputs.
async fn busy() -> (TestBoard, Claimed) {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({ "task_id": "live", "title": "在做" })).await;
    for content in ["小", &large(1), &large(2), &large(1)] {
        let output = json!({ "type": "data", "title": "t", "content": content });
        board.post(&run.at("/outputs"), &run.token, &output).await.expect(201);
    }
    board.post(&run.at("/comments"), &run.token, &json!({ "body": "好" })).await.expect(201);
    board.post(&run.at("/status"), &run.token, &json!({ "status": "working" })).await.expect(200);
    let waits = json!({ "task_id": "waits", "title": "waits", "depends_on": ["live"] });
    board.post("/api/projects/default/tasks", OPERATOR, &waits).await.expect(201);
    (board, run)
}

async fn exported(board: &TestBoard, project: &str) -> Vec<u8> {
    let out = board.get(&format!("/api/projects/{project}/export"), VIEWER).await;
    assert_eq!((out.status.as_u16(), out.header("content-type")), (200, "application/x-tar"));
    assert_eq!(out.header("content-length"), out.bytes.len().to_string());
    out.bytes
}

#[tokio::test]
async fn a_project_goes_from_board_to_board() {
    let (from, run) = busy().await;
    let archive = exported(&from, "default").await;
    let holds = |secret: &str| archive.windows(secret.len()).any(|w| w == secret.as_bytes());
    assert!(!holds(&run.token) && !holds("token_hash"));
    let to = TestBoard::new().await;
    let look =
        import(&to, "/api/projects/copy/import?dry_run=true", ADMIN, archive.clone()).await.expect(200);
    assert_eq!((look["created"].as_u64(), look["were_live"].as_u64()), (Some(2), Some(1)), "{look}");
    to.get("/api/projects/copy", ADMIN).await.refused(404, "not_found");
    assert_eq!(files(&to.dir.path().join("blobs")), Vec::<String>::new(), "a look leaves nothing");
    let done = import(&to, "/api/projects/copy/import", ADMIN, archive.clone()).await.expect(200);
    assert_eq!(done["created"], 2);
    assert_eq!(files(&to.dir.path().join("blobs")).len(), 2);
    for n in 1..=4 {
        let path = |p: &str| format!("/api/projects/{p}/tasks/live/outputs/{n}/content");
        let (then, now) = (from.get(&path("default"), ADMIN).await, to.get(&path("copy"), ADMIN).await);
        assert_eq!((now.status, now.bytes), (then.status, then.bytes), "{n}");
    }
    let live = to.get("/api/projects/copy/tasks/live?expand=all", ADMIN).await.expect(200);
    assert_eq!((live["status"].as_str(), live["kind"].as_str()), (Some("blocked"), Some("imported_live")));
    assert_eq!(live["attempts"][0]["outcome"], "lost");
    assert_eq!(live["comments"][0]["body"], "好");
    assert_eq!(live["events"].as_array().unwrap().last().unwrap()["event_type"], "task_snapshot");
    assert_eq!(to.store.check(to.clock.now()).await.unwrap(), Vec::<String>::new());
    // Its old token is nobody's here.
    to.post("/api/projects/copy/tasks/live/status", &run.token, &json!({ "status": "review" }))
        .await
        .refused(401, "unauthenticated");
    // Where something is, nothing is taken in.
    import(&to, "/api/projects/copy/import", ADMIN, archive.clone()).await.refused(409, "project_not_empty");
    // It goes on here.
    to.post("/api/projects/copy/tasks/live/status", OPERATOR, &json!({ "status": "pending" }))
        .await
        .expect(200);
    for who in [OPERATOR, SCOPED, VIEWER] {
        import(&to, "/api/projects/other/import", who, archive.clone()).await.refused(403, "forbidden");
    }
    // The same board takes it too, and a key does its work once.
    let keyed = || {
        let ask = from.ask(&Method::POST, "/api/projects/twin/import").token(ADMIN);
        ask.header("idempotency-key", "k").raw("application/x-tar", archive.clone()).send()
    };
    let first = keyed().await.expect(200);
    let again = keyed().await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(200)["created"], first["created"]);
    assert_eq!(from.store.check(from.clock.now()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_damaged_changes_nothing_and_leaves_nothing() {
    let (from, _) = busy().await;
    let archive = exported(&from, "default").await;
    let to = TestBoard::new().await;
    let empty = files(to.dir.path()).len();
    let mut refused = 0;
    // The manifest says some things that nothing depends on.
    let name = b"mozi/project.jsonl\0";
    let after = archive.windows(name.len()).position(|w| w == name).unwrap();
    let mut bent: Vec<(String, Vec<u8>)> = Vec::new();
    for cut in [300, 513, 3000, archive.len() / 2, archive.len() - 1025, archive.len() - 1000] {
        bent.push((format!("cut at {cut}"), archive[..cut].to_vec()));
    }
    for at in (after..archive.len() - 1024).step_by(archive.len() / 60) {
        let mut other = archive.clone();
        other[at] ^= 1;
        bent.push((format!("bit at {at}"), other));
    }
    let text = String::from_utf8_lossy(&archive).into_owned();
    let mut newer = archive.clone();
    let at = text.find("\"format\": 1").unwrap() + "\"format\": ".len();
    newer[at] = b'9';
    bent.push(("a newer format".into(), newer));
    for (what, bytes) in bent {
        let reply = import(&to, "/api/projects/copy/import", ADMIN, bytes).await;
        if reply.status == 200 {
            // What fills a block means nothing.
            let removed = to.get("/api/projects/copy", ADMIN).await.expect(200);
            panic!("{what} was taken in: {removed}");
        }
        let problem = reply.refused(422, "invalid_body");
        if what == "a newer format" {
            assert!(problem["detail"].as_str().unwrap().contains("format 9"), "{problem}");
        }
        refused += 1;
        to.get("/api/projects/copy", ADMIN).await.refused(404, "not_found");
    }
    assert!(refused > 50);
    assert_eq!(files(&to.dir.path().join("blobs")), Vec::<String>::new());
    assert_eq!(files(to.dir.path()).len(), empty, "nothing is left");
    assert_eq!(to.store.check(to.clock.now()).await.unwrap(), Vec::<String>::new());
}
