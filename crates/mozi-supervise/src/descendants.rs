//! Ending everything below a living supervisor. It is a subreaper: whatever its agent leaves behind becomes its child,
//! and when the kernel says that it has no child, nothing is left.

use std::collections::BTreeSet;
use std::fs;

use crate::exit_record::{ExitRecord, Killed};
use crate::proc::{self, Process};
use crate::status::ProcId;
use crate::sys;

/// The processes that were signalled, for the exit record.
#[derive(Debug, Default)]
pub(crate) struct KillList {
    listed: Vec<Killed>,
    known: BTreeSet<ProcId>,
    count: u64,
}

impl KillList {
    /// Notes that a process was sent a signal; of several the last is kept.
    pub(crate) fn note(&mut self, process: &Process, signal: i32) {
        let pid = process.id.pid;
        if !self.known.insert(process.id) {
            if let Some(killed) = self.listed.iter_mut().find(|killed| killed.pid == pid) {
                killed.signal = signal;
            }
            return;
        }
        self.count += 1;
        if self.listed.len() < ExitRecord::KILLED_LISTED {
            self.listed.push(Killed { pid, command: process.command.clone(), signal });
        }
    }

    pub(crate) fn into_record(self, record: &mut ExitRecord) {
        record.killed = self.listed;
        record.killed_count = self.count;
    }
}

/// Finds this process's descendants: by the kernel's lists, or by a look at every process where there are no such lists,
/// or where `thorough` says that the lists have missed something.
pub(crate) fn find(thorough: bool) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    if thorough || !proc::has_children_lists() {
        proc::descendants_by_scan(own)
    } else {
        proc::descendants(own)
    }
}

/// Sends a signal to every descendant, once.
pub(crate) fn signal_all(signal: i32, list: &mut KillList) {
    for process in find(false) {
        if proc::signal(process.id, signal).is_ok() {
            list.note(&process, signal);
        }
    }
}

/// What a hunt has stopped already.
#[derive(Debug, Default)]
pub(crate) struct Stopped {
    /// Our own children: no other process can get the number of one before it is reaped.
    children: BTreeSet<i32>,
    deeper: BTreeSet<ProcId>,
}

impl Stopped {
    /// A child was reaped: its number may come again.
    pub(crate) fn forget(&mut self, pid: i32) {
        self.children.remove(&pid);
    }
}

/// Stops every descendant that has not been stopped yet (what stands still cannot fork); true if there was one.
///
/// Among processes that fork as fast as they can this one gets a small share of the machine, and whatever has left its
/// parent is a child of ours: those are stopped first, with one system call each.
pub(crate) fn stop_new(stopped: &mut Stopped, thorough: bool) -> bool {
    let mut new = false;
    for pid in own_children() {
        if stopped.children.insert(pid) {
            new |= sys::kill(pid, libc::SIGSTOP).is_ok();
        }
    }
    for process in find(thorough) {
        if !stopped.children.contains(&process.id.pid) && stopped.deeper.insert(process.id) {
            new |= proc::signal(process.id, libc::SIGSTOP).is_ok();
        }
    }
    new
}

/// Sends SIGKILL to every descendant.
pub(crate) fn kill_all(list: &mut KillList, thorough: bool) {
    for process in find(thorough) {
        if proc::signal(process.id, libc::SIGKILL).is_ok() {
            list.note(&process, libc::SIGKILL);
        }
    }
}

/// Asks for a larger share of the machine, where that is permitted: among hundreds of busy processes, each in a session
/// of its own, an ordinary share is next to nothing.
pub(crate) fn take_precedence() {
    drop(fs::write("/proc/self/autogroup", "-20"));
    sys::take_precedence();
}

/// The numbers of our own children, dead ones that were not reaped too; none, where the kernel keeps no such list.
fn own_children() -> Vec<i32> {
    let own = std::process::id();
    let text = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}
