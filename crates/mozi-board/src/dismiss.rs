//! Whoever watches or follows is shown the door when their credential is worth nothing any more.

use std::{sync::Arc, time::Duration};

use mozi_core::Identity;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{Board, auth::Bearer};

/// The longest time that is waited for the end of a credential before its end is looked up again: the clock of the
/// machine may be set, and what is known of the end with it.
const LOOK: Duration = Duration::from_mins(10);

/// The bell that rings when a credential was taken back, or a user changed.
#[derive(Debug)]
pub(crate) struct Dismissals(watch::Sender<u64>);

impl Dismissals {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Everybody looks whether they are still welcome.
    pub(crate) fn look(&self) {
        self.0.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Heard from here on.
    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Returns when whoever asked with `bearer` is not any more who they were: revoked, disabled, at an end, or with other
/// rights. Whoever needs no token is never dismissed.
pub(crate) async fn dismissed(
    board: Arc<Board>,
    bearer: Option<Bearer>,
    was: Option<Identity>,
    mut bell: watch::Receiver<u64>,
) {
    let (Some(bearer), Some(was)) = (bearer, was) else { return std::future::pending().await };
    loop {
        match board.store.identify(bearer.hash, board.clock.now()).await {
            Ok(now) if now != was => return,
            // Not known: the next look will say.
            Ok(_) | Err(_) => {}
        }
        let end = board.store.ends_at(bearer.hash).await.ok().flatten();
        let left = end.map_or(LOOK, |at| {
            let micros = at.as_micros().saturating_sub(board.clock.now().as_micros()).max(0);
            // A little later rather than a little earlier.
            Duration::from_micros(micros.unsigned_abs()).saturating_add(Duration::from_millis(5))
        });
        if let Ok(Err(_)) = timeout_at(Instant::now() + left.min(LOOK), bell.changed()).await {
            // The board itself goes.
            return std::future::pending().await;
        }
    }
}
