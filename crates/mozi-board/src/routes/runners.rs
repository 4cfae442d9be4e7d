//! What runners say: hello, what their sessions do, goodbye.

use http::StatusCode;
use mozi_api::{
    runner::{
        EndSession, Hello, HelloReply, OpenSession, RunnerNotice, SessionNote, StartedSession, TakeSession,
    },
    session::Session,
};
use mozi_core::{Attempt, Command, Reply};

use super::poll;
use crate::{
    call::{Call, Outcome, json},
    clock::sha256_hex,
    error::ApiError,
};

pub(super) async fn hello(mut call: Call) -> Outcome {
    let runner = call.runner()?;
    let body: Hello = call.json().await?;
    call.submit(body.into_command(runner)).await?;
    let board_id = call.board.store.board_id().to_owned();
    json(StatusCode::OK, &HelloReply { board_id, version: call.board.config.version.clone() })
}

pub(super) async fn sessions(call: Call) -> Outcome {
    let work = call.board.store.runner_work(&call.runner()?).await?;
    let now = call.board.clock.now();
    let open: Vec<_> = work.open.iter().map(|(s, a)| OpenSession::new(s, a.as_ref(), now)).collect();
    json(StatusCode::OK, &open)
}

fn session_of(reply: Reply) -> Result<(mozi_core::Session, Option<Attempt>), ApiError> {
    match reply {
        Reply::Session { session, attempt } => Ok((*session, attempt.map(|a| *a))),
        _ => Err(ApiError::internal("the reply is no session")),
    }
}

pub(super) async fn take(mut call: Call) -> Outcome {
    let session_id = call.session()?;
    let body: TakeSession = call.json().await?;
    let command = Command::TakeSession { session_id, token_hash: body.token_sha256.0 };
    let (session, attempt) = session_of(call.submit(command).await?.reply)?;
    json(StatusCode::OK, &poll::assignment(&call.board, &session, attempt.as_ref()).await?)
}

pub(super) async fn started(mut call: Call) -> Outcome {
    let session_id = call.session()?;
    let body: StartedSession = call.json().await?;
    let (session, _) = session_of(call.submit(body.into_command(session_id)).await?.reply)?;
    json(StatusCode::OK, &Session::from(&session))
}

pub(super) async fn note(mut call: Call) -> Outcome {
    let session_id = call.session()?;
    let body: SessionNote = call.json().await?;
    let answer = call.submit(body.into_command(session_id)?).await?;
    let session = match answer.reply {
        Reply::Session { session, .. } => Some(Session::from(&*session)),
        _ => None,
    };
    json(StatusCode::OK, &session)
}

pub(super) async fn end(mut call: Call) -> Outcome {
    let session_id = call.session()?;
    let body: EndSession = call.json().await?;
    let sha256 = body.tail.as_ref().map(|t| sha256_hex(t.stdout.as_bytes()));
    let end = Command::End(Box::new(body.into_end(session_id, sha256)));
    let (session, _) = session_of(call.submit(end).await?.reply)?;
    json(StatusCode::OK, &Session::from(&session))
}

pub(super) async fn notice(mut call: Call) -> Outcome {
    poll::own(&call, &call.runner()?).await?;
    let body: RunnerNotice = call.json().await?;
    call.submit(body.into_command()?).await?;
    json(StatusCode::OK, &serde_json::json!({}))
}

pub(super) async fn goodbye(call: Call) -> Outcome {
    let runner_id = call.runner()?;
    call.submit(Command::Goodbye { runner_id }).await?;
    json(StatusCode::OK, &serde_json::json!({}))
}
