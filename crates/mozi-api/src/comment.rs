//! What is said about a task.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{actor::Actor, wire::Time};

/// A remark on a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Comment {
    /// Its number at the task: 1, 2, 3 …
    pub comment_id: u32,
    /// Who is shown as its author.
    pub author: String,
    /// The text.
    pub body: String,
    /// The attempt that made it, if one did.
    pub attempt_number: Option<u32>,
    /// Who really made it.
    pub actor: Actor,
    /// When.
    pub created_at: Time,
}

impl From<&core::Comment> for Comment {
    fn from(c: &core::Comment) -> Self {
        Self {
            comment_id: c.id,
            author: c.author.clone(),
            body: c.body.clone(),
            attempt_number: c.attempt_number,
            actor: (&c.actor).into(),
            created_at: c.created_at.into(),
        }
    }
}
