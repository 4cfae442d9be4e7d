//! Outputs on disk: blobs, named by the SHA-256 of their content.
//!
//! A blob is written and synced under a name of its own and only then gets its name: what has a name is whole.
//! The commit that mentions it comes after.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

use crate::clock::{hex, new_secret};

pub use unnamed::Unnamed;

mod unnamed;

/// Contents up to this size are kept in the database.
pub(crate) const INLINE_BYTES: u64 = 32 * 1024;

/// Why an output could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is larger than allowed.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// How large it may be.
        limit: u64,
    },
    /// Its source could not be read.
    #[error("its content could not be read: {0}")]
    Source(io::Error),
    /// The disk did not take it.
    #[error("{path}: {source}", path = path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder of blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: Arc<Path>,
    /// Blobs of uploads under way: how many, and whether one of them was committed meanwhile.
    pins: Arc<Mutex<HashMap<String, Pinned>>>,
}

#[derive(Debug, Default)]
struct Pinned {
    uploads: usize,
    committed: bool,
}

/// An output's content, kept.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Small: goes into the database.
    Inline { sha256: String, bytes: Vec<u8> },
    /// On disk, held until its commit.
    Blob { sha256: String, size: u64, pin: Pin },
}

/// Holds a blob while the command that mentions it is on its way.
#[derive(Debug)]
pub(crate) struct Pin {
    blobs: Blobs,
    sha256: String,
}

impl Kept {
    /// The hash of its content.
    pub(crate) fn sha256(&self) -> &str {
        match self {
            Self::Inline { sha256, .. } | Self::Blob { sha256, .. } => sha256,
        }
    }
}

impl Pin {
    /// The hash of what it holds.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The command was committed: the blob stays.
    pub(crate) fn committed(&self) {
        if let Some(p) = self.blobs.lock().get_mut(&self.sha256) {
            p.committed = true;
        }
    }

    /// The command was refused and nothing in the database mentions the blob: it goes, unless somebody else is
    /// about to mention it.
    pub(crate) fn discard(&self) -> io::Result<()> {
        let pins = self.blobs.lock();
        match pins.get(&self.sha256) {
            // Held locked until it is gone: a new upload of the same content then writes it anew.
            Some(p) if p.uploads == 1 && !p.committed => fs::remove_file(self.blobs.path(&self.sha256)),
            _ => Ok(()),
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.blobs.lock();
        if let Some(p) = pins.get_mut(&self.sha256) {
            p.uploads -= 1;
            if p.uploads == 0 {
                pins.remove(&self.sha256);
            }
        }
    }
}

/// A content on its way to the disk: kept in memory while it is small.
pub(crate) struct Incoming {
    blobs: Blobs,
    limit: u64,
    size: u64,
    hash: Sha256,
    /// Never in memory, however small.
    always: bool,
    small: Vec<u8>,
    file: Option<(File, Temporary)>,
}

/// A blob on the disk that has not got its name: whoever drops it removes it.
pub(crate) struct Waiting {
    blobs: Blobs,
    sha256: String,
    size: u64,
    temporary: Temporary,
}

/// A file that is removed unless it got its name.
pub(crate) struct Temporary {
    path: PathBuf,
    named: bool,
}

impl Temporary {
    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named
            && let Err(e) = fs::remove_file(&self.path)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("could not remove {}: {e}", self.path.display());
        }
    }
}

impl Blobs {
    /// The blobs beneath a data folder.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(data_dir: &Path) -> Result<Self, BlobError> {
        let dir = data_dir.join("blobs");
        let incoming = dir.join("incoming");
        make_dir(&incoming)?;
        // What was on its way when the board last ended is not mentioned by anything.
        for entry in fs::read_dir(&incoming).map_err(at(&incoming))? {
            let path = entry.map_err(at(&incoming))?.path();
            fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok(Self { dir: dir.into(), pins: Arc::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Pinned>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(sha256.get(..2).unwrap_or("xx")).join(sha256)
    }

    /// The file of a blob.
    pub(crate) fn read(&self, sha256: &str) -> Result<File, BlobError> {
        let path = self.path(sha256);
        File::open(&path).map_err(at(&path))
    }

    /// The size of a blob's file.
    #[expect(clippy::unused_self, reason = "files of blobs are looked at here alone")]
    pub(crate) fn size(&self, file: &File, sha256: &str) -> Result<u64, BlobError> {
        file.metadata().map(|m| m.len()).map_err(at(Path::new(sha256)))
    }

    /// A file without a name, gone with whoever holds it.
    pub(crate) fn scratch(&self) -> Result<File, BlobError> {
        let name = self.temporary()?;
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(true).mode(0o600);
        open.open(&name.path).map_err(at(&name.path))
    }

    /// A name for what is on its way: removed with what is dropped, and whatever becomes of this process.
    pub(crate) fn temporary(&self) -> Result<Temporary, BlobError> {
        let name = new_secret("").map_err(|e| BlobError::Source(io::Error::other(e)))?;
        Ok(Temporary { path: self.dir.join("incoming").join(name), named: false })
    }

    /// Begins to take in a content of at most `limit` bytes.
    pub(crate) fn incoming(&self, limit: u64) -> Incoming {
        let (hash, small) = (Sha256::new(), Vec::new());
        Incoming { blobs: self.clone(), limit, size: 0, hash, always: false, small, file: None }
    }

    /// The same for what is a blob, however small.
    pub(crate) fn incoming_blob(&self, limit: u64) -> Incoming {
        Incoming { always: true, ..self.incoming(limit) }
    }
}

impl Incoming {
    /// The next piece. Blocks on the disk once the content is large.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        self.size += piece.len() as u64;
        if self.size > self.limit {
            return Err(BlobError::TooLarge { limit: self.limit });
        }
        self.hash.update(piece);
        if self.file.is_none() && !self.always && self.size <= INLINE_BYTES {
            self.small.extend_from_slice(piece);
            return Ok(());
        }
        if self.file.is_none() {
            let (mut file, temporary) = self.create()?;
            file.write_all(&self.small).map_err(at(&temporary.path))?;
            self.small = Vec::new();
            self.file = Some((file, temporary));
        }
        match &mut self.file {
            Some((file, temporary)) => file.write_all(piece).map_err(at(&temporary.path)),
            None => Ok(()),
        }
    }

    fn create(&self) -> Result<(File, Temporary), BlobError> {
        let temporary = self.blobs.temporary()?;
        let path = &temporary.path;
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o400).open(path).map_err(at(path))?;
        Ok((file, temporary))
    }

    /// Everything that a reader gives.
    pub(crate) fn read_from(mut self, mut source: impl Read) -> Result<Kept, BlobError> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return self.keep(),
                Ok(n) => self.push(buffer.get(..n).unwrap_or_default())?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(BlobError::Source(e)),
            }
        }
    }

    /// The whole content, kept: on disk and under its name if it is large.
    pub(crate) fn keep(mut self) -> Result<Kept, BlobError> {
        if self.file.is_none() {
            return Ok(Kept::Inline { sha256: hex(&self.hash.finalize()), bytes: self.small });
        }
        self.always = true;
        let waiting = self.wait()?;
        let (sha256, size) = (waiting.sha256.clone(), waiting.size);
        let pin = waiting.name()?;
        Ok(Kept::Blob { sha256, size, pin })
    }

    /// The whole content, on disk and synced, without its name yet.
    pub(crate) fn wait(self) -> Result<Waiting, BlobError> {
        let (file, temporary) = match self.file {
            Some(there) => there,
            None => self.create()?,
        };
        file.sync_all().map_err(at(&temporary.path))?;
        Ok(Waiting { sha256: hex(&self.hash.finalize()), blobs: self.blobs, size: self.size, temporary })
    }
}

impl Waiting {
    /// The hash of its content.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Gives it its name, to be held until its commit.
    pub(crate) fn name(mut self) -> Result<Pin, BlobError> {
        let path = self.blobs.path(&self.sha256);
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        let mut pins = self.blobs.lock();
        pins.entry(self.sha256.clone()).or_default().uploads += 1;
        let pin = Pin { blobs: self.blobs.clone(), sha256: self.sha256.clone() };
        // The same content under the same name: whoever reads it sees no difference.
        #[expect(clippy::disallowed_methods, reason = "synced before, and its folder after")]
        let renamed = fs::rename(&self.temporary.path, &path);
        drop(pins);
        renamed.map_err(at(&path))?;
        self.temporary.named = true;
        if let Some(parent) = path.parent() {
            sync_dir(parent)?;
        }
        Ok(pin)
    }
}

fn make_dir(path: &Path) -> Result<(), BlobError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(path: &Path) -> Result<(), BlobError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Disk { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names.extend(files(&path));
            } else {
                names.push(path.file_name().unwrap().to_str().unwrap().into());
            }
        }
        names
    }

    #[test]
    fn small_contents_stay_in_memory_and_large_ones_get_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let Kept::Inline { sha256, bytes } = blobs.incoming(100).read_from(&b"abc"[..]).unwrap() else {
            panic!()
        };
        assert_eq!((sha256.get(..8).unwrap(), bytes.as_slice()), ("ba7816bf", &b"abc"[..]));
        assert_eq!(files(dir.path()), Vec::<String>::new());

        let large = vec![7u8; 100_000];
        let Kept::Blob { sha256, size, pin } = blobs.incoming(200_000).read_from(&large[..]).unwrap() else {
            panic!()
        };
        assert_eq!(size, 100_000);
        assert_eq!(files(dir.path()), std::slice::from_ref(&sha256));
        let mut back = Vec::new();
        blobs.read(&sha256).unwrap().read_to_end(&mut back).unwrap();
        assert_eq!(back, large);
        pin.committed();
        drop(pin);
        assert!(blobs.lock().is_empty());
    }

    #[test]
    fn what_is_too_large_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let refused = blobs.incoming(99_999).read_from(&vec![0u8; 100_000][..]);
        assert!(matches!(refused, Err(BlobError::TooLarge { limit: 99_999 })));
        assert_eq!(files(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn a_refused_upload_goes_unless_another_needs_it() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let take = || match blobs.incoming(200_000).read_from(&vec![1u8; 50_000][..]).unwrap() {
            Kept::Blob { pin, .. } => pin,
            Kept::Inline { .. } => panic!(),
        };
        let (first, second) = (take(), take());
        first.discard().unwrap();
        assert_eq!(files(dir.path()).len(), 1, "the second still needs it");
        drop(first);
        second.discard().unwrap();
        assert_eq!(files(dir.path()).len(), 0);
        drop(second);
        let (third, fourth) = (take(), take());
        third.committed();
        drop(third);
        fourth.discard().unwrap();
        assert_eq!(files(dir.path()).len(), 1, "the third was committed");
    }
}
