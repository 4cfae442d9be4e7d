//! Everything that anybody can ask of the board.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    archive::Staged,
    attempt::{Resources, Role, Tail, Usage, VerdictMode},
    id::{AgentId, AttemptNumber, ProjectId, RunnerId, SessionId, TaskId, TaskKey},
    outcome::Reason,
    output::{Content, OutputType},
    project::Review,
    session::HeldUp,
    task::{Status, TaskSpec, Until},
    time::Timestamp,
    token::{Holder, TokenHash},
};

pub use crate::decide::house::Removed;
pub use import::{BadLine, IMPORT_TASKS, ImportLine, ImportTasks, NAMED_LINES};
pub use people::{NewUser, UserPatch};
pub use setting::SettingChange;

mod import;
mod needs;
mod people;
mod setting;

/// What came of reading the configuration file again; keys as they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigRead {
    /// It holds from now on.
    Taken {
        /// Agents, projects, hooks and so on that are new.
        added: Vec<String>,
        /// Those that are gone.
        removed: Vec<String>,
        /// Keys with another value.
        changed: Vec<String>,
        /// Keys with another value that holds from the next start on.
        needs_restart: Vec<String>,
    },
    /// Nothing of it holds.
    Refused {
        /// Why, in words.
        text: String,
    },
}

/// By what right something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// None.
    None,
    /// None, on a board that lets the agent at work at a task report without one.
    Anonymous,
    /// A bearer token.
    Token(TokenHash),
    /// Whoever owns the board's own files, by name: asked over the local socket, where the system says who asks.
    Owner(String),
    /// The board itself: never from the wire.
    Board,
}

/// A command with all that it may depend on: nothing is read from outside while it is decided.
#[derive(Debug, Clone)]
pub struct Request {
    /// By what right.
    pub credential: Credential,
    /// By which road: `http`, `cli`, `outbox` …
    pub via: Option<String>,
    /// When it was asked.
    pub now: Timestamp,
    /// Chance, for jitter.
    pub seed: u64,
    /// What.
    pub command: Command,
}

/// Everything that anybody can ask.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields carry the names of what they set; see the types")]
pub enum Command {
    /// A new project.
    CreateProject { id: ProjectId, name: Option<String>, settings: Vec<SettingChange> },
    /// Name, settings, archive mark of a project.
    SetProject {
        id: ProjectId,
        name: Option<Option<String>>,
        settings: Vec<SettingChange>,
        archived: Option<bool>,
    },
    /// A new task.
    CreateTask(Box<NewTask>),
    /// Many new tasks, all or none.
    ImportTasks(Box<ImportTasks>),
    /// A whole project from elsewhere, whose rows lie ready.
    AdoptProject(Box<Staged>),
    /// Text, limits, agent of a task.
    EditTask { key: TaskKey, patch: Box<TaskPatch> },
    /// One dependency more, or with another `until`.
    SetDependency { key: TaskKey, on: TaskId, until: Until },
    /// One less.
    RemoveDependency { key: TaskKey, on: TaskId },
    /// A status, by a person, an executor or a reviewer.
    Report(Box<Report>),
    /// An output.
    AddOutput(Box<NewOutput>),
    /// A comment. `author` is who the body says; shown for a person's, checked for an attempt's.
    AddComment { key: TaskKey, author: Option<String>, body: String },
    /// Tasks for a runner's free slots.
    Claim(Box<Claim>),
    /// A session by name, with or without a task.
    StartSession(Box<StartSession>),
    /// Its runner takes up what was started by name, with a token that it made.
    TakeSession { session_id: SessionId, token_hash: TokenHash },
    /// The agent's process runs.
    Started { session_id: SessionId, pid: Option<u32>, workspace: Option<String> },
    /// What holds up the end of a session, or nothing any more.
    NoteSession { session_id: SessionId, note: SessionNote },
    /// The session has ended, proven.
    End(Box<End>),
    /// A person stops a session.
    StopSession { session_id: SessionId, why: Option<String> },
    /// A person's word that what is left of a session is not Mozi's, or the wish that an ended one be cleaned up.
    CleanSession { session_id: SessionId, force: bool },
    /// A runner is there, with these agents.
    Hello(Box<Hello>),
    /// It is not any more.
    Goodbye { runner_id: RunnerId },
    /// The board has started: no runner is there.
    BoardStarted,
    /// No work for an agent.
    PauseAgent { agent: AgentId, detail: Option<String> },
    /// Work again.
    ResumeAgent { agent: AgentId },
    /// A new user.
    CreateUser(NewUser),
    /// Role, scope, end of a user, and whether they are disabled.
    SetUser { name: String, patch: UserPatch },
    /// A new credential.
    CreateToken {
        name: String,
        hash: TokenHash,
        holder: Holder,
        project: Option<ProjectId>,
        expires_at: Option<Timestamp>,
    },
    /// No longer valid.
    RevokeToken { name: String },
    /// The configuration file was read again.
    ConfigRead(ConfigRead),
    /// Nothing but that the credential is in use: a store records its last use.
    Seen,
    /// Something that people should see.
    Notice {
        key: Option<TaskKey>,
        attempt_number: Option<AttemptNumber>,
        agent: Option<AgentId>,
        code: String,
        text: String,
        more: serde_json::Map<String, Value>,
    },
    /// A backup of the board was made: the size of the archive, its blobs, and how many of them were missing or
    /// damaged.
    BackupMade { size_bytes: u64, blobs: u64, damaged: u64 },
    /// Something was removed by the rule of retention, or because a person asked.
    KeptHouse { because: String, removed: Vec<Removed> },
    /// The logs of these sessions are about to be removed.
    ExpireLogs { sessions: Vec<SessionId> },
    /// Tells what finished tasks have come to, so that their older events may go.
    SnapshotTasks { project: ProjectId, tasks: Vec<TaskId> },
    /// Removes the events of a project up to this one.
    ForgetEvents { project: ProjectId, up_to: u64 },
    /// Repairs due times that a jump of the clock has moved out of reach.
    Due,
    /// Looks whether the board has come to rest, and says so once.
    Rest,
    /// The command, if what it changes is in one of these versions; else it is refused.
    IfVersion { versions: Vec<u64>, command: Box<Self> },
}

impl Command {
    /// The task or the project that it changes, where that has a version.
    pub fn changes(&self) -> Option<Versioned<'_>> {
        let mut command = self;
        while let Self::IfVersion { command: inner, .. } = command {
            command = inner;
        }
        if let Self::SetProject { id, .. } = command {
            return Some(Versioned::Project(id));
        }
        // Asked so, a new command need not say that it changes nothing that has a version.
        let key = if let Self::EditTask { key, .. }
        | Self::SetDependency { key, .. }
        | Self::RemoveDependency { key, .. }
        | Self::AddComment { key, .. } = command
        {
            Some(key)
        } else if let Self::Report(r) = command {
            Some(&r.key)
        } else if let Self::AddOutput(o) = command {
            Some(&o.key)
        } else {
            None
        };
        key.map(Versioned::Task)
    }
}

/// What has a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioned<'a> {
    /// A project.
    Project(&'a ProjectId),
    /// A task.
    Task(&'a TaskKey),
}

/// A new task.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Where.
    pub project: ProjectId,
    /// Its id; else the next free number.
    pub id: Option<TaskId>,
    /// What its author says.
    pub spec: TaskSpec,
    /// What it waits for.
    pub depends_on: Vec<(TaskId, Until)>,
    /// Not claimed before.
    pub not_before: Option<Timestamp>,
    /// Created as `blocked`, kind `held`.
    pub held: bool,
    /// A digest of the whole body: the same body again is answered, another one refused.
    pub fingerprint: String,
}

/// What to change of a task; none = leave.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named as the fields of `TaskSpec`")]
pub struct TaskPatch {
    pub title: Option<String>,
    pub description: Option<Option<String>>,
    pub task_type: Option<String>,
    pub priority: Option<i64>,
    pub must_haves: Option<Vec<String>>,
    pub agent: Option<Option<AgentId>>,
    pub timeout: Option<Option<Duration>>,
    pub max_attempts: Option<Option<u32>>,
    pub review: Option<Option<Review>>,
    pub labels: Option<BTreeMap<String, String>>,
    pub metadata: Option<Value>,
    pub not_before: Option<Option<Timestamp>>,
}

/// A report of a status.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of which task.
    pub key: TaskKey,
    /// Which.
    pub status: Status,
    /// Why, or the remark.
    pub detail: Option<String>,
    /// Why, as a word.
    pub kind: Option<String>,
    /// The attempt that a person has seen: another one refuses the decision.
    pub attempt_number: Option<AttemptNumber>,
    /// Who the body says it is; a wrong name beside a token is a warning.
    pub claimed_agent: Option<String>,
}

/// A new output.
#[derive(Debug, Clone)]
pub struct NewOutput {
    /// Of which task.
    pub key: TaskKey,
    /// What kind of thing.
    pub output_type: OutputType,
    /// One line.
    pub title: String,
    /// A few lines.
    pub summary: Option<String>,
    /// The file it came from.
    pub file_name: Option<String>,
    /// Lower-case hex of its SHA-256.
    pub sha256: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Where its bytes are.
    pub content: Content,
    /// Who the body says it is.
    pub claimed_agent: Option<String>,
}

/// A free slot: a session id and the hash of a token, both made by the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The session that a claim opens.
    pub session_id: SessionId,
    /// The hash of its token.
    pub token_hash: TokenHash,
}

/// A runner asks for work.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which runner.
    pub runner_id: RunnerId,
    /// The agents that it can start right now.
    pub agents: Vec<AgentId>,
    /// Its free slots. A repeated offer answers the same attempt.
    pub offers: Vec<Offer>,
    /// Projects whose folder is worked on in place and busy.
    pub busy: Vec<ProjectId>,
    /// Projects whose folder is worked on in place, busy or not: one attempt at a time, also of those that this
    /// very command claims.
    pub in_place: Vec<ProjectId>,
}

/// A session by name.
#[derive(Debug, Clone)]
pub struct StartSession {
    /// Its id, made by the board.
    pub session_id: SessionId,
    /// Who.
    pub agent: AgentId,
    /// What to tell it.
    pub message: Option<String>,
    /// The message is the whole prompt.
    pub verbatim: bool,
    /// At this task: a claim by name.
    pub task: Option<TaskKey>,
}

/// What a runner says of a session that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionNote {
    /// The agent has ended, its descendants are being ended.
    Ending,
    /// This cannot be ended or confirmed.
    HeldUp(HeldUp),
    /// Nothing holds it up any more.
    Free,
    /// An ended session's files are gone.
    Cleaned,
}

/// What ended an agent's process, as its exit record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It ended by itself.
    Itself,
    /// The deadline.
    Deadline,
    /// No sign of life.
    Stall,
    /// The log limit.
    OutputLimit,
    /// The grace after its verdict was over.
    Grace,
    /// It was told to stop.
    Stop,
    /// Its supervisor vanished.
    SupervisorLost,
    /// Its supervisor did not answer.
    SupervisorStuck,
    /// The machine was rebooted.
    Reboot,
    /// It could not be started.
    SpawnError,
    /// It was never started: nothing ran.
    NeverStarted,
    /// Nothing was started, as asked.
    DryRun,
}

/// What its runtime read from a session's result.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// How the runtime says that the turn ended, where its exit status does not tell.
    pub ended_as: Option<EndedAs>,
    /// Why, as the runtime says.
    pub reason: Option<Reason>,
    /// When the provider said that it goes on.
    pub reset_at: Option<Timestamp>,
    /// The agent's last words.
    pub final_text: Option<String>,
    /// Tokens and money, per model.
    pub usage: Vec<Usage>,
}

/// How a runtime says that a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndedAs {
    /// To its own satisfaction.
    Finished,
    /// Its own time limit cut it off.
    TimedOut,
    /// Something was aborted or failed.
    Failed,
}

/// The end of a session, proven.
#[derive(Debug, Clone)]
pub struct End {
    /// Which.
    pub session_id: SessionId,
    /// What ended it.
    pub cause: Cause,
    /// Exit status, if it exited.
    pub exit_code: Option<i32>,
    /// Signal, if one ended it.
    pub signal: Option<i32>,
    /// The error of a failed start.
    pub error: Option<String>,
    /// Why, as far as the runner can tell.
    pub reason: Option<Reason>,
    /// What the runtime read.
    pub reading: Reading,
    /// What it cost the machine.
    pub resources: Option<Resources>,
    /// The end of its logs.
    pub tail: Option<Tail>,
    /// Everything else worth keeping, an object.
    pub metadata: Value,
    /// The hash of the output that exit 0 makes out of the last lines, for `verdict = "exit"`.
    pub tail_sha256: Option<String>,
}

/// A runner is there.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Which.
    pub runner_id: RunnerId,
    /// Sessions at once.
    pub max_sessions: u32,
    /// Its machine's boot.
    pub boot_id: String,
    /// Its pid namespace.
    pub pid_namespace: String,
    /// Its version.
    pub version: String,
    /// Its agents: all of them, others of it are gone from its configuration.
    pub agents: Vec<AgentHello>,
}

/// An agent of a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the fields of `Agent`")]
pub struct AgentHello {
    pub id: AgentId,
    pub runtime: String,
    pub aliases: Vec<String>,
    pub roles: Vec<Role>,
    pub max_sessions: u32,
    pub verdict_mode: VerdictMode,
    pub timeout_ms: Option<u64>,
    pub callback: String,
    pub held_back: Option<String>,
}
