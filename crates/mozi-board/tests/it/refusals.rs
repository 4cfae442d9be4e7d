//! Every refused request gets its code and changes nothing.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, OPERATOR, RUNNER, SCOPED, TestBoard, VIEWER};

const TASKS: &str = "/api/projects/default/tasks";

/// Method, path, body; then status, code, and what the problem says.
type Refused<'a> = (&'a str, &'a str, &'a [u8], u16, &'a str, &'a str);

/// On a board with an attempt at work.
async fn check(requests: &[Refused<'_>]) {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let look = async || {
        let list = board.get(&format!("{TASKS}?limit=500"), ADMIN).await.text();
        let projects = board.get("/api/projects", ADMIN).await.text();
        (board.store.last_seq().await.unwrap(), list, projects)
    };
    let before = look().await;
    for (method, path, body, status, code, says) in requests {
        let path = path.replace("TASK", &run.path);
        let token = if path.starts_with(&run.path) && *method == "POST" { &run.token } else { ADMIN };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let ask = board.ask(&method, &path).token(token);
        let reply =
            if body.is_empty() { ask } else { ask.raw("application/json", body.to_vec()) }.send().await;
        let problem = reply.refused(*status, code);
        let text = problem.to_string();
        assert!(text.contains(says), "{method} {path}: {says:?} is not in {text}");
    }
    assert_eq!(look().await, before);
}

#[tokio::test]
async fn bodies_that_are_not_json() {
    let deep =
        format!("{{\"title\":\"x\",\"metadata\":{{\"deep\":{}1{}}}}}", "[".repeat(500), "]".repeat(500));
    check(&[
        ("POST", "TASK/status", b"{", 400, "invalid_body", "not JSON"),
        ("POST", "TASK/status", b"status=done", 400, "invalid_body", "not JSON"),
        ("POST", "TASK/comments", b"{\"body\":\"\xff\"}", 400, "invalid_body", "UTF-8"),
        ("POST", TASKS, deep.as_bytes(), 400, "invalid_body", ""),
        ("POST", "TASK/status", b"", 400, "invalid_body", ""),
        ("POST", TASKS, b"{\"title\":\"x\"", 400, "invalid_body", "not JSON"),
    ])
    .await;
}

#[tokio::test]
async fn json_that_is_wrong() {
    check(&[
        (
            "POST",
            "TASK/status",
            br#"{"status":"finished"}"#,
            422,
            "invalid_body",
            "pending, claimed, working",
        ),
        ("POST", "TASK/status", br#"{"agent":"coder"}"#, 422, "invalid_body", "status"),
        ("POST", "TASK/status", br#"{"status":7}"#, 422, "invalid_body", "status"),
        ("POST", "TASK/status", br#"{"status":"done","detail":["a"]}"#, 422, "invalid_body", "detail"),
        (
            "POST",
            "TASK/outputs",
            br#"{"type":"poem","title":"t","content":"c"}"#,
            422,
            "invalid_body",
            "code, document, data, config, other",
        ),
        ("POST", "TASK/outputs", br#"{"type":"code","title":"t"}"#, 422, "invalid_body", "content"),
        (
            "POST",
            "TASK/outputs",
            br#"{"type":"code","title":"t","content":"c","content_path":"p"}"#,
            422,
            "invalid_body",
            "content_path",
        ),
        (
            "POST",
            "TASK/outputs",
            br#"{"type":"code","title":"a\nb","content":"c"}"#,
            422,
            "invalid_body",
            "title",
        ),
        ("POST", "TASK/comments", br#"{"body":"  "}"#, 422, "invalid_body", "body"),
        ("POST", "TASK/comments", br#"{"body":"a\u0000b"}"#, 422, "invalid_body", "NUL"),
        ("POST", TASKS, br#"{"title":"x","colour":"red"}"#, 422, "invalid_body", "colour"),
        ("POST", TASKS, br#"{"title":"x","priority":1e99}"#, 422, "invalid_body", "priority"),
        ("POST", TASKS, br#"{"title":"x","priority":99999999999999999999}"#, 422, "invalid_body", "priority"),
        ("POST", TASKS, br#"{"title":"x","max_attempts":-1}"#, 422, "invalid_body", "max_attempts"),
        ("POST", TASKS, br#"{"title":"x","timeout_seconds":0}"#, 422, "invalid_body", "timeout_seconds"),
        ("POST", TASKS, br#"{"title":"x","not_before":"2026-05-01T10:00:00"}"#, 422, "invalid_body", "zone"),
        ("POST", TASKS, br#"{"title":"x","task_id":"../x"}"#, 422, "invalid_body", "task_id"),
        ("POST", TASKS, br#"{"title":"x","depends_on":["nope"]}"#, 422, "invalid_body", "nope"),
        ("POST", TASKS, br#"{"title":""}"#, 422, "invalid_body", "title"),
        ("POST", "/api/projects", br#"{"project_id":"a b"}"#, 422, "invalid_body", "project_id"),
        (
            "PATCH",
            "/api/projects/default",
            br#"{"settings":{"max_attempts":0}}"#,
            422,
            "invalid_body",
            "max_attempts",
        ),
        (
            "PATCH",
            "/api/projects/default",
            br#"{"settings":{"reviewer":"x"}}"#,
            422,
            "invalid_body",
            "reviewer",
        ),
        ("PATCH", "TASK", br#"{"status":"done"}"#, 422, "invalid_body", "status"),
        (
            "POST",
            "/api/sessions",
            br#"{"agent":"coder","prompt":"raw"}"#,
            422,
            "invalid_body",
            "wrapped, verbatim",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_allowed() {
    check(&[
        ("GET", "/api/projects/nope", b"", 404, "not_found", "nope"),
        ("GET", "/api/projects/nope/tasks", b"", 404, "not_found", "nope"),
        ("GET", "/api/projects/nope/events", b"", 404, "not_found", "nope"),
        ("POST", "/api/projects/nope/tasks", br#"{"title":"x"}"#, 404, "not_found", "nope"),
        ("GET", "/api/projects/default/tasks/77", b"", 404, "not_found", "77"),
        ("GET", "/api/projects/default/tasks/%2e%2e", b"", 404, "not_found", ""),
        ("GET", "/api/projects/%ff/tasks", b"", 404, "not_found", ""),
        ("GET", "/api/projects/default/tasks/77/attempts", b"", 404, "not_found", "77"),
        ("GET", "TASK/attempts/9", b"", 404, "not_found", "9"),
        ("GET", "TASK/attempts/x", b"", 404, "not_found", "x"),
        ("GET", "TASK/outputs/1/content", b"", 404, "not_found", "1"),
        ("GET", "/api/sessions/00000000-0000-4000-8000-000000000000", b"", 404, "not_found", "session"),
        ("GET", "/api/sessions/zz", b"", 404, "not_found", "session"),
        ("GET", "/api/agents/nobody", b"", 404, "not_found", "nobody"),
        ("GET", "/api/nothing", b"", 404, "not_found", "/api/nothing"),
        ("GET", "/", b"", 404, "not_found", ""),
        ("DELETE", "/api/projects", b"", 405, "method_not_allowed", "DELETE"),
        ("PUT", "TASK", b"{}", 405, "method_not_allowed", "PUT"),
        ("GET", "/api/projects?colour=red", b"", 422, "invalid_body", "colour"),
        ("GET", "/api/projects?limit=501", b"", 422, "invalid_body", "limit"),
        ("GET", "/api/projects/default/tasks?status=finished", b"", 422, "invalid_body", "pending"),
        ("GET", "/api/projects/default/tasks?sort=size", b"", 422, "invalid_body", "sort"),
        ("GET", "/api/projects/default/tasks?cursor=zzz", b"", 422, "invalid_body", "cursor"),
        ("GET", "TASK?expand=everything", b"", 422, "invalid_body", "expand"),
        ("GET", "TASK/attempts?x=1", b"", 422, "invalid_body", "x"),
        ("GET", "/api/events?after=17", b"", 422, "invalid_body", "after"),
        ("DELETE", "TASK/dependencies/5", b"", 409, "session_active", ""),
        ("POST", "TASK/status", br#"{"status":"claimed"}"#, 409, "transition_refused", "allowed"),
        ("POST", "TASK/status", br#"{"status":"review"}"#, 409, "output_required", ""),
    ])
    .await;
}

#[tokio::test]
async fn media_types_and_sizes() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let post = |path: &str| board.ask(&Method::POST, path);
    post(TASKS).token(OPERATOR).raw("text/plain", "{}").send().await.refused(415, "unsupported_media_type");
    // What curl says when it is told nothing: only where agents call.
    let form = "application/x-www-form-urlencoded";
    post(TASKS)
        .token(OPERATOR)
        .raw(form, r#"{"title":"x"}"#)
        .send()
        .await
        .refused(415, "unsupported_media_type");
    post(&run.at("/comments")).token(&run.token).raw(form, r#"{"body":"x"}"#).send().await.expect(201);
    post(&run.at("/comments"))
        .token(&run.token)
        .raw("text/xml", "<a/>")
        .send()
        .await
        .refused(415, "unsupported_media_type");
    post(&run.at("/comments"))
        .token(&run.token)
        .raw("application/json; charset=utf-8", r#"{"body":"x"}"#)
        .send()
        .await
        .expect(201);

    let large = json!({ "title": "x", "description": "y".repeat(1024 * 1024) });
    let refused = board.post(TASKS, OPERATOR, &large).await.refused(413, "payload_too_large");
    assert_eq!(refused["limit_bytes"], 1024 * 1024);
    let comment = json!({ "body": "y".repeat(300 * 1024) });
    let refused = board.post(&run.at("/comments"), &run.token, &comment).await.refused(422, "invalid_body");
    assert_eq!(refused["field"], "body");
}

#[tokio::test]
async fn the_contract_is_lenient() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let body = json!({ "status": "working", "agent": "somebody", "mood": "good" });
    let reply = board.post(&run.at("/status?x=1"), &run.token, &body).await.expect(200);
    let warnings = reply["warnings"].to_string();
    assert!(warnings.contains("mood") && warnings.contains("somebody"), "{warnings}");
    let body = json!({ "author": "somebody", "body": "x", "extra": {} });
    let reply = board.post(&run.at("/comments"), &run.token, &body).await.expect(201);
    assert_eq!(reply["author"], "coder");
    assert_eq!(reply["warnings"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn verdicts_and_decisions() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let output = json!({ "type": "code", "title": "t", "content": "c" });
    board.post(&run.at("/outputs"), &run.token, &output).await.expect(201);
    let report = async |token: &str, body: Value| board.post(&run.at("/status"), token, &body).await;
    report(&run.token, json!({ "status": "review" })).await.expect(200);
    // The same again is no news; another is refused.
    report(&run.token, json!({ "status": "review" })).await.expect(200);
    let refused = report(&run.token, json!({ "status": "failed" })).await.refused(409, "verdict_given");
    assert_eq!((&refused["verdict"], &refused["current"]), (&json!("review"), &json!("review")));
    report(OPERATOR, json!({ "status": "pending" })).await.refused(422, "invalid_body");
    let stale = json!({ "status": "done", "attempt_number": 7 });
    report(OPERATOR, stale).await.refused(409, "transition_refused");
    report(OPERATOR, json!({ "status": "pending", "detail": "more" })).await.expect(200);
    // It is not claimed again before the attempt is proven dead.
    let (reply, _) = board.poll(&["coder"], 0).await;
    assert_eq!(reply["claimed"], json!([]));
    let task = board.get(&run.path, OPERATOR).await.expect(200);
    assert_eq!(task["waiting_for"][0]["kind"], "attempt_ending");
    board.post(&run.at("/outputs"), &run.token, &output).await.refused(409, "verdict_given");
}

#[tokio::test]
async fn requests_have_ids() {
    let board = TestBoard::new().await;
    let given = board.ask(&Method::GET, "/healthz").header("x-request-id", "abc-1").send().await;
    assert_eq!(given.header("x-request-id"), "abc-1");
    assert_eq!(given.header("x-content-type-options"), "nosniff");
    let (a, b) = (board.get("/healthz", "").await, board.get("/healthz", "").await);
    assert_eq!(a.header("x-request-id").len(), 16);
    assert_ne!(a.header("x-request-id"), b.header("x-request-id"));
    let long = "x".repeat(200);
    let replaced = board.ask(&Method::GET, "/none").header("x-request-id", &long).send().await;
    assert_eq!(replaced.refused(404, "not_found")["request_id"].as_str().unwrap().len(), 16);
    let refused = board.get("/api/projects", "").await;
    refused.refused(401, "unauthenticated");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    let wrong = board.ask(&Method::DELETE, "/api/projects").token(ADMIN).send().await;
    assert!(wrong.header("allow").contains("POST"), "{:?}", wrong.headers);
}

#[tokio::test]
async fn a_key_does_its_work_once() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    let comment = async |key: &str, body: &Value, token: &str| {
        let ask = board.ask(&Method::POST, &run.at("/comments")).token(token);
        ask.header("idempotency-key", key).json(body).send().await
    };
    let (one, two) = (json!({ "body": "one" }), json!({ "body": "two" }));
    let first = comment("k1", &one, &run.token).await;
    let again = comment("k1", &one, &run.token).await;
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    comment("k1", &two, &run.token).await.refused(409, "idempotency_conflict");
    assert_eq!(comment("k2", &two, &run.token).await.expect(201)["comment_id"], 2);
    // Keys are of whoever uses them, and of the route.
    assert_eq!(comment("k1", &two, OPERATOR).await.expect(201)["comment_id"], 3);
    let status =
        board.ask(&Method::POST, &run.at("/status")).token(&run.token).header("idempotency-key", "k1");
    status.json(&json!({ "status": "working" })).send().await.expect(200);
    comment("", &one, &run.token).await.refused(422, "invalid_body");
    let task = board.get(&run.at("?expand=comments"), OPERATOR).await.expect(200);
    assert_eq!(task["comments"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    *board.files.broken.lock().unwrap() = true;
    let problem = board.get(&run.at("/attempts/1/prompt"), OPERATOR).await.refused(500, "internal");
    assert!(!problem.to_string().contains("broken"), "what failed is for the log");
    *board.files.broken.lock().unwrap() = false;
    assert_eq!(board.get(&run.at("/attempts/1/prompt"), OPERATOR).await.status, 200);
}

#[tokio::test]
async fn rights_come_before_what_is_wrong_with_the_body() {
    let board = TestBoard::new().await;
    board.hello().await;
    let run = board.claimed(&json!({})).await;
    board.post(TASKS, OPERATOR, &json!({ "title": "Another" })).await.expect(201);
    let bad =
        |path: &str, token: &str| board.ask(&Method::POST, path).token(token).raw("application/json", "{");
    for rest in ["/status", "/comments", "/outputs"] {
        let path = format!("{TASKS}/2{rest}");
        bad(&path, &run.token).send().await.refused(404, "not_found");
        bad(&path, SCOPED).send().await.refused(404, "not_found");
        bad(&path, VIEWER).send().await.refused(403, "forbidden");
        bad(&path, "mozi_u_unknown").send().await.refused(401, "unauthenticated");
        bad(&path, OPERATOR).send().await.refused(400, "invalid_body");
        bad(&run.at(rest), &run.token).send().await.refused(400, "invalid_body");
    }
    bad(TASKS, SCOPED).send().await.refused(404, "not_found");
    bad("/api/tokens", OPERATOR).send().await.refused(403, "forbidden");
    bad("/api/runners/elsewhere/hello", RUNNER).send().await.refused(404, "not_found");
    bad("/api/runners/local/hello", RUNNER).send().await.refused(400, "invalid_body");
}

#[tokio::test]
async fn bodies_are_utf_8() {
    let board = TestBoard::new().await;
    let post = |kind: &str, body: &[u8]| {
        board.ask(&Method::POST, TASKS).token(OPERATOR).raw(kind, body.to_vec()).send()
    };
    let json = "application/json";
    let refused =
        post("application/json; charset=iso-8859-1", b"{}").await.refused(415, "unsupported_media_type");
    assert!(refused["detail"].as_str().unwrap().contains("UTF-8"), "{refused}");
    post("application/json; charset=\"UTF-8\"", br#"{"title":"a"}"#).await.expect(201);
    // A mark at the beginning says nothing.
    post(json, b"\xef\xbb\xbf{\"title\":\"b\"}").await.expect(201);
    let refused = post(json, b"\xff\xfe{\0}\0").await.refused(400, "invalid_body");
    assert!(refused["detail"].as_str().unwrap().contains("UTF-16"), "{refused}");
    let refused = post(json, b"{\"title\":\"\xe4\"}").await.refused(400, "invalid_body");
    assert!(refused["detail"].as_str().unwrap().contains("UTF-8"), "{refused}");
}

#[tokio::test]
async fn an_id_in_another_spelling_is_taken() {
    let board = TestBoard::new().await;
    board.post("/api/projects", ADMIN, &json!({ "project_id": "app" })).await.expect(201);
    board.post("/api/projects", ADMIN, &json!({ "project_id": "app" })).await.expect(200);
    board.post("/api/projects", ADMIN, &json!({ "project_id": "APP" })).await.refused(409, "duplicate_id");
    board.post(TASKS, ADMIN, &json!({ "task_id": "t", "title": "x" })).await.expect(201);
    board.post(TASKS, ADMIN, &json!({ "task_id": "T", "title": "x" })).await.refused(409, "duplicate_id");
    let late = json!({ "title": "x", "not_before": "9999-12-31T23:59:59Z" });
    let refused = board.post(TASKS, ADMIN, &late).await.refused(422, "invalid_body");
    assert!(refused["detail"].as_str().unwrap().contains("up to 9999-12-30"), "{refused}");
    board
        .post(TASKS, ADMIN, &json!({ "title": "x", "not_before": "9998-12-31T23:59:59Z" }))
        .await
        .expect(201);
}
