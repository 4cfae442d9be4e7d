//! The contract's calls: what agents say of their task. These bodies are lenient: unknown fields are ignored, and
//! named in a warning.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::{OutputType, Status, TaskId, Time};

/// A report of a status, by an agent or a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusReport {
    /// Which.
    pub status: Status,
    /// Who says it; beside a token only what is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Why, or the remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why, as a word: `needs_input`, `access`, `external`, `other` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The attempt that a person has seen: with another one the decision is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_number: Option<u32>,
}

impl StatusReport {
    /// Nothing but a status.
    pub fn of(status: core::Status) -> Self {
        Self { status: status.into(), agent: None, detail: None, kind: None, attempt_number: None }
    }
    /// The report that it stands for.
    pub fn into_report(self, key: core::TaskKey) -> core::command::Report {
        core::command::Report {
            key,
            status: self.status.0,
            detail: self.detail,
            kind: self.kind,
            attempt_number: self.attempt_number,
            claimed_agent: self.agent,
        }
    }
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusReply {
    /// The task.
    pub task_id: TaskId,
    /// Its status now.
    pub status: Status,
    /// The attempt that it was taken for.
    pub attempt_number: Option<u32>,
    /// The newest event of the project when it was taken.
    pub event_id: u64,
    /// What was not as it should be.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A new output. Just one of `content` and `content_path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewOutput {
    /// Who delivers it; beside a token only what is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What kind of thing.
    #[serde(rename = "type")]
    pub output_type: OutputType,
    /// One line.
    pub title: String,
    /// A few lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A file on the agent's machine, in its workspace or an `output_root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_path: Option<String>,
}

/// What goes with the file of a multipart upload: parts `type`, `title`, `summary`, `agent` and `file`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputUpload {
    /// What kind of thing.
    #[serde(rename = "type")]
    pub output_type: OutputType,
    /// One line.
    pub title: String,
    /// A few lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Who delivers it; beside a token only what is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The bytes, with a file name.
    #[serde(skip)]
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    pub file: (),
}

/// The answer to a new output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputReply {
    /// Its number at the task.
    pub output_id: u32,
    /// Its size.
    pub size_bytes: u64,
    /// Lower-case hex of its SHA-256.
    pub sha256: String,
    /// What was not as it should be.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A new comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewComment {
    /// Who says it; beside an attempt's token only what is claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The text.
    pub body: String,
}

/// The answer to a new comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommentReply {
    /// Its number at the task.
    pub comment_id: u32,
    /// Who is shown as its author.
    pub author: String,
    /// When it was taken.
    pub created_at: Time,
    /// What was not as it should be.
    #[serde(default)]
    pub warnings: Vec<String>,
}
