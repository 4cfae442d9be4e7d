//! The link to the program that comes first on every agent's PATH.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, renameat};

use crate::error::FileError;

/// Has `link` point to the file that `exe` is. One that does already stays.
pub(crate) fn renew(exe: &Path, link: &Path) -> Result<(), FileError> {
    let target = fs::canonicalize(exe).map_err(FileError::at("find the program", exe))?;
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    if let Some(dir) = link.parent() {
        fs::create_dir_all(dir).map_err(FileError::at("make", dir))?;
    }
    // By rename: an agent that looks for it at this instant finds the old one or the new one.
    let new = link.with_extension(format!("{}.new", std::process::id()));
    drop(fs::remove_file(&new));
    symlink(&target, &new).map_err(FileError::at("make the link", &new))?;
    renameat(CWD, &new, CWD, link).map_err(|error| FileError::at("make the link", link)(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_whatever_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let link = dir.path().join("bin/mozi");
        for exe in [&one, &two, &two] {
            fs::write(exe, "").unwrap();
            renew(exe, &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), exe.canonicalize().unwrap());
        }
        assert!(renew(&dir.path().join("missing"), &link).is_err());
    }
}
