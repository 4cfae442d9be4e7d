//! Numbered migrations, forward only.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{connect, is_corrupt, query, writing};
use crate::OpenError;

/// All of them, in order: number n brings a database of version n - 1 to version n. A migration lets the version
/// before it go on reading.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_init.sql"),
    include_str!("../../migrations/sqlite/0002_the_whole_surface.sql"),
];

/// Marks the file as a board's: "Mozi".
const APPLICATION_ID: i32 = 0x4d6f_7a69;

pub(super) fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

pub(super) fn explain(path: &Path, e: &rusqlite::Error) -> OpenError {
    if is_corrupt(e) {
        OpenError::Corrupt { path: path.to_owned(), why: e.to_string() }
    } else {
        OpenError::Sql { path: path.to_owned(), message: e.to_string() }
    }
}

/// Opens a database to write to it, makes it where there is none, and brings it up to date.
pub(crate) fn open(path: &Path, new_board_id: &str) -> Result<(Connection, String), OpenError> {
    make(path)?;
    let mut connection = writing(path).map_err(|e| explain(path, &e))?;
    let found = version(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(|e| explain(path, &e))?;
    if found < known() {
        migrate(&mut connection, new_board_id).map_err(|e| explain(path, &e))?;
    }
    let board_id = query::board_id(&connection).map_err(|e| explain(path, &e))?;
    Ok((connection, board_id))
}

/// Looks at the database of a board that does not run: its id and the number of its newest event.
pub(crate) fn look(path: &Path) -> Result<(String, u64), OpenError> {
    std::fs::metadata(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| explain(path, &e))?;
    let found = version(&connection, path)?;
    if found < known() {
        return Err(OpenError::Older { path: path.to_owned(), found, known: known() });
    }
    let seq = query::last_seq(&connection).map_err(|e| explain(path, &e))?;
    Ok((query::board_id(&connection).map_err(|e| explain(path, &e))?, seq))
}

/// The file, for its owner only: it holds the work of all agents.
fn make(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Only a file that was not there is opened here: closing any descriptor of a live database drops its locks.
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

/// The version of a database that may be used here.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let read = || Ok((pragma("application_id")?, pragma("user_version")?));
    let (application, version) = read().map_err(|e: rusqlite::Error| {
        if e.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
            OpenError::Io { path: path.to_owned(), source: std::io::Error::other(e.to_string()) }
        } else {
            explain(path, &e)
        }
    })?;
    let empty = application == 0
        && version == 0
        && connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
            .is_ok_and(|n| n == 0);
    if application != APPLICATION_ID && !empty {
        return Err(OpenError::Corrupt {
            path: path.to_owned(),
            why: "this is a database of another program".into(),
        });
    }
    let found = u32::try_from(version).unwrap_or(u32::MAX);
    if found > known() {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: known() });
    }
    Ok(found)
}

fn migrate(connection: &mut Connection, new_board_id: &str) -> rusqlite::Result<()> {
    let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let found: u32 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (n, sql) in (1u32..).zip(MIGRATIONS) {
        if n > found {
            change.execute_batch(sql)?;
        }
    }
    change.execute("INSERT OR IGNORE INTO meta (only_row, board_id) VALUES (1, ?1)", [new_board_id])?;
    change.pragma_update(None, "application_id", APPLICATION_ID)?;
    change.pragma_update(None, "user_version", known())?;
    change.commit()
}
