//! The slice of the board that a command needs.

use std::collections::BTreeSet;

use mozi_core::{
    AgentId, Attempt, AttemptNumber, Dependency, Identity, Needs, Project, ProjectId, RunnerId, Session,
    SessionId, State, Status, Task, TaskId, TaskKey, Timestamp, Token, TokenHash, Until, User,
    state::{Dependent, ImportNeeds, KnownTask},
    task::StatusCounts,
    token::Holder,
    user,
};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::{
    kept::Kept,
    queue, rest,
    rows::{self, Columns, Sql, bad, int},
};

/// A token's last use is recorded when it is so much later than the one recorded.
const LAST_USED_STEP_MICROS: i64 = 60 * 1_000_000;
/// At most so many tasks with an unbelievable due time are repaired at once.
const FAR_DUE: i64 = 1_000;

/// One row, if it is there.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Sql<T>,
) -> Sql<Option<T>> {
    db.prepare_cached(sql)?.query_row(params, read).optional()
}

/// All rows.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Sql<T>,
) -> Sql<Vec<T>> {
    db.prepare_cached(sql)?.query_map(params, read)?.collect()
}

/// Whether there is a row.
pub(super) fn exists(db: &Connection, sql: &str, params: impl Params) -> Sql<bool> {
    db.prepare_cached(sql)?.exists(params)
}

/// A statement over the columns of one kind of row.
macro_rules! select {
    ($columns:expr, $rest:expr) => {{
        static SQL: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| format!("SELECT {} FROM {}", $columns, $rest));
        SQL.as_str()
    }};
}
pub(super) use select;

pub(super) fn project(db: &Connection, id: &ProjectId) -> Sql<Option<Project>> {
    one(db, select!(rows::PROJECT, "projects WHERE project_id = ?1"), [id.as_str()], rows::project)
}

pub(super) fn task(db: &Connection, key: &TaskKey) -> Sql<Option<Task>> {
    one(
        db,
        select!(
            rows::TASK,
            "tasks t JOIN task_texts x USING (id) WHERE t.project_id = ?1 AND t.task_id = ?2"
        ),
        [key.project.as_str(), key.task.as_str()],
        rows::task,
    )
}

pub(super) fn attempt(db: &Connection, key: &TaskKey, number: AttemptNumber) -> Sql<Option<Attempt>> {
    one(
        db,
        select!(
            rows::ATTEMPT,
            "task_attempts WHERE project_id = ?1 AND task_id = ?2 AND attempt_number = ?3"
        ),
        params![key.project.as_str(), key.task.as_str(), number],
        rows::attempt,
    )
}

/// All attempts at a task.
pub(super) fn attempts(db: &Connection, key: &TaskKey) -> Sql<Vec<Attempt>> {
    all(
        db,
        select!(
            rows::ATTEMPT,
            "task_attempts WHERE project_id = ?1 AND task_id = ?2 ORDER BY attempt_number"
        ),
        [key.project.as_str(), key.task.as_str()],
        rows::attempt,
    )
}

/// Whether each task with an event up to there has a snapshot behind it.
fn told_without(db: &Connection, project: &ProjectId, up_to: u64) -> Sql<bool> {
    let untold = "SELECT 1 FROM events e WHERE e.project_id = ?1 AND e.id <= ?2 AND e.task_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM events s WHERE s.project_id = ?1 AND s.task_id = e.task_id AND s.id > ?2
          AND s.event_type = 'task_snapshot')";
    Ok(!exists(db, untold, params![project.as_str(), int(up_to)])?)
}

pub(super) fn session(db: &Connection, id: SessionId) -> Sql<Option<Session>> {
    one(db, select!(rows::SESSION, "sessions WHERE session_id = ?1"), [id.to_string()], rows::session)
}

pub(super) fn open_sessions(db: &Connection) -> Sql<Vec<Session>> {
    all(
        db,
        select!(
            rows::SESSION,
            "sessions INDEXED BY sessions_open WHERE completed_at IS NULL ORDER BY started_at, session_id"
        ),
        [],
        rows::session,
    )
}

pub(super) fn agent(db: &Connection, id: &AgentId) -> Sql<Option<mozi_core::Agent>> {
    one(db, select!(rows::AGENT, "agents WHERE agent = ?1"), [id.as_str()], rows::agent)
}

pub(super) fn runner(db: &Connection, id: &RunnerId) -> Sql<Option<mozi_core::Runner>> {
    one(db, select!(rows::RUNNER, "runners WHERE runner_id = ?1"), [id.as_str()], rows::runner)
}

pub(super) fn runners(db: &Connection) -> Sql<Vec<mozi_core::Runner>> {
    all(db, select!(rows::RUNNER, "runners ORDER BY runner_id"), [], rows::runner)
}

pub(super) fn dependencies(db: &Connection, key: &TaskKey) -> Sql<Vec<Dependency>> {
    all(
        db,
        "SELECT t.task_id, d.until, t.status FROM dependencies d
         JOIN tasks t ON t.project_id = d.project_id AND t.task_id = d.depends_on
         WHERE d.project_id = ?1 AND d.task_id = ?2 ORDER BY d.depends_on",
        [key.project.as_str(), key.task.as_str()],
        |row| {
            let c = &mut Columns::from(row, 0);
            Ok(Dependency { on: c.id()?, until: c.word(Until::parse)?, status: c.word(Status::parse)? })
        },
    )
}

/// Whose credential it is, with the attempt if it is one's, or the token.
pub(super) enum Known {
    Attempt(Box<Attempt>),
    /// A token, valid or not, and the user whose it is.
    Token(Box<Token>, Option<User>),
    Unknown,
}

pub(super) fn credential(db: &Connection, hash: TokenHash) -> Sql<Known> {
    // Attempts first: theirs is the hot path.
    let by_hash = select!(rows::ATTEMPT, "task_attempts WHERE token_hash = ?1");
    if let Some(attempt) = one(db, by_hash, [hash.0.as_slice()], rows::attempt)? {
        return Ok(Known::Attempt(Box::new(attempt)));
    }
    let by_hash = select!(rows::TOKEN, "tokens WHERE token_hash = ?1");
    let Some(token) = one(db, by_hash, [hash.0.as_slice()], rows::token)? else { return Ok(Known::Unknown) };
    let of = match &token.holder {
        Holder::User { user: name, role: _ } => user(db, name)?,
        Holder::Runner(_) => None,
    };
    Ok(Known::Token(Box::new(token), of))
}

pub(super) fn user(db: &Connection, name: &str) -> Sql<Option<User>> {
    one(db, select!(rows::USER, "users WHERE user_id = ?1"), [name], rows::user)
}

pub(super) fn identity(known: &Known, now: Timestamp) -> Identity {
    match known {
        Known::Unknown => Identity::Unknown,
        Known::Attempt(a) => Identity::Attempt {
            key: a.key.clone(),
            number: a.number,
            role: a.role,
            agent: a.agent.clone(),
            session: a.session_id.to_string(),
        },
        Known::Token(token, of) => user::identity_of(token, of.as_ref(), now),
    }
}

/// Loads what is needed, and what hangs on it.
pub(super) fn load(db: &Connection, kept: &mut Kept, needs: &Needs) -> Sql<State> {
    let mut l = Loader { db, kept, state: State::default() };
    l.meta()?;
    l.identify(needs)?;
    for id in &needs.projects {
        l.project(id)?;
    }
    for key in &needs.tasks {
        l.task(key)?;
    }
    for key in &needs.histories {
        l.task(key)?;
        for attempt in attempts(db, key)? {
            l.attempt(attempt);
        }
    }
    if let Some((project, up_to)) = &needs.told_without {
        l.state.told_without = told_without(db, project, *up_to)?;
    }
    l.new_task(needs)?;
    if let Some(import) = &needs.import {
        l.import(import)?;
    }
    if let Some(key) = &needs.dependencies {
        l.state.dependencies = dependencies(db, key)?;
    }
    for id in &needs.sessions {
        l.session(*id, needs.session_dependents)?;
    }
    if let Some(key) = &needs.dependents {
        l.dependents(key)?;
    }
    if let Some((project, from, to)) = &needs.path {
        l.state.path_exists = path_exists(db, project, from, to)?;
    }
    l.agents_and_runners(needs)?;
    if needs.live {
        l.state.live = open_sessions(db)?;
    }
    if let Some(claim) = &needs.claim {
        queue::promote(db, needs.now)?;
        for task in queue::ready(db, claim, &l.state, needs.now)? {
            l.state.ready.push(task.key.clone());
            l.keep(task)?;
        }
    }
    if let Some(name) = &needs.user {
        l.state.user = user(db, name)?;
    }
    if let Some(name) = &needs.token {
        l.state.token = one(db, select!(rows::TOKEN, "tokens WHERE name = ?1"), [name], rows::token)?;
    }
    if needs.rest {
        let work = rest::work(db)?;
        l.state.live = work.live;
        l.state.queued = work.queued;
        l.state.projects.extend(work.projects);
        l.state.agents.extend(work.agents);
        l.state.runners.extend(work.runners);
        l.state.totals = rest::totals(db)?;
    }
    if needs.far_due {
        for key in far_due(db, needs.now)? {
            l.task(&key)?;
        }
    }
    Ok(l.state)
}

struct Loader<'a> {
    db: &'a Connection,
    kept: &'a mut Kept,
    state: State,
}

impl Loader<'_> {
    fn meta(&mut self) -> Sql<()> {
        let (stream_last, at_rest) = match self.kept.meta() {
            Some(meta) => meta,
            None => self
                .db
                .prepare_cached("SELECT stream_last, at_rest FROM meta")?
                .query_row([], |row| Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), row.get(1)?)))?,
        };
        (self.state.stream_last, self.state.at_rest) = (stream_last, at_rest);
        self.kept.keep_meta(stream_last, at_rest);
        Ok(())
    }

    fn identify(&mut self, needs: &Needs) -> Sql<()> {
        let Some(hash) = needs.credential else { return Ok(()) };
        let known = match self.kept.attempt_of(&hash) {
            Some(attempt) => Known::Attempt(Box::new(attempt.clone())),
            None => credential(self.db, hash)?,
        };
        self.state.identity = identity(&known, needs.now);
        match known {
            Known::Unknown => {}
            Known::Token(..) if self.state.identity == Identity::Unknown => {}
            Known::Token(t, _) => {
                let now = needs.now.as_micros();
                let recorded = t.last_used_at.map_or(i64::MIN, Timestamp::as_micros);
                if now.saturating_sub(recorded) > LAST_USED_STEP_MICROS {
                    let mut used =
                        self.db.prepare_cached("UPDATE tokens SET last_used_at = ?2 WHERE name = ?1")?;
                    used.execute(params![t.name, now])?;
                }
            }
            Known::Attempt(a) => {
                let key = a.key.clone();
                self.kept.keep_attempt(&a);
                self.attempt(*a);
                if needs.identity_task {
                    self.task(&key)?;
                }
            }
        }
        Ok(())
    }

    fn project(&mut self, id: &ProjectId) -> Sql<()> {
        if self.state.projects.contains_key(id) {
            return Ok(());
        }
        let found = if let Some(p) = self.kept.project(id) {
            Some(p.clone())
        } else {
            let read = project(self.db, id)?;
            read.inspect(|p| self.kept.keep_project(p))
        };
        self.state.projects.extend(found.map(|p| (p.id.clone(), p)));
        Ok(())
    }

    /// A task with its project and its open attempt.
    fn task(&mut self, key: &TaskKey) -> Sql<()> {
        if self.state.tasks.contains_key(key) {
            return Ok(());
        }
        let found = if let Some(t) = self.kept.task(key) {
            Some(t.clone())
        } else {
            let read = task(self.db, key)?;
            read.inspect(|t| self.kept.keep_task(t))
        };
        found.map_or(Ok(()), |t| self.keep(t))
    }

    fn keep(&mut self, task: Task) -> Sql<()> {
        self.project(&task.key.project)?;
        if let Some(open) = task.state.open {
            self.attempt_at(&task.key, open.number)?;
        }
        self.state.tasks.insert(task.key.clone(), task);
        Ok(())
    }

    fn has_attempt(&self, key: &TaskKey, number: AttemptNumber) -> bool {
        self.state.attempts.iter().any(|a| a.number == number && a.key == *key)
    }

    fn attempt_at(&mut self, key: &TaskKey, number: AttemptNumber) -> Sql<()> {
        if self.has_attempt(key, number) {
            return Ok(());
        }
        let found = if let Some(a) = self.kept.attempt(&(key.clone(), number)) {
            Some(a.clone())
        } else {
            let read = attempt(self.db, key, number)?;
            read.inspect(|a| self.kept.keep_attempt(a))
        };
        self.state.attempts.extend(found);
        Ok(())
    }

    fn attempt(&mut self, a: Attempt) {
        if !self.has_attempt(&a.key, a.number) {
            self.state.attempts.push(a);
        }
    }

    fn new_task(&mut self, needs: &Needs) -> Sql<()> {
        let Some((project, id)) = &needs.new_task else { return Ok(()) };
        self.project(project)?;
        let Some(id) = id else {
            let Some(p) = self.state.projects.get(project) else { return Ok(()) };
            self.state.free_id = Some(free_number(self.db, project, p.next_task)?);
            return Ok(());
        };
        self.task(&TaskKey::new(project.clone(), id.clone()))?;
        self.state.existing_fingerprint = one(
            self.db,
            "SELECT x.fingerprint FROM tasks t JOIN task_texts x USING (id) WHERE t.project_id = ?1 AND t.task_id = ?2",
            [project.as_str(), id.as_str()],
            |row| row.get(0),
        )?;
        Ok(())
    }

    fn import(&mut self, import: &ImportNeeds) -> Sql<()> {
        self.project(&import.project)?;
        let Some(p) = self.state.projects.get(&import.project) else { return Ok(()) };
        let empty = p.counts == StatusCounts::default();
        let mut known = self.db.prepare_cached(
            "SELECT x.fingerprint, t.status FROM tasks t JOIN task_texts x USING (id)
             WHERE t.project_id = ?1 AND t.task_id = ?2",
        )?;
        let project = import.project.as_str();
        // Most large imports go into an empty project: nothing to look for.
        for id in import.ids.iter().filter(|_| !empty) {
            let read = |row: &Row<'_>| {
                Ok(KnownTask { fingerprint: row.get(0)?, status: Columns::from(row, 1).word(Status::parse)? })
            };
            if let Some(task) = known.query_row([project, id.as_str()], read).optional()? {
                self.state.known_tasks.insert(id.clone(), task);
            }
        }
        let mut taken =
            self.db.prepare_cached("SELECT 1 FROM tasks WHERE project_id = ?1 AND task_id = ?2")?;
        let mut next = p.next_task.max(1);
        while self.state.free_ids.len() < import.numbers {
            let id = TaskId::from_number(next);
            if empty || !taken.exists([project, id.as_str()])? {
                self.state.free_ids.push(id);
            }
            next = next.checked_add(1).ok_or_else(|| bad("all numbers"))?;
        }
        Ok(())
    }

    fn session(&mut self, id: SessionId, dependents: bool) -> Sql<()> {
        let Some(session) = session(self.db, id)? else { return Ok(()) };
        self.agent(&session.agent)?;
        if let Some((key, number)) = &session.attempt {
            self.attempt_at(key, *number)?;
            self.task(key)?;
            if dependents {
                self.dependents(key)?;
            }
        }
        self.state.sessions.insert(session.id, session);
        Ok(())
    }

    fn dependents(&mut self, key: &TaskKey) -> Sql<()> {
        let found = all(
            self.db,
            "SELECT task_id, until FROM dependencies WHERE project_id = ?1 AND depends_on = ?2 ORDER BY task_id",
            [key.project.as_str(), key.task.as_str()],
            |row| {
                let c = &mut Columns::from(row, 0);
                Ok(Dependent { task: c.id()?, on: key.clone(), until: c.word(Until::parse)? })
            },
        )?;
        self.state.dependents.extend(found);
        Ok(())
    }

    fn agent(&mut self, id: &AgentId) -> Sql<()> {
        if !self.state.agents.contains_key(id)
            && let Some(a) = agent(self.db, id)?
        {
            self.state.agents.insert(a.id.clone(), a);
        }
        Ok(())
    }

    fn runner(&mut self, id: &RunnerId) -> Sql<()> {
        if !self.state.runners.contains_key(id)
            && let Some(r) = runner(self.db, id)?
        {
            self.state.runners.insert(r.id.clone(), r);
        }
        Ok(())
    }

    fn agents_and_runners(&mut self, needs: &Needs) -> Sql<()> {
        for id in &needs.agents {
            self.agent(id)?;
        }
        if needs.attempt_agents {
            let of: BTreeSet<_> = self.state.attempts.iter().map(|a| a.agent.clone()).collect();
            for id in &of {
                self.agent(id)?;
            }
        }
        if needs.default_agent {
            let defaults: BTreeSet<_> =
                self.state.projects.values().filter_map(|p| p.settings.default_agent.clone()).collect();
            for id in &defaults {
                self.agent(id)?;
            }
        }
        if let Some(runner) = &needs.agents_of {
            let sql = select!(rows::AGENT, "agents WHERE runner_id = ?1");
            for a in all(self.db, sql, [runner.as_str()], rows::agent)? {
                self.state.agents.insert(a.id.clone(), a);
            }
        }
        if needs.paused_agents {
            let sql = select!(rows::AGENT, "agents WHERE paused = 1 AND paused_until IS NOT NULL");
            for a in all(self.db, sql, [], rows::agent)? {
                self.state.agents.insert(a.id.clone(), a);
            }
        }
        if needs.agent_runners {
            let ids: BTreeSet<_> = self.state.agents.values().map(|a| a.runner_id.clone()).collect();
            for id in &ids {
                self.runner(id)?;
            }
        }
        for id in &needs.runners {
            self.runner(id)?;
        }
        if needs.all_runners {
            for r in runners(self.db)? {
                self.state.runners.insert(r.id.clone(), r);
            }
        }
        Ok(())
    }
}

/// The first number from `next` on that no task has as its id.
fn free_number(db: &Connection, project: &ProjectId, next: u64) -> Sql<TaskId> {
    let mut n = next.max(1);
    loop {
        let id = TaskId::from_number(n);
        let taken = "SELECT 1 FROM tasks WHERE project_id = ?1 AND task_id = ?2";
        if !exists(db, taken, [project.as_str(), id.as_str()])? {
            return Ok(id);
        }
        n = n.checked_add(1).ok_or_else(|| bad("all numbers"))?;
    }
}

/// Whether `from` waits for `to`, over any number of steps; none is one too.
fn path_exists(db: &Connection, project: &ProjectId, from: &TaskId, to: &TaskId) -> Sql<bool> {
    if from == to {
        return Ok(true);
    }
    exists(
        db,
        "WITH RECURSIVE waits (task_id) AS (
           SELECT depends_on FROM dependencies WHERE project_id = ?1 AND task_id = ?2
           UNION
           SELECT d.depends_on FROM waits w JOIN dependencies d ON d.project_id = ?1 AND d.task_id = w.task_id
         ) SELECT 1 FROM waits WHERE task_id = ?3 COLLATE NOCASE",
        [project.as_str(), from.as_str(), to.as_str()],
    )
}

/// Tasks whose due time the board has set, further away than it may set: the clock has jumped.
fn far_due(db: &Connection, now: Timestamp) -> Sql<Vec<TaskKey>> {
    all(
        db,
        "SELECT t.project_id, t.task_id FROM projects p CROSS JOIN tasks t
         WHERE t.project_id = p.project_id AND t.not_before_by_board = 1
           AND t.not_before > ?1 + p.backoff_max_ms * 1000 AND t.status IN ('pending', 'review') LIMIT ?2",
        params![now.as_micros(), FAR_DUE],
        |row| Columns::from(row, 0).key(),
    )
}

/// As the database holds it.
pub(super) fn as_limit(limit: usize) -> i64 {
    int(u64::try_from(limit).unwrap_or(u64::MAX))
}
