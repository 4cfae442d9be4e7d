//! Projects, tasks, agents and sessions, as people use them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, OPERATOR, RUNNER, SCOPED, TestBoard};

const TASKS: &str = "/api/projects/default/tasks";

#[tokio::test]
async fn projects() {
    let board = TestBoard::new().await;
    let body = json!({ "project_id": "app", "name": "The app", "settings": { "review": "none", "backoff_max": "2m" } });
    let made = board.post("/api/projects", ADMIN, &body).await;
    let project = made.expect(201);
    assert_eq!(made.header("location"), "/api/projects/app");
    assert_eq!(made.header("etag"), "\"1\"");
    assert_eq!(project["settings"]["review"], "none");
    assert_eq!(project["settings"]["backoff_max"], "2m");
    assert_eq!(project["settings"]["language"], "en");
    board.post("/api/projects", ADMIN, &body).await.expect(200);
    board.post("/api/projects", ADMIN, &json!({ "project_id": "APP" })).await.refused(409, "duplicate_id");
    let patched = board
        .send(
            &Method::PATCH,
            "/api/projects/app",
            ADMIN,
            &json!({ "name": null, "settings": { "language": "zh-CN" } }),
        )
        .await;
    assert_eq!((patched.expect(200)["name"].clone(), patched.header("etag")), (Value::Null, "\"2\""));
    board.send(&Method::PATCH, "/api/projects/app", ADMIN, &json!({ "archived": true })).await.expect(200);
    board
        .post("/api/projects/app/tasks", ADMIN, &json!({ "title": "x" }))
        .await
        .refused(409, "project_archived");
    let list = board.get("/api/projects?limit=2", ADMIN).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let cursor = list["next_cursor"].as_str().unwrap();
    let rest = board.get(&format!("/api/projects?limit=2&cursor={cursor}"), ADMIN).await.expect(200);
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    let seen = board.get("/api/projects", SCOPED).await.expect(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    assert_eq!(seen["items"][0]["project_id"], "other");
}

#[tokio::test]
async fn a_task_in_full() {
    let board = TestBoard::new().await;
    board.hello().await;
    board.post(TASKS, OPERATOR, &json!({ "title": "first", "task_id": "base" })).await.expect(201);
    let body = json!({
        "title": "墨子", "task_id": "t-1", "description": "d", "task_type": "docs", "priority": -3,
        "must_haves": ["a", "b"], "agent": "coder", "depends_on": ["base"], "not_before": "2026-03-01T12:00:00+08:00",
        "timeout_seconds": 60, "max_attempts": 2, "review": "reviewer", "labels": { "k": "v" },
        "metadata": { "x": [1, null] }, "held": true,
    });
    let made = board.post(TASKS, OPERATOR, &body).await;
    let task = made.expect(201);
    assert_eq!(made.header("location"), "/api/projects/default/tasks/t-1");
    insta::assert_json_snapshot!(task);
    board.post(TASKS, OPERATOR, &body).await.expect(200);
    board
        .post(TASKS, OPERATOR, &json!({ "title": "other", "task_id": "T-1" }))
        .await
        .refused(409, "duplicate_id");

    let patch = json!({ "title": "neu", "not_before": null, "labels": {} });
    let patched = board.send(&Method::PATCH, &format!("{TASKS}/t-1"), OPERATOR, &patch).await;
    let task = patched.expect(200);
    assert_eq!(
        (&task["title"], &task["not_before"], &task["labels"]),
        (&json!("neu"), &Value::Null, &json!({}))
    );
    assert_eq!(patched.header("etag"), "\"2\"");
}

#[tokio::test]
async fn warnings_of_tasks_that_nobody_will_start() {
    let board = TestBoard::new().await;
    let warnings =
        async |body: Value| board.post(TASKS, OPERATOR, &body).await.expect(201)["warnings"].to_string();
    assert!(warnings(json!({ "title": "x" })).await.contains("names an agent"));
    assert!(warnings(json!({ "title": "x", "agent": "nobody" })).await.contains("nobody"));
    board.hello().await;
    assert_eq!(warnings(json!({ "title": "x", "agent": "coder" })).await, "null");
    board.ask(&Method::POST, "/api/runners/local/goodbye").token(RUNNER).send().await.expect(200);
    assert!(warnings(json!({ "title": "x", "agent": "coder" })).await.contains("not there"));
}

#[tokio::test]
async fn lists_and_dependencies() {
    let board = TestBoard::new().await;
    for (i, label) in ["a", "b", "a", "b", "a"].iter().enumerate() {
        let body = json!({ "title": format!("task {i}"), "priority": 9 - i, "labels": { "l": label } });
        board.post(TASKS, OPERATOR, &body).await.expect(201);
    }
    let ids = async |query: &str| {
        let list = board.get(&format!("{TASKS}?{query}"), OPERATOR).await.expect(200);
        let ids: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["task_id"].as_str().unwrap().to_owned())
            .collect();
        (ids.join(" "), list["next_cursor"].clone())
    };
    assert_eq!(ids("sort=priority").await.0, "5 4 3 2 1");
    assert_eq!(ids("label=l%3Da&sort=created").await.0, "5 3 1");
    assert_eq!(ids("q=TASK+3&status=pending,blocked").await.0, "4");
    assert_eq!(ids("status=done").await.0, "");
    let (first, cursor) = ids("sort=created&limit=2").await;
    assert_eq!(first, "5 4");
    let (second, _) = ids(&format!("sort=created&limit=2&cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!(second, "3 2");

    let dep = |a: u32, b: u32| format!("{TASKS}/{a}/dependencies/{b}");
    let put = board.send(&Method::PUT, &dep(2, 1), OPERATOR, &json!({ "until": "review" })).await.expect(200);
    assert_eq!(
        put["depends_on"],
        json!([{ "task_id": "1", "until": "review", "status": "pending", "met": false }])
    );
    assert_eq!(put["waiting_for"][0]["kind"], "dependency");
    board.ask(&Method::PUT, &dep(3, 2)).token(OPERATOR).send().await.expect(200);
    board.ask(&Method::PUT, &dep(1, 3)).token(OPERATOR).send().await.refused(409, "dependency_cycle");
    let gone = board.ask(&Method::DELETE, &dep(2, 1)).token(OPERATOR).send().await.expect(200);
    assert_eq!(gone["depends_on"], json!([]));
    board.ask(&Method::DELETE, &dep(2, 1)).token(OPERATOR).send().await.refused(404, "not_found");
}

#[tokio::test]
async fn agents_are_paused_and_sessions_started_by_name() {
    let board = TestBoard::new().await;
    board.hello().await;
    let paused =
        board.post("/api/agents/coder/pause", OPERATOR, &json!({ "detail": "lunch" })).await.expect(200);
    assert_eq!(paused["paused"]["detail"], "lunch");
    let body = json!({ "agent": "coder", "message": "hello" });
    let refused = board.post("/api/sessions", OPERATOR, &body).await.refused(409, "not_claimable");
    assert_eq!(refused["waiting_for"][0]["kind"], "agent_paused");
    board.ask(&Method::POST, "/api/agents/coder/resume").token(OPERATOR).send().await.expect(200);
    let made = board.post("/api/sessions", OPERATOR, &body).await.expect(201);
    let id = made["session_id"].as_str().unwrap();
    assert_eq!(made["status"], "starting");

    let order = json!({ "wait_seconds": 0 });
    let poll = board.post("/api/runners/local/poll", RUNNER, &order).await.expect(200);
    assert_eq!(poll["start"][0]["session_id"], id);
    let path = format!("/api/runners/local/sessions/{id}/take");
    let taken = board.post(&path, RUNNER, &json!({ "token_sha256": "0".repeat(64) })).await.expect(200);
    assert_eq!(taken["order"], json!({ "message": "hello", "verbatim": false }));
    assert_eq!(taken["prompt"], Value::Null);
    let path = format!("/api/runners/local/sessions/{id}/started");
    board.post(&path, RUNNER, &json!({ "pid": 7 })).await.expect(200);

    let short = id.get(..8).unwrap();
    assert_eq!(board.get(&format!("/api/sessions/{short}"), OPERATOR).await.expect(200)["pid"], 7);
    let agents = board.get("/api/agents", OPERATOR).await.expect(200);
    let coder = agents["items"].as_array().unwrap().iter().find(|a| a["agent"] == "coder").unwrap();
    assert_eq!(coder["sessions"], json!([id]));
    board
        .ask(&Method::DELETE, &format!("/api/sessions/{id}"))
        .token(OPERATOR)
        .send()
        .await
        .refused(409, "session_active");
    board.ask(&Method::POST, &format!("/api/sessions/{short}/stop")).token(OPERATOR).send().await.expect(200);
    let poll = board.post("/api/runners/local/poll", RUNNER, &order).await.expect(200);
    assert_eq!(poll["stop"][0]["order"], "stop");
    board.end(id, &json!({ "cause": "stop", "signal": 15 })).await;
    let list = board.get("/api/sessions?active=false", OPERATOR).await.expect(200);
    assert_eq!(list["items"][0]["status"], "cancelled");
    board.ask(&Method::DELETE, &format!("/api/sessions/{id}")).token(OPERATOR).send().await.expect(200);
    let poll = board.post("/api/runners/local/poll", RUNNER, &order).await.expect(200);
    assert_eq!(poll["clean"], json!([id]));
    let note = format!("/api/runners/local/sessions/{id}/note");
    board.post(&note, RUNNER, &json!({ "note": "cleaned" })).await.expect(200);
    board.get(&format!("/api/sessions/{id}"), OPERATOR).await.refused(404, "not_found");
}

#[tokio::test]
async fn what_an_agent_would_be_told() {
    let board = TestBoard::new().await;
    board.hello().await;
    let body = json!({ "title": "Write mozi_a_secret123", "agent": "coder", "task_id": "x" });
    board.post(TASKS, OPERATOR, &body).await.expect(201);
    let preview = board.get(&format!("{TASKS}/x/prompt"), OPERATOR).await.expect(200);
    assert_eq!((&preview["role"], &preview["agent"]), (&json!("executor"), &json!("coder")));
    let text = preview["text"].as_str().unwrap();
    assert!(text.contains("Write mozi_a_*********") && !text.contains("secret123"), "{text}");
    let reviewer = board.get(&format!("{TASKS}/x/prompt?role=reviewer"), OPERATOR).await.expect(200);
    assert_eq!(reviewer["role"], "reviewer");
    board.get(&format!("{TASKS}/x/prompt?role=judge"), OPERATOR).await.refused(422, "invalid_body");
}

#[tokio::test]
async fn sessions_are_listed_page_by_page_while_new_ones_begin() {
    let board = TestBoard::new().await;
    board.hello().await;
    let start =
        async || board.post("/api/sessions", OPERATOR, &json!({ "agent": "coder", "message": "x" })).await;
    let mut begun = Vec::new();
    for _ in 0..5 {
        begun.push(start().await.expect(201)["session_id"].clone());
        board.later(Duration::from_millis(1));
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            board.get(&format!("/api/sessions?limit=2&active=true{cursor}"), OPERATOR).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|s| s["session_id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        start().await.expect(201);
    }
    begun.reverse();
    assert_eq!(seen, begun, "newest first, each once");
}

#[tokio::test]
async fn cursors_that_are_none() {
    let board = TestBoard::new().await;
    for list in ["/api/projects", "/api/sessions", "/api/projects/default/tasks"] {
        for cursor in
            ["zz", "-", "u1.2", "s1", "s1.x", "%20", "u1.2.3.4", "p1.2.3", "99999999999999999999999"]
        {
            if (list, cursor.parse::<mozi_core::ProjectId>().is_ok()) == ("/api/projects", true) {
                continue; // It is an id, and the list goes on behind it.
            }
            let refused = board.get(&format!("{list}?cursor={cursor}"), OPERATOR).await;
            assert_eq!(refused.refused(422, "invalid_body")["field"], "cursor", "{list} {cursor}");
        }
    }
}
