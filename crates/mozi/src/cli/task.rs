//! `mozi task …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Add a task
    #[command(
        after_help = "Examples:\n  mozi task add \"Fix the login page\" -a coder --must \"tests pass\"\n  mozi task add \"Release notes\" -F notes.md --after 12 --after 13:review --review none\n  id=$(mozi task add \"Nightly check\" --not-before +2h -q)"
    )]
    Add(TaskAdd),
    /// Tasks of the project
    #[command(
        after_help = "Examples:\n  mozi task list --status review\n  mozi task list --mine --label area=web"
    )]
    List {
        /// Only in this status; may be given several times
        #[arg(long, value_name = "STATUS")]
        status: Vec<String>,
        /// Only with this label
        #[arg(long, value_name = "K=V")]
        label: Option<String>,
        /// Only what waits for a person's decision: yours
        #[arg(long)]
        mine: bool,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// A task with all that hangs on it
    #[command(after_help = "Example:\n  mozi task show 12")]
    Show {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Add many tasks, one a line, all or none; or take in a whole project that was exported
    #[command(
        after_help = "Each line is a JSON object with the fields of a new task: title, task_id, description, task_type, priority,\nmust_haves, agent, depends_on, not_before, timeout_seconds, max_attempts, review, parent, labels, metadata, held.\nThey may wait for each other in any order. Every wrong line is named, and then nothing is added.\n\nThe archive of a whole project is known by its content. It goes where nothing is yet; -p names a new project. What was at\nwork where it comes from arrives blocked (imported_live).\n\nExamples:\n  mozi task import tasks.jsonl\n  printf '%s\\n' '{\"title\":\"one\",\"task_id\":\"a\"}' '{\"title\":\"two\",\"depends_on\":[\"a\"]}' | mozi task import - --dry-run\n  mozi task import app.mozi.tar -p app"
    )]
    Import {
        /// The file; `-` for standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// Only look whether it would be taken in
        #[arg(long)]
        dry_run: bool,
    },
    /// Write a whole project into one file
    #[command(
        after_help = "Everything of the project is in it: settings, tasks, attempts, outputs with their bytes, comments, events; no tokens.\n`mozi task import` reads it back, here or on another board.\n\nExamples:\n  mozi task export -p app -o app.mozi.tar\n  mozi task export -p app --tasks-only -o tasks.jsonl"
    )]
    Export {
        /// The file; `-` for standard output [default: PROJECT.mozi.tar, or PROJECT.jsonl]
        #[arg(short = 'o', long = "output", value_name = "FILE|-")]
        output: Option<PathBuf>,
        /// Only the tasks, as new ones, one a line
        #[arg(long)]
        tasks_only: bool,
        /// Write over a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Change a task; for its next attempt
    #[command(
        after_help = "Examples:\n  mozi task edit 12 --priority 1\n  mozi task edit 12 -e\n  mozi task edit 12 --after 11 --not-after 10"
    )]
    Edit(TaskEdit),
    /// What an agent would be told now
    #[command(after_help = "Example:\n  mozi task prompt 12 --role reviewer")]
    Prompt {
        /// The task
        id: String,
        /// executor or reviewer [default: as its status asks for]
        #[arg(long, value_name = "R")]
        role: Option<Role>,
    },
    /// Wait until tasks have ended or need a person
    #[command(
        after_help = "Exit status 5: one of them ended in another status than done, or needs a person.\n\nExample:\n  mozi task wait 12 13 --final"
    )]
    Wait {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Wait on while a person is needed
        #[arg(long = "final")]
        until_final: bool,
    },
    /// Accept the result
    #[command(
        after_help = "Examples:\n  mozi task approve 12\n  mozi task approve 12 --as-it-is -m \"done by hand\""
    )]
    Approve {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Also a task that is not in review: it is done by hand, or good enough
        #[arg(long, requires = "message")]
        as_it_is: bool,
        /// Why
        #[arg(short, long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Send the result back with a remark
    #[command(
        after_help = "Without -m or -F your editor is opened.\n\nExample:\n  mozi task reject 12 -m \"the error page is still in English\""
    )]
    Reject {
        /// The task
        id: String,
        #[command(flatten)]
        text: Remark,
    },
    /// Call tasks off; what runs is stopped
    #[command(after_help = "Example:\n  mozi task cancel 12 13")]
    Cancel(Decide),
    /// Hold tasks back; what runs is stopped
    #[command(after_help = "Example:\n  mozi task hold 12")]
    Hold(Decide),
    /// Let held tasks go on
    #[command(
        after_help = "Examples:\n  mozi task release 12\n  mozi task release --kind dry_run      all that a dry run has left in the project"
    )]
    Release(Release),
    /// Try failed, blocked or cancelled tasks again
    #[command(after_help = "Example:\n  mozi task retry 12")]
    Retry(Decide),
    /// Stop the agents at work on tasks; the tasks are held
    #[command(after_help = "Example:\n  mozi task stop 12")]
    Stop(Decide),
    /// Answer what an agent asked, and let the task go on
    #[command(after_help = "Example:\n  mozi task answer 12 \"use the staging database\"")]
    Answer {
        /// The task
        id: String,
        /// TEXT, `-` for standard input or `@FILE`
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
}

/// Tasks to let go on.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The tasks
    #[arg(required_unless_present = "kind", conflicts_with = "kind", value_name = "ID")]
    pub ids: Vec<String>,
    /// All that are blocked for this reason: `held`, `dry_run`, `needs_input` …
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Why
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
}

/// Tasks to decide on.
#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// The tasks
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// Why
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
}

/// A remark.
#[derive(Debug, Args)]
pub(crate) struct Remark {
    /// The remark
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    pub message: Option<String>,
    /// The file that holds it; `-` for standard input
    #[arg(short = 'F', long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Executor,
    Reviewer,
}

/// How long `--wait` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Until it has ended or needs a person.
    Decision,
    /// Until it has ended.
    Final,
}

#[derive(Debug, Args)]
pub(crate) struct TaskAdd {
    /// One line that says what is to be done
    #[arg(required_unless_present_any = ["file", "edit"])]
    pub title: Option<String>,
    /// Title (first line) and description from a file; `-` for standard input
    #[arg(short = 'F', long, value_name = "FILE", conflicts_with_all = ["edit", "description"])]
    pub file: Option<PathBuf>,
    /// Write title and description in your editor
    #[arg(short, long)]
    pub edit: bool,
    /// Its id [default: the next free number]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The rest: TEXT, `-` for standard input or `@FILE`
    #[arg(short, long, value_name = "TEXT|-|@FILE", allow_hyphen_values = true)]
    pub description: Option<String>,
    /// A word of your own [default: general]
    #[arg(long = "type", value_name = "T")]
    pub task_type: Option<String>,
    /// Smaller is more urgent [default: 5]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub priority: Option<i64>,
    /// A condition that the result has to meet; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub must: Vec<String>,
    /// Who does it [default: the project's default_agent]
    #[arg(short, long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Waits for this task; may be given several times
    #[arg(long, value_name = "ID[:done|review|ended]")]
    pub after: Vec<String>,
    /// Not before: +2h, 14:30, 2026-12-01 …
    #[arg(long, value_name = "TIME|+2h")]
    pub not_before: Option<String>,
    /// How long an attempt may take
    #[arg(long, value_name = "2h")]
    pub timeout: Option<String>,
    /// How often it is tried
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<u32>,
    /// Who decides on the result
    #[arg(long, value_name = "human|none|AGENT")]
    pub review: Option<String>,
    /// May be given several times
    #[arg(long, value_name = "K=V")]
    pub label: Vec<String>,
    /// Do not start it yet
    #[arg(long)]
    pub hold: bool,
    /// Print the id alone
    #[arg(short, long)]
    pub quiet: bool,
    /// Wait until it has ended or needs a person; =final waits on
    #[arg(long, value_name = "final", num_args = 0..=1, require_equals = true, default_missing_value = "decision", hide_possible_values = true)]
    pub wait: Option<Wait>,
}

#[derive(Debug, Args)]
pub(crate) struct TaskEdit {
    /// The task
    pub id: String,
    /// A new title
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Title (first line) and description from a file; `-` for standard input
    #[arg(short = 'F', long, value_name = "FILE", conflicts_with_all = ["edit", "description"])]
    pub file: Option<PathBuf>,
    /// Change title and description in your editor
    #[arg(short, long)]
    pub edit: bool,
    /// TEXT, `-` for standard input or `@FILE`; empty takes it away
    #[arg(short, long, value_name = "TEXT|-|@FILE", allow_hyphen_values = true)]
    pub description: Option<String>,
    /// A word of your own
    #[arg(long = "type", value_name = "T")]
    pub task_type: Option<String>,
    /// Smaller is more urgent
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub priority: Option<i64>,
    /// The conditions anew; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub must: Vec<String>,
    /// Who does it; empty = the project's default_agent
    #[arg(short, long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Waits for this task too; may be given several times
    #[arg(long, value_name = "ID[:done|review|ended]")]
    pub after: Vec<String>,
    /// Does not wait for this task any more; may be given several times
    #[arg(long, value_name = "ID")]
    pub not_after: Vec<String>,
    /// Not before: +2h, 14:30, 2026-12-01 …; empty = at once
    #[arg(long, value_name = "TIME|+2h")]
    pub not_before: Option<String>,
    /// How long an attempt may take; empty = the agent's own limit
    #[arg(long, value_name = "2h")]
    pub timeout: Option<String>,
    /// How often it is tried
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<u32>,
    /// Who decides on the result; empty = as the project says
    #[arg(long, value_name = "human|none|AGENT")]
    pub review: Option<String>,
    /// Only if the task is in this version still (`mozi task show --json` tells it); -e sees to that by itself
    #[arg(long, value_name = "N")]
    pub if_version: Option<u64>,
    /// The labels anew; may be given several times
    #[arg(long, value_name = "K=V")]
    pub label: Vec<String>,
}
