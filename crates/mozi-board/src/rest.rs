//! Looks whether the board has come to rest, whenever it may have.

use std::time::Duration;

use mozi_core::{Command, Request, command::Credential};
use mozi_store::{Committed, Store};
use tokio::{sync::watch, time::Instant};

use crate::{clock::Clock, task::until};

/// So long after a failed look the next one is tried.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Has the board say when it has come to rest; ends with the store, or with whoever started it.
pub(crate) async fn run(store: Store, clock: Clock, mut commits: watch::Receiver<Committed>) {
    loop {
        let ready = commits.borrow_and_update().ready;
        // A look is cheap, the command is not: it is given only where there is something to say.
        let looked = match store.rest_has_changed(clock.now()).await {
            Ok(false) => Ok(()),
            Ok(true) => {
                let (now, seed) = (clock.now(), clock.seed());
                let rest =
                    Request { credential: Credential::Board, via: None, now, seed, command: Command::Rest };
                store.submit(rest, None).await.map(drop).map_err(|e| e.to_string())
            }
            Err(e) => Err(e.to_string()),
        };
        if let Err(why) = looked {
            tracing::warn!("could not look whether the board is at rest: {why}");
            until(Instant::now() + TRY_AGAIN).await;
            continue;
        }
        if commits.wait_for(|c| c.ready != ready).await.is_err() {
            return;
        }
    }
}
