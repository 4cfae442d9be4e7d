//! The contract's calls: what agents and people say of a task.

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use mozi_api::report::{CommentReply, NewComment, StatusReply, StatusReport};
use mozi_core::{Command, Reply};
use sha2::{Digest as _, Sha256};

use crate::{
    call::{Call, JSON_BYTES, Outcome, json},
    error::ApiError,
};

/// Says that this answer was given before, under the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(super) async fn status(mut call: Call) -> Outcome {
    let key = call.task()?;
    let (body, mut notes, bytes) = call.contract::<StatusReport>(JSON_BYTES).await?;
    let report = Command::Report(Box::new(body.into_report(key)));
    let answer = call.submit_once(report, || Sha256::digest(&bytes).into()).await?;
    let Reply::Status { task, attempt_number, event_id, warnings } = answer.reply else {
        return Err(ApiError::internal("the reply is no status"));
    };
    notes.extend(warnings);
    let reply = StatusReply {
        task_id: task.key.task.clone().into(),
        status: task.state.status.into(),
        attempt_number,
        event_id,
        warnings: notes,
    };
    Ok(replayed(json(StatusCode::OK, &reply)?, answer.repeated))
}

pub(super) async fn comment(mut call: Call) -> Outcome {
    let key = call.task()?;
    let (body, mut notes, bytes) = call.contract::<NewComment>(JSON_BYTES).await?;
    let comment = Command::AddComment { key, author: body.author, body: body.body };
    let answer = call.submit_once(comment, || Sha256::digest(&bytes).into()).await?;
    let Reply::Comment { comment, warnings } = answer.reply else {
        return Err(ApiError::internal("the reply is no comment"));
    };
    notes.extend(warnings);
    let reply = CommentReply {
        comment_id: comment.id,
        author: comment.author,
        created_at: comment.created_at.into(),
        warnings: notes,
    };
    Ok(replayed(json(StatusCode::CREATED, &reply)?, answer.repeated))
}

pub(super) fn replayed(mut response: Response, repeated: bool) -> Response {
    if repeated {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
