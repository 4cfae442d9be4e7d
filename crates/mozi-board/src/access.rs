//! What the log says of a request: lines written while it is carried out name it, and one line tells how it ended.

use axum::response::Response;
use http::{HeaderValue, request::Parts};
use mozi_core::Reply;
use tokio::time::Instant;
use tracing::{Span, field};

/// The target of the line for each request, for filters.
const TARGET: &str = "mozi_board::access";

/// A request that is being answered.
pub(crate) struct Asked {
    span: Span,
    /// None where nobody wants to know.
    line: Option<(http::Method, String, Instant)>,
}

impl Asked {
    pub(crate) fn new(id: &HeaderValue, head: &Parts) -> Self {
        let span = tracing::info_span!(
            "request",
            request_id = id.to_str().unwrap_or_default(),
            project = field::Empty,
            task = field::Empty,
            attempt_number = field::Empty,
            session_id = field::Empty,
        );
        // Without the query, which holds what people look for.
        let line = tracing::event_enabled!(target: TARGET, tracing::Level::WARN);
        let line = line.then(|| (head.method.clone(), head.uri.path().to_owned(), Instant::now()));
        Self { span, line }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// One line: a warning where the board is to blame, else only for whoever wants to see all of them.
    pub(crate) fn answered(self, response: &Response) {
        let Some((method, path, began)) = self.line else { return };
        let _in = self.span.enter();
        let status = response.status().as_u16();
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if status >= 500 {
            tracing::warn!(target: TARGET, status, ms, "{method} {path}");
        } else {
            tracing::debug!(target: TARGET, status, ms, "{method} {path}");
        }
    }
}

/// What the parts of the path name.
pub(crate) fn about<'a>(param: impl Fn(&str) -> Option<&'a str>) {
    let span = Span::current();
    for (name, part) in [("project", "p"), ("task", "t"), ("session_id", "sid")] {
        if let Some(text) = param(part) {
            span.record(name, text);
        }
    }
    if let Some(number) = param("n").and_then(|n| n.parse::<u32>().ok()) {
        span.record("attempt_number", number);
    }
}

/// What the answer is about, as far as the path did not say.
pub(crate) fn done(reply: &Reply) {
    let number = match reply {
        Reply::Status { attempt_number, .. } => *attempt_number,
        Reply::Output { output, .. } => output.attempt_number,
        Reply::Comment { comment, .. } => comment.attempt_number,
        Reply::Session { session, .. } => {
            Span::current().record("session_id", field::display(session.id));
            session.attempt.as_ref().map(|(_, number)| *number)
        }
        _ => None,
    };
    if let Some(number) = number {
        Span::current().record("attempt_number", number);
    }
}
