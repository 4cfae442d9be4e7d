//! Rows as lines.

use std::io;

use mozi_core::ProjectId;
use rusqlite::{
    Connection, Row,
    types::{Type, ValueRef},
};

use super::{CONTENT_HEX, Kind, Table};
use crate::{NamedBlob, ReadError};

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Why an export ended.
pub(super) enum Stopped {
    Read(rusqlite::Error),
    Write(io::Error),
}

impl From<rusqlite::Error> for Stopped {
    fn from(e: rusqlite::Error) -> Self {
        Self::Read(e)
    }
}

impl From<Stopped> for ReadError {
    fn from(s: Stopped) -> Self {
        match s {
            Stopped::Read(e) => e.into(),
            Stopped::Write(e) => Self::Unavailable(format!("the export could not be written: {e}")),
        }
    }
}

/// Gives every row of a table that belongs to a project, as a line with its end.
pub(super) fn rows(
    db: &Connection,
    table: &Table,
    project: &ProjectId,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Stopped> {
    let mut sql = "SELECT ".to_owned();
    for (name, _) in table.columns {
        sql.extend([*name, ", "]);
    }
    sql.truncate(sql.len().saturating_sub(2));
    sql.extend([" FROM ", table.from, " WHERE p.project_id = ?1 ORDER BY ", table.order]);
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([project.as_str()])?;
    let mut line = Vec::with_capacity(1024);
    while let Some(row) = rows.next()? {
        line.clear();
        write_row(row, table, &mut line)?;
        line.push(b'\n');
        take(&line).map_err(Stopped::Write)?;
    }
    Ok(())
}

fn write_row(row: &Row<'_>, table: &Table, line: &mut Vec<u8>) -> rusqlite::Result<()> {
    let wrong = |i: usize, name: &str, t: Type| rusqlite::Error::InvalidColumnType(i, name.to_owned(), t);
    line.push(b'{');
    for (i, (name, kind)) in table.columns.iter().enumerate() {
        let value = row.get_ref(i)?;
        if value == ValueRef::Null {
            continue;
        }
        if line.len() > 1 {
            line.push(b',');
        }
        let mut key = |name: &str| {
            line.push(b'"');
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(b"\":");
        };
        match (kind, value) {
            (Kind::Bytes, ValueRef::Blob(bytes)) => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    key(name);
                    string(text, line);
                } else {
                    key(CONTENT_HEX);
                    line.push(b'"');
                    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
                    line.extend(digits.filter_map(|d| HEX.get(usize::from(d))));
                    line.push(b'"');
                }
            }
            (Kind::Bool, ValueRef::Integer(n)) => {
                key(name);
                line.extend_from_slice(if n == 0 { b"false" } else { b"true" });
            }
            (Kind::Int, ValueRef::Integer(n)) => {
                key(name);
                line.extend_from_slice(n.to_string().as_bytes());
            }
            (Kind::Json, ValueRef::Text(text)) => {
                key(name);
                line.extend_from_slice(text);
            }
            (Kind::Text, ValueRef::Text(text)) => {
                key(name);
                string(std::str::from_utf8(text).map_err(|_| wrong(i, name, Type::Text))?, line);
            }
            (_, other) => return Err(wrong(i, name, other.data_type())),
        }
    }
    line.push(b'}');
    Ok(())
}

fn string(text: &str, line: &mut Vec<u8>) {
    // Nothing can go wrong with a text and a vector.
    drop(serde_json::to_writer(line, text));
}

/// The blobs that its outputs are in, each once.
pub(super) fn blobs(db: &Connection, project: &ProjectId) -> rusqlite::Result<Vec<NamedBlob>> {
    let mut named = db.prepare(
        "SELECT DISTINCT sha256, size_bytes FROM outputs WHERE project_id = ?1 AND inline = 0 ORDER BY sha256",
    )?;
    let blobs = named.query_map([project.as_str()], |row| {
        Ok(NamedBlob { sha256: row.get(0)?, size_bytes: row.get::<_, i64>(1)?.unsigned_abs() })
    })?;
    blobs.collect()
}
