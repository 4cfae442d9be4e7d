//! What every test needs: a folder of sessions, a supervisor in it, and the certainty that nothing is left.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mozi_supervise::*;

/// Longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Asks until there is an answer; for facts (process tables, files of others) that announce themselves to nobody.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        nap(Duration::from_millis(2));
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place in which the tests let time pass")]
pub(crate) fn nap(time: Duration) {
    std::thread::sleep(time);
}

#[expect(clippy::disallowed_methods, reason = "the one place in which the tests run a program")]
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(name)
}

/// Runs a line of shell and gives back what it prints.
pub(crate) fn shell(line: &str) -> String {
    let output = program("sh").arg("-c").arg(line).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Sends a signal by name.
pub(crate) fn send(signal: &str, pid: i32) {
    shell(&format!("kill -{signal} {pid}"));
}

pub(crate) fn am_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The example program that is a supervisor.
pub(crate) fn supervisor_exe() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    let exe = folder.join("examples/supervisor");
    // `cargo test` builds it; `cargo test --test it` alone does not.
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let newest = shell(&format!("find {sources} -name '*.rs' -newer {} 2>&1", exe.display()));
    assert!(
        newest.is_empty(),
        "{} is not current: run `cargo build -p mozi-supervise --examples`",
        exe.display()
    );
    exe
}

/// All processes whose command line holds `text`.
pub(crate) fn with_command_line(text: &str) -> Vec<i32> {
    pids()
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
        })
        .collect()
}

/// A number of fixed width that stands in the command lines of one test's processes and in no other's; unlike the
/// session's id it marks nothing.
pub(crate) fn marker() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:07}{:04}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until a process runs whose command line is exactly this.
#[track_caller]
pub(crate) fn wait_command(line: &str) -> i32 {
    until(line, || {
        with_command_line(line).into_iter().find(|pid| {
            let found = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&found).trim_end_matches('\0').replace('\0', " ") == line
                && is_alive(*pid)
        })
    })
}

/// All processes that were started with `MOZI_SESSION_ID=id`.
pub(crate) fn with_session_id(id: &str) -> Vec<i32> {
    let mark = format!("MOZI_SESSION_ID={id}").into_bytes();
    pids()
        .filter(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|entry| entry == mark)
        })
        .collect()
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A line of `/proc/<pid>/status`.
pub(crate) fn proc_status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(|rest| rest.trim().to_owned()))
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    proc_status(pid, "State").is_some_and(|state| !state.starts_with('Z'))
}

/// A folder of sessions.
pub(crate) struct Sessions {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) exe: PathBuf,
    env: Vec<(OsString, OsString)>,
}

impl Sessions {
    pub(crate) fn new() -> Sessions {
        Sessions::in_folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn in_folder(folder: tempfile::TempDir) -> Sessions {
        let path = std::env::vars_os().find(|(key, _)| key == "PATH");
        Sessions { folder, exe: supervisor_exe(), env: path.into_iter().collect() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A session id that no other test on this machine has; it also stands in for a word in command lines.
    pub(crate) fn new_id() -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// A spec that runs a script with bash; `$id` in it is the session's id.
    pub(crate) fn spec(&self, script: &str) -> Spec {
        let id = Sessions::new_id();
        Spec {
            version: SPEC_VERSION,
            board_id: "board".to_owned(),
            project_id: None,
            task_id: None,
            attempt_number: None,
            agent: "tester".to_owned(),
            role: None,
            runtime: "command".to_owned(),
            program: PathBuf::from("bash"),
            args: vec!["-c".to_owned(), script.replace("$id", &id)],
            argv0: None,
            cwd: self.root().to_path_buf(),
            stdin: StdinSource::Null,
            timeout_ms: None,
            stall_timeout_ms: None,
            grace_ms: 30_000,
            log_limit_bytes: DEFAULT_LOG_LIMIT,
            log_overflow: LogOverflow::DropOldest,
            created_at: "2026-01-01T00:00:00Z".to_owned(),
            runtime_data: serde_json::Value::Null,
            session_id: id,
        }
    }

    /// Makes the directory and starts a supervisor in it.
    pub(crate) fn start(&self, spec: &Spec) -> Live {
        let (dir, lock) = SessionDir::create(self.root(), &spec.session_id).unwrap();
        dir.write_spec(spec).unwrap();
        dir.write_prompt(b"the prompt\n").unwrap();
        self.start_in(dir, lock)
    }

    pub(crate) fn start_in(&self, dir: SessionDir, lock: Lock) -> Live {
        let mark = ("MOZI_SESSION_ID".into(), dir.session_id().into());
        let child = spawn_supervisor(&self.exe, &dir, lock, self.env.iter().cloned().chain([mark])).unwrap();
        Live { dir, child, status: None }
    }

    pub(crate) fn run(&self, spec: &Spec) -> ExitRecord {
        self.start(spec).end()
    }
}

/// A session with its supervisor.
pub(crate) struct Live {
    pub(crate) dir: SessionDir,
    pub(crate) child: Child,
    status: Option<ExitStatus>,
}

impl Live {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Waits until `control.sock` listens; false if the supervisor has gone without that.
    pub(crate) fn wait_ready(&mut self) -> bool {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line == "listening\n"
    }

    pub(crate) fn control(&mut self) -> Control {
        if self.dir.read_status().is_none_or(|status| status.agent.is_none()) {
            assert!(self.wait_ready(), "the supervisor started nothing");
        }
        Control::connect(&self.dir, PATIENCE).unwrap()
    }

    /// Waits until the agent has written `text` to its standard output.
    #[track_caller]
    pub(crate) fn wait_output(&self, text: &str) {
        until(&format!("{text:?} in stdout.log"), || self.stdout().contains(text).then_some(()));
    }

    #[track_caller]
    pub(crate) fn wait_phase(&self, phase: Phase) -> Status {
        until(&format!("phase {phase:?}"), || self.dir.read_status().filter(|status| status.phase == phase))
    }

    pub(crate) fn agent(&self) -> i32 {
        until("an agent", || self.dir.read_status()?.agent).pid
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.stdout_path()).unwrap_or_default()).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.stderr_path()).unwrap_or_default()).into_owned()
    }

    /// Waits until the supervisor has ended.
    #[track_caller]
    pub(crate) fn wait_gone(&mut self) -> ExitStatus {
        let status = until("the end of the supervisor", || self.child.try_wait().unwrap());
        self.status = Some(status);
        status
    }

    /// Waits until the session has ended by itself.
    #[track_caller]
    pub(crate) fn end(mut self) -> ExitRecord {
        self.wait_end()
    }

    #[track_caller]
    pub(crate) fn wait_end(&mut self) -> ExitRecord {
        assert!(self.wait_gone().success());
        self.dir.read_exit().expect("exit.json")
    }

    /// Kills the supervisor outright.
    pub(crate) fn kill_supervisor(&mut self) {
        self.child.kill().unwrap();
        self.wait_gone();
    }

    #[track_caller]
    pub(crate) fn take_lock(&self) -> Lock {
        lock_of(&self.dir)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let left = with_session_id(&self.dir.session_id());
        if self.status.is_none() {
            send("CONT", self.pid());
            drop(self.child.kill());
            let start = Instant::now();
            while !matches!(self.child.try_wait(), Ok(Some(_))) && start.elapsed() < PATIENCE {
                nap(Duration::from_millis(2));
            }
        }
        if self.dir.read_exit().is_none()
            && let Ok(LockAttempt::Locked(lock)) = self.dir.try_lock()
        {
            drop(reconcile_dead(&self.dir, lock, None));
        }
        // A session that has ended must have left nothing; one that the test itself broke off was just swept.
        if self.status.is_some() && !std::thread::panicking() {
            let left: Vec<i32> = left.into_iter().filter(|pid| is_alive(*pid)).collect();
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

/// Takes a lock that must be free; a child of this process between fork and exec may hold a copy for an instant.
#[track_caller]
pub(crate) fn lock_of(dir: &SessionDir) -> Lock {
    until("the lock", || match dir.try_lock().unwrap() {
        LockAttempt::Locked(lock) => Some(lock),
        LockAttempt::Held => None,
    })
}

/// What a reconciliation that must succeed wrote.
#[track_caller]
pub(crate) fn ended(reconciled: Reconciled) -> ExitRecord {
    match reconciled {
        Reconciled::Ended(record) => *record,
        other => panic!("{other:?}"),
    }
}
