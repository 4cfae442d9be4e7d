//! What goes wrong, as `application/problem+json`.

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use mozi_api::{BadBody, FilesError, Invalid, Problem, problem};
use mozi_core::Refusal;
use mozi_store::{ReadError, SubmitError};
use serde_json::Value;

use crate::{files::BlobError, house::HouseError};

/// A refused or failed request: becomes a problem with the request's id.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    problem: Problem,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let headers = match problem.status {
            401 => vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))],
            503 => vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))],
            _ => Vec::new(),
        };
        Self(Box::new(Inner { problem, headers }))
    }
}

impl ApiError {
    fn of(code: &str, detail: impl Into<String>) -> Self {
        Problem::of(code, detail).into()
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.0.problem.status
    }

    /// The stable word for it.
    pub(crate) fn code(&self) -> &str {
        &self.0.problem.code
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.problem.more.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    pub(crate) fn unauthenticated(detail: &str) -> Self {
        Self::of("unauthenticated", detail)
    }
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::of("forbidden", detail)
    }
    pub(crate) fn agent_context(why: &str) -> Self {
        Self::of(
            "agent_context",
            format!("this is a person's decision, and it is asked from inside an agent ({why})"),
        )
    }
    pub(crate) fn host_refused(host: &str) -> Self {
        let host = short(host);
        Self::of(
            "host_refused",
            format!(
                "this board is not called {host}: name it in `allowed_hosts` or `public_url` of mozi.toml"
            ),
        )
    }
    pub(crate) fn origin_refused(origin: &str) -> Self {
        Self::of("origin_refused", format!("requests from pages of {} are not taken", short(origin)))
    }
    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::of("not_found", format!("there is no {what}"))
    }
    /// Not the format that it should be in.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Problem::new(400, "invalid_body", detail).into()
    }
    /// The right format with a wrong content.
    pub(crate) fn invalid(field: &str, why: impl std::fmt::Display) -> Self {
        Invalid::new(field, why.to_string()).into()
    }
    pub(crate) fn path_refused(why: impl Into<String>) -> Self {
        Self::of("path_refused", why)
    }
    pub(crate) fn too_large(what: &str, limit: u64) -> Self {
        Self::of("payload_too_large", format!("{what} is larger than {limit} bytes"))
            .with("limit_bytes", limit)
    }
    pub(crate) fn range_not_satisfiable(size: u64) -> Self {
        Self::of("invalid_range", format!("the range is not within the {size} bytes there are"))
    }
    pub(crate) fn media_type(detail: impl Into<String>) -> Self {
        Self::of("unsupported_media_type", detail)
    }
    pub(crate) fn method_not_allowed(method: &http::Method) -> Self {
        Self::of("method_not_allowed", format!("{method} is not for this path"))
    }
    pub(crate) fn storage_full() -> Self {
        Self::of("storage_full", "the disk of the board is full: nothing was written")
    }
    pub(crate) fn head_too_large() -> Self {
        Self::of("header_too_large", "the head of the request is too large, or has too many fields")
    }
    pub(crate) fn timeout() -> Self {
        Self::of("request_timeout", "the body did not arrive in time")
    }
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::of("unavailable", detail)
    }
    pub(crate) fn events_expired(oldest: impl Into<Value>) -> Self {
        Self::of("events_expired", "the events asked for are not kept any more: begin anew at `oldest_id`")
            .with("oldest_id", oldest)
    }
    /// A token is asked for again under its key, and the key that its secret was made with is not here any more.
    pub(crate) fn secret_is_gone() -> Self {
        Self::of(
            "idempotency_conflict",
            "the token was made, but its secret cannot be shown again: revoke it and make another",
        )
    }
    /// Something that must not happen: the log says what, the answer does not.
    pub(crate) fn internal(what: &str) -> Self {
        tracing::error!("internal error: {what}");
        Self::of("internal", "the board made a mistake; its log says more")
    }

    /// As an answer.
    pub(crate) fn into_response(self, request_id: &HeaderValue) -> Response {
        let Inner { mut problem, headers } = *self.0;
        problem.request_id = String::from_utf8_lossy(request_id.as_bytes()).into_owned();
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let to = response.headers_mut();
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
        to.extend(headers);
        response
    }
}

fn short(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Problem::from(&refusal).into()
    }
}

impl From<BadBody> for ApiError {
    fn from(bad: BadBody) -> Self {
        Problem::from(bad).into()
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Problem::from(invalid).into()
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(refusal) => refusal.into(),
            SubmitError::Full => {
                Self::of("storage_full", "the disk of the board is full: nothing was written")
            }
            SubmitError::Panicked => Self::internal("the rules panicked on a command"),
            SubmitError::Unknown(why) => Self::unavailable(format!(
                "it is not known whether this was written ({why}): ask again with the same Idempotency-Key"
            ))
            .with("unknown", true),
            busy @ (SubmitError::Busy | SubmitError::Unavailable(_)) => {
                Self::unavailable(format!("could not {busy}"))
            }
        }
    }
}

impl From<HouseError> for ApiError {
    fn from(error: HouseError) -> Self {
        tracing::error!("could not keep house: {}", error.detail);
        Self::of(error.code, error.detail)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::BadCursor(_) => Self::invalid("cursor", "is none of this list"),
            ReadError::Panicked => Self::internal("a read panicked"),
            other @ (ReadError::Busy | ReadError::TooLong(_) | ReadError::Unavailable(_)) => {
                Self::unavailable(format!("could not {other}"))
            }
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge { limit } => Self::too_large("the content", limit),
            BlobError::Source(e) => Self::bad_request(format!("the content could not be read: {e}")),
            BlobError::Disk { path, source } => {
                tracing::error!("could not keep an output: {}: {source}", path.display());
                match source.kind() {
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                        Self::of("storage_full", "the disk of the board is full: nothing was written")
                    }
                    _ => Self::unavailable("could not write the output to disk; the board's log says why"),
                }
            }
        }
    }
}

/// Files of sessions, where one is asked for that should be there.
impl From<FilesError> for ApiError {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::NotFound => Self::not_found("such file any more"),
            FilesError::Gone => Self::unavailable("the runner that has this file is not there"),
            FilesError::Refused(why) => Self::path_refused(why),
            FilesError::TooLarge { size: _, max } => Self::too_large("the file", max),
            io @ FilesError::Io { .. } => {
                tracing::error!("{io}");
                Self::unavailable("the file could not be read; the board's log says why")
            }
        }
    }
}

impl From<getrandom::Error> for ApiError {
    fn from(error: getrandom::Error) -> Self {
        Self::unavailable(format!("the system gives no random numbers: {error}"))
    }
}
