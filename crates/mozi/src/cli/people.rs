//! Words for who may ask the board: `user`, `token`.

use clap::{Args, Subcommand, ValueEnum};

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// All of it, people and settings too
    Admin,
    /// Tasks, sessions and decisions
    Operator,
    /// Look
    Viewer,
}

impl RoleName {
    pub(crate) fn role(self) -> mozi_core::UserRole {
        match self {
            Self::Admin => mozi_core::UserRole::Admin,
            Self::Operator => mozi_core::UserRole::Operator,
            Self::Viewer => mozi_core::UserRole::Viewer,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct UserAdd {
    /// What they are called
    pub name: String,
    /// What they may do
    #[arg(long, value_enum, default_value = "operator")]
    pub role: RoleName,
    /// When they end by themselves: `90d`, `12h` from now, or a date
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user; with -p for this project only
    #[command(
        after_help = "Of a token of theirs the narrower counts: its own role, project and end, or theirs.\n\nExamples:\n  mozi user add ann\n  mozi user add guest --role viewer --expires 90d\n  mozi -p app user add bo"
    )]
    Add(UserAdd),
    /// All users
    #[command(after_help = "Example:\n  mozi user list")]
    List,
    /// All their tokens are worth nothing, at once, until enabled again
    #[command(after_help = "Example:\n  mozi user disable ann")]
    Disable {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Their tokens count again
    #[command(after_help = "Example:\n  mozi user enable ann")]
    Enable {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// What it is called
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Whose it becomes [default: yours]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// What it may do, never more than its user [default: as its user]
    #[arg(long, value_enum)]
    pub role: Option<RoleName>,
    /// When it ends by itself: `90d`, `12h` from now, or a date
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is shown once. With -p for this project only
    #[command(
        after_help = "Examples:\n  mozi token create --name laptop\n  mozi token create --name ci --user ann --role operator -p app --expires 90d"
    )]
    Create(TokenCreate),
    /// All tokens
    #[command(after_help = "Example:\n  mozi token list")]
    List,
    /// Take a token back; what is watched with it ends within a second
    #[command(after_help = "Example:\n  mozi token revoke laptop")]
    Revoke {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}
