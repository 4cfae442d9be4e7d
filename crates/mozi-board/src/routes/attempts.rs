//! Attempts at a task.

use http::StatusCode;
use mozi_api::{
    Page,
    attempt::{Attempt, LogState},
    query::LogQuery,
};
use mozi_core::{AttemptNumber, TaskKey};
use mozi_store::{AttemptView, Wanted};

use super::{logs, tasks};
use crate::{
    call::{Call, Outcome, json, text},
    error::ApiError,
    mask,
};

pub(super) fn shown(view: &AttemptView) -> Attempt {
    let log = if view.kept { LogState::Stored } else { LogState::Expired };
    Attempt::new(&view.attempt, &view.usage, log)
}

fn missing(key: &TaskKey, number: AttemptNumber) -> ApiError {
    ApiError::not_found(format_args!("attempt {number} at task {}", key.task))
}

async fn load(call: &Call) -> Result<mozi_core::Attempt, ApiError> {
    let (key, number) = (call.task()?, call.path("n", "attempt")?);
    call.board.store.attempt(&key, number).await?.ok_or_else(|| missing(&key, number))
}

pub(super) async fn list(call: Call) -> Outcome {
    let wanted = Wanted { attempts: true, ..Wanted::default() };
    let page = tasks::page(&call, &call.task()?, wanted).await?;
    json(StatusCode::OK, &Page::whole(page.attempts.iter().map(shown).collect()))
}

pub(super) async fn show(call: Call) -> Outcome {
    let (key, number) = (call.task()?, call.path("n", "attempt")?);
    let view = call.board.store.attempt_view(&key, number).await?;
    json(StatusCode::OK, &shown(&view.ok_or_else(|| missing(&key, number))?))
}

pub(super) async fn prompt(call: Call) -> Outcome {
    let attempt = load(&call).await?;
    let prompt = call.board.files.prompt(&attempt.session_id.to_string()).await?;
    Ok(text("text/plain; charset=utf-8", mask::text(&prompt)))
}

pub(super) async fn log(call: Call) -> Outcome {
    let asked = LogQuery::parse(call.query())?;
    let attempt = load(&call).await?;
    logs::answer(&call, attempt.session_id, Some(&attempt), &asked).await
}
