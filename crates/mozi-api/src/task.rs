//! Tasks.

use std::{collections::BTreeMap, time::Duration};

use mozi_core as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    actor::Actor,
    attempt::Attempt,
    body::Invalid,
    comment::Comment,
    event::Event,
    output::Output,
    waiting::WaitingFor,
    wire::{AgentId, Object, ProjectId, Review, Status, TaskId, Time, Until, given},
};

pub use lists::{DependsOn, MustHaves};

mod lists;

/// Asks for a new task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTask {
    /// One line.
    pub title: String,
    /// Its id; else the project's next free number. The same body again is answered with the task as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A word of yours; `general` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// Any whole number, smaller is more urgent; 5 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// The conditions that a result has to meet: a list, or one text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_haves: Option<MustHaves>,
    /// Who does it; else the project's `default_agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// What it waits for: ids, or `{task_id, until}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependsOn>,
    /// Not claimed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// How long an attempt may take; else the agent's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Else the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// `human`, `none` or an agent's id; else the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// A link to another task, no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// For people and queries.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: Object,
    /// Any JSON object; not looked into.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub metadata: Object,
    /// Created as `blocked`, kind `held`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

impl CreateTask {
    /// A task with nothing but a title.
    pub fn titled(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            task_id: None,
            description: None,
            task_type: None,
            priority: None,
            must_haves: None,
            agent: None,
            depends_on: Vec::new(),
            not_before: None,
            timeout_seconds: None,
            max_attempts: None,
            review: None,
            parent: None,
            labels: Object::default(),
            metadata: Object::default(),
            held: false,
        }
    }

    /// What a task's author said, to be said again: as a new task with the same id.
    pub fn again(task: &core::Task, depends_on: &[(core::TaskId, core::Until)]) -> Self {
        let core::Task { key, spec, state, .. } = task;
        let labels = spec.labels.iter().map(|(k, v)| (k.clone(), serde_json::Value::from(v.as_str())));
        Self {
            title: spec.title.clone(),
            task_id: Some(key.task.clone().into()),
            description: spec.description.clone(),
            task_type: Some(spec.task_type.clone()).filter(|t| t != core::task::DEFAULT_TASK_TYPE),
            priority: Some(spec.priority).filter(|n| *n != core::task::DEFAULT_PRIORITY),
            must_haves: (!spec.must_haves.is_empty()).then(|| MustHaves(spec.must_haves.clone())),
            agent: spec.agent.clone().map(Into::into),
            depends_on: depends_on
                .iter()
                .map(|(on, until)| DependsOn { task_id: on.clone().into(), until: (*until).into() })
                .collect(),
            // A pause that the board made is none of its author's.
            not_before: state.not_before.filter(|n| !n.by_board).map(|n| n.at.into()),
            timeout_seconds: spec.timeout.map(|t| u32::try_from(t.as_secs().max(1)).unwrap_or(u32::MAX)),
            max_attempts: spec.max_attempts,
            review: spec.review.clone().map(Into::into),
            parent: spec.parent.clone().map(Into::into),
            labels: Object(labels.collect()),
            metadata: Object::of(&spec.metadata),
            held: state.kind.as_deref() == Some("held"),
        }
    }

    /// The body in one form, whatever form it came in: what a fingerprint is taken of.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The new task that it stands for.
    ///
    /// # Errors
    /// When a label is no text.
    pub fn into_new_task(
        self,
        project: core::ProjectId,
        fingerprint: String,
    ) -> Result<core::command::NewTask, Invalid> {
        let spec = core::TaskSpec {
            title: self.title,
            description: self.description,
            task_type: self.task_type.unwrap_or_else(|| core::task::DEFAULT_TASK_TYPE.to_owned()),
            priority: self.priority.unwrap_or(core::task::DEFAULT_PRIORITY),
            must_haves: self.must_haves.map(|m| m.0).unwrap_or_default(),
            agent: self.agent.map(|a| a.0),
            timeout: self.timeout_seconds.map(|s| Duration::from_secs(s.into())),
            max_attempts: self.max_attempts,
            review: self.review.map(|r| r.0),
            parent: self.parent.map(|p| p.0),
            labels: labels(self.labels)?,
            metadata: self.metadata.into_value(),
        };
        Ok(core::command::NewTask {
            project,
            id: self.task_id.map(|t| t.0),
            spec,
            depends_on: self.depends_on.into_iter().map(|d| (d.task_id.0, d.until.0)).collect(),
            not_before: self.not_before.map(|t| t.0),
            held: self.held,
            fingerprint,
        })
    }
}

/// Labels are taken as an object and looked at here: a name given twice and a value that is no text are refused by
/// name.
fn labels(object: Object) -> Result<BTreeMap<String, String>, Invalid> {
    let one = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) => Ok((name, text)),
        _ => Err(Invalid::new(format!("labels.{name}"), "must be a text")),
    };
    object.0.into_iter().map(one).collect()
}

/// Changes a task; what is absent stays, `null` clears what may be empty. It holds for the next attempt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchTask {
    /// One line.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The rest.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// A word of yours.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// Smaller is more urgent.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// The conditions that a result has to meet.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub must_haves: Option<MustHaves>,
    /// Who does it; only while no attempt is open.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AgentId>)]
    pub agent: Option<Option<AgentId>>,
    /// Not claimed before.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    pub not_before: Option<Option<Time>>,
    /// How long an attempt may take.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub timeout_seconds: Option<Option<u32>>,
    /// Executor attempts without a verdict.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub max_attempts: Option<Option<u32>>,
    /// Who decides on the result.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Review>)]
    pub review: Option<Option<Review>>,
    /// All labels anew.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub labels: Option<Object>,
    /// All metadata anew.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}

impl PatchTask {
    /// The change that it stands for.
    ///
    /// # Errors
    /// When a label is no text.
    pub fn into_patch(self) -> Result<core::command::TaskPatch, Invalid> {
        Ok(core::command::TaskPatch {
            title: self.title,
            description: self.description,
            task_type: self.task_type,
            priority: self.priority,
            must_haves: self.must_haves.map(|m| m.0),
            agent: self.agent.map(|a| a.map(|a| a.0)),
            timeout: self.timeout_seconds.map(|t| t.map(|s| Duration::from_secs(s.into()))),
            max_attempts: self.max_attempts,
            review: self.review.map(|r| r.map(|r| r.0)),
            labels: self.labels.map(labels).transpose()?,
            metadata: self.metadata.map(Object::into_value),
            not_before: self.not_before.map(|t| t.map(|t| t.0)),
        })
    }
}

/// How far a dependency must come (body of `PUT …/dependencies/{other}`; may be left out).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutDependency {
    /// `done` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
}

/// One task's wait for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dependency {
    /// The task that is waited for.
    pub task_id: TaskId,
    /// How far it must have come.
    pub until: Until,
    /// Its status now.
    pub status: Status,
    /// Whether it holds nothing up any more.
    pub met: bool,
}

impl From<&core::Dependency> for Dependency {
    fn from(d: &core::Dependency) -> Self {
        Self { task_id: d.on.clone().into(), until: d.until.into(), status: d.status.into(), met: d.is_met() }
    }
}

/// A unit of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its project.
    pub project_id: ProjectId,
    /// Its id there.
    pub task_id: TaskId,
    /// One line.
    pub title: String,
    /// The rest.
    pub description: Option<String>,
    /// A word of its author's.
    pub task_type: String,
    /// Smaller is more urgent.
    pub priority: i64,
    /// The conditions that a result has to meet.
    pub must_haves: Vec<String>,
    /// Who does it; else the project's `default_agent`.
    pub agent: Option<AgentId>,
    /// What it waits for.
    pub depends_on: Vec<Dependency>,
    /// Not claimed before.
    pub not_before: Option<Time>,
    /// How long an attempt may take; else the agent's own limit.
    pub timeout_seconds: Option<u64>,
    /// Else the project's.
    pub max_attempts: Option<u32>,
    /// Who decides on the result; else as the project says.
    pub review: Option<Review>,
    /// A link to another task.
    pub parent: Option<TaskId>,
    /// For people and queries.
    pub labels: BTreeMap<String, String>,
    /// As its author gave it.
    pub metadata: Object,
    /// Where it is.
    pub status: Status,
    /// Why it is there, as a word: `held`, `dry_run`, `needs_input` …
    pub kind: Option<String>,
    /// Why it is there, in words.
    pub detail: Option<String>,
    /// The number of its newest attempt.
    pub attempt_number: Option<u32>,
    /// Changes with every change of the task and with every output.
    pub version: u64,
    /// Why it does not run; empty = it will be claimed at once, or it has ended.
    pub waiting_for: Vec<WaitingFor>,
    /// Who created it.
    pub created_by: Actor,
    /// When.
    pub created_at: Time,
    /// When `version` last changed.
    pub updated_at: Time,
    /// What was delivered; with `expand=outputs` or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Output>>,
    /// What was said; with `expand=comments` or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comments: Option<Vec<Comment>>,
    /// Its runs; with `expand=attempts` or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<Attempt>>,
    /// What happened; with `expand=events` or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<Event>>,
    /// What its author should know; in the answer to its creation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Task {
    /// A task as the board knows it, with what it waits for.
    pub fn new(task: &core::Task, dependencies: &[core::Dependency], waits: &[core::WaitingFor]) -> Self {
        let core::Task { key, spec, state, created_by, created_at, updated_at, version } = task;
        Self {
            project_id: key.project.clone().into(),
            task_id: key.task.clone().into(),
            title: spec.title.clone(),
            description: spec.description.clone(),
            task_type: spec.task_type.clone(),
            priority: spec.priority,
            must_haves: spec.must_haves.clone(),
            agent: spec.agent.clone().map(Into::into),
            depends_on: dependencies.iter().map(Into::into).collect(),
            not_before: state.not_before.map(|n| n.at.into()),
            timeout_seconds: spec.timeout.map(|t| t.as_secs()),
            max_attempts: spec.max_attempts,
            review: spec.review.clone().map(Into::into),
            parent: spec.parent.clone().map(Into::into),
            labels: spec.labels.clone(),
            metadata: Object::of(&spec.metadata),
            status: state.status.into(),
            kind: state.kind.clone(),
            detail: state.detail.clone(),
            attempt_number: (state.last_attempt > 0).then_some(state.last_attempt),
            version: *version,
            waiting_for: waits.iter().map(Into::into).collect(),
            created_by: created_by.into(),
            created_at: (*created_at).into(),
            updated_at: (*updated_at).into(),
            outputs: None,
            comments: None,
            attempts: None,
            events: None,
            warnings: Vec::new(),
        }
    }
}

/// What an agent would get now (`GET …/tasks/{t}/prompt`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromptPreview {
    /// For which role.
    pub role: String,
    /// For which agent, if one is named.
    pub agent: Option<AgentId>,
    /// The text, its token masked.
    pub text: String,
    /// The bootstrap command that will put its part before or in place of the first part, if any.
    pub bootstrap: Option<String>,
    /// What was fallen back from or cut off while it was made.
    #[serde(default)]
    pub notices: Vec<String>,
}
