//! A board to ask: in a database of its own, or in memory.

use std::time::Duration;

use mozi_core::{
    AgentId, Command, ProjectId, Refusal, Reply, Request, Role, SessionId, Status, TaskId, TaskKey, TaskSpec,
    Timestamp, TokenHash, UserRole, VerdictMode,
    command::{AgentHello, Claim, Credential, Hello, NewOutput, NewTask, Offer, Report, SettingChange},
    memory::{Failed, MemoryBoard},
    output::{Content, OutputType},
    token::Holder,
};
use mozi_store::{Answer, IdempotencyKey, Options, Store, SubmitError, TaskPage, Wanted};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The beginning of the tests' time.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

pub(crate) fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn key(task: &str) -> TaskKey {
    TaskKey::new(id("app"), id(task))
}

/// A task of the board with all that hangs on it.
pub(crate) async fn page(store: &Store, key: &TaskKey) -> TaskPage {
    store.task_page(key, Wanted::all(1000), START).await.unwrap().unwrap()
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId(uuid::Uuid::from_u128(u128::from(n) | 0xab << 120))
}

pub(crate) fn hash(n: u8) -> TokenHash {
    TokenHash([n; 32])
}

pub(crate) fn by(credential: Credential, now: Timestamp, command: Command) -> Request {
    Request { credential, via: Some("http".into()), now, seed: 7, command }
}

pub(crate) fn board(now: Timestamp, command: Command) -> Request {
    by(Credential::Board, now, command)
}

/// By a person, who has [`person_token`].
pub(crate) fn person(now: Timestamp, command: Command) -> Request {
    by(Credential::Token(hash(200)), now, command)
}

pub(crate) fn person_token() -> Request {
    let holder = Holder::User { user: "admin".into(), role: UserRole::Admin };
    let (name, hash) = ("first".into(), hash(200));
    board(after(0), Command::CreateToken { name, hash, holder, project: None, expires_at: None })
}

pub(crate) fn project(name: &str, settings: Vec<SettingChange>) -> Command {
    Command::CreateProject { id: id::<ProjectId>(name), name: None, settings }
}

pub(crate) fn task(name: &str, spec: TaskSpec) -> NewTask {
    NewTask {
        project: id("app"),
        id: Some(id::<TaskId>(name)),
        spec,
        depends_on: Vec::new(),
        not_before: None,
        held: false,
        fingerprint: name.to_owned(),
    }
}

pub(crate) fn create(name: &str, spec: TaskSpec) -> Command {
    Command::CreateTask(Box::new(task(name, spec)))
}

pub(crate) fn hello(agents: &[&str], max_sessions: u32) -> Command {
    let agent = |name: &&str| AgentHello {
        id: id(name),
        runtime: "command".into(),
        aliases: Vec::new(),
        roles: vec![Role::Executor, Role::Reviewer],
        max_sessions: 0,
        verdict_mode: VerdictMode::Report,
        timeout_ms: None,
        callback: "env".into(),
        held_back: None,
    };
    Command::Hello(Box::new(Hello {
        runner_id: id("local"),
        max_sessions,
        boot_id: "boot".into(),
        pid_namespace: "ns".into(),
        version: "1".into(),
        agents: agents.iter().map(agent).collect(),
    }))
}

pub(crate) fn claim(agents: &[&str], offers: impl IntoIterator<Item = u8>) -> Command {
    Command::Claim(Box::new(Claim {
        runner_id: id("local"),
        agents: agents.iter().map(|a| id::<AgentId>(a)).collect(),
        offers: offers.into_iter().map(|n| Offer { session_id: session(n), token_hash: hash(n) }).collect(),
        busy: Vec::new(),
        in_place: Vec::new(),
    }))
}

pub(crate) fn report(key: TaskKey, status: Status, detail: Option<&str>) -> Command {
    Command::Report(Box::new(Report {
        key,
        status,
        detail: detail.map(str::to_owned),
        kind: None,
        attempt_number: None,
        claimed_agent: None,
    }))
}

pub(crate) fn output(key: TaskKey, content: Content) -> Command {
    let size_bytes = if let Content::Inline(bytes) = &content { bytes.len() as u64 } else { 1 << 20 };
    Command::AddOutput(Box::new(NewOutput {
        key,
        output_type: OutputType::Code,
        title: "a result".into(),
        summary: Some("what it is".into()),
        file_name: None,
        sha256: format!("{size_bytes:064x}"),
        size_bytes,
        content,
        claimed_agent: None,
    }))
}

pub(crate) fn comment(key: TaskKey, body: &str) -> Command {
    Command::AddComment { key, author: None, body: body.to_owned() }
}

/// A store in a folder of its own, used from a plain thread.
pub(crate) struct Disk {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) runtime: Runtime,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("mozi.db"), "a-board")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { folder, store, runtime }
    }

    pub(crate) fn ask<T>(&self, question: impl Future<Output = T>) -> T {
        self.runtime.block_on(question)
    }

    pub(crate) fn answer(
        &self,
        request: Request,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer, SubmitError> {
        self.ask(self.store.submit(request, key))
    }

    #[track_caller]
    pub(crate) fn done(&self, request: Request) -> Reply {
        self.answer(request, None).unwrap().reply
    }

    /// Nothing that must never be.
    #[track_caller]
    pub(crate) fn check(&self) {
        assert_eq!(self.ask(self.store.check(after(0))).unwrap(), Vec::<String>::new());
    }
}

/// What every board can do.
pub(crate) trait Board {
    fn submit(&mut self, request: Request) -> Result<Reply, Refusal>;
}

impl Board for MemoryBoard {
    fn submit(&mut self, request: Request) -> Result<Reply, Refusal> {
        match Self::submit(self, &request) {
            Ok(decision) => Ok(decision.reply),
            Err(Failed::Refused(refusal)) => Err(refusal),
            Err(Failed::Broken(e)) => panic!("{e}"),
        }
    }
}

impl Board for Disk {
    fn submit(&mut self, request: Request) -> Result<Reply, Refusal> {
        match self.answer(request, None) {
            Ok(answer) => Ok(answer.reply),
            Err(SubmitError::Refused(refusal)) => Err(refusal),
            Err(e) => panic!("{e}"),
        }
    }
}

/// Tells one story to both, which must give the same answers.
#[track_caller]
pub(crate) fn on_both(story: impl Fn(&mut dyn Board) -> Vec<Result<Reply, Refusal>>) -> Disk {
    let mut disk = Disk::new();
    let answers = story(&mut disk);
    assert_eq!(answers, story(&mut MemoryBoard::new()));
    disk.check();
    disk
}
