//! People.

use mozi_core::{self as core, command};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::{ProjectId, Time, UserRole, given};

/// Asks for a new user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// What they are called; unique without regard to case.
    pub name: String,
    /// What they may do; `operator` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<UserRole>,
    /// Only this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// When they end by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

impl CreateUser {
    /// The command that it stands for.
    pub fn into_command(self) -> core::Command {
        core::Command::CreateUser(command::NewUser {
            name: self.name,
            role: self.role.map_or(core::UserRole::Operator, |r| r.0),
            project: self.project_id.map(|p| p.0),
            expires_at: self.expires_at.map(|t| t.0),
        })
    }
}

/// Changes a user; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchUser {
    /// What they may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<UserRole>,
    /// Only this project; `null` = all.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Option<ProjectId>>,
    /// When they end by themselves; `null` = never.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Option<Time>>,
    /// Whether all that is theirs is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

impl PatchUser {
    /// The command that it stands for.
    pub fn into_command(self, name: String) -> core::Command {
        let patch = command::UserPatch {
            role: self.role.map(|r| r.0),
            project: self.project_id.map(|p| p.map(|p| p.0)),
            expires_at: self.expires_at.map(|at| at.map(|t| t.0)),
            disabled: self.disabled,
        };
        core::Command::SetUser { name, patch }
    }
}

/// Somebody who may ask the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// What they are called.
    pub name: String,
    /// `admin`, `operator` or `viewer`; an open list.
    pub role: String,
    /// Only this project.
    pub project_id: Option<ProjectId>,
    /// Since when they are known.
    pub created_at: Time,
    /// When they end by themselves.
    pub expires_at: Option<Time>,
    /// Since when all that is theirs is worth nothing.
    pub disabled_at: Option<Time>,
    /// When a token of theirs was last used, as far as recorded.
    pub last_used_at: Option<Time>,
}

impl User {
    /// A user with the last use of their tokens.
    pub fn new(u: &core::User, last_used_at: Option<core::Timestamp>) -> Self {
        Self {
            name: u.name.clone(),
            role: u.role.as_str().to_owned(),
            project_id: u.project.clone().map(Into::into),
            created_at: u.created_at.into(),
            expires_at: u.expires_at.map(Into::into),
            disabled_at: u.disabled_at.map(Into::into),
            last_used_at: last_used_at.map(Into::into),
        }
    }
}
