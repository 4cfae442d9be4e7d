//! Which processes belong to a test, by what stands in their environment.

use std::{ffi::OsString, fs, process::Command, thread, time::Duration};

use crate::wait_for_blocking;

/// The variable that marks the processes of a test. It is none of Mozi's own: those are taken out of an agent's
/// environment, and this one is to reach the agent.
pub const MARK: &str = "TEST_CENSUS_MARK";

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub ppid: u32,
    /// When it started, in ticks since boot: with the number it names one process for ever.
    pub start_time: u64,
    /// Its state as the kernel says: `R`, `S`, `D`, `T`, `Z` …
    pub state: char,
    /// Its arguments, or its name in brackets.
    pub command: String,
}

/// All live processes (no zombies) in whose environment `name` has just this value.
pub fn processes_with(name: &str, value: &str) -> Vec<Process> {
    let wanted = format!("{name}={value}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str().and_then(|n| n.parse::<u32>().ok()));
    pids.filter(|pid| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|b| *b == 0).any(|v| v == wanted.as_bytes())
    })
    .filter_map(look)
    .filter(|p| !matches!(p.state, 'Z' | 'X'))
    .collect()
}

/// Whether a process with this number lives and has this start time; a zombie does not live.
pub fn is_alive(pid: u32, started: u64) -> bool {
    look(pid).is_some_and(|p| p.start_time == started && !matches!(p.state, 'Z' | 'X'))
}

/// When the process with this number started, in ticks since boot.
pub fn start_time(pid: u32) -> Option<u64> {
    look(pid).map(|p| p.start_time)
}

fn look(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold parentheses and spaces.
    let (head, tail) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let name = head.split_once('(').map_or("", |(_, n)| n);
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&arguments).replace('\0', " ");
    Some(Process {
        pid,
        ppid: fields.get(1)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        command: if line.trim().is_empty() { format!("[{name}]") } else { line.trim().to_owned() },
    })
}

/// Counts the processes of one test, by a mark in their environment. When it is dropped none may be left: those that
/// are get a few seconds, then they are killed and the test fails.
#[derive(Debug)]
pub struct Census {
    value: String,
}

/// How long what a test has started may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

impl Census {
    /// A new mark; `test` should name the test.
    pub fn new(test: &str) -> Self {
        let folder = crate::temp_dir();
        let unique = folder.path().file_name().map(OsString::from).unwrap_or_default();
        Self { value: format!("{test}-{}-{}", std::process::id(), unique.to_string_lossy()) }
    }

    /// Name and value of the mark.
    pub fn mark(&self) -> (&'static str, &str) {
        (MARK, &self.value)
    }

    /// Marks a command and with it all that it starts.
    pub fn mark_command<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(MARK, &self.value)
    }

    /// The live processes that carry the mark.
    pub fn processes(&self) -> Vec<Process> {
        processes_with(MARK, &self.value)
    }

    /// Waits until none is left.
    ///
    /// # Panics
    /// When there are some after `limit`.
    #[track_caller]
    pub fn wait_for_none(&self, limit: Duration) {
        let left = self.left_after(limit);
        assert!(left.is_empty(), "processes left behind: {left:#?}");
    }

    fn left_after(&self, limit: Duration) -> Vec<Process> {
        match wait_for_blocking(limit, || self.processes().is_empty().then_some(())) {
            Some(()) => Vec::new(),
            None => self.processes(),
        }
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        let patience = if thread::panicking() { Duration::ZERO } else { PATIENCE };
        let left = self.left_after(patience);
        for p in &left {
            kill(p);
        }
        assert!(left.is_empty() || thread::panicking(), "processes left behind: {left:#?}");
    }
}

/// Ends what a failed test has left: these carry this test's own mark.
fn kill(process: &Process) {
    if is_alive(process.pid, process.start_time) {
        let pid = process.pid.to_string();
        drop(crate::command("kill").args(["-KILL", &pid]).status());
    }
}
