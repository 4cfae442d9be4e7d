//! What is said about a task.

use crate::{
    id::{AttemptNumber, TaskKey},
    time::Timestamp,
    token::Actor,
};

/// A remark on a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The task.
    pub key: TaskKey,
    /// Its number there: 1, 2, 3 …
    pub id: u32,
    /// Who is shown as its author.
    pub author: String,
    /// The text.
    pub body: String,
    /// The attempt that made it, if one did.
    pub attempt_number: Option<AttemptNumber>,
    /// Who really made it.
    pub actor: Actor,
    /// When.
    pub created_at: Timestamp,
}
