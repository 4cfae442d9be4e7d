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
    /// Whose it becomes; by default whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What it may do; by default what its user may, and never more.
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
    /// The command that it stands for; `user` is whose it becomes and `role` what they may.
    pub fn into_command(self, hash: core::TokenHash, user: String, role: core::UserRole) -> core::Command {
        core::Command::CreateToken {
            name: self.name,
            hash,
            holder: Holder::User { user, role: self.role.map_or(role, |r| r.0) },
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
    /// What it may do now, which is never more than its user may: `admin`, `operator`, `viewer`, or `runner`; an open
    /// list.
    pub role: String,
    /// Whose it is, if a runner's.
    pub runner_id: Option<RunnerId>,
    /// Only this project: its own scope, or its user's.
    pub project_id: Option<ProjectId>,
    /// When it was made.
    pub created_at: Time,
    /// When it ends by itself, or its user does.
    pub expires_at: Option<Time>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Time>,
    /// When it was revoked.
    pub revoked_at: Option<Time>,
    /// Whether it is worth anything now: `valid`, `revoked`, `expired`, `user_disabled`, or `no_scope` where it and its
    /// user share no project; an open list.
    pub state: String,
}

impl Token {
    /// A token as it counts at `now`; `of` is the user whose it is.
    pub fn new(t: &core::Token, of: Option<&core::User>, now: core::Timestamp) -> Self {
        let (user, role, runner) = match &t.holder {
            Holder::User { user, role } => {
                (Some(user.clone()), of.map_or(*role, |u| u.role.min(*role)).as_str(), None)
            }
            Holder::Runner(id) => (None, "runner", Some(id.clone())),
        };
        let ends = core::user::ends_at(t, of);
        let known = core::user::identity_of(t, of, now) != core::Identity::Unknown;
        let state = match t.revoked_at {
            _ if known => "valid",
            Some(_) => "revoked",
            None if ends.is_some_and(|at| at <= now) => "expired",
            None if of.is_some_and(|u| u.disabled_at.is_none()) => "no_scope",
            None => "user_disabled",
        };
        let project = t.project.clone().or_else(|| of.and_then(|u| u.project.clone()));
        Self {
            name: t.name.clone(),
            user,
            role: role.to_owned(),
            runner_id: runner.map(Into::into),
            project_id: project.map(Into::into),
            created_at: t.created_at.into(),
            expires_at: ends.map(Into::into),
            last_used_at: t.last_used_at.map(Into::into),
            revoked_at: t.revoked_at.map(Into::into),
            state: state.to_owned(),
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
