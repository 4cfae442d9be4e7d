//! Many tasks at once, as JSON lines.

use std::mem;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use mozi_api::{
    import::{ImportReply, LINE_BYTES, Lines},
    query::ImportQuery,
};
use mozi_core::{
    Command, Identity, ProjectId, Reply,
    command::{IMPORT_TASKS, ImportTasks},
};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::{
    call::{Call, Outcome, all_of, json},
    clock::sha256_hex,
    error::ApiError,
};

/// The largest body of JSON lines: with at most 100,000 tasks, 2.6 KiB for each.
const LINES_BYTES: u64 = 256 * 1024 * 1024;

pub(super) async fn import(mut call: Call) -> Outcome {
    let project = call.project()?;
    let query = ImportQuery::parse(call.query())?;
    if matches!(call.identify().await?, Identity::Unknown) {
        // Before megabytes are taken in for nobody. Whether it may is decided with the command.
        return Err(ApiError::unauthenticated("this token is not known, or not any more"));
    }
    // Held in memory whole: few at once.
    let board = std::sync::Arc::clone(&call.board);
    let _turn =
        board.large_bodies.acquire().await.map_err(|_| ApiError::unavailable("the board is closing"))?;
    let taken = timeout(all_of(LINES_BYTES), read_lines(&mut call, &project)).await;
    let (lines, digest) = taken.unwrap_or_else(|_| Err(ApiError::timeout()))?;
    let Lines { good, bad, .. } = lines;
    let check_only = query.dry_run.unwrap_or(false);
    let command = Command::ImportTasks(Box::new(ImportTasks { project, lines: good, bad, check_only }));
    let answer = call.submit_once(command, digest).await?;
    let Reply::Imported { created, existing, warnings } = answer.reply else {
        return Err(ApiError::internal("the reply is no import"));
    };
    let reply = ImportReply { created, existing, dry_run: check_only, warnings };
    json(StatusCode::OK, &reply)
}

/// The whole body, line by line as it comes, and the digest of what must be the same again.
async fn read_lines(call: &mut Call, project: &ProjectId) -> Result<(Lines, [u8; 32]), ApiError> {
    let mut reader = Reader::new(project.clone());
    let mut hash = Sha256::new();
    hash.update(call.query().as_bytes());
    let mut size = 0_u64;
    while let Some(piece) = call.piece().await? {
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
    }
    Ok((reader.end(), hash.finalize().into()))
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
