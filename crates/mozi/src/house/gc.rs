//! What goes: by the rule of retention, and what nothing needs any more.
//!
//! Nothing live is ever touched. What is not known for certain stays, and where its time had come, that is said.

use std::{path::Path, time::Duration};

use mozi_api::house::{GcLine, GcReport};
use mozi_core::{
    Command, ProjectId, SessionId, TaskKey, Timestamp,
    retention::{EndedLog, Retention, logs_to_go},
};
use mozi_runner::house::{self as files, MadeFor};
use mozi_store::PAGE_LIMIT;

use super::{
    backups_dir,
    keeper::{Keeper, line},
};
use crate::error::{Failure, Result, plain};

/// What nothing names is kept for a day: it may be on its way to being named.
const SPARE: Duration = Duration::from_hours(24);
/// Sessions that are asked about, or marked, at once.
const AT_ONCE: usize = 100;
/// Events that are forgotten in one transaction, and tasks that are told in one: short ones, agents wait for them.
const EVENTS_AT_ONCE: u64 = 5_000;
const TASKS_AT_ONCE: usize = 200;
/// How many of the things that stayed are named.
const NOTES: usize = 20;

/// How far a pass goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What the rule of retention names.
    Retention,
    /// Also what nothing needs.
    All,
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Failure::new(format!("could not look at the files: {e}")))
}

fn read(e: &mozi_store::ReadError) -> Failure {
    Failure::new(format!("could not {e}"))
}

impl Keeper {
    /// Removes what may go, or only says what would.
    pub(crate) async fn apply(&self, scope: Scope, dry_run: bool) -> Result<GcReport> {
        let _one = self.pass.lock().await;
        let (rule, now) = (self.config.borrow().retention, self.clock.now());
        let mut report = GcReport { dry_run, ..GcReport::default() };
        self.logs(rule, now, &mut report).await?;
        if let Some(age) = rule.events {
            self.events(before(now, age), &mut report).await?;
        }
        if let Some(age) = rule.workspaces {
            self.workspaces(before(now, age), &mut report).await?;
        }
        if scope == Scope::All {
            let before = before(now, SPARE);
            self.unnamed_blobs(before, &mut report).await?;
            self.unknown_sessions(before, &mut report).await?;
            let data = self.data.clone();
            let (line, notes) = blocking(move || temporary(&data, before, dry_run)).await?;
            report.removed.push(line);
            report.notes.extend(notes);
        }
        if report.notes.len() > NOTES {
            let more = report.notes.len() - NOTES;
            report.notes.truncate(NOTES);
            report.notes.push(format!("and {more} more"));
        }
        Ok(report)
    }

    /// Of these sessions, those that the board says have ended.
    async fn ended(&self, logs: Vec<EndedLog<SessionId>>) -> Result<Vec<EndedLog<SessionId>>> {
        let mut ended = Vec::new();
        for some in logs.chunks(AT_ONCE) {
            let known =
                self.store.ended_of(some.iter().map(|l| l.key).collect()).await.map_err(|e| read(&e))?;
            ended.extend(some.iter().filter(|l| known.contains(&l.key)).cloned());
        }
        Ok(ended)
    }

    async fn logs(&self, rule: Retention, now: Timestamp, report: &mut GcReport) -> Result<()> {
        let mut gone = line("logs", 0, Some(0));
        if rule.logs.is_some() || rule.logs_max.is_some() {
            let sessions = self.data.join("sessions");
            let there = sessions.clone();
            let logs = self.ended(blocking(move || files::ended_logs(&there)).await?).await?;
            for some in logs_to_go(logs, rule, now).chunks(AT_ONCE) {
                let mut removed = some.to_vec();
                if !report.dry_run {
                    // The board says that they are gone before they are.
                    let ids: Vec<SessionId> = some.iter().map(|l| l.key).collect();
                    self.submit(Command::ExpireLogs { sessions: ids }).await?;
                    let there = sessions.clone();
                    let (done, notes) = blocking(move || remove_logs(&there, removed)).await?;
                    report.notes.extend(notes);
                    removed = done;
                }
                count(&mut gone, removed.len() as u64, removed.iter().map(|l| l.bytes).sum());
            }
        }
        report.removed.push(gone);
        Ok(())
    }

    async fn projects(&self) -> Result<Vec<ProjectId>> {
        let (mut all, mut after) = (Vec::new(), Some(None));
        while let Some(from) = after {
            let page = self.store.projects(from, PAGE_LIMIT).await.map_err(|e| read(&e))?;
            all.extend(page.items.into_iter().map(|p| p.id));
            after = page.next_cursor.map(Some);
        }
        Ok(all)
    }

    async fn events(&self, before: Timestamp, report: &mut GcReport) -> Result<()> {
        let mut gone = line("events", 0, None);
        for project in self.projects().await? {
            let Some(may) = self.store.forgettable(&project, before).await.map_err(|e| read(&e))? else {
                continue;
            };
            if let Some(task) = &may.held_by {
                let from = may.up_to.saturating_add(1);
                report.notes.push(format!(
                    "events of project {project} from {from} on stay: task {task} is not finished"
                ));
            }
            let mut from = may.first;
            while from <= may.up_to {
                let up_to = may.up_to.min(from.saturating_add(EVENTS_AT_ONCE - 1));
                let count = up_to - from + 1;
                // Each task that is told anew is an event more: where that is most of them, nothing is won.
                let (_, told) = self.store.untold(&project, up_to, 1).await.map_err(|e| read(&e))?;
                if count < told.saturating_mul(2) {
                    break;
                }
                if report.dry_run {
                    gone.count = gone.count.saturating_add(may.up_to - from + 1);
                    break;
                }
                if !self.tell_tasks(&project, up_to).await? {
                    break;
                }
                self.submit(Command::ForgetEvents { project: project.clone(), up_to }).await?;
                gone.count = gone.count.saturating_add(count);
                from = up_to + 1;
            }
        }
        report.removed.push(gone);
        Ok(())
    }

    /// Sees to it that no task needs the events up to there; false where one does after all.
    async fn tell_tasks(&self, project: &ProjectId, up_to: u64) -> Result<bool> {
        let mut before = Vec::new();
        loop {
            let (tasks, _) = self.store.untold(project, up_to, TASKS_AT_ONCE).await.map_err(|e| read(&e))?;
            if tasks.is_empty() {
                return Ok(true);
            }
            // Somebody has taken one up again meanwhile.
            if tasks == before {
                return Ok(false);
            }
            before.clone_from(&tasks);
            self.submit(Command::SnapshotTasks { project: project.clone(), tasks }).await?;
        }
    }

    /// Whether what a folder was made for has ended before this time.
    async fn is_over(&self, of: &MadeFor, before: Timestamp) -> Result<bool> {
        match of {
            MadeFor::Task(project, task) => {
                let key = TaskKey::new(project.clone(), task.clone());
                let view = self.store.task(&key, self.clock.now()).await.map_err(|e| read(&e))?;
                Ok(view.is_some_and(|v| {
                    v.task.state.status.is_end() && v.open.is_none() && v.task.updated_at < before
                }))
            }
            MadeFor::Session(id) => {
                let session = self.store.session(*id).await.map_err(|e| read(&e))?;
                Ok(session.is_some_and(|(s, _)| s.completed_at.is_some_and(|at| at < before)))
            }
        }
    }

    async fn workspaces(&self, before: Timestamp, report: &mut GcReport) -> Result<()> {
        let mut gone = line("workspaces", 0, Some(0));
        let root = self.data.join("workspaces");
        let there = root.clone();
        for made in blocking(move || files::made_folders(&there)).await? {
            if !self.is_over(&made.of, before).await? {
                continue;
            }
            let path = made.path.clone();
            let (why, size) = blocking(move || (files::unsaved_work(&path), files::size_of(&path))).await?;
            if let Some(why) = why {
                report.notes.push(format!("a workspace stays: {why}"));
                continue;
            }
            // The look at git may have taken long: nobody may have begun in it meanwhile.
            if !report.dry_run && self.is_over(&made.of, before).await? {
                let (root, path) = (root.clone(), made.path.clone());
                if let Err(e) = blocking(move || files::remove_folder(&root, &path)).await? {
                    report.notes.push(format!("could not {e}"));
                    continue;
                }
            }
            count(&mut gone, 1, size);
        }
        report.removed.push(gone);
        Ok(())
    }

    async fn unnamed_blobs(&self, before: Timestamp, report: &mut GcReport) -> Result<()> {
        let mut gone = line("blobs", 0, Some(0));
        for blob in self.blobs.unnamed(&self.store, before).await.map_err(|e| read(&e))? {
            if !report.dry_run {
                match self.blobs.remove_unnamed(&blob.sha256, before) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(e) => {
                        report.notes.push(format!("could not remove blob {}: {}", blob.sha256, plain(&e)));
                        continue;
                    }
                }
            }
            count(&mut gone, 1, blob.size_bytes);
        }
        report.removed.push(gone);
        Ok(())
    }

    /// Directories of ended sessions that the board has forgotten, or never knew.
    async fn unknown_sessions(&self, before: Timestamp, report: &mut GcReport) -> Result<()> {
        let mut gone = line("sessions", 0, Some(0));
        let sessions = self.data.join("sessions");
        let there = sessions.clone();
        let ended = blocking(move || files::ended_sessions(&there)).await?;
        let old: Vec<SessionId> =
            ended.into_iter().filter(|(_, at)| *at < before).map(|(id, _)| id).collect();
        for some in old.chunks(AT_ONCE) {
            for id in self.store.unknown_of(some.to_vec()).await.map_err(|e| read(&e))? {
                let (there, dry_run) = (sessions.clone(), report.dry_run);
                let (size, removed) = blocking(move || {
                    let size = files::size_of(&there.join(id.to_string()));
                    (size, if dry_run { Ok(()) } else { files::remove_session(&there, id) })
                })
                .await?;
                match removed {
                    Ok(()) => count(&mut gone, 1, size),
                    Err(e) => report.notes.push(format!("could not {e}")),
                }
            }
        }
        report.removed.push(gone);
        Ok(())
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(micros))
}

fn count(line: &mut GcLine, n: u64, bytes: u64) {
    line.count = line.count.saturating_add(n);
    line.bytes = line.bytes.map(|sum| sum.saturating_add(bytes));
}

fn remove_logs(sessions: &Path, logs: Vec<EndedLog<SessionId>>) -> (Vec<EndedLog<SessionId>>, Vec<String>) {
    let mut notes = Vec::new();
    let removed = logs.into_iter().filter(|log| match files::remove_logs(sessions, log.key) {
        Ok(()) => true,
        Err(e) => {
            notes.push(format!("could not {e}"));
            false
        }
    });
    (removed.collect(), notes)
}

/// What was being written when the board was killed.
fn temporary(data: &Path, before: Timestamp, dry_run: bool) -> (GcLine, Vec<String>) {
    let (mut gone, mut notes) = (line("temporary", 0, Some(0)), Vec::new());
    let is_left = |folder: &Path, name: &str| {
        (folder == data && name.starts_with(".doctor-"))
            || (folder == data && name.starts_with('.') && name.rsplit('.').next() == Some("tmp"))
            || (folder != data && (name == ".unfinished.db" || name.starts_with(".copy-")))
    };
    for folder in [data.to_path_buf(), backups_dir(data)] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let name = entry.file_name();
            if !name.to_str().is_some_and(|n| is_left(&folder, n)) || files::time_of(&metadata) >= before {
                continue;
            }
            let path = entry.path();
            let size = if metadata.is_dir() { files::size_of(&path) } else { metadata.len() };
            let removed = match (dry_run, metadata.is_dir()) {
                (true, _) => Ok(()),
                (false, true) => std::fs::remove_dir_all(&path),
                (false, false) => std::fs::remove_file(&path),
            };
            match removed {
                Ok(()) => count(&mut gone, 1, size),
                Err(e) => notes.push(format!("could not remove {}: {}", path.display(), plain(&e))),
            }
        }
    }
    (gone, notes)
}
