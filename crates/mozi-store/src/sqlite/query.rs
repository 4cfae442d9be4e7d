//! Questions, answered on one snapshot.

use mozi_core::{
    Agent, AgentId, Attempt, AttemptNumber, Comment, Event, Identity, Output, Project, ProjectId, Runner,
    RunnerId, Session, SessionId, TaskKey, Timestamp, Token, TokenHash, Usage, User, due, task::StatusCounts,
    user,
};
use rusqlite::{Connection, params};

use super::{
    load::{self, all, as_limit, exists, one, select},
    replay, rest,
    rows::{self, Columns, Sql, int},
};
use crate::{EventPage, IdempotencyKey, PAGE_LIMIT, Page, ReadError, Recalled, RunnerWork, Totals};

mod check;
mod house;
mod list;
mod overview;
mod page;
mod place;
mod prompt;

type Answer<T> = Result<T, ReadError>;

/// How many sessions a prefix finds at most.
const PREFIX_MATCHES: i64 = 10;
/// How many sessions or events one question finds at most.
const ROWS_LIMIT: usize = 10_000;

/// One state of the board, as long as the question lasts.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    db: &'a Connection,
}

fn first_number(db: &Connection, sql: &str) -> Sql<u64> {
    let n = db.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<i64>>(0))?;
    Ok(n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

pub(super) fn last_seq(db: &Connection) -> Sql<u64> {
    first_number(db, "SELECT max(seq) FROM events")
}

pub(super) fn board_id(db: &Connection) -> Sql<String> {
    db.query_row("SELECT board_id FROM meta", [], |row| row.get(0))
}

impl<'a> Snapshot<'a> {
    pub(super) const fn of(db: &'a Connection) -> Self {
        Self { db }
    }

    pub(super) const fn db(&self) -> &'a Connection {
        self.db
    }

    #[cfg(test)]
    pub(super) fn count(&self, sql: &str) -> Sql<i64> {
        self.db.query_row(sql, [], |row| row.get(0))
    }

    pub(crate) fn identify(&self, hash: TokenHash, now: Timestamp) -> Answer<Identity> {
        Ok(load::identity(&load::credential(self.db, hash)?, now))
    }

    pub(crate) fn ends_at(&self, hash: TokenHash) -> Answer<Option<Timestamp>> {
        Ok(match load::credential(self.db, hash)? {
            load::Known::Token(token, of) => user::ends_at(&token, of.as_ref()),
            load::Known::Attempt(_) | load::Known::Unknown => None,
        })
    }

    pub(crate) fn recall(&self, key: &IdempotencyKey, now: Timestamp) -> Answer<Recalled> {
        Ok(replay::recall(self.db, key, now)?)
    }

    pub(crate) fn project(&self, id: &ProjectId) -> Answer<Option<Project>> {
        Ok(load::project(self.db, id)?)
    }

    pub(crate) fn projects(&self, after: Option<&str>, limit: usize) -> Answer<Page<Project>> {
        let limit = limit.clamp(1, PAGE_LIMIT);
        let mut items = all(
            self.db,
            select!(rows::PROJECT, "projects WHERE project_id > ?1 ORDER BY project_id LIMIT ?2"),
            params![after.unwrap_or_default(), as_limit(limit.saturating_add(1))],
            rows::project,
        )?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|p| p.id.as_str().to_owned());
        Ok(Page { items, next_cursor })
    }

    pub(crate) fn related(&self, own: &TaskKey, other: &TaskKey) -> Answer<bool> {
        if own.project != other.project {
            return Ok(false);
        }
        if own == other {
            return Ok(true);
        }
        Ok(exists(
            self.db,
            "SELECT 1 FROM dependencies WHERE project_id = ?1 AND task_id = ?2 AND depends_on = ?3
             UNION ALL SELECT 1 FROM tasks WHERE project_id = ?1 AND task_id = ?2 AND parent = ?3
             UNION ALL SELECT 1 FROM tasks WHERE project_id = ?1 AND task_id = ?3 AND parent = ?2",
            [own.project.as_str(), own.task.as_str(), other.task.as_str()],
        )?)
    }

    pub(in crate::sqlite) fn attempts(&self, key: &TaskKey) -> Answer<Vec<Attempt>> {
        Ok(load::attempts(self.db, key)?)
    }

    pub(crate) fn attempt(&self, key: &TaskKey, number: AttemptNumber) -> Answer<Option<Attempt>> {
        Ok(load::attempt(self.db, key, number)?)
    }

    pub(in crate::sqlite) fn usage(&self, key: &TaskKey) -> Answer<Vec<(AttemptNumber, Usage)>> {
        Ok(all(
            self.db,
            select!(
                rows::USAGE,
                "attempt_usage WHERE project_id = ?1 AND task_id = ?2 ORDER BY attempt_number, line"
            ),
            [key.project.as_str(), key.task.as_str()],
            rows::usage,
        )?)
    }

    pub(in crate::sqlite) fn outputs(&self, key: &TaskKey) -> Answer<Vec<Output>> {
        Ok(all(
            self.db,
            select!(rows::OUTPUT, "outputs WHERE project_id = ?1 AND task_id = ?2 ORDER BY output_id"),
            [key.project.as_str(), key.task.as_str()],
            |row| rows::output(row, false),
        )?)
    }

    pub(crate) fn output(&self, key: &TaskKey, id: u32) -> Answer<Option<Output>> {
        Ok(replay::output(self.db, key, id)?)
    }

    pub(in crate::sqlite) fn comments(&self, key: &TaskKey) -> Answer<Vec<Comment>> {
        Ok(all(
            self.db,
            select!(rows::COMMENT, "comments WHERE project_id = ?1 AND task_id = ?2 ORDER BY comment_id"),
            [key.project.as_str(), key.task.as_str()],
            rows::comment,
        )?)
    }

    pub(in crate::sqlite) fn task_events(
        &self,
        key: &TaskKey,
        after: u64,
        limit: usize,
    ) -> Answer<Vec<Event>> {
        Ok(all(
            self.db,
            select!(
                rows::EVENT,
                "events WHERE project_id = ?1 AND task_id = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
            ),
            params![key.project.as_str(), key.task.as_str(), int(after), as_limit(limit.min(ROWS_LIMIT))],
            |row| rows::event(row).map(|(_, e)| e),
        )?)
    }

    pub(crate) fn events(&self, project: Option<&ProjectId>, after: u64, limit: usize) -> Answer<EventPage> {
        let project = project.map(ProjectId::as_str);
        let events = all(
            self.db,
            select!(rows::EVENT, "events WHERE project_id IS ?1 AND id > ?2 ORDER BY id LIMIT ?3"),
            params![project, int(after), as_limit(limit.min(ROWS_LIMIT))],
            |row| rows::event(row).map(|(_, e)| e),
        )?;
        let oldest = "SELECT id FROM events WHERE project_id IS ?1 ORDER BY id LIMIT 1";
        let oldest = one(self.db, oldest, [project], |row| row.get::<_, i64>(0))?;
        Ok(EventPage { events, oldest: oldest.and_then(|n| u64::try_from(n).ok()).unwrap_or(1) })
    }

    pub(crate) fn all_events(&self, after: u64, limit: usize) -> Answer<Vec<(u64, Event)>> {
        Ok(all(
            self.db,
            select!(rows::EVENT, "events WHERE seq > ?1 ORDER BY seq LIMIT ?2"),
            params![int(after), as_limit(limit.min(ROWS_LIMIT))],
            rows::event,
        )?)
    }

    pub(crate) fn last_seq(&self) -> Answer<u64> {
        Ok(last_seq(self.db)?)
    }

    pub(crate) fn oldest_seq(&self) -> Answer<u64> {
        let forgotten = first_number(self.db, "SELECT pruned_seq FROM meta")?;
        Ok(first_number(self.db, "SELECT min(seq) FROM events")?.max(forgotten.saturating_add(1)))
    }

    pub(crate) fn sessions(
        &self,
        active: Option<bool>,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<Page<Session>> {
        let limit = limit.clamp(1, ROWS_LIMIT);
        // Behind nothing that can be: the newest first.
        let (at, id) = match after {
            None => (i64::MAX, String::new()),
            Some(cursor) => place::read_session_cursor(cursor)?,
        };
        let sql = match active {
            None => select!(
                rows::SESSION,
                "sessions WHERE (started_at, session_id) < (?2, ?3) ORDER BY started_at DESC, session_id DESC LIMIT ?1"
            ),
            Some(true) => select!(
                rows::SESSION,
                "sessions INDEXED BY sessions_open WHERE completed_at IS NULL AND (started_at, session_id) < (?2, ?3)
                 ORDER BY started_at DESC, session_id DESC LIMIT ?1"
            ),
            Some(false) => select!(
                rows::SESSION,
                "sessions WHERE +completed_at IS NOT NULL AND (started_at, session_id) < (?2, ?3)
                 ORDER BY started_at DESC, session_id DESC LIMIT ?1"
            ),
        };
        let asked = params![as_limit(limit.saturating_add(1)), at, id];
        let mut items = all(self.db, sql, asked, rows::session)?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more);
        let next_cursor = next.map(|s| place::session_cursor(s.started_at, &s.id.to_string()));
        Ok(Page { items, next_cursor })
    }

    pub(crate) fn session(&self, id: SessionId) -> Answer<Option<(Session, Option<Attempt>)>> {
        let Some(session) = load::session(self.db, id)? else { return Ok(None) };
        let attempt = self.attempt_of(&session)?;
        Ok(Some((session, attempt)))
    }

    fn attempt_of(&self, session: &Session) -> Sql<Option<Attempt>> {
        match &session.attempt {
            Some((key, number)) => load::attempt(self.db, key, *number),
            None => Ok(None),
        }
    }

    pub(crate) fn find_session_prefix(&self, prefix: &str) -> Answer<Vec<SessionId>> {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Ok(Vec::new());
        }
        // Beyond every id that begins so.
        let end = format!("{prefix}g");
        Ok(all(
            self.db,
            "SELECT session_id FROM sessions WHERE session_id >= ?1 AND session_id < ?2 ORDER BY session_id LIMIT ?3",
            params![prefix, end, PREFIX_MATCHES],
            |row| Columns::from(row, 0).id(),
        )?)
    }

    pub(crate) fn agents(&self) -> Answer<Vec<(Agent, Vec<SessionId>)>> {
        let live = load::open_sessions(self.db)?;
        let of = |a: &Agent| live.iter().filter(|s| s.agent == a.id).map(|s| s.id).collect();
        Ok(self.all_agents()?.into_iter().map(|a| (of(&a), a)).map(|(s, a)| (a, s)).collect())
    }

    fn all_agents(&self) -> Sql<Vec<Agent>> {
        all(self.db, select!(rows::AGENT, "agents ORDER BY agent"), [], rows::agent)
    }

    pub(crate) fn agent(&self, id: &AgentId) -> Answer<Option<Agent>> {
        Ok(load::agent(self.db, id)?)
    }

    pub(crate) fn runners(&self) -> Answer<Vec<Runner>> {
        Ok(load::runners(self.db)?)
    }

    pub(crate) fn users(&self) -> Answer<Vec<User>> {
        Ok(all(self.db, select!(rows::USER, "users ORDER BY user_id"), [], rows::user)?)
    }

    pub(crate) fn user(&self, name: &str) -> Answer<Option<User>> {
        Ok(load::user(self.db, name)?)
    }

    pub(crate) fn tokens(&self) -> Answer<Vec<Token>> {
        Ok(all(self.db, select!(rows::TOKEN, "tokens ORDER BY name"), [], rows::token)?)
    }

    pub(crate) fn runner_work(&self, id: &RunnerId) -> Answer<RunnerWork> {
        let sessions = all(
            self.db,
            select!(
                rows::SESSION,
                "sessions INDEXED BY sessions_open WHERE completed_at IS NULL AND runner_id = ?1 ORDER BY started_at, session_id"
            ),
            [id.as_str()],
            rows::session,
        )?;
        let with_attempt = |s: Session| self.attempt_of(&s).map(|a| (s, a));
        let clean = "SELECT session_id FROM sessions WHERE clean_requested = 1 AND completed_at IS NOT NULL
            AND runner_id = ?1 ORDER BY session_id";
        Ok(RunnerWork {
            open: sessions.into_iter().map(with_attempt).collect::<Sql<_>>()?,
            clean: all(self.db, clean, [id.as_str()], |row| Columns::from(row, 0).id())?,
        })
    }

    pub(crate) fn blob_used(&self, sha256: &str) -> Answer<bool> {
        Ok(exists(self.db, "SELECT 1 FROM outputs WHERE inline = 0 AND sha256 = ?1", [sha256])?)
    }

    pub(crate) fn rest_has_changed(&self, now: Timestamp) -> Answer<bool> {
        Ok(rest::has_changed(self.db, now)?)
    }

    pub(crate) fn next_due(&self, now: Timestamp) -> Answer<Option<Timestamp>> {
        let at = now.as_micros();
        let first = one(
            self.db,
            "SELECT min(queue_from) FROM tasks WHERE queue_from IS NOT NULL AND queue_from > ?1",
            [at],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        // A time that the board has set is never believed to be further away than the longest that it may set.
        let believed = one(
            self.db,
            "SELECT min(?1 + p.backoff_max_ms * 1000) FROM projects p WHERE EXISTS (SELECT 1 FROM tasks t
             WHERE t.project_id = p.project_id AND t.not_before_by_board = 1 AND t.queue_from IS NOT NULL
               AND t.not_before > ?1 + p.backoff_max_ms * 1000)",
            [at],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        let times = first.flatten().into_iter().chain(believed.flatten()).map(Timestamp::from_micros);
        Ok(due::next_due(times, &self.all_agents()?, now))
    }

    pub(crate) fn counts(&self) -> Answer<Totals> {
        let mut sql = "SELECT count(*)".to_owned();
        for status in mozi_core::Status::ALL {
            sql.extend([", sum(", status.as_str(), ")"]);
        }
        sql.push_str(" FROM projects");
        let (projects, tasks) = self.db.prepare_cached(&sql)?.query_row([], |row| {
            let mut counts = [0; 8];
            let mut c = Columns::from(row, 0);
            let projects = c.get::<i64>()?;
            for n in &mut counts {
                *n = c.get::<Option<i64>>()?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            }
            Ok((u64::try_from(projects).unwrap_or(0), StatusCounts::from_array(counts)))
        })?;
        Ok(Totals {
            projects,
            tasks,
            open_attempts: first_number(
                self.db,
                "SELECT count(*) FROM task_attempts WHERE completed_at IS NULL",
            )?,
            open_sessions: first_number(self.db, "SELECT count(*) FROM sessions WHERE completed_at IS NULL")?,
            last_seq: last_seq(self.db)?,
        })
    }
}
