//! A project in one file: whole, or its tasks as new ones.

use std::{io, sync::Arc};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use mozi_api::{
    import::LINES,
    query::{ExportFormat, ExportQuery},
    wire::Time,
};
use mozi_core::ProjectId;
use tokio::sync::mpsc;

use crate::{
    Board,
    archive::write::{About, prepare, prepare_tasks, send},
    call::{Call, Outcome},
    error::ApiError,
    task,
};

/// Pieces that wait for whoever reads.
const AHEAD: usize = 4;
/// The media type of an archive.
const TAR: &str = "application/x-tar";

pub(super) async fn export(call: Call) -> Outcome {
    let project = call.project()?;
    let query = ExportQuery::parse(call.query())?;
    if call.board.store.project(&project).await?.is_none() {
        return Err(ApiError::not_found(format_args!("project {project}")));
    }
    match query.format.map(|f| f.0) {
        Some(ExportFormat::Tasks) => tasks(&call.board, project).await,
        Some(ExportFormat::Archive) | None => archive(&call.board, project).await,
    }
}

async fn archive(board: &Arc<Board>, project: ProjectId) -> Outcome {
    let about = About {
        mozi_version: board.config.version.clone(),
        exported_at: Time(board.clock.now()).to_string(),
    };
    let (ours, name) = (Arc::clone(board), format!("{project}.mozi.tar"));
    let prepared = tokio::task::spawn_blocking(move || prepare(&ours.store, &ours.blobs, &project, about));
    let archive = prepared.await.map_err(|e| ApiError::internal(&format!("an export failed: {e}")))??;
    let size = archive.size();
    let mut response = Response::new(sent(move |take| archive.send(|piece| take(Ok(piece)))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TAR));
    headers.insert(header::CONTENT_LENGTH, size.into());
    let named = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    headers.extend(named.ok().map(|v| (header::CONTENT_DISPOSITION, v)));
    Ok(response)
}

async fn tasks(board: &Arc<Board>, project: ProjectId) -> Outcome {
    let ours = Arc::clone(board);
    // On the disk first: who reads slowly must not hold the snapshot.
    let prepared = tokio::task::spawn_blocking(move || prepare_tasks(&ours.store, &ours.blobs, &project));
    let (file, size) =
        prepared.await.map_err(|e| ApiError::internal(&format!("an export failed: {e}")))??;
    let mut response = Response::new(sent(move |take| send(file, size, |piece| take(Ok(piece)))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    headers.insert(header::CONTENT_LENGTH, size.into());
    Ok(response)
}

type Piece = Result<Vec<u8>, io::Error>;

/// A body that a thread writes. What goes wrong cuts it off: whoever reads sees that it is not whole.
fn sent(write: impl FnOnce(&mut dyn FnMut(Piece) -> bool) -> io::Result<()> + Send + 'static) -> Body {
    let (sender, receiver) = mpsc::channel::<Piece>(AHEAD);
    task::blocking("export", move || {
        let mut take = |piece| sender.blocking_send(piece).is_ok();
        if let Err(e) = write(&mut take) {
            tracing::error!("an export ends early: {e}");
            take(Err(e));
        }
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece.map(Bytes::from), receiver))
    }))
}
