//! `mozi status`

use clap::Args;

#[derive(Debug, Default, Args)]
pub(crate) struct StatusArgs {
    /// What has ended since then: 8h, 2d, 22:30, 2026-12-01 … [default: 8h]
    #[arg(long, value_name = "8h|TIME")]
    pub since: Option<String>,
    /// Stay, and draw it anew as things happen; Ctrl-C ends it
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// How many of each kind at most [default: 10; 50 with --json]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: Option<u32>,
}
