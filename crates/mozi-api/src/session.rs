//! Sessions.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::{AgentId, ProjectId, RunnerId, SessionId, TaskId, Time};

/// Starts an agent by name: alone, or at a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSession {
    /// Whom.
    pub agent: AgentId,
    /// What to tell it; at a task, beside the task's prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The task's project; `default` if only the task is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// At this task: opens its next attempt, or is refused with what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// `wrapped` (default) or `verbatim`: the message is the whole prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptMode>,
}

impl StartSession {
    /// The command that it stands for.
    ///
    /// # Errors
    /// When a project is named without a task.
    pub fn into_command(self, session_id: core::SessionId) -> Result<core::Command, crate::body::Invalid> {
        let task = match (self.project_id, self.task_id) {
            (Some(p), Some(t)) => Some(core::TaskKey::new(p.0, t.0)),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(crate::body::Invalid::new("project_id", "is needed with a task_id"));
            }
            (Some(_), None) => {
                return Err(crate::body::Invalid::new("task_id", "is needed with a project_id"));
            }
        };
        Ok(core::Command::StartSession(Box::new(core::command::StartSession {
            session_id,
            agent: self.agent.0,
            message: self.message,
            verbatim: self.prompt.is_some_and(|p| p.0 == PromptKind::Verbatim),
            task,
        })))
    }
}

/// What the message of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PromptKind {
    /// A part of the prompt.
    Wrapped,
    /// The whole prompt.
    Verbatim,
}

crate::wire::named! {
    PromptMode = PromptKind, "What the message of a session is." { Wrapped => "wrapped", Verbatim => "verbatim" }
}

/// Why a session is stopped (body of `POST …/stop`; may be left out).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopSession {
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The running side of an attempt, or of an agent that was started by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its id.
    pub session_id: SessionId,
    /// Who runs.
    pub agent: AgentId,
    /// Its task's project, if it is at a task.
    pub project_id: Option<ProjectId>,
    /// Its task.
    pub task_id: Option<TaskId>,
    /// Its attempt there.
    pub attempt_number: Option<u32>,
    /// The runner that has it.
    pub runner_id: RunnerId,
    /// The agent's process, once it runs.
    pub pid: Option<u32>,
    /// `starting`, `running`, `ending`, `stuck`, or the outcome; an open list.
    pub status: String,
    /// What holds up its end.
    pub held_up: Option<HeldUp>,
    /// Why it could not be started or went wrong.
    pub error: Option<String>,
    /// Somebody has asked for its stop, and why.
    pub stop_requested: Option<String>,
    /// When it was claimed or ordered.
    pub started_at: Time,
    /// When it was closed.
    pub completed_at: Option<Time>,
}

/// What holds up the end of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldUp {
    /// `processes`, `gateway` or `other`; an open list.
    pub by: String,
    /// Which, in words.
    pub detail: String,
}

impl From<&core::Session> for Session {
    fn from(s: &core::Session) -> Self {
        let attempt = s.attempt.as_ref();
        Self {
            session_id: s.id.into(),
            agent: s.agent.clone().into(),
            project_id: attempt.map(|(k, _)| k.project.clone().into()),
            task_id: attempt.map(|(k, _)| k.task.clone().into()),
            attempt_number: attempt.map(|(_, n)| *n),
            runner_id: s.runner_id.clone().into(),
            pid: s.pid,
            status: s.status.as_str().to_owned(),
            held_up: s
                .held_up
                .as_ref()
                .map(|h| HeldUp { by: h.by.as_str().to_owned(), detail: h.detail.clone() }),
            error: s.error.clone(),
            stop_requested: s.stop_requested.clone(),
            started_at: s.started_at.into(),
            completed_at: s.completed_at.map(Into::into),
        }
    }
}
