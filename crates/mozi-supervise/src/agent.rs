//! Starting the agent process.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::place::Place;
use crate::session_dir::name;
use crate::spec::{Spec, StdinSource};
use crate::sys::{self, AgentPlan, StartStep};

/// The agent's `oom_score_adj` is at least this; the supervisor keeps its own.
const OOM_SCORE: i32 = 500;

/// Where a program without a slash is looked for when there is no PATH.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// An agent that has been forked.
pub(crate) struct Started {
    pub(crate) pid: i32,
    /// End of file once the program runs, else what went wrong; does not block.
    pub(crate) report: File,
}

/// Forks the agent. Whether its program could be executed is told by the report.
pub(crate) fn start(
    spec: &Spec,
    place: &Place,
    stdout: &OwnedFd,
    stderr: &OwnedFd,
) -> Result<Started, String> {
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let programs = candidates(&spec.program, &environment)
        .map_err(|error| format!("could not use the program: {error}"))?;
    let argv0 = spec.argv0.as_deref().map_or(spec.program.as_os_str(), OsStr::new);
    let argv: Vec<CString> = std::iter::once(argv0)
        .chain(spec.args.iter().map(OsStr::new))
        .map(c_string)
        .collect::<io::Result<_>>()
        .map_err(|error| format!("could not use the arguments: {error}"))?;
    let envp: Vec<CString> = environment
        .into_iter()
        .map(|(mut key, value)| {
            key.push("=");
            key.push(value);
            CString::new(key.into_vec()).map_err(io::Error::other)
        })
        .collect::<io::Result<_>>()
        .map_err(|error| format!("could not use the environment: {error}"))?;
    let cwd = c_string(spec.cwd.as_os_str())
        .map_err(|error| format!("could not use the working directory: {error}"))?;
    let (stdin_name, stdin) = match spec.stdin {
        StdinSource::Prompt => (name::PROMPT, File::open(name::PROMPT)),
        StdinSource::Null => ("/dev/null", File::open("/dev/null")),
    };
    let stdin = stdin.map_err(|error| format!("could not open {stdin_name}: {}", named(&error)))?;
    let oom_score = oom_score();
    let (report, childs_report) =
        io::pipe().map_err(|error| format!("could not make a pipe: {}", named(&error)))?;
    let report = File::from(OwnedFd::from(report));
    sys::set_nonblocking(&report).map_err(|error| format!("could not make a pipe: {}", named(&error)))?;
    let pid = sys::fork_agent(&AgentPlan {
        programs: &programs,
        argv: &argv,
        envp: &envp,
        cwd: &cwd,
        stdin: stdin.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
        lock: place.lock.file().as_fd(),
        report: childs_report.as_fd(),
        umask: place.umask,
        oom_score: oom_score.as_bytes(),
    })
    .map_err(|error| format!("could not make a process: {}", named(&error)))?;
    Ok(Started { pid, report })
}

/// What the report says so far: `None` while the start goes on.
pub(crate) fn read_report(
    report: &mut File,
    spec_program: &Path,
    spec_cwd: &Path,
) -> Option<Result<(), String>> {
    let mut bytes = [0; sys::START_REPORT_BYTES];
    match report.read(&mut bytes) {
        Ok(0) => Some(Ok(())),
        Ok(count) => {
            let parsed = bytes.get(..count).and_then(sys::parse_start_report);
            let Some((step, error)) = parsed else {
                return Some(Err("could not start the program".to_owned()));
            };
            let hint = if error.raw_os_error() == Some(libc::ENOEXEC) {
                " (a script needs `#!` and its interpreter as the first line)"
            } else {
                ""
            };
            let what = match step {
                StartStep::Exec => format!("execute {}", spec_program.display()),
                StartStep::WorkingDir => format!("enter the working directory {}", spec_cwd.display()),
                StartStep::Streams => "set up the standard streams".to_owned(),
                StartStep::Orphaned => "start beneath the supervisor".to_owned(),
            };
            Some(Err(format!("could not {what}: {}{hint}", named(&error))))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
        Err(error) => Some(Err(format!("could not hear from the program: {}", named(&error)))),
    }
}

/// The paths that a program name may mean, in order.
fn candidates(program: &Path, environment: &[(OsString, OsString)]) -> io::Result<Vec<CString>> {
    if program.as_os_str().is_empty() {
        return Err(io::Error::other("its name is empty"));
    }
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program.as_os_str())?]);
    }
    let path = environment
        .iter()
        .find(|(key, _)| key == "PATH")
        .map_or_else(|| OsStr::new(DEFAULT_PATH), |(_, value)| value.as_os_str());
    // Relative parts are looked up from the agent's working directory, as a shell there would do.
    std::env::split_paths(path)
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".").to_path_buf() } else { folder })
        .map(|folder| c_string(folder.join(program).as_os_str()))
        .collect()
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::other)
}

fn oom_score() -> String {
    let own = fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
    own.unwrap_or(0).max(OOM_SCORE).to_string()
}

/// An error with the name that one searches for.
fn named(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(libc::ENOENT) => "ENOENT",
        Some(libc::EACCES) => "EACCES",
        Some(libc::EPERM) => "EPERM",
        Some(libc::ENOEXEC) => "ENOEXEC",
        Some(libc::E2BIG) => "E2BIG",
        Some(libc::ENOMEM) => "ENOMEM",
        Some(libc::EAGAIN) => "EAGAIN",
        Some(libc::ENOTDIR) => "ENOTDIR",
        Some(libc::EISDIR) => "EISDIR",
        Some(libc::ELOOP) => "ELOOP",
        Some(libc::ETXTBSY) => "ETXTBSY",
        Some(libc::ENAMETOOLONG) => "ENAMETOOLONG",
        Some(libc::EMFILE) => "EMFILE",
        Some(libc::ENFILE) => "ENFILE",
        Some(libc::ENOSPC) => "ENOSPC",
        Some(libc::EIO) => "EIO",
        _ => return error.to_string(),
    };
    format!("{name}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(program: &str, path: Option<&str>) -> Vec<String> {
        let environment: Vec<_> = path.map(|path| ("PATH".into(), path.into())).into_iter().collect();
        let found = candidates(Path::new(program), &environment).unwrap();
        found.into_iter().map(|path| path.into_string().unwrap()).collect()
    }

    #[test]
    fn a_name_is_looked_up_and_a_path_is_not() {
        assert_eq!(names("sh", Some("/a:/b")), ["/a/sh", "/b/sh"]);
        assert_eq!(names("sh", Some(":/b")), ["./sh", "/b/sh"]);
        assert_eq!(names("./sh", Some("/a")), ["./sh"]);
        assert_eq!(names("sh", None).last().map(String::as_str), Some("/bin/sh"));
        assert!(candidates(Path::new(""), &[]).is_err());
        assert!(candidates(Path::new("a\0b"), &[]).is_err());
    }
}
