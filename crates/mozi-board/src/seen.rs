//! When tokens were last used. Reading must not write each time: a use is recorded once a minute at most.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use mozi_core::{Command, Request, Timestamp, TokenHash, command::Credential};

use crate::Board;

/// A use is recorded when it is so much later than the one recorded.
const STEP_MICROS: i64 = 60 * 1_000_000;
/// So many tokens are remembered at most.
const TOKENS: usize = 4096;

/// Which uses have been recorded.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<TokenHash, Timestamp>>);

impl Seen {
    /// Whether a use at `now` is to be recorded.
    fn is_due(&self, hash: TokenHash, now: Timestamp) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(&hash).is_some_and(|at| now.as_micros().saturating_sub(at.as_micros()) < STEP_MICROS) {
            return false;
        }
        if seen.len() >= TOKENS {
            seen.clear();
        }
        seen.insert(hash, now);
        true
    }
}

/// Records that a token is in use, now and then, without letting its request wait.
pub(crate) fn note(board: &Board, hash: TokenHash) {
    let now = board.clock.now();
    if !board.seen.is_due(hash, now) {
        return;
    }
    let (store, seed) = (board.store.clone(), board.clock.seed());
    let request =
        Request { credential: Credential::Token(hash), via: None, now, seed, command: Command::Seen };
    drop(crate::task::spawn("last use", async move {
        // Only a date for people to look at: the next use tries again.
        if let Err(e) = store.submit(request, None).await {
            tracing::debug!("could not record the use of a token: {e}");
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_is_enough() {
        let seen = Seen::default();
        let at = |s: i64| Timestamp::from_micros(s * 1_000_000);
        let (a, b) = (TokenHash([1; 32]), TokenHash([2; 32]));
        assert!(seen.is_due(a, at(0)) && seen.is_due(b, at(0)));
        assert!(!seen.is_due(a, at(59)));
        assert!(seen.is_due(a, at(60)));
        assert!(!seen.is_due(a, at(61)));
        for n in 0..TOKENS {
            let mut hash = [3; 32];
            hash[..8].copy_from_slice(&(n as u64).to_be_bytes());
            seen.is_due(TokenHash(hash), at(62));
        }
        assert!(seen.0.lock().unwrap().len() <= TOKENS);
    }
}
