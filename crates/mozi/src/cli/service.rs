//! `mozi up`, `down`, `stop`, `reload`
#![expect(clippy::doc_markdown, reason = "these comments are the help that people read")]

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

/// What `mozi up` starts the server with.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The data folder [env: MOZI_DATA; default: ~/.local/share/mozi]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file [env: MOZI_CONFIG; default: ~/.config/mozi/mozi.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen on [default: as in mozi.toml, else 127.0.0.1:8083]
    #[arg(long, value_name = "ADDR", value_parser = crate::config::parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Without systemd, also where there is one
    #[arg(long)]
    pub detach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// The data folder [env: MOZI_DATA; default: ~/.local/share/mozi]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The data folder [env: MOZI_DATA; default: ~/.local/share/mozi]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Start nothing more, wait for the sessions that run, then stop
    #[arg(long)]
    pub drain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// The data folder of the server [default: as the other commands find their board]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}
