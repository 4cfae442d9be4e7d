//! What agents say from inside their sessions.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OutputKind;

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// How the task stands: the last two are a reviewer's
    pub status: ReportStatus,
    /// Why, or the remark: TEXT, `-` for standard input or `@FILE`
    #[arg(long, value_name = "TEXT|-|@FILE", allow_hyphen_values = true)]
    pub detail: Option<String>,
    /// What kind of help is needed
    #[arg(long, value_name = "KIND")]
    pub kind: Option<ReportKind>,
}

/// What an agent can say of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportStatus {
    Working,
    Review,
    Failed,
    Blocked,
    Cancelled,
    Approve,
    Reject,
}

impl ReportStatus {
    /// The status that it sets.
    pub(crate) const fn status(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Review => "review",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Cancelled => "cancelled",
            Self::Approve => "done",
            Self::Reject => "pending",
        }
    }
}

/// What kind of help is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ReportKind {
    NeedsInput,
    Access,
    External,
    Other,
}

impl ReportKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NeedsInput => "needs_input",
            Self::Access => "access",
            Self::External => "external",
            Self::Other => "other",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct OutputAdd {
    /// One line that says what it is
    #[arg(long, value_name = "T")]
    pub title: String,
    /// What kind of thing it is
    #[arg(long = "type", value_name = "TYPE", default_value = "document")]
    pub kind: OutputKind,
    /// A few lines for whoever goes on from here
    #[arg(long, value_name = "S")]
    pub summary: Option<String>,
    /// The file to deliver
    #[arg(long, value_name = "F", required_unless_present = "content", conflicts_with = "content")]
    pub file: Option<PathBuf>,
    /// The content itself, or `-` for standard input
    #[arg(long, value_name = "TEXT|-", allow_hyphen_values = true)]
    pub content: Option<String>,
}
