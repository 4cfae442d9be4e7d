//! How a session is brought to its end: SIGTERM, grace, SIGKILL, until nothing is left.

use std::time::{Duration, Instant};

use super::Session;
use crate::descendants;
use crate::exit_record::{Cause, StopOrder};
use crate::proc::Process;
use crate::status::Phase;
use crate::sys;

/// What an agent leaves running gets SIGTERM and at most this long.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// Killing that has gone on for so long without an end is told as `stuck`; it goes on all the same.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// The pauses between rounds of killing: short while something dies, long when nothing does.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Stopping what forks goes on for so long before what was stopped is killed.
const LONGEST_ROUND: Duration = Duration::from_secs(2);
/// After so many rounds the kernel's lists of children are not trusted alone any more.
const TRUSTING_ROUNDS: u32 = 3;
/// What the status and the exit record list of processes that cannot be killed.
const LISTED: usize = 50;

/// How far the end has come.
#[derive(Debug)]
pub(super) enum Ending {
    /// It has not begun.
    No,
    /// SIGTERM was sent.
    Asked {
        /// When the grace is over.
        kill_at: Instant,
    },
    /// SIGKILL is sent to whatever is there.
    Killing { since: Instant, next: Instant, pause: Duration, rounds: u32 },
}

impl Ending {
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self, Ending::No)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        match self {
            Ending::No => None,
            Ending::Asked { kill_at } => Some(*kill_at),
            Ending::Killing { next, .. } => Some(*next),
        }
    }

    /// Something has died: the next round is worth while soon.
    pub(super) fn has_progressed(&mut self) {
        if let Ending::Killing { next, pause, .. } = self {
            *pause = SHORTEST_PAUSE;
            *next = (*next).min(Instant::now() + SHORTEST_PAUSE);
        }
    }

    /// Makes the grace end at `at`, if it does not end before.
    pub(super) fn hasten(&mut self, at: Instant) {
        match self {
            Ending::No => *self = Ending::Asked { kill_at: at },
            Ending::Asked { kill_at } => *kill_at = (*kill_at).min(at),
            Ending::Killing { .. } => {}
        }
    }
}

impl Session {
    /// Begins the end: the agent's process group is asked, and has `grace` to comply.
    pub(super) fn end(&mut self, cause: Cause, stop: Option<StopOrder>, grace: Duration) {
        if self.ending.has_begun() || self.over {
            return;
        }
        self.status.now.cause.get_or_insert(cause);
        self.status.now.stop = stop;
        // A grace beyond reason is as good as the longest that can be counted.
        let now = Instant::now();
        self.ending.hasten(now.checked_add(grace).unwrap_or(now + Duration::from_hours(365 * 24)));
        if let Some(agent) = self.status.now.agent
            && self.status.now.agent_ended.is_none()
        {
            if let Some(process) = Process::read(agent.pid) {
                self.killed.note(&process, libc::SIGTERM);
            }
            // It is our unreaped child, so neither its number nor that of its group can be another's. Before it has
            // made its group there is only itself. A stopped process hears nothing until it goes on.
            for signal in [libc::SIGTERM, libc::SIGCONT] {
                if sys::kill_group(agent.pid, signal).is_err() {
                    drop(sys::kill(agent.pid, signal));
                }
            }
        }
        self.enter(Phase::Ending);
    }

    /// The agent has ended and something of it runs on: it is asked to end, too, and has not long.
    pub(super) fn end_leftovers(&mut self) {
        if matches!(self.ending, Ending::Killing { .. }) {
            return;
        }
        descendants::signal_all(libc::SIGTERM, &mut self.killed);
        for process in descendants::find(false) {
            // Gone already, or not ours to signal: the rounds of killing will tell.
            drop(crate::proc::signal(process.id, libc::SIGCONT));
        }
        self.ending.hasten(Instant::now() + LEFTOVER_GRACE.min(self.grace));
    }

    /// Kills when the grace is over, and again until nothing is left.
    pub(super) fn go_on_ending(&mut self, now: Instant) {
        match self.ending {
            Ending::Asked { kill_at } if now >= kill_at => {
                self.ending = Ending::Killing { since: now, next: now, pause: SHORTEST_PAUSE, rounds: 0 };
                self.kill_round(now, now, SHORTEST_PAUSE, 0);
            }
            Ending::Killing { since, next, pause, rounds } if now >= next => {
                self.kill_round(now, since, pause, rounds);
            }
            _ => {}
        }
    }

    fn kill_round(&mut self, now: Instant, since: Instant, pause: Duration, rounds: u32) {
        if rounds > 0 {
            descendants::take_precedence();
        }
        let thorough = rounds >= TRUSTING_ROUNDS;
        let until = now + LONGEST_ROUND;
        let mut looking = true;
        while looking && !self.over && Instant::now() < until {
            looking = descendants::stop_new(&mut self.stopped, thorough);
            self.reap();
        }
        descendants::kill_all(&mut self.killed, thorough);
        // The pause grows from the end of the round, which may itself have taken long.
        let next = Instant::now() + pause;
        self.ending =
            Ending::Killing { since, next, pause: (pause * 2).min(LONGEST_PAUSE), rounds: rounds + 1 };
        self.reap();
        if !self.over && now.duration_since(since) >= STUCK_AFTER {
            self.tell_stuck();
        }
    }

    /// Says what cannot be killed. Written at each round, so that one sees that this process at least moves.
    fn tell_stuck(&mut self) {
        let rest = descendants::find(true);
        self.status.now.left_behind_count = rest.len() as u64;
        self.status.now.left_behind = rest.iter().take(LISTED).map(Process::left_behind).collect();
        if self.status.now.phase == Phase::Stuck {
            self.write_status();
        } else {
            self.enter(Phase::Stuck);
        }
    }
}
