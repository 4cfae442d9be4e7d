//! Events: pages, and streams that lose nothing.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use mozi_api::{
    event::{Event, EventPage},
    query::EventsQuery,
};
use mozi_core::ProjectId;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::timeout,
};

use crate::{
    Board,
    call::{Call, Outcome, json, rows},
    error::ApiError,
    fanout::{Batch, PAGE, Piece, cursor, from_cursor},
};

/// A sign of life where nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) async fn of_project(call: Call) -> Outcome {
    let project = call.project()?;
    if call.board.store.project(&project).await?.is_none() {
        return Err(ApiError::not_found(format_args!("project {project}")));
    }
    let asked = EventsQuery::parse(call.query())?;
    let parse = |text: &str| text.parse().ok();
    let after = after(&call, &asked, parse, "must be the id of an event")?;
    answer(call, Some(project), after, rows(asked.limit)).await
}

pub(super) async fn of_all(call: Call) -> Outcome {
    if call.scope().is_some() {
        return Err(ApiError::forbidden(
            "this token is for one project only: ask for the project's own events",
        ));
    }
    let asked = EventsQuery::parse(call.query())?;
    let after = after(&call, &asked, from_cursor, "must be a cursor of this stream")?;
    answer(call, None, after, rows(asked.limit)).await
}

/// Behind which event to begin: what a stream has shown last counts more than what it was opened with.
fn after(
    call: &Call,
    asked: &EventsQuery,
    parse: impl Fn(&str) -> Option<u64>,
    why: &str,
) -> Result<Option<u64>, ApiError> {
    let resumed =
        call.head.headers.get(LAST_EVENT_ID).map(|v| v.to_str().unwrap_or("?")).filter(|v| !v.is_empty());
    let text = resumed.or(asked.after.as_deref());
    text.map(|t| parse(t).ok_or_else(|| ApiError::invalid("after", why))).transpose()
}

async fn answer(call: Call, project: Option<ProjectId>, after: Option<u64>, limit: usize) -> Outcome {
    let accept = call.head.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let wants_stream = accept.split(',').any(|t| t.trim().starts_with("text/event-stream"));
    let source = Source { board: Arc::clone(&call.board), project };
    if !wants_stream {
        return source.page(after, limit).await;
    }
    source.check_kept(after).await?;
    // Subscribed before the first page is read: what is committed between is in one of them.
    let ring = source.board.fanout.watch();
    let seen = match after {
        Some(after) => after,
        None => source.newest().await?,
    };
    let (closing, dismissed) = (Box::pin(call.closing()), Box::pin(call.dismissed()));
    let watcher = Watcher { source, ring, seen, behind: true, begun: false, closing, dismissed };
    let pieces = stream::unfold(watcher, |mut watcher| async move {
        let piece = watcher.next().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), watcher))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// One stream of events in the store.
struct Source {
    board: Arc<Board>,
    project: Option<ProjectId>,
}

impl Source {
    /// Whoever has seen less than what was pruned has missed some.
    async fn check_kept(&self, after: Option<u64>) -> Result<(), ApiError> {
        let Some(after) = after else { return Ok(()) };
        let store = &self.board.store;
        let expired = match &self.project {
            None => {
                let oldest = store.oldest_seq().await?;
                (after.saturating_add(1) < oldest).then(|| cursor(oldest).into())
            }
            Some(p) => {
                let oldest = store.events(Some(p), after, 1).await?.oldest;
                (after.saturating_add(1) < oldest).then(|| serde_json::Value::from(oldest))
            }
        };
        expired.map_or(Ok(()), |oldest| Err(ApiError::events_expired(oldest)))
    }

    /// Where a stream begins that was asked for without a place: with what comes next.
    async fn newest(&self) -> Result<u64, ApiError> {
        match &self.project {
            None => Ok(self.board.store.last_seq().await?),
            Some(p) => Ok(self.board.store.project(p).await?.map_or(0, |p| p.last_event)),
        }
    }

    fn place(&self, position: u64) -> String {
        if self.project.is_none() { cursor(position) } else { position.to_string() }
    }

    async fn page(&self, after: Option<u64>, limit: usize) -> Outcome {
        let from = match (after, &self.project) {
            (Some(after), _) => after,
            (None, Some(_)) => 0,
            // Where some are gone, what is left from before them is no whole stream: its pages begin behind.
            (None, None) => self.board.store.oldest_seq().await?.saturating_sub(1),
        };
        let (items, last) = self.read(from, limit).await?;
        // Looked at second: what is forgotten in between is missed by nobody.
        self.check_kept(after).await?;
        let next_cursor = last.map(|position| self.place(position));
        json(
            StatusCode::OK,
            &EventPage { items: items.iter().map(|(_, e)| Event::from(e)).collect(), next_cursor },
        )
    }

    /// Events behind a position, each with its number over all projects as far as known, and the last position.
    async fn read(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<(u64, mozi_core::Event)>, Option<u64>), ApiError> {
        let events: Vec<(u64, mozi_core::Event)> = match &self.project {
            None => self.board.store.all_events(after, limit).await?,
            Some(p) => {
                let page = self.board.store.events(Some(p), after, limit).await?;
                page.events.into_iter().map(|e| (e.id, e)).collect()
            }
        };
        let last = events.last().map(|(position, _)| *position);
        Ok((events, last))
    }
}

/// Somebody who watches a stream.
struct Watcher {
    source: Source,
    ring: broadcast::Receiver<Arc<Batch>>,
    /// The last event that was sent.
    seen: u64,
    /// It reads pages until it has caught up with the ring.
    behind: bool,
    begun: bool,
    closing: BoxFuture<'static, ()>,
    dismissed: BoxFuture<'static, ()>,
}

impl Watcher {
    /// What to send next. None: the stream ends, and may be resumed elsewhere.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.begun, true) {
            // At once, so that whoever waits for the answer knows that it watches, and from where to resume.
            return Some(Bytes::from(format!(": watching\nid: {}\n\n", self.source.place(self.seen))));
        }
        loop {
            if self.behind {
                match self.catch_up().await {
                    Ok(Some(bytes)) => return Some(bytes),
                    Ok(None) => self.behind = false,
                    Err(e) => {
                        tracing::warn!("a stream of events ends: {}", e.code());
                        return None;
                    }
                }
            }
            let received = tokio::select! {
                received = timeout(HEARTBEAT, self.ring.recv()) => received,
                () = &mut self.closing => return None,
                () = &mut self.dismissed => return None,
            };
            match received {
                Err(_) => return Some(Bytes::from_static(b": still here\n\n")),
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(_))) => self.behind = true,
                Ok(Ok(batch)) => {
                    if let Some(Piece { first, position, bytes }) =
                        batch.after(self.source.project.as_ref(), self.seen)
                    {
                        // A project that was taken in brought a history that is in no batch.
                        if self.source.project.is_some() && first > self.seen.saturating_add(1) {
                            self.behind = true;
                            continue;
                        }
                        self.seen = position;
                        return Some(bytes);
                    }
                }
            }
        }
    }

    async fn catch_up(&mut self) -> Result<Option<Bytes>, ApiError> {
        let (events, last) = self.source.read(self.seen, PAGE).await?;
        // Whoever is so far behind that events are gone is told when it asks again.
        self.source.check_kept(Some(self.seen)).await?;
        let Some(last) = last else { return Ok(None) };
        let project = self.source.project.as_ref();
        let piece = Batch::new(&events).after(project, self.seen);
        self.seen = last;
        Ok(piece.map(|p| p.bytes))
    }
}
