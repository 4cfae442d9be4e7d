//! How the database finds what is asked: a lost index is a failing test, not a slow day.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use mozi_core::{
    Change, Command, Request, RunnerId, SessionId, Status, TaskKey, TaskSpec, Timestamp,
    command::{Claim, Credential, Offer},
    memory::MemoryBoard,
    task::{Task, TaskState},
    token::Actor,
};
use proptest::{prelude::*, strategy::ValueTree as _};
use rusqlite::{
    Connection, StatementStatus,
    trace::{TraceEvent, TraceEventCodes},
};

use super::{Pair, Step, World, commands::id, dump::hash};
use crate::{
    TaskQuery, TaskSort,
    sqlite::{Snapshot, apply::apply, kept::Kept, load::load, query, replay},
};

/// Every statement that is run, as it is written.
fn listen(db: &mut Connection) -> Arc<Mutex<BTreeSet<String>>> {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let heard = Arc::clone(&seen);
    let note = move |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(statement, _) = event {
            heard.lock().unwrap().insert(statement.sql().split_whitespace().collect::<Vec<_>>().join(" "));
        }
    };
    db.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
    seen
}

/// All commands and all questions.
fn statements() -> (Pair, Vec<String>) {
    let mut pair = Pair::new();
    let mut world = World::default();
    for request in world.begin() {
        assert!(pair.submit(&request));
    }
    let seen = listen(&mut pair.db);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for step in prop::collection::vec(any::<Step>(), 400).new_tree(&mut runner).unwrap().current() {
        let request = world.request(&step, &pair.model);
        run(&pair.db, &mut pair.model, &request);
    }
    questions(&pair.db);
    pair.db.trace_v2(TraceEventCodes::empty(), None::<fn(TraceEvent<'_>)>).unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let all = seen.into_iter().filter(|sql| !sql.starts_with("PRAGMA") && !sql.starts_with("--")).collect();
    (pair, all)
}

fn run(db: &Connection, model: &mut MemoryBoard, request: &Request) {
    let Ok(decision) = mozi_core::decide(load(db, &mut Kept::default(), &request.needs()).unwrap(), request)
    else {
        return;
    };
    for change in &decision.changes {
        model.apply(change).unwrap();
        apply(db, &mut Kept::default(), change).unwrap();
    }
}

fn questions(db: &Connection) {
    let s = Snapshot::of(db);
    let (now, app) = (Timestamp::from_micros(1_700_000_000_000_000), id("app"));
    let key = TaskKey::new(id("app"), id("1"));
    s.identify(hash(1), now).unwrap();
    s.project(&app).unwrap();
    s.rest_has_changed(now).unwrap();
    s.projects(None, 5).unwrap();
    s.task_view(&key, now).unwrap();
    for sort in [TaskSort::Updated, TaskSort::Created, TaskSort::Priority] {
        let first = TaskQuery { sort, limit: 1, ..TaskQuery::all(id("app")) };
        let after = s.tasks(&first, now).unwrap().next_cursor;
        assert!(after.is_some());
        s.tasks(&TaskQuery { after, ..first.clone() }, now).unwrap();
        let filtered = TaskQuery {
            agent: Some(id("coder")),
            task_type: Some("general".into()),
            labels: vec![("area".into(), "1".into())],
            q: Some("task".into()),
            ..first
        };
        s.tasks(&filtered, now).unwrap();
    }
    let changed = TaskQuery { after: Some("v0.0.0".into()), limit: 1, ..TaskQuery::all(id("app")) };
    s.tasks(&changed, now).unwrap();
    s.related(&key, &TaskKey::new(id("app"), id("2"))).unwrap();
    s.task_page(&key, crate::Wanted::all(10), now).unwrap();
    s.usage_of(&key, 1).unwrap();
    s.attempt(&key, 1).unwrap();
    s.output(&key, 1).unwrap();
    s.events(Some(&app), 0, 10).unwrap();
    s.events(None, 0, 10).unwrap();
    s.all_events(0, 10).unwrap();
    s.last_seq().unwrap();
    s.oldest_seq().unwrap();
    for active in [None, Some(true), Some(false)] {
        s.sessions(active, None, 10).unwrap();
    }
    s.session(SessionId(uuid::Uuid::nil())).unwrap();
    s.find_session_prefix("0a").unwrap();
    s.agents().unwrap();
    s.agent(&id("coder")).unwrap();
    s.runners().unwrap();
    s.tokens().unwrap();
    s.users().unwrap();
    s.user("ann").unwrap();
    s.ends_at(hash(255)).unwrap();
    s.runner_work(&id::<RunnerId>("local")).unwrap();
    s.prompt_material(&key).unwrap();
    s.blob_used("00").unwrap();
    s.outputs_in("00").unwrap();
    s.forgettable(&app, now).unwrap();
    s.untold(&app, 3, 10).unwrap();
    s.tasks_told_in(&app, 3).unwrap();
    s.ended_of(&[SessionId(uuid::Uuid::nil())]).unwrap();
    s.unknown_of(&[SessionId(uuid::Uuid::nil())]).unwrap();
    s.next_due(now).unwrap();
    s.counts().unwrap();
    for project in [None, Some(app)] {
        s.overview(&crate::OverviewQuery { project, since: Timestamp::from_micros(0), limit: 5 }, now)
            .unwrap();
    }
    query::board_id(db).unwrap();
    let key = crate::IdempotencyKey { scope: "s".into(), key: "k".into(), body_sha256: [0; 32] };
    replay::remember(db, &key, &mozi_core::Reply::Done, now).unwrap();
    replay::recall(db, &key, now).unwrap();
}

/// The lines of a plan.
fn plan(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get(3).unwrap());
    }
    lines
}

/// What may be read from end to end: it is as small as the number of agents, runners, tokens or open sessions, or
/// it is the question itself.
fn may_scan(sql: &str, line: &str) -> bool {
    let small = ["agents", "runners", "tokens", "users", "meta", "projects", "p", "l"];
    let table = line.strip_prefix("SCAN ").unwrap_or_default().split(' ').next().unwrap_or_default();
    let partial = ["sessions_open", "sessions_clean", "task_attempts_open"];
    small.contains(&table)
        || line.contains("VIRTUAL TABLE")
        || line.contains("CONSTANT ROW")
        || table == "w"
        || table == "waits"
        // As many rows as its own limit lets through.
        || (table.starts_with("(subquery") || table == "e") && sql.contains("LIMIT ?")
        || partial.iter().any(|index| line.contains(index))
        // The newest first, until there are enough.
        || sql.contains("LIMIT") && !sql.contains("IS NULL") && line.contains("USING INDEX sessions_started")
}

#[test]
fn nothing_large_is_read_from_end_to_end() {
    let (pair, all) = statements();
    assert!(all.len() > 60, "{}", all.len());
    let mut written = String::new();
    for sql in &all {
        written.push_str(sql);
        written.push('\n');
        for line in plan(&pair.db, sql) {
            assert!(!line.starts_with("SCAN") || may_scan(sql, &line), "{sql}\n{line}");
            written.push_str("    ");
            written.push_str(&line);
            written.push('\n');
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqlite/tests/plans.txt");
    #[expect(clippy::disallowed_methods, reason = "how golden files are renewed")]
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        std::fs::write(path, &written).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == expected,
        "the plans are not those of src/sqlite/tests/plans.txt: run with UPDATE=1 and look"
    );
}

/// Puts many tasks into the queue, as changes.
fn flood(db: &Connection, first: u32, n: u32, agent: &str, from: Option<Timestamp>) {
    for i in first..first + n {
        let now = Timestamp::from_micros(i64::from(i));
        let task = Task {
            key: TaskKey::new(id("app"), id(&format!("flood-{i}"))),
            spec: TaskSpec { agent: Some(id(agent)), priority: -9, ..TaskSpec::titled("one of many") },
            state: TaskState::new(Status::Pending, None, from, 0, 0),
            created_by: Actor::board(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        apply(
            db,
            &mut Kept::default(),
            &Change::InsertTask { task: Box::new(task), fingerprint: String::new() },
        )
        .unwrap();
    }
}

/// Steps of the database's machine that a claim by `agent` takes to be loaded.
fn steps_of_claim(db: &mut Connection, agent: &str, now: Timestamp) -> (usize, i64) {
    // The counters of statements only grow: what counts is by how much.
    let counters = Arc::new(Mutex::new(BTreeMap::<String, i64>::new()));
    let seen = Arc::clone(&counters);
    let note = move |event: TraceEvent<'_>| {
        if let TraceEvent::Profile(statement, _) = event {
            let steps = i64::from(statement.get_status(StatementStatus::VmStep));
            seen.lock().unwrap().insert(statement.sql().into_owned(), steps);
        }
    };
    let offer = Offer { session_id: SessionId(uuid::Uuid::nil()), token_hash: hash(77) };
    let claim = Claim {
        runner_id: id("local"),
        agents: vec![id(agent)],
        offers: vec![offer; 4],
        busy: Vec::new(),
        in_place: Vec::new(),
    };
    let command = Command::Claim(Box::new(claim));
    let request = Request { credential: Credential::Board, via: None, now, seed: 0, command };
    db.trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(note)).unwrap();
    let sum = || counters.lock().unwrap().values().sum::<i64>();
    load(db, &mut Kept::default(), &request.needs()).unwrap();
    let first = sum();
    let state = load(db, &mut Kept::default(), &request.needs()).unwrap();
    let steps = sum() - first;
    db.trace_v2(TraceEventCodes::empty(), None::<fn(TraceEvent<'_>)>).unwrap();
    (state.ready.len(), steps)
}

#[test]
fn a_claim_does_not_look_at_what_others_wait_for() {
    let mut pair = Pair::new();
    let mut world = World::default();
    for request in world.begin() {
        assert!(pair.submit(&request));
    }
    let now = Timestamp::from_micros(1_700_000_001_000_000);
    flood(&pair.db, 0, 10, "coder", None);
    let (ready, before) = steps_of_claim(&mut pair.db, "coder", now);
    assert_eq!(ready, 4);
    pair.db.execute_batch("BEGIN").unwrap();
    // Of another agent, of this agent but later, and finished.
    flood(&pair.db, 100, 3_000, "script", None);
    flood(&pair.db, 10_000, 3_000, "coder", Some(now.plus(std::time::Duration::from_secs(9))));
    flood(&pair.db, 20_000, 3_000, "coder", None);
    pair.db
        .execute("UPDATE tasks SET status = 'done', queue_role = NULL WHERE task_id LIKE 'flood-2____'", [])
        .unwrap();
    pair.db.execute_batch("COMMIT").unwrap();
    let (ready, after) = steps_of_claim(&mut pair.db, "coder", now);
    assert_eq!(ready, 4);
    assert!(after <= before + 20, "{before} steps before, {after} after");
    // When their time has come, they are let in once and the next claim is as quick as ever.
    let later = now.plus(std::time::Duration::from_secs(10));
    for _ in 0..3 {
        steps_of_claim(&mut pair.db, "coder", later);
    }
    let (_, promoted) = steps_of_claim(&mut pair.db, "coder", later);
    assert!(promoted <= before + 20, "{before} steps before, {promoted} after");
}
