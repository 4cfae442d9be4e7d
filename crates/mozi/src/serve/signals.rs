//! The signals that a server hears, and what a hang-up means.

use std::io::{IsTerminal as _, stderr, stdin, stdout};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Failure, Result, plain};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An end.
    Stop,
    /// The configuration is to be read again.
    Reload,
}

/// The signals that ask for an end, or for a reload.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    terminals: Terminals,
}

impl Signals {
    /// From here on they are heard.
    pub(crate) fn new() -> Result<Self> {
        let terminals = Terminals::now();
        let hear = |kind| {
            signal(kind).map_err(|e| Failure::new(format!("could not wait for signals: {}", plain(&e))))
        };
        Ok(Self {
            term: hear(SignalKind::terminate())?,
            int: hear(SignalKind::interrupt())?,
            hup: hear(SignalKind::hangup())?,
            terminals,
        })
    }

    /// Returns at the next of them.
    pub(crate) async fn heard(&mut self) -> Heard {
        loop {
            tokio::select! {
                _ = self.term.recv() => return Heard::Stop,
                _ = self.int.recv() => return Heard::Stop,
                _ = self.hup.recv() => {
                    if let Some(heard) = self.terminals.hang_up() {
                        return heard;
                    }
                }
            }
        }
    }

    /// Returns at the next that asks for an end.
    pub(crate) async fn next(&mut self) {
        while self.heard().await != Heard::Stop {}
    }

    /// Whether closing a terminal would end this.
    pub(crate) fn on_a_terminal(&self) -> bool {
        self.terminals.any() && !self.terminals.ignored
    }
}

/// Which of the standard streams were terminals at the start, and whether hang-ups were to be ignored (`nohup`).
#[derive(Debug, Clone, Copy)]
struct Terminals {
    streams: [bool; 3],
    ignored: bool,
}

impl Terminals {
    fn now() -> Self {
        let streams = [stdin().is_terminal(), stdout().is_terminal(), stderr().is_terminal()];
        Self { streams, ignored: hang_ups_are_ignored() }
    }

    fn any(self) -> bool {
        self.streams.contains(&true)
    }

    /// A terminal that is gone is no terminal any more. Somebody who looks at a living one, or none, and sends this
    /// signal means what it means to every server.
    fn hang_up(self) -> Option<Heard> {
        let now = Self::now().streams;
        let gone = self.streams.iter().zip(now).any(|(then, now)| *then && !now);
        match gone {
            false => Some(Heard::Reload),
            true if self.ignored => None,
            true => Some(Heard::Stop),
        }
    }
}

/// Whether whoever started this had it ignore hang-ups.
fn hang_ups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal 1 is the lowest bit.
    mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).is_some_and(|m| m & 1 == 1)
}
