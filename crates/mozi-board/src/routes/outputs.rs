//! Outputs: taken in as JSON, as an uploaded file or from a file of the session, and given back byte by byte.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, FromRequest as _, Multipart},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use mozi_api::report::{NewOutput, OutputReply};
use mozi_core::{Command, Identity, OutputType, Reply, TaskKey, command, output::Content};
use sha2::{Digest as _, Sha256};
use tokio::{sync::SemaphorePermit, time::timeout};

use crate::{
    Board,
    call::{Call, JSON_BYTES, Outcome, all_of, json},
    error::ApiError,
    files::{BlobError, Incoming, Kept, Pin},
};

/// The largest content of an output.
const OUTPUT_BYTES: u64 = 64 * 1024 * 1024;
/// The largest text field of an upload.
const FIELD_BYTES: usize = 64 * 1024;
/// How much of a blob is read at once.
const CHUNK: usize = 256 * 1024;

/// What an upload says of its file.
#[derive(Default)]
struct About {
    agent: Option<String>,
    output_type: Option<OutputType>,
    title: Option<String>,
    summary: Option<String>,
    file_name: Option<String>,
    warnings: Vec<String>,
}

pub(super) async fn add(mut call: Call) -> Outcome {
    let key = call.task()?;
    let large = is_large(&call);
    if large && matches!(call.identify().await?, Identity::Unknown) {
        // Before megabytes are taken in for nobody. Whether it may add an output is decided with the command.
        return Err(ApiError::unauthenticated("this token is not known, or not any more"));
    }
    if call.is_multipart() {
        let taken = timeout(all_of(OUTPUT_BYTES), upload(&mut call)).await;
        let (about, kept) = taken.unwrap_or_else(|_| Err(ApiError::timeout()))?;
        let digest = about.digest(&kept)?;
        return submit(&call, key, about, kept, digest).await;
    }
    let board = Arc::clone(&call.board);
    // Held in memory whole: few at once.
    let _turn = if large { Some(turn(&board).await?) } else { None };
    let (body, warnings, bytes) = call.contract::<NewOutput>(OUTPUT_BYTES + JSON_BYTES).await?;
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    drop(bytes);
    let mut about = About {
        agent: body.agent,
        output_type: Some(body.output_type.0),
        title: Some(body.title),
        summary: body.summary,
        file_name: None,
        warnings,
    };
    let kept = match (body.content, body.content_path) {
        (Some(content), None) => {
            let incoming = call.board.blobs.incoming(OUTPUT_BYTES);
            blocking(move || incoming.read_from(content.as_bytes())).await?
        }
        (None, Some(path)) => {
            about.file_name = path.rsplit('/').next().map(str::to_owned);
            call.check_name(about.agent.as_deref()).await?;
            match from_session(&call, &key, path, digest).await? {
                Taken::Now(kept) => kept,
                Taken::Before(reply) => return shown(reply, about.warnings),
            }
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("content", "and `content_path` are both given: give one of them"));
        }
        (None, None) => return Err(ApiError::invalid("content", "or `content_path` is needed")),
    };
    submit(&call, key, about, kept, digest).await
}

/// More than other bodies may have, or it does not say.
fn is_large(call: &Call) -> bool {
    let announced = call.head.headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    announced.is_none_or(|n| n > JSON_BYTES)
}

async fn turn(board: &Board) -> Result<SemaphorePermit<'_>, ApiError> {
    board.large_bodies.acquire().await.map_err(|_| ApiError::unavailable("the board is closing"))
}

async fn blocking(work: impl FnOnce() -> Result<Kept, BlobError> + Send + 'static) -> Result<Kept, ApiError> {
    let kept = tokio::task::spawn_blocking(work).await;
    Ok(kept.map_err(|e| ApiError::internal(&format!("keeping an output failed: {e}")))??)
}

/// What an attempt names by its path.
enum Taken {
    Now(Kept),
    /// The request is a repetition: the file may have changed or gone since.
    Before(Reply),
}

/// The file that an attempt names, opened by its runner. The token is looked at before anything is opened, and again
/// when the output is added.
async fn from_session(call: &Call, key: &TaskKey, path: String, digest: [u8; 32]) -> Result<Taken, ApiError> {
    let not_found = || ApiError::not_found(format_args!("task {} for this token", key.task));
    let number = match call.identify().await? {
        Identity::Attempt { key: own, number, .. } if own == *key => number,
        Identity::Attempt { .. } => return Err(not_found()),
        Identity::User { .. } => {
            return Err(ApiError::path_refused(
                "a path is taken from an attempt only: upload the file instead",
            ));
        }
        Identity::Unknown | Identity::Board | Identity::Runner(_) => {
            return Err(ApiError::unauthenticated("this token is not known, or not any more"));
        }
    };
    if let Some(reply) = call.recall(digest).await? {
        return Ok(Taken::Before(reply));
    }
    let attempt = call.board.store.attempt(key, number).await?.ok_or_else(not_found)?;
    if let Some(why) = over(&attempt) {
        return Err(mozi_core::Refusal::AttemptClosed { number, why }.into());
    }
    let session = attempt.session_id.to_string();
    let file = call.board.files.open_output(&session, &path, OUTPUT_BYTES).await.map_err(|e| match e {
        mozi_api::FilesError::NotFound => ApiError::path_refused("there is no such file in the workspace"),
        other => other.into(),
    })?;
    let incoming = call.board.blobs.incoming(OUTPUT_BYTES);
    Ok(Taken::Now(blocking(move || incoming.read_from(file)).await?))
}

fn over(attempt: &mozi_core::Attempt) -> Option<String> {
    if let Some(outcome) = attempt.outcome {
        return Some(format!("it has ended: {outcome}"));
    }
    attempt.revoked_at?;
    Some(attempt.revoked_why.clone().unwrap_or_else(|| "its task was taken from it".into()))
}

/// An upload in `multipart/form-data`: fields beside one file. The file goes to the disk as it comes.
async fn upload(call: &mut Call) -> Result<(About, Kept), ApiError> {
    let pause = call.pause();
    let mut request = http::Request::new(call.take_body());
    *request.headers_mut() = call.head.headers.clone();
    DefaultBodyLimit::max(usize::try_from(OUTPUT_BYTES + JSON_BYTES).unwrap_or(usize::MAX))
        .apply(&mut request);
    let wrong = |e: &dyn std::fmt::Display, status: StatusCode| match status {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large("the upload", OUTPUT_BYTES),
        _ => ApiError::bad_request(format!("the upload is not understood: {e}")),
    };
    let mut parts =
        Multipart::from_request(request, &()).await.map_err(|e| wrong(&e.body_text(), e.status()))?;
    let mut about = About::default();
    let mut kept = None;
    loop {
        let next = timeout(pause, parts.next_field()).await.map_err(|_| ApiError::timeout())?;
        let Some(mut part) = next.map_err(|e| wrong(&e.body_text(), e.status()))? else { break };
        let name = part.name().unwrap_or_default().to_owned();
        let is_content = matches!(name.as_str(), "file" | "content");
        if is_content && kept.is_some() {
            return Err(ApiError::invalid(&name, "is given twice"));
        }
        if is_content {
            about.file_name = part.file_name().filter(|n| !n.is_empty()).map(base_name);
        }
        let mut incoming = is_content.then(|| call.board.blobs.incoming(OUTPUT_BYTES));
        let mut text = Vec::new();
        while let Some(piece) = timeout(pause, part.chunk())
            .await
            .map_err(|_| ApiError::timeout())?
            .map_err(|e| wrong(&e.body_text(), e.status()))?
        {
            match incoming.take() {
                Some(before) => incoming = Some(push(before, piece).await?),
                None if text.len() + piece.len() > FIELD_BYTES => {
                    return Err(ApiError::invalid(&name, format_args!("is longer than {FIELD_BYTES} bytes")));
                }
                None => text.extend_from_slice(&piece),
            }
        }
        match incoming {
            Some(whole) => kept = Some(blocking(move || whole.keep()).await?),
            None => about.field(&name, text)?,
        }
    }
    let kept = kept.ok_or_else(|| ApiError::invalid("file", "is needed"))?;
    Ok((about, kept))
}

/// Small pieces stay in memory; those of a large file are written where that may take its time.
async fn push(mut incoming: Incoming, piece: Bytes) -> Result<Incoming, ApiError> {
    let pushed = tokio::task::spawn_blocking(move || incoming.push(&piece).map(|()| incoming)).await;
    Ok(pushed.map_err(|e| ApiError::internal(&format!("keeping an output failed: {e}")))??)
}

fn base_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}

impl About {
    fn field(&mut self, name: &str, value: Vec<u8>) -> Result<(), ApiError> {
        let text = String::from_utf8(value).map_err(|_| ApiError::invalid(name, "is not UTF-8"))?;
        if text.contains('\0') {
            return Err(ApiError::invalid(name, "must not contain NUL characters"));
        }
        match name {
            "agent" => self.agent = Some(text),
            "title" => self.title = Some(text),
            "summary" => self.summary = Some(text).filter(|t| !t.is_empty()),
            "type" => {
                let words: Vec<_> = OutputType::ALL.iter().map(|t| t.as_str()).collect();
                let wrong = || ApiError::invalid("type", format_args!("is one of {}", words.join(", ")));
                self.output_type = Some(OutputType::parse(text.trim()).ok_or_else(wrong)?);
            }
            other => {
                let name: String = other.chars().take(100).collect();
                self.warnings.push(format!("the field {name:?} is not known and was ignored"));
            }
        }
        Ok(())
    }

    /// What makes two uploads the same: not the boundary between their parts.
    fn digest(&self, kept: &Kept) -> Result<[u8; 32], ApiError> {
        let parts = (
            &self.agent,
            self.output_type.map(OutputType::as_str),
            &self.title,
            &self.summary,
            &self.file_name,
            kept.sha256(),
        );
        let bytes = serde_json::to_vec(&parts)
            .map_err(|e| ApiError::internal(&format!("could not write JSON: {e}")))?;
        Ok(Sha256::digest(bytes).into())
    }
}

async fn submit(call: &Call, key: TaskKey, about: About, kept: Kept, digest: [u8; 32]) -> Outcome {
    let output_type = about.output_type.ok_or_else(|| ApiError::invalid("type", "is needed"))?;
    let title = about.title.ok_or_else(|| ApiError::invalid("title", "is needed"))?;
    let (sha256, size_bytes, content, pin) = match kept {
        Kept::Inline { sha256, bytes } => (sha256, bytes.len() as u64, Content::Inline(bytes), None),
        Kept::Blob { sha256, size, pin } => (sha256, size, Content::Blob, Some(pin)),
    };
    let new = command::NewOutput {
        key,
        output_type,
        title,
        summary: about.summary,
        file_name: about.file_name,
        sha256,
        size_bytes,
        content,
        claimed_agent: about.agent,
    };
    let answer = match call.submit_once(Command::AddOutput(Box::new(new)), digest).await {
        Ok(answer) => answer,
        Err(e) => {
            if let Some(pin) = pin {
                give_up(call, pin).await;
            }
            return Err(e);
        }
    };
    if let Some(pin) = pin {
        pin.committed();
    }
    shown(answer.reply, about.warnings)
}

fn shown(reply: Reply, mut notes: Vec<String>) -> Outcome {
    let Reply::Output { output, warnings } = reply else {
        return Err(ApiError::internal("the reply is no output"));
    };
    notes.extend(warnings);
    let reply = OutputReply {
        output_id: output.id,
        size_bytes: output.size_bytes,
        sha256: output.sha256,
        warnings: notes,
    };
    json(StatusCode::CREATED, &reply)
}

/// Removes the blob of a refused output, unless something mentions it. Where that is not known, it stays.
pub(super) async fn give_up(call: &Call, pin: Pin) {
    let unused = matches!(call.board.store.blob_used(pin.sha256()).await, Ok(false));
    if !unused {
        return;
    }
    if let Ok(Err(e)) = tokio::task::spawn_blocking(move || pin.discard()).await {
        tracing::warn!("could not remove the file of a refused output: {e}");
    }
}

// --- giving back ----------------------------------------------------------------------------------------------

pub(super) async fn content(call: Call) -> Outcome {
    let key = call.task()?;
    let id: u32 = call.path("id", "output")?;
    let output = call.board.store.output(&key, id).await?;
    let output =
        output.ok_or_else(|| ApiError::not_found(format_args!("output {id} of task {}", key.task)))?;
    let tag = format!("\"{}\"", output.sha256);
    let size = output.size_bytes;
    let range = match range(&call, &tag, size) {
        Ok(range) => range,
        Err(e) => return Err(e),
    };
    let (from, to) = range.unwrap_or((0, size));
    let body = match output.content {
        Content::Inline(bytes) => {
            let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
            Body::from(Bytes::copy_from_slice(bytes.get(at(from)..at(to)).unwrap_or_default()))
        }
        Content::Blob => blob(&call, &output.sha256, from, to).await?,
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let name = output.file_name.as_deref().unwrap_or(&output.title);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, attachment(name));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::CONTENT_LENGTH, (to - from).into());
    headers.extend(HeaderValue::from_str(&tag).ok().map(|v| (header::ETAG, v)));
    if range.is_some() {
        let place = format!("bytes {from}-{}/{size}", to.saturating_sub(1));
        headers.extend(HeaderValue::from_str(&place).ok().map(|v| (header::CONTENT_RANGE, v)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The one range that was asked for, as from and to (not included). Several at once are answered whole.
fn range(call: &Call, tag: &str, size: u64) -> Result<Option<(u64, u64)>, ApiError> {
    let header = |name| call.head.headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let Some(asked) = header(header::RANGE).and_then(|v| v.strip_prefix("bytes=")) else { return Ok(None) };
    if asked.contains(',') || header(header::IF_RANGE).is_some_and(|v| v != tag) {
        return Ok(None);
    }
    let Some((first, last)) = asked.trim().split_once('-') else { return Ok(None) };
    let range = match (first.parse::<u64>().ok(), last.parse::<u64>().ok()) {
        (Some(from), None) if last.is_empty() => (from, size),
        (Some(from), Some(to)) if from <= to => (from, to.saturating_add(1).min(size)),
        (None, Some(suffix)) if first.is_empty() => (size.saturating_sub(suffix), size),
        _ => return Ok(None),
    };
    if range.0 < range.1 {
        return Ok(Some(range));
    }
    let place = HeaderValue::from_str(&format!("bytes */{size}"));
    let error = ApiError::range_not_satisfiable(size);
    Err(match place {
        Ok(place) => error.header(header::CONTENT_RANGE, place),
        Err(_) => error,
    })
}

/// A name for the file, which no browser is to show: ASCII for the old ones, UTF-8 for the others.
fn attachment(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .take(150)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' })
        .collect();
    let name: String = name.chars().take(150).collect();
    let full = mozi_api::query::escape(&name);
    let value = HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"));
    value.unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

/// A part of a blob, read as it is sent.
async fn blob(call: &Call, sha256: &str, from: u64, to: u64) -> Result<Body, ApiError> {
    let (blobs, name) = (call.board.blobs.clone(), sha256.to_owned());
    let opened = tokio::task::spawn_blocking(move || {
        let mut file = blobs.read(&name)?;
        file.seek(SeekFrom::Start(from)).map_err(BlobError::Source)?;
        Ok::<_, BlobError>(file)
    });
    let file = opened.await.map_err(|e| ApiError::internal(&format!("opening an output failed: {e}")))??;
    let pieces = stream::unfold((Some(file), to - from), |(file, left)| async move {
        let mut file = file.filter(|_| left > 0)?;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; wanted];
            file.read_exact(&mut buffer).map(|()| (buffer, file))
        });
        match read.await.map_err(std::io::Error::other).and_then(|r| r) {
            Ok((buffer, file)) => Some((Ok(Bytes::from(buffer)), (Some(file), left - wanted as u64))),
            Err(e) => {
                tracing::error!("could not read an output: {e}");
                Some((Err(e), (None, 0)))
            }
        }
    });
    Ok(Body::from_stream(pieces))
}
