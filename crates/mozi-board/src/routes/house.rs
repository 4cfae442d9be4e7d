//! Backups, and what may go.

use std::sync::Arc;

use axum::body::Body;
use futures_util::{StreamExt as _, future, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use mozi_core::Command;

use crate::{
    call::{Call, Outcome, json, text},
    error::ApiError,
    house::House,
};

fn house(call: &Call) -> Result<Arc<dyn House>, ApiError> {
    let house = call.board.house.get().map(Arc::clone);
    house.ok_or_else(|| ApiError::unavailable("this board keeps no house: it knows no files of its machine"))
}

/// The archive as it is made. It is an event when all of it has been given away.
pub(super) async fn backup(call: Call) -> Outcome {
    let backup = house(&call)?.backup().await?;
    let (board, made) = (Arc::clone(&call.board), backup.made);
    // In the name of whoever asked.
    let told = call.request(Command::Due)?;
    // Behind its last piece: whoever has all of it finds the event.
    let tell = async move {
        // It was broken off: there is none.
        let Ok(made) = made.await else { return None };
        let (size_bytes, blobs, damaged) = (made.size_bytes, made.blobs, made.damaged);
        let command = Command::BackupMade { size_bytes, blobs, damaged };
        if let Err(e) = board.store.submit(mozi_core::Request { command, ..told }, None).await {
            tracing::warn!("a backup was made, but could not be told of: {e}");
        }
        None
    };
    let bytes = backup.bytes.chain(stream::once(tell).filter_map(future::ready));
    let mut response = text("application/x-tar", Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// What may go.
pub(super) async fn report(call: Call) -> Outcome {
    json(StatusCode::OK, &house(&call)?.gc(true).await?)
}

/// Removes what may go, and tells of it.
pub(super) async fn gc(call: Call) -> Outcome {
    let report = house(&call)?.gc(false).await?;
    let removed = report.removed();
    if !removed.is_empty() {
        call.submit(Command::KeptHouse { because: "gc".into(), removed }).await?;
    }
    json(StatusCode::OK, &report)
}
