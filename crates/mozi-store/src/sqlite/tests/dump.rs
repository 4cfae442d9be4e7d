//! A whole database as the rows of the board in memory.

use mozi_core::{Timestamp, TokenHash, Until, memory::MemoryBoard};
use rusqlite::{Connection, Row};

use crate::sqlite::rows::{self, Columns, Sql};

fn all<T>(db: &Connection, columns: &str, from: &str, read: impl FnMut(&Row<'_>) -> Sql<T>) -> Vec<T> {
    let mut statement = db.prepare(&format!("SELECT {columns} FROM {from}")).unwrap();
    statement.query_map([], read).unwrap().collect::<Sql<_>>().unwrap()
}

pub(super) fn rows(db: &Connection) -> MemoryBoard {
    let mut b = MemoryBoard::new();
    b.projects =
        all(db, rows::PROJECT, "projects", rows::project).into_iter().map(|p| (p.id.clone(), p)).collect();
    let texts = "tasks t JOIN task_texts x USING (id)";
    b.tasks = all(db, rows::TASK, texts, rows::task).into_iter().map(|t| (t.key.clone(), t)).collect();
    b.created = all(db, "project_id, task_id", "tasks ORDER BY id", |row| Columns::from(row, 0).key());
    b.fingerprints = all(db, "project_id, task_id, fingerprint", texts, |row| {
        let c = &mut Columns::from(row, 0);
        Ok((c.key()?, c.get()?))
    })
    .into_iter()
    .collect();
    for (key, on, until) in all(db, "project_id, task_id, depends_on, until", "dependencies", |row| {
        let c = &mut Columns::from(row, 0);
        Ok((c.key()?, c.id()?, c.word(Until::parse)?))
    }) {
        b.dependencies.entry(key).or_default().insert(on, until);
    }
    b.attempts = all(db, rows::ATTEMPT, "task_attempts", rows::attempt)
        .into_iter()
        .map(|a| ((a.key.clone(), a.number), a))
        .collect();
    let usage = format!("project_id, task_id, {}", rows::USAGE);
    for (key, (number, usage)) in all(db, &usage, "attempt_usage ORDER BY line", |row| {
        Ok((Columns::from(row, 0).key()?, rows::usage_after(row, 2)?))
    }) {
        b.usage.entry((key, number)).or_default().push(usage);
    }
    b.sessions = all(db, rows::SESSION, "sessions", rows::session).into_iter().map(|s| (s.id, s)).collect();
    let bytes = format!("{}, content", rows::OUTPUT);
    b.outputs = all(db, &bytes, "outputs", |row| rows::output(row, true))
        .into_iter()
        .map(|o| ((o.key.clone(), o.id), o))
        .collect();
    b.comments = all(db, rows::COMMENT, "comments", rows::comment)
        .into_iter()
        .map(|c| ((c.key.clone(), c.id), c))
        .collect();
    b.agents = all(db, rows::AGENT, "agents", rows::agent).into_iter().map(|a| (a.id.clone(), a)).collect();
    b.runners =
        all(db, rows::RUNNER, "runners", rows::runner).into_iter().map(|r| (r.id.clone(), r)).collect();
    b.users = all(db, rows::USER, "users", rows::user)
        .into_iter()
        .map(|u| (mozi_core::user::folded(&u.name), u))
        .collect();
    b.tokens = all(db, rows::TOKEN, "tokens", rows::token)
        .into_iter()
        .map(|t| (t.name.clone(), mozi_core::Token { last_used_at: None, ..t }))
        .collect();
    let events = all(db, rows::EVENT, "events ORDER BY seq", rows::event);
    b.forgotten = all(db, "project_id, first_event", "projects WHERE first_event > 1", |row| {
        Ok((Columns::from(row, 0).id()?, row.get::<_, i64>(1)?.unsigned_abs() - 1))
    })
    .into_iter()
    .collect();
    let numbers = || events.iter().map(|(seq, _)| *seq);
    assert!(numbers().is_sorted_by(|a, b| a < b), "numbers over all projects");
    assert!(!b.forgotten.is_empty() || numbers().eq(1..=events.len() as u64), "numbers over all projects");
    b.events = events.into_iter().map(|(_, e)| e).collect();
    b.stream_last =
        db.query_row("SELECT stream_last FROM meta", [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned();
    b.at_work = db.query_row("SELECT at_rest FROM meta", [], |row| row.get::<_, i64>(0)).unwrap() == 0;
    b
}

/// The kept place in the queue is what the rules say of each task.
pub(super) fn check_queue(db: &Connection, board: &MemoryBoard) {
    let places = all(
        db,
        "project_id, task_id, queue_role, queue_agent, queue_from, updated_at, not_before",
        "tasks",
        |row| {
            let key = Columns::from(row, 0).key()?;
            let place: (Option<String>, String, Option<i64>) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((key, place, row.get::<_, i64>(5)?))
        },
    );
    for (key, (role, agent, from), _) in places {
        let place = board.tasks[&key].queue_place();
        assert_eq!(role.as_deref(), place.as_ref().map(|p| p.role.as_str()), "{key:?}");
        let Some(place) = place else { continue };
        assert_eq!(agent, place.agent.map(|a| a.as_str().to_owned()).unwrap_or_default(), "{key:?}");
        // A due time that has passed may stand or not.
        if let Some(from) = from {
            assert_eq!(place.from, Some(Timestamp::from_micros(from)), "{key:?}");
        }
    }
}

pub(super) fn hash(n: u8) -> TokenHash {
    TokenHash([n; 32])
}
