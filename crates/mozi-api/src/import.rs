//! Many tasks at once: JSON lines.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    body::{self, BadBody, Invalid},
    task::CreateTask,
    wire::TaskId,
};

/// The media type of JSON lines.
pub const LINES: &str = "application/x-ndjson";
/// The longest line that is read, in bytes.
pub const LINE_BYTES: usize = 4 * 1024 * 1024;

/// What became of many tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportReply {
    /// Tasks that were made, or with `dry_run` would be.
    pub created: u64,
    /// Tasks that were there already, with the same body.
    pub existing: u64,
    /// Of a whole project: tasks that were at work where it comes from, and are blocked here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub were_live: u64,
    /// Nothing was written.
    pub dry_run: bool,
    /// What their author should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BadLine {
    /// The line: 1, 2, 3 …
    pub line: u64,
    /// The task of that line, as far as known.
    pub task_id: Option<TaskId>,
    /// Which field.
    pub field: String,
    /// Why.
    pub why: String,
}

impl From<&core::command::BadLine> for BadLine {
    fn from(b: &core::command::BadLine) -> Self {
        Self {
            line: b.line,
            task_id: b.task.clone().map(Into::into),
            field: b.field.clone(),
            why: b.why.clone(),
        }
    }
}

/// Lines that were read so far, and what was wrong with them.
#[derive(Debug, Default)]
pub struct Lines {
    /// Those that can be read.
    pub good: Vec<core::command::ImportLine>,
    /// Those that cannot.
    pub bad: Vec<core::command::BadLine>,
    line: u64,
}

impl Lines {
    /// How many tasks were read, good and bad.
    pub fn count(&self) -> usize {
        self.good.len().saturating_add(self.bad.len())
    }

    /// Reads the next line, without its end. An empty one is passed over.
    pub fn read(&mut self, line: &[u8], project: &core::ProjectId, fingerprint: impl FnOnce(&str) -> String) {
        self.line = self.line.saturating_add(1);
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let read = body::parse::<CreateTask>(line);
        let read = read.and_then(|task| {
            let fingerprint = fingerprint(&task.canonical());
            Ok(task.into_new_task(project.clone(), fingerprint)?)
        });
        match read {
            Ok(task) => self.good.push(core::command::ImportLine { line: self.line, task }),
            Err(BadBody::Wrong(Invalid { field, why })) => self.refuse(named(line), field, why),
            Err(BadBody::NotJson(why)) => self.refuse(None, "line".into(), format!("is not JSON: {why}")),
        }
    }

    /// A line that is longer than [`LINE_BYTES`].
    pub fn too_long(&mut self) {
        self.line = self.line.saturating_add(1);
        self.refuse(None, "line".into(), format!("is longer than {LINE_BYTES} bytes"));
    }

    fn refuse(&mut self, task: Option<core::TaskId>, field: String, why: String) {
        self.bad.push(core::command::BadLine { line: self.line, task, field, why });
    }
}

/// The id of a task that cannot be read, if that can be read at least: others may wait for it.
fn named(line: &[u8]) -> Option<core::TaskId> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    value.get("task_id")?.as_str()?.parse().ok()
}
