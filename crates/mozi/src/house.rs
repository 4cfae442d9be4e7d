//! Keeping house: backups, what is kept how long, and what may go.

pub(crate) mod archive;
pub(crate) mod before;
pub(crate) mod gc;
mod hashing;
pub(crate) mod keeper;
pub(crate) mod restore;

use std::path::{Path, PathBuf};

/// Where copies of the database lie that were made before it was changed.
pub(crate) fn backups_dir(data: &Path) -> PathBuf {
    data.join("backups")
}

/// A point in time as a part of a file's name, in UTC: names sort by age.
pub(crate) fn stamp(at: mozi_core::Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Gives what was written and synced beside it its name, which is then on disk too.
pub(crate) fn publish(written: &Path, path: &Path) -> std::io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "synced before by whoever wrote it, and its folder after")]
    std::fs::rename(written, path)?;
    sync_dir(folder_of(path))
}

/// Gives a file that was written and synced beside it its name, over another one only where that is wanted; the name
/// is then on disk too.
pub(crate) fn give_name(file: tempfile::NamedTempFile, to: &Path, over: bool) -> std::io::Result<()> {
    if over { file.persist(to) } else { file.persist_noclobber(to) }.map_err(|e| e.error)?;
    sync_dir(folder_of(to))
}

/// The folder that a file lies in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Makes a folder that is its owner's alone, with those above it.
pub(crate) fn make_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
