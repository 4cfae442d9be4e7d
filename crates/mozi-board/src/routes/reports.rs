//! The contract's calls: what agents and people say of a task.

use http::StatusCode;
use mozi_api::report::{CommentReply, NewComment, StatusReply, StatusReport};
use mozi_core::{Command, Reply};

use crate::{
    call::{Call, JSON_BYTES, Outcome, etag, json},
    error::ApiError,
};

pub(super) async fn status(mut call: Call) -> Outcome {
    let key = call.task()?;
    let (body, mut notes, _) = call.contract::<StatusReport>(JSON_BYTES).await?;
    let report = Command::Report(Box::new(body.into_report(key)));
    let answer = call.submit(report).await?;
    let Reply::Status { task, attempt_number, event_id, warnings } = answer.reply else {
        return Err(ApiError::internal("the reply is no status"));
    };
    notes.extend(warnings);
    let version = task.version;
    let reply = StatusReply {
        task_id: task.key.task.clone().into(),
        status: task.state.status.into(),
        attempt_number,
        event_id,
        warnings: notes,
    };
    Ok(etag(json(StatusCode::OK, &reply)?, version))
}

pub(super) async fn comment(mut call: Call) -> Outcome {
    let key = call.task()?;
    let (body, mut notes, _) = call.contract::<NewComment>(JSON_BYTES).await?;
    let comment = Command::AddComment { key, author: body.author, body: body.body };
    let answer = call.submit(comment).await?;
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
    json(StatusCode::CREATED, &reply)
}
