//! What sessions and tasks leave on the disk of this machine, and how it goes.
//!
//! Nothing here decides what may go: that is the rule of retention and the board's knowledge of what has ended.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use mozi_core::{ProjectId, SessionId, TaskId, Timestamp, retention::EndedLog};
use mozi_supervise::SessionDir;

use crate::error::FileError;
use crate::files::NO_LOGS;
use crate::workspace::{MARKER, WITHOUT_TASK};

/// So long a look at one repository may take.
const GIT_WITHIN: Duration = Duration::from_secs(30);
/// Deeper than this no repository is looked for: then the folder stays.
const DEPTH: usize = 64;

/// The logs of all sessions whose end is recorded.
pub fn ended_logs(sessions: &Path) -> Vec<EndedLog<SessionId>> {
    ended(sessions)
        .filter_map(|(dir, key, ended_at)| {
            let files = [dir.stdout_path(), dir.stderr_path()];
            let sizes: Vec<u64> = files.iter().filter_map(|path| on_disk(path)).collect();
            (!sizes.is_empty()).then(|| EndedLog { key, ended_at, bytes: sizes.iter().sum() })
        })
        .collect()
}

/// Sessions whose end is recorded, with its time.
pub fn ended_sessions(sessions: &Path) -> BTreeMap<SessionId, Timestamp> {
    ended(sessions).map(|(_, id, at)| (id, at)).collect()
}

fn ended(sessions: &Path) -> impl Iterator<Item = (SessionDir, SessionId, Timestamp)> {
    SessionDir::list(sessions).into_iter().flatten().filter_map(|dir| {
        let id = dir.session_id().parse::<SessionId>().ok()?;
        // Only the look that costs least: there may be a million of them.
        let ended = fs::metadata(dir.exit_path()).ok()?;
        Some((dir, id, time_of(&ended)))
    })
}

/// When a file was last written.
pub fn time_of(metadata: &fs::Metadata) -> Timestamp {
    let since = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// What a file takes: a log whose beginning was dropped takes less than its size.
fn on_disk(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|m| m.blocks().saturating_mul(512))
}

/// Removes the logs of a session that has ended; everything else of it stays.
///
/// # Errors
/// What the system refuses.
pub fn remove_logs(sessions: &Path, session: SessionId) -> Result<(), FileError> {
    let dir = SessionDir::at(sessions.join(session.to_string()));
    if fs::metadata(dir.exit_path()).is_err() {
        return Ok(());
    }
    // Said before it is true: a log that is not there otherwise looks like one in which nothing was written.
    let gone = dir.path().join(NO_LOGS);
    fs::write(&gone, "").map_err(FileError::at("write", &gone))?;
    for path in [dir.stdout_path(), dir.stderr_path()] {
        remove_if_there(&path)?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::at("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes the directory of a session that has ended and that the board does not know.
///
/// # Errors
/// When it has not ended, is held by somebody, or cannot be removed.
pub fn remove_session(sessions: &Path, session: SessionId) -> Result<(), mozi_supervise::Error> {
    SessionDir::at(sessions.join(session.to_string())).remove()
}

/// A folder that Mozi made for a task, or for a session without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeFolder {
    /// Where.
    pub path: PathBuf,
    /// For whom.
    pub of: MadeFor,
}

/// For whom a folder was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MadeFor {
    /// Attempts at a task.
    Task(ProjectId, TaskId),
    /// A session without a task.
    Session(SessionId),
}

/// The folders below `root` that bear Mozi's mark: of tasks, of their attempts, and of sessions without a task.
pub fn made_folders(root: &Path) -> Vec<MadeFolder> {
    let mut found = Vec::new();
    for (project, of_project) in folders(root) {
        for (name, path) in folders(&of_project) {
            let of = if project == WITHOUT_TASK {
                name.parse().ok().map(MadeFor::Session)
            } else {
                project.parse().ok().zip(name.parse().ok()).map(|(p, t)| MadeFor::Task(p, t))
            };
            let Some(of) = of else { continue };
            if path.join(MARKER).is_file() {
                found.push(MadeFolder { path, of });
            } else {
                // One for each attempt.
                let attempts = folders(&path).into_iter().map(|(_, path)| path);
                let marked = attempts.filter(|path| path.join(MARKER).is_file());
                found.extend(marked.map(|path| MadeFolder { path, of: of.clone() }));
            }
        }
    }
    found
}

fn folders(of: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    // A link leads to what is not Mozi's.
    let real = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    real.filter_map(|e| Some((e.file_name().into_string().ok()?, e.path()))).collect()
}

/// What a folder takes, with all that is in it.
pub fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold(0, |sum: u64, entry| {
        let size = match entry.file_type() {
            Ok(t) if t.is_dir() => size_of(&entry.path()),
            _ => on_disk(&entry.path()).unwrap_or(0),
        };
        sum.saturating_add(size)
    })
}

/// Why a folder must stay, if it must: work in a git repository that is nowhere else. What cannot be looked at stays.
pub fn unsaved_work(folder: &Path) -> Option<String> {
    let mut repositories = Vec::new();
    if let Err(why) = find_repositories(folder, 0, &mut repositories) {
        return Some(why);
    }
    repositories.iter().find_map(|repository| unsaved_in(repository))
}

fn find_repositories(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("{} is nested too deeply to be looked through", folder.display()));
    }
    let refused = |e: io::Error| format!("{} cannot be looked at: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        // `.git` is a folder, or the file of a work tree; a bare repository is known by what is in it.
        if entry.file_name() == ".git" {
            found.push(folder.to_owned());
        } else if entry.file_type().map_err(refused)?.is_dir() {
            find_repositories(&entry.path(), depth + 1, found)?;
        } else if entry.file_name() == "HEAD"
            && folder.join("objects").is_dir()
            && folder.join("refs").is_dir()
        {
            let inside_git = folder.file_name().is_some_and(|n| n == ".git");
            if !inside_git {
                found.push(folder.to_owned());
            }
        }
    }
    Ok(())
}

fn unsaved_in(repository: &Path) -> Option<String> {
    let shown = repository.display();
    let asked: [(&[&str], &str); 3] = [
        (&["status", "--porcelain", "--ignore-submodules=none"], "has changes that are not committed"),
        (
            &["log", "--branches", "--not", "--remotes", "--oneline", "-1"],
            "has commits that are on no remote",
        ),
        (&["stash", "list"], "has a stash"),
    ];
    for (arguments, what) in asked {
        // What has no work tree has nothing that is not committed, and no stash.
        match git(repository, arguments) {
            Ok(said) if said.is_empty() => {}
            Ok(_) => return Some(format!("{shown} {what}")),
            Err(why) if arguments.first() != Some(&"log") && why.contains("in a work tree") => {}
            Err(why) => return Some(format!("{shown}: git does not say what is in it: {why}")),
        }
    }
    None
}

/// Asks git without letting the repository's own settings start anything.
fn git(repository: &Path, arguments: &[&str]) -> Result<String, String> {
    #[expect(clippy::disallowed_methods, reason = "git alone knows what a repository holds")]
    let mut git = std::process::Command::new("timeout");
    git.arg(GIT_WITHIN.as_secs().to_string())
        .arg("git")
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(repository)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .stdin(Stdio::null());
    let out = git.output().map_err(|e| e.to_string())?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(said.lines().next().map_or_else(|| out.status.to_string(), str::to_owned))
}

/// Removes a folder that Mozi made and marked; it is out of the way before its content goes.
///
/// # Errors
/// When it is not one, or cannot be removed.
pub fn remove_folder(root: &Path, path: &Path) -> Result<(), FileError> {
    let inside = path.strip_prefix(root).is_ok_and(|below| below.components().count() >= 2);
    if !inside || !path.join(MARKER).is_file() {
        return Err(FileError::at("remove", path)(io::Error::other("it was not made by Mozi")));
    }
    fs::remove_dir_all(path).map_err(FileError::at("remove", path))?;
    // The folder of its project, or of its task, where nothing else is in it.
    let mut above = path.parent();
    while let Some(folder) = above.filter(|folder| *folder != root && folder.starts_with(root)) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
        above = folder.parent();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
