//! What is kept how long.

use std::time::Duration;

use crate::time::Timestamp;

/// The rule of retention: nothing is removed but what it names. None keeps for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Logs of sessions that have ended, from their end on.
    pub logs: Option<Duration>,
    /// The size in bytes of all those logs together: beyond it, the oldest go first.
    pub logs_max: Option<u64>,
    /// Events of finished tasks.
    pub events: Option<Duration>,
    /// Folders of finished tasks that Mozi made.
    pub workspaces: Option<Duration>,
}

impl Retention {
    /// What holds where nobody has said otherwise: nothing but logs goes.
    pub const fn usual() -> Self {
        Self {
            logs: Some(Duration::from_hours(30 * 24)),
            logs_max: Some(10 * 1024 * 1024 * 1024),
            events: None,
            workspaces: None,
        }
    }
}

/// The log of a session that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLog<K> {
    /// Whose.
    pub key: K,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it takes on disk.
    pub bytes: u64,
}

/// Which logs go: those that are too old, then the oldest until the rest is small enough; the oldest first.
pub fn logs_to_go<K: Ord>(mut logs: Vec<EndedLog<K>>, rule: Retention, now: Timestamp) -> Vec<EndedLog<K>> {
    logs.sort_by(|a, b| (a.ended_at, &a.key).cmp(&(b.ended_at, &b.key)));
    let mut left: u64 = logs.iter().fold(0, |sum, log| sum.saturating_add(log.bytes));
    let too_old = |log: &EndedLog<K>| rule.logs.is_some_and(|age| log.ended_at.plus(age) < now);
    let mut going = Vec::new();
    for log in logs {
        let too_much = rule.logs_max.is_some_and(|max| left > max);
        if !too_old(&log) && !too_much {
            break;
        }
        left = left.saturating_sub(log.bytes);
        going.push(log);
    }
    going
}
