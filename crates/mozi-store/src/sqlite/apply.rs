//! Changes, written.

use mozi_core::{
    Actor, Agent, Attempt, Change, Comment, Event, Output, Project, Runner, Session, Task, TaskKey,
    Timestamp, Token, UserRole, output::Content, task::StatusCounts, token::Holder,
};
use rusqlite::{Connection, Params, ToSql, params, params_from_iter};
use serde_json::Value;

use super::{
    load,
    rows::{Sql, bad, int, millis},
};

pub(super) fn apply(db: &Connection, change: &Change) -> Sql<()> {
    match change {
        Change::InsertProject(p) => insert_project(db, p),
        Change::UpdateProject(p) => update_project(db, p),
        Change::CountProject { id, next_task, last_event, counts } => {
            count_project(db, id.as_str(), *next_task, *last_event, *counts)
        }
        Change::InsertTask { task, fingerprint } => insert_task(db, task, fingerprint),
        Change::UpdateTaskSpec(task) => update_task_spec(db, task),
        Change::UpdateTaskState(task) => update_task_state(db, task),
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
        Change::ShiftUnmet { key, by } => shift_unmet(db, key, *by),
        Change::InsertAttempt(a) => insert_attempt(db, a),
        Change::UpdateAttempt(a) => update_attempt(db, a),
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
        Change::PutSession(s) => put_session(db, s),
        Change::DeleteSession(id) => {
            run(db, "DELETE FROM sessions WHERE session_id = ?1", params![id.to_string()])
        }
        Change::InsertOutput(o) => insert_output(db, o),
        Change::InsertComment(c) => insert_comment(db, c),
        Change::PutAgent(a) => put_agent(db, a),
        Change::PutRunner(r) => put_runner(db, r),
        Change::PutToken(t) => put_token(db, t),
        Change::InsertEvent(e) => insert_event(db, e),
        Change::CountStream { last_event } => {
            run(db, "UPDATE meta SET stream_last = ?1", params![int(*last_event)])
        }
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
            s.default_agent.as_ref().map(|a| a.as_str()),
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

/// Role, agent and due time of a task's place in the queue; a due time that has passed is none.
fn place(task: &Task) -> (Option<&'static str>, String, Option<i64>) {
    match task.queue_place() {
        None => (None, String::new(), None),
        Some(p) => {
            let agent = p.agent.map(|a| a.as_str().to_owned()).unwrap_or_default();
            (Some(p.role.as_str()), agent, time(p.from.filter(|at| *at > task.updated_at)))
        }
    }
}

fn insert_task(db: &Connection, t: &Task, fingerprint: &str) -> Sql<()> {
    let actor = &t.created_by;
    run(
        db,
        "INSERT INTO tasks (project_id, task_id, version, created_at, updated_at, status, depth, title, task_type,
         priority, parent, created_by_kind, created_by_id, created_by_name, created_by_via)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            t.key.project.as_str(),
            t.key.task.as_str(),
            int(t.version),
            t.created_at.as_micros(),
            t.updated_at.as_micros(),
            t.state.status.as_str(),
            t.state.depth,
            t.spec.title,
            t.spec.task_type,
            t.spec.priority,
            t.spec.parent.as_ref().map(|p| p.as_str()),
            actor.kind.as_str(),
            actor.id,
            actor.name,
            actor.via,
        ],
    )?;
    let id = db.last_insert_rowid();
    run(
        db,
        "INSERT INTO task_texts (id, fingerprint, must_haves, metadata, description) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            id,
            fingerprint,
            json(t.spec.must_haves.iter().map(String::as_str)),
            t.spec.metadata.to_string(),
            t.spec.description
        ],
    )?;
    write_spec(db, t)?;
    update_task_state(db, t)
}

fn update_task_spec(db: &Connection, t: &Task) -> Sql<()> {
    change_one(
        db,
        "UPDATE task_texts SET must_haves = ?3, metadata = ?4, description = ?5
         WHERE id = (SELECT id FROM tasks WHERE project_id = ?1 AND task_id = ?2)",
        params![
            t.key.project.as_str(),
            t.key.task.as_str(),
            json(t.spec.must_haves.iter().map(String::as_str)),
            t.spec.metadata.to_string(),
            t.spec.description,
        ],
    )?;
    write_spec(db, t)
}

fn write_spec(db: &Connection, t: &Task) -> Sql<()> {
    let labels: serde_json::Map<String, Value> =
        t.spec.labels.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
    let (role, agent, from) = place(t);
    change_one(
        db,
        "UPDATE tasks SET version = ?3, updated_at = ?4, title = ?5, task_type = ?6, priority = ?7, agent = ?8,
         timeout_ms = ?9, max_attempts = ?10, reviewer = ?11, labels = ?12, queue_role = ?13, queue_agent = ?14,
         queue_from = ?15 WHERE project_id = ?1 AND task_id = ?2",
        params![
            t.key.project.as_str(),
            t.key.task.as_str(),
            int(t.version),
            t.updated_at.as_micros(),
            t.spec.title,
            t.spec.task_type,
            t.spec.priority,
            t.spec.agent.as_ref().map(|a| a.as_str()),
            t.spec.timeout.map(millis),
            t.spec.max_attempts,
            t.spec.review.as_ref().map(|r| r.as_str()),
            Value::Object(labels).to_string(),
            role,
            agent,
            from,
        ],
    )
}

fn update_task_state(db: &Connection, t: &Task) -> Sql<()> {
    let s = &t.state;
    let (role, agent, from) = place(t);
    change_one(
        db,
        "UPDATE tasks SET version = ?3, updated_at = ?4, status = ?5, kind = ?6, detail = ?7, set_by = ?8,
         not_before = ?9, not_before_by_board = ?10, last_attempt = ?11, open_attempt = ?12, open_role = ?13,
         executors = ?14, budget_used = ?15, review_used = ?16, repeats = ?17, spawn_failures = ?18, rounds = ?19,
         reviewer_given_up = ?20, unmet = ?21, next_output = ?22, next_comment = ?23, queue_role = ?24,
         queue_agent = ?25, queue_from = ?26 WHERE project_id = ?1 AND task_id = ?2",
        params![
            t.key.project.as_str(),
            t.key.task.as_str(),
            int(t.version),
            t.updated_at.as_micros(),
            s.status.as_str(),
            s.kind,
            s.detail,
            s.set_by,
            time(s.not_before.map(|n| n.at)),
            s.not_before.is_some_and(|n| n.by_board),
            s.last_attempt,
            s.open.map(|o| o.number),
            s.open.map(|o| o.role.as_str()),
            json(s.executors.iter().map(|a| a.as_str())),
            s.budget_used,
            s.review_used,
            s.repeats,
            s.spawn_failures,
            s.rounds,
            s.reviewer_given_up,
            s.unmet,
            s.next_output,
            s.next_comment,
            role,
            agent,
            from,
        ],
    )
}

fn shift_unmet(db: &Connection, key: &TaskKey, by: i32) -> Sql<()> {
    let Some(mut task) = load::task(db, key)? else { return Err(bad(key.task.as_str())) };
    task.state.unmet = task.state.unmet.saturating_add_signed(by);
    let (role, agent, from) = place(&task);
    change_one(
        db,
        "UPDATE tasks SET unmet = ?3, queue_role = ?4, queue_agent = ?5, queue_from = ?6
         WHERE project_id = ?1 AND task_id = ?2",
        params![key.project.as_str(), key.task.as_str(), task.state.unmet, role, agent, from],
    )
}

fn insert_attempt(db: &Connection, a: &Attempt) -> Sql<()> {
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

fn update_attempt(db: &Connection, a: &Attempt) -> Sql<()> {
    let hash = a.token_hash.as_ref().map(|h| h.0.as_slice());
    let (resources, tail) = (a.resources, a.tail.as_ref());
    let values: [&dyn ToSql; 27] = [
        &a.key.project.as_str(),
        &a.key.task.as_str(),
        &a.number,
        &hash,
        &a.verdict.map(mozi_core::Verdict::as_str),
        &time(a.verdict_at),
        &time(a.revoked_at),
        &a.revoked_why,
        &a.outcome.map(mozi_core::Outcome::as_str),
        &a.reason.map(mozi_core::Reason::as_str),
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

fn put_session(db: &Connection, s: &Session) -> Sql<()> {
    let (key, number) = s.attempt.as_ref().map(|(k, n)| (k, *n)).unzip();
    let order = s.order.as_ref();
    run(
        db,
        "INSERT INTO sessions (session_id, agent, runner_id, project_id, task_id, attempt_number, by_name, message,
         verbatim, taken, status, pid, held_up_by, held_up_detail, stop_requested, forced, clean_requested,
         started_at, completed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
         ON CONFLICT (session_id) DO UPDATE SET by_name = excluded.by_name, message = excluded.message,
         verbatim = excluded.verbatim, taken = excluded.taken, status = excluded.status, pid = excluded.pid,
         held_up_by = excluded.held_up_by, held_up_detail = excluded.held_up_detail,
         stop_requested = excluded.stop_requested, forced = excluded.forced,
         clean_requested = excluded.clean_requested, completed_at = excluded.completed_at",
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
        ],
    )
}

fn insert_output(db: &Connection, o: &Output) -> Sql<()> {
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
            o.agent.as_ref().map(|a| a.as_str()),
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

fn insert_comment(db: &Connection, c: &Comment) -> Sql<()> {
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
            p.and_then(|p| p.reason).map(mozi_core::Reason::as_str),
            p.and_then(|p| p.detail.as_deref()),
            p.is_some_and(|p| p.reset_named),
            a.spawn_failures,
            a.pauses,
            a.seen_at.as_micros(),
        ],
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
            t.project.as_ref().map(|p| p.as_str()),
            t.created_at.as_micros(),
            time(t.expires_at),
            time(t.last_used_at),
            time(t.revoked_at),
        ],
    )
}

fn insert_event(db: &Connection, e: &Event) -> Sql<()> {
    let Actor { kind, id, name, via } = &e.actor;
    run(
        db,
        "INSERT INTO events (project_id, id, task_id, attempt_number, agent, event_type, actor_kind, actor_id,
         actor_name, actor_via, at, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            e.project.as_ref().map(|p| p.as_str()),
            int(e.id),
            e.task.as_ref().map(|t| t.as_str()),
            e.attempt_number,
            e.agent.as_ref().map(|a| a.as_str()),
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
