//! Many tasks at once, as JSON lines; or a whole project, as an archive. What it is, its content says.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    mem,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use mozi_api::{
    import::{ImportReply, LINE_BYTES, Lines},
    query::ImportQuery,
};
use mozi_core::{
    Command, Identity, ProjectId, Reply, UserRole,
    command::{IMPORT_TASKS, ImportTasks},
};
use mozi_store::archive::By;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::{
    archive::{
        Failed, is_tar,
        read::{Ready, read},
    },
    call::{Call, Outcome, all_of, json},
    clock::sha256_hex,
    error::ApiError,
    files::Waiting,
};

/// The largest body of JSON lines: with at most 100,000 tasks, 2.6 KiB for each.
const LINES_BYTES: u64 = 256 * 1024 * 1024;
/// The largest archive. It goes to the disk as it comes; beyond this somebody sends without end.
const ARCHIVE_BYTES: u64 = 256 * 1024 * 1024 * 1024;
/// How much is written at once.
const CHUNK: usize = 1024 * 1024;

pub(super) async fn import(mut call: Call) -> Outcome {
    let project = call.project()?;
    let query = ImportQuery::parse(call.query())?;
    let check_only = query.dry_run.unwrap_or(false);
    let who = call.identify().await?;
    if matches!(who, Identity::Unknown) {
        // Before megabytes are taken in for nobody. Whether it may is decided with the command.
        return Err(ApiError::unauthenticated("this token is not known, or not any more"));
    }
    // Held in memory whole, or on the disk: few at once.
    let board = Arc::clone(&call.board);
    let _turn =
        board.large_bodies.acquire().await.map_err(|_| ApiError::unavailable("the board is closing"))?;
    let beginning = beginning(&mut call).await?;
    if is_tar(&beginning) {
        return archive(call, project, beginning.freeze(), &who, check_only).await;
    }
    let taken = timeout(all_of(LINES_BYTES), read_lines(&mut call, &project, beginning.freeze())).await;
    let (lines, digest) = taken.unwrap_or_else(|_| Err(ApiError::timeout()))?;
    let Lines { good, bad, .. } = lines;
    let command = Command::ImportTasks(Box::new(ImportTasks { project, lines: good, bad, check_only }));
    let answer = call.submit_once(command, digest).await?;
    let Reply::Imported { created, existing, warnings } = answer.reply else {
        return Err(ApiError::internal("the reply is no import"));
    };
    json(StatusCode::OK, &ImportReply { created, existing, were_live: 0, dry_run: check_only, warnings })
}

/// As much of the body as tells what it is.
async fn beginning(call: &mut Call) -> Result<BytesMut, ApiError> {
    let mut beginning = BytesMut::new();
    while beginning.len() < 512 {
        match timeout(call.pause(), call.piece()).await.map_err(|_| ApiError::timeout())?? {
            Some(piece) => beginning.extend_from_slice(&piece),
            None => break,
        }
    }
    Ok(beginning)
}

/// The whole body, line by line as it comes, and the digest of what must be the same again.
async fn read_lines(
    call: &mut Call,
    project: &ProjectId,
    beginning: Bytes,
) -> Result<(Lines, [u8; 32]), ApiError> {
    let mut reader = Reader::new(project.clone());
    let mut hash = Sha256::new();
    hash.update(call.query().as_bytes());
    let mut size = 0_u64;
    let mut next = Some(beginning);
    while let Some(piece) = next {
        size += piece.len() as u64;
        if size > LINES_BYTES {
            return Err(ApiError::too_large("the body", LINES_BYTES));
        }
        hash.update(&piece);
        reader.push(&piece);
        if reader.lines.count() > IMPORT_TASKS {
            return Err(ApiError::invalid(
                "body",
                format_args!("holds more than {IMPORT_TASKS} tasks: split it"),
            ));
        }
        // A piece may hold hundreds of lines: others have their turn between.
        tokio::task::yield_now().await;
        next = call.piece().await?;
    }
    Ok((reader.end(), hash.finalize().into()))
}

// --- a whole project -------------------------------------------------------------------------------------------

async fn archive(
    mut call: Call,
    project: ProjectId,
    beginning: Bytes,
    who: &Identity,
    check_only: bool,
) -> Outcome {
    let is_admin = matches!(who, Identity::User { role: UserRole::Admin, project: None, .. });
    if !is_admin {
        // It brings people's words and decisions with it: who may do that may restore a board.
        return Err(ApiError::forbidden("only an admin of all projects may take in a whole project"));
    }
    call.person_only().await?;
    let taken = timeout(all_of(ARCHIVE_BYTES), to_disk(&mut call, beginning)).await;
    let (file, digest) = taken.unwrap_or_else(|_| Err(ApiError::timeout()))?;
    if let Some(reply) = call.recall(digest).await? {
        return shown(reply, 0, check_only);
    }
    let via = call.via()?;
    let by =
        By { actor: who.actor(Some(&via)), now: call.board.clock.now(), chance: call.board.clock.chance()? };
    let board = Arc::clone(&call.board);
    let to = project.clone();
    let ready = tokio::task::spawn_blocking(move || {
        let beside = board.blobs.temporary()?;
        let ready = read(file, beside.path(), &board.store, &board.blobs, to, &by);
        ready.map(|ready| (ready, beside))
    });
    let ready = ready.await.map_err(|e| ApiError::internal(&format!("reading an archive failed: {e}")))?;
    let (Ready { staged, blobs }, beside) = ready?;
    let were_live = staged.were_live;
    if check_only {
        let there = call.board.store.project(&project).await?;
        if there.is_some_and(|p| p.counts != mozi_core::task::StatusCounts::default()) {
            return Err(mozi_core::Refusal::ProjectNotEmpty { project: project.to_string() }.into());
        }
        let project = Box::new(staged.project);
        return shown(Reply::Project { project, created: false }, were_live, true);
    }
    let named = tokio::task::spawn_blocking(move || {
        blobs.into_iter().map(Waiting::name).collect::<Result<Vec<_>, _>>()
    });
    let pins = named.await.map_err(|e| ApiError::internal(&format!("keeping outputs failed: {e}")))??;
    let answer = call.submit_once(Command::AdoptProject(Box::new(staged)), digest).await;
    drop(beside);
    match answer {
        Ok(answer) => {
            pins.iter().for_each(crate::files::Pin::committed);
            shown(answer.reply, were_live, false)
        }
        Err(e) => {
            for pin in pins {
                super::outputs::give_up(&call, pin).await;
            }
            Err(e)
        }
    }
}

fn shown(reply: Reply, were_live: u64, dry_run: bool) -> Outcome {
    let Reply::Project { project, .. } = reply else {
        return Err(ApiError::internal("the reply is no project"));
    };
    let created = project.counts.to_array().into_iter().fold(0, u64::saturating_add);
    json(StatusCode::OK, &ImportReply { created, existing: 0, were_live, dry_run, warnings: Vec::new() })
}

/// The whole body, on the disk, and the digest of what must be the same again.
async fn to_disk(call: &mut Call, beginning: Bytes) -> Result<(File, [u8; 32]), ApiError> {
    let mut hash = Sha256::new();
    hash.update(call.query().as_bytes());
    let blobs = call.board.blobs.clone();
    let mut file = tokio::task::spawn_blocking(move || blobs.scratch())
        .await
        .map_err(|e| ApiError::internal(&format!("keeping an archive failed: {e}")))??;
    let mut size = 0_u64;
    let mut next = Some(beginning);
    let mut waiting = Vec::new();
    while let Some(piece) = next {
        size += piece.len() as u64;
        if size > ARCHIVE_BYTES {
            return Err(ApiError::too_large("the archive", ARCHIVE_BYTES));
        }
        hash.update(&piece);
        waiting.extend_from_slice(&piece);
        next = call.piece().await?;
        if waiting.len() >= CHUNK || next.is_none() {
            let bytes = mem::take(&mut waiting);
            let written = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file));
            let written =
                written.await.map_err(|e| ApiError::internal(&format!("keeping an archive failed: {e}")))?;
            file = written.map_err(Failed::Io)?;
        }
    }
    file.rewind().map_err(Failed::Io)?;
    Ok((file, hash.finalize().into()))
}

/// Cuts pieces into lines.
struct Reader {
    project: ProjectId,
    lines: Lines,
    /// The beginning of a line whose end has not come.
    rest: BytesMut,
    /// The line that is read is too long: the rest of it is passed over.
    skipping: bool,
}

impl Reader {
    fn new(project: ProjectId) -> Self {
        Self { project, lines: Lines::default(), rest: BytesMut::new(), skipping: false }
    }

    fn push(&mut self, piece: &Bytes) {
        let mut left = &piece[..];
        while let Some(end) = left.iter().position(|b| *b == b'\n') {
            let (line, after) = left.split_at(end);
            self.line(line);
            left = after.get(1..).unwrap_or_default();
        }
        if self.rest.len() + left.len() > LINE_BYTES {
            self.skipping = true;
            self.rest.clear();
        } else if !self.skipping {
            self.rest.extend_from_slice(left);
        }
    }

    fn line(&mut self, end: &[u8]) {
        if mem::take(&mut self.skipping) || self.rest.len() + end.len() > LINE_BYTES {
            self.rest.clear();
            self.lines.too_long();
        } else if self.rest.is_empty() {
            self.lines.read(end, &self.project, |text| sha256_hex(text.as_bytes()));
        } else {
            self.rest.extend_from_slice(end);
            let line = mem::take(&mut self.rest);
            self.lines.read(&line, &self.project, |text| sha256_hex(text.as_bytes()));
        }
    }

    fn end(mut self) -> Lines {
        if self.skipping || !self.rest.is_empty() {
            self.line(&[]);
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Lines {
        let mut reader = Reader::new("p".parse().unwrap());
        for piece in pieces {
            reader.push(&Bytes::copy_from_slice(piece));
        }
        reader.end()
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = b"{\"title\":\"a\"}\n\n{\"titel\":\"b\"}\r\n{\"title\":\"\xe4\xb8\xad\",\"task_id\":\"c\"}\nno\n{\"title\":\"d\"}";
        for cut in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(cut).collect();
            let lines = read(&pieces);
            let good: Vec<_> = lines.good.iter().map(|l| (l.line, l.task.spec.title.as_str())).collect();
            assert_eq!(good, [(1, "a"), (4, "\u{4e2d}"), (6, "d")]);
            let bad: Vec<_> = lines.bad.iter().map(|b| (b.line, b.field.as_str())).collect();
            assert_eq!(bad, [(3, "titel"), (5, "line")]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_not_kept() {
        let long = vec![b'x'; LINE_BYTES / 2 + 1];
        let lines =
            read(&[b"{\"title\":\"a\"}\n", &long, &long, &long, b"\n{\"title\":\"b\"}\n", &long, &long]);
        assert_eq!(lines.good.len(), 2);
        let bad: Vec<_> = lines.bad.iter().map(|b| b.line).collect();
        assert_eq!(bad, [2, 4]);
    }
}
