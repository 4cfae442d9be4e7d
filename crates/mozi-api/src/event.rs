//! What happened.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    actor::Actor,
    wire::{AgentId, Object, ProjectId, TaskId, Time, show_duration},
};

pub use types::EVENT_TYPES;

mod types;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// 1, 2, 3 … per project in the order of commits, without gap.
    pub id: u64,
    /// The project; `null` = the stream of what belongs to none.
    pub project_id: Option<ProjectId>,
    /// The task, if it is about one.
    pub task_id: Option<TaskId>,
    /// The attempt, if it is about one.
    pub attempt_number: Option<u32>,
    /// The agent, if it is about one.
    pub agent: Option<AgentId>,
    /// Who did it.
    pub actor: Actor,
    /// What happened; an open list.
    pub event_type: String,
    /// What belongs to the type.
    pub detail: Object,
    /// When.
    pub at: Time,
}

impl Event {
    /// A field of its detail, if it is a text.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.detail.0.get(name).and_then(Value::as_str)
    }
}

impl From<&core::Event> for Event {
    fn from(e: &core::Event) -> Self {
        let detail = if let Value::Object(map) = e.kind.detail() { shown(map) } else { Map::new() };
        Self {
            id: e.id,
            project_id: e.project.clone().map(Into::into),
            task_id: e.task.clone().map(Into::into),
            attempt_number: e.attempt_number,
            agent: e.agent.clone().map(Into::into),
            actor: (&e.actor).into(),
            event_type: e.kind.name(),
            detail: detail.into(),
            at: e.at.into(),
        }
    }
}

/// Times are stored as microseconds under names in `_us`, durations of settings as milliseconds under names in
/// `_ms`; people and clients get them as everywhere else on the wire.
fn shown(map: Map<String, Value>) -> Map<String, Value> {
    let one = |(name, value): (String, Value)| {
        if let Some(bare) = name.strip_suffix("_us") {
            match &value {
                Value::Null => return (bare.to_owned(), value),
                Value::Number(n) if n.is_i64() => {
                    let at = core::Timestamp::from_micros(n.as_i64().unwrap_or_default());
                    return (bare.to_owned(), Value::String(Time(at).to_string()));
                }
                _ => {}
            }
        }
        if let (Some(bare), Some(ms)) =
            (name.strip_suffix("_ms").filter(|b| b.starts_with("backoff_")), value.as_u64())
        {
            let shown = show_duration(std::time::Duration::from_millis(ms));
            return (bare.to_owned(), Value::String(shown));
        }
        match value {
            Value::Object(inner) => (name, Value::Object(shown(inner))),
            other => (name, other),
        }
    };
    map.into_iter().map(one).collect()
}

/// A page of events. Ask again with `after = next_cursor`; a page without items is the present end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// In order.
    pub items: Vec<Event>,
    /// Where to go on: the last event's id, or an opaque text in the stream over all projects.
    pub next_cursor: Option<String>,
}
