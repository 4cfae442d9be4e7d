//! Why a command was refused. A refusal is an answer, not an error: nothing was changed.

use crate::{
    attempt::Verdict,
    command::{BadLine, NAMED_LINES},
    id::{AttemptNumber, TaskId},
    task::Status,
    waiting::WaitingFor,
};

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields are what the variant's line names")]
pub enum Refusal {
    /// No credential, or none that is known.
    Unauthenticated,
    /// A known credential that may not do this.
    Forbidden { why: String },
    /// There is no such thing, or the credential may not know of it.
    NotFound { what: String },
    /// JSON, but wrong: which field, and what it takes.
    Invalid { field: String, why: String },
    /// Some of many lines are wrong: those that are named, of so many.
    BadLines { lines: Vec<BadLine>, of: usize },
    /// The table has no such move for this actor.
    TransitionRefused { current: Status, asked: Status, allowed: Vec<Status>, why: Option<String> },
    /// The attempt is closed or revoked: it can change nothing any more.
    AttemptClosed { number: AttemptNumber, why: String },
    /// The attempt has already given another verdict, or what it adds comes too late.
    VerdictGiven { verdict: Verdict, current: Status },
    /// A verdict `review` needs an output of the attempt.
    OutputRequired,
    /// It cannot be claimed now, and what it waits for.
    NotClaimable { waiting_for: Vec<WaitingFor> },
    /// The id is taken by something else.
    DuplicateId { what: String },
    /// The dependency would close a circle.
    DependencyCycle { task: TaskId, on: TaskId },
    /// Not while an attempt is open or the session lives.
    SessionActive { why: String },
    /// Something is there already.
    ProjectNotEmpty { project: String },
    /// The project is archived.
    ProjectArchived { project: String },
    /// The same key with another body.
    IdempotencyConflict,
    /// It has changed since its author looked.
    VersionMismatch { current: u64 },
}

impl Refusal {
    /// The stable word for it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound { .. } => "not_found",
            Self::Invalid { .. } | Self::BadLines { .. } => "invalid_body",
            Self::TransitionRefused { .. } => "transition_refused",
            Self::AttemptClosed { .. } => "attempt_closed",
            Self::VerdictGiven { .. } => "verdict_given",
            Self::OutputRequired => "output_required",
            Self::NotClaimable { .. } => "not_claimable",
            Self::DuplicateId { .. } => "duplicate_id",
            Self::DependencyCycle { .. } => "dependency_cycle",
            Self::SessionActive { .. } => "session_active",
            Self::ProjectNotEmpty { .. } => "project_not_empty",
            Self::ProjectArchived { .. } => "project_archived",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::VersionMismatch { .. } => "version_mismatch",
        }
    }

    pub(crate) fn invalid(field: &str, why: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), why: why.into() }
    }
    pub(crate) fn bad_lines(mut lines: Vec<BadLine>) -> Self {
        let of = lines.len();
        lines.truncate(NAMED_LINES);
        Self::BadLines { lines, of }
    }
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unauthenticated => f.write_str("a valid bearer token is needed"),
            Self::Forbidden { why } | Self::SessionActive { why } => f.write_str(why),
            Self::NotFound { what } => write!(f, "there is no {what}"),
            Self::Invalid { field, why } => write!(f, "`{field}` {why}"),
            Self::BadLines { lines, of } => {
                let (lines_are, first) = (if *of == 1 { "line is" } else { "lines are" }, lines.first());
                write!(f, "{of} {lines_are} wrong, and nothing was taken in")?;
                first.map_or(Ok(()), |b| write!(f, "; line {}: `{}` {}", b.line, b.field, b.why))
            }
            Self::TransitionRefused { current, asked, allowed, why } => {
                write!(f, "a task that is {current} cannot be set to {asked} by you")?;
                if let Some(why) = why {
                    write!(f, ": {why}")?;
                }
                if allowed.is_empty() {
                    f.write_str("; nothing is allowed now")
                } else {
                    let words: Vec<_> = allowed.iter().map(|s| s.as_str()).collect();
                    write!(f, "; allowed now: {}", words.join(", "))
                }
            }
            Self::AttemptClosed { number, why } => {
                write!(
                    f,
                    "attempt {number} is over ({why}): stop working, nothing that it sends is taken any more"
                )
            }
            Self::VerdictGiven { verdict, current } => {
                write!(f, "this attempt has already said {verdict}, and the task is {current} now")
            }
            Self::OutputRequired => {
                f.write_str("add an output first: without an output the task is not complete")
            }
            Self::NotClaimable { waiting_for } => {
                f.write_str("it cannot be started now")?;
                if let Some(first) = waiting_for.first() {
                    write!(f, ": {first}")?;
                }
                Ok(())
            }
            Self::DuplicateId { what } => write!(f, "{what} exists already, with another content"),
            Self::DependencyCycle { task, on } => {
                write!(f, "task {task} cannot wait for {on}: {on} waits for {task} already")
            }
            Self::ProjectNotEmpty { project } => {
                write!(
                    f,
                    "project {project} has tasks: a whole project is taken in where nothing is yet, under another id"
                )
            }
            Self::ProjectArchived { project } => write!(f, "project {project} is archived"),
            Self::IdempotencyConflict => {
                f.write_str("this Idempotency-Key was used before, with another body")
            }
            Self::VersionMismatch { current } => {
                write!(f, "it has changed in between: its version is {current} now; look at it and ask again")
            }
        }
    }
}
