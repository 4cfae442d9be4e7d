//! Sessions: the running side of an attempt, or of an agent started by hand.

use crate::{
    id::{AgentId, AttemptNumber, RunnerId, SessionId, TaskKey},
    outcome::Outcome,
    time::Timestamp,
};

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionStatus {
    /// Ordered or claimed; no process yet.
    Starting,
    /// Its agent runs.
    Running,
    /// Its agent has ended, its descendants are being ended.
    Ending,
    /// Something of it cannot be ended or confirmed.
    Stuck,
    /// It has ended so.
    Ended(Outcome),
}

impl SessionStatus {
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ending => "ending",
            Self::Stuck => "stuck",
            Self::Ended(o) => o.as_str(),
        }
    }
    /// The value of a word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "starting" => Some(Self::Starting),
            "running" => Some(Self::Running),
            "ending" => Some(Self::Ending),
            "stuck" => Some(Self::Stuck),
            other => Outcome::parse(other).map(Self::Ended),
        }
    }
}

/// What kind of thing holds up the end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldUp {
    /// Processes that do not die.
    Processes,
    /// A Gateway that has not confirmed that nothing of it goes on.
    Gateway,
    /// Something else that its runner names.
    Other,
}

crate::project::words! {
    HoldUp { Processes => "processes", Gateway => "gateway", Other => "other" }
}

/// What holds up the end of a session: while it does, the attempt stays open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldUp {
    /// What kind of thing.
    pub by: HoldUp,
    /// Which, in words.
    pub detail: String,
}

/// What was asked for with a session that is started by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What to tell the agent; for a task, beside its prompt.
    pub message: Option<String>,
    /// The message is the whole prompt, as it stands.
    pub verbatim: bool,
    /// Its runner has taken it up.
    pub taken: bool,
}

/// The running side of an attempt, or of an agent that was started by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Who runs.
    pub agent: AgentId,
    /// The runner that has it.
    pub runner_id: RunnerId,
    /// Its attempt, if it is at a task.
    pub attempt: Option<(TaskKey, AttemptNumber)>,
    /// How it was asked for, if by name.
    pub order: Option<Order>,
    /// Where it is.
    pub status: SessionStatus,
    /// The agent's process, once it runs.
    pub pid: Option<u32>,
    /// What holds up its end.
    pub held_up: Option<HeldUp>,
    /// Why it could not be started or went wrong, in its runner's words.
    pub error: Option<String>,
    /// A person has asked for its stop, and why.
    pub stop_requested: Option<String>,
    /// A person's word that what is left of it is not Mozi's: its runner closes it without proof.
    pub forced: bool,
    /// An ended one is to be cleaned up by its runner.
    pub clean_requested: bool,
    /// When it was claimed or ordered.
    pub started_at: Timestamp,
    /// When it was closed.
    pub completed_at: Option<Timestamp>,
}

impl Session {
    /// Not closed.
    pub const fn is_open(&self) -> bool {
        self.completed_at.is_none()
    }
}
