//! Limits that only a socket shows: slow, oversized, too many, half closed; and the end of the server.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use mozi_board::{Limits, serve};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::support::{OPERATOR, RUNNER, TestBoard, VIEWER};

const SOON: Duration = Duration::from_secs(10);

pub(crate) struct Served {
    board: TestBoard,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<io::Result<()>>,
}

pub(crate) fn strict() -> Limits {
    Limits {
        connections: 3,
        header_timeout: Duration::from_millis(300),
        header_bytes: 8192,
        headers: 40,
        body_pause: Duration::from_millis(300),
        drain: Duration::from_secs(5),
    }
}

async fn served(limits: Limits) -> Served {
    let board = TestBoard::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move { drop(stopped.await) };
    let server = serve(board.router.clone(), listener, None, limits, shutdown);
    #[expect(clippy::disallowed_methods, reason = "a server in the background of a test")]
    let done = tokio::spawn(server);
    Served { board, address, stop: Some(stop), done }
}

impl Served {
    pub(crate) async fn new(limits: Limits) -> Self {
        served(limits).await
    }
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
    /// All that the server answers to these bytes, until it closes.
    async fn said(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // Closed with a reset is closed too: what was sent and never read makes one.
    match tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("closed in time") {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), io::ErrorKind::ConnectionReset),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until this has come.
pub(crate) async fn until(stream: &mut TcpStream, what: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(what) {
        let n =
            tokio::time::timeout(SOON, stream.read(&mut buffer)).await.expect("an answer in time").unwrap();
        assert!(n > 0, "closed before {what:?}: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    text
}

#[tokio::test]
async fn slow_and_oversized_heads() {
    let served = served(strict()).await;
    // A head that never ends.
    let said = served.said(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    assert!(!said.contains("200 OK"), "{said}");
    let large =
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n", "x".repeat(20_000));
    assert!(served.said(large.as_bytes()).await.starts_with("HTTP/1.1 431"));
    // A little too much is told so in words.
    let some = (0..60).map(|i| format!("X-{i}: y\r\n")).collect::<Vec<_>>().concat();
    let some = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{some}\r\n");
    let said = served.said(some.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 431") && said.contains("header_too_large"), "{said}");
    let many = (0..100).map(|i| format!("X-{i}: y\r\n")).collect::<Vec<_>>().concat();
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert!(served.said(many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert!(served.said(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    // It serves others all the while, and without a name only with a token.
    let fine = served.said(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(fine.starts_with("HTTP/1.1 200"), "{fine}");
    let nameless = served.said(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(nameless.starts_with("HTTP/1.0 403"), "{nameless}");
}

#[tokio::test]
async fn a_body_that_does_not_come() {
    let served = served(strict()).await;
    let head = format!(
        "POST /api/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {OPERATOR}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    let mut stream = served.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let said = until(&mut stream, "request_timeout").await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    // Announced too large: refused before it is sent.
    let head = head.replace("Content-Length: 100", "Content-Length: 99000000");
    let mut stream = served.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let said = until(&mut stream, "payload_too_large").await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
}

#[tokio::test]
async fn too_many_connections_are_told_so() {
    let limits = Limits { header_timeout: Duration::from_mins(1), ..strict() };
    let served = served(limits).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        until(&mut stream, "ok").await;
        held.push(stream);
    }
    let said = served.said(b"").await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{said}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["code"], "unavailable");
    // A place becomes free when one goes.
    held.pop();
    loop {
        let said =
            served.said(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        if said.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

#[tokio::test]
async fn whoever_has_gone_is_not_waited_for() {
    let limits = Limits { connections: 1, header_timeout: Duration::from_mins(1), ..strict() };
    let served = served(limits).await;
    served.board.hello().await;
    let body = json!({ "wait_seconds": 30 }).to_string();
    let poll = format!(
        "POST /api/runners/local/poll HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {RUNNER}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Half closed: it has said all it will say, and a poll may wait 30 seconds.
    let mut stream = served.connect().await;
    stream.write_all(poll.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let free = async {
        while !served
            .said(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
        {}
    };
    tokio::time::timeout(SOON, free).await.expect("its place is free long before its poll is over");
}

#[tokio::test]
async fn the_end_waits_for_requests_and_closes_streams() {
    let mut served = served(Limits { header_timeout: Duration::from_mins(1), ..strict() }).await;
    served.board.hello().await;
    let mut stream = served.connect().await;
    let watch = format!(
        "GET /api/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer {VIEWER}\r\n\r\n"
    );
    stream.write_all(watch.as_bytes()).await.unwrap();
    until(&mut stream, ": watching").await;
    let mut idle = served.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until(&mut idle, "ok").await;
    // Under way: its head is read, half of its body too.
    let mut half = served.connect().await;
    let body = json!({ "project_id": "late" }).to_string();
    let head = format!(
        "POST /api/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {OPERATOR}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    half.write_all(head.as_bytes()).await.unwrap();
    until(&mut half, "100 Continue").await;
    served.stop.take().unwrap().send(()).unwrap();
    // The stream ends properly, the idle connection is closed, the request is carried out.
    assert!(rest(&mut stream).await.ends_with("0\r\n\r\n"));
    assert_eq!(rest(&mut idle).await, "");
    half.write_all(body.as_bytes()).await.unwrap();
    let said = rest(&mut half).await;
    assert!(said.contains("201 Created"), "{said}");
    tokio::time::timeout(SOON, &mut served.done).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody listens any more");
    served.board.get("/api/projects/late", VIEWER).await.expect(200);
}

#[tokio::test]
async fn the_typed_client_over_a_socket() {
    let served = served(Limits::default()).await;
    let client = mozi_api::Client::new(&format!("http://{}", served.address), Some(OPERATOR)).unwrap();
    let project = client.project(&"default".parse().unwrap()).await.unwrap();
    assert_eq!(project.version, 1);
    let refused = client.project(&"none".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), Some("not_found"));
    let shared = Arc::new(client);
    let all = (0..20).map(|i| {
        let client = Arc::clone(&shared);
        async move {
            let body = mozi_api::task::CreateTask::titled(format!("task {i}"));
            client.create_task(&"default".parse().unwrap(), &body).await.unwrap()
        }
    });
    let made = futures_util::future::join_all(all).await;
    let mut ids: Vec<u32> = made.iter().map(|t| t.task_id.as_str().parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
}
