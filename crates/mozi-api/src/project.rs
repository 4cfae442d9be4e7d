//! Projects and their settings.

use std::collections::BTreeMap;

use mozi_core::{self as core, command::SettingChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::{
    AgentId, Dispatch, Language, OnNoVerdict, ProjectId, RequireOutput, RetryOrBlock, Review, Span, Time,
    given, object_of,
};

/// Asks for a new project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Its id, from now on.
    pub project_id: ProjectId,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Settings other than the defaults.
    #[serde(default, deserialize_with = "object_of", skip_serializing_if = "SettingsPatch::is_empty")]
    pub settings: SettingsPatch,
}

impl CreateProject {
    /// The command that it stands for.
    pub fn into_command(self) -> core::Command {
        core::Command::CreateProject {
            id: self.project_id.0,
            name: self.name,
            settings: self.settings.into_changes(),
        }
    }
}

/// Changes a project; what is absent stays.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchProject {
    /// What people call it; `null` = nothing but its id.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    /// Settings to change.
    #[serde(default, deserialize_with = "object_of", skip_serializing_if = "SettingsPatch::is_empty")]
    pub settings: SettingsPatch,
    /// An archived project is not claimed from and takes no new tasks.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
}

impl PatchProject {
    /// The command that it stands for.
    pub fn into_command(self, project: core::ProjectId) -> core::Command {
        core::Command::SetProject {
            id: project,
            name: self.name,
            settings: self.settings.into_changes(),
            archived: self.archived,
        }
    }
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $wire:ty, $change:ident, $get:expr, $set:expr;)+) => {
        /// How the tasks of a project are treated.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[schema(as = Settings)]
        pub struct Settings {
            $($(#[$doc])* pub $name: $wire,)+
        }

        impl From<&core::Settings> for Settings {
            fn from(s: &core::Settings) -> Self {
                Self { $($name: $get(s.$name.clone()),)+ }
            }
        }

        /// Settings to change; what is absent stays, `null` = the default of a setting that may be empty.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct SettingsPatch {
            $(
                $(#[$doc])*
                #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                #[schema(value_type = Option<$wire>)]
                pub $name: Option<$wire>,
            )+
        }

        impl SettingsPatch {
            /// Nothing to change.
            pub fn is_empty(&self) -> bool {
                true $(&& self.$name.is_none())+
            }
            /// The names of all settings.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];
            /// The changes that it stands for.
            pub fn into_changes(self) -> Vec<SettingChange> {
                let mut changes = Vec::new();
                $(changes.extend(self.$name.map(|v| SettingChange::$change($set(v))));)+
                changes
            }
        }
    };
}

fn same<T>(value: T) -> T {
    value
}
fn wrap<T, W: From<T>>(value: T) -> W {
    value.into()
}
fn wrap_some<T, W: From<T>>(value: Option<T>) -> Option<W> {
    value.map(Into::into)
}

settings! {
    /// The agent of tasks that name none.
    default_agent: Option<AgentId>, DefaultAgent, wrap_some, |v: Option<AgentId>| v.map(|a| a.0);
    /// `auto`: runners claim what is ready. `manual`: nothing is claimed unless started by name.
    dispatch: Dispatch, Dispatch, wrap, |v: Dispatch| v.0;
    /// Who decides on results: `human`, `none` or an agent's id.
    review: Review, Review, wrap, |v: Review| v.0;
    /// Whether a verdict `review` needs an output of the attempt.
    require_output: RequireOutput, RequireOutput, wrap, |v: RequireOutput| v.0;
    /// Executor attempts without a verdict before the task fails.
    max_attempts: u32, MaxAttempts, same, same;
    /// Reviewer attempts without a verdict before a person decides.
    max_review_attempts: u32, MaxReviewAttempts, same, same;
    /// Send-backs by reviewers since a person last acted.
    max_review_rounds: u32, MaxReviewRounds, same, same;
    /// What follows exit 0 without a verdict.
    on_no_verdict: OnNoVerdict, OnNoVerdict, wrap, |v: OnNoVerdict| v.0;
    /// What follows a lost attempt.
    on_lost: RetryOrBlock, OnLost, wrap, |v: RetryOrBlock| v.0;
    /// What follows a timed out attempt.
    on_timeout: RetryOrBlock, OnTimeout, wrap, |v: RetryOrBlock| v.0;
    /// The first pause before a repetition.
    backoff_initial: Span, BackoffInitial, wrap, |v: Span| v.0;
    /// The longest pause before a repetition.
    backoff_max: Span, BackoffMax, wrap, |v: Span| v.0;
    /// Live attempts at once in this project; `null` = no limit of its own.
    max_sessions: Option<u32>, MaxSessions, same, same;
    /// Whether executors may create subtasks.
    agents_may_create: bool, AgentsMayCreate, same, same;
    /// The language of prompts.
    language: Language, Language, wrap, |v: Language| v.0;
    /// The name of the bootstrap command that builds the first part of a prompt.
    bootstrap: Option<String>, Bootstrap, same, same;
}

/// A board of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its id.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: Option<String>,
    /// How its tasks are treated.
    pub settings: Settings,
    /// An archived project is not claimed from and takes no new tasks.
    pub archived: bool,
    /// How many of its tasks are in each status.
    pub counts: BTreeMap<String, u64>,
    /// Changes with every change of name, settings or archive mark.
    pub version: u64,
    /// When it was made.
    pub created_at: Time,
    /// When `version` last changed.
    pub updated_at: Time,
}

impl From<&core::Project> for Project {
    fn from(p: &core::Project) -> Self {
        Self {
            project_id: p.id.clone().into(),
            name: p.name.clone(),
            settings: (&p.settings).into(),
            archived: p.archived,
            counts: core::Status::ALL.iter().map(|s| (s.as_str().to_owned(), p.counts.get(*s))).collect(),
            version: p.version,
            created_at: p.created_at.into(),
            updated_at: p.updated_at.into(),
        }
    }
}
