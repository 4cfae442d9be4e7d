//! Attempts and what they do, written.

use mozi_core::{
    Actor, AgentId, Attempt, Comment, Event, Outcome, Output, ProjectId, Reason, Session, TaskId, Verdict,
    output::Content,
};
use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::{change_one, run, time};
use crate::sqlite::rows::{Sql, int};

pub(in crate::sqlite) fn insert_attempt(db: &Connection, a: &Attempt) -> Sql<()> {
    run(
        db,
        "INSERT INTO task_attempts (project_id, task_id, attempt_number, role, agent, session_id, runner_id, boot_id,
         pid_namespace, verdict_mode, started_at, completed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            a.key.project.as_str(),
            a.key.task.as_str(),
            a.number,
            a.role.as_str(),
            a.agent.as_str(),
            a.session_id.to_string(),
            a.runner_id.as_str(),
            a.boot_id,
            a.pid_namespace,
            a.verdict_mode.as_str(),
            a.started_at.as_micros(),
            time(a.completed_at),
        ],
    )?;
    update_attempt(db, a)
}

pub(in crate::sqlite) fn update_attempt(db: &Connection, a: &Attempt) -> Sql<()> {
    let hash = a.token_hash.as_ref().map(|h| h.0.as_slice());
    let (resources, tail) = (a.resources, a.tail.as_ref());
    let values: [&dyn ToSql; 27] = [
        &a.key.project.as_str(),
        &a.key.task.as_str(),
        &a.number,
        &hash,
        &a.verdict.map(Verdict::as_str),
        &time(a.verdict_at),
        &time(a.revoked_at),
        &a.revoked_why,
        &a.outcome.map(Outcome::as_str),
        &a.reason.map(Reason::as_str),
        &a.exit_code,
        &a.signal,
        &a.timeout_ms.map(int),
        &a.workspace,
        &time(a.completed_at),
        &a.outputs,
        &a.created_tasks,
        &resources.map(|r| int(r.cpu_ms)),
        &resources.map(|r| int(r.max_rss_bytes)),
        &a.metadata.to_string(),
        &tail.map(|t| int(t.stdout_bytes)),
        &tail.map(|t| int(t.stderr_bytes)),
        &tail.map(|t| t.stdout.as_str()),
        &tail.map(|t| t.stderr.as_str()),
        &a.boot_id,
        &a.pid_namespace,
        &a.runner_id.as_str(),
    ];
    change_one(
        db,
        "UPDATE task_attempts SET token_hash = ?4, verdict = ?5, verdict_at = ?6, revoked_at = ?7, revoked_why = ?8,
         outcome = ?9, reason = ?10, exit_code = ?11, signal = ?12, timeout_ms = ?13, workspace = ?14,
         completed_at = ?15, outputs = ?16, created_tasks = ?17, cpu_ms = ?18, max_rss_bytes = ?19, metadata = ?20,
         tail_stdout_bytes = ?21, tail_stderr_bytes = ?22, tail_stdout = ?23, tail_stderr = ?24, boot_id = ?25,
         pid_namespace = ?26, runner_id = ?27
         WHERE project_id = ?1 AND task_id = ?2 AND attempt_number = ?3",
        params_from_iter(values),
    )
}

pub(in crate::sqlite) fn put_session(db: &Connection, s: &Session) -> Sql<()> {
    let (key, number) = s.attempt.as_ref().map(|(k, n)| (k, *n)).unzip();
    let order = s.order.as_ref();
    run(
        db,
        "INSERT INTO sessions (session_id, agent, runner_id, project_id, task_id, attempt_number, by_name, message,
         verbatim, taken, status, pid, held_up_by, held_up_detail, stop_requested, forced, clean_requested,
         started_at, completed_at, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
         ON CONFLICT (session_id) DO UPDATE SET by_name = excluded.by_name, message = excluded.message,
         verbatim = excluded.verbatim, taken = excluded.taken, status = excluded.status, pid = excluded.pid,
         held_up_by = excluded.held_up_by, held_up_detail = excluded.held_up_detail,
         stop_requested = excluded.stop_requested, forced = excluded.forced,
         clean_requested = excluded.clean_requested, completed_at = excluded.completed_at,
         error = excluded.error",
        params![
            s.id.to_string(),
            s.agent.as_str(),
            s.runner_id.as_str(),
            key.map(|k| k.project.as_str()),
            key.map(|k| k.task.as_str()),
            number,
            order.is_some(),
            order.and_then(|o| o.message.as_deref()),
            order.is_some_and(|o| o.verbatim),
            order.is_some_and(|o| o.taken),
            s.status.as_str(),
            s.pid,
            s.held_up.as_ref().map(|h| h.by.as_str()),
            s.held_up.as_ref().map(|h| h.detail.as_str()),
            s.stop_requested,
            s.forced,
            s.clean_requested,
            s.started_at.as_micros(),
            time(s.completed_at),
            s.error,
        ],
    )
}

pub(in crate::sqlite) fn insert_output(db: &Connection, o: &Output) -> Sql<()> {
    let (inline, content) = match &o.content {
        Content::Inline(bytes) => (true, Some(bytes.as_slice())),
        Content::Blob => (false, None),
    };
    let Actor { kind, id, name, via } = &o.actor;
    run(
        db,
        "INSERT INTO outputs (project_id, task_id, output_id, attempt_number, agent, type, title, summary, file_name,
         sha256, size_bytes, actor_kind, actor_id, actor_name, actor_via, created_at, inline, content)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        params![
            o.key.project.as_str(),
            o.key.task.as_str(),
            o.id,
            o.attempt_number,
            o.agent.as_ref().map(AgentId::as_str),
            o.output_type.as_str(),
            o.title,
            o.summary,
            o.file_name,
            o.sha256,
            int(o.size_bytes),
            kind.as_str(),
            id,
            name,
            via,
            o.created_at.as_micros(),
            inline,
            content,
        ],
    )
}

pub(in crate::sqlite) fn insert_comment(db: &Connection, c: &Comment) -> Sql<()> {
    let Actor { kind, id, name, via } = &c.actor;
    let (project, task) = (c.key.project.as_str(), c.key.task.as_str());
    run(
        db,
        "INSERT INTO comments (project_id, task_id, comment_id, attempt_number, author, actor_kind, actor_id,
         actor_name, actor_via, created_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            project,
            task,
            c.id,
            c.attempt_number,
            c.author,
            kind.as_str(),
            id,
            name,
            via,
            c.created_at.as_micros(),
            c.body
        ],
    )?;
    // A comment is no change of its task: only the number of the next one moves.
    change_one(
        db,
        "UPDATE tasks SET next_comment = ?3 WHERE project_id = ?1 AND task_id = ?2",
        params![project, task, c.id.saturating_add(1)],
    )
}

pub(in crate::sqlite) fn insert_event(db: &Connection, e: &Event) -> Sql<()> {
    let Actor { kind, id, name, via } = &e.actor;
    run(
        db,
        "INSERT INTO events (project_id, id, task_id, attempt_number, agent, event_type, actor_kind, actor_id,
         actor_name, actor_via, at, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            e.project.as_ref().map(ProjectId::as_str),
            int(e.id),
            e.task.as_ref().map(TaskId::as_str),
            e.attempt_number,
            e.agent.as_ref().map(AgentId::as_str),
            e.kind.name(),
            kind.as_str(),
            id,
            name,
            via,
            e.at.as_micros(),
            e.kind.detail().to_string(),
        ],
    )
}
