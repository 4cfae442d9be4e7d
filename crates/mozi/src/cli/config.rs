//! `mozi config …`
#![expect(clippy::doc_markdown, reason = "these comments are the help that people read")]

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read mozi.toml and tell every mistake
    #[command(
        after_help = "Ends with 1 when there is a mistake. What is allowed but looks wrong (a program or folder that is not\nthere) is a warning. Nothing is changed; a running server takes the file up with `mozi reload`.\n\nExamples:\n  mozi config check\n  mozi config check ./new.toml"
    )]
    Check {
        /// The file [default: $MOZI_CONFIG, else ~/.config/mozi/mozi.toml]
        file: Option<PathBuf>,
    },
    /// Every value that holds, and where it comes from
    #[command(after_help = "Values of `env` tables are not shown.\n\nExample:\n  mozi config show")]
    Show {
        /// The file [default: $MOZI_CONFIG, else ~/.config/mozi/mozi.toml]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The data folder [default: $MOZI_DATA, else ~/.local/share/mozi]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}
