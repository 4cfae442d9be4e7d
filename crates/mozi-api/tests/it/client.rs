//! The client against a real socket and in process.

use std::{convert::Infallible, sync::atomic::Ordering, time::Duration};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use mozi_api::{
    Client, ClientError, Transport,
    client::{IDEMPOTENCY_KEY, Upload},
    query::{Expand, TasksQuery},
    report::{NewComment, NewOutput, OutputUpload, StatusReport},
    runner::Poll,
    session::StopSession,
    task::CreateTask,
    transport::{Body, empty},
};
use mozi_core::{AgentId, ProjectId, RunnerId, Status, TaskId};
use serde_json::json;

use crate::serve::{Answer, Server, json as answer};

fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("an id")
}

fn reply() -> serde_json::Value {
    json!({"task_id": "7", "status": "working", "attempt_number": 1, "event_id": 5, "warnings": []})
}

#[tokio::test]
async fn a_call_carries_token_agent_key_and_body_and_keeps_its_connection() {
    let server = Server::start(|_, _| answer("200 OK", &reply())).await;
    let client = Client::new(&server.url, Some("mozi_a_secret")).expect("a client").with_via("cli");
    let (p, t) = (id::<ProjectId>("app"), id::<TaskId>("7"));
    let body = StatusReport { detail: Some("go".into()), ..StatusReport::of(Status::Working) };
    for key in [Some("k1"), None] {
        let done = client.report_status(&p, &t, &body, key).await.expect("an answer");
        assert_eq!((done.status.as_str(), done.event_id), ("working", 5));
    }
    let seen = server.requests();
    assert_eq!(seen[0].line, "POST /api/projects/app/tasks/7/status HTTP/1.1");
    assert_eq!(seen[0].header("authorization"), Some("Bearer mozi_a_secret"));
    assert_eq!(seen[0].header("user-agent"), Some(concat!("mozi/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[0].header("mozi-via"), Some("cli"));
    assert_eq!(seen[0].header(IDEMPOTENCY_KEY.as_str()), Some("k1"));
    assert_eq!(seen[1].header(IDEMPOTENCY_KEY.as_str()), None);
    let sent: serde_json::Value = serde_json::from_slice(&seen[0].body).expect("JSON");
    assert_eq!(sent, json!({"status": "working", "detail": "go"}));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "the connection is kept alive");
    assert!(!format!("{client:?}").contains("mozi_a_secret"), "a token is not printed");
}

#[tokio::test]
async fn a_refusal_is_a_problem_and_everything_else_is_named() {
    let server = Server::start(|_, seen| {
        let path = seen.line.split(' ').nth(1).unwrap_or_default();
        match path {
            "/api/projects/a" => answer(
                "404 Not Found",
                &json!({
                    "type": "/docs#not_found", "title": "t", "status": 404, "detail": "there is no project a",
                    "code": "not_found", "request_id": "r9",
                }),
            ),
            "/api/projects/b" => Answer::Keep(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n"
                    .into(),
            ),
            "/api/projects/c" => {
                Answer::Keep("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 11\r\n\r\n<html>nginx".into())
            }
            "/api/projects/d" => Answer::Keep("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".into()),
            "/api/projects/e" => {
                Answer::Close("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half".into())
            }
            "/api/projects/h" => {
                Answer::Keep("HTTP/1.1 418 I'm a teapot\r\ncontent-length: 3\r\n\r\ntea".into())
            }
            "/api/projects/f" => Answer::Close(String::new()),
            _ => Answer::Hang,
        }
    })
    .await;
    let client = Client::new(&server.url, None).expect("a client").with_timeout(Duration::from_millis(200));
    let ask = async |name: &str| client.project(&id::<ProjectId>(name)).await.expect_err("an error");
    let refused = ask("a").await;
    assert_eq!(refused.to_string(), "there is no project a");
    assert_eq!((refused.code(), refused.is_passing()), (Some("not_found"), false));
    assert_eq!(refused.problem().map(|p| p.request_id.as_str()), Some("r9"));
    let redirect = ask("b").await;
    assert!(
        matches!(&redirect, ClientError::Protocol { why, .. } if why.contains("elsewhere")),
        "{redirect}"
    );
    let proxy = ask("c").await;
    assert!(
        matches!(&proxy, ClientError::Unreachable { not_sent: false, .. }) && proxy.is_passing(),
        "{proxy}"
    );
    assert!(proxy.to_string().contains("502") && proxy.to_string().contains("nginx"), "{proxy}");
    let stranger = ask("h").await;
    assert!(matches!(&stranger, ClientError::Protocol { why, .. } if why.contains("418")), "{stranger}");
    assert!(!stranger.is_passing());
    let other = ask("d").await;
    assert!(matches!(&other, ClientError::Protocol { why, .. } if why.contains("missing field")), "{other}");
    assert!(matches!(ask("e").await, ClientError::Unreachable { not_sent: false, .. }));
    assert!(matches!(ask("f").await, ClientError::Unreachable { not_sent: false, .. }));
    let slow = ask("g").await;
    assert!(matches!(&slow, ClientError::Timeout { .. }));
    assert!(slow.to_string().ends_with("did not answer within 200ms"), "{slow}");
    assert_eq!(
        server.requests().iter().filter(|s| s.line.contains("/projects/b")).count(),
        1,
        "no redirect is followed"
    );
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let client = Client::new("http://127.0.0.1:1", None).expect("a client");
    let error = client.version().await.expect_err("nobody listens there");
    assert!(matches!(&error, ClientError::Unreachable { not_sent: true, .. }));
    assert!(error.is_passing());
    let text = error.to_string();
    assert!(
        text.starts_with("no board answers at http://127.0.0.1:1: ") && text.contains("refused"),
        "{text}"
    );
}

#[test]
fn an_address_that_is_none_is_refused() {
    let why = |url: &str| Client::new(url, None).expect_err(url).to_string();
    assert!(why("127.0.0.1:8083").contains("is not the address of a board"));
    assert!(why("ftp://x/").contains("neither http:// nor https://"));
    assert!(why("/api").contains("no http:// or https://"));
    assert!(why("http://user:pw@x/").contains("user name"));
    assert!(why("http://x/?a=b").contains("query"));
    assert!(why("").contains("is not the address of a board"));
    assert!(Client::new("http://x", Some("a\nb")).is_err());
    assert_eq!(
        Client::new("http://127.0.0.1:8083/t/", None).expect("an address").address(),
        "http://127.0.0.1:8083/t"
    );
    // The machine's certificates may be absent: then that is the error, and it is said.
    if let Err(e) = Client::new("https://localhost:1/", None) {
        assert!(e.to_string().contains("certificates"), "{e}");
    }
}

#[tokio::test]
async fn a_base_path_goes_before_every_call() {
    let server = Server::start(|_, _| answer("200 OK", &json!({"version": "0.1.0", "api": 1}))).await;
    let client = Client::new(&format!("{}/under/", server.url), None).expect("a client");
    assert_eq!(client.version().await.expect("an answer").api, 1);
    assert_eq!(server.requests()[0].line, "GET /under/api/version HTTP/1.1");
}

#[tokio::test]
async fn a_poll_may_take_as_long_as_it_says_beside_the_timeout() {
    let server = Server::start(|_, _| Answer::Hang).await;
    let client = Client::new(&server.url, None).expect("a client").with_timeout(Duration::from_millis(100));
    let poll = Poll { wait_seconds: 1, ..Poll::default() };
    let begun = std::time::Instant::now();
    let error = client.runner_poll(&id::<RunnerId>("local"), &poll).await.expect_err("no answer");
    assert!(matches!(error, ClientError::Timeout { after, .. } if after == Duration::from_millis(1_100)));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn bytes_come_piece_by_piece() {
    let server = Server::start(|_, _| {
        Answer::Keep(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-more: yes\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n".into(),
        )
    })
    .await;
    let client = Client::new(&server.url, None).expect("a client");
    let stream = client.output_content(&id("app"), &id("7"), 3).await.expect("a stream");
    assert_eq!(stream.headers().get("x-more").map(http::HeaderValue::as_bytes), Some(&b"yes"[..]));
    assert_eq!(stream.rest().await.expect("all bytes"), b"hello world");
    assert_eq!(server.requests()[0].line, "GET /api/projects/app/tasks/7/outputs/3/content HTTP/1.1");
}

#[tokio::test]
async fn calls_go_where_they_belong() {
    let server = Server::start(|_, _| answer("200 OK", &json!({"items": [], "next_cursor": null}))).await;
    let client = Client::new(&server.url, None).expect("a client");
    let (p, t) = (id::<ProjectId>("app"), id::<TaskId>("7"));
    // Answers that do not fit are errors: here only the way of the question counts.
    drop(client.create_task(&p, &CreateTask::titled("x")).await);
    drop(client.tasks(&p, &TasksQuery { q: Some("a&b".into()), ..TasksQuery::default() }).await);
    drop(client.task(&p, &t, Expand::ALL).await);
    drop(client.add_comment(&p, &t, &NewComment { author: None, body: "x".into() }, None).await);
    drop(client.attempts(&p, &t).await);
    drop(client.attempt_prompt(&p, &t, 2).await);
    drop(client.stop_session(mozi_core::SessionId(uuid::Uuid::from_u128(7)), &StopSession::default()).await);
    drop(client.clean_session(mozi_core::SessionId(uuid::Uuid::from_u128(7)), true).await);
    drop(client.resume_agent(&id::<AgentId>("coder")).await);
    drop(client.revoke_token("my laptop/2").await);
    drop(client.delete_dependency(&p, &t, &id("6")).await);
    let lines: Vec<_> =
        server.requests().iter().map(|s| s.line.trim_end_matches(" HTTP/1.1").to_owned()).collect();
    assert_eq!(
        lines,
        [
            "POST /api/projects/app/tasks",
            "GET /api/projects/app/tasks?q=a%26b",
            "GET /api/projects/app/tasks/7?expand=all",
            "POST /api/projects/app/tasks/7/comments",
            "GET /api/projects/app/tasks/7/attempts",
            "GET /api/projects/app/tasks/7/attempts/2/prompt",
            "POST /api/sessions/00000000-0000-0000-0000-000000000007/stop",
            "DELETE /api/sessions/00000000-0000-0000-0000-000000000007?force=true",
            "POST /api/agents/coder/resume",
            "DELETE /api/tokens/my%20laptop%2F2",
            "DELETE /api/projects/app/tasks/7/dependencies/6",
        ]
    );
}

#[test]
fn an_upload_survives_any_text() {
    let upload = Upload {
        about: OutputUpload {
            output_type: mozi_core::OutputType::Data.into(),
            title: "a \"b\"\r\n$(c) mozi-boundary".into(),
            summary: Some("s".into()),
            agent: None,
            file: (),
        },
        file_name: "x\"\r\n--mozi-boundary.bin".into(),
        bytes: bytes::Bytes::from_static(b"\x00\xff mozi-boundary\r\n--mozi-boundary--\r\n"),
    };
    let (kind, body) = upload.encode();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
    assert_eq!(upload.encode().1, body, "the same bytes for a later delivery");
    let delimiter = format!("--{boundary}").into_bytes();
    let count = body.windows(delimiter.len()).filter(|w| *w == delimiter).count();
    assert_eq!(count, 5, "four parts and an end; nothing else looks like a boundary");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("filename=\"x%22%0D%0A--mozi-boundary.bin\""), "{text}");
    assert!(!text.contains("name=\"agent\""));
}

#[tokio::test]
async fn an_output_by_path_or_text_says_which() {
    let server = Server::start(|_, _| {
        answer("201 Created", &json!({"output_id": 1, "size_bytes": 2, "sha256": "ab", "warnings": ["w"]}))
    })
    .await;
    let client = Client::new(&server.url, None).expect("a client");
    let output = NewOutput {
        agent: None,
        output_type: mozi_core::OutputType::Code.into(),
        title: "t".into(),
        summary: None,
        content: None,
        content_path: Some("out.txt".into()),
    };
    let done = client.add_output(&id("app"), &id("7"), &output, Some("k")).await.expect("an answer");
    assert_eq!(done.warnings, ["w"]);
    let sent: serde_json::Value = serde_json::from_slice(&server.requests()[0].body).expect("JSON");
    assert_eq!(sent, json!({"type": "code", "title": "t", "content_path": "out.txt"}));
}

#[tokio::test]
async fn in_process_is_the_same_without_a_port() {
    let service = tower::service_fn(|request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        let sent = body.collect().await.expect("a body").to_bytes();
        let line = format!("{} {} {}", head.method, head.uri, sent.len());
        let host = head.headers.get("host").and_then(|h| h.to_str().ok()).unwrap_or_default();
        let token = head.headers.get("authorization").and_then(|h| h.to_str().ok()).unwrap_or_default();
        let body = json!({"status": format!("{line} {host} {token}")}).to_string();
        Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from(body))))
    });
    let client = Client::over(Transport::in_process(service), Some("tok")).expect("a client");
    assert_eq!(client.ready().await.expect("an answer").status, "GET /readyz 0 localhost Bearer tok");
    let raw =
        client.send(Method::GET, "/x?y=1", &http::HeaderMap::new(), empty(), Duration::from_secs(1)).await;
    assert_eq!(raw.expect("an answer").status(), StatusCode::OK);
    assert_eq!(client.address(), "this process");
}
