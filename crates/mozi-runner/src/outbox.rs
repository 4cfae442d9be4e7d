//! Reports that wait for the board: whole requests in files, delivered in order.
//!
//! `mozi report` and its like put a request here when the board does not answer; the next such command or the runner
//! delivers it. A file is the request's head as one line of JSON, then its body as it stands. It holds a token, so it
//! is 0600 and goes as soon as it is delivered. One lock for the folder keeps the order.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mozi_api::Client;
use serde::{Deserialize, Serialize};

use crate::error::FileError;
use crate::workspace::MARKER;

mod send;

pub use send::{Answered, Sent};

/// The format of the files.
const VERSION: u32 = 1;
/// So long a command waits for the board before it leaves its report here.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// A larger head is not one.
const HEAD_LIMIT: u64 = 64 * 1024;
/// A larger request is not kept (the board would not take it either).
const BODY_LIMIT: u64 = 96 * 1024 * 1024;
const LOCK: &str = "lock";
const ENTRY: &str = ".request";
const REFUSED: &str = ".refused.json";

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `POST`, say.
    pub method: String,
    /// The path with its query, from `/api` on.
    pub path: String,
    /// The bearer token.
    pub token: crate::Secret,
    /// What the body is.
    pub content_type: String,
    /// The key under which it is repeated without being done twice.
    pub idempotency_key: String,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    method: String,
    path: String,
    token: String,
    content_type: String,
    idempotency_key: String,
    body_bytes: u64,
}

/// A kept request that the board has refused. It holds neither token nor body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// `POST`, say.
    pub method: String,
    /// The path.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// The code of the problem, if it had one.
    pub code: Option<String>,
    /// The problem in words.
    pub detail: String,
}

/// What came of delivering.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// So many were taken.
    pub taken: usize,
    /// So many were refused.
    pub refused: usize,
    /// So many are left, because the board did not answer.
    pub left: usize,
    /// Why it did not, in words.
    pub why: Option<String>,
}

/// What came of a request that may be kept.
#[derive(Debug)]
pub enum Submitted {
    /// The board has answered: taken or refused.
    Answered(Answered),
    /// The board did not answer; the request waits behind this many others.
    Kept {
        /// So many were there before.
        behind: usize,
        /// Why it did not, in words.
        why: String,
    },
}

/// A folder of requests that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    dir: PathBuf,
}

/// The lock of an outbox, held.
struct Held {
    #[expect(dead_code, reason = "the lock is free when the file is closed")]
    file: File,
}

impl Outbox {
    /// The outbox in this folder, which may not be there yet.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The outbox of an agent's command: `primary` (`MOZI_OUTBOX`) where it can be written to, else the fallback in the
    /// workspace, which is made and kept out of git. `here` is the workspace (`MOZI_WORKSPACE`) or a folder in it.
    ///
    /// # Errors
    /// If neither can be written to.
    pub fn for_agent(primary: Option<&Path>, here: &Path, session_id: &str) -> Result<Self, FileError> {
        if let Some(dir) = primary
            && Self::at(dir).open_lock().is_ok()
        {
            return Ok(Self::at(dir));
        }
        // An agent may have gone down into its workspace; whoever delivers looks at the top of it.
        let top = here.ancestors().find(|dir| dir.join(MARKER).is_file());
        let workspace = top.unwrap_or(here);
        let fallback = Self::fallback(workspace, session_id);
        make_private(&fallback.dir)?;
        exclude_from_git(workspace);
        fallback.open_lock()?;
        Ok(fallback)
    }

    /// The place in a workspace for an agent that cannot write into its session's folder.
    pub fn fallback(workspace: &Path, session_id: &str) -> Self {
        Self::at(workspace.join(".mozi").join(format!("outbox-{session_id}")))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Nothing waits, and nothing refused is still to be told. One that is not there is empty.
    pub fn is_empty(&self) -> bool {
        self.names(ENTRY).is_ok_and(|names| names.is_empty())
            && self.names(REFUSED).is_ok_and(|names| names.is_empty())
    }

    /// Puts a request behind the others, durably.
    ///
    /// # Errors
    /// If it cannot be written or is too large.
    pub async fn enqueue(&self, entry: Entry) -> Result<usize, FileError> {
        let this = self.clone();
        blocking(&self.dir, move || {
            let _held = this.lock()?;
            this.append(&entry)
        })
        .await
    }

    /// Sends a request at once if nothing waits and the board answers within `patience`; puts it behind the others
    /// otherwise. What waits is delivered first.
    ///
    /// # Errors
    /// If it can neither be sent nor kept.
    pub async fn submit(
        &self,
        client: &Client,
        entry: Entry,
        patience: Duration,
    ) -> Result<Submitted, FileError> {
        let this = self.clone();
        let held = blocking(&self.dir, move || this.lock()).await?;
        let earlier = self.deliver_held(client, patience).await?;
        let why = match earlier.why {
            Some(why) => why,
            None => match send::send(client, &entry, patience).await {
                Sent::Answered(answer) => return Ok(Submitted::Answered(answer)),
                Sent::NoAnswer(why) => why,
            },
        };
        let this = self.clone();
        let behind = blocking(&self.dir, move || this.append(&entry)).await?;
        drop(held);
        Ok(Submitted::Kept { behind, why })
    }

    /// Delivers what waits, in order, until the board does not answer. What it refuses becomes a [`Refused`].
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub async fn deliver(&self, client: &Client, patience: Duration) -> Result<Delivered, FileError> {
        if self.names(ENTRY)?.is_empty() {
            return Ok(Delivered::default());
        }
        let this = self.clone();
        let held = blocking(&self.dir, move || this.lock()).await?;
        let delivered = self.deliver_held(client, patience).await;
        drop(held);
        delivered
    }

    async fn deliver_held(&self, client: &Client, patience: Duration) -> Result<Delivered, FileError> {
        let mut done = Delivered::default();
        let names = self.names(ENTRY)?;
        let count = names.len();
        for (at, name) in names.into_iter().enumerate() {
            let path = self.dir.join(&name);
            let from = path.clone();
            let refused = match blocking(&self.dir, move || Ok(read_entry(&from))).await? {
                Ok(entry) => match send::send(client, &entry, patience).await {
                    Sent::NoAnswer(why) => {
                        return Ok(Delivered { left: count - at, why: Some(why), ..done });
                    }
                    Sent::Answered(answer) => answer.refusal(&entry),
                },
                // Written durably or not at all: whatever this is, it will not become a request.
                Err(error) => Some(Refused {
                    method: String::new(),
                    path: name.clone(),
                    status: 0,
                    code: None,
                    detail: format!("could not {error}"),
                }),
            };
            if let Some(refused) = refused {
                let told = self.dir.join(name.replace(ENTRY, REFUSED));
                let text = serde_json::to_vec(&refused).unwrap_or_default();
                write_durably(&told, &text)?;
                done.refused += 1;
            } else {
                done.taken += 1;
            }
            fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        }
        Ok(done)
    }

    /// What was refused and is still to be told, oldest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn refused(&self) -> Result<Vec<(String, Refused)>, FileError> {
        let read = |name: String| {
            let text = read_limited(&self.dir.join(&name), HEAD_LIMIT).ok()?;
            Some((name, serde_json::from_slice(&text).ok()?))
        };
        Ok(self.names(REFUSED)?.into_iter().filter_map(read).collect())
    }

    /// Forgets a refused one that has been told.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn forget(&self, name: &str) -> Result<(), FileError> {
        let path = self.dir.join(name);
        fs::remove_file(&path).map_err(FileError::at("remove", &path))
    }

    fn append(&self, entry: &Entry) -> Result<usize, FileError> {
        let body_bytes = u64::try_from(entry.body.len()).unwrap_or(u64::MAX);
        if body_bytes > BODY_LIMIT {
            return Err(FileError::at("keep the report in", &self.dir)(io::ErrorKind::FileTooLarge.into()));
        }
        let head = Head {
            version: VERSION,
            method: entry.method.clone(),
            path: entry.path.clone(),
            token: entry.token.expose().to_owned(),
            content_type: entry.content_type.clone(),
            idempotency_key: entry.idempotency_key.clone(),
            body_bytes,
        };
        let names = self.names(ENTRY)?;
        let last = names.last().and_then(|name| name.strip_suffix(ENTRY)?.parse::<u64>().ok()).unwrap_or(0);
        // A refused one that is still to be told keeps its place in the order, too.
        let told = self.names(REFUSED)?;
        let told = told.last().and_then(|name| name.strip_suffix(REFUSED)?.parse::<u64>().ok()).unwrap_or(0);
        let mut bytes = serde_json::to_vec(&head)
            .map_err(|error| FileError::at("keep the report in", &self.dir)(error.into()))?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&entry.body);
        write_durably(&self.dir.join(format!("{:020}{ENTRY}", last.max(told) + 1)), &bytes)?;
        Ok(names.len())
    }

    /// Names in order; temporary files and the lock are passed over.
    fn names(&self, suffix: &str) -> Result<Vec<String>, FileError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(FileError::at("read", &self.dir)(source)),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.ends_with(suffix) && !name.starts_with('.'))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn open_lock(&self) -> Result<File, FileError> {
        let path = self.dir.join(LOCK);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(FileError::at("open", &path))
    }

    fn lock(&self) -> Result<Held, FileError> {
        let file = self.open_lock()?;
        file.lock().map_err(FileError::at("lock", &self.dir))?;
        Ok(Held { file })
    }
}

/// Runs what waits for locks and disks on a thread for that.
async fn blocking<T: Send + 'static>(
    dir: &Path,
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(FileError::at("use", dir)(io::Error::other(error))),
    }
}

fn read_entry(path: &Path) -> Result<Entry, FileError> {
    let bytes = read_limited(path, BODY_LIMIT + HEAD_LIMIT)?;
    let wrong = |why: String| FileError::at("read", path)(io::Error::new(io::ErrorKind::InvalidData, why));
    let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| wrong("it has no head".into()))?;
    let (head, body) = bytes.split_at(end);
    let head: Head = serde_json::from_slice(head).map_err(|error| wrong(error.to_string()))?;
    let body = body.get(1..).unwrap_or_default().to_vec();
    if head.version > VERSION {
        return Err(wrong(format!("a newer mozi wrote it (format {})", head.version)));
    }
    if u64::try_from(body.len()).ok() != Some(head.body_bytes) {
        return Err(wrong("its body is cut off".into()));
    }
    Ok(Entry {
        method: head.method,
        path: head.path,
        token: crate::Secret::new(head.token),
        content_type: head.content_type,
        idempotency_key: head.idempotency_key,
        body,
    })
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(FileError::at("read", path))?;
    Ok(bytes)
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    mozi_supervise::durable_write(path, bytes)
        .map_err(|error| FileError::at("write", path)(io::Error::other(error)))
}

fn make_private(dir: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(FileError::at("make", dir))
}

/// Names `.mozi/` in the repository's own exclude file, if the workspace is the top of one. Its failure costs a line in
/// `git status`, no more.
fn exclude_from_git(workspace: &Path) {
    const LINE: &str = "/.mozi/";
    let info = workspace.join(".git").join("info");
    if !info.is_dir() {
        return;
    }
    let path = info.join("exclude");
    let there = fs::read_to_string(&path).unwrap_or_default();
    if there.lines().any(|line| line.trim() == LINE) {
        return;
    }
    let gap = if there.is_empty() || there.ends_with('\n') { "" } else { "\n" };
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(&path) {
        drop(writeln!(file, "{gap}{LINE}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u32) -> Entry {
        Entry {
            method: "POST".into(),
            path: format!("/api/projects/p/tasks/{n}/comments"),
            token: crate::Secret::new("mozi_a_x"),
            content_type: "application/json".into(),
            idempotency_key: n.to_string(),
            body: b"{\"body\":\"a\nb\"}".to_vec(),
        }
    }

    #[test]
    fn entries_come_back_whole_in_order_and_private() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::at(dir.path());
        assert!(outbox.is_empty());
        for n in 0..12 {
            assert_eq!(outbox.append(&entry(n)).unwrap(), n as usize);
        }
        let names = outbox.names(ENTRY).unwrap();
        for (n, name) in (0..12).zip(&names) {
            assert_eq!(read_entry(&dir.path().join(name)).unwrap(), entry(n));
            assert_eq!(dir.path().join(name).metadata().unwrap().mode() & 0o777, 0o600);
        }
        assert!(!outbox.is_empty());
    }

    #[test]
    fn a_cut_off_or_newer_file_is_no_request() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::at(dir.path());
        outbox.append(&entry(1)).unwrap();
        let path = dir.path().join(&outbox.names(ENTRY).unwrap()[0]);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(read_entry(&path).is_err(), "{cut}");
        }
        let newer = String::from_utf8(whole).unwrap().replace("\"version\":1", "\"version\":9");
        fs::write(&path, newer).unwrap();
        assert!(read_entry(&path).unwrap_err().to_string().contains("newer"));
    }

    #[test]
    fn the_fallback_is_used_only_where_the_first_place_is_closed_and_git_does_not_see_it() {
        let dir = tempfile::tempdir().unwrap();
        let (primary, workspace) = (dir.path().join("outbox"), dir.path().join("ws"));
        fs::create_dir_all(workspace.join(".git/info")).unwrap();
        fs::create_dir(&primary).unwrap();
        let first = Outbox::for_agent(Some(&primary), &workspace, "s").unwrap();
        assert_eq!(first.path(), primary);
        fs::remove_dir_all(&primary).unwrap();
        for _ in 0..2 {
            let second = Outbox::for_agent(Some(&primary), &workspace, "s").unwrap();
            assert_eq!(second.path(), workspace.join(".mozi/outbox-s"));
        }
        fs::create_dir(workspace.join("deep")).unwrap();
        fs::write(workspace.join(MARKER), "").unwrap();
        let deep = Outbox::for_agent(None, &workspace.join("deep"), "s").unwrap();
        assert_eq!(deep.path(), workspace.join(".mozi/outbox-s"));
        assert_eq!(fs::read_to_string(workspace.join(".git/info/exclude")).unwrap(), "/.mozi/\n");
    }
}
