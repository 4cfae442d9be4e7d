//! A supervisor of the same session in another directory: the data folder there is the one that ours is a copy of, or
//! a copy of ours. Its processes bear the marks of the session, and are not ours to end.

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::proc::{self, Process};
use crate::session_dir::SessionDir;
use crate::sweep::SESSION_VARIABLE;

/// What the system adds to the place of a process whose directory was removed.
const REMOVED: &[u8] = b" (deleted)";

/// A living supervisor of a session in a directory that is there and is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its process.
    pub pid: i32,
    /// The session directory that it works in.
    pub directory: PathBuf,
}

/// The supervisor of `dir`'s session that works in another directory, if there is one.
pub(crate) fn find(dir: &SessionDir) -> Option<Elsewhere> {
    let id = dir.session_id();
    let ours = identity(dir.path()).ok();
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    proc::all().into_iter().filter(|p| p.id.pid != own && !p.has_ended()).find_map(|process| {
        let (directory, theirs) = place(&process, &id)?;
        (theirs.is_none() || theirs != ours).then_some(Elsewhere { pid: process.id.pid, directory })
    })
}

/// Where a supervisor of this session works, and which directory that is, if that can be seen; none if the process is
/// no such supervisor, or its directory was removed.
fn place(process: &Process, session_id: &str) -> Option<(PathBuf, Option<(u64, u64)>)> {
    let pid = process.id.pid;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = line.split(|byte| *byte == 0).skip(1);
    if arguments.next() != Some(b"supervise") {
        return None;
    }
    let named = PathBuf::from(std::ffi::OsString::from_vec(arguments.next()?.to_vec()));
    let of_session = named.file_name().is_some_and(|name| name.as_bytes() == session_id.as_bytes());
    if !of_session || proc::environment_says(process, SESSION_VARIABLE, session_id) == Some(false) {
        return None;
    }
    // It has gone into its directory: that holds also if the data folder was moved since.
    let link = PathBuf::from(format!("/proc/{pid}/cwd"));
    if let Ok(within) = fs::read_link(&link) {
        let name = within.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        if name == session_id.as_bytes() {
            return Some((within, identity(&link).ok()));
        }
        if name.strip_suffix(REMOVED) == Some(session_id.as_bytes()) {
            return None;
        }
    }
    // Not there yet, or not ours to look at.
    match identity(&named) {
        Ok(found) => Some((named, Some(found))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some((named, None)),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
