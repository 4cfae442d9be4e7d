//! A whole project outside of the board: its rows as JSON lines, and back into a board by way of a database beside it.
//!
//! A line is a row of a table: names are those of its columns, absent means null, times are microseconds since 1970,
//! JSON stands as JSON. What belongs to the machine or to a running agent (tokens, boots, leases) and the project's
//! own id are not in it. Names may come, none changes its meaning: [`FORMAT`] counts changes that are more.

use std::{io, time::Duration};

use mozi_core::{Actor, ProjectId, Task, TaskId, Until, archive::Staged};

pub use staging::{BadArchive, Staging};

use crate::{NamedBlob, ReadError, Store, sqlite::ReadConnection};

mod export;
mod staging;

/// How long the snapshot of an export may live: while it does, the log of the database grows.
const EXPORT_LIMIT: Duration = Duration::from_mins(30);

/// The version of the lines. A newer one is not read.
pub const FORMAT: u32 = 1;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
    Bool,
    Json,
    /// Text, or bytes in hex under another name.
    Bytes,
}

/// A table as it stands in an archive.
#[derive(Debug)]
pub struct Table {
    /// Its name in the archive.
    pub name: &'static str,
    /// Where it is read from.
    from: &'static str,
    /// In this order.
    order: &'static str,
    /// Its tables in the database, each with so many of the columns.
    into: &'static [(&'static str, usize)],
    columns: &'static [(&'static str, Kind)],
}

/// The bytes of a [`Kind::Bytes`] column that are no text, in hex.
pub(crate) const CONTENT_HEX: &str = "content_hex";

use Kind::{Bool, Bytes, Int, Json, Text};

/// What an archive holds, in the order in which it is read back: what is named stands before who names it.
pub const TABLES: &[Table] = &[
    Table {
        name: "project",
        from: "projects p",
        order: "p.project_id",
        into: &[("projects", usize::MAX)],
        columns: &[
            ("name", Text),
            ("archived", Bool),
            ("version", Int),
            ("created_at", Int),
            ("updated_at", Int),
            ("next_task", Int),
            ("default_agent", Text),
            ("dispatch", Text),
            ("reviewer", Text),
            ("require_output", Text),
            ("max_attempts", Int),
            ("max_review_attempts", Int),
            ("max_review_rounds", Int),
            ("on_no_verdict", Text),
            ("on_lost", Text),
            ("on_timeout", Text),
            ("backoff_initial_ms", Int),
            ("backoff_max_ms", Int),
            ("max_sessions", Int),
            ("agents_may_create", Bool),
            ("language", Text),
            ("bootstrap", Text),
            ("settings", Json),
        ],
    },
    Table {
        name: "tasks",
        from: "tasks p JOIN task_texts x USING (id)",
        order: "p.id",
        into: &[("tasks", 38), ("task_texts", usize::MAX)],
        columns: &[
            ("task_id", Text),
            ("version", Int),
            ("created_at", Int),
            ("updated_at", Int),
            ("status", Text),
            ("kind", Text),
            ("detail", Text),
            ("set_by", Int),
            ("not_before", Int),
            ("not_before_by_board", Bool),
            ("last_attempt", Int),
            ("open_attempt", Int),
            ("open_role", Text),
            ("executors", Json),
            ("budget_used", Int),
            ("review_used", Int),
            ("repeats", Int),
            ("spawn_failures", Int),
            ("rounds", Int),
            ("reviewer_given_up", Bool),
            ("unmet", Int),
            ("depth", Int),
            ("next_output", Int),
            ("next_comment", Int),
            ("title", Text),
            ("task_type", Text),
            ("priority", Int),
            ("agent", Text),
            ("timeout_ms", Int),
            ("max_attempts", Int),
            ("reviewer", Text),
            ("parent", Text),
            ("labels", Json),
            ("created_by_kind", Text),
            ("created_by_id", Text),
            ("created_by_name", Text),
            ("created_by_via", Text),
            ("extra", Json),
            ("fingerprint", Text),
            ("must_haves", Json),
            ("metadata", Json),
            ("description", Text),
        ],
    },
    Table {
        name: "dependencies",
        from: "dependencies p",
        order: "p.task_id, p.depends_on",
        into: &[("dependencies", usize::MAX)],
        columns: &[("task_id", Text), ("depends_on", Text), ("until", Text)],
    },
    Table {
        name: "attempts",
        from: "task_attempts p",
        order: "p.id",
        into: &[("task_attempts", usize::MAX)],
        columns: &[
            ("task_id", Text),
            ("attempt_number", Int),
            ("role", Text),
            ("agent", Text),
            ("session_id", Text),
            ("runner_id", Text),
            ("verdict_mode", Text),
            ("verdict", Text),
            ("verdict_at", Int),
            ("revoked_at", Int),
            ("revoked_why", Text),
            ("outcome", Text),
            ("reason", Text),
            ("exit_code", Int),
            ("signal", Int),
            ("timeout_ms", Int),
            ("workspace", Text),
            ("started_at", Int),
            ("completed_at", Int),
            ("outputs", Int),
            ("created_tasks", Int),
            ("cpu_ms", Int),
            ("max_rss_bytes", Int),
            ("branch", Text),
            ("log_expired_at", Int),
            ("metadata", Json),
            ("tail_stdout_bytes", Int),
            ("tail_stderr_bytes", Int),
            ("tail_stdout", Text),
            ("tail_stderr", Text),
        ],
    },
    Table {
        name: "usage",
        from: "attempt_usage p",
        order: "p.task_id, p.attempt_number, p.line",
        into: &[("attempt_usage", usize::MAX)],
        columns: &[
            ("task_id", Text),
            ("attempt_number", Int),
            ("line", Int),
            ("model", Text),
            ("input_tokens", Int),
            ("output_tokens", Int),
            ("cache_read_tokens", Int),
            ("cache_write_tokens", Int),
            ("cost_micro_usd", Int),
            ("reported", Bool),
        ],
    },
    Table {
        name: "outputs",
        from: "outputs p",
        order: "p.id",
        into: &[("outputs", usize::MAX)],
        columns: &[
            ("task_id", Text),
            ("output_id", Int),
            ("attempt_number", Int),
            ("agent", Text),
            ("type", Text),
            ("title", Text),
            ("summary", Text),
            ("file_name", Text),
            ("sha256", Text),
            ("size_bytes", Int),
            ("actor_kind", Text),
            ("actor_id", Text),
            ("actor_name", Text),
            ("actor_via", Text),
            ("created_at", Int),
            ("inline", Bool),
            ("content", Bytes),
        ],
    },
    Table {
        name: "comments",
        from: "comments p",
        order: "p.task_id, p.comment_id",
        into: &[("comments", usize::MAX)],
        columns: &[
            ("task_id", Text),
            ("comment_id", Int),
            ("attempt_number", Int),
            ("author", Text),
            ("actor_kind", Text),
            ("actor_id", Text),
            ("actor_name", Text),
            ("actor_via", Text),
            ("created_at", Int),
            ("body", Text),
        ],
    },
    Table {
        name: "events",
        from: "events p",
        order: "p.id",
        into: &[("events", usize::MAX)],
        columns: &[
            ("id", Int),
            ("task_id", Text),
            ("attempt_number", Int),
            ("agent", Text),
            ("event_type", Text),
            ("actor_kind", Text),
            ("actor_id", Text),
            ("actor_name", Text),
            ("actor_via", Text),
            ("at", Int),
            ("detail", Json),
        ],
    },
];

/// An output's content, as a line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The hash that its bytes must have.
    pub sha256: String,
    /// Their number.
    pub size_bytes: u64,
    /// The bytes, where they are in the line; else they are a blob.
    pub inline: Option<Vec<u8>>,
}

/// By whom and with which chance a project is taken in.
#[derive(Debug, Clone)]
pub struct By {
    /// Who does it.
    pub actor: Actor,
    /// When.
    pub now: mozi_core::Timestamp,
    /// Where the ids of sessions are taken here, others are made of this.
    pub chance: u128,
}

impl Store {
    /// Gives every row of a project as a line with its end, all of one moment, and answers the blobs that they name.
    /// Blocks until all is given.
    ///
    /// # Errors
    /// When the database cannot be read, or what takes the lines fails.
    pub fn export(
        &self,
        project: &ProjectId,
        mut take: impl FnMut(&'static Table, &[u8]) -> io::Result<()>,
    ) -> Result<Vec<NamedBlob>, ReadError> {
        let failed = |e: crate::OpenError| ReadError::Unavailable(e.to_string());
        let mut connection = ReadConnection::open(&self.inner.path).map_err(failed)?;
        connection.whole(EXPORT_LIMIT, |db| {
            for table in TABLES {
                export::rows(db, table, project, |line| take(table, line))?;
            }
            Ok(export::blobs(db, project)?)
        })
    }

    /// Gives every task of a project in the order of creation with what it waits for, all of one moment, until `take`
    /// has enough. Blocks until all is given.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new_tasks(
        &self,
        project: &ProjectId,
        take: impl FnMut(&Task, &[(TaskId, Until)]) -> bool,
    ) -> Result<(), ReadError> {
        let failed = |e: crate::OpenError| ReadError::Unavailable(e.to_string());
        let mut connection = ReadConnection::open(&self.inner.path).map_err(failed)?;
        connection.whole(EXPORT_LIMIT, |db| Ok(crate::sqlite::archive::new_tasks(db, project, take)?))
    }

    /// Ends what was staged for this board: see [`Staging::finish`].
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn staged(&self, staging: Staging, from: String, by: &By) -> Result<Staged, BadArchive> {
        staging.finish(&self.inner.path, from, by)
    }
}

#[cfg(test)]
mod tests;
