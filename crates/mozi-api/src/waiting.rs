//! What a task waits for.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::wire::Time;

/// One thing that a task waits for: its kind, fields of that kind, and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingFor {
    /// The kind, an open list: `dependency`, `time`, `slot`, `attempt`, `attempt_ending`, `gateway`, `no_agent`,
    /// `agent_unknown`, `agent_offline`, `agent_paused`, `agent_held_back`, `agent_role`, `manual`, `archived`,
    /// `folder_busy`, `review`, `person`.
    pub kind: String,
    /// The same in words, to follow "waits for".
    pub text: String,
    /// What belongs to the kind: `task_id`, `status`, `until`, `at`, `agent`, `held_by`, `attempt_number` …
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl WaitingFor {
    /// A field of its kind, if it is a text.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.more.get(name).and_then(Value::as_str)
    }
}

impl From<&core::WaitingFor> for WaitingFor {
    fn from(w: &core::WaitingFor) -> Self {
        use core::WaitingFor as W;
        let ids = |held: &[core::SessionId]| held.iter().map(ToString::to_string).collect::<Vec<_>>();
        let at = |t: core::Timestamp| Time(t).to_string();
        let more = match w {
            W::Dependency { task_id, status, until } => json!({
                "task_id": task_id.as_str(), "status": status.as_str(), "until": until.as_str(),
            }),
            W::Time { at: when, by_board } => json!({ "at": at(*when), "by_board": by_board }),
            W::AgentSlot { agent, held_by } => {
                json!({ "of": "agent", "agent": agent.as_str(), "held_by": ids(held_by) })
            }
            W::ProjectSlot { project_id, held_by } => {
                json!({ "of": "project", "project_id": project_id.as_str(), "held_by": ids(held_by) })
            }
            W::RunnerSlot { runner_id, held_by } => {
                json!({ "of": "runner", "runner_id": runner_id.as_str(), "held_by": ids(held_by) })
            }
            W::Attempt { number, role, agent, since } => json!({
                "attempt_number": number, "role": role.as_str(), "agent": agent.as_str(), "since": at(*since),
            }),
            W::AttemptEnding { number, held_up } => json!({
                "attempt_number": number,
                "held_up": held_up.as_ref().map(|h| json!({ "by": h.by.as_str(), "detail": h.detail })),
            }),
            W::AgentUnknown { agent } => json!({ "agent": agent.as_str() }),
            W::AgentOffline { agent, since } => json!({ "agent": agent.as_str(), "since": at(*since) }),
            W::AgentPaused { agent, until, reason, detail } => json!({
                "agent": agent.as_str(), "until": until.map(at), "reason": reason.map(core::Reason::as_str),
                "detail": detail,
            }),
            W::AgentHeldBack { agent, why } => json!({ "agent": agent.as_str(), "why": why }),
            W::AgentRole { agent, role } => json!({ "agent": agent.as_str(), "role": role.as_str() }),
            // Not `kind`: that name is taken by the kind of the wait itself.
            W::Person { kind, detail } => json!({ "why": kind, "detail": detail }),
            W::NoAgent | W::Manual | W::Archived | W::FolderBusy | W::Review => Value::Null,
        };
        let more = if let Value::Object(map) = more { map } else { Map::new() };
        Self { kind: w.kind().to_owned(), text: w.to_string(), more }
    }
}
