//! An archive, read: every line into a database beside the board's, every blob beside the board's.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use mozi_api::import::LINE_BYTES;
use mozi_core::{ProjectId, archive::Staged};
use mozi_store::{
    BadArchive, Staging, Store,
    archive::{By, FORMAT, Named, TABLES, Table},
};
use sha2::{Digest as _, Sha256};

use super::{BLOBS, Failed, KIND, Listed, MANIFEST, Manifest, tar, write::file_name};
use crate::{
    clock::{hex, sha256_hex},
    files::{Blobs, Waiting},
};

/// The largest manifest.
const MANIFEST_BYTES: u64 = 1024 * 1024;

/// A project that is ready to be taken in.
pub(crate) struct Ready {
    pub(crate) staged: Staged,
    pub(crate) blobs: Vec<Waiting>,
}

/// Reads an archive to its end. `beside` is where its database is made.
pub(crate) fn read(
    archive: File,
    beside: &Path,
    store: &Store,
    blobs: &Blobs,
    project: ProjectId,
    by: &By,
) -> Result<Ready, Failed> {
    let mut from = BufReader::with_capacity(256 * 1024, archive);
    let manifest = manifest(&mut from)?;
    let mut staging = Staging::create(beside, project).map_err(Failed::Staging)?;
    let mut named: BTreeMap<String, u64> = BTreeMap::new();
    for table in TABLES {
        lines(&mut from, table, &manifest, &mut staging, &mut named)?;
    }
    let blobs = contents(&mut from, blobs, named)?;
    let staged = store.staged(staging, manifest.board_id, by).map_err(Failed::Staging)?;
    Ok(Ready { staged, blobs })
}

fn wrong(why: impl Into<String>) -> Failed {
    Failed::Wrong(why.into())
}

fn manifest(from: &mut impl Read) -> Result<Manifest, Failed> {
    let none = || wrong("it does not begin with the manifest of a project");
    let entry =
        tar::next(from)?.filter(|e| e.name == MANIFEST && e.size <= MANIFEST_BYTES).ok_or_else(none)?;
    let mut text = vec![0; usize::try_from(entry.size).unwrap_or(0)];
    from.read_exact(&mut text).map_err(tar::cut_off)?;
    pass(from, entry.size)?;
    // The version first: what a newer one looks like is not known.
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|_| none())?;
    let format = value.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if value.get("kind").and_then(serde_json::Value::as_str) != Some(KIND) || format == 0 {
        return Err(none());
    }
    if format > u64::from(FORMAT) {
        return Err(wrong(format!(
            "it has format {format}, this version of Mozi reads up to {FORMAT}: take it in with the version that wrote it, or a newer one"
        )));
    }
    serde_json::from_value(value).map_err(|e| wrong(format!("its manifest is damaged: {e}")))
}

/// What fills the last block of a file.
fn pass(from: &mut impl Read, size: u64) -> Result<(), Failed> {
    let mut padding = [0; tar::BLOCK];
    let padding = padding.get_mut(..tar::padding(size)).unwrap_or_default();
    from.read_exact(padding).map_err(tar::cut_off)?;
    if padding.iter().any(|b| *b != 0) {
        return Err(wrong("it is damaged: something stands between two files"));
    }
    Ok(())
}

/// One table's file: every line a row, all of them as the manifest says.
fn lines(
    from: &mut impl BufRead,
    table: &Table,
    manifest: &Manifest,
    staging: &mut Staging,
    named: &mut BTreeMap<String, u64>,
) -> Result<(), Failed> {
    let name = file_name(table.name);
    let entry = tar::next(from)?.filter(|e| e.name == name);
    let entry = entry.ok_or_else(|| wrong(format!("{name} is not where it should be")))?;
    let mut hash = Sha256::new();
    let mut count = 0_u64;
    let mut line = Vec::new();
    let mut left = entry.size;
    while left > 0 {
        line.clear();
        let longest = left.min(LINE_BYTES as u64);
        let read = from.by_ref().take(longest).read_until(b'\n', &mut line).map_err(tar::cut_off)?;
        if read == 0 {
            return Err(wrong("it is cut off: its end is missing"));
        }
        count += 1;
        let at = |why: &str| wrong(format!("line {count} of {name}: {why}"));
        if line.pop() != Some(b'\n') {
            return Err(at("it has no end"));
        }
        left -= read as u64;
        hash.update(&line);
        hash.update(b"\n");
        let row = staging.row(table, &line).map_err(|e| match e {
            BadArchive::Wrong(why) => at(&why),
            other => Failed::Staging(other),
        })?;
        if let Some(output) = row {
            content_of(output, named).map_err(at)?;
        }
    }
    pass(from, entry.size)?;
    let real = Listed { lines: count, size_bytes: entry.size, sha256: hex(&hash.finalize()) };
    if manifest.files.get(&name) != Some(&real) {
        return Err(wrong(format!("{name} is not as the manifest says: it was changed or damaged")));
    }
    Ok(())
}

/// Small contents are looked at here, the others are waited for.
fn content_of(output: Named, named: &mut BTreeMap<String, u64>) -> Result<(), &'static str> {
    match output.inline {
        Some(bytes) if bytes.len() as u64 != output.size_bytes || sha256_hex(&bytes) != output.sha256 => {
            Err("its content is not what its hash says")
        }
        Some(_) => Ok(()),
        None => match named.insert(output.sha256, output.size_bytes) {
            Some(other) if other != output.size_bytes => Err("the same content has two sizes"),
            _ => Ok(()),
        },
    }
}

/// The blobs, each once and no other.
fn contents(
    from: &mut impl Read,
    blobs: &Blobs,
    mut named: BTreeMap<String, u64>,
) -> Result<Vec<Waiting>, Failed> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    while let Some(entry) = tar::next(from)? {
        let sha256 = entry.name.strip_prefix(BLOBS).unwrap_or_default().to_owned();
        if named.remove(&sha256) != Some(entry.size) {
            return Err(wrong(format!("{:?} belongs to no output", entry.name)));
        }
        let mut incoming = blobs.incoming_blob(entry.size);
        let mut left = entry.size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            let piece = buffer.get_mut(..most).unwrap_or_default();
            from.read_exact(piece).map_err(tar::cut_off)?;
            incoming.push(piece)?;
            left -= most as u64;
        }
        pass(from, entry.size)?;
        let waiting = incoming.wait()?;
        if waiting.sha256() != sha256 {
            return Err(wrong(format!("the content of {:?} is not what its name says", entry.name)));
        }
        all.push(waiting);
    }
    match named.keys().next() {
        None => Ok(all),
        Some(missing) => Err(wrong(format!("the content {missing} of an output is missing"))),
    }
}
