//! What the board adds to its store: durable comments by an attempt's token, straight into the store, through the
//! router in process, and over sockets; and how long a comment takes to reach the last of many watchers.
//!
//! `cargo bench -p mozi-board` prints figures of this machine; only their ratios mean something.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking and prints what it measured"
)]

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use mozi_api::{BoxFuture, FilesError, LogChunk, LogStream, SessionFiles};
use mozi_board::{Board, BoardConfig, Clock, Limits, hash_token, router, serve};
use mozi_core::{
    Command, TaskKey, UserRole,
    command::{Credential, NewTask},
    project::Language,
    token::Holder,
};
use mozi_store::{Options, Store};
use tower::ServiceExt as _;

const CLIENTS: usize = 64;
const TOKEN: &str = "mozi_u_bench";

struct NoFiles;

impl SessionFiles for NoFiles {
    fn log<'a>(
        &'a self,
        _: &'a str,
        _: LogStream,
        _: u64,
        _: usize,
    ) -> BoxFuture<'a, Result<LogChunk, FilesError>> {
        Box::pin(std::future::ready(Err(FilesError::NotFound)))
    }
    fn wait_log<'a>(&'a self, _: &'a str, _: LogStream, _: u64, _: Duration) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
    fn prompt<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String, FilesError>> {
        Box::pin(std::future::ready(Err(FilesError::NotFound)))
    }
    fn open_output<'a>(&'a self, _: &'a str, _: &'a str, _: u64) -> BoxFuture<'a, Result<File, FilesError>> {
        Box::pin(std::future::ready(Err(FilesError::NotFound)))
    }
}

fn request(clock: &Clock, credential: Credential, command: Command) -> mozi_core::Request {
    mozi_core::Request { credential, via: None, now: clock.now(), seed: clock.seed(), command }
}

fn key() -> TaskKey {
    TaskKey::new("bench".parse().unwrap(), "1".parse().unwrap())
}

/// Counts how often `once` is done in a while by this many at a time.
async fn rate<F>(seconds: u64, once: impl Fn() -> F) -> f64
where
    F: Future<Output = ()>,
{
    let done = AtomicU64::new(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let all = (0..CLIENTS).map(|_| async {
        while Instant::now() < end {
            once().await;
            done.fetch_add(1, Ordering::Relaxed);
        }
    });
    futures_util::future::join_all(all).await;
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    let per_second = done.load(Ordering::Relaxed) as f64 / Duration::from_secs(seconds).as_secs_f64();
    per_second
}

async fn board(dir: &Path) -> (Store, Clock, axum::Router) {
    let store = Store::open(Options::new(dir.join("mozi.db"), "bench")).unwrap();
    let clock = Clock::system();
    let config = BoardConfig {
        data_dir: dir.to_owned(),
        public_url: String::new(),
        agent_url: "http://127.0.0.1".to_owned(),
        allowed_hosts: Vec::new(),
        listen_hosts: Vec::new(),
        prompts_dir: None,
        default_language: Language::En,
        anonymous: false,
        version: String::new(),
    };
    let board = Board::new(store.clone(), config, Arc::new(NoFiles), clock.clone()).await.unwrap();
    let holder = Holder::User { user: "bench".into(), role: UserRole::Admin };
    let token = Command::CreateToken {
        name: "bench".into(),
        hash: hash_token(TOKEN),
        holder,
        project: None,
        expires_at: None,
    };
    let project = Command::CreateProject { id: key().project, name: None, settings: Vec::new() };
    let task = Command::CreateTask(Box::new(NewTask {
        project: key().project,
        id: None,
        spec: mozi_core::TaskSpec::titled("bench"),
        depends_on: Vec::new(),
        not_before: None,
        held: true,
        fingerprint: String::new(),
    }));
    for command in [token, project, task] {
        store.submit(request(&clock, Credential::Board, command), None).await.unwrap();
    }
    (store, clock, router(board))
}

const PATH: &str = "/api/projects/bench/tasks/1/comments";
const BODY: &str = r#"{"author":"bench","body":"a comment of a usual length, as an agent would write it"}"#;

async fn post(router: &axum::Router) {
    let request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(Body::from(BODY))
        .unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.into_body().collect().await.unwrap();
}

async fn watch(router: &axum::Router) -> Body {
    let request = Request::builder()
        .uri("/api/projects/bench/events")
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("accept", "text/event-stream")
        .body(Body::empty())
        .unwrap();
    let mut body = router.clone().oneshot(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    body
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock, router) = board(dir.path()).await;
    let credential = Credential::Token(hash_token(TOKEN));
    let mut rows = Vec::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = serve(router.clone(), listener, None, Limits::default(), std::future::pending());
    let client = mozi_api::Client::new(&url, Some(TOKEN)).unwrap();
    let comment = mozi_api::report::NewComment {
        author: Some("bench".into()),
        body: "a comment of a usual length, as an agent would write it".into(),
    };
    let measure = async {
        for _ in 0..3 {
            let direct = rate(2, || async {
                let command = Command::AddComment {
                    key: key(),
                    author: Some("bench".into()),
                    body: "a comment of a usual length, as an agent would write it".into(),
                };
                store.submit(request(&clock, credential.clone(), command), None).await.unwrap();
            });
            let direct = direct.await;
            let routed = rate(2, || post(&router)).await;
            let (project, task) = (key().project, key().task);
            let over_sockets = rate(2, || async {
                client.add_comment(&project, &task, &comment, None).await.unwrap();
            });
            let over_sockets = over_sockets.await;
            println!(
                "comments/s: store {direct:.0}, router {routed:.0} ({:.2}), sockets with the client {over_sockets:.0} ({:.2})",
                routed / direct,
                over_sockets / direct
            );
            rows.push(routed / direct);
        }
        rows.sort_by(f64::total_cmp);
        println!("router against store, median of three rounds: {:.2}", rows[rows.len() / 2]);
        for watchers in [1, 1000] {
            let mut bodies = Vec::new();
            for _ in 0..watchers {
                bodies.push(watch(&router).await);
            }
            let mut times = Vec::new();
            for _ in 0..50 {
                let begun = Instant::now();
                let all = bodies.iter_mut().map(|b| async {
                    b.frame().await.unwrap().unwrap();
                });
                tokio::join!(post(&router), futures_util::future::join_all(all));
                times.push(begun.elapsed());
            }
            times.sort();
            println!("a comment to the last of {watchers} watchers: p50 {:?}", times[times.len() / 2]);
        }
    };
    tokio::select! {
        () = measure => {}
        ended = server => ended.unwrap(),
    }
}
