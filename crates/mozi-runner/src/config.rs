//! What a runner is told at its start: agents, folders, programs of this machine.
//!
//! Nothing here is read from a file or the environment: the binary does that and hands over values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use mozi_core::{AgentId, ProjectId, Role, RunnerId};

/// All that a runner needs to know.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// Its id; the embedded one is called `local`.
    pub id: RunnerId,
    /// The data folder: sessions, workspaces, the link to the program.
    pub data_dir: PathBuf,
    /// The folder of the configuration file: relative programs, bootstraps and hooks start from it.
    pub config_dir: PathBuf,
    /// Sessions at once.
    pub max_sessions: u32,
    /// The agents of this machine.
    pub agents: BTreeMap<AgentId, AgentConfig>,
    /// What projects are on this machine.
    pub projects: BTreeMap<ProjectId, ProjectConfig>,
    /// Commands that build the first part of a prompt.
    pub bootstraps: BTreeMap<String, Bootstrap>,
    /// Commands that are run when something has happened.
    pub hooks: Vec<Hook>,
    /// The board's address as agents are told it, without a slash at its end.
    pub agent_url: String,
    /// The program that supervisors are started from; `/proc/self/exe`, so that they are of the running version.
    pub exe: PathBuf,
    /// The link to the program that comes first on every agent's PATH: `<data>/bin/mozi`.
    pub mozi_link: PathBuf,
    /// The server's environment, without `MOZI_*` and the marks of an outer agent (see
    /// [`is_outer_mark`](crate::is_outer_mark)).
    pub base_env: Vec<(OsString, OsString)>,
    /// Prepare everything and start nothing.
    pub dry_run: bool,
    /// The program's version.
    pub version: String,
}

impl RunnerConfig {
    /// The folder of all session directories.
    pub fn sessions_dir(&self) -> PathBuf {
        self.data_dir.join("sessions")
    }

    /// The folder of all workspaces that Mozi makes.
    pub fn workspaces_dir(&self) -> PathBuf {
        self.data_dir.join("workspaces")
    }
}

/// One agent: how it is started and limited.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// How it is started and followed.
    pub runtime: RuntimeConfig,
    /// How it knows its token.
    pub callback: Callback,
    /// Where its `content_path` may lie, beside its workspace.
    pub output_roots: Vec<PathBuf>,
    /// Other names under which it reports.
    pub aliases: Vec<String>,
    /// What it may be claimed for.
    pub roles: Vec<Role>,
    /// Sessions at once; 0 = only the runner's limit.
    pub max_sessions: u32,
    /// The longest time of a session.
    pub timeout: Option<Duration>,
    /// The longest time without a sign of life.
    pub stall_timeout: Option<Duration>,
    /// The time after a verdict, and between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// What happens when a log reaches its limit.
    pub log_overflow: LogOverflow,
    /// What it gets of the server's environment.
    pub inherit_env: InheritEnv,
    /// What it gets beside.
    pub env: BTreeMap<String, String>,
}

/// How an agent is started and followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeConfig {
    /// Any program.
    Command {
        /// The program and its arguments, with placeholders.
        command: Vec<String>,
        /// How it gets its prompt.
        prompt_via: PromptVia,
        /// How its verdict is known.
        verdict: Verdict,
    },
    /// An agent of an OpenClaw Gateway on this machine, by OpenClaw's command line.
    Openclaw {
        /// Its id there.
        openclaw_agent: String,
        /// The program, by default `openclaw`.
        program: PathBuf,
    },
    /// Nothing is started.
    DryRun,
}

impl RuntimeConfig {
    /// The word that stands for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Command { .. } => "command",
            Self::Openclaw { .. } => "openclaw",
            Self::DryRun => "dry-run",
        }
    }

    /// How the verdict of such an agent is known.
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Command { verdict, .. } => *verdict,
            Self::Openclaw { .. } | Self::DryRun => Verdict::Report,
        }
    }
}

/// How a program gets its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptVia {
    /// On its standard input.
    Stdin,
    /// In a file, named by `{prompt_file}`; standard input is empty.
    File,
    /// Not at all.
    None,
}

/// How an agent's verdict is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It reports it.
    Report,
    /// Exit status 0 is its verdict.
    Exit,
}

impl Verdict {
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Exit => "exit",
        }
    }
}

/// How an agent knows its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callback {
    /// From its environment.
    Env,
    /// From its prompt: nothing else reaches it.
    Header,
    /// From the address that it is told: the token is a part of it.
    Url,
    /// Not at all: it reports under its own name.
    Anonymous,
}

impl Callback {
    /// The word that stands for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Header => "header",
            Self::Url => "url",
            Self::Anonymous => "anonymous",
        }
    }
}

/// What happens when a log reaches its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOverflow {
    /// Its oldest part goes.
    DropOldest,
    /// The session is ended.
    End,
}

/// What an agent gets of the server's environment. Mozi's own variables and the marks of an outer agent never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InheritEnv {
    /// Everything else.
    All,
    /// `PATH HOME USER LANG TZ TERM`.
    Minimal,
    /// These.
    Names(Vec<String>),
}

/// What a project is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectConfig {
    /// Its folder, if it has one here.
    pub path: Option<PathBuf>,
    /// Where its agents work.
    pub workspace: WorkspaceMode,
}

/// Where the agents of a project work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkspaceMode {
    /// A folder for each task, kept across its attempts.
    PerTask,
    /// A folder for each attempt.
    PerAttempt,
    /// The project's own folder, one session at a time.
    InPlace,
}

/// A command that builds the first part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A command that is run when something has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Patterns of event types: `agent_*`, `status_changed:review`, `idle`, `*`.
    pub on: Vec<String>,
    /// The project, or `*`.
    pub project: String,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}
