//! Words for keeping house: `backup`, `restore`, `gc`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Where to; it must not be there yet
    pub file: PathBuf,
    /// Replace FILE, once the new backup is whole
    #[arg(long)]
    pub force: bool,
    /// The data folder of a board that does not run [default: as `mozi serve`]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file that belongs to it [default: as `mozi serve`]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// What `mozi backup` wrote
    pub file: PathBuf,
    /// Only look it over, every byte of it; nothing is changed
    #[arg(long)]
    pub verify: bool,
    /// The data folder, which must be empty or absent [default: as `mozi serve`]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the configuration goes, if there is none yet [default: as `mozi serve`]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
    /// The data folder of a board that does not run [default: as `mozi serve`]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file with its rule of retention [default: as `mozi serve`]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
