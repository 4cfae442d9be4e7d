//! Answers that are asked for again: what is kept of them, and how they are built anew.

use std::time::Duration;

use mozi_core::{Reply, Status, TaskKey, Timestamp, command::ConfigRead};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::{
    load::{self, one, select},
    rows::{self, Sql, bad, strings},
};
use crate::{IdempotencyKey, backend::Recalled};

/// How long an answer can be asked for again.
const KEPT: Duration = Duration::from_hours(24);
/// How many old ones each new one removes: more than come in, so that old ones do not pile up.
const FORGOTTEN: i64 = 4;

fn oldest(now: Timestamp) -> i64 {
    now.as_micros().saturating_sub(i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX))
}

pub(super) fn recall(db: &Connection, key: &IdempotencyKey, now: Timestamp) -> Sql<Recalled> {
    let kept = one(
        db,
        "SELECT body_sha256, reply FROM idempotency WHERE scope = ?1 AND key = ?2 AND created_at >= ?3",
        params![key.scope, key.key, oldest(now)],
        |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?)),
    )?;
    let Some((body, reply)) = kept else { return Ok(Recalled::Nothing) };
    if body != key.body_sha256 {
        return Ok(Recalled::OtherBody);
    }
    let kept = serde_json::from_str(&reply).map_err(|_| bad(reply))?;
    Ok(rebuild(db, &kept)?.map_or(Recalled::Nothing, |reply| Recalled::Answer(Box::new(reply))))
}

pub(super) fn remember(db: &Connection, key: &IdempotencyKey, reply: &Reply, now: Timestamp) -> Sql<()> {
    let Some(kept) = keep(reply) else { return Ok(()) };
    db.prepare_cached(
        "DELETE FROM idempotency WHERE (scope, key) IN
         (SELECT scope, key FROM idempotency WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
    )?
    .execute(params![oldest(now), FORGOTTEN])?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO idempotency (scope, key, body_sha256, created_at, reply) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![key.scope, key.key, key.body_sha256.as_slice(), now.as_micros(), kept.to_string()])
    .map(|_| ())
}

fn of_task(kind: &str, key: &TaskKey, warnings: &[String]) -> Value {
    json!({ "kind": kind, "project": key.project.as_str(), "task": key.task.as_str(), "warnings": warnings })
}

fn with(mut object: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// What must be kept to give the same answer again. A claim needs no key: its offers are the key.
fn keep(reply: &Reply) -> Option<Value> {
    Some(match reply {
        Reply::Status { task, attempt_number, event_id, warnings } => with(
            of_task("status", &task.key, warnings),
            json!({ "status": task.state.status.as_str(), "attempt_number": attempt_number, "event_id": event_id }),
        ),
        Reply::Output { output, warnings } => {
            with(of_task("output", &output.key, warnings), json!({ "id": output.id }))
        }
        Reply::Comment { comment, warnings } => {
            with(of_task("comment", &comment.key, warnings), json!({ "id": comment.id }))
        }
        Reply::Task { task, created, warnings } => {
            with(of_task("task", &task.key, warnings), json!({ "created": created }))
        }
        Reply::Imported { created, existing, warnings } => {
            json!({ "kind": "imported", "created_tasks": created, "existing": existing, "warnings": warnings })
        }
        Reply::Project { project, created } => {
            json!({ "kind": "project", "project": project.id.as_str(), "created": created })
        }
        Reply::Session { session, attempt: _ } => {
            json!({ "kind": "session", "session": session.id.to_string() })
        }
        Reply::Agent(agent) => json!({ "kind": "agent", "agent": agent.id.as_str() }),
        Reply::User { user, created } => json!({ "kind": "user", "name": user.name, "created": created }),
        Reply::Token(token) => json!({ "kind": "token", "name": token.name }),
        Reply::Config(ConfigRead::Taken { added, removed, changed, needs_restart }) => json!({
            "kind": "config", "added": added, "removed": removed, "changed": changed, "needs_restart": needs_restart,
        }),
        Reply::Config(ConfigRead::Refused { text }) => json!({ "kind": "config_refused", "text": text }),
        Reply::Done => json!({ "kind": "done" }),
        Reply::Claimed(_) => return None,
    })
}

fn rebuild(db: &Connection, kept: &Value) -> Sql<Option<Reply>> {
    let wrong = || bad(kept.to_string());
    let text = |name: &str| kept.get(name).and_then(Value::as_str);
    let number = |name: &str| kept.get(name).and_then(Value::as_u64);
    let small = |name: &str| number(name).and_then(|n| u32::try_from(n).ok());
    let created = kept.get("created").and_then(Value::as_bool).unwrap_or(false);
    let warnings = || kept.get("warnings").map_or(Ok(Vec::new()), strings);
    let project = || text("project").and_then(|p| p.parse().ok()).ok_or_else(wrong);
    let key = || -> Sql<TaskKey> {
        Ok(TaskKey::new(project()?, text("task").and_then(|t| t.parse().ok()).ok_or_else(wrong)?))
    };
    Ok(match text("kind").unwrap_or_default() {
        "status" => {
            let status = text("status").and_then(Status::parse).ok_or_else(wrong)?;
            match load::task(db, &key()?)? {
                Some(mut task) => {
                    // The answer of then: the task may have gone on since.
                    task.state.status = status;
                    let (attempt_number, event_id) =
                        (small("attempt_number"), number("event_id").unwrap_or(0));
                    Some(Reply::Status {
                        task: Box::new(task),
                        attempt_number,
                        event_id,
                        warnings: warnings()?,
                    })
                }
                None => None,
            }
        }
        "output" => {
            let (key, id) = (key()?, small("id").ok_or_else(wrong)?);
            match output(db, &key, id)? {
                Some(output) => Some(Reply::Output { output: Box::new(output), warnings: warnings()? }),
                None => None,
            }
        }
        "comment" => {
            let (key, id) = (key()?, small("id").ok_or_else(wrong)?);
            let found = one(
                db,
                select!(rows::COMMENT, "comments WHERE project_id = ?1 AND task_id = ?2 AND comment_id = ?3"),
                params![key.project.as_str(), key.task.as_str(), id],
                rows::comment,
            )?;
            match found {
                Some(comment) => Some(Reply::Comment { comment: Box::new(comment), warnings: warnings()? }),
                None => None,
            }
        }
        "task" => match load::task(db, &key()?)? {
            Some(task) => Some(Reply::Task { task: Box::new(task), created, warnings: warnings()? }),
            None => None,
        },
        "project" => {
            load::project(db, &project()?)?.map(|p| Reply::Project { project: Box::new(p), created })
        }
        "imported" => Some(Reply::Imported {
            created: number("created_tasks").ok_or_else(wrong)?,
            existing: number("existing").ok_or_else(wrong)?,
            warnings: warnings()?,
        }),
        "session" => {
            let id = text("session").and_then(|s| s.parse().ok()).ok_or_else(wrong)?;
            match load::session(db, id)? {
                Some(session) => {
                    let attempt = match &session.attempt {
                        Some((key, number)) => load::attempt(db, key, *number)?.map(Box::new),
                        None => None,
                    };
                    Some(Reply::Session { session: Box::new(session), attempt })
                }
                None => None,
            }
        }
        "agent" => {
            let id = text("agent").and_then(|a| a.parse().ok()).ok_or_else(wrong)?;
            load::agent(db, &id)?.map(|a| Reply::Agent(Box::new(a)))
        }
        "user" => {
            let name = text("name").ok_or_else(wrong)?;
            load::user(db, name)?.map(|u| Reply::User { user: Box::new(u), created })
        }
        "token" => {
            let name = text("name").ok_or_else(wrong)?;
            let found = one(db, select!(rows::TOKEN, "tokens WHERE name = ?1"), [name], rows::token)?;
            found.map(|t| Reply::Token(Box::new(t)))
        }
        "config" => {
            let words = |name: &str| kept.get(name).map_or(Ok(Vec::new()), strings);
            Some(Reply::Config(ConfigRead::Taken {
                added: words("added")?,
                removed: words("removed")?,
                changed: words("changed")?,
                needs_restart: words("needs_restart")?,
            }))
        }
        "config_refused" => {
            let text = text("text").ok_or_else(wrong)?.to_owned();
            Some(Reply::Config(ConfigRead::Refused { text }))
        }
        "done" => Some(Reply::Done),
        _ => None,
    })
}

/// An output with its bytes, where they are here.
pub(super) fn output(db: &Connection, key: &TaskKey, id: u32) -> Sql<Option<mozi_core::Output>> {
    one(
        db,
        select!(
            format_args!("{}, content", rows::OUTPUT),
            "outputs WHERE project_id = ?1 AND task_id = ?2 AND output_id = ?3"
        ),
        params![key.project.as_str(), key.task.as_str(), id],
        |row| rows::output(row, true),
    )
}
