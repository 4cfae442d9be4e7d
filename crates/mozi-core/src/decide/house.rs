//! Keeping house: what was copied, and what the rule of retention takes away.

use super::{About, Desk};
use crate::{
    change::{Change, Reply},
    event::{EventKind, Snapshot, snapshot::PRUNED},
    id::{ProjectId, SessionId, TaskId, TaskKey},
    refusal::Refusal,
    token::Identity,
};

/// What was removed of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// `logs`, `events`, `workspaces`, `blobs`, `sessions`, `temporary`.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Their size in bytes, where it is known.
    pub bytes: Option<u64>,
}

/// The board keeps its own house: no wire leads here.
fn board(d: &Desk<'_>) -> Result<(), Refusal> {
    match d.state.identity {
        Identity::Board => Ok(()),
        Identity::Unknown => Err(Refusal::Unauthenticated),
        Identity::User { .. } | Identity::Attempt { .. } | Identity::Runner(_) => {
            Err(Refusal::Forbidden { why: "only the board itself does this".into() })
        }
    }
}

pub(super) fn backup_made(
    d: &mut Desk<'_>,
    size_bytes: u64,
    blobs: u64,
    damaged: u64,
) -> Result<Reply, Refusal> {
    d.admin()?;
    let actor = d.actor();
    d.emit(About::default(), actor, EventKind::BackupMade { size_bytes, blobs, damaged });
    Ok(Reply::Done)
}

pub(super) fn kept_house(d: &mut Desk<'_>, because: &str, removed: &[Removed]) -> Result<Reply, Refusal> {
    d.admin()?;
    let told: Vec<String> = removed.iter().map(|r| format!("{} {}", r.count, r.kind)).collect();
    if told.is_empty() {
        return Ok(Reply::Done);
    }
    let mut more = serde_json::Map::new();
    more.insert("because".into(), because.into());
    for r in removed {
        more.insert(r.kind.clone(), serde_json::json!({ "count": r.count, "bytes": r.bytes }));
    }
    let text = format!("removed: {}", told.join(", "));
    let actor = d.actor();
    d.emit(About::default(), actor, EventKind::Notice { code: "house_kept".into(), text, more });
    Ok(Reply::Done)
}

/// The logs of these sessions are going to be removed. First it is said, then it is done.
pub(super) fn expire_logs(d: &mut Desk<'_>, sessions: &[SessionId]) -> Result<Reply, Refusal> {
    board(d)?;
    let at = d.now;
    for id in sessions {
        d.write(Change::ExpireLog { session_id: *id, at });
    }
    Ok(Reply::Done)
}

/// Tells what finished tasks have come to, so that what they came by need not be told any more. A task that is not
/// finished is left out: what was said of it is still to be read.
pub(super) fn snapshot(d: &mut Desk<'_>, project: &ProjectId, tasks: &[TaskId]) -> Result<Reply, Refusal> {
    board(d)?;
    d.project(project)?;
    for task in tasks {
        let key = TaskKey::new(project.clone(), task.clone());
        let Some(found) = d.state.tasks.get(&key).filter(|t| t.state.status.is_end()) else { continue };
        let mut attempts: Vec<_> = d.state.attempts.iter().filter(|a| a.key == key).cloned().collect();
        attempts.sort_by_key(|a| a.number);
        let snapshot = Snapshot::of(found, &attempts, PRUNED);
        let actor = d.actor();
        d.emit(About::task(&key), actor, EventKind::TaskSnapshot(Box::new(snapshot)));
    }
    Ok(Reply::Done)
}

/// Removes the events of a project up to one of them. The newest stays, so that no id is given twice, and so does
/// whatever a task's state cannot be told without.
pub(super) fn forget(d: &mut Desk<'_>, project: &ProjectId, up_to: u64) -> Result<Reply, Refusal> {
    board(d)?;
    if up_to >= d.project(project)?.last_event {
        return Err(Refusal::invalid("up_to", "must be before the newest event"));
    }
    if up_to == 0 {
        return Ok(Reply::Done);
    }
    if !d.state.told_without {
        return Err(Refusal::invalid("up_to", "must leave every task a snapshot"));
    }
    d.write(Change::ForgetEvents { project: project.clone(), up_to });
    Ok(Reply::Done)
}
