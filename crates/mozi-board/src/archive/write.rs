//! A project, written.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
};

use mozi_api::task::CreateTask;
use mozi_core::ProjectId;
use mozi_store::{
    NamedBlob, Store,
    archive::{FORMAT, TABLES},
};
use sha2::{Digest as _, Sha256};

use super::{BLOBS, BlobSum, FOLDER, Failed, KIND, Listed, MANIFEST, Manifest, tar};
use crate::{clock::hex, files::Blobs};

/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// An archive that is ready to be sent: all lines are on the disk, the blobs lie where they are.
pub(crate) struct Archive {
    beginning: Vec<u8>,
    /// Whole entries, already as they are to be sent.
    lines: File,
    lines_bytes: u64,
    blobs: Vec<NamedBlob>,
    store: Blobs,
}

/// Who writes it, for its manifest.
pub(crate) struct About {
    pub(crate) mozi_version: String,
    pub(crate) exported_at: String,
}

/// Puts all lines of a project on the disk, as they are at one moment.
pub(crate) fn prepare(
    store: &Store,
    blobs: &Blobs,
    project: &ProjectId,
    about: About,
) -> Result<Archive, Failed> {
    let mut to = Out::new(blobs.scratch()?);
    let named = store.export(project, |table, line| {
        if to.open.as_ref().is_none_or(|f| f.name != table.name) {
            to.begin(table.name)?;
        }
        to.line(line)
    })?;
    let (lines, lines_bytes, files) = to.end()?;
    let mut sum = BlobSum::default();
    for blob in &named {
        let size = blobs.read(&blob.sha256).and_then(|f| blobs.size(&f, &blob.sha256));
        if !matches!(size, Ok(size) if size == blob.size_bytes) {
            return Err(Failed::Io(io::Error::other(format!(
                "the file of an output is missing or damaged: {}; `mozi doctor` says of which",
                blob.sha256
            ))));
        }
        sum.count += 1;
        sum.size_bytes += blob.size_bytes;
    }
    let manifest = Manifest {
        kind: KIND.into(),
        format: FORMAT,
        mozi_version: about.mozi_version,
        board_id: store.board_id().to_owned(),
        project_id: project.to_string(),
        exported_at: about.exported_at,
        files,
        blobs: sum,
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
    let mut beginning = tar::header(MANIFEST, text.len() as u64)?.to_vec();
    beginning.extend_from_slice(&text);
    beginning.extend(std::iter::repeat_n(0, tar::padding(text.len() as u64)));
    Ok(Archive { beginning, lines, lines_bytes, blobs: named, store: blobs.clone() })
}

/// Puts the tasks of a project on the disk as new ones, one a line; with the size of it all.
pub(crate) fn prepare_tasks(
    store: &Store,
    blobs: &Blobs,
    project: &ProjectId,
) -> Result<(File, u64), Failed> {
    let mut to = BufWriter::with_capacity(PIECE, blobs.scratch()?);
    let mut size = 0_u64;
    let mut failed = None;
    store.new_tasks(project, |task, depends_on| {
        let mut line = CreateTask::again(task, depends_on).canonical();
        line.push('\n');
        size += line.len() as u64;
        failed = to.write_all(line.as_bytes()).err();
        failed.is_none()
    })?;
    if let Some(e) = failed {
        return Err(e.into());
    }
    let mut file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok((file, size))
}

/// Gives so much of a file, piece by piece. Blocks; ends early where nobody takes any more.
pub(crate) fn send(mut file: File, size: u64, mut take: impl FnMut(Vec<u8>) -> bool) -> io::Result<()> {
    pieces(&mut file, size, &mut take).map(|_| ())
}

/// The files of lines, one behind the other.
struct Out {
    to: BufWriter<File>,
    at: u64,
    open: Option<Open>,
    files: BTreeMap<String, Listed>,
}

struct Open {
    name: &'static str,
    header_at: u64,
    lines: u64,
    size: u64,
    hash: Sha256,
}

impl Out {
    fn new(file: File) -> Self {
        Self { to: BufWriter::with_capacity(PIECE, file), at: 0, open: None, files: BTreeMap::new() }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    /// Begins a file; those between it and the one before are empty.
    fn begin(&mut self, name: &'static str) -> io::Result<()> {
        self.close()?;
        let done = self.files.len();
        for skipped in TABLES.iter().skip(done).take_while(|t| t.name != name) {
            self.start(skipped.name)?;
            self.close()?;
        }
        self.start(name)
    }

    fn start(&mut self, name: &'static str) -> io::Result<()> {
        self.open = Some(Open { name, header_at: self.at, lines: 0, size: 0, hash: Sha256::new() });
        self.put(&[0; tar::BLOCK])
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            open.lines += 1;
            open.size += line.len() as u64;
            open.hash.update(line);
        }
        self.put(line)
    }

    /// Its size is known now: the block before it is written.
    fn close(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.put(&vec![0; tar::padding(open.size)])?;
        let name = file_name(open.name);
        self.to.seek(SeekFrom::Start(open.header_at))?;
        self.to.write_all(&tar::header(&name, open.size)?)?;
        self.to.seek(SeekFrom::Start(self.at))?;
        let about = Listed { lines: open.lines, size_bytes: open.size, sha256: hex(&open.hash.finalize()) };
        self.files.insert(name, about);
        Ok(())
    }

    fn end(mut self) -> io::Result<(File, u64, BTreeMap<String, Listed>)> {
        self.begin("")?;
        // What was begun last is none.
        self.at -= tar::BLOCK as u64;
        let mut file = self.to.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok((file, self.at, self.files))
    }
}

/// A table's file.
pub(super) fn file_name(table: &str) -> String {
    format!("{FOLDER}{table}.jsonl")
}

impl Archive {
    /// Its whole size.
    pub(crate) fn size(&self) -> u64 {
        let blob = |b: &NamedBlob| tar::BLOCK as u64 + b.size_bytes + tar::padding(b.size_bytes) as u64;
        let blobs: u64 = self.blobs.iter().map(blob).sum();
        self.beginning.len() as u64 + self.lines_bytes + blobs + tar::END.len() as u64
    }

    /// Gives it piece by piece. Blocks; ends early where nobody takes any more.
    pub(crate) fn send(mut self, mut take: impl FnMut(Vec<u8>) -> bool) -> io::Result<()> {
        if !take(std::mem::take(&mut self.beginning)) {
            return Ok(());
        }
        if !pieces(&mut self.lines, self.lines_bytes, &mut take)? {
            return Ok(());
        }
        for blob in &self.blobs {
            let mut file = self.store.read(&blob.sha256).map_err(io::Error::other)?;
            let header = tar::header(&format!("{BLOBS}{}", blob.sha256), blob.size_bytes)?.to_vec();
            let sent = take(header)
                && pieces(&mut file, blob.size_bytes, &mut take)?
                && take(vec![0; tar::padding(blob.size_bytes)]);
            if !sent {
                return Ok(());
            }
        }
        take(tar::END.to_vec());
        Ok(())
    }
}

fn pieces(from: &mut File, size: u64, take: &mut impl FnMut(Vec<u8>) -> bool) -> io::Result<bool> {
    let mut left = size;
    while left > 0 {
        let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
        from.read_exact(&mut piece)?;
        left -= piece.len() as u64;
        if !take(piece) {
            return Ok(false);
        }
    }
    Ok(true)
}
