//! Credentials of people and runners.

use mozi_core::{self as core, token::Holder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::{ProjectId, RunnerId, Time, UserRole};

/// Asks for a new token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is called; unique.
    pub name: String,
    /// What it may do; `admin` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<UserRole>,
    /// Only this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

impl CreateToken {
    /// The command that it stands for; `user` is whose it becomes.
    pub fn into_command(self, hash: core::TokenHash, user: String) -> core::Command {
        core::Command::CreateToken {
            name: self.name,
            hash,
            holder: Holder::User { user, role: self.role.map_or(core::UserRole::Admin, |r| r.0) },
            project: self.project_id.map(|p| p.0),
            expires_at: self.expires_at.map(|t| t.0),
        }
    }
}

/// A stored credential; its secret was shown once, when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// What it is called.
    pub name: String,
    /// Whose it is, if a user's.
    pub user: Option<String>,
    /// `admin`, `operator`, `viewer`, or `runner`; an open list.
    pub role: String,
    /// Whose it is, if a runner's.
    pub runner_id: Option<RunnerId>,
    /// Only this project.
    pub project_id: Option<ProjectId>,
    /// When it was made.
    pub created_at: Time,
    /// When it ends by itself.
    pub expires_at: Option<Time>,
    /// When it was last used, as far as recorded.
    pub last_used_at: Option<Time>,
    /// When it was revoked.
    pub revoked_at: Option<Time>,
}

impl From<&core::Token> for Token {
    fn from(t: &core::Token) -> Self {
        let (user, role, runner) = match &t.holder {
            Holder::User { user, role } => (Some(user.clone()), role.as_str(), None),
            Holder::Runner(id) => (None, "runner", Some(id.clone())),
        };
        Self {
            name: t.name.clone(),
            user,
            role: role.to_owned(),
            runner_id: runner.map(Into::into),
            project_id: t.project.clone().map(Into::into),
            created_at: t.created_at.into(),
            expires_at: t.expires_at.map(Into::into),
            last_used_at: t.last_used_at.map(Into::into),
            revoked_at: t.revoked_at.map(Into::into),
        }
    }
}

/// A new token with its secret, shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The secret: `Authorization: Bearer …`.
    pub token: String,
    /// What is stored.
    #[serde(flatten)]
    pub info: Token,
}
