//! What the writer knows without asking: rows that it has read or written and that nobody else changes.
//!
//! Agents say many things of one task in a row. What is kept here is what the database holds, as the open
//! transaction sees it: changes that are not followed here forget their row, and whoever undoes something forgets
//! everything.

use std::collections::HashMap;

use mozi_core::{Attempt, AttemptNumber, Change, Project, ProjectId, Task, TaskKey, TokenHash};

/// So many rows of a kind at most.
const ROWS: usize = 256;
/// Tasks with longer texts are read anew each time, in bytes.
const LONG: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Kept {
    projects: HashMap<ProjectId, Project>,
    tasks: HashMap<TaskKey, Task>,
    attempts: HashMap<(TaskKey, AttemptNumber), Attempt>,
    tokens: HashMap<TokenHash, (TaskKey, AttemptNumber)>,
    /// The newest event of no project, and whether the board is at rest.
    meta: Option<(u64, bool)>,
}

impl Kept {
    pub(super) fn forget_all(&mut self) {
        self.projects.clear();
        self.tasks.clear();
        self.attempts.clear();
        self.tokens.clear();
        self.meta = None;
    }

    pub(super) fn project(&self, id: &ProjectId) -> Option<&Project> {
        self.projects.get(id)
    }
    pub(super) fn task(&self, key: &TaskKey) -> Option<&Task> {
        self.tasks.get(key)
    }
    /// By its task and number.
    pub(super) fn attempt(&self, key: &(TaskKey, AttemptNumber)) -> Option<&Attempt> {
        self.attempts.get(key)
    }
    pub(super) fn attempt_of(&self, token: &TokenHash) -> Option<&Attempt> {
        let attempt = self.attempts.get(self.tokens.get(token)?)?;
        (attempt.token_hash.as_ref() == Some(token)).then_some(attempt)
    }
    pub(super) fn meta(&self) -> Option<(u64, bool)> {
        self.meta
    }

    pub(super) fn keep_project(&mut self, project: &Project) {
        put(&mut self.projects, project.id.clone(), project);
    }
    pub(super) fn keep_task(&mut self, task: &Task) {
        let texts = task.spec.description.iter().chain(&task.spec.must_haves).map(String::len).sum::<usize>();
        let metadata = task.spec.metadata.as_object().is_none_or(serde_json::Map::is_empty);
        if metadata && texts <= LONG {
            put(&mut self.tasks, task.key.clone(), task);
        }
    }
    pub(super) fn keep_attempt(&mut self, attempt: &Attempt) {
        let key = (attempt.key.clone(), attempt.number);
        if let Some(token) = attempt.token_hash {
            put(&mut self.tokens, token, &key);
        }
        put(&mut self.attempts, key, attempt);
    }
    pub(super) fn keep_meta(&mut self, stream_last: u64, at_rest: bool) {
        self.meta = Some((stream_last, at_rest));
    }

    /// Follows a change that was written.
    pub(super) fn follow(&mut self, change: &Change) {
        match change {
            Change::CountProject { id, next_task, last_event, counts } => {
                if let Some(p) = self.projects.get_mut(id) {
                    (p.next_task, p.last_event, p.counts) = (*next_task, *last_event, *counts);
                }
            }
            Change::InsertComment(c) => {
                if let Some(t) = self.tasks.get_mut(&c.key) {
                    t.state.next_comment = c.id.saturating_add(1);
                }
            }
            Change::CountStream { .. } | Change::SetRest { .. } => self.meta = None,
            Change::InsertProject(p) | Change::UpdateProject(p) => drop(self.projects.remove(&p.id)),
            Change::InsertTask { task, .. }
            | Change::UpdateTaskSpec(task)
            | Change::UpdateTaskState(task) => {
                self.tasks.remove(&task.key);
            }
            Change::ShiftUnmet { key, by: _ } => drop(self.tasks.remove(key)),
            Change::InsertAttempt(a) | Change::UpdateAttempt(a) => {
                self.attempts.remove(&(a.key.clone(), a.number));
            }
            Change::Adopt { .. } => self.forget_all(),
            Change::PutDependency { .. }
            | Change::DeleteDependency { .. }
            | Change::InsertUsage { .. }
            | Change::PutSession(_)
            | Change::DeleteSession(_)
            | Change::InsertOutput(_)
            | Change::PutAgent(_)
            | Change::PutRunner(_)
            | Change::PutUser(_)
            | Change::PutToken(_)
            | Change::ExpireLog { .. }
            | Change::ForgetEvents { .. }
            | Change::InsertEvent(_) => {}
        }
    }
}

/// Where there are too many, a few are soon there again.
fn put<K: std::hash::Hash + Eq, V: Clone>(rows: &mut HashMap<K, V>, key: K, row: &V) {
    if rows.len() >= ROWS {
        rows.clear();
    }
    rows.insert(key, row.clone());
}
