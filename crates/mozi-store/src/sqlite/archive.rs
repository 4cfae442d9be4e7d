//! The database beside the board's, and how its rows become the board's.

use std::{collections::HashMap, path::Path};

use mozi_core::{
    Attempt, AttemptNumber, Dependency, Event, Project, ProjectId, SessionId, Task, TaskId, TaskKey, Until,
};
use rusqlite::{Connection, params};

use super::{
    apply::{attempt, task},
    load::{self, exists, select},
    migrate,
    rows::{self, Columns, Sql, bad, int},
};
use crate::{BadArchive, OpenError};

/// A new database for rows on their way. It is made anew after a crash: nothing of it has to be safe.
pub(crate) fn beside(path: &Path) -> Result<Connection, OpenError> {
    let (db, _) = migrate::open(path, "staging")?;
    let sql = |e: rusqlite::Error| OpenError::Sql { path: path.to_owned(), message: e.to_string() };
    db.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768;",
    )
    .map_err(sql)?;
    Ok(db)
}

pub(crate) fn project(db: &Connection, id: &ProjectId) -> Sql<Option<Project>> {
    load::project(db, id)
}

pub(crate) fn any_dependency(db: &Connection) -> Sql<bool> {
    exists(db, "SELECT 1 FROM dependencies LIMIT 1", [])
}

pub(crate) fn dependencies(db: &Connection, key: &TaskKey) -> Sql<Vec<Dependency>> {
    load::dependencies(db, key)
}

pub(crate) fn event(db: &Connection, e: &Event) -> Sql<()> {
    attempt::insert_event(db, e)
}

pub(crate) fn settled(db: &Connection, t: &Task, attempts: &[Attempt]) -> Sql<()> {
    task::update_task_state(db, t)?;
    attempts.iter().try_for_each(|a| attempt::update_attempt(db, a))
}

/// Its place in the queue, which no archive holds.
pub(crate) fn queue(db: &Connection, t: &Task) -> Sql<()> {
    if t.queue_place().is_some() { task::requeue(db, t) } else { Ok(()) }
}

/// Reads what nothing else reads: whatever has no meaning is an error here.
pub(crate) fn read_all(db: &Connection) -> Sql<()> {
    fn each<T>(db: &Connection, sql: &str, read: impl Fn(&rusqlite::Row<'_>) -> Sql<T>) -> Sql<()> {
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            drop(read(row)?);
        }
        Ok(())
    }
    each(db, select!(rows::OUTPUT, "outputs"), |row| rows::output(row, false))?;
    each(db, select!(rows::COMMENT, "comments"), rows::comment)?;
    each(db, select!(rows::USAGE, "attempt_usage"), rows::usage)?;
    each(db, select!(rows::EVENT, "events WHERE task_id IS NULL"), rows::event)
}

/// A sorted scan, one row ahead.
struct Lane<'s, T, F> {
    rows: rusqlite::Rows<'s>,
    read: F,
    next: Option<(TaskId, T)>,
}

impl<'s, T, F: Fn(&rusqlite::Row<'_>) -> Sql<(TaskId, T)>> Lane<'s, T, F> {
    fn over(statement: &'s mut rusqlite::Statement<'_>, project: &ProjectId, read: F) -> Sql<Self> {
        let rows = statement.query([project.as_str()])?;
        let mut lane = Self { rows, read, next: None };
        lane.step()?;
        Ok(lane)
    }
    fn step(&mut self) -> Sql<Option<T>> {
        let next = self.rows.next()?.map(&self.read).transpose()?;
        Ok(std::mem::replace(&mut self.next, next).map(|(_, row)| row))
    }
    /// All rows of this task. Rows of one before it, which is none then, stay and end the scan.
    fn of(&mut self, task: &TaskId) -> Sql<Vec<T>> {
        let mut all = Vec::new();
        while self.next.as_ref().is_some_and(|(t, _)| t == task) {
            all.extend(self.step()?);
        }
        Ok(all)
    }
}

/// Gives every task with its attempts and events, by three scans side by side. Answers the first task that is told of
/// and not there.
pub(crate) fn histories(
    db: &Connection,
    project: &ProjectId,
    mut each: impl FnMut(Task, Vec<Attempt>, Vec<Event>) -> Result<(), BadArchive>,
) -> Result<Option<TaskId>, BadArchive> {
    let mut tasks = db.prepare(select!(
        rows::TASK,
        "tasks t JOIN task_texts x USING (id) WHERE t.project_id = ?1 ORDER BY t.task_id"
    ))?;
    let mut attempts = db.prepare(select!(
        rows::ATTEMPT,
        "task_attempts WHERE project_id = ?1 ORDER BY task_id, attempt_number"
    ))?;
    let mut events = db.prepare(select!(
        rows::EVENT,
        "events WHERE project_id = ?1 AND task_id IS NOT NULL ORDER BY task_id, id"
    ))?;
    let mut attempts =
        Lane::over(&mut attempts, project, |row| rows::attempt(row).map(|a| (a.key.task.clone(), a)))?;
    let mut events = Lane::over(&mut events, project, |row| {
        let (_, event) = rows::event(row)?;
        Ok((event.task.clone().ok_or_else(|| bad("an event of no task"))?, event))
    })?;
    let mut rows = tasks.query([project.as_str()])?;
    while let Some(row) = rows.next()? {
        let task = rows::task(row)?;
        let (a, e) = (attempts.of(&task.key.task)?, events.of(&task.key.task)?);
        each(task, a, e)?;
    }
    Ok(events.next.map(|(t, _)| t).or_else(|| attempts.next.map(|(t, _)| t)))
}

/// Every task of a project in the order of creation, with what it waits for.
pub(crate) fn new_tasks(
    db: &Connection,
    project: &ProjectId,
    mut take: impl FnMut(&Task, &[(TaskId, Until)]) -> bool,
) -> Sql<()> {
    let mut waits: HashMap<TaskId, Vec<(TaskId, Until)>> = HashMap::new();
    let all = "SELECT task_id, depends_on, until FROM dependencies WHERE project_id = ?1 ORDER BY task_id, depends_on";
    for (task, on, until) in load::all(db, all, [project.as_str()], |row| {
        let c = &mut Columns::from(row, 0);
        Ok((c.id::<TaskId>()?, c.id()?, c.word(Until::parse)?))
    })? {
        waits.entry(task).or_default().push((on, until));
    }
    let mut tasks = db.prepare(select!(
        rows::TASK,
        "tasks t JOIN task_texts x USING (id) WHERE t.project_id = ?1 ORDER BY t.id"
    ))?;
    let mut rows = tasks.query([project.as_str()])?;
    while let Some(row) = rows.next()? {
        let task = rows::task(row)?;
        let on = waits.remove(&task.key.task).unwrap_or_default();
        if !take(&task, &on) {
            break;
        }
    }
    Ok(())
}

/// Sessions are named once on a board: where an id is taken there, the attempt gets another.
pub(crate) fn free_sessions(db: &Connection, board: &Path, chance: u128) -> Sql<()> {
    let board = board.to_str().ok_or_else(|| bad("a path that is no UTF-8"))?;
    // Not inside a transaction: what was attached would stay.
    db.execute_batch("COMMIT")?;
    db.execute("ATTACH ?1 AS board", [board])?;
    let taken = load::all(
        db,
        "SELECT task_id, attempt_number, session_id FROM task_attempts a
         WHERE EXISTS (SELECT 1 FROM board.task_attempts b WHERE b.session_id = a.session_id)
            OR EXISTS (SELECT 1 FROM board.sessions s WHERE s.session_id = a.session_id)",
        [],
        |row| {
            let c = &mut Columns::from(row, 0);
            Ok((c.get::<String>()?, c.get::<AttemptNumber>()?, c.id::<SessionId>()?))
        },
    );
    db.flush_prepared_statement_cache();
    db.execute_batch("DETACH board; BEGIN")?;
    for (task, number, session) in taken? {
        let bytes = (session.0.as_u128() ^ chance).to_be_bytes();
        let other = SessionId(uuid::Builder::from_random_bytes(bytes).into_uuid());
        db.execute(
            "UPDATE task_attempts SET session_id = ?3 WHERE task_id = ?1 AND attempt_number = ?2",
            params![task, number, other.to_string()],
        )?;
    }
    Ok(())
}

/// The rows beside the board become the board's, in the open transaction.
pub(super) fn adopt(db: &Connection, name: &str, project: &ProjectId, before: u64, here: u64) -> Sql<()> {
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    db.execute("ATTACH ?1 AS staged", [name])?;
    let count = |table: &str| number(&format!("SELECT coalesce(max(id), 0) FROM {table}"));
    let task = count("main.tasks")?;
    for (table, column, shift) in [
        ("tasks", Some("id"), task),
        ("task_texts", Some("id"), task),
        ("dependencies", None, 0),
        ("task_attempts", Some("id"), count("main.task_attempts")?),
        ("attempt_usage", None, 0),
        ("outputs", Some("id"), count("main.outputs")?),
        ("comments", None, 0),
    ] {
        take_over(db, table, column.map(|c| (c, shift)), None)?;
    }
    // What happened elsewhere is history here: it has no place in the order of this board's commits, and who reads
    // that is not told of it. Numbers below all others say so.
    let seq = number("SELECT min(0, coalesce(min(seq), 0)) FROM main.events")?
        .saturating_sub(number("SELECT coalesce(max(seq), 0) FROM staged.events")?)
        .saturating_sub(1);
    let id = int(here).saturating_sub(int(before));
    take_over(db, "events", Some(("seq", seq)), Some(("id", id)))?;
    if before == here && before > 0 {
        let first = "UPDATE main.projects SET first_event = ?2 WHERE project_id = ?1";
        db.execute(first, params![project.as_str(), int(before.saturating_add(1))])?;
    }
    Ok(())
}

type Shift<'a> = Option<(&'a str, i64)>;

fn take_over(db: &Connection, table: &str, first: Shift<'_>, second: Shift<'_>) -> Sql<()> {
    let columns =
        load::all(db, "SELECT name FROM pragma_table_info(?1)", [table], |row| row.get::<_, String>(0))?;
    let value = |c: &String| match [first, second].into_iter().flatten().find(|(name, _)| name == c) {
        Some((_, by)) => format!("{c} + {by}"),
        None => c.clone(),
    };
    let (names, values) = (columns.join(", "), columns.iter().map(value).collect::<Vec<_>>().join(", "));
    db.execute(&format!("INSERT INTO main.{table} ({names}) SELECT {values} FROM staged.{table}"), [])?;
    Ok(())
}

/// Lets go of what was taken over, once no transaction holds it.
pub(super) fn let_go(db: &Connection) {
    let attached = exists(db, "SELECT 1 FROM pragma_database_list WHERE name = 'staged'", []);
    if matches!(attached, Ok(true)) {
        db.flush_prepared_statement_cache();
        if let Err(e) = db.execute_batch("DETACH staged") {
            tracing::error!(error = %e, "what was taken in could not be let go");
        }
    }
}
