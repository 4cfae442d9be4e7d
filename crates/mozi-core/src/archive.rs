//! A whole project that comes from elsewhere: what of it lived there does not live here.

use serde_json::Value;

use crate::{
    attempt::{Attempt, Role},
    outcome::Outcome,
    project::Project,
    task::{Status, Task},
    time::Timestamp,
};

/// The kind of a task that was at work where it came from.
pub const IMPORTED_LIVE: &str = "imported_live";

/// A project whose rows lie ready beside the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Where its rows lie: a name that means something to the store only.
    pub name: String,
    /// The project as it comes, under the id that it gets.
    pub project: Project,
    /// Its oldest event.
    pub first_event: u64,
    /// The board that it comes from.
    pub board_id: String,
    /// Tasks that were at work there and are blocked here.
    pub were_live: u64,
}

/// Ends what was open where a task comes from. Nobody here knows what has become of an agent there: its attempt is
/// `lost`, without a reason, and a task that it had in hand waits for a person. Whether anything had to be changed.
pub fn settle(task: &mut Task, attempts: &mut [Attempt], now: Timestamp) -> bool {
    let mut had_it = matches!(task.state.status, Status::Claimed | Status::Working);
    let mut changed = had_it || task.state.open.is_some();
    for a in attempts.iter_mut().filter(|a| a.is_open()) {
        // One that is being stopped may still be at work: its task is not given to another.
        had_it |= a.role == Role::Executor && task.state.status == Status::Pending;
        changed = true;
        a.outcome = Some(Outcome::Lost);
        a.completed_at = Some(now.max(a.started_at));
        if let Value::Object(metadata) = &mut a.metadata {
            metadata.insert(IMPORTED_LIVE.into(), Value::Bool(true));
        }
    }
    if !changed {
        return false;
    }
    task.state.open = None;
    task.version = task.version.saturating_add(1);
    task.updated_at = now.max(task.updated_at);
    if had_it {
        task.state.status = Status::Blocked;
        task.state.kind = Some(IMPORTED_LIVE.into());
        task.state.detail = Some("an agent was at work on it when it was exported".into());
        task.state.set_by = None;
    }
    true
}
