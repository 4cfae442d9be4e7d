//! The one way a file is written so that it is either there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// Writes `bytes` to `path` (mode 0600) durably: temporary file beside it, fsync, rename over it, fsync of the folder.
///
/// When it returns `Ok`, the file survives a power cut; when it returns `Err`, an older file at `path` is untouched
/// unless only the last step (fsync of the folder) failed.
///
/// # Errors
/// Whatever step the system refuses, with the path.
pub fn durable_write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = temporary_beside(path);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(Error::io("make", &temporary))
        .and_then(|mut file| {
            file.write_all(bytes).map_err(Error::io("write", &temporary))?;
            file.sync_all().map_err(Error::io("sync", &temporary))
        })
        .and_then(|()| put_in_place(&temporary, path));
    if written.is_err() {
        // A leftover would only take room; there is nobody to tell about it beyond the error itself.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// Renames a written and synced file to its final name and makes the name durable.
pub(crate) fn put_in_place(temporary: &Path, path: &Path) -> Result<(), Error> {
    #[expect(clippy::disallowed_methods, reason = "this is the durable-write helper itself")]
    fs::rename(temporary, path).map_err(Error::io("rename into place", path))?;
    sync_dir(folder_of(path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(Error::io("sync the folder", folder))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    folder_of(path).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        durable_write(&path, b"one").unwrap();
        durable_write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_refusal_names_the_path_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir_all(path.join("full")).unwrap();
        let text = durable_write(&path, b"x").unwrap_err().to_string();
        assert!(text.contains("taken"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
