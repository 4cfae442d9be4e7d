//! An agent must not become the owner by accident: whoever runs inside a session, or inside another agent's shell,
//! does not make a person's decisions. A guard against mistakes, not against malice.

use crate::{
    config::env,
    error::{Failure, Result},
};

/// Refuses a person's decision from inside an agent, unless it was said to be meant.
pub(crate) fn person_only(as_person: bool, decision: &str) -> Result<()> {
    if as_person {
        return Ok(());
    }
    let Some(why) = sign() else { return Ok(()) };
    Err(Failure::new(format!("{decision} is a person's decision, and this runs inside an agent ({why})"))
        .hint("an agent reports with `mozi report`; a person in an agent's shell adds --as-person, which is recorded")
        .code("agent_context"))
}

/// What tells that this runs inside an agent.
fn sign() -> Option<String> {
    if let Some(mark) = env::agent_mark() {
        return Some(format!("{mark} is set"));
    }
    supervisor_above().map(|pid| format!("process {pid}, which started it, is a supervisor of Mozi"))
}

/// An ancestor that is a supervisor.
fn supervisor_above() -> Option<u32> {
    let mut pid = std::os::unix::process::parent_id();
    // More ancestors than anybody has: /proc may change while it is read.
    for _ in 0..64 {
        if pid <= 1 {
            return None;
        }
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = line.split(|b| *b == 0);
        let name = words.next().unwrap_or_default();
        let name = name.rsplit(|b| *b == b'/').next().unwrap_or_default();
        if name == b"mozi" && words.next() == Some(b"supervise".as_slice()) {
            return Some(pid);
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold anything: the fields begin behind the last bracket.
        pid = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    }
    None
}
