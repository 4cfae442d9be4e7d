//! What moves by itself: when a time has come, waiting polls look again.

use std::time::Duration;

use mozi_core::{Command, Request, command::Credential};
use mozi_store::Store;
use tokio::{sync::watch, time::Instant};

use crate::{clock::Clock, task::until};

/// The longest sleep: the wall clock may be set while nothing else happens.
const LONGEST: Duration = Duration::from_mins(1);
/// A difference between the wall clock and time passed that is a jump, not drift.
const JUMP: Duration = Duration::from_secs(5);

/// Wakes waiting polls through `bell` when a time has come; ends with the store, or with whoever started it.
pub(crate) async fn run(store: Store, clock: Clock, bell: watch::Sender<u64>) {
    let mut commits = store.subscribe_hints();
    let mut repair = true;
    loop {
        let (now, at) = (clock.now(), Instant::now());
        if std::mem::take(&mut repair) {
            // Times that a jump of the clock has put out of reach.
            let seed = clock.seed();
            let due = Request { credential: Credential::Board, via: None, now, seed, command: Command::Due };
            if let Err(e) = store.submit(due, None).await {
                tracing::warn!("could not repair due times: {e}");
            }
        }
        let ready = commits.borrow_and_update().ready;
        let wait = match store.next_due(now).await {
            Ok(Some(due)) => due.since(now).min(LONGEST),
            Ok(None) => LONGEST,
            Err(e) => {
                tracing::warn!("could not look for due times: {e}");
                Duration::from_secs(1)
            }
        };
        // Until the time has come, or until a command may have brought an earlier one.
        let changed = async { commits.wait_for(|c| c.ready != ready).await.is_ok() };
        tokio::select! {
            () = until(at + wait + Duration::from_millis(1)) => bell.send_modify(|n| *n = n.wrapping_add(1)),
            alive = changed => if !alive { return },
        }
        let (passed, moved) = (at.elapsed(), clock.now().since(now));
        repair = passed.abs_diff(moved) > JUMP;
    }
}
