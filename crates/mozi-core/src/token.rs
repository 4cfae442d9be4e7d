//! Who asks, and who did it.

use crate::{
    attempt::Role,
    id::{AgentId, AttemptNumber, ProjectId, RunnerId, TaskKey},
    project::words,
    time::Timestamp,
};

/// The SHA-256 of a bearer token. The token itself is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; 32]);

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UserRole {
    /// Reads.
    Viewer,
    /// Everything but users, tokens and restore.
    Operator,
    /// Everything.
    Admin,
}

/// What kind of actor did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActorKind {
    /// A person or a script with a person's token.
    User,
    /// An attempt, by its token.
    Attempt,
    /// A runner.
    Runner,
    /// Mozi itself.
    Board,
    /// Somebody without a token.
    Anonymous,
}

words! {
    UserRole { Viewer => "viewer", Operator => "operator", Admin => "admin" }
    ActorKind {
        User => "user", Attempt => "attempt", Runner => "runner", Board => "board", Anonymous => "anonymous",
    }
}

/// Who did it; stands in every event, output and comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What kind.
    pub kind: ActorKind,
    /// Which one: a user's name, a session id, a runner id.
    pub id: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// By which road: `http`, `cli`, `outbox` …, where it matters.
    pub via: Option<String>,
}

impl Actor {
    /// Mozi itself.
    pub const fn board() -> Self {
        Self { kind: ActorKind::Board, id: None, name: None, via: None }
    }
}

/// A stored credential of a person or runner. Attempts carry theirs themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called; unique.
    pub name: String,
    /// The hash of its secret.
    pub hash: TokenHash,
    /// Whose it is.
    pub holder: Holder,
    /// Only this project, if set.
    pub project: Option<ProjectId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, as far as recorded.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A user's, with a role.
    User {
        /// The user.
        user: String,
        /// What the token may do.
        role: UserRole,
    },
    /// A runner's.
    Runner(RunnerId),
}

/// What events name in place of a token where the board's owner asks over the local socket.
pub const SOCKET: &str = "socket";

/// Who asks, as the credential says, looked up inside the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// No credential, or an unknown, expired or revoked one.
    Unknown,
    /// The board's own command; no credential of the wire leads here.
    Board,
    /// A user.
    User {
        /// The user.
        user: String,
        /// The name of the token.
        token: String,
        /// What it may do.
        role: UserRole,
        /// Only this project, if set.
        project: Option<ProjectId>,
    },
    /// An attempt, open or closed.
    Attempt {
        /// The task.
        key: TaskKey,
        /// The attempt.
        number: AttemptNumber,
        /// Its role.
        role: Role,
        /// Its agent.
        agent: AgentId,
        /// Its session, as text.
        session: String,
    },
    /// A runner.
    Runner(RunnerId),
}

impl Identity {
    /// The board's owner, over the local socket.
    pub fn owner(name: &str) -> Self {
        Self::User { user: name.to_owned(), token: SOCKET.to_owned(), role: UserRole::Admin, project: None }
    }

    /// The actor that stands in events.
    pub fn actor(&self, via: Option<&str>) -> Actor {
        let via = via.map(str::to_owned);
        match self {
            Self::Unknown => Actor { kind: ActorKind::Anonymous, id: None, name: None, via },
            Self::Board => Actor { via, ..Actor::board() },
            Self::User { user, token, role: _, project: _ } => {
                Actor { kind: ActorKind::User, id: Some(user.clone()), name: Some(token.clone()), via }
            }
            Self::Attempt { agent, session, key: _, number: _, role: _ } => Actor {
                kind: ActorKind::Attempt,
                id: Some(session.clone()),
                name: Some(agent.to_string()),
                via,
            },
            Self::Runner(id) => Actor { kind: ActorKind::Runner, id: Some(id.to_string()), name: None, via },
        }
    }
}
