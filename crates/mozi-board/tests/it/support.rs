//! A board in a temporary folder, asked through its router.

use std::{
    collections::HashMap,
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use mozi_api::server::Reloaded;
use mozi_api::{BoxFuture, FilesError, LogChunk, LogStream, SessionFiles};
use mozi_board::{Board, BoardConfig, Clock, Host, Unreadable, hash_token, router};
use mozi_core::{
    Command, SessionId, Timestamp, UserRole, command::Credential, project::Language, token::Holder,
};
use mozi_store::{Options, Store};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::conform;
/// A process that does what a test says.
#[derive(Default)]
pub(crate) struct FakeHost {
    /// Why the next reload is refused.
    pub(crate) refuse: Mutex<Option<Unreadable>>,
    /// What was asked of it.
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Host for FakeHost {
    fn config_file(&self) -> String {
        "/mozi.toml".into()
    }
    fn reload(&self) -> futures_util::future::BoxFuture<'_, Result<Reloaded, Unreadable>> {
        self.asked.lock().unwrap().push("reload".to_owned());
        let refused = self.refuse.lock().unwrap().take();
        let added = vec!["agents.writer".to_owned()];
        let taken = Reloaded { file: "/mozi.toml".into(), added, ..Reloaded::default() };
        Box::pin(async move { refused.map_or(Ok(taken), Err) })
    }
    fn drain(&self, span: Duration) -> futures_util::future::BoxFuture<'_, bool> {
        self.asked.lock().unwrap().push(format!("drain {}", span.as_secs()));
        Box::pin(async { true })
    }
}

/// 2026-01-02T03:04:05Z
pub(crate) const START: i64 = 1_767_323_045_000_000;

/// Tokens that every board of these tests knows.
pub(crate) const ADMIN: &str = "mozi_u_admin";
pub(crate) const OPERATOR: &str = "mozi_u_operator";
pub(crate) const VIEWER: &str = "mozi_u_viewer";
pub(crate) const SCOPED: &str = "mozi_u_scoped";
pub(crate) const RUNNER: &str = "mozi_r_local";

pub(crate) struct TestBoard {
    pub(crate) router: Router,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) files: Arc<FakeFiles>,
    pub(crate) host: Arc<FakeHost>,
    pub(crate) house: Arc<crate::house::FakeHouse>,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
    /// The body of a success with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }
    /// The body of a problem with this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.headers["x-request-id"].to_str().unwrap());
        body
    }
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// A request under construction.
pub(crate) struct Ask<'a> {
    board: &'a TestBoard,
    method: Method,
    path: String,
    request: http::request::Builder,
    body: Body,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }
    pub(crate) fn token(self, token: &str) -> Self {
        if token.is_empty() { self } else { self.header("authorization", &format!("Bearer {token}")) }
    }
    pub(crate) fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }
    pub(crate) fn raw(self, content_type: &str, body: impl Into<Body>) -> Self {
        let mut with = self.header("content-type", content_type);
        with.body = body.into();
        with
    }
    pub(crate) async fn open(self) -> http::Response<Body> {
        let has_host = self.request.headers_ref().is_some_and(|h| h.contains_key(header::HOST));
        let request = if has_host { self.request } else { self.request.header("host", "127.0.0.1:8083") };
        self.board.router.clone().oneshot(request.body(self.body).unwrap()).await.unwrap()
    }
    /// Asks, and holds the answer against the document.
    pub(crate) async fn send(self) -> Reply {
        let (method, path) = (self.method.clone(), self.path.clone());
        let (head, body) = self.open().await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        let reply = Reply { status: head.status, headers: head.headers, bytes };
        conform::check(&method, &path, &reply);
        reply
    }
}

impl TestBoard {
    pub(crate) async fn new() -> Self {
        Self::begun(false).await
    }

    /// One that takes the contract's calls without a token.
    pub(crate) async fn anonymous() -> Self {
        Self::begun(true).await
    }

    async fn begun(anonymous: bool) -> Self {
        let this = Self::open(tempfile::tempdir().unwrap(), anonymous).await;
        let user = |role| Holder::User { user: "ann".to_owned(), role };
        for (token, holder, project) in [
            (ADMIN, user(UserRole::Admin), None),
            (OPERATOR, user(UserRole::Operator), None),
            (VIEWER, user(UserRole::Viewer), None),
            (SCOPED, user(UserRole::Operator), Some("other".parse().unwrap())),
            (RUNNER, Holder::Runner("local".parse().unwrap()), None),
        ] {
            let hash = hash_token(token);
            let name = token.to_owned();
            this.board(Command::CreateToken { name, hash, holder, project, expires_at: None }).await;
        }
        for id in ["default", "other"] {
            this.post("/api/projects", ADMIN, &json!({ "project_id": id })).await.expect(201);
        }
        this
    }

    /// The same board, ended and begun again.
    pub(crate) async fn restarted(self) -> Self {
        let Self { router, store, clock, files: _, host: _, house: _, dir } = self;
        let now = clock.now();
        drop((router, store));
        let this = Self::open(dir, false).await;
        this.clock.set(now);
        this
    }

    /// A board over what is in the folder.
    async fn open(dir: tempfile::TempDir, anonymous: bool) -> Self {
        let store = Store::open(Options::new(dir.path().join("mozi.db"), "board-1")).unwrap();
        let clock = Clock::manual(Timestamp::from_micros(START));
        let files = Arc::new(FakeFiles::default());
        let config = BoardConfig {
            data_dir: dir.path().to_owned(),
            public_url: "http://board.example:8083".to_owned(),
            agent_url: "http://127.0.0.1:8083".to_owned(),
            allowed_hosts: vec!["mozi.lan".to_owned()],
            listen_hosts: Vec::new(),
            prompts_dir: None,
            default_language: Language::En,
            anonymous,
            version: "0.1.0".to_owned(),
        };
        let shared: Arc<dyn SessionFiles> = Arc::<FakeFiles>::clone(&files);
        let board = Board::new(store.clone(), config, shared, clock.clone()).await.unwrap();
        let host = Arc::new(FakeHost::default());
        board.set_host(Arc::<FakeHost>::clone(&host));
        let house = Arc::new(crate::house::FakeHouse::default());
        board.keep_house(Arc::<crate::house::FakeHouse>::clone(&house));
        Self { router: router(board), store, clock, files, host, house, dir }
    }

    /// A command of the board itself.
    pub(crate) async fn board(&self, command: Command) {
        let now = self.clock.now();
        let request = mozi_core::Request { credential: Credential::Board, via: None, now, seed: 7, command };
        self.store.submit(request, None).await.unwrap();
    }

    pub(crate) fn ask(&self, method: &Method, path: &str) -> Ask<'_> {
        let request = Request::builder().method(method.clone()).uri(path);
        Ask { board: self, method: method.clone(), path: path.to_owned(), request, body: Body::empty() }
    }
    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        self.ask(&Method::GET, path).token(token).send().await
    }
    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Reply {
        self.ask(&Method::POST, path).token(token).json(body).send().await
    }
    pub(crate) async fn send(&self, method: &Method, path: &str, token: &str, body: &Value) -> Reply {
        self.ask(method, path).token(token).json(body).send().await
    }
    pub(crate) fn later(&self, by: Duration) {
        self.clock.set(self.clock.now().plus(by));
    }

    // --- the runner's part ------------------------------------------------------------------------------------

    /// The runner says hello with agents `coder`, `other` and `reviewer`.
    pub(crate) async fn hello(&self) {
        let agent = |id: &str, roles: &[&str]| json!({ "id": id, "runtime": "command", "roles": roles, "verdict": "report", "callback": "env" });
        let body = json!({
            "max_sessions": 8, "boot_id": "b1", "pid_namespace": "n1", "version": "0.1.0",
            "agents": [agent("coder", &["executor"]), agent("other", &["executor"]), agent("reviewer", &["reviewer"])],
        });
        let reply = self.post("/api/runners/local/hello", RUNNER, &body).await.expect(200);
        assert_eq!(reply["board_id"], "board-1");
    }

    /// Offers one slot for these agents; the answer of the poll, with the token of the slot.
    pub(crate) async fn poll(&self, agents: &[&str], wait_seconds: u32) -> (Value, String) {
        let session = SessionId(uuid::Uuid::from_u128(u128::from(self.clock.seed())));
        let token = format!("mozi_a_{}", session.0.simple());
        let body = json!({
            "agents": agents,
            "offers": [{ "session_id": session.to_string(), "token_sha256": sha256_of(&token) }],
            "wait_seconds": wait_seconds,
        });
        (self.post("/api/runners/local/poll", RUNNER, &body).await.expect(200), token)
    }

    /// A new task for `coder`, claimed.
    pub(crate) async fn claimed(&self, body: &Value) -> Claimed {
        let mut task = json!({ "title": "Do it", "agent": "coder" });
        task.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let made = self.post("/api/projects/default/tasks", OPERATOR, &task).await.expect(201);
        let id = made["task_id"].as_str().unwrap().to_owned();
        let agent = task["agent"].as_str().unwrap().to_owned();
        self.claim(&id, &agent).await
    }

    /// The claim of a task that is ready.
    pub(crate) async fn claim(&self, task: &str, agent: &str) -> Claimed {
        let (reply, token) = self.poll(&[agent], 0).await;
        let assignment = reply["claimed"][0].clone();
        assert_eq!(assignment["task_id"], task, "{reply}");
        let session = assignment["session_id"].as_str().unwrap().to_owned();
        Claimed { path: format!("/api/projects/default/tasks/{task}"), task: task.to_owned(), token, session }
    }

    pub(crate) async fn started(&self, claimed: &Claimed) {
        let path = format!("/api/runners/local/sessions/{}/started", claimed.session);
        let body = json!({ "pid": 4711, "workspace": "/w" });
        self.post(&path, RUNNER, &body).await.expect(200);
    }

    pub(crate) async fn end(&self, session: &str, body: &Value) -> Value {
        let path = format!("/api/runners/local/sessions/{session}/end");
        self.post(&path, RUNNER, body).await.expect(200)
    }
}

pub(crate) fn sha256_of(token: &str) -> String {
    mozi_api::wire::Text(hash_token(token)).to_string()
}

/// An attempt at work.
pub(crate) struct Claimed {
    pub(crate) path: String,
    pub(crate) task: String,
    pub(crate) token: String,
    pub(crate) session: String,
}

impl Claimed {
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("{}{rest}", self.path)
    }
}

type Log = (Vec<u8>, bool);

/// Files of sessions, in memory and in a folder.
#[derive(Default)]
pub(crate) struct FakeFiles {
    /// The bytes of each log, and whether its session lives.
    logs: Mutex<HashMap<(String, LogStream), Log>>,
    grown: Notify,
    pub(crate) outputs: Mutex<HashMap<String, PathBuf>>,
    pub(crate) opened: Mutex<Vec<String>>,
    pub(crate) gone: Mutex<bool>,
    pub(crate) broken: Mutex<bool>,
}

impl FakeFiles {
    pub(crate) fn write(&self, session: &str, stream: LogStream, bytes: &[u8], live: bool) {
        let mut logs = self.logs.lock().unwrap();
        let log = logs.entry((session.to_owned(), stream)).or_default();
        log.0.extend_from_slice(bytes);
        log.1 = live;
        drop(logs);
        self.grown.notify_waiters();
    }
    fn read(&self, session: &str, stream: LogStream, from: u64, max: usize) -> Result<LogChunk, FilesError> {
        let logs = self.logs.lock().unwrap();
        let (bytes, live) = logs.get(&(session.to_owned(), stream)).ok_or(FilesError::NotFound)?;
        let from = usize::try_from(from).unwrap().min(bytes.len());
        let to = from.saturating_add(max).min(bytes.len());
        Ok(LogChunk {
            bytes: bytes[from..to].to_vec(),
            offset: from as u64,
            end: bytes.len() as u64,
            live: *live,
        })
    }
}

impl SessionFiles for FakeFiles {
    fn log<'a>(
        &'a self,
        session: &'a str,
        stream: LogStream,
        from: u64,
        max: usize,
    ) -> BoxFuture<'a, Result<LogChunk, FilesError>> {
        Box::pin(async move { self.read(session, stream, from, max) })
    }
    fn wait_log<'a>(
        &'a self,
        session: &'a str,
        stream: LogStream,
        from: u64,
        up_to: Duration,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut grown = std::pin::pin!(self.grown.notified());
            grown.as_mut().enable();
            let more = self.read(session, stream, from, 1).is_ok_and(|c| !c.live || c.end > from);
            if !more {
                drop(tokio::time::timeout(up_to, grown).await);
            }
        })
    }
    fn prompt<'a>(&'a self, session: &'a str) -> BoxFuture<'a, Result<String, FilesError>> {
        assert!(!*self.broken.lock().unwrap(), "these files are broken");
        Box::pin(async move { Ok(format!("prompt of {session}, token mozi_a_0123456789abcdef")) })
    }
    fn open_output<'a>(
        &'a self,
        session: &'a str,
        path: &'a str,
        max_bytes: u64,
    ) -> BoxFuture<'a, Result<File, FilesError>> {
        Box::pin(async move {
            self.opened.lock().unwrap().push(format!("{session} {path}"));
            if *self.gone.lock().unwrap() {
                return Err(FilesError::Gone);
            }
            if path.contains("..") {
                return Err(FilesError::Refused("it leads out of the workspace".to_owned()));
            }
            let found = self.outputs.lock().unwrap().get(path).cloned().ok_or(FilesError::NotFound)?;
            let size = std::fs::metadata(&found).unwrap().len();
            if size > max_bytes {
                return Err(FilesError::TooLarge { size, max: max_bytes });
            }
            Ok(File::open(found).unwrap())
        })
    }
}
