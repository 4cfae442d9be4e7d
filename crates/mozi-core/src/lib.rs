//! What a board is: its words and its rules.
//!
//! Everything in this crate is pure. There is no input or output, no clock and no randomness: `now`, ids, token
//! hashes and jitter come in with a [`Command`]. The one entrance is [`decide()`]: it looks at the slice of the
//! board that the command [needs](Request::needs) and answers with the [changes](Change) to write, or with a
//! [`Refusal`]. Types here are not serialisable on purpose: a serialisable type is a promise.
#![deny(clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub mod agent;
pub mod archive;
pub mod attempt;
pub mod change;
pub mod command;
pub mod comment;
pub mod decide;
pub mod due;
pub mod event;
pub mod id;
pub mod invariant;
pub mod limits;
#[cfg(feature = "memory")]
pub mod memory;
pub mod outcome;
pub mod output;
pub mod project;
pub mod refusal;
pub mod rest;
pub mod retention;
pub mod retry;
pub mod session;
pub mod state;
pub mod task;
pub mod time;
pub mod token;
pub mod transition;
pub mod user;
pub mod waiting;

pub use agent::{Agent, Pause, Runner};
pub use attempt::{Attempt, ReviewVerdict, Role, Usage, Verdict, VerdictMode};
pub use change::{Change, Decision, Reply};
pub use command::{Command, Request};
pub use comment::Comment;
pub use decide::decide;
pub use event::{Event, EventKind};
pub use id::{AgentId, AttemptNumber, BadId, ProjectId, RunnerId, SessionId, TaskId, TaskKey};
pub use outcome::{Outcome, Reason};
pub use output::{Output, OutputType};
pub use project::{Project, Settings};
pub use refusal::Refusal;
pub use session::{Session, SessionStatus};
pub use state::{Needs, State};
pub use task::{Dependency, Status, Task, TaskSpec, TaskState, Until};
pub use time::Timestamp;
pub use token::{Actor, ActorKind, Identity, Token, TokenHash, UserRole};
pub use user::User;
pub use waiting::WaitingFor;
