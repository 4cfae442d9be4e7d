//! Blobs that nothing names: of uploads that were refused or cut off while the board was killed.

use std::{fs, io, path::Path, time::UNIX_EPOCH};

use mozi_core::Timestamp;
use mozi_store::{ReadError, Store};

use super::Blobs;

/// A blob that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed {
    /// Its name.
    pub sha256: String,
    /// Its size.
    pub size_bytes: u64,
}

impl Blobs {
    /// The folder of blobs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Blobs that no output names and that were written before this time: what is on its way is younger.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn unnamed(&self, store: &Store, before: Timestamp) -> Result<Vec<Unnamed>, ReadError> {
        let this = self.clone();
        let old = tokio::task::spawn_blocking(move || this.older(before)).await;
        let mut unnamed = Vec::new();
        for blob in old.unwrap_or_default() {
            if !store.blob_used(&blob.sha256).await? {
                unnamed.push(blob);
            }
        }
        Ok(unnamed)
    }

    fn older(&self, before: Timestamp) -> Vec<Unnamed> {
        let folders = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let two = folders.filter(|e| e.file_name().len() == 2);
        let files = two.flat_map(|e| fs::read_dir(e.path()).into_iter().flatten().flatten());
        files
            .filter_map(|file| {
                let sha256 = file.file_name().into_string().ok().filter(|n| n.len() == 64)?;
                let size_bytes = size_if_older(&file.path(), before)?;
                Some(Unnamed { sha256, size_bytes })
            })
            .collect()
    }

    /// Removes a blob that nothing named a moment ago, unless it was written anew since or is on its way.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn remove_unnamed(&self, sha256: &str, before: Timestamp) -> io::Result<bool> {
        // Held locked until it is gone: an upload of the same content writes it anew, before or after.
        let pins = self.lock();
        let path = self.path(sha256);
        if pins.contains_key(sha256) || size_if_older(&path, before).is_none() {
            return Ok(false);
        }
        fs::remove_file(path)?;
        Ok(true)
    }
}

fn size_if_older(path: &Path, before: Timestamp) -> Option<u64> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let written = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let is_old = i64::try_from(written.as_micros()).is_ok_and(|at| at < before.as_micros());
    is_old.then_some(metadata.len())
}
