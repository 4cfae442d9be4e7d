//! Keeping house: backups, what is kept how long, and what may go.

pub(crate) mod before;

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
    sync_dir(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new(".")))
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
