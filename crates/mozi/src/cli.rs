//! The command line: every word, flag and example.
#![expect(clippy::doc_markdown, reason = "these comments are the help that people read")]

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use agent::{OutputAdd, ReportArgs, ReportStatus};
pub(crate) use config::ConfigCommand;
pub(crate) use house::{BackupArgs, GcArgs, RestoreArgs};
pub(crate) use people::{TokenCommand, UserAdd, UserCommand};
pub(crate) use service::{DownArgs, ReloadArgs, StopArgs, UpArgs};
pub(crate) use status::StatusArgs;
pub(crate) use task::{Role, TaskAdd, TaskCommand, TaskEdit, Wait};

mod agent;
mod config;
pub(crate) mod groups;
mod house;
mod people;
mod service;
mod status;
mod task;

const AFTER: &str = "\
Getting started:
  mozi demo                   a board, agents and tasks in a temporary folder, told as it happens
  mozi init                   writes mozi.toml with the agents found on this machine
  mozi serve                  runs the board and its agents
  mozi task add \"Fix #12\" -a coder --wait
  mozi task list

Exit status: 0 done, 1 refused or failed, 2 usage, 3 no board answers, 4 not authorised,
5 a task that was waited for ended in another status than done, or needs a person.";

/// A blackboard that puts AI agents to work and never loses one.
#[derive(Debug, Parser)]
#[command(name = "mozi", version, after_help = AFTER, max_term_width = 100)]
#[command(disable_help_subcommand = true, infer_subcommands = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The board's address [env: MOZI_URL; else the local board's]
    #[arg(long, global = true, value_name = "URL", help_heading = "Board")]
    pub url: Option<String>,
    /// The bearer token [env: MOZI_TOKEN; else the local board's own file]
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true, help_heading = "Board")]
    pub token: Option<String>,
    /// The project [env: MOZI_PROJECT; else by the current folder, else the only one, else `default`]
    #[arg(short, long, global = true, value_name = "PROJECT", help_heading = "Board")]
    pub project: Option<String>,
    /// Print JSON for machines
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Decide as a person although an agent's shell is where this runs; recorded
    #[arg(long, global = true, help_heading = "Board")]
    pub as_person: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A board in a temporary folder, real agent processes, tasks to `done`, told as it happens
    #[command(after_help = "Example:\n  mozi demo --keep")]
    Demo {
        /// Keep the folder and say where it is
        #[arg(long)]
        keep: bool,
    },
    /// Write mozi.toml: agents found on PATH and in OpenClaw's configuration
    #[command(
        after_help = "Inside a git work tree a project for it is written too. Nothing is overwritten.\n\nExample:\n  cd ~/src/app && mozi init"
    )]
    Init,
    /// Run the board and its agents
    #[command(
        after_help = "Stopping it leaves the agents at work; the next start takes them up again.\n\nExamples:\n  mozi serve\n  mozi serve --listen 127.0.0.1:9000 --data ./mozi-data --config ./mozi.toml"
    )]
    Serve(ServeArgs),
    /// Run the board as a service of this user, and return when it is ready
    #[command(
        after_help = "Where there is a systemd for users, it writes ~/.config/systemd/user/mozi.service, which also starts the board at\nlogin (`loginctl enable-linger` once: also without one); else the board runs detached, with <data>/serve.log. Once\nmore it says that it is up; with other options it restarts the board. Agents at work stay at work.\n\nExamples:\n  mozi up\n  mozi up --listen 127.0.0.1:9000"
    )]
    Up(UpArgs),
    /// Stop the board, and do not start it at login any more
    #[command(
        after_help = "Agents at work stay at work; the next start takes them up.\n\nExample:\n  mozi down"
    )]
    Down(DownArgs),
    /// Stop the board; agents stay at work
    #[command(
        after_help = "With --drain nothing new is started, and the board stops when the last session has ended; broken off with Ctrl-C,\nit is not stopped and claims tasks again. A board that runs as a service comes back at the next login.\n\nExamples:\n  mozi stop\n  mozi stop --drain"
    )]
    Stop(StopArgs),
    /// Let the running board read mozi.toml again
    #[command(
        after_help = "All of it is taken up, or nothing: then every mistake is told. What runs keeps what it was started with; what only a\nrestart can change is named. SIGHUP does the same.\n\nExample:\n  mozi reload"
    )]
    Reload(ReloadArgs),
    /// Check mozi.toml, or show every value with its origin
    #[command(subcommand, after_help = "Examples:\n  mozi config check\n  mozi config show")]
    Config(ConfigCommand),
    /// What waits for you, what runs, what has ended, what is stuck and why
    #[command(
        after_help = "Plain `mozi` is the same. Below each item stands what to do about it.\n\nExamples:\n  mozi status\n  mozi status --since 22:30\n  mozi status --watch\n  mozi -p app status --json"
    )]
    Status(StatusArgs),
    /// Boards of tasks and their settings
    #[command(
        subcommand,
        after_help = "Examples:\n  mozi project list\n  mozi project set app default_agent=coder review=none"
    )]
    Project(ProjectCommand),
    /// Tasks: add, list, decide, wait
    #[command(
        subcommand,
        after_help = "Examples:\n  mozi task add \"Fix the login page\" -a coder --must \"the tests pass\"\n  mozi task list --mine\n  mozi task approve 12"
    )]
    Task(Box<TaskCommand>),
    /// Why a task is not running, or what it waits for
    #[command(after_help = "Example:\n  mozi why 12")]
    Why {
        /// The task
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// What an agent printed
    #[command(
        after_help = "With --json: one object for each line.\n\nExamples:\n  mozi logs 12 -f\n  mozi logs 12 --attempt 1 --stderr"
    )]
    Logs(LogsArgs),
    /// Say something about a task
    #[command(
        after_help = "Inside a session the task is known: mozi comment \"half way\"\n\nExamples:\n  mozi comment 12 \"the staging key is in the vault\"\n  git diff | mozi comment 12 -"
    )]
    Comment {
        /// The task; inside a session it may be left out
        #[arg(value_name = "ID")]
        id: String,
        /// TEXT, `-` for standard input or `@FILE`
        #[arg(allow_hyphen_values = true)]
        text: Option<String>,
    },
    /// Runs of agents at a task
    #[command(subcommand, after_help = "Examples:\n  mozi attempt list 12\n  mozi attempt show 12 2")]
    Attempt(AttemptCommand),
    /// What agents delivered
    #[command(
        subcommand,
        after_help = "Examples:\n  mozi output list 12\n  mozi output save 12 1 -o report.pdf"
    )]
    Output(OutputCommand),
    /// Running agents, with or without a task
    #[command(
        subcommand,
        after_help = "Examples:\n  mozi session list\n  mozi session start coder -m \"tidy the workspace\""
    )]
    Session(SessionCommand),
    /// The agents that can be started
    #[command(subcommand, after_help = "Examples:\n  mozi agent list\n  mozi agent resume coder")]
    Agent(AgentCommand),
    /// What happened, as it happens
    #[command(after_help = "Examples:\n  mozi events -f\n  mozi events --task 12 --json")]
    Events(EventsArgs),
    /// Credentials
    #[command(
        subcommand,
        after_help = "Examples:\n  mozi token create --name laptop\n  mozi token revoke laptop"
    )]
    Token(TokenCommand),
    /// People, what they may do, and for how long
    #[command(subcommand, after_help = "Examples:\n  mozi user add ann --role operator\n  mozi user list")]
    User(UserCommand),
    /// Check the database, the folders and the agents
    #[command(
        after_help = "Ends with 1 when something is wrong; every finding says what to do.\n\nExample:\n  mozi doctor"
    )]
    Doctor {
        /// The data folder [default: as `mozi serve`]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// The configuration file [default: as `mozi serve`]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Read every output that lies in a file, to see whether it is what was delivered
        #[arg(long)]
        all_outputs: bool,
    },
    /// Save the whole board in one file, also while it works
    #[command(
        after_help = "The database as it is at one moment, the outputs that it names, mozi.toml and prompts/; neither logs nor\nworkspaces, and no tokens. FILE is whole or it is not there.\n\nExamples:\n  mozi backup mozi-monday.tar\n  mozi backup /mnt/backup/mozi.tar --force"
    )]
    Backup(BackupArgs),
    /// Put a backup back, into a data folder without a board
    #[command(
        after_help = "A configuration that is there is kept. Attempts that were at work are looked for and ended by the next start.\n\nExamples:\n  mozi restore mozi-monday.tar --verify\n  mozi restore mozi-monday.tar --data ~/mozi-restored"
    )]
    Restore(RestoreArgs),
    // Said by an attribute: in a comment the brackets would be a link.
    #[command(
        about = "Remove what [retention] of mozi.toml lets go, and what nothing needs",
        after_help = "logs, events and workspaces by the rule; blobs that no output names, directories of sessions that the board\ndoes not know and half-written files after a day. Nothing live is touched.\n\nExamples:\n  mozi gc --dry-run\n  mozi gc"
    )]
    Gc(GcArgs),
    /// Report how your task stands (for agents)
    #[command(
        after_help = "The task, the board and the token come from the environment of the session. When the board does not\nanswer within three seconds the report is kept and delivered later, and the command succeeds.\n\nExamples:\n  mozi report working\n  mozi report review --detail \"all tests pass\"\n  mozi report blocked --kind needs_input --detail \"which database?\"\n  mozi report reject --detail \"the tests do not cover the empty case\""
    )]
    Report(ReportArgs),
    /// Print the OpenAPI document of the HTTP interface
    #[command(after_help = "Example:\n  mozi openapi > openapi.json")]
    Openapi,
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  mozi completions bash > ~/.local/share/bash-completion/completions/mozi"
    )]
    Completions {
        /// bash, elvish, fish, powershell, zsh
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  mozi man | man -l -")]
    Man,
    /// Print the version
    #[command(after_help = "Example:\n  mozi version --json")]
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The data folder [env: MOZI_DATA; default: ~/.local/share/mozi]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file [env: MOZI_CONFIG; default: ~/.config/mozi/mozi.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one [default: as in mozi.toml, else 127.0.0.1:8083]
    #[arg(long, value_name = "ADDR", value_parser = crate::config::parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Start nothing: sessions are made with their prompts, and end at once
    #[arg(long)]
    pub dry_run: bool,
    /// How the log on standard error is written: text, or a JSON object on each line, with one for each request [env:
    /// MOZI_LOG_FORMAT; default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Leave the terminal
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// How the server's log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Make a project
    #[command(after_help = "Example:\n  mozi project add app --name \"The app\"")]
    Add {
        /// Its id
        id: String,
        /// What people call it
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// All projects
    #[command(after_help = "Example:\n  mozi project list")]
    List,
    /// A project with its settings
    #[command(after_help = "Example:\n  mozi project show app")]
    Show {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Change settings; an empty value takes one back
    #[command(
        after_help = "Settings: name, default_agent, dispatch (auto, manual), review (human, none, an agent), require_output (auto,\nalways, never), max_attempts, max_review_attempts, max_review_rounds, on_no_verdict (auto, retry, review, block),\non_lost and on_timeout (retry, block), backoff_initial, backoff_max, max_sessions, agents_may_create, language\n(en, zh-CN), bootstrap.\n\nExamples:\n  mozi project set app default_agent=coder review=none\n  mozi project set app max_sessions="
    )]
    Set {
        /// The project
        id: String,
        /// What to change
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Nothing is claimed from it any more; what runs goes on to its end
    #[command(after_help = "Example:\n  mozi project archive old-app")]
    Archive {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Take it out of the archive
        #[arg(long)]
        undo: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The task, or the beginning of a session's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Which attempt [default: the newest]
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// What it wrote to standard error
    #[arg(long)]
    pub stderr: bool,
    /// Go on as it is written, until it has ended
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AttemptCommand {
    /// All attempts at a task
    #[command(after_help = "Example:\n  mozi attempt list 12")]
    List {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// One attempt
    #[command(after_help = "Example:\n  mozi attempt show 12 2")]
    Show {
        /// The task
        id: String,
        /// Its number
        number: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutputCommand {
    /// All outputs of a task
    #[command(after_help = "Example:\n  mozi output list 12")]
    List {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Print an output
    #[command(after_help = "Example:\n  mozi output show 12 1")]
    Show {
        /// The task
        id: String,
        /// The output's number
        output: u64,
    },
    /// Save an output to a file
    #[command(after_help = "Example:\n  mozi output save 12 1 -o report.pdf")]
    Save {
        /// The task
        id: String,
        /// The output's number
        output: u64,
        /// Where to [default: its own file name, or task-output]
        #[arg(short, long, value_name = "FILE")]
        output_file: Option<PathBuf>,
    },
    /// Deliver an output of your task (for agents)
    #[command(
        after_help = "Examples:\n  mozi output add --title \"The report\" --file report.md --summary \"What was found\"\n  make test 2>&1 | mozi output add --title \"Test run\" --type data --content -"
    )]
    Add(OutputAdd),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// Sessions that live
    #[command(after_help = "Example:\n  mozi session list --all")]
    List {
        /// Ended ones too
        #[arg(long)]
        all: bool,
    },
    /// One session
    #[command(after_help = "Example:\n  mozi session show 3f2a")]
    Show {
        /// The beginning of its id, as far as it is unique
        #[arg(required = true, value_name = "SID")]
        ids: Vec<String>,
    },
    /// Start an agent by name, at a task or without one
    #[command(
        after_help = "Examples:\n  mozi session start coder --task 12\n  mozi session start coder -m \"tidy the workspace\"\n  mozi session start shell -m @prompt.md --verbatim --wait"
    )]
    Start {
        /// The agent
        agent: String,
        /// What to tell it: TEXT, `-` for standard input or `@FILE`
        #[arg(short, long, value_name = "TEXT|-|@FILE", allow_hyphen_values = true)]
        message: Option<String>,
        /// At this task
        #[arg(long, value_name = "ID")]
        task: Option<String>,
        /// The message is the whole prompt, as it stands
        #[arg(long, requires = "message")]
        verbatim: bool,
        /// Wait until it has ended; exit status 5 where it did not end well
        #[arg(long)]
        wait: bool,
    },
    /// Stop a session; its task is held
    #[command(after_help = "Example:\n  mozi session stop 3f2a")]
    Stop {
        #[arg(required = true, value_name = "SID")]
        ids: Vec<String>,
    },
    /// Remove what an ended session has left on disk
    #[command(
        after_help = "--force is your word that whatever is left of it is not Mozi's: it is closed without proof.\n\nExample:\n  mozi session clean 3f2a"
    )]
    Clean {
        #[arg(required = true, value_name = "SID")]
        ids: Vec<String>,
        /// Close one that cannot be proven dead
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// All agents
    #[command(after_help = "Example:\n  mozi agent list")]
    List,
    /// One agent
    #[command(after_help = "Example:\n  mozi agent show coder")]
    Show {
        #[arg(required = true, value_name = "AGENT")]
        ids: Vec<String>,
    },
    /// Give it no work; what runs goes on
    #[command(after_help = "Example:\n  mozi agent pause coder")]
    Pause {
        #[arg(required = true, value_name = "AGENT")]
        ids: Vec<String>,
    },
    /// Give it work again
    #[command(after_help = "Example:\n  mozi agent resume coder")]
    Resume {
        #[arg(required = true, value_name = "AGENT")]
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on as they happen
    #[arg(short, long)]
    pub follow: bool,
    /// After the event with this id
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// Of this task only
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
    /// Of all projects
    #[arg(long, conflicts_with = "task")]
    pub all: bool,
}

/// The type of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputKind {
    Code,
    Document,
    Data,
    Config,
    Other,
}
