//! The board in memory is the model: whatever is asked, both load the same, decide the same and hold the same rows.

use mozi_core::{
    Change, Command, Reply, Request, Role, State, Task, TaskKey, Timestamp,
    command::{Credential, NewTask},
    decide,
    memory::MemoryBoard,
    state::{ClaimNeeds, Needs},
    waiting::{self, Floor},
};
use proptest::{prelude::*, strategy::ValueTree as _};
use rusqlite::Connection;

use super::{apply::apply, kept::Kept, load::load, migrate};

mod commands;
mod dump;
mod plans;

use commands::{Step, World};

struct Pair {
    folder: tempfile::TempDir,
    db: Connection,
    model: MemoryBoard,
    kept: Kept,
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (db, _) = migrate::open(&folder.path().join("mozi.db"), "a-board").unwrap();
        db.execute_batch("PRAGMA synchronous = OFF").unwrap();
        Self { folder, db, model: MemoryBoard::new(), kept: Kept::default() }
    }

    /// Carries a request out on both.
    #[track_caller]
    fn submit(&mut self, request: &Request) -> bool {
        let needs = request.needs();
        self.db.execute_batch("BEGIN IMMEDIATE").unwrap();
        let ours = load(&self.db, &mut self.kept, &needs).unwrap();
        let mut theirs = self.model.load(&needs);
        // The longest running first: the model has no order of its own.
        theirs.live.sort_by_key(|s| (s.started_at, s.id));
        match &needs.claim {
            None => compare(&ours, &theirs),
            Some(claim) => compare_ready(&ours, &self.model, &needs, claim),
        }
        let before = self.model.clone();
        let ours = decide(ours, request);
        if needs.claim.is_none() {
            assert_eq!(ours, decide(theirs, request), "{request:?}");
        }
        let Ok(decision) = ours else {
            self.db.execute_batch("ROLLBACK").unwrap();
            assert_eq!(before, self.model);
            return false;
        };
        for change in &decision.changes {
            self.model.apply(change).unwrap();
            apply(&self.db, &mut self.kept, change).unwrap();
        }
        self.db.execute_batch("COMMIT").unwrap();
        self.check();
        true
    }

    #[track_caller]
    fn check(&self) {
        let rows = dump::rows(&self.db);
        let mut model = self.model.clone();
        model.dependencies.retain(|_, on| !on.is_empty());
        model.tokens.values_mut().for_each(|t| t.last_used_at = None);
        assert_eq!(rows, model);
        dump::check_queue(&self.db, &rows);
    }
}

fn sorted<T: std::fmt::Debug>(items: &[T]) -> Vec<String> {
    let mut texts: Vec<_> = items.iter().map(|i| format!("{i:?}")).collect();
    texts.sort();
    texts
}

#[track_caller]
fn compare(ours: &State, theirs: &State) {
    assert_eq!(ours.identity, theirs.identity);
    assert_eq!(ours.projects, theirs.projects);
    assert_eq!(ours.tasks, theirs.tasks);
    assert_eq!(sorted(&ours.attempts), sorted(&theirs.attempts));
    compare_ground(ours, theirs);
    assert_eq!(ours.dependencies, theirs.dependencies);
    assert_eq!(sorted(&ours.dependents), sorted(&theirs.dependents));
    assert_eq!(ours.told_without, theirs.told_without);
    assert_eq!(ours.path_exists, theirs.path_exists);
    assert_eq!(ours.existing_fingerprint, theirs.existing_fingerprint);
    assert_eq!(ours.free_id, theirs.free_id);
    assert_eq!(ours.user, theirs.user);
    let unused = |t: &State| t.token.clone().map(|t| mozi_core::Token { last_used_at: None, ..t });
    assert_eq!(unused(ours), unused(theirs));
    assert_eq!(ours.stream_last, theirs.stream_last);
    assert_eq!((ours.at_rest, &ours.queued, ours.totals), (theirs.at_rest, &theirs.queued, theirs.totals));
}

#[track_caller]
fn compare_ground(ours: &State, theirs: &State) {
    assert_eq!(ours.sessions, theirs.sessions);
    assert_eq!(sorted(&ours.live), sorted(&theirs.live));
    assert_eq!(ours.agents, theirs.agents);
    assert_eq!(ours.runners, theirs.runners);
}

/// A claim is given enough of what is ready for each agent that is free, in the order of the queue.
#[track_caller]
fn compare_ready(ours: &State, model: &MemoryBoard, needs: &Needs, claim: &ClaimNeeds) {
    let mut all = needs.clone();
    all.claim = Some(ClaimNeeds { limit: 1_000_000, ..claim.clone() });
    let all = model.load(&all);
    compare_ground(ours, &all);
    let ranks: Vec<_> = ours.ready.iter().map(|k| all.ready.iter().position(|x| x == k)).collect();
    assert!(ranks.iter().all(Option::is_some), "{ranks:?} of {:?}", all.ready);
    assert!(ranks.is_sorted(), "{ranks:?}");
    for key in &ours.ready {
        assert_eq!(ours.tasks.get(key), all.tasks.get(key));
        assert!(ours.projects.contains_key(&key.project));
    }
    let floor = Floor {
        agents: &all.agents,
        runners: &all.runners,
        live: &all.live,
        busy: &claim.busy,
        now: needs.now,
    };
    for agent in &claim.agents {
        for role in [Role::Executor, Role::Reviewer] {
            if !waiting::agent_blockers(agent, role, floor).is_empty() {
                continue;
            }
            let is_theirs = |t: &&Task| {
                let project = &model.projects[&t.key.project];
                t.queue_place().is_some_and(|p| p.role == role)
                    && waiting::agent_for(t, project, role).as_ref() == Some(agent)
            };
            let unlimited = |t: &&Task| model.projects[&t.key.project].settings.max_sessions.is_none();
            let tasks = |s: &State| -> Vec<Task> {
                s.ready.iter().map(|k| s.tasks[k].clone()).filter(|t| is_theirs(&t)).collect()
            };
            let (given, there) = (tasks(ours), tasks(&all));
            let free = there.iter().filter(unlimited).count();
            assert!(given.iter().filter(unlimited).count() >= free.min(claim.limit), "{agent} {role}");
            for (id, project) in &model.projects {
                let Some(max) = project.settings.max_sessions else { continue };
                let held =
                    all.live.iter().filter(|s| s.attempt.as_ref().is_some_and(|(k, _)| k.project == *id));
                let room = (max as usize).saturating_sub(held.count());
                let of = |tasks: &[Task]| tasks.iter().filter(|t| t.key.project == *id).count();
                assert!(of(&given) >= of(&there).min(room).min(claim.limit), "{agent} {role} {id}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_commands_leave_the_same_board_as_in_memory(steps in prop::collection::vec(any::<Step>(), 1..60)) {
        let mut pair = Pair::new();
        let mut world = World::default();
        for request in world.begin() {
            prop_assert!(pair.submit(&request));
        }
        for step in steps {
            let request = world.request(&step, &pair.model);
            pair.submit(&request);
        }
    }
}

/// Random commands are only worth something when many of them are carried out, and all kinds of changes are written.
#[test]
fn random_commands_reach_every_kind_of_change() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(any::<Step>(), 400);
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..6 {
        let steps = strategy.new_tree(&mut runner).unwrap().current();
        let (mut board, mut world) = (MemoryBoard::new(), World::default());
        let mut submit = |board: &mut MemoryBoard, request: &Request| {
            for change in board.submit(request).map(|d| d.changes).unwrap_or_default() {
                *seen.entry(kind(&change)).or_default() += 1;
            }
        };
        for request in world.begin() {
            submit(&mut board, &request);
        }
        for step in steps {
            let request = world.request(&step, &board);
            submit(&mut board, &request);
        }
    }
    let kinds = [
        "InsertProject",
        "UpdateProject",
        "CountProject",
        "InsertTask",
        "UpdateTaskSpec",
        "UpdateTaskState",
        "PutDependency",
        "DeleteDependency",
        "ShiftUnmet",
        "InsertAttempt",
        "UpdateAttempt",
        "InsertUsage",
        "PutSession",
        "DeleteSession",
        "InsertOutput",
        "InsertComment",
        "PutAgent",
        "PutRunner",
        "PutToken",
        "InsertEvent",
        "CountStream",
        "SetRest",
    ];
    for name in kinds {
        assert!(seen.get(name).is_some_and(|n| *n >= 1), "{name} in {seen:?}");
    }
}

fn kind(change: &Change) -> String {
    let text = format!("{change:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// Whatever is undone is forgotten: a rolled back command, a transaction, and what another connection has changed.
#[test]
fn what_the_writer_knows_is_what_the_database_holds() {
    use crate::backend::Backend as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    let (db, _) = migrate::open(&path, "x").unwrap();
    let mut backend = super::Sqlite::new(db, &path).unwrap();
    let request = |command| Request {
        credential: Credential::Board,
        via: None,
        now: Timestamp::from_micros(1),
        seed: 0,
        command,
    };
    let say = || {
        let key = TaskKey::new("app".parse().unwrap(), "1".parse().unwrap());
        request(Command::AddComment { key, author: None, body: "as it is".into() })
    };
    let carry_out = |backend: &mut super::Sqlite, request: &Request| {
        let state = backend.load(&request.needs()).unwrap();
        let decision = decide(state, request).unwrap();
        for change in &decision.changes {
            backend.apply(change).unwrap();
        }
        match decision.reply {
            Reply::Comment { comment, .. } => comment.id,
            _ => 0,
        }
    };
    let project = Command::CreateProject { id: "app".parse().unwrap(), name: None, settings: Vec::new() };
    let task = Command::CreateTask(Box::new(NewTask {
        project: "app".parse().unwrap(),
        id: Some("1".parse().unwrap()),
        spec: mozi_core::TaskSpec::titled("a task"),
        depends_on: Vec::new(),
        not_before: None,
        held: true,
        fingerprint: String::new(),
    }));
    backend.begin().unwrap();
    for command in [project, task] {
        carry_out(&mut backend, &request(command));
    }
    assert_eq!((carry_out(&mut backend, &say()), carry_out(&mut backend, &say())), (1, 2));
    backend.savepoint().unwrap();
    assert_eq!(carry_out(&mut backend, &say()), 3);
    backend.roll_back_to().unwrap();
    assert_eq!(carry_out(&mut backend, &say()), 3, "the third one never was");
    backend.commit().unwrap();
    backend.begin().unwrap();
    assert_eq!(carry_out(&mut backend, &say()), 4);
    backend.roll_back();
    backend.begin().unwrap();
    assert_eq!(carry_out(&mut backend, &say()), 4, "the fourth one never was");
    backend.commit().unwrap();
    let other = super::writing(&path).unwrap();
    other.execute("UPDATE tasks SET next_comment = 9", []).unwrap();
    backend.begin().unwrap();
    assert_eq!(carry_out(&mut backend, &say()), 9, "somebody else has written");
    backend.commit().unwrap();
}

/// An endless question ends, and the next one is answered as ever.
#[test]
fn a_snapshot_does_not_live_for_ever() {
    let pair = Pair::new();
    let mut reader = super::ReadConnection::open(&pair.folder.path().join("mozi.db")).unwrap();
    let limit = std::time::Duration::from_millis(20);
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let answer = reader.on_snapshot(limit, |s| Ok(s.count(endless)?));
    assert_eq!(answer, Err(crate::ReadError::TooLong(limit)));
    assert_eq!(reader.on_snapshot(limit, |s| Ok(s.count("SELECT count(*) FROM tasks")?)), Ok(0));
    let write = reader.on_snapshot(limit, |s| Ok(s.count("DELETE FROM tasks RETURNING id")?));
    assert!(matches!(write, Err(crate::ReadError::Unavailable(_))), "{write:?}");
}

#[tokio::test]
async fn a_question_that_panics_costs_nobody_else_an_answer() {
    let pair = Pair::new();
    let readers = crate::reader::Readers::start(&pair.folder.path().join("mozi.db"), 1, 4).unwrap();
    let answer = readers.ask(|_| -> Result<u64, _> { panic!("as it was told") }).await;
    assert_eq!(answer, Err(crate::ReadError::Panicked));
    assert_eq!(readers.ask(|s| Ok(s.count("SELECT 1")?)).await, Ok(1));
}

/// However much is written and whoever reads meanwhile, the log stays small, and a reader that does not let go only
/// makes it longer.
#[test]
fn the_log_begins_anew() {
    use crate::backend::Backend as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mozi.db");
    let (db, _) = migrate::open(&path, "x").unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE ballast (x)").unwrap();
    let mut backend = super::Sqlite::new(db, &path).unwrap();
    let mut write = |megabytes: u32| {
        for _ in 0..megabytes {
            backend.begin().unwrap();
            backend.connection.execute("INSERT INTO ballast VALUES (zeroblob(1000000))", []).unwrap();
            backend.commit().unwrap();
            backend.pause();
        }
    };
    let log = || std::fs::metadata(folder.path().join("mozi.db-wal")).unwrap().len() >> 20;
    write(150);
    assert!(log() <= 70, "{} MiB", log());
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM ballast").unwrap();
    write(100);
    let grown = log();
    assert!(grown >= 95, "{grown} MiB");
    reader.execute_batch("COMMIT").unwrap();
    write(100);
    assert!(log() <= grown + 40, "{} MiB", log());
}
