//! A task with everything that hangs on it, as of one moment.

use std::collections::BTreeMap;

use mozi_core::{Attempt, AttemptNumber, TaskKey, Timestamp, Usage};
use rusqlite::params;

use super::{Answer, Snapshot};
use crate::{
    AttemptView, TaskPage, Wanted,
    sqlite::{
        load::{all, exists, select},
        rows::{self, Sql},
    },
};

impl Snapshot<'_> {
    pub(crate) fn task_page(
        &self,
        key: &TaskKey,
        wanted: Wanted,
        now: Timestamp,
    ) -> Answer<Option<TaskPage>> {
        let Some(view) = self.task_view(key, now)? else { return Ok(None) };
        Ok(Some(TaskPage {
            view,
            attempts: if wanted.attempts { self.attempt_views(key)? } else { Vec::new() },
            outputs: if wanted.outputs { self.outputs(key)? } else { Vec::new() },
            comments: if wanted.comments { self.comments(key)? } else { Vec::new() },
            events: match wanted.events {
                Some(limit) => self.task_events(key, 0, limit)?,
                None => Vec::new(),
            },
        }))
    }

    fn attempt_views(&self, key: &TaskKey) -> Answer<Vec<AttemptView>> {
        let attempts = self.attempts(key)?;
        let mut usage: BTreeMap<AttemptNumber, Vec<Usage>> = BTreeMap::new();
        for (number, row) in self.usage(key)? {
            usage.entry(number).or_default().push(row);
        }
        let view = |a: Attempt| -> Answer<AttemptView> {
            let usage = usage.remove(&a.number).unwrap_or_default();
            Ok(AttemptView { kept: self.is_kept(&a)?, attempt: a, usage })
        };
        attempts.into_iter().map(view).collect()
    }

    pub(crate) fn attempt_view(&self, key: &TaskKey, number: AttemptNumber) -> Answer<Option<AttemptView>> {
        let Some(attempt) = self.attempt(key, number)? else { return Ok(None) };
        let usage = self.usage_of(key, number)?;
        Ok(Some(AttemptView { kept: self.is_kept(&attempt)?, attempt, usage }))
    }

    pub(in crate::sqlite) fn usage_of(&self, key: &TaskKey, number: AttemptNumber) -> Answer<Vec<Usage>> {
        Ok(all(
            self.db,
            select!(
                rows::USAGE,
                "attempt_usage WHERE project_id = ?1 AND task_id = ?2 AND attempt_number = ?3 ORDER BY line"
            ),
            params![key.project.as_str(), key.task.as_str(), number],
            |row| rows::usage(row).map(|(_, usage)| usage),
        )?)
    }

    /// A session that was cleaned up has taken its log with it, and logs expire.
    fn is_kept(&self, attempt: &Attempt) -> Sql<bool> {
        let there = "SELECT 1 FROM sessions s JOIN task_attempts a USING (session_id)
            WHERE s.session_id = ?1 AND a.log_expired_at IS NULL";
        Ok(attempt.is_open() || exists(self.db, there, [attempt.session_id.to_string()])?)
    }
}
