//! A whole project as one file: a tar of JSON lines and blobs, with a manifest before them.

use std::{collections::BTreeMap, io};

use mozi_store::BadArchive;
use serde::{Deserialize, Serialize};

use crate::{error::ApiError, files::BlobError};

pub(crate) mod read;
mod tar;
pub(crate) mod write;

pub use tar::is_tar;

/// What the manifest calls it.
const KIND: &str = "mozi-project";
/// All names begin so.
const FOLDER: &str = "mozi/";
/// The first entry.
const MANIFEST: &str = "mozi/manifest.json";
/// Blobs are named by their hash beneath this.
const BLOBS: &str = "mozi/blobs/";

/// What an archive says of itself, before all else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    kind: String,
    /// The version of the lines and of this.
    format: u32,
    mozi_version: String,
    board_id: String,
    project_id: String,
    exported_at: String,
    files: BTreeMap<String, Listed>,
    blobs: BlobSum,
}

/// One file of lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    lines: u64,
    size_bytes: u64,
    sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct BlobSum {
    count: u64,
    size_bytes: u64,
}

/// Why a file does not become a project, or a project no file.
#[derive(Debug)]
pub(crate) enum Failed {
    /// What it holds.
    Wrong(String),
    /// The disk.
    Blob(BlobError),
    /// The database beside the board's.
    Staging(BadArchive),
    /// The board's.
    Store(mozi_store::ReadError),
    /// A file of ours.
    Io(io::Error),
}

impl From<BlobError> for Failed {
    fn from(e: BlobError) -> Self {
        Self::Blob(e)
    }
}
impl From<io::Error> for Failed {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}
impl From<mozi_store::ReadError> for Failed {
    fn from(e: mozi_store::ReadError) -> Self {
        Self::Store(e)
    }
}

impl From<Failed> for ApiError {
    fn from(f: Failed) -> Self {
        match f {
            Failed::Wrong(why) | Failed::Staging(BadArchive::Wrong(why)) => {
                Self::invalid("archive", format_args!("cannot be taken in: {why}"))
            }
            Failed::Blob(e) => e.into(),
            Failed::Store(e) => e.into(),
            Failed::Staging(BadArchive::Full) => Self::storage_full(),
            Failed::Io(e) if e.kind() == io::ErrorKind::StorageFull => Self::storage_full(),
            Failed::Io(e) => Self::internal(&format!("an archive on its way: {e}")),
            Failed::Staging(e @ BadArchive::Failed(_)) => Self::internal(&e.to_string()),
        }
    }
}
