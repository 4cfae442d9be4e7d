//! Tasks, written.

use mozi_core::{AgentId, Task, TaskId, TaskKey, project::Review};
use rusqlite::{Connection, ToSql, params, params_from_iter};
use serde_json::Value;

use super::{change_one, json, run, time};
use crate::sqlite::{
    load,
    rows::{Sql, bad, int, millis},
};

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

pub(in crate::sqlite) fn insert_task(db: &Connection, t: &Task, fingerprint: &str) -> Sql<()> {
    let Task { key, spec, state: s, created_by: actor, .. } = t;
    let (role, agent, from) = place(t);
    let values: [&dyn ToSql; 41] = [
        &key.project.as_str(),
        &key.task.as_str(),
        &int(t.version),
        &t.created_at.as_micros(),
        &t.updated_at.as_micros(),
        &s.status.as_str(),
        &s.kind,
        &s.detail,
        &s.set_by,
        &time(s.not_before.map(|n| n.at)),
        &s.not_before.is_some_and(|n| n.by_board),
        &s.last_attempt,
        &s.open.map(|o| o.number),
        &s.open.map(|o| o.role.as_str()),
        &json(s.executors.iter().map(AgentId::as_str)),
        &s.budget_used,
        &s.review_used,
        &s.repeats,
        &s.spawn_failures,
        &s.rounds,
        &s.reviewer_given_up,
        &s.unmet,
        &s.depth,
        &s.next_output,
        &s.next_comment,
        &spec.title,
        &spec.task_type,
        &spec.priority,
        &spec.agent.as_ref().map(AgentId::as_str),
        &spec.timeout.map(millis),
        &spec.max_attempts,
        &spec.review.as_ref().map(Review::as_str),
        &spec.parent.as_ref().map(TaskId::as_str),
        &labels(t),
        &actor.kind.as_str(),
        &actor.id,
        &actor.name,
        &actor.via,
        &role,
        &agent,
        &from,
    ];
    // All at once: every index of the row is written once.
    run(
        db,
        "INSERT INTO tasks (project_id, task_id, version, created_at, updated_at, status, kind, detail, set_by,
         not_before, not_before_by_board, last_attempt, open_attempt, open_role, executors, budget_used, review_used,
         repeats, spawn_failures, rounds, reviewer_given_up, unmet, depth, next_output, next_comment, title, task_type,
         priority, agent, timeout_ms, max_attempts, reviewer, parent, labels, created_by_kind, created_by_id,
         created_by_name, created_by_via, queue_role, queue_agent, queue_from)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
         ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40, ?41)",
        params_from_iter(values),
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
    )
}

fn labels(t: &Task) -> String {
    let labels: serde_json::Map<String, Value> =
        t.spec.labels.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
    Value::Object(labels).to_string()
}

pub(in crate::sqlite) fn update_task_spec(db: &Connection, t: &Task) -> Sql<()> {
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
            t.spec.agent.as_ref().map(AgentId::as_str),
            t.spec.timeout.map(millis),
            t.spec.max_attempts,
            t.spec.review.as_ref().map(Review::as_str),
            labels(t),
            role,
            agent,
            from,
        ],
    )
}

pub(in crate::sqlite) fn update_task_state(db: &Connection, t: &Task) -> Sql<()> {
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
            json(s.executors.iter().map(AgentId::as_str)),
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

/// Its place in the queue alone.
pub(in crate::sqlite) fn requeue(db: &Connection, t: &Task) -> Sql<()> {
    let (role, agent, from) = place(t);
    change_one(
        db,
        "UPDATE tasks SET queue_role = ?3, queue_agent = ?4, queue_from = ?5 WHERE project_id = ?1 AND task_id = ?2",
        params![t.key.project.as_str(), t.key.task.as_str(), role, agent, from],
    )
}

pub(in crate::sqlite) fn shift_unmet(db: &Connection, key: &TaskKey, by: i32) -> Sql<()> {
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
