//! What agents deliver.

use crate::{
    id::{AgentId, AttemptNumber, TaskKey},
    project::words,
    time::Timestamp,
    token::Actor,
};

/// What kind of thing an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// Source code.
    Code,
    /// Text for people.
    Document,
    /// Data.
    Data,
    /// Configuration.
    Config,
    /// Anything else.
    Other,
}

words! {
    OutputType { Code => "code", Document => "document", Data => "data", Config => "config", Other => "other" }
}

/// Where an output's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the database.
    Inline(Vec<u8>),
    /// In the blob named by the output's hash: written and synced before the command was submitted.
    Blob,
}

/// What an agent delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The task.
    pub key: TaskKey,
    /// Its number there: 1, 2, 3 …
    pub id: u32,
    /// The attempt that delivered it, if one did.
    pub attempt_number: Option<AttemptNumber>,
    /// The agent, if one did.
    pub agent: Option<AgentId>,
    /// What kind of thing.
    pub output_type: OutputType,
    /// One line.
    pub title: String,
    /// A few lines.
    pub summary: Option<String>,
    /// The name of the file it came from, if any.
    pub file_name: Option<String>,
    /// Lower-case hex of its SHA-256.
    pub sha256: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Where its bytes are.
    pub content: Content,
    /// Who added it.
    pub actor: Actor,
    /// When.
    pub created_at: Timestamp,
}
