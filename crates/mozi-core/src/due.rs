//! When a board next moves by itself.

use crate::{agent::Agent, time::Timestamp};

/// The earliest of the due times that lie after `now`: of tasks that wait for a time, and of agents whose pause
/// ends by itself. Whoever waits for work looks again then.
pub fn next_due<'a>(
    not_before: impl IntoIterator<Item = Timestamp>,
    agents: impl IntoIterator<Item = &'a Agent>,
    now: Timestamp,
) -> Option<Timestamp> {
    let pauses = agents.into_iter().filter_map(|a| a.paused.as_ref()?.believed_until(now));
    not_before.into_iter().chain(pauses).filter(|at| *at > now).min()
}
