//! Attempts at a task.

use std::collections::BTreeMap;

use http::StatusCode;
use mozi_api::{
    Page,
    attempt::{Attempt, LogState},
    query::LogQuery,
};
use mozi_core::{AttemptNumber, TaskKey, Usage};

use super::logs;
use crate::{
    call::{Call, Outcome, json, text},
    error::ApiError,
    mask,
};

/// All attempts at a task, with what they cost.
pub(super) async fn all(call: &Call, key: &TaskKey) -> Result<Vec<Attempt>, ApiError> {
    let store = &call.board.store;
    let attempts = store.attempts(key).await?;
    let mut usage: BTreeMap<AttemptNumber, Vec<Usage>> = BTreeMap::new();
    if !attempts.is_empty() {
        for (number, row) in store.usage(key).await? {
            usage.entry(number).or_default().push(row);
        }
    }
    let mut shown = Vec::with_capacity(attempts.len());
    for a in &attempts {
        let rows = usage.get(&a.number).map(Vec::as_slice).unwrap_or_default();
        shown.push(Attempt::new(a, rows, log_state(call, a).await?));
    }
    Ok(shown)
}

/// A session that was cleaned up has taken its log with it.
async fn log_state(call: &Call, attempt: &mozi_core::Attempt) -> Result<LogState, ApiError> {
    let kept = attempt.is_open() || call.board.store.session(attempt.session_id).await?.is_some();
    Ok(if kept { LogState::Stored } else { LogState::Expired })
}

async fn load(call: &Call) -> Result<mozi_core::Attempt, ApiError> {
    let key = call.task()?;
    let number: AttemptNumber = call.path("n", "attempt")?;
    let attempt = call.board.store.attempt(&key, number).await?;
    attempt.ok_or_else(|| ApiError::not_found(format_args!("attempt {number} at task {}", key.task)))
}

pub(super) async fn list(call: Call) -> Outcome {
    let key = call.task()?;
    let attempts = all(&call, &key).await?;
    if attempts.is_empty() && call.board.store.task(&key, call.board.clock.now()).await?.is_none() {
        return Err(ApiError::not_found(format_args!("task {} in project {}", key.task, key.project)));
    }
    json(StatusCode::OK, &Page::whole(attempts))
}

pub(super) async fn show(call: Call) -> Outcome {
    let attempt = load(&call).await?;
    let usage = call.board.store.usage(&attempt.key).await?;
    let rows: Vec<Usage> = usage.into_iter().filter(|(n, _)| *n == attempt.number).map(|(_, u)| u).collect();
    let state = log_state(&call, &attempt).await?;
    json(StatusCode::OK, &Attempt::new(&attempt, &rows, state))
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
