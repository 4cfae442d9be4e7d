//! A copy of the database before it is brought to a newer format. Three are kept.
//!
//! It is the database alone: nothing else is touched by a change of its format, and going back is putting the copy in
//! its place.

use std::path::{Path, PathBuf};

use mozi_board::Clock;
use mozi_store::Format;

use super::{backups_dir, make_dir, remove_if_there, stamp};
use crate::error::{Failure, Result, plain};

/// So many are kept.
const KEPT: usize = 3;
/// A copy that is being made; there is one at a time, by whoever holds the data folder.
const UNFINISHED: &str = ".unfinished.db";

/// Copies the database of `data` if this version would change its format; says where the copy is.
pub(crate) fn a_migration(data: &Path) -> Result<Option<PathBuf>> {
    let database = data.join("mozi.db");
    // What cannot be read is told by whoever opens it.
    let Ok(Some(Format { found, known })) = mozi_store::format_of(&database) else { return Ok(None) };
    if found >= known {
        return Ok(None);
    }
    let refused = |why: String| {
        Failure::new(format!(
            "will not bring the database from format {found} to {known} without a copy of it: could not {why}"
        ))
        .hint(format!(
            "make room on the disk of {}, which needs as much again as mozi.db has; nothing was changed, and the \
             version that ran before still can",
            data.display()
        ))
        .code("storage_full")
    };
    let dir = backups_dir(data);
    make_dir(&dir).map_err(|e| refused(format!("make {}: {}", dir.display(), plain(&e))))?;
    let name = format!("before-{known}-{}.db", stamp(Clock::system().now()));
    // Half a copy has no name that says otherwise.
    let (copy, unfinished) = (dir.join(name), dir.join(UNFINISHED));
    remove_if_there(&unfinished)
        .map_err(|e| refused(format!("remove {}: {}", unfinished.display(), plain(&e))))?;
    mozi_store::copy(&database, &unfinished).map_err(|e| refused(e.to_string()))?;
    super::publish(&unfinished, &copy)
        .map_err(|e| refused(format!("write {}: {}", copy.display(), plain(&e))))?;
    keep_newest(&dir);
    Ok(Some(copy))
}

/// Removes all but the newest.
fn keep_newest(dir: &Path) {
    for old in copies(dir).into_iter().rev().skip(KEPT) {
        if let Err(e) = std::fs::remove_file(&old) {
            tracing::warn!("could not remove {}: {}", old.display(), plain(&e));
        }
    }
}

/// The copies that there are, oldest first.
fn copies(dir: &Path) -> Vec<PathBuf> {
    let time = |path: &Path| {
        let stem = path.file_stem()?.to_str()?.strip_prefix("before-")?;
        path.extension().filter(|e| *e == "db")?;
        Some(stem.split_once('-')?.1.to_owned())
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<(String, PathBuf)> =
        entries.filter_map(|e| Some((time(&e.path())?, e.path()))).collect();
    all.sort();
    all.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_are_kept_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(dir.path().join(name), "x").unwrap();
        for name in [
            "before-2-20260101T000000Z.db",
            "before-10-20260104T000000Z.db",
            "before-3-20260102T000000Z.db",
            "before-9-20260103T000000Z.db",
            "before-me.txt",
            "mine.db",
        ] {
            put(name);
        }
        keep_newest(dir.path());
        let names: Vec<_> =
            copies(dir.path()).iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(
            names,
            ["before-3-20260102T000000Z.db", "before-9-20260103T000000Z.db", "before-10-20260104T000000Z.db"]
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 5);
    }
}
