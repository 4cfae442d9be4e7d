//! Logs of sessions, as bytes with tokens masked, for as long as somebody follows them.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderName, HeaderValue, header};
use mozi_api::{FilesError, LogChunk, LogStream, query::LogQuery};
use mozi_core::{Attempt, SessionId};

use crate::{
    Board,
    call::{Call, Outcome},
    error::ApiError,
    mask::{Masker, OVERLAP},
};

/// Where the bytes begin: further on than asked for where the beginning of the log is gone.
const OFFSET: HeaderName = HeaderName::from_static("mozi-log-offset");
/// The size of the log when the answer began.
const SIZE: HeaderName = HeaderName::from_static("mozi-log-size");
/// How much is read at once.
const CHUNK: usize = 128 * 1024;
/// How long one wait for more may take: then it is looked whether the follower is still wanted.
const WAIT: Duration = Duration::from_secs(15);

/// A log from `from` on; with `follow` until its session has ended.
pub(super) async fn answer(
    call: &Call,
    session: SessionId,
    attempt: Option<&Attempt>,
    asked: &LogQuery,
) -> Outcome {
    let stream = asked.stream.map_or(LogStream::Stdout, |s| s.0);
    let from = asked.from.unwrap_or(0);
    let session = session.to_string();
    // A token that begins before the place asked for must not show its second half.
    let before = from.saturating_sub(OVERLAP);
    let first = match call.board.files.log(&session, stream, before, CHUNK).await {
        Ok(first) => first,
        Err(FilesError::NotFound) => return left(attempt, stream, from),
        Err(e) => return Err(e.into()),
    };
    let follow = asked.follow.unwrap_or(false);
    let begins = first.offset.max(from);
    let size = first.end;
    let reader = Reader {
        board: Arc::clone(&call.board),
        session,
        stream,
        position: first.offset,
        skip: from.saturating_sub(first.offset),
        until: (!follow).then_some(size),
        masker: Masker::default(),
        next: Some(first),
        closing: Box::pin(call.closing()),
        dismissed: Box::pin(call.dismissed()),
        done: false,
    };
    let pieces = stream::unfold(reader, |mut reader| async move {
        let piece = reader.piece().await?;
        Some((piece, reader))
    });
    Ok(with_place(Body::from_stream(pieces), begins, size))
}

fn with_place(body: Body, offset: u64, size: u64) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(OFFSET, offset.into());
    headers.insert(SIZE, size.into());
    response
}

/// Where the files are gone: the last bytes, which are kept with the attempt.
fn left(attempt: Option<&Attempt>, stream: LogStream, from: u64) -> Outcome {
    let Some(attempt) = attempt else { return Err(ApiError::not_found("log of this session any more")) };
    let (text, size) = match (&attempt.tail, stream) {
        (Some(tail), LogStream::Stdout) => (tail.stdout.as_str(), tail.stdout_bytes),
        (Some(tail), LogStream::Stderr) => (tail.stderr.as_str(), tail.stderr_bytes),
        (None, _) if attempt.is_open() => ("", 0),
        (None, _) => return Err(ApiError::not_found("log of this attempt any more")),
    };
    let offset = size.saturating_sub(text.len() as u64);
    let masked = crate::mask::text(text).into_bytes();
    let skip = usize::try_from(from.saturating_sub(offset)).unwrap_or(usize::MAX).min(masked.len());
    let bytes = Bytes::from(masked).slice(skip..);
    Ok(with_place(Body::from(bytes), offset.max(from.min(size)), size))
}

struct Reader {
    board: Arc<Board>,
    session: String,
    stream: LogStream,
    /// Of the log, behind what was read.
    position: u64,
    /// Bytes that are read for the mask only.
    skip: u64,
    /// Where to end; none = with the session.
    until: Option<u64>,
    masker: Masker,
    /// What is read already.
    next: Option<LogChunk>,
    closing: BoxFuture<'static, ()>,
    dismissed: BoxFuture<'static, ()>,
    done: bool,
}

impl Reader {
    /// The next piece that is not empty.
    async fn piece(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        while !self.done {
            let chunk = match self.next.take() {
                Some(chunk) => chunk,
                None => match self.board.files.log(&self.session, self.stream, self.position, CHUNK).await {
                    Ok(chunk) => chunk,
                    // It was cleaned up while it was read: that is its end.
                    Err(FilesError::NotFound) => break,
                    Err(e) => {
                        self.done = true;
                        return Some(Err(std::io::Error::other(e)));
                    }
                },
            };
            let mut bytes = chunk.bytes;
            if let Some(until) = self.until {
                let room = usize::try_from(until.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
                bytes.truncate(room);
            }
            self.position = chunk.offset.saturating_add(bytes.len() as u64);
            if bytes.is_empty() {
                if self.until.is_some() || !chunk.live {
                    break;
                }
                let wait = self.board.files.wait_log(&self.session, self.stream, self.position, WAIT);
                tokio::select! {
                    () = wait => {}
                    () = &mut self.closing => break,
                    // Cut off, not ended: whoever follows must not believe that this was all.
                    () = &mut self.dismissed => {
                        self.done = true;
                        return Some(Err(std::io::Error::other("this credential is worth nothing any more")));
                    }
                }
                continue;
            }
            let masked = self.masker.next(&bytes);
            if let Some(piece) = self.beyond(masked) {
                return Some(Ok(piece));
            }
        }
        if self.done {
            return None;
        }
        self.done = true;
        let rest = self.masker.rest();
        self.beyond(rest).map(Ok)
    }

    /// What of it was asked for.
    fn beyond(&mut self, bytes: Vec<u8>) -> Option<Bytes> {
        let bytes = Bytes::from(bytes);
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skip as u64;
        let piece = bytes.slice(skip..);
        (!piece.is_empty()).then_some(piece)
    }
}
