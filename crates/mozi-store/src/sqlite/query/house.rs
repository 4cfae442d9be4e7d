//! What may go: questions of whoever keeps house.

use mozi_core::{ProjectId, SessionId, TaskId, TaskKey, Timestamp};
use rusqlite::params;

use super::{Answer, Snapshot};
use crate::{
    Forgettable,
    sqlite::{
        load::{all, as_limit, one},
        rows::{Columns, Sql, int},
    },
};

impl Snapshot<'_> {
    /// Which events of a project may be forgotten: those older than `before`, as far as no unfinished task has one
    /// of them, and never the newest.
    pub(crate) fn forgettable(&self, project: &ProjectId, before: Timestamp) -> Answer<Option<Forgettable>> {
        let bounds = one(
            self.db,
            "SELECT first_event, last_event FROM projects WHERE project_id = ?1",
            [project.as_str()],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        let Some((first, last)) = bounds else { return Ok(None) };
        let mut up_to = self.last_before(project, before, first, last)?.min(last.saturating_sub(1));
        let unfinished: Option<(i64, TaskId)> = one(
            self.db,
            "SELECT min(first), task_id FROM (SELECT t.task_id,
               (SELECT min(id) FROM events WHERE project_id = ?1 AND task_id = t.task_id) AS first
             FROM tasks t WHERE t.project_id = ?1
               AND t.status IN ('pending', 'claimed', 'working', 'review', 'blocked'))",
            [project.as_str()],
            |row| match row.get::<_, Option<i64>>(0)? {
                Some(id) => Ok(Some((id, Columns::from(row, 1).id()?))),
                None => Ok(None),
            },
        )?
        .flatten();
        let mut held_by = None;
        if let Some((id, task)) = unfinished
            && id <= up_to
        {
            up_to = id.saturating_sub(1);
            held_by = Some(task);
        }
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Some(Forgettable { first: number(first), up_to: number(up_to), held_by }))
    }

    /// The newest event of a project from before a time; ids follow the time.
    fn last_before(&self, project: &ProjectId, before: Timestamp, first: i64, last: i64) -> Sql<i64> {
        let at = "SELECT at FROM events WHERE project_id = ?1 AND id = ?2";
        let is_old = |id: i64| {
            let at = one(self.db, at, params![project.as_str(), id], |row| row.get::<_, i64>(0))?;
            Ok::<_, rusqlite::Error>(at.is_some_and(|at| at < before.as_micros()))
        };
        let (mut low, mut high) = (first.saturating_sub(1), last.saturating_add(1));
        while low.saturating_add(1) < high {
            let middle = low + (high - low) / 2;
            if is_old(middle)? {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Tasks with an event up to there and no snapshot behind it, at most so many.
    pub(crate) fn untold(&self, project: &ProjectId, up_to: u64, limit: usize) -> Answer<Vec<TaskId>> {
        Ok(all(
            self.db,
            "SELECT DISTINCT e.task_id FROM events e WHERE e.project_id = ?1 AND e.id <= ?2
             AND e.task_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM events s WHERE s.project_id = ?1
               AND s.task_id = e.task_id AND s.id > ?2 AND s.event_type = 'task_snapshot') LIMIT ?3",
            params![project.as_str(), int(up_to), as_limit(limit)],
            |row| Columns::from(row, 0).id(),
        )?)
    }

    /// How many tasks have an event up to there.
    pub(crate) fn tasks_told_in(&self, project: &ProjectId, up_to: u64) -> Answer<u64> {
        let told = "SELECT count(DISTINCT task_id) FROM events WHERE project_id = ?1 AND id <= ?2";
        let n = one(self.db, told, params![project.as_str(), int(up_to)], |row| row.get::<_, i64>(0))?;
        Ok(n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }

    /// The outputs whose bytes are in the blob of this hash.
    pub(crate) fn outputs_in(&self, sha256: &str) -> Answer<Vec<(TaskKey, u32)>> {
        Ok(all(
            self.db,
            "SELECT project_id, task_id, output_id FROM outputs WHERE inline = 0 AND sha256 = ?1
             ORDER BY id LIMIT 100",
            [sha256],
            |row| {
                let c = &mut Columns::from(row, 0);
                Ok((c.key()?, c.get()?))
            },
        )?)
    }

    /// Of these sessions, those that the board knows and that have ended.
    pub(crate) fn ended_of(&self, sessions: &[SessionId]) -> Answer<Vec<SessionId>> {
        let mut ended = Vec::new();
        for id in sessions {
            let row = "SELECT completed_at IS NOT NULL FROM sessions WHERE session_id = ?1";
            if one(self.db, row, [id.to_string()], |row| row.get::<_, bool>(0))? == Some(true) {
                ended.push(*id);
            }
        }
        Ok(ended)
    }

    /// Of these sessions, those that the board does not know, neither by themselves nor by an attempt.
    pub(crate) fn unknown_of(&self, sessions: &[SessionId]) -> Answer<Vec<SessionId>> {
        let mut unknown = Vec::new();
        for id in sessions {
            let row = "SELECT 1 FROM sessions WHERE session_id = ?1
                UNION ALL SELECT 1 FROM task_attempts WHERE session_id = ?1";
            if one(self.db, row, [id.to_string()], |_| Ok(()))?.is_none() {
                unknown.push(*id);
            }
        }
        Ok(unknown)
    }
}
