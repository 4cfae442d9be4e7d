//! People: what each may do, and what a token of theirs is worth.

use crate::{
    id::ProjectId,
    time::Timestamp,
    token::{Holder, Identity, Token, UserRole},
};

/// The longest name of a user, in characters.
pub const NAME_CHARS: usize = 100;

/// Somebody who may ask the board, with tokens of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What they are called; unique without regard to the case of ASCII letters.
    pub name: String,
    /// What they may do.
    pub role: UserRole,
    /// Only this project, if set.
    pub project: Option<ProjectId>,
    /// Since when they are known.
    pub created_at: Timestamp,
    /// When they end by themselves.
    pub expires_at: Option<Timestamp>,
    /// Since when nothing of theirs is valid, if so.
    pub disabled_at: Option<Timestamp>,
}

impl User {
    /// Whether their tokens are worth anything at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.disabled_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// Whether two names are one.
pub fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// The name as it is compared.
pub fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether a text can be the name of a user: it stands in addresses and on command lines.
pub fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(char::is_alphanumeric)
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+'))
        && text.chars().count() <= NAME_CHARS
}

/// Whose a token is at `now`. It never may more than its user, who is `user`: the lower of both roles counts, the
/// narrower of both scopes, and the earlier of both ends.
pub fn identity_of(token: &Token, user: Option<&User>, now: Timestamp) -> Identity {
    if token.revoked_at.is_some() || token.expires_at.is_some_and(|at| at <= now) {
        return Identity::Unknown;
    }
    match &token.holder {
        Holder::Runner(id) => Identity::Runner(id.clone()),
        Holder::User { user: _, role } => {
            let Some(user) = user.filter(|u| u.is_valid(now)) else { return Identity::Unknown };
            let project = match (&token.project, &user.project) {
                // Nothing is in both.
                (Some(a), Some(b)) if a != b => return Identity::Unknown,
                (Some(only), _) | (None, Some(only)) => Some(only.clone()),
                (None, None) => None,
            };
            Identity::User {
                user: user.name.clone(),
                token: token.name.clone(),
                role: (*role).min(user.role),
                project,
            }
        }
    }
}

/// When a token ends by itself, or its user does.
pub fn ends_at(token: &Token, user: Option<&User>) -> Option<Timestamp> {
    token.expires_at.into_iter().chain(user.and_then(|u| u.expires_at)).min()
}
