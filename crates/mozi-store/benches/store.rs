//! How fast the store is: `cargo bench -p mozi-store [-- commands|claims|reads]`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for people, wrong at once or never"
)]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use mozi_core::{
    AgentId, Command, ProjectId, Request, Role, SessionId, Status, TaskKey, TaskSpec, Timestamp, TokenHash,
    VerdictMode,
    command::{AgentHello, Claim, Credential, Hello, NewTask, Offer},
};
use mozi_store::{Options, Store, TaskQuery, TaskSort};
use rusqlite::Connection;
use tokio::runtime::Runtime;

/// How long each figure is taken.
const TAKEN: Duration = Duration::from_millis(1500);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if runs("commands") {
        commands(&runtime);
    }
    if runs("claims") || runs("reads") {
        for finished in [1_000, 100_000, 1_000_000] {
            behind(&runtime, finished, runs("claims"), runs("reads"));
        }
    }
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn now(n: i64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000 + n)
}

fn ask(credential: Credential, n: i64, command: Command) -> Request {
    Request { credential, via: Some("http".into()), now: now(n), seed: 0, command }
}

fn session(n: u32) -> SessionId {
    SessionId(uuid::Uuid::from_u128(u128::from(n)))
}

fn hash(n: u32) -> TokenHash {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    TokenHash(bytes)
}

fn key(n: u32) -> TaskKey {
    TaskKey::new(id("app"), id(&format!("t{n}")))
}

async fn done(store: &Store, credential: Credential, n: i64, command: Command) {
    store.submit(ask(credential, n, command), None).await.unwrap();
}

fn create(n: u32) -> Command {
    let spec = TaskSpec { agent: Some(id("coder")), ..TaskSpec::titled("a task") };
    Command::CreateTask(Box::new(NewTask {
        project: id("app"),
        id: Some(key(n).task),
        spec,
        depends_on: Vec::new(),
        not_before: None,
        held: false,
        fingerprint: String::new(),
    }))
}

fn claim(offers: impl IntoIterator<Item = u32>) -> Command {
    Command::Claim(Box::new(Claim {
        runner_id: id("local"),
        agents: vec![id::<AgentId>("coder")],
        offers: offers.into_iter().map(|n| Offer { session_id: session(n), token_hash: hash(n) }).collect(),
        busy: Vec::new(),
        in_place: Vec::new(),
    }))
}

/// A board with a project and a runner.
async fn open(path: &Path) -> Store {
    let store = Store::open(Options::new(path, "bench")).unwrap();
    let project = Command::CreateProject { id: id::<ProjectId>("app"), name: None, settings: Vec::new() };
    done(&store, Credential::Board, 0, project).await;
    let agent = AgentHello {
        id: id("coder"),
        runtime: "command".into(),
        aliases: Vec::new(),
        roles: vec![Role::Executor],
        max_sessions: 0,
        verdict_mode: VerdictMode::Report,
        timeout_ms: None,
        callback: "env".into(),
        held_back: None,
    };
    let hello = Hello {
        runner_id: id("local"),
        max_sessions: 1_000_000,
        boot_id: "b".into(),
        pid_namespace: "n".into(),
        version: "1".into(),
        agents: vec![agent],
    };
    done(&store, Credential::Board, 0, Command::Hello(Box::new(hello))).await;
    store
}

/// Comments by attempts, as they come from agents: each with its token, looked up in the transaction.
fn commands(runtime: &Runtime) {
    println!("durable commands (comment by an attempt's token)");
    println!("{:>8} {:>12} {:>10} {:>10}", "waiting", "per second", "p50 ms", "p99 ms");
    for waiting in [1u32, 8, 64, 256, 1000] {
        let folder = tempfile::tempdir().unwrap();
        let (count, took, mut each) = runtime.block_on(async {
            let store = open(&folder.path().join("mozi.db")).await;
            let attempts = waiting.min(50);
            for n in 0..attempts {
                done(&store, Credential::Board, 1, create(n)).await;
            }
            done(&store, Credential::Board, 2, claim(0..attempts)).await;
            let begun = Instant::now();
            let mut set = tokio::task::JoinSet::new();
            for n in 0..waiting {
                let (store, by) = (store.clone(), n % attempts);
                set.spawn(async move {
                    let mut each = Vec::new();
                    while begun.elapsed() < TAKEN {
                        let one = Instant::now();
                        let comment = Command::AddComment {
                            key: key(by),
                            author: None,
                            body: "I have looked at the files and begun.".into(),
                        };
                        done(&store, Credential::Token(hash(by)), 3, comment).await;
                        each.push(one.elapsed());
                    }
                    each
                });
            }
            let each: Vec<Duration> = set.join_all().await.into_iter().flatten().collect();
            (each.len(), begun.elapsed(), each)
        });
        each.sort_unstable();
        println!(
            "{waiting:>8} {:>12.0} {:>10} {:>10}",
            count as f64 / took.as_secs_f64(),
            millis(at(&each, 50)),
            millis(at(&each, 99))
        );
    }
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len() * percent / 100).or_else(|| sorted.last()).copied().unwrap_or_default()
}

fn millis(d: Duration) -> String {
    format!("{:.2}", d.as_secs_f64() * 1000.0)
}

/// Finished tasks, as if they had come over years.
fn fill(path: &Path, finished: u32) {
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000; BEGIN").unwrap();
    db.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO tasks (project_id, task_id, version, created_at, updated_at, status, title, task_type, priority,
           agent, created_by_kind)
         SELECT 'app', 'old-' || i, 3, i, i, 'done', 'an old task', 'general', 5, 'coder', 'user' FROM n",
        [finished],
    )
    .unwrap();
    db.execute(
        "INSERT INTO task_texts (id, fingerprint, description) SELECT id, '', 'as it was' FROM tasks",
        [],
    )
    .unwrap();
    db.execute("UPDATE projects SET done = ?1", [finished]).unwrap();
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

fn behind(runtime: &Runtime, finished: u32, claims: bool, reads: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    drop(runtime.block_on(open(&path)));
    fill(&path, finished);
    runtime.block_on(async {
        let store = open(&path).await;
        println!("behind {finished} finished tasks");
        if claims {
            let (mut creates, mut each) = (Vec::new(), Vec::new());
            for n in 0..300u32 {
                let one = Instant::now();
                done(&store, Credential::Board, i64::from(n), create(n)).await;
                creates.push(one.elapsed());
                let one = Instant::now();
                done(&store, Credential::Board, i64::from(n), claim([n])).await;
                each.push(one.elapsed());
            }
            tell("create", creates);
            tell("claim", each);
        }
        if reads {
            let key = TaskKey::new(id("app"), id("old-500"));
            tell("identify", time(async || drop(store.identify(hash(1), now(1)).await.unwrap())).await);
            tell("task", time(async || drop(store.task(&key, now(1)).await.unwrap())).await);
            for sort in [TaskSort::Updated, TaskSort::Created, TaskSort::Priority] {
                let query = TaskQuery { sort, limit: 100, ..TaskQuery::all(id("app")) };
                let each = time(async || drop(store.tasks(query.clone(), now(1)).await.unwrap())).await;
                tell(&format!("list {sort:?}"), each);
            }
            let query = TaskQuery { statuses: vec![Status::Done], limit: 100, ..TaskQuery::all(id("app")) };
            let second = store.tasks(query.clone(), now(1)).await.unwrap().next_cursor;
            let query = TaskQuery { after: second, ..query };
            tell("next page", time(async || drop(store.tasks(query.clone(), now(1)).await.unwrap())).await);
            tell("counts", time(async || assert!(store.counts().await.is_ok())).await);
            tell("next due", time(async || assert!(store.next_due(now(1)).await.is_ok())).await);
        }
    });
}

async fn time(question: impl AsyncFn()) -> Vec<Duration> {
    let mut each = Vec::new();
    for _ in 0..200 {
        let one = Instant::now();
        question().await;
        each.push(one.elapsed());
    }
    each
}

fn tell(name: &str, mut each: Vec<Duration>) {
    each.sort_unstable();
    println!("  {name:<16} p50 {:>8} ms   p99 {:>8} ms", millis(at(&each, 50)), millis(at(&each, 99)));
}
