//! Lines as rows of a database beside the board's: looked over whole before the board's is touched.

use std::{collections::HashMap, path::Path};

use mozi_core::{
    Attempt, Event, EventKind, ProjectId, Task, TaskId,
    archive::{Staged, settle},
    event::{Folded, Snapshot, fold, snapshot::IMPORTED},
    invariant, limits,
    task::StatusCounts,
};
use rusqlite::{Connection, params_from_iter, types::Value as Sqlite};
use serde_json::{Map, Value};

use super::{By, CONTENT_HEX, Kind, Named, TABLES, Table};
use crate::{OpenError, sqlite::archive as sql};

/// Why an archive is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum BadArchive {
    /// What it holds is wrong.
    #[error("{0}")]
    Wrong(String),
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The database beside the board's could not be written.
    #[error("could not lay its rows ready: {0}")]
    Failed(String),
}

impl From<rusqlite::Error> for BadArchive {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Wrong(e.to_string()),
            _ if matches!(e, rusqlite::Error::FromSqlConversionFailure(..)) => Self::Wrong(e.to_string()),
            _ => Self::Failed(e.to_string()),
        }
    }
}

impl From<OpenError> for BadArchive {
    fn from(e: OpenError) -> Self {
        Self::Failed(e.to_string())
    }
}

fn wrong(what: impl Into<String>) -> BadArchive {
    BadArchive::Wrong(what.into())
}

/// A project's rows on their way into a board.
#[derive(Debug)]
pub struct Staging {
    db: Connection,
    name: String,
    project: ProjectId,
    inserts: HashMap<&'static str, Vec<Insert>>,
    tasks: i64,
}

/// How a row, or a part of it, is written.
#[derive(Debug)]
struct Insert {
    sql: String,
    /// Which of the columns.
    columns: std::ops::Range<usize>,
    /// Its own number comes first: that of the task.
    numbered: bool,
    /// The project comes before the columns.
    of_project: bool,
}

impl Insert {
    fn all(table: &Table) -> Vec<Self> {
        let mut from = 0_usize;
        let mut all = Vec::new();
        for (into, to) in table.into {
            let to = (*to).min(table.columns.len());
            let columns = table.columns.get(from..to).unwrap_or_default();
            let (numbered, of_project) = (table.name == "tasks", *into != "task_texts");
            let mut names: Vec<&str> = Vec::new();
            names.extend(numbered.then_some("id"));
            names.extend(of_project.then_some("project_id"));
            names.extend(columns.iter().map(|(name, _)| *name));
            if table.name == "project" {
                // Counted when all is there.
                names.push("last_event");
            }
            let marks = vec!["?"; names.len()].join(", ");
            let sql = format!("INSERT INTO {into} ({}) VALUES ({marks})", names.join(", "));
            all.push(Self { sql, columns: from..to, numbered, of_project });
            from = to;
        }
        all
    }
}

impl Staging {
    /// A new database at `path`, for a project that gets this id.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, project: ProjectId) -> Result<Self, BadArchive> {
        let db = sql::beside(path)?;
        let name = path.to_str().ok_or_else(|| BadArchive::Failed("its path is no UTF-8".into()))?.to_owned();
        let inserts = TABLES.iter().map(|t| (t.name, Insert::all(t))).collect();
        db.execute_batch("BEGIN")?;
        Ok(Self { db, name, project, inserts, tasks: 0 })
    }

    /// The next row of a table. An output's content is to be held against its hash.
    ///
    /// # Errors
    /// When the line is no such row, or names what is not there.
    pub fn row(&mut self, table: &Table, line: &[u8]) -> Result<Option<Named>, BadArchive> {
        let mut row: Map<String, Value> =
            serde_json::from_slice(line).map_err(|e| wrong(format!("it is not JSON: {e}")))?;
        let values = table
            .columns
            .iter()
            .map(|(name, kind)| column(&mut row, name, *kind))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some((name, _)) = row.iter().next() {
            return Err(wrong(format!("it has a field {name:?} that is not known")));
        }
        let named = if table.name == "outputs" { Some(named(&values, table)?) } else { None };
        if table.name == "tasks" {
            self.tasks = self.tasks.saturating_add(1);
        }
        for insert in self.inserts.get(table.name).into_iter().flatten() {
            let mut bound: Vec<Sqlite> = Vec::with_capacity(values.len().saturating_add(2));
            bound.extend(insert.numbered.then_some(Sqlite::Integer(self.tasks)));
            bound.extend(insert.of_project.then(|| Sqlite::Text(self.project.as_str().to_owned())));
            bound.extend(values.get(insert.columns.clone()).unwrap_or_default().iter().cloned());
            if table.name == "project" {
                bound.push(Sqlite::Integer(0));
            }
            self.db.prepare_cached(&insert.sql)?.execute(params_from_iter(bound))?;
        }
        Ok(named)
    }

    /// All rows are there: ends what lived elsewhere, tells it, and looks everything over.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn finish(mut self, board: &Path, board_id: String, by: &By) -> Result<Staged, BadArchive> {
        let Some(mut project) = sql::project(&self.db, &self.project)? else {
            return Err(wrong("it holds no project"));
        };
        sql::free_sessions(&self.db, board, by.chance)?;
        let (first_event, mut last_event) = self.events()?;
        self.circles()?;
        sql::read_all(&self.db)?;
        let mut counts = StatusCounts::default().to_array();
        let mut retold = Vec::new();
        let mut were_live = 0_u64;
        let waits = sql::any_dependency(&self.db)?;
        let db = &self.db;
        let orphans = sql::histories(db, &self.project, |task, mut attempts, events| {
            let Looked { task, live, retell } = look(db, task, &mut attempts, &events, waits, by)?;
            were_live = were_live.saturating_add(u64::from(live));
            if retell {
                let snapshot = Snapshot::of(&task, &attempts, IMPORTED);
                retold.push((task.key.task.clone(), snapshot));
            }
            let place = mozi_core::Status::ALL.iter().position(|s| *s == task.state.status);
            if let Some(n) = place.and_then(|i| counts.get_mut(i)) {
                *n = n.saturating_add(1);
            }
            Ok(())
        })?;
        if let Some(task) = orphans {
            return Err(wrong(format!("it tells of a task {task} that it does not hold")));
        }
        for (task, snapshot) in retold {
            last_event = last_event.saturating_add(1);
            let kind = EventKind::TaskSnapshot(Box::new(snapshot));
            sql::event(&self.db, &self.told(last_event, task, kind, by))?;
        }
        project.last_event = last_event;
        project.counts = StatusCounts::from_array(counts);
        self.db.execute_batch("COMMIT")?;
        let name = std::mem::take(&mut self.name);
        Ok(Staged { name, project, first_event, board_id, were_live })
    }

    fn told(&self, id: u64, task: TaskId, kind: EventKind, by: &By) -> Event {
        Event {
            id,
            project: Some(self.project.clone()),
            task: Some(task),
            attempt_number: None,
            agent: None,
            actor: by.actor.clone(),
            kind,
            at: by.now,
        }
    }

    /// The first and the last id of its events, without gap.
    fn events(&self) -> Result<(u64, u64), BadArchive> {
        let (first, last, count): (Option<i64>, Option<i64>, i64) =
            self.db.query_row("SELECT min(id), max(id), count(*) FROM events", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let (Some(first), Some(last)) = (first, last) else { return Ok((1, 0)) };
        if first < 1 || last.checked_sub(first).and_then(|n| n.checked_add(1)) != Some(count) {
            return Err(wrong("the ids of its events have gaps"));
        }
        Ok((first.unsigned_abs(), last.unsigned_abs()))
    }

    /// Nobody waits for himself, over any number of steps.
    fn circles(&self) -> Result<(), BadArchive> {
        let mut left: HashMap<String, usize> = HashMap::new();
        let mut waiting: HashMap<String, Vec<String>> = HashMap::new();
        let mut read =
            self.db.prepare("SELECT lower(task_id), lower(depends_on) FROM dependencies ORDER BY 1")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let (task, on): (String, String) = (row.get(0)?, row.get(1)?);
            let n = left.entry(task.clone()).or_default();
            *n = n.saturating_add(1);
            left.entry(on.clone()).or_default();
            waiting.entry(on).or_default().push(task);
        }
        let mut free: Vec<String> = left.iter().filter(|(_, n)| **n == 0).map(|(t, _)| t.clone()).collect();
        while let Some(task) = free.pop() {
            left.remove(&task);
            for other in waiting.remove(&task).unwrap_or_default() {
                if let Some(n) = left.get_mut(&other) {
                    *n = n.saturating_sub(1);
                    if *n == 0 {
                        free.push(other);
                    }
                }
            }
        }
        match left.into_keys().min() {
            None => Ok(()),
            Some(task) => Err(wrong(format!("its task {task} waits for itself, by way of others"))),
        }
    }
}

/// A task, looked over.
struct Looked {
    task: Task,
    /// An agent had it in hand.
    live: bool,
    /// Its events do not come to its rows.
    retell: bool,
}

fn look(
    db: &Connection,
    mut task: Task,
    attempts: &mut [Attempt],
    events: &[Event],
    waits: bool,
    by: &By,
) -> Result<Looked, BadArchive> {
    limits::spec(&task.spec).map_err(|e| wrong(format!("task {}: {e}", task.key.task)))?;
    let before = task.state.status;
    let settled = settle(&mut task, attempts, by.now);
    if settled {
        sql::settled(db, &task, attempts)?;
    }
    sql::queue(db, &task)?;
    let dependencies = if waits { sql::dependencies(db, &task.key)? } else { Vec::new() };
    let found = invariant::task(invariant::TaskRows {
        task: &task,
        attempts,
        dependencies: &dependencies,
        session: None,
        queued: None,
    });
    if let Some(first) = found.into_iter().next() {
        return Err(wrong(first));
    }
    let retell = fold(events).as_ref() != Some(&Folded::of(&task, attempts));
    Ok(Looked { live: settled && before != task.state.status, retell, task })
}

/// The value of a column, taken out of the line.
fn column(row: &mut Map<String, Value>, name: &str, kind: Kind) -> Result<Sqlite, BadArchive> {
    let hex = if kind == Kind::Bytes { row.remove(CONTENT_HEX) } else { None };
    let not = |what: &str| wrong(format!("its field {name:?} is not {what}"));
    match (row.remove(name).or_else(|| hex.clone()), kind) {
        (None | Some(Value::Null), _) => Ok(Sqlite::Null),
        (Some(Value::String(text)), Kind::Bytes) if hex.is_some() => {
            unhex(&text).map(Sqlite::Blob).ok_or_else(|| not("in hex"))
        }
        (Some(Value::String(text)), Kind::Bytes) => Ok(Sqlite::Blob(text.into_bytes())),
        (Some(Value::String(text)), Kind::Text) if !text.contains('\0') => Ok(Sqlite::Text(text)),
        (Some(Value::Bool(b)), Kind::Bool) => Ok(Sqlite::Integer(i64::from(b))),
        (Some(Value::Number(n)), Kind::Int) => {
            n.as_i64().map(Sqlite::Integer).ok_or_else(|| not("a whole number"))
        }
        (Some(json @ (Value::Object(_) | Value::Array(_))), Kind::Json) => Ok(Sqlite::Text(json.to_string())),
        (Some(_), Kind::Text | Kind::Bytes) => Err(not("a text without NUL")),
        (Some(_), Kind::Bool) => Err(not("true or false")),
        (Some(_), Kind::Int) => Err(not("a whole number")),
        (Some(_), Kind::Json) => Err(not("an object or a list")),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [a, b] => Some(digit(a)?.checked_mul(16)?.checked_add(digit(b)?)?),
            _ => None,
        })
        .collect()
}

/// What an output's row says of its content.
fn named(values: &[Sqlite], table: &Table) -> Result<Named, BadArchive> {
    let of = |name: &str| {
        let at = table.columns.iter().position(|(n, _)| *n == name);
        at.and_then(|at| values.get(at))
    };
    let (Some(Sqlite::Text(sha256)), Some(Sqlite::Integer(size)), Some(Sqlite::Integer(inline))) =
        (of("sha256"), of("size_bytes"), of("inline"))
    else {
        return Err(wrong("it does not say what its content is"));
    };
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (true, Ok(size_bytes)) = (is_hash, u64::try_from(*size)) else {
        return Err(wrong("its hash or size cannot be one"));
    };
    let inline = match (inline, of("content")) {
        (0, Some(Sqlite::Null) | None) => None,
        (1, Some(Sqlite::Blob(bytes))) => Some(bytes.clone()),
        (1, Some(Sqlite::Null) | None) if size_bytes == 0 => Some(Vec::new()),
        _ => return Err(wrong("its content is not where it says")),
    };
    Ok(Named { sha256: sha256.clone(), size_bytes, inline })
}
