//! A backup: one tar file that everybody can look into.
//!
//! ```text
//! mozi-backup.json    what this is: the version of this layout, of the database, of the program; whose board
//! mozi.db             the database as it was at one moment
//! blobs/ab/ab12…      the outputs that this database names and does not hold, each named by its hash
//! config/mozi.toml    the configuration, where there was one
//! config/prompts/…    the projects' own prompt templates
//! manifest.json       last: every file with its size and hash. Without it the archive was cut off
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use mozi_core::Timestamp;
use mozi_store::{Contents, NamedBlob};
use serde::{Deserialize, Serialize};

use super::hashing::{Hashing, sha256_of};

/// The version of this layout.
pub(crate) const FORMAT: u32 = 1;
/// What stands first.
const HEAD: &str = "mozi-backup.json";
/// What stands last.
const MANIFEST: &str = "manifest.json";
/// The database.
pub(crate) const DATABASE: &str = "mozi.db";
/// Of the configuration: more than this is none.
const CONFIG_BYTES: u64 = 16 * 1024 * 1024;
/// Of the manifest: a hundred million blobs would need more.
const MANIFEST_BYTES: u64 = 16 * 1024 * 1024 * 1024;

/// What an archive is, said at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The version of the layout.
    pub format: u32,
    /// The program that wrote it.
    pub version: String,
    /// Whose it is.
    pub board_id: String,
    /// The format of the database in it.
    pub database_format: u32,
    /// When the database was copied, RFC 3339.
    pub made_at: String,
}

/// Everything that an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// As at the beginning.
    #[serde(flatten)]
    pub head: Head,
    /// The number of the newest event.
    pub last_seq: u64,
    pub projects: u64,
    pub tasks: u64,
    pub attempts: u64,
    pub open_attempts: u64,
    pub outputs: u64,
    /// Blobs that the database names.
    pub blobs: u64,
    /// Blobs that were missing or were not what their name says.
    pub damaged: Vec<String>,
    pub files: Vec<Entry>,
}

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub path: String,
    pub size_bytes: u64,
    pub sha256: String,
}

/// What is put into an archive.
#[derive(Debug)]
pub(crate) struct Source {
    /// A copy of the database that nobody writes to.
    pub database: PathBuf,
    /// What it holds.
    pub contents: Contents,
    /// The folder of blobs.
    pub blobs: PathBuf,
    /// mozi.toml, where there is one.
    pub config: Option<PathBuf>,
    /// The folder of prompt templates.
    pub prompts: Option<PathBuf>,
    pub made_at: Timestamp,
}

/// Where a blob lies beneath the folder of blobs.
pub(crate) fn blob_path(sha256: &str) -> PathBuf {
    Path::new(sha256.get(..2).unwrap_or("xx")).join(sha256)
}

/// The hash of a file's content.
pub(crate) fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut content = Hashing::new(File::open(path)?);
    io::copy(&mut content, &mut io::sink())?;
    Ok(content.finish().0)
}

/// Writes an archive.
///
/// # Errors
/// When something cannot be read, or the archive not be written; then it has no manifest.
pub(crate) fn write(source: &Source, out: impl Write) -> io::Result<Manifest> {
    let c = &source.contents;
    let at = jiff::Timestamp::from_microsecond(source.made_at.as_micros()).unwrap_or_default();
    let head = Head {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        board_id: c.board_id.clone(),
        database_format: c.format,
        made_at: at.to_string(),
    };
    let mtime = u64::try_from(at.as_second()).unwrap_or(0);
    let mut tar = Archive { tar: tar::Builder::new(out), mtime, files: Vec::new() };
    tar.bytes(HEAD, &serde_json::to_vec_pretty(&head)?)?;
    let database = File::open(&source.database)?;
    let size = database.metadata()?.len();
    tar.file(DATABASE, database, size)?;
    let mut damaged = Vec::new();
    for NamedBlob { sha256, size_bytes } in &c.blobs {
        let below = blob_path(sha256);
        let whole = File::open(source.blobs.join(&below)).and_then(|f| {
            let size = f.metadata()?.len();
            Ok((f, size))
        });
        match whole {
            Ok((file, size)) if size == *size_bytes => {
                let written = tar.file(&format!("blobs/{}", below.display()), file, size)?;
                if written != *sha256 {
                    damaged.push(sha256.clone());
                }
            }
            Ok(_) => damaged.push(sha256.clone()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => damaged.push(sha256.clone()),
            Err(e) => return Err(e),
        }
    }
    for (name, path) in configuration(source)? {
        let mut bytes = Vec::new();
        File::open(&path)?.take(CONFIG_BYTES).read_to_end(&mut bytes)?;
        tar.bytes(&name, &bytes)?;
    }
    let manifest = Manifest {
        head,
        last_seq: c.last_seq,
        projects: c.projects,
        tasks: c.tasks,
        attempts: c.attempts,
        open_attempts: c.open_attempts,
        outputs: c.outputs,
        blobs: c.blobs.len() as u64,
        damaged,
        files: std::mem::take(&mut tar.files),
    };
    tar.bytes(MANIFEST, &serde_json::to_vec_pretty(&manifest)?)?;
    tar.tar.into_inner()?.flush()?;
    Ok(manifest)
}

/// The files of the configuration, by their name in the archive.
fn configuration(source: &Source) -> io::Result<Vec<(String, PathBuf)>> {
    let mut all = Vec::new();
    if let Some(file) = source.config.as_ref().filter(|f| f.is_file()) {
        all.push(("config/mozi.toml".to_owned(), file.clone()));
    }
    if let Some(dir) = source.prompts.as_ref().filter(|d| d.is_dir()) {
        templates(dir, "config/prompts", 0, &mut all)?;
    }
    all.sort();
    Ok(all)
}

fn templates(dir: &Path, name: &str, depth: u8, all: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // A name that is no text is none of a template.
        let Some(own) = entry.file_name().to_str().map(|n| format!("{name}/{n}")) else { continue };
        let metadata = std::fs::metadata(entry.path())?;
        if metadata.is_dir() && depth < 4 {
            templates(&entry.path(), &own, depth + 1, all)?;
        } else if metadata.is_file() && metadata.len() <= CONFIG_BYTES {
            all.push((own, entry.path()));
        }
    }
    Ok(())
}

struct Archive<W: Write> {
    tar: tar::Builder<W>,
    mtime: u64,
    files: Vec<Entry>,
}

impl<W: Write> Archive<W> {
    fn bytes(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(path, bytes, bytes.len() as u64).map(drop)
    }

    /// One file of exactly so many bytes; gives the hash of what was written.
    fn file(&mut self, path: &str, content: impl Read, size: u64) -> io::Result<String> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(self.mtime);
        header.set_entry_type(tar::EntryType::Regular);
        let mut content = Hashing::new(content.take(size));
        self.tar.append_data(&mut header, path, &mut content)?;
        let (sha256, read) = content.finish();
        if read != size {
            return Err(io::Error::other(format!("{path} became shorter while it was read")));
        }
        if path != HEAD && path != MANIFEST {
            self.files.push(Entry { path: path.to_owned(), size_bytes: size, sha256: sha256.clone() });
        }
        Ok(sha256)
    }
}

/// Why an archive is none, or is not to be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadArchive {
    #[error("this is no backup of a board: {0}")]
    NotOne(String),
    #[error("it was written by Mozi {version} in a layout (number {found}) that this version does not know")]
    Newer { found: u32, version: String },
    #[error("it is incomplete: {0}")]
    CutOff(String),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("could not read it: {0}")]
    Unreadable(io::Error),
    #[error("could not write {path}: {source}", path = path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

/// What becomes of an archive's files.
pub(crate) trait Sink {
    /// Where the database goes; none where it is only looked through.
    fn database(&self) -> Option<PathBuf>;
    /// Where a blob goes.
    fn blob(&self, sha256: &str) -> Option<PathBuf>;
}

/// Nothing is written.
pub(crate) struct Look;

impl Sink for Look {
    fn database(&self) -> Option<PathBuf> {
        None
    }
    fn blob(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub manifest: Manifest,
    /// The files of the configuration, by their path below `config/`.
    pub config: BTreeMap<String, Vec<u8>>,
}

/// Reads an archive to its end, every byte of it: it is what its manifest says, or it is not taken.
pub(crate) fn read(input: impl Read, sink: &dyn Sink) -> Result<Opened, BadArchive> {
    let mut tar = tar::Archive::new(input);
    let mut files = Vec::new();
    let mut config = BTreeMap::new();
    let mut head: Option<Head> = None;
    let not_tar = |e: &io::Error| {
        // The library has its own words for it.
        if e.kind() == io::ErrorKind::UnexpectedEof || e.to_string().contains("EOF") {
            BadArchive::CutOff("it ends in the middle of a file".to_owned())
        } else {
            BadArchive::Damaged(e.to_string())
        }
    };
    let entries = tar.entries().map_err(BadArchive::Unreadable)?;
    for entry in entries {
        let mut entry = entry.map_err(|e| match (&head, e.kind()) {
            (None, _) => BadArchive::NotOne(e.to_string()),
            (Some(_), _) => not_tar(&e),
        })?;
        let path = entry.path().ok().and_then(|p| p.to_str().map(str::to_owned)).unwrap_or_default();
        let size = entry.header().size().unwrap_or(0);
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(BadArchive::NotOne(format!("{path:?} in it is no plain file")));
        }
        let Some(of) = &head else {
            head = Some(read_head(&mut entry, &path)?);
            continue;
        };
        if path == MANIFEST {
            let manifest: Manifest = serde_json::from_reader(entry.take(MANIFEST_BYTES))
                .map_err(|e| BadArchive::Damaged(format!("its manifest: {e}")))?;
            check(of, &manifest, &files)?;
            return Ok(Opened { manifest, config });
        }
        let to = match Place::of(&path) {
            Some(Place::Database) => sink.database(),
            Some(Place::Blob(sha256)) => sink.blob(&sha256),
            Some(Place::Config(name)) if size <= CONFIG_BYTES => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(|e| not_tar(&e))?;
                files.push(Entry { path, size_bytes: bytes.len() as u64, sha256: sha256_of(&bytes) });
                config.insert(name, bytes);
                continue;
            }
            Some(Place::Config(_)) | None => {
                return Err(BadArchive::Damaged(format!("{path:?} does not belong in it")));
            }
        };
        let mut content = Hashing::new(&mut entry);
        copy(&mut content, to.as_deref())?;
        let (sha256, size_bytes) = content.finish();
        if size_bytes != size {
            return Err(BadArchive::CutOff(format!("{path} ends too early")));
        }
        files.push(Entry { path, size_bytes, sha256 });
    }
    Err(match head {
        None => BadArchive::NotOne("there is nothing in it".to_owned()),
        Some(_) => BadArchive::CutOff("its manifest, which comes last, is not there".to_owned()),
    })
}

fn read_head(entry: &mut impl Read, path: &str) -> Result<Head, BadArchive> {
    if path != HEAD {
        return Err(BadArchive::NotOne(format!("it does not begin with {HEAD}")));
    }
    let head: serde_json::Value = serde_json::from_reader(entry.take(1024 * 1024))
        .map_err(|e| BadArchive::Damaged(format!("{HEAD}: {e}")))?;
    let found = head.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if found != u64::from(FORMAT) {
        let version = head.get("version").and_then(serde_json::Value::as_str).unwrap_or("?").to_owned();
        return Err(BadArchive::Newer { found: u32::try_from(found).unwrap_or(u32::MAX), version });
    }
    serde_json::from_value(head).map_err(|e| BadArchive::Damaged(format!("{HEAD}: {e}")))
}

/// Where a file of an archive belongs. Nothing else is taken from one: no path in it is believed.
enum Place {
    Database,
    Blob(String),
    Config(String),
}

impl Place {
    fn of(path: &str) -> Option<Self> {
        if path == DATABASE {
            return Some(Self::Database);
        }
        if let Some(below) = path.strip_prefix("blobs/") {
            let sha256 = below.split_once('/')?.1;
            let is_hash =
                sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            return (is_hash && blob_path(sha256) == Path::new(below)).then(|| Self::Blob(sha256.to_owned()));
        }
        let below = path.strip_prefix("config/")?;
        let plain = below.split('/').all(|part| !matches!(part, "" | "." | ".."));
        (plain && (below == "mozi.toml" || below.starts_with("prompts/")))
            .then(|| Self::Config(below.to_owned()))
    }
}

fn copy(content: &mut impl Read, to: Option<&Path>) -> Result<(), BadArchive> {
    let mut buffer = vec![0; 256 * 1024];
    let mut file = match to {
        None => None,
        Some(path) => {
            use std::os::unix::fs::OpenOptionsExt as _;
            let unwritable = |source| BadArchive::Unwritable { path: path.to_owned(), source };
            if let Some(folder) = path.parent() {
                super::make_dir(folder).map_err(unwritable)?;
            }
            let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Some((made.map_err(unwritable)?, path))
        }
    };
    loop {
        let n = match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(BadArchive::CutOff("it ends in the middle of a file".to_owned()));
            }
            Err(e) => return Err(BadArchive::Unreadable(e)),
        };
        if let Some((file, path)) = &mut file {
            file.write_all(buffer.get(..n).unwrap_or_default())
                .map_err(|source| BadArchive::Unwritable { path: path.to_owned(), source })?;
        }
    }
}

/// Whether what was read is what the manifest says.
fn check(head: &Head, manifest: &Manifest, files: &[Entry]) -> Result<(), BadArchive> {
    let damaged = |why: String| Err(BadArchive::Damaged(why));
    if *head != manifest.head {
        return damaged("its manifest is of another archive".to_owned());
    }
    let told: BTreeMap<&str, &Entry> = manifest.files.iter().map(|f| (f.path.as_str(), f)).collect();
    let mut seen = BTreeSet::new();
    for found in files {
        match told.get(found.path.as_str()) {
            None => return damaged(format!("{} is not in its manifest", found.path)),
            Some(told) if *told != found => {
                return damaged(format!("{} is not what its manifest says", found.path));
            }
            Some(_) => {}
        }
        if !seen.insert(found.path.as_str()) {
            return damaged(format!("{} is in it twice", found.path));
        }
        // A blob is named by its hash; one that was damaged when it was saved is known to be.
        if let Some(name) = found.path.strip_prefix("blobs/").and_then(|b| b.split_once('/')).map(|(_, n)| n)
            && name != found.sha256
            && !manifest.damaged.iter().any(|d| d == name)
        {
            return damaged(format!("{} is not what its name says", found.path));
        }
    }
    if let Some(missing) = told.keys().find(|path| !seen.contains(*path)) {
        return damaged(format!("{missing} is missing"));
    }
    if !seen.contains(DATABASE) {
        return damaged("it holds no database".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
