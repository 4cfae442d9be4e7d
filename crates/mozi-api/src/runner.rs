//! What a runner and its board say to each other. All orders are derived from stored state: a lost answer is asked
//! for again.

use std::collections::BTreeMap;

use mozi_core::{self as core, command as cmd};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use end::{CauseWord, EndReading, EndSession, EndTail, EndedAsWord};

use crate::{
    body::Invalid,
    session::Session,
    wire::{
        AgentId, Hash, HoldUp, Language, Object, ProjectId, Role, SessionId, TaskId, Time, Verdict,
        VerdictMode,
    },
};

mod end;

/// The longest that a poll waits, seconds.
pub const MAX_POLL_SECONDS: u32 = 30;

/// A runner is there, with all its agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Sessions at once.
    pub max_sessions: u32,
    /// Its machine's boot.
    pub boot_id: String,
    /// Its pid namespace.
    pub pid_namespace: String,
    /// Its version.
    pub version: String,
    /// All its agents.
    pub agents: Vec<HelloAgent>,
}

/// An agent of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HelloAgent {
    /// Its id.
    pub id: AgentId,
    /// How it is started.
    pub runtime: String,
    /// Other names under which it reports.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What it may be claimed for.
    pub roles: Vec<Role>,
    /// Sessions at once; 0 = only the runner's limit.
    #[serde(default)]
    pub max_sessions: u32,
    /// How its verdict is known.
    pub verdict: VerdictMode,
    /// How long an attempt may take; none = no limit.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How it knows its token: `env`, `header`.
    pub callback: String,
    /// What stands in the way of starting it.
    #[serde(default)]
    pub held_back: Option<String>,
}

impl Hello {
    /// The command that it stands for.
    pub fn into_command(self, runner_id: core::RunnerId) -> core::Command {
        let agent = |a: HelloAgent| cmd::AgentHello {
            id: a.id.0,
            runtime: a.runtime,
            aliases: a.aliases,
            roles: a.roles.into_iter().map(|r| r.0).collect(),
            max_sessions: a.max_sessions,
            verdict_mode: a.verdict.0,
            timeout_ms: a.timeout_ms,
            callback: a.callback,
            held_back: a.held_back,
        };
        core::Command::Hello(Box::new(cmd::Hello {
            runner_id,
            max_sessions: self.max_sessions,
            boot_id: self.boot_id,
            pid_namespace: self.pid_namespace,
            version: self.version,
            agents: self.agents.into_iter().map(agent).collect(),
        }))
    }
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HelloReply {
    /// The board's own id: session directories of another board are left alone.
    pub board_id: String,
    /// The board's version.
    pub version: String,
}

/// A runner asks for work and orders, and waits for them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// The agents that it can start right now.
    #[serde(default)]
    pub agents: Vec<AgentId>,
    /// Its free slots. A repeated offer is answered with the same attempt.
    #[serde(default)]
    pub offers: Vec<Offer>,
    /// Projects whose folder is worked on in place and busy.
    #[serde(default)]
    pub busy_projects: Vec<ProjectId>,
    /// Projects whose folder is worked on in place, busy or not: one attempt at a time.
    #[serde(default)]
    pub in_place_projects: Vec<ProjectId>,
    /// Orders that it has and is carrying out: they are left out of the answer.
    #[serde(default)]
    pub known: Vec<KnownOrder>,
    /// How long to wait for something to answer; at most 30.
    #[serde(default)]
    pub wait_seconds: u32,
}

/// A free slot: a session id and the hash of a token, both made by the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The session that a claim opens.
    pub session_id: SessionId,
    /// The hash of its token.
    pub token_sha256: Hash,
}

impl From<Offer> for cmd::Offer {
    fn from(o: Offer) -> Self {
        Self { session_id: o.session_id.0, token_hash: o.token_sha256.0 }
    }
}

/// An order that a runner has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownOrder {
    /// Of which session.
    pub session_id: SessionId,
    /// Which.
    pub order: OrderWord,
}

/// What a runner may be told to do with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderKind {
    /// Start what was asked for by name.
    Start,
    /// End it now: revoked, or stopped by a person.
    Stop,
    /// Its verdict is given: end it when the grace is over.
    Grace,
    /// Close it without proof, on a person's word.
    Force,
    /// Remove what is left of an ended one.
    Clean,
}

/// What a mark in a prompt stands for: what only the runner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarkKind {
    /// The attempt's token.
    Token,
    /// The folder to work in.
    Workspace,
    /// The folder of reports that could not be delivered.
    Outbox,
    /// The path of the program.
    Mozi,
    /// The board's address for agents.
    Url,
    /// Whether the folder is empty or holds earlier work, in words.
    WorkspaceState,
    /// The session.
    SessionId,
}

crate::wire::named! {
    OrderWord = OrderKind, "What a runner may be told to do with a session." {
        Start => "start", Stop => "stop", Grace => "grace", Force => "force", Clean => "clean",
    }
    MarkName = MarkKind, "What a mark in a prompt stands for." {
        Token => "token", Workspace => "workspace", Outbox => "outbox", Mozi => "mozi", Url => "url",
        WorkspaceState => "workspace_state", SessionId => "session_id",
    }
}

impl MarkKind {
    /// Every mark there is.
    pub const ALL: &'static [Self] = &[
        Self::Token,
        Self::Workspace,
        Self::Outbox,
        Self::Mozi,
        Self::Url,
        Self::WorkspaceState,
        Self::SessionId,
    ];
}

/// Work and orders for a runner.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct PollReply {
    /// Attempts for the offers.
    #[serde(default)]
    pub claimed: Vec<Assignment>,
    /// Sessions to be taken up and started.
    #[serde(default)]
    pub start: Vec<StartOrder>,
    /// Sessions to be ended.
    #[serde(default)]
    pub stop: Vec<StopOrder>,
    /// Ended sessions whose files are to go.
    #[serde(default)]
    pub clean: Vec<SessionId>,
}

impl PollReply {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.claimed.is_empty() && self.start.is_empty() && self.stop.is_empty() && self.clean.is_empty()
    }
}

/// A session that was asked for by name: to be taken up with a token, then started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StartOrder {
    /// Which.
    pub session_id: SessionId,
    /// Whom.
    pub agent: AgentId,
    /// The task's project, if it is at a task.
    #[serde(default)]
    pub project_id: Option<ProjectId>,
    /// The task.
    #[serde(default)]
    pub task_id: Option<TaskId>,
    /// The attempt.
    #[serde(default)]
    pub attempt_number: Option<u32>,
}

/// A session to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StopOrder {
    /// Which.
    pub session_id: SessionId,
    /// How: `stop`, `grace` or `force`.
    pub order: OrderWord,
    /// Why, in words.
    pub why: String,
    /// How long ago its verdict was given: the grace counts from there.
    #[serde(default)]
    pub verdict_age_ms: Option<u64>,
}

/// All that starting a session needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Assignment {
    /// Its id.
    pub session_id: SessionId,
    /// Whom to start.
    pub agent: AgentId,
    /// For what.
    pub role: Role,
    /// The task's project, if it is at a task.
    #[serde(default)]
    pub project_id: Option<ProjectId>,
    /// The task.
    #[serde(default)]
    pub task_id: Option<TaskId>,
    /// The attempt.
    #[serde(default)]
    pub attempt_number: Option<u32>,
    /// How long it may take; none = the agent's own limit.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// What was asked for, if it was started by name.
    #[serde(default)]
    pub order: Option<Order>,
    /// The language of the project's prompts.
    pub language: Language,
    /// The prompt with its marks; none where the order's message is the whole prompt.
    #[serde(default)]
    pub prompt: Option<PromptParts>,
}

/// What was asked for with a session that is started by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// What to tell the agent.
    pub message: Option<String>,
    /// The message is the whole prompt.
    pub verbatim: bool,
}

/// A prompt in which marks stand for what only the runner knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PromptParts {
    /// The whole prompt.
    pub text: String,
    /// Each mark as it stands in the text. Its random part was made after the text's data, so nothing else holds it.
    #[schema(value_type = BTreeMap<String, String>)]
    pub marks: BTreeMap<MarkName, String>,
    /// What the mark `workspace_state` may be replaced by, by [`WorkspaceState`](crate::prompt::WorkspaceState).
    #[serde(default)]
    pub states: BTreeMap<String, String>,
    /// A command that builds the first part, if the project names one.
    #[serde(default)]
    pub bootstrap: Option<BootstrapParts>,
}

/// What the runner needs to let a bootstrap command build the first part of a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BootstrapParts {
    /// Its name in the runner's configuration.
    pub name: String,
    /// What it gets on standard input, as JSON.
    #[schema(value_type = Object)]
    pub input: Value,
    /// What follows its text, with the same marks.
    pub operating_text: String,
}

/// A runner takes up a session that was asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeSession {
    /// The hash of the token that it made.
    pub token_sha256: Hash,
}

/// An agent's process runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartedSession {
    /// The process; none where nothing is started.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The folder it works in.
    #[serde(default)]
    pub workspace: Option<String>,
}

impl StartedSession {
    /// The command that it stands for.
    pub fn into_command(self, session_id: core::SessionId) -> core::Command {
        core::Command::Started { session_id, pid: self.pid, workspace: self.workspace }
    }
}

/// What a runner says of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// The agent has ended, its descendants are being ended.
    Ending,
    /// Something cannot be ended or confirmed.
    HeldUp,
    /// Nothing holds it up any more.
    Free,
    /// An ended session's files are gone.
    Cleaned,
}

crate::wire::named! {
    NoteWord = NoteKind, "What a runner says of a session." {
        Ending => "ending", HeldUp => "held_up", Free => "free", Cleaned => "cleaned",
    }
}

/// What a runner says of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionNote {
    /// What.
    pub note: NoteWord,
    /// For `held_up`: by what kind of thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<HoldUp>,
    /// For `held_up`: which, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl SessionNote {
    /// The command that it stands for.
    ///
    /// # Errors
    /// When `held_up` does not say by what.
    pub fn into_command(self, session_id: core::SessionId) -> Result<core::Command, Invalid> {
        let note = match self.note.0 {
            NoteKind::Ending => cmd::SessionNote::Ending,
            NoteKind::Free => cmd::SessionNote::Free,
            NoteKind::Cleaned => cmd::SessionNote::Cleaned,
            NoteKind::HeldUp => {
                let by = self.by.ok_or_else(|| Invalid::new("by", "is needed with `held_up`"))?;
                let detail = self.detail.unwrap_or_else(|| by.0.as_str().to_owned());
                cmd::SessionNote::HeldUp(core::session::HeldUp { by: by.0, detail })
            }
        };
        Ok(core::Command::NoteSession { session_id, note })
    }
}

/// An open session of a runner, with its attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenSession {
    /// The session.
    pub session: Session,
    /// Its runner has taken it up: false for one that was asked for by name and is still to be taken.
    pub taken: bool,
    /// A person's word that what is left of it is not Mozi's.
    pub forced: bool,
    /// Its attempt, if it is at a task.
    #[serde(default)]
    pub attempt: Option<OpenAttempt>,
}

/// The open attempt of a session, as far as reconciling needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenAttempt {
    /// Its number.
    pub number: u32,
    /// Its role.
    pub role: Role,
    /// It lost its task and is to be stopped.
    pub revoked: bool,
    /// What the agent said.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// How long ago it said so.
    #[serde(default)]
    pub verdict_age_ms: Option<u64>,
    /// How its verdict is known.
    pub verdict_mode: VerdictMode,
    /// The runner's machine boot when it was claimed: another one proves death.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// The runner's pid namespace when it was claimed.
    #[serde(default)]
    pub pid_namespace: Option<String>,
    /// How long it may take; none = the agent's own limit.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// When it was claimed.
    pub started_at: Time,
}

impl OpenSession {
    /// A session as its runner needs it at `now`.
    pub fn new(s: &core::Session, attempt: Option<&core::Attempt>, now: core::Timestamp) -> Self {
        Self {
            session: s.into(),
            taken: s.order.as_ref().is_none_or(|o| o.taken),
            forced: s.forced,
            attempt: attempt.map(|a| OpenAttempt {
                number: a.number,
                role: a.role.into(),
                revoked: a.revoked_at.is_some(),
                verdict: a.verdict.map(Into::into),
                verdict_age_ms: a
                    .verdict_at
                    .map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
                verdict_mode: a.verdict_mode.into(),
                boot_id: a.boot_id.clone(),
                pid_namespace: a.pid_namespace.clone(),
                timeout_ms: a.timeout_ms,
                started_at: a.started_at.into(),
            }),
        }
    }
}

/// Something that people should see, said by a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunnerNotice {
    /// Of which project, if of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Of which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Of which attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_number: Option<u32>,
    /// Of which agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The stable word for it.
    pub code: String,
    /// In words.
    pub text: String,
    /// What belongs to it.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub more: Object,
}

impl RunnerNotice {
    /// A notice that is about nothing but itself.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            project_id: None,
            task_id: None,
            attempt_number: None,
            agent: None,
            code: code.into(),
            text: text.into(),
            more: Object::default(),
        }
    }
    /// The command that it stands for.
    ///
    /// # Errors
    /// When only one of project and task is named.
    pub fn into_command(self) -> Result<core::Command, Invalid> {
        let key = match (self.project_id, self.task_id) {
            (Some(p), Some(t)) => Some(core::TaskKey::new(p.0, t.0)),
            (None, None) => None,
            (None, Some(_)) => return Err(Invalid::new("project_id", "is needed with a task_id")),
            (Some(_), None) => return Err(Invalid::new("task_id", "is needed with a project_id")),
        };
        Ok(core::Command::Notice {
            key,
            attempt_number: self.attempt_number,
            agent: self.agent.map(|a| a.0),
            code: self.code,
            text: self.text,
            more: self.more.0,
        })
    }
}
