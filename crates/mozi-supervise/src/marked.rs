//! Making an end of small helpers: programs that nobody supervises, found by a mark in their environment.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::proc::{self, Process};
use crate::sys;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Kills every process that was started with `name=value` in its environment, and what descends from it, until two looks
/// in a row find none or `patience` is over. What hides: a process with another environment whose parent has ended.
///
/// # Errors
/// What is left then, in words.
pub fn end_marked(name: &str, value: &str, patience: Duration) -> Result<(), String> {
    let until = Instant::now() + patience;
    let mut empty = 0;
    loop {
        let found = find(name, value);
        empty = if found.is_empty() { empty + 1 } else { 0 };
        if empty == 2 {
            return Ok(());
        }
        for process in &found {
            // One that has gone meanwhile is one less.
            drop(proc::signal(process.id, libc::SIGKILL));
        }
        if Instant::now() >= until {
            let left: Vec<String> =
                found.iter().map(|p| format!("{} (pid {})", p.command, p.id.pid)).collect();
            return if left.is_empty() {
                Ok(())
            } else {
                Err(format!("cannot be ended: {}", left.join(", ")))
            };
        }
        sys::pause(PAUSE);
    }
}

fn find(name: &str, value: &str) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut others: Vec<Process> =
        proc::all().into_iter().filter(|p| p.id.pid != own && !p.has_ended()).collect();
    let is_marked = |p: &mut Process| proc::environment_says(p, name, value) == Some(true);
    let mut found: Vec<Process> = others.extract_if(.., is_marked).collect();
    let mut family: BTreeSet<i32> = found.iter().map(|p| p.id.pid).collect();
    loop {
        let children: Vec<Process> = others.extract_if(.., |p| family.contains(&p.parent)).collect();
        if children.is_empty() {
            return found;
        }
        family.extend(children.iter().map(|p| p.id.pid));
        found.extend(children);
    }
}
