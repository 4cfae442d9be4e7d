//! Looks for what must never be true, in parts: no snapshot has to live long.

use mozi_core::{
    Project, ProjectId, Role, SessionId, Status, Task, Timestamp, invariant,
    task::{QueuePlace, StatusCounts},
};
use rusqlite::params;

use super::{Answer, ROWS_LIMIT, Snapshot};
use crate::sqlite::{
    load::{self, all, as_limit, select},
    rows::{self, Columns, Sql, bad},
};

/// So many tasks or sessions are looked at on one snapshot.
const PART: usize = 500;

/// What was found, and where to go on.
#[derive(Debug)]
pub(crate) struct Part<T> {
    /// What is wrong, in words.
    pub(crate) found: Vec<String>,
    /// Begin of the next part; none = this was the last.
    pub(crate) next: Option<T>,
}

impl Snapshot<'_> {
    /// Whether the file itself is sound.
    pub(crate) fn check_file(&self) -> Answer<Vec<String>> {
        let said = all(self.db, "PRAGMA quick_check(20)", [], |row| row.get::<_, String>(0))?;
        Ok(said.into_iter().filter(|s| s != "ok").map(|s| format!("the database file: {s}")).collect())
    }

    /// Tasks after the internal number `after`, each with all that hangs on it.
    pub(crate) fn check_tasks(&self, after: i64) -> Answer<Part<i64>> {
        let ids = all(
            self.db,
            "SELECT id, project_id, task_id, queue_role, queue_agent, queue_from FROM tasks WHERE id > ?1
             ORDER BY id LIMIT ?2",
            params![after, as_limit(PART)],
            |row| {
                let (id, key) = (row.get::<_, i64>(0)?, Columns::from(row, 1).key()?);
                Ok((id, key, (row.get(3)?, row.get(4)?, row.get(5)?)))
            },
        )?;
        let mut part = Part { found: Vec::new(), next: None };
        for (id, key, place) in &ids {
            part.next = (ids.len() == PART).then_some(*id);
            match load::task(self.db, key)? {
                Some(task) => part.found.extend(self.check_task(&task, place)?),
                None => part.found.push(format!("task {} of project {} has no texts", key.task, key.project)),
            }
        }
        Ok(part)
    }

    fn check_task(&self, task: &Task, place: &Place) -> Answer<Vec<String>> {
        let (attempts, key) = (self.attempts(&task.key)?, &task.key);
        let dependencies = load::dependencies(self.db, key)?;
        let session = match attempts.iter().find(|a| a.is_open()) {
            Some(open) => load::session(self.db, open.session_id)?,
            None => None,
        };
        let queued = stored_place(place, task)?;
        let mut found = invariant::task(invariant::TaskRows {
            task,
            attempts: &attempts,
            dependencies: &dependencies,
            session: session.as_ref(),
            queued: Some(queued.as_ref()),
        });
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let page = self.task_events(key, after, ROWS_LIMIT)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            events.extend(page);
        }
        found.extend(invariant::history(task, &attempts, &events));
        Ok(found)
    }

    /// Sessions with an id above `after`.
    pub(crate) fn check_sessions(&self, after: Option<SessionId>) -> Answer<Part<SessionId>> {
        let sessions = all(
            self.db,
            select!(rows::SESSION, "sessions WHERE session_id > ?1 ORDER BY session_id LIMIT ?2"),
            params![after.map(|id| id.to_string()).unwrap_or_default(), as_limit(PART)],
            rows::session,
        )?;
        let mut found = Vec::new();
        for session in &sessions {
            found.extend(invariant::session(session, self.attempt_of(session)?.as_ref()));
        }
        let next = sessions.last().filter(|_| sessions.len() == PART).map(|s| s.id);
        Ok(Part { found, next })
    }

    /// What a project keeps against what can be counted, and its events.
    pub(crate) fn check_project(&self, id: &ProjectId) -> Answer<Vec<String>> {
        let Some(project) = load::project(self.db, id)? else { return Ok(Vec::new()) };
        let mut counts = StatusCounts::default().to_array();
        let counted = all(
            self.db,
            "SELECT status, count(*) FROM tasks WHERE project_id = ?1 GROUP BY status",
            [id.as_str()],
            |row| Ok((Columns::from(row, 0).word(Status::parse)?, row.get::<_, i64>(1)?)),
        )?;
        for (status, n) in counted {
            let place = Status::ALL.iter().position(|s| *s == status);
            if let Some(count) = place.and_then(|i| counts.get_mut(i)) {
                *count = u64::try_from(n).unwrap_or(0);
            }
        }
        let mut found = self.check_stream(Some(&project))?;
        let newest = self.newest_event(Some(id))?;
        found.extend(invariant::project(&project, StatusCounts::from_array(counts), newest));
        Ok(found)
    }

    /// The events of a project, or of the stream of what belongs to none: no gap.
    pub(crate) fn check_stream(&self, project: Option<&Project>) -> Answer<Vec<String>> {
        let id = project.map(|p| p.id.as_str());
        let (first, last, count): (Option<i64>, Option<i64>, i64) = self
            .db
            .prepare_cached("SELECT min(id), max(id), count(*) FROM events WHERE project_id IS ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let (found_first, last) = (first.unwrap_or(1), last.unwrap_or(0));
        // Where pruning has moved the beginning, it says so.
        let first = match project {
            None => 1,
            Some(p) => self
                .db
                .prepare_cached("SELECT first_event FROM projects WHERE project_id = ?1")?
                .query_row([p.id.as_str()], |row| row.get::<_, i64>(0))?,
        };
        let mut found = Vec::new();
        if found_first != first || last.saturating_sub(first).saturating_add(1) != count {
            let ids =
                all(self.db, "SELECT id FROM events WHERE project_id IS ?1 ORDER BY id", [id], |row| {
                    row.get::<_, i64>(0).map(i64::unsigned_abs)
                })?;
            found = invariant::stream(id.unwrap_or("no project"), first.unsigned_abs(), ids);
            found.truncate(20);
        }
        if project.is_none() {
            let kept = "SELECT stream_last FROM meta";
            let kept = self.db.prepare_cached(kept)?.query_row([], |row| row.get::<_, i64>(0))?;
            if kept != last {
                found.push(format!("events of no project: the newest is {last}, the board counts {kept}"));
            }
        }
        Ok(found)
    }

    fn newest_event(&self, project: Option<&ProjectId>) -> Sql<u64> {
        let newest = "SELECT max(id) FROM events WHERE project_id IS ?1";
        let id: Option<i64> =
            self.db.prepare_cached(newest)?.query_row([project.map(ProjectId::as_str)], |row| row.get(0))?;
        Ok(id.unwrap_or(0).unsigned_abs())
    }
}

type Place = (Option<String>, String, Option<i64>);

/// The stored place of a task in the queue. A due time that has passed is stored as none.
fn stored_place((role, agent, from): &Place, task: &Task) -> Sql<Option<QueuePlace>> {
    let Some(role) = role else { return Ok(None) };
    let due = task.state.not_before.map(|n| n.at);
    Ok(Some(QueuePlace {
        role: Role::parse(role).ok_or_else(|| bad(role.as_str()))?,
        agent: match agent.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| bad(id))?),
        },
        from: from.map_or(due, |at| Some(Timestamp::from_micros(at))),
    }))
}
