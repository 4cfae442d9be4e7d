//! Refusals and errors on the wire: `application/problem+json`.

use mozi_core as core;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{import::BadLine, waiting::WaitingFor};

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Every code with its status and title. `invalid_body` is 400 for what is not JSON.
pub const CODES: &[(&str, u16, &str)] = &[
    ("invalid_body", 422, "The request is wrong"),
    ("unauthenticated", 401, "A valid token is needed"),
    ("forbidden", 403, "This credential may not do that"),
    ("agent_context", 403, "This is a person's decision"),
    ("host_refused", 403, "This board is not known by that host name"),
    ("origin_refused", 403, "Requests from that origin are not taken"),
    ("not_found", 404, "There is no such thing"),
    ("method_not_allowed", 405, "This method is not for that address"),
    ("request_timeout", 408, "The request took too long"),
    ("transition_refused", 409, "The task cannot be moved like that now"),
    ("attempt_closed", 409, "The attempt is over"),
    ("verdict_given", 409, "The attempt has given its verdict"),
    ("output_required", 409, "An output is needed first"),
    ("not_claimable", 409, "The task cannot be started now"),
    ("duplicate_id", 409, "The id is taken"),
    ("dependency_cycle", 409, "Tasks would wait for each other"),
    ("session_active", 409, "The session lives"),
    ("project_not_empty", 409, "The project has tasks"),
    ("project_archived", 409, "The project is archived"),
    ("idempotency_conflict", 409, "The key was used with another body"),
    ("events_expired", 410, "Events that old are gone"),
    ("version_mismatch", 412, "It has changed in between"),
    ("payload_too_large", 413, "The body is too large"),
    ("unsupported_media_type", 415, "That kind of body is not taken here"),
    ("invalid_range", 416, "There are no such bytes"),
    ("config_refused", 422, "The configuration is wrong"),
    ("path_refused", 422, "That path is not taken"),
    ("rate_limited", 429, "Too many requests"),
    ("header_too_large", 431, "The headers are too large"),
    ("internal", 500, "Something is wrong with the board"),
    ("unavailable", 503, "The board cannot answer now"),
    ("storage_full", 507, "The disk is full"),
];

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// A reference to what the code means.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, in words.
    pub detail: String,
    /// The stable word for it.
    pub code: String,
    /// The `X-Request-Id` of the answer.
    #[serde(default)]
    pub request_id: String,
    /// What belongs to the code: `field`, `current`, `allowed`, `waiting_for`, `oldest_id` …
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// A problem with a status of its own.
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        let title = CODES.iter().find(|(c, _, _)| *c == code).map_or("Not carried out", |(_, _, t)| t);
        Self {
            kind: format!("/docs#{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            request_id: String::new(),
            more: Map::new(),
        }
    }
    /// A problem with the status of its code.
    pub fn of(code: &str, detail: impl Into<String>) -> Self {
        let status = CODES.iter().find(|(c, _, _)| *c == code).map_or(500, |(_, s, _)| *s);
        Self::new(status, code, detail)
    }
    /// With one thing more that belongs to the code.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
    /// With the id of the request.
    #[must_use]
    pub fn for_request(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }
}

impl From<&core::Refusal> for Problem {
    fn from(r: &core::Refusal) -> Self {
        use core::Refusal as R;
        let problem = Self::of(r.code(), r.to_string());
        match r {
            R::Invalid { field, why: _ } => problem.with("field", field.as_str()),
            R::BadLines { lines, of } => {
                let lines: Vec<BadLine> = lines.iter().map(Into::into).collect();
                problem.with("lines", json!(lines)).with("wrong_lines", *of)
            }
            R::TransitionRefused { current, asked, allowed, why: _ } => {
                let allowed: Vec<_> = allowed.iter().map(|s| s.as_str()).collect();
                problem
                    .with("current", current.as_str())
                    .with("asked", asked.as_str())
                    .with("allowed", allowed)
            }
            R::AttemptClosed { number, why } => {
                problem.with("attempt_number", *number).with("why", why.as_str())
            }
            R::VerdictGiven { verdict, current } => {
                problem.with("verdict", verdict.as_str()).with("current", current.as_str())
            }
            R::NotClaimable { waiting_for } => {
                let waits: Vec<WaitingFor> = waiting_for.iter().map(Into::into).collect();
                problem.with("waiting_for", json!(waits))
            }
            R::VersionMismatch { current } => problem.with("version", *current),
            R::DependencyCycle { task, on } => {
                problem.with("task_id", task.as_str()).with("depends_on", on.as_str())
            }
            R::Unauthenticated
            | R::Forbidden { .. }
            | R::NotFound { .. }
            | R::OutputRequired
            | R::DuplicateId { .. }
            | R::SessionActive { .. }
            | R::ProjectArchived { .. }
            | R::ProjectNotEmpty { .. }
            | R::IdempotencyConflict => problem,
        }
    }
}
