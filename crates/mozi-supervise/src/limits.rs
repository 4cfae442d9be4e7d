//! The clocks that end a session with nobody alive above it: deadline, stall, grace after the verdict.
//!
//! All of them go by `CLOCK_MONOTONIC`: time in which the agent could work.

use std::time::{Duration, Instant};

/// What a session is ended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Its time is over.
    Deadline,
    /// It gave no sign of life for too long.
    Stall,
    /// It gave its verdict and did not end within the grace.
    Grace,
}

#[derive(Debug)]
pub(crate) struct Limits {
    deadline: Option<Instant>,
    stall: Option<Duration>,
    /// The last sign of life, while a runner is connected: what only the board sees cannot be passed on otherwise.
    quiet_since: Option<Instant>,
    grace_over: Option<Instant>,
}

impl Limits {
    pub(crate) fn new(now: Instant, timeout_ms: Option<u64>, stall_ms: Option<u64>) -> Limits {
        Limits {
            deadline: timeout_ms.and_then(|ms| now.checked_add(Duration::from_millis(ms))),
            stall: stall_ms.map(Duration::from_millis),
            quiet_since: None,
            grace_over: None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn sign_of_life(&mut self, now: Instant) {
        if let Some(since) = &mut self.quiet_since {
            *since = now;
        }
    }

    /// A runner that comes after a gap may have heard of the agent meanwhile: the clock begins anew with it.
    pub(crate) fn runner_connected(&mut self, connected: bool, now: Instant) {
        match (connected, self.quiet_since) {
            (true, None) => self.quiet_since = Some(now),
            (false, Some(_)) => self.quiet_since = None,
            _ => {}
        }
    }

    /// The grace counts from the verdict, however late its news comes.
    pub(crate) fn verdict_given(&mut self, now: Instant, since_ms_ago: u64, grace_ms: u64) {
        self.grace_over = now.checked_add(Duration::from_millis(grace_ms.saturating_sub(since_ms_ago)));
    }

    fn all(&self) -> [(Option<Instant>, Due); 3] {
        let stalled = self.quiet_since.zip(self.stall).and_then(|(since, stall)| since.checked_add(stall));
        [(self.grace_over, Due::Grace), (self.deadline, Due::Deadline), (stalled, Due::Stall)]
    }

    /// What is due now, if anything; of several, what was due first.
    pub(crate) fn due(&self, now: Instant) -> Option<Due> {
        let passed =
            self.all().into_iter().filter_map(|(at, due)| Some((at?, due))).filter(|(at, _)| *at <= now);
        passed.min_by_key(|(at, _)| *at).map(|(_, due)| due)
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.all().into_iter().filter_map(|(at, _)| at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_deadline_needs_nobody() {
        let start = Instant::now();
        let limits = Limits::new(start, Some(10_000), None);
        assert_eq!(limits.next(), Some(start + 10 * S));
        assert_eq!((limits.due(start + 9 * S), limits.due(start + 10 * S)), (None, Some(Due::Deadline)));
    }

    #[test]
    fn the_stall_clock_runs_only_beside_a_runner_and_begins_anew_with_it() {
        let start = Instant::now();
        let mut limits = Limits::new(start, None, Some(5_000));
        assert_eq!(limits.due(start + 60 * S), None);
        limits.runner_connected(true, start + 60 * S);
        limits.runner_connected(true, start + 64 * S);
        assert_eq!((limits.due(start + 64 * S), limits.due(start + 65 * S)), (None, Some(Due::Stall)));
        limits.sign_of_life(start + 64 * S);
        assert_eq!(limits.due(start + 68 * S), None);
        limits.runner_connected(false, start + 68 * S);
        limits.sign_of_life(start + 68 * S);
        assert_eq!((limits.due(start + 600 * S), limits.next()), (None, None));
    }

    #[test]
    fn the_grace_counts_from_the_verdict() {
        let start = Instant::now();
        let mut limits = Limits::new(start, Some(100_000), None);
        limits.verdict_given(start + 10 * S, 4_000, 5_000);
        assert_eq!((limits.due(start + 10 * S), limits.due(start + 11 * S)), (None, Some(Due::Grace)));
        limits.verdict_given(start + 10 * S, 90_000, 5_000);
        assert_eq!(limits.due(start + 10 * S), Some(Due::Grace));
    }

    #[test]
    fn numbers_beyond_reason_mean_never() {
        let limits = Limits::new(Instant::now(), Some(u64::MAX), Some(u64::MAX));
        assert_eq!(limits.due(Instant::now() + Duration::from_secs(1 << 30)), None);
    }
}
