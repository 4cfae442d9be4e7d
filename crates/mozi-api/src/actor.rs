//! Who did something.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// `user`, `attempt`, `runner`, `board` or `anonymous`; an open list.
    pub kind: String,
    /// A user's name, a session's or a runner's id.
    pub id: Option<String>,
    /// What people call it: a token's name, an agent.
    pub name: Option<String>,
    /// By which road: `http`, `cli`, `outbox` …
    pub via: Option<String>,
}

impl From<&core::Actor> for Actor {
    fn from(a: &core::Actor) -> Self {
        Self { kind: a.kind.as_str().to_owned(), id: a.id.clone(), name: a.name.clone(), via: a.via.clone() }
    }
}
