//! What can be asked of people.

use crate::{id::ProjectId, time::Timestamp, token::UserRole};

/// A new user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the fields of `User`")]
pub struct NewUser {
    pub name: String,
    pub role: UserRole,
    pub project: Option<ProjectId>,
    pub expires_at: Option<Timestamp>,
}

/// What to change of a user; none = leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the fields of `User`")]
pub struct UserPatch {
    pub role: Option<UserRole>,
    pub project: Option<Option<ProjectId>>,
    pub expires_at: Option<Option<Timestamp>>,
    pub disabled: Option<bool>,
}
