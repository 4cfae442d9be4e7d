//! A backup put back: into a data folder in which there is no board.
//!
//! Everything is written into `.restoring` inside the folder and looked over there; only what is whole and sound gets
//! its place, the database last. A start in between is refused: `.restoring` says that this is no new, empty board.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
};

use mozi_board::Clock;
use mozi_store::{Format, Store};

use super::{
    archive::{self, BadArchive, Look, Opened, Sink, blob_path},
    make_dir, sync_dir,
};
use crate::{
    error::{Failure, Result, plain},
    serve::lock,
};

/// Where a restore works until it is done.
const STAGE: &str = ".restoring";

/// A data folder that a restore has not finished is not to be started with.
pub(crate) fn is_unfinished(data: &Path) -> Result<()> {
    let stage = data.join(STAGE);
    if !stage.exists() {
        return Ok(());
    }
    if data.join("mozi.db").exists() {
        // It was done but for this.
        return std::fs::remove_dir_all(&stage).map_err(|e| Failure::io("remove", &stage, &e));
    }
    Err(Failure::new(format!("a restore into {} was broken off: there is no board in it", data.display()))
        .hint(format!("run `mozi restore FILE` again, or remove {} to begin a new board", stage.display())))
}

fn bad(file: &Path, e: BadArchive) -> Failure {
    let failure = Failure::new(match &e {
        BadArchive::Unwritable { .. } => e.to_string(),
        _ => format!("{}: {e}", file.display()),
    });
    match e {
        BadArchive::Unwritable { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            failure.hint("make room there; nothing was restored").code("storage_full")
        }
        BadArchive::Newer { .. } => failure.hint("use that version, or a newer one").code("bad_backup"),
        BadArchive::NotOne(_) => {
            failure.hint("`mozi backup FILE` writes what can be restored").code("bad_backup")
        }
        BadArchive::CutOff(_) | BadArchive::Damaged(_) => {
            failure.hint("take another backup; nothing was changed").code("bad_backup")
        }
        BadArchive::Unreadable(_) | BadArchive::Unwritable { .. } => failure,
    }
}

fn open(file: &Path) -> Result<std::fs::File> {
    std::fs::File::open(file).map_err(|e| Failure::io("read", file, &e))
}

/// Reads a whole archive and says what it holds; every byte is looked at and nothing is written.
pub(crate) fn look(file: &Path) -> Result<Opened> {
    archive::read(io::BufReader::with_capacity(1 << 20, open(file)?), &Look).map_err(|e| bad(file, e))
}

/// Only the database is written, to be looked over.
struct DatabaseOnly(PathBuf);

impl Sink for DatabaseOnly {
    fn database(&self) -> Option<PathBuf> {
        Some(self.0.clone())
    }
    fn blob(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

/// Everything.
struct Whole(PathBuf);

impl Sink for Whole {
    fn database(&self) -> Option<PathBuf> {
        Some(self.0.join("mozi.db"))
    }
    fn blob(&self, sha256: &str) -> Option<PathBuf> {
        Some(self.0.join("blobs").join(blob_path(sha256)))
    }
}

/// Looks an archive over without changing anything: its hashes, its database, and the rules of the board in it.
pub(crate) async fn verify(file: PathBuf) -> Result<Opened> {
    let scratch = tempfile::tempdir()
        .map_err(|e| Failure::new(format!("could not make a temporary folder: {}", plain(&e))))?;
    let database = scratch.path().join("mozi.db");
    let sink = DatabaseOnly(database.clone());
    let opened = on_thread(move || {
        let input = io::BufReader::with_capacity(1 << 20, open(&file)?);
        archive::read(input, &sink).map_err(|e| bad(&file, e))
    })
    .await?;
    check_database(&database, &opened, scratch.path()).await?;
    Ok(opened)
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Failure::new(format!("could not look at the backup: {e}")))?
}

fn unusable(what: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the database of the backup {what}")).code("bad_backup")
}

fn could_not(e: &dyn std::fmt::Display) -> Failure {
    unusable(format!("cannot be used: could not {e}"))
}

/// Whether a database is sound, the one that the manifest names, and breaks no rule.
async fn check_database(database: &Path, opened: &Opened, scratch: &Path) -> Result<()> {
    let (path, manifest, to) = (database.to_path_buf(), opened.manifest.clone(), scratch.join("check.db"));
    let checked = on_thread(move || {
        let unsound = mozi_store::unsound(&path).map_err(|e| could_not(&e))?;
        if let Some(first) = unsound.first() {
            return Err(unusable(format!("is damaged: {first}")));
        }
        let contents = mozi_store::contents(&path).map_err(|e| could_not(&e))?;
        if contents.board_id != manifest.head.board_id || contents.last_seq != manifest.last_seq {
            return Err(unusable("is not the one that its manifest names"));
        }
        let names = manifest.files.iter().filter_map(|f| f.path.rsplit_once('/')).map(|(_, name)| name);
        let there: HashSet<&str> = names.chain(manifest.damaged.iter().map(String::as_str)).collect();
        if let Some(missing) = contents.blobs.iter().find(|b| !there.contains(b.sha256.as_str())) {
            return Err(unusable(format!("names an output that is not in it: blob {}", missing.sha256)));
        }
        let Some(Format { found, known }) = mozi_store::format_of(&path).map_err(|e| could_not(&e))? else {
            return Err(unusable("is empty"));
        };
        if found == known {
            return Ok(path);
        }
        // The rules are those of this version: they are looked for in a copy that is brought up to date.
        mozi_store::copy(&path, &to).map_err(|e| could_not(&e))?;
        drop(Store::open(mozi_store::Options::new(&to, "")).map_err(|e| could_not(&e))?);
        Ok(to)
    })
    .await?;
    let store = on_thread(move || Store::open_read_only(&checked).map_err(|e| could_not(&e))).await?;
    let broken = store.check(Clock::system().now()).await.map_err(|e| could_not(&e))?;
    match broken.first() {
        None => Ok(()),
        Some(first) => Err(unusable(format!("breaks the rules of a board: {first}"))),
    }
}

/// What became of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Files of the configuration that were written.
    pub written: Vec<PathBuf>,
    /// Those that were there already and are as they were.
    pub kept: Vec<PathBuf>,
}

/// Puts a backup into a data folder without a board, or changes nothing.
pub(crate) async fn restore(file: &Path, data: &Path, config: Option<&Path>) -> Result<(Opened, Restored)> {
    let was_there = data.exists();
    // First the cheap question: whoever holds the folder has a board in it.
    refuse_a_board(data)?;
    let lock = lock::take(data)?;
    refuse_a_board(data)?;
    let stage = data.join(STAGE);
    let done = fill(file, data, &stage).await;
    let opened = match done {
        Ok(opened) => opened,
        Err(failure) => {
            // What is left of it is said at the next start, should this fail too.
            drop(std::fs::remove_dir_all(&stage));
            drop(lock);
            if !was_there {
                drop(std::fs::remove_file(data.join("lock")));
                drop(std::fs::remove_dir(data));
            }
            return Err(failure);
        }
    };
    let restored = configuration(&opened, config)?;
    drop(lock);
    Ok((opened, restored))
}

/// Only a lock, and what a restore that was broken off has left, may be there.
fn refuse_a_board(data: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(data) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Failure::io("read", data, &e)),
        Ok(entries) => entries,
    };
    let unfinished = data.join(STAGE).exists() && !data.join("mozi.db").exists();
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name != "lock" && !(unfinished && (name == STAGE || name == "blobs")) {
            return Err(Failure::new(format!(
                "will not restore into {}: it is not empty, {} is in it",
                data.display(),
                name.to_string_lossy()
            ))
            .hint("name an empty or new folder with --data, or move that one away first")
            .code("not_empty"));
        }
    }
    Ok(())
}

async fn fill(file: &Path, data: &Path, stage: &Path) -> Result<Opened> {
    let failed = |doing: &'static str, path: &Path| {
        let path = path.to_path_buf();
        move |e: io::Error| Failure::io(doing, &path, &e)
    };
    for left in [stage.to_path_buf(), data.join("blobs")] {
        match std::fs::remove_dir_all(&left) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Failure::io("remove", &left, &e)),
            _ => {}
        }
    }
    make_dir(stage).map_err(failed("make", stage))?;
    sync_dir(data).map_err(failed("sync", data))?;
    let (sink, from) = (Whole(stage.to_path_buf()), file.to_path_buf());
    let opened = on_thread(move || {
        let input = io::BufReader::with_capacity(1 << 20, open(&from)?);
        archive::read(input, &sink).map_err(|e| bad(&from, e))
    })
    .await?;
    for damaged in &opened.manifest.damaged {
        // It was no output of anybody any more when it was saved.
        super::remove_if_there(&stage.join("blobs").join(blob_path(damaged)))
            .map_err(failed("remove", stage))?;
    }
    check_database(&stage.join("mozi.db"), &opened, stage).await?;
    // All of it at once: a call for each of a hundred thousand blobs would take an hour.
    let whole = std::fs::File::open(stage).map_err(failed("open", stage))?;
    rustix::fs::syncfs(&whole).map_err(|e| failed("sync", stage)(e.into()))?;
    drop(whole);
    let place = |name: &str| -> Result<()> {
        let (from, to) = (stage.join(name), data.join(name));
        super::publish(&from, &to).map_err(|e| Failure::io("rename into place", &to, &e))
    };
    if stage.join("blobs").exists() {
        place("blobs")?;
    }
    place("mozi.db")?;
    std::fs::remove_dir_all(stage).map_err(failed("remove", stage))?;
    Ok(opened)
}

/// Writes the configuration where there is none: what is there is somebody's, and stays.
fn configuration(opened: &Opened, config: Option<&Path>) -> Result<Restored> {
    let mut restored = Restored::default();
    let Some(file) = config else { return Ok(restored) };
    let folder = file.parent().unwrap_or_else(|| Path::new("/"));
    for (name, bytes) in &opened.config {
        let path = if name == "mozi.toml" { file.to_path_buf() } else { folder.join(name) };
        if path.exists() {
            restored.kept.push(path);
            continue;
        }
        let failed = |e: io::Error| {
            Failure::io("write", &path, &e).hint(
                "the board is restored; only the configuration is not. It is in the backup, below config/",
            )
        };
        make_dir(path.parent().unwrap_or(folder)).map_err(failed)?;
        let mut beside = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(folder)).map_err(failed)?;
        io::Write::write_all(&mut beside, bytes)
            .and_then(|()| beside.as_file().sync_all())
            .map_err(failed)?;
        beside.persist_noclobber(&path).map_err(|e| failed(e.error))?;
        restored.written.push(path);
    }
    Ok(restored)
}
