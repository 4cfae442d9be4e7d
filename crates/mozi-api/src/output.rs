//! What agents deliver.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    actor::Actor,
    wire::{AgentId, OutputType, Time},
};

/// What an agent delivered. Its bytes are at `…/outputs/{output_id}/content`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// Its number at the task: 1, 2, 3 …
    pub output_id: u32,
    /// The attempt that delivered it, if one did.
    pub attempt_number: Option<u32>,
    /// The agent, if one did.
    pub agent: Option<AgentId>,
    /// What kind of thing.
    #[serde(rename = "type")]
    pub output_type: OutputType,
    /// One line.
    pub title: String,
    /// A few lines.
    pub summary: Option<String>,
    /// The name of the file it came from, if any.
    pub file_name: Option<String>,
    /// Lower-case hex of its SHA-256.
    pub sha256: String,
    /// Its size.
    pub size_bytes: u64,
    /// Where its bytes are, beneath the board's address.
    pub content_url: String,
    /// Who added it.
    pub actor: Actor,
    /// When.
    pub created_at: Time,
}

impl From<&core::Output> for Output {
    fn from(o: &core::Output) -> Self {
        Self {
            output_id: o.id,
            attempt_number: o.attempt_number,
            agent: o.agent.clone().map(Into::into),
            output_type: o.output_type.into(),
            title: o.title.clone(),
            summary: o.summary.clone(),
            file_name: o.file_name.clone(),
            sha256: o.sha256.clone(),
            size_bytes: o.size_bytes,
            content_url: format!(
                "/api/projects/{}/tasks/{}/outputs/{}/content",
                o.key.project, o.key.task, o.id
            ),
            actor: (&o.actor).into(),
            created_at: o.created_at.into(),
        }
    }
}
