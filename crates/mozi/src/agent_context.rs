//! An agent must not become the owner by accident: whoever runs inside a session, or inside another agent's shell,
//! does not make a person's decisions. A guard against mistakes, not against malice.

use crate::{
    config::env,
    error::{self, Failure},
};

/// The way out.
pub(crate) const HINT: &str =
    "an agent reports with `mozi report`; a person in an agent's shell adds --as-person, which is recorded";

/// Refuses a person's decision from inside an agent, unless it was said to be meant.
pub(crate) fn person_only(as_person: bool, decision: &str) -> error::Result<()> {
    if as_person {
        return Ok(());
    }
    let Some(why) = sign() else { return Ok(()) };
    Err(Failure::new(format!("{decision} is a person's decision, and this runs inside an agent ({why})"))
        .hint(HINT)
        .code("agent_context"))
}

/// What tells that this runs inside an agent.
fn sign() -> Option<String> {
    if let Some(mark) = env::agent_mark() {
        return Some(format!("{mark} is set"));
    }
    supervisor_above(std::process::id())
        .map(|pid| format!("process {pid}, which started it, is a supervisor of Mozi"))
}

/// Another process of this machine: a number, and when it was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
    started: u64,
}

impl Process {
    /// The one that has this number now.
    pub(crate) fn now(pid: u32) -> Option<Self> {
        let started = mozi_supervise::process_start_time(i32::try_from(pid).ok()?).ok()?;
        Some(Self { pid, started })
    }

    /// What tells that it runs inside an agent. Where that cannot be seen, that is what is told.
    pub(crate) fn sign(&self) -> Option<String> {
        let pid = self.pid;
        let environ = std::fs::read(format!("/proc/{pid}/environ"));
        let above = supervisor_above(pid);
        // All of that was its own only if it is still there.
        if Self::now(pid) != Some(*self) {
            return Some(format!("process {pid}, which asks, has ended"));
        }
        // Of some a server sees no environment, as of root's: the ancestors are told in any case.
        if let Some(mark) = environ.ok().and_then(|text| env::agent_mark_in(&text)) {
            return Some(format!("{mark} is set"));
        }
        above.map(|above| format!("process {above}, which started it, is a supervisor of Mozi"))
    }
}

/// This process or an ancestor, if it is a supervisor.
fn supervisor_above(of: u32) -> Option<u32> {
    // Whose parent has ended in between has got another one: once more from the beginning. What stays unseen is not
    // of this user, as the supervisor of an agent of ours is.
    (0..4).find_map(|_| walk(of).ok()).flatten()
}

/// An ancestor could not be read.
struct Unseen;

/// The process above another one.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let parent = mozi_supervise::process_parent(i32::try_from(pid).ok()?).ok()?;
    u32::try_from(parent).ok()
}

fn walk(of: u32) -> Result<Option<u32>, Unseen> {
    let mut pid = of;
    // More ancestors than anybody has: /proc may change while it is read.
    for _ in 0..64 {
        if pid <= 1 {
            return Ok(None);
        }
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).map_err(|_| Unseen)?;
        let mut words = line.split(|b| *b == 0);
        let name = words.next().unwrap_or_default();
        let name = name.rsplit(|b| *b == b'/').next().unwrap_or_default();
        if name == b"mozi" && words.next() == Some(b"supervise".as_slice()) {
            return Ok(Some(pid));
        }
        pid = parent(pid).ok_or(Unseen)?;
    }
    Ok(None)
}
