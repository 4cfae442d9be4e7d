//! Changes, written.

use mozi_core::{
    Agent, AgentId, Change, Project, ProjectId, Reason, Runner, Timestamp, Token, User, UserRole,
    task::StatusCounts, token::Holder,
};
use rusqlite::{Connection, Params, params};
use serde_json::Value;

use super::{
    kept::Kept,
    rows::{Sql, int, millis},
};

pub(super) mod attempt;
pub(super) mod task;

/// Writes a change. Where it fails, whoever undoes the rest of its command also forgets what is kept.
pub(super) fn apply(db: &Connection, kept: &mut Kept, change: &Change) -> Sql<()> {
    write(db, kept, change)?;
    kept.follow(change);
    Ok(())
}

fn write(db: &Connection, kept: &Kept, change: &Change) -> Sql<()> {
    match change {
        Change::InsertProject(p) => insert_project(db, p),
        Change::UpdateProject(p) => update_project(db, p),
        Change::CountProject { id, next_task, last_event, counts } => {
            let was = kept.project(id);
            // Most commands only write an event: its number alone touches no index.
            if was.is_some_and(|p| p.next_task == *next_task && p.counts == *counts) {
                change_one(
                    db,
                    "UPDATE projects SET last_event = ?2 WHERE project_id = ?1",
                    params![id.as_str(), int(*last_event)],
                )
            } else {
                count_project(db, id.as_str(), *next_task, *last_event, *counts)
            }
        }
        Change::InsertTask { task, fingerprint } => task::insert_task(db, task, fingerprint),
        Change::UpdateTaskSpec(task) => task::update_task_spec(db, task),
        Change::UpdateTaskState(task) => task::update_task_state(db, task),
        Change::PutDependency { key, on, until } => run(
            db,
            "INSERT INTO dependencies (project_id, task_id, depends_on, until) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (project_id, task_id, depends_on) DO UPDATE SET until = excluded.until",
            params![key.project.as_str(), key.task.as_str(), on.as_str(), until.as_str()],
        ),
        Change::DeleteDependency { key, on } => run(
            db,
            "DELETE FROM dependencies WHERE project_id = ?1 AND task_id = ?2 AND depends_on = ?3",
            params![key.project.as_str(), key.task.as_str(), on.as_str()],
        ),
        Change::ExpireLog { session_id, at } => run(
            db,
            "UPDATE task_attempts SET log_expired_at = ?2 WHERE session_id = ?1 AND completed_at IS NOT NULL
             AND log_expired_at IS NULL",
            params![session_id.to_string(), at.as_micros()],
        ),
        Change::ForgetEvents { project, up_to } => forget_events(db, project, int(*up_to)),
        Change::ShiftUnmet { key, by } => task::shift_unmet(db, key, *by),
        Change::Adopt { name, project, before, here } => {
            super::archive::adopt(db, name, project, *before, *here)
        }
        Change::InsertAttempt(a) => attempt::insert_attempt(db, a),
        Change::UpdateAttempt(a) => attempt::update_attempt(db, a),
        Change::InsertUsage { key, number, rows } => (1i64..).zip(rows).try_for_each(|(line, u)| {
            run(
                db,
                "INSERT INTO attempt_usage (project_id, task_id, attempt_number, line, model, input_tokens,
                 output_tokens, cache_read_tokens, cache_write_tokens, cost_micro_usd, reported)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    key.project.as_str(),
                    key.task.as_str(),
                    number,
                    line,
                    u.model,
                    u.input_tokens.map(int),
                    u.output_tokens.map(int),
                    u.cache_read_tokens.map(int),
                    u.cache_write_tokens.map(int),
                    u.cost_micro_usd,
                    u.reported,
                ],
            )
        }),
        Change::PutSession(s) => attempt::put_session(db, s),
        Change::DeleteSession(id) => {
            run(db, "DELETE FROM sessions WHERE session_id = ?1", params![id.to_string()])
        }
        Change::InsertOutput(o) => attempt::insert_output(db, o),
        Change::InsertComment(c) => attempt::insert_comment(db, c),
        Change::PutAgent(a) => put_agent(db, a),
        Change::PutRunner(r) => put_runner(db, r),
        Change::PutUser(u) => put_user(db, u),
        Change::PutToken(t) => put_token(db, t),
        Change::InsertEvent(e) => attempt::insert_event(db, e),
        Change::CountStream { last_event } => {
            run(db, "UPDATE meta SET stream_last = ?1", params![int(*last_event)])
        }
        Change::SetRest { at_rest } => run(db, "UPDATE meta SET at_rest = ?1", params![at_rest]),
    }
}

fn run(db: &Connection, sql: &str, params: impl Params) -> Sql<()> {
    db.prepare_cached(sql)?.execute(params).map(|_| ())
}

/// A change of what must be there.
fn change_one(db: &Connection, sql: &str, params: impl Params) -> Sql<()> {
    match db.prepare_cached(sql)?.execute(params)? {
        1 => Ok(()),
        n => Err(rusqlite::Error::StatementChangedRows(n)),
    }
}

fn time(t: Option<Timestamp>) -> Option<i64> {
    t.map(Timestamp::as_micros)
}

fn json(items: impl IntoIterator<Item = impl Into<Value>>) -> String {
    Value::Array(items.into_iter().map(Into::into).collect()).to_string()
}

fn insert_project(db: &Connection, p: &Project) -> Sql<()> {
    // The names are in `update_project` once more; the rest has its defaults until then.
    run(
        db,
        "INSERT INTO projects (project_id, version, created_at, updated_at, next_task, last_event, dispatch, reviewer,
         require_output, max_attempts, max_review_attempts, max_review_rounds, on_no_verdict, on_lost, on_timeout,
         backoff_initial_ms, backoff_max_ms, agents_may_create, language)
         VALUES (?1, ?2, ?3, ?3, ?4, ?5, '', '', '', 0, 0, 0, '', '', '', 0, 0, 0, '')",
        params![
            p.id.as_str(),
            int(p.version),
            p.created_at.as_micros(),
            int(p.next_task),
            int(p.last_event)
        ],
    )?;
    update_project(db, p)?;
    count_project(db, p.id.as_str(), p.next_task, p.last_event, p.counts)
}

fn update_project(db: &Connection, p: &Project) -> Sql<()> {
    let s = &p.settings;
    change_one(
        db,
        "UPDATE projects SET name = ?2, archived = ?3, version = ?4, updated_at = ?5, default_agent = ?6,
         dispatch = ?7, reviewer = ?8, require_output = ?9, max_attempts = ?10, max_review_attempts = ?11,
         max_review_rounds = ?12, on_no_verdict = ?13, on_lost = ?14, on_timeout = ?15, backoff_initial_ms = ?16,
         backoff_max_ms = ?17, max_sessions = ?18, agents_may_create = ?19, language = ?20, bootstrap = ?21
         WHERE project_id = ?1",
        params![
            p.id.as_str(),
            p.name,
            p.archived,
            int(p.version),
            p.updated_at.as_micros(),
            s.default_agent.as_ref().map(AgentId::as_str),
            s.dispatch.as_str(),
            s.review.as_str(),
            s.require_output.as_str(),
            s.max_attempts,
            s.max_review_attempts,
            s.max_review_rounds,
            s.on_no_verdict.as_str(),
            s.on_lost.as_str(),
            s.on_timeout.as_str(),
            millis(s.backoff_initial),
            millis(s.backoff_max),
            s.max_sessions,
            s.agents_may_create,
            s.language.as_str(),
            s.bootstrap,
        ],
    )
}

fn count_project(
    db: &Connection,
    id: &str,
    next_task: u64,
    last_event: u64,
    counts: StatusCounts,
) -> Sql<()> {
    let [pending, claimed, working, review, done, failed, blocked, cancelled] = counts.to_array().map(int);
    change_one(
        db,
        "UPDATE projects SET next_task = ?2, last_event = ?3, pending = ?4, claimed = ?5, working = ?6, review = ?7,
         done = ?8, failed = ?9, blocked = ?10, cancelled = ?11 WHERE project_id = ?1",
        params![
            id,
            int(next_task),
            int(last_event),
            pending,
            claimed,
            working,
            review,
            done,
            failed,
            blocked,
            cancelled
        ],
    )
}

fn put_agent(db: &Connection, a: &Agent) -> Sql<()> {
    let p = a.paused.as_ref();
    run(
        db,
        "INSERT OR REPLACE INTO agents (agent, runner_id, runtime, aliases, roles, max_sessions, verdict_mode,
         timeout_ms, callback, configured, held_back, paused, paused_since, paused_until, paused_reason,
         paused_detail, paused_reset_named, spawn_failures, pauses, seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        params![
            a.id.as_str(),
            a.runner_id.as_str(),
            a.runtime,
            json(a.aliases.iter().map(String::as_str)),
            json(a.roles.iter().map(|r| r.as_str())),
            a.max_sessions,
            a.verdict_mode.as_str(),
            a.timeout_ms.map(int),
            a.callback,
            a.configured,
            a.held_back,
            p.is_some(),
            p.map(|p| p.since.as_micros()),
            time(p.and_then(|p| p.until)),
            p.and_then(|p| p.reason).map(Reason::as_str),
            p.and_then(|p| p.detail.as_deref()),
            p.is_some_and(|p| p.reset_named),
            a.spawn_failures,
            a.pauses,
            a.seen_at.as_micros(),
        ],
    )
}

fn forget_events(db: &Connection, project: &ProjectId, up_to: i64) -> Sql<()> {
    let project = project.as_str();
    // Whoever reads the events of all projects and is not beyond these has missed some.
    run(
        db,
        "UPDATE meta SET pruned_seq = max(pruned_seq,
         (SELECT coalesce(max(seq), 0) FROM events WHERE project_id = ?1 AND id <= ?2))",
        params![project, up_to],
    )?;
    run(db, "DELETE FROM events WHERE project_id = ?1 AND id <= ?2", params![project, up_to])?;
    run(
        db,
        "UPDATE projects SET first_event = max(first_event, ?2 + 1) WHERE project_id = ?1",
        params![project, up_to],
    )
}

fn put_runner(db: &Connection, r: &Runner) -> Sql<()> {
    run(
        db,
        "INSERT INTO runners (runner_id, max_sessions, online, boot_id, pid_namespace, version, seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (runner_id) DO UPDATE SET max_sessions = excluded.max_sessions, online = excluded.online,
         boot_id = excluded.boot_id, pid_namespace = excluded.pid_namespace, version = excluded.version,
         seen_at = excluded.seen_at",
        params![
            r.id.as_str(),
            r.max_sessions,
            r.online,
            r.boot_id,
            r.pid_namespace,
            r.version,
            r.seen_at.as_micros()
        ],
    )
}

fn put_user(db: &Connection, u: &User) -> Sql<()> {
    run(
        db,
        "INSERT OR REPLACE INTO users (user_id, role, project_id, created_at, expires_at, disabled_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            u.name,
            UserRole::as_str(u.role),
            u.project.as_ref().map(ProjectId::as_str),
            u.created_at.as_micros(),
            time(u.expires_at),
            time(u.disabled_at),
        ],
    )
}

fn put_token(db: &Connection, t: &Token) -> Sql<()> {
    let (user, role, runner) = match &t.holder {
        Holder::User { user, role } => (Some(user.as_str()), Some(UserRole::as_str(*role)), None),
        Holder::Runner(id) => (None, None, Some(id.as_str())),
    };
    run(
        db,
        "INSERT OR REPLACE INTO tokens (name, token_hash, user_id, role, runner_id, project_id, created_at, expires_at,
         last_used_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            t.name,
            t.hash.0.as_slice(),
            user,
            role,
            runner,
            t.project.as_ref().map(ProjectId::as_str),
            t.created_at.as_micros(),
            time(t.expires_at),
            time(t.last_used_at),
            time(t.revoked_at),
        ],
    )
}
