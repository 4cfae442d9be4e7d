//! Reading `/proc`: who a process is, what descends from it, what marks it as part of a session.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use crate::status::{LeftBehind, ProcId};
use crate::sys;

/// What `/proc/<pid>/stat` tells of a process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) id: ProcId,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    pub(crate) state: char,
    pub(crate) threads: u32,
    pub(crate) command: String,
}

impl Process {
    /// A process whose number is in use.
    pub(crate) fn read(pid: i32) -> Option<Process> {
        let mut buffer = [0; 1024];
        let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
        Process::parse(buffer.get(..length)?)
    }

    fn parse(stat: &[u8]) -> Option<Process> {
        // The name stands in parentheses and may hold anything, parentheses and spaces too.
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(stat.get(..open)?).ok()?.trim().parse().ok()?;
        let command = String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned();
        let mut fields = std::str::from_utf8(stat.get(close + 1..)?).ok()?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        let threads = fields.nth(13)?.parse().ok()?;
        let start_time_ticks = fields.nth(1)?.parse().ok()?;
        Some(Process { id: ProcId { pid, start_time_ticks }, parent, session, state, threads, command })
    }

    /// Whether it has ended: a zombie, unless it is only the first thread that has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }

    /// What a person needs to know of a process that cannot be killed.
    pub(crate) fn left_behind(&self) -> LeftBehind {
        // Of a process that hides itself the owner shown is root; the line in `status` is right for those too.
        let uid = fs::read_to_string(format!("/proc/{}/status", self.id.pid)).ok().and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("Uid:"))?
                .split_ascii_whitespace()
                .nth(1)?
                .parse()
                .ok()
        });
        LeftBehind {
            pid: self.id.pid,
            command: self.command.clone(),
            uid: uid.unwrap_or_default(),
            state: self.state.to_string(),
        }
    }
}

/// Sends a signal to the process that `id` names, and to no other that got its number.
pub(crate) fn signal(id: ProcId, signal: i32) -> io::Result<()> {
    let pidfd = sys::pidfd_open(id.pid)?;
    // The descriptor stands for whoever has the number now: that it is the one meant is checked after opening.
    if Process::read(id.pid).is_some_and(|now| now.id == id) {
        sys::pidfd_signal(&pidfd, signal)
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

/// The start time of a process in clock ticks since boot; with its number it names a process for ever.
///
/// # Errors
/// If there is no such process.
pub fn process_start_time(pid: i32) -> io::Result<u64> {
    let process = Process::read(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(process.id.start_time_ticks)
}

/// The process that started a process, or that has taken it over since.
///
/// # Errors
/// If there is no such process.
pub fn process_parent(pid: i32) -> io::Result<i32> {
    Process::read(pid).map(|process| process.parent).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// The id of the machine's present boot.
///
/// # Errors
/// If `/proc` is not there.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The process namespace of this process, as the inode number of `/proc/self/ns/pid`.
///
/// # Errors
/// If `/proc` is not there.
pub fn pid_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// The numbers of all processes.
fn all_pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// All processes.
pub(crate) fn all() -> Vec<Process> {
    all_pids().into_iter().filter_map(Process::read).collect()
}

/// All living descendants of a process, by the kernel's lists of children: the cost depends on how many they are, not
/// on how many processes the machine has. While they fork, some may be missed: look again.
pub(crate) fn descendants(of: i32) -> Vec<Process> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([of]);
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        let Some(children) = children_of(parent) else { continue };
        for pid in children {
            if !seen.insert(pid) {
                continue;
            }
            // One whose parent is another by now has been inherited by the subreaper: still a descendant. But if its
            // number went to a stranger meanwhile, neither is its parent.
            let Some(child) = Process::read(pid) else { continue };
            if child.parent == parent || child.parent == of {
                parents.push(pid);
                if !child.has_ended() {
                    found.push(child);
                }
            }
        }
    }
    found
}

/// The same by a look at every process: for kernels without lists of children, and when those missed something.
pub(crate) fn descendants_by_scan(of: i32) -> Vec<Process> {
    let mut by_parent: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all() {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for child in by_parent.remove(&parent).unwrap_or_default() {
            parents.push(child.id.pid);
            if !child.has_ended() {
                found.push(child);
            }
        }
    }
    found
}

/// The children of all threads of a process; `None` if it has gone.
fn children_of(pid: i32) -> Option<Vec<i32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let Ok(text) = fs::read_to_string(thread.path().join("children")) else { continue };
        children.extend(text.split_ascii_whitespace().filter_map(|number| number.parse::<i32>().ok()));
    }
    Some(children)
}

/// Whether this kernel keeps lists of children.
pub(crate) fn has_children_lists() -> bool {
    let pid = std::process::id();
    fs::exists(format!("/proc/{pid}/task/{pid}/children")).unwrap_or(false)
}

/// Whether a process has `name=value` in the environment that it was started with: yes, no (another value), or
/// nothing is known.
pub(crate) fn environment_says(process: &Process, name: &str, value: &str) -> Option<bool> {
    let pid = process.id.pid;
    let mut environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    if environment.is_empty() && process.threads > 1 {
        // The first thread may have ended: any other knows.
        for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            environment = fs::read(thread.path().join("environ")).unwrap_or_default();
            if !environment.is_empty() {
                break;
            }
        }
    }
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .map(|found| found == value.as_bytes())
}

/// What an open descriptor of a process refers to.
pub(crate) struct OpenFile {
    pub(crate) number: i32,
    /// The link's text: a path, `pipe:[123]`, …
    pub(crate) target: Vec<u8>,
    pub(crate) writable: bool,
}

/// The open files of a process, as far as we may see them.
pub(crate) fn open_files(pid: i32) -> Vec<OpenFile> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let link = entry.path();
            Some(OpenFile {
                number: entry.file_name().to_str()?.parse().ok()?,
                target: fs::read_link(&link).ok()?.as_os_str().as_bytes().to_vec(),
                writable: link.symlink_metadata().is_ok_and(|meta| meta.mode() & 0o200 != 0),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_is_read_right() {
        let line = b"42 (a) b (c)) S 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 987654 1 2";
        let process = Process::parse(line).unwrap();
        assert_eq!(process.command, "a) b (c)");
        assert_eq!((process.id.pid, process.parent, process.session), (42, 7, 39));
        assert_eq!((process.state, process.threads, process.id.start_time_ticks), ('S', 3, 987_654));
    }

    #[test]
    fn this_process_is_read_and_found_below_its_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let me = Process::read(own).unwrap();
        assert_eq!(process_start_time(own).unwrap(), me.id.start_time_ticks);
        for found in [descendants(me.parent), descendants_by_scan(me.parent)] {
            assert!(found.iter().any(|process| process.id == me.id));
        }
    }

    #[test]
    fn a_number_that_went_to_another_process_is_not_signalled() {
        let own = i32::try_from(std::process::id()).unwrap();
        let other = ProcId { pid: own, start_time_ticks: process_start_time(own).unwrap() + 1 };
        assert_eq!(signal(other, libc::SIGKILL).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
