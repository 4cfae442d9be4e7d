//! Whole copies of a database, and what a file that is no live database holds.

use std::{fs::File, path::Path};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{connect, migrate::explain, migrate::known, migrate::version, query};
use crate::{CopyError, OpenError};

/// The format of a database file against the newest that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Its own.
    pub found: u32,
    /// The newest that this version writes.
    pub known: u32,
}

/// A blob that a database names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBlob {
    /// The hash of its content, which is its name.
    pub sha256: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// What a database holds, in figures, and the blobs that it names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// Whose it is.
    pub board_id: String,
    /// Its format.
    pub format: u32,
    /// The number of its newest event.
    pub last_seq: u64,
    /// Projects, archived ones too.
    pub projects: u64,
    /// Tasks.
    pub tasks: u64,
    /// Attempts.
    pub attempts: u64,
    /// Attempts that are open.
    pub open_attempts: u64,
    /// Outputs.
    pub outputs: u64,
    /// Blobs, each once, by name.
    pub blobs: Vec<NamedBlob>,
}

/// The format of a database that does not run; none where there is no database yet.
///
/// # Errors
/// When it cannot be read, is no board's, or was written by a newer version.
pub fn format_of(path: &Path) -> Result<Option<Format>, OpenError> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }),
        Ok(m) if m.len() == 0 => return Ok(None),
        Ok(_) => {}
    }
    let found = version(&reading(path)?, path)?;
    Ok((found > 0).then(|| Format { found, known: known() }))
}

/// Writes a copy of a database as it is at one moment, while it is at work or not; synced, for its owner alone. The
/// target must not exist.
///
/// # Errors
/// When it cannot be read, or the target not written; then nothing is left of the target.
pub fn copy(path: &Path, target: &Path) -> Result<(), CopyError> {
    let unreadable = |e: &rusqlite::Error| match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => CopyError::Full { target: target.to_owned() },
        _ => CopyError::Failed { path: path.to_owned(), target: target.to_owned(), why: e.to_string() },
    };
    let unwritable = |source| CopyError::Target { target: target.to_owned(), source };
    // Born private: SQLite fills an empty file that is there.
    make_private(target).map_err(unwritable)?;
    let name = target.to_str().ok_or_else(|| {
        unwritable(std::io::Error::new(std::io::ErrorKind::InvalidFilename, "its name is no UTF-8"))
    });
    let written = name.and_then(|name| {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| unreadable(&e))?;
        connection.execute("VACUUM INTO ?1", [name]).map_err(|e| unreadable(&e))?;
        // The copy is nobody's live database: it may be opened.
        File::open(target).and_then(|file| file.sync_all()).map_err(unwritable)
    });
    if written.is_err() {
        // What refused the write may refuse this too; the error of before is the one to tell.
        drop(std::fs::remove_file(target));
    }
    written
}

fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

fn reading(path: &Path) -> Result<Connection, OpenError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| explain(path, &e))
}

/// What a database holds, of any format that is known here.
///
/// # Errors
/// When it cannot be read, is no board's, or was written by a newer version.
pub fn contents(path: &Path) -> Result<Contents, OpenError> {
    let db = reading(path)?;
    let format = version(&db, path)?;
    let read = || {
        let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
        let mut blobs =
            db.prepare("SELECT DISTINCT sha256, size_bytes FROM outputs WHERE inline = 0 ORDER BY sha256")?;
        let blobs = blobs.query_map([], |row| {
            Ok(NamedBlob { sha256: row.get(0)?, size_bytes: row.get::<_, i64>(1)?.unsigned_abs() })
        })?;
        Ok(Contents {
            board_id: query::board_id(&db)?,
            format,
            last_seq: query::last_seq(&db)?,
            projects: count("SELECT count(*) FROM projects")?,
            tasks: count("SELECT count(*) FROM tasks")?,
            attempts: count("SELECT count(*) FROM task_attempts")?,
            open_attempts: count("SELECT count(*) FROM task_attempts WHERE completed_at IS NULL")?,
            outputs: count("SELECT count(*) FROM outputs")?,
            blobs: blobs.collect::<rusqlite::Result<_>>()?,
        })
    };
    read().map_err(|e: rusqlite::Error| explain(path, &e))
}

/// What is wrong with the file itself, every page and index of it looked at; nothing if it is sound.
///
/// # Errors
/// When it cannot be read at all.
pub fn unsound(path: &Path) -> Result<Vec<String>, OpenError> {
    let db = reading(path)?;
    let read = || {
        let mut said = db.prepare("PRAGMA integrity_check(20)")?;
        let said = said.query_map([], |row| row.get::<_, String>(0))?;
        Ok(said.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().filter(|s| s != "ok").collect())
    };
    read().map_err(|e: rusqlite::Error| explain(path, &e))
}
