//! Offers: session ids and tokens for the claims to come.
//!
//! There are always as many as the runner has sessions at most: the board counts slots from its open attempts, so an
//! offer too many is answered by nothing, while one too few would have to be asked for when a slot gets free.

use std::collections::BTreeMap;

use mozi_core::SessionId;

use crate::entropy::{Offer, Secret};

/// More offers than this are not made at once, however many sessions are allowed.
const MOST: usize = 64;

/// Offers that have not been answered. The same ones are repeated until they are.
#[derive(Debug)]
pub(crate) struct Offers {
    wanted: usize,
    open: BTreeMap<SessionId, Offer>,
}

impl Offers {
    pub(crate) fn new(max_sessions: u32) -> Self {
        Self { wanted: usize::try_from(max_sessions).unwrap_or(MOST).min(MOST), open: BTreeMap::new() }
    }

    /// There are to be so many. Those that are too many stay until they are answered: the board counts slots itself.
    pub(crate) fn resize(&mut self, max_sessions: u32) {
        self.wanted = usize::try_from(max_sessions).unwrap_or(MOST).min(MOST);
    }

    /// Makes up for those that were answered.
    pub(crate) fn refill(&mut self, mut fresh: impl FnMut() -> Option<Offer>) {
        while self.open.len() < self.wanted {
            let Some(offer) = fresh() else { return };
            self.open.insert(offer.session_id, offer);
        }
    }

    /// The token of an offer that was answered; it is no offer any more.
    pub(crate) fn take(&mut self, id: SessionId) -> Option<Secret> {
        self.open.remove(&id).map(|offer| offer.token)
    }

    pub(crate) fn contains(&self, id: SessionId) -> bool {
        self.open.contains_key(&id)
    }

    pub(crate) fn list(&self) -> Vec<Offer> {
        self.open.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_stay_the_same_until_they_are_answered() {
        let mut n = 0;
        let mut fresh = || {
            n += 1;
            Some(Offer { session_id: SessionId(uuid::Uuid::from_u128(n)), token: Secret::new(n.to_string()) })
        };
        let mut offers = Offers::new(3);
        offers.refill(&mut fresh);
        let first = offers.list();
        offers.refill(&mut fresh);
        assert_eq!(offers.list(), first);
        let taken = first[1].session_id;
        assert_eq!(offers.take(taken), Some(first[1].token.clone()));
        assert_eq!(offers.take(taken), None);
        offers.refill(&mut fresh);
        assert_eq!(offers.list().len(), 3);
        assert!(!offers.contains(taken) && offers.contains(first[0].session_id));
    }
}
