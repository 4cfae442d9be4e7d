//! What a decision wants written, and what it answers.

use crate::{
    agent::{Agent, Runner},
    attempt::{Attempt, Usage},
    comment::Comment,
    event::Event,
    id::{AttemptNumber, ProjectId, TaskId, TaskKey},
    output::Output,
    project::Project,
    session::Session,
    task::{StatusCounts, Task, Until},
    token::Token,
    user::User,
};

/// One thing to write. Changes are applied in order, all or none.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variant's line says what is written")]
pub enum Change {
    /// A new project.
    InsertProject(Box<Project>),
    /// Name, settings, archive mark, version, `updated_at` of a project.
    UpdateProject(Box<Project>),
    /// Its counters only: they change with almost every command.
    CountProject { id: ProjectId, next_task: u64, last_event: u64, counts: StatusCounts },
    /// A new task, with the digest of the body that made it.
    InsertTask { task: Box<Task>, fingerprint: String },
    /// What the author says of a task, `version`, `updated_at`, and its place in the queue.
    UpdateTaskSpec(Box<Task>),
    /// What the board knows of a task, `version`, `updated_at`, and its place in the queue.
    UpdateTaskState(Box<Task>),
    /// A dependency, new or with another `until`.
    PutDependency { key: TaskKey, on: TaskId, until: Until },
    /// A dependency less.
    DeleteDependency { key: TaskKey, on: TaskId },
    /// `by` more (or less) of a task's dependencies are not met; with its place in the queue.
    ShiftUnmet { key: TaskKey, by: i32 },
    /// A new attempt; refused by the store when the task has an open one.
    InsertAttempt(Box<Attempt>),
    /// Everything of an attempt but its key.
    UpdateAttempt(Box<Attempt>),
    /// Tokens and money of an attempt, one row per model.
    InsertUsage { key: TaskKey, number: AttemptNumber, rows: Vec<Usage> },
    /// A session, new or changed.
    PutSession(Box<Session>),
    /// An ended session is forgotten.
    DeleteSession(crate::id::SessionId),
    /// A new output.
    InsertOutput(Box<Output>),
    /// A new comment; the number that the task's next comment gets becomes one more than its own.
    InsertComment(Box<Comment>),
    /// An agent, new or changed.
    PutAgent(Box<Agent>),
    /// A runner, new or changed.
    PutRunner(Box<Runner>),
    /// A user, new or changed.
    PutUser(Box<User>),
    /// A token, new or changed.
    PutToken(Box<Token>),
    /// A new event, with its id.
    InsertEvent(Box<Event>),
    /// The rows that lie ready under a name are a project's. The ids of their events are counted from the one after
    /// `before`; here they follow the one called `here`.
    Adopt { name: String, project: ProjectId, before: u64, here: u64 },
    /// The log of a session that has ended is not kept any more.
    ExpireLog { session_id: crate::id::SessionId, at: crate::time::Timestamp },
    /// The events of a project up to this one are gone.
    ForgetEvents { project: ProjectId, up_to: u64 },
    /// The newest event id of the stream of what belongs to no project.
    CountStream { last_event: u64 },
    /// Whether the board is at rest.
    SetRest { at_rest: bool },
}

/// What to write and what to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// In order.
    pub changes: Vec<Change>,
    /// The answer, once they are on disk.
    pub reply: Reply,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields are what the variant's line names")]
pub enum Reply {
    /// A project as it is now; whether it was made.
    Project { project: Box<Project>, created: bool },
    /// A task as it is now; whether it was made.
    Task { task: Box<Task>, created: bool, warnings: Vec<String> },
    /// Many tasks were made, or would be; so many were there already.
    Imported { created: u64, existing: u64, warnings: Vec<String> },
    /// A report was taken, or was no news.
    Status { task: Box<Task>, attempt_number: Option<AttemptNumber>, event_id: u64, warnings: Vec<String> },
    /// An output was added.
    Output { output: Box<Output>, warnings: Vec<String> },
    /// A comment was added.
    Comment { comment: Box<Comment>, warnings: Vec<String> },
    /// Attempts for the offers, each with its session.
    Claimed(Vec<(Attempt, Session)>),
    /// A session as it is now, with its attempt.
    Session { session: Box<Session>, attempt: Option<Box<Attempt>> },
    /// An agent as it is now.
    Agent(Box<Agent>),
    /// A user as they are now; whether they are new.
    User { user: Box<User>, created: bool },
    /// A token as it is now.
    Token(Box<Token>),
    /// The configuration was read.
    Config(crate::command::ConfigRead),
    /// Done; nothing to tell.
    Done,
}
