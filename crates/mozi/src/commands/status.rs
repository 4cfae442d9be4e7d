//! `mozi status` and plain `mozi`: what waits for you, what runs, what has ended, what is stuck and why.

use mozi_api::status::{BoardStatus, Since, StatusQuery};

use crate::{
    cli::{Global, StatusArgs},
    context::Context,
    error::{Failure, Result},
    output::Out,
};

mod page;
mod watch;

/// How many of each kind a page shows.
const SHOWN: u32 = 10;

/// What plain `mozi` says where no board is known.
const FIRST_STEPS: &str = "\
Mozi: a blackboard that puts AI agents to work and never loses one.

No board is known here yet. Three ways to begin:

  mozi demo     a board, agents and tasks in a temporary folder, told as it happens
  mozi init     writes mozi.toml with the agents found on this machine
  mozi serve    runs the board and its agents

`mozi --help` shows every command.";

/// Plain `mozi`: the same, or how to begin where there is nothing yet.
pub(crate) async fn plain(global: &Global) -> Result<()> {
    match Context::open(global) {
        Ok(context) => show(&context, global, StatusArgs::default()).await,
        Err(e) if e.code.as_deref() == Some("no_board") && !global.json => Out::new(false).line(FIRST_STEPS),
        Err(e) => Err(e),
    }
}

pub(crate) async fn show(context: &Context, global: &Global, args: StatusArgs) -> Result<()> {
    let limit = args.limit.unwrap_or_else(|| if context.out.json() { 50 } else { SHOWN });
    let query = StatusQuery {
        project: context.named_project()?.map(Into::into),
        since: args.since.as_deref().map(since).transpose()?,
        limit: Some(limit),
    };
    if args.watch {
        return watch::run(global, &query).await;
    }
    let status = context.ask(context.client.status(&query)).await?;
    if context.out.json() {
        return context.out.value(&status);
    }
    context.out.line(text(context.out, &status))
}

fn text(out: Out, status: &BoardStatus) -> String {
    page::Page::new(out, status, &Context::usual_project()).lines().join("\n")
}

fn since(text: &str) -> Result<Since> {
    if let Ok(since) = text.parse::<Since>() {
        return Ok(since);
    }
    let at = crate::output::parse_past(text).map_err(|e| Failure::usage(format!("--since: {e}")))?;
    at.parse().map(Since::At).map_err(|e| Failure::usage(format!("--since {e}")))
}
