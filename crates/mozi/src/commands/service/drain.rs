//! Waits until no session is at work, while nothing new is started.

use std::{collections::BTreeSet, time::Duration};

use mozi_api::{query::SessionsQuery, server::Drain, session::Session};
use tokio::time::{Instant, sleep_until};

use super::who;
use crate::{
    context::Context,
    error::{Exit, Failure, Result},
    output::note,
    serve::Signals,
};

/// The board goes on claiming when nobody has asked again for so long: whoever waited is gone.
const LEASE: Duration = Duration::from_mins(1);
/// So often it is looked who is still at work.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Returns when nothing runs any more; the board still claims nothing for a while then. Broken off, it goes on.
pub(super) async fn wait(context: &Context) -> Result<()> {
    context.person_only("`stop`")?;
    let mut signals = Signals::new()?;
    tokio::select! {
        ended = until_nothing_runs(context) => ended,
        () = signals.next() => {
            let on = Drain { seconds: 0 };
            context.ask(context.client.drain(&on)).await?;
            Err(Failure::new("broken off: the board is not stopped and claims tasks again").exit(Exit::Failed))
        }
    }
}

async fn until_nothing_runs(context: &Context) -> Result<()> {
    let lease = Drain { seconds: u32::try_from(LEASE.as_secs()).unwrap_or(60) };
    let mut renewed: Option<Instant> = None;
    let mut told = BTreeSet::new();
    loop {
        if renewed.is_none_or(|at| at.elapsed() > LEASE / 3) {
            context.ask(context.client.drain(&lease)).await?;
            renewed = Some(Instant::now());
        }
        let query = SessionsQuery { active: Some(true), limit: Some(500), ..SessionsQuery::default() };
        let live: Vec<Session> = context.ask(context.client.sessions(&query)).await?.items;
        if live.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<String> = live.iter().map(who).collect();
        if names != told {
            note(format!("waiting for {}", names.iter().cloned().collect::<Vec<_>>().join(", ")));
            told = names;
        }
        sleep_until(Instant::now() + LOOK_EVERY).await;
    }
}
