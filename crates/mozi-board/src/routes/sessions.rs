//! Sessions, as people see and order them.

use std::time::Duration;

use http::StatusCode;
use mozi_api::{
    Page,
    query::{CleanQuery, LogQuery, SessionsQuery, WaitQuery},
    session::{Session, StartSession, StopSession},
};
use mozi_core::{Attempt, Command, Reply, SessionId};
use tokio::time::Instant;

use super::logs;
use crate::{
    call::{Call, Outcome, json, location, rows},
    error::ApiError,
    task::until,
};

/// Whether a token for one project only may see it.
fn visible(call: &Call, session: &mozi_core::Session) -> bool {
    call.scope().is_none_or(|scope| session.attempt.as_ref().is_some_and(|(key, _)| key.project == *scope))
}

/// The session that the path names, by its id or any unique beginning of it.
async fn named(call: &Call) -> Result<SessionId, ApiError> {
    if let Ok(id) = call.session() {
        return Ok(id);
    }
    let prefix: String = call.path("sid", "session")?;
    let missing =
        || ApiError::not_found(format_args!("session {:?}", prefix.chars().take(60).collect::<String>()));
    if prefix.len() < 4 || !prefix.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Err(missing());
    }
    match call.board.store.find_session_prefix(&prefix).await?.as_slice() {
        [] => Err(missing()),
        [one] => Ok(*one),
        [_, _, ..] => {
            Err(ApiError::invalid("session_id", "begins so for more than one session: write more of it"))
        }
    }
}

async fn load(call: &Call, id: SessionId) -> Result<(mozi_core::Session, Option<Attempt>), ApiError> {
    let found = call.board.store.session(id).await?.filter(|(s, _)| visible(call, s));
    found.ok_or_else(|| ApiError::not_found(format_args!("session {id}")))
}

pub(super) async fn list(call: Call) -> Outcome {
    let asked = SessionsQuery::parse(call.query())?;
    let store = &call.board.store;
    let (mut sessions, mut next_cursor) = (Vec::new(), None);
    match &asked.prefix {
        None => {
            let page = store.sessions_page(asked.active, asked.cursor, rows(asked.limit)).await?;
            (sessions, next_cursor) = (page.items, page.next_cursor);
        }
        Some(prefix) => {
            for id in store.find_session_prefix(prefix).await? {
                sessions.extend(store.session(id).await?.map(|(s, _)| s));
            }
            sessions.retain(|s| asked.active.is_none_or(|active| s.is_open() == active));
        }
    }
    let items = sessions.iter().filter(|s| visible(&call, s)).map(Session::from).collect();
    json(StatusCode::OK, &Page { items, next_cursor })
}

pub(super) async fn start(mut call: Call) -> Outcome {
    let wait = WaitQuery::parse(call.query())?;
    let body: StartSession = call.json().await?;
    let command = body.into_command(call.board.clock.session_id()?)?;
    let mut session = answered(call.submit(command).await?.reply)?;
    if wait.wait.is_some() {
        session = ended(&call, session.session_id.0, wait).await?;
    }
    let path = format!("/api/sessions/{}", session.session_id);
    Ok(location(json(StatusCode::CREATED, &session)?, &path))
}

fn answered(reply: Reply) -> Result<Session, ApiError> {
    match reply {
        Reply::Session { session, .. } => Ok(Session::from(&*session)),
        _ => Err(ApiError::internal("the reply is no session")),
    }
}

pub(super) async fn show(call: Call) -> Outcome {
    let id = named(&call).await?;
    let session = ended(&call, id, WaitQuery::parse(call.query())?).await?;
    json(StatusCode::OK, &session)
}

/// The session once it has ended, or as it is when the time that is asked for is over.
async fn ended(call: &Call, id: SessionId, wait: WaitQuery) -> Result<Session, ApiError> {
    let deadline = Instant::now() + Duration::from_secs(wait.wait.unwrap_or(0));
    let mut commits = call.board.store.subscribe_hints();
    let mut closing = Box::pin(call.closing());
    let mut last = wait.wait.unwrap_or(0) == 0;
    loop {
        // An end is a hint; one that comes while this looks is seen at the next turn.
        let ready = commits.borrow_and_update().ready;
        let (session, _) = load(call, id).await?;
        if last || !session.is_open() {
            return Ok(Session::from(&session));
        }
        tokio::select! {
            changed = commits.wait_for(|c| c.ready != ready) => last = changed.is_err(),
            () = until(deadline) => last = true,
            () = &mut closing => last = true,
        }
    }
}

pub(super) async fn stop(mut call: Call) -> Outcome {
    let session_id = named(&call).await?;
    let body: StopSession = call.json_or_default().await?;
    let answer = call.submit(Command::StopSession { session_id, why: body.detail }).await?;
    json(StatusCode::OK, &answered(answer.reply)?)
}

pub(super) async fn clean(call: Call) -> Outcome {
    let force = CleanQuery::parse(call.query())?.force.unwrap_or(false);
    if force {
        call.person_only().await?;
    }
    let session_id = named(&call).await?;
    let answer = call.submit(Command::CleanSession { session_id, force }).await?;
    json(StatusCode::OK, &answered(answer.reply)?)
}

pub(super) async fn log(call: Call) -> Outcome {
    let asked = LogQuery::parse(call.query())?;
    let id = named(&call).await?;
    let (_, attempt) = load(&call, id).await?;
    logs::answer(&call, id, attempt.as_ref(), &asked).await
}
