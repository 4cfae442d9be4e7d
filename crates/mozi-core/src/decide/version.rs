//! Commands that count only for the version that their author has seen.

use super::{Desk, carry_out};
use crate::{
    change::Reply,
    command::{Command, Versioned},
    refusal::Refusal,
};

pub(super) fn if_version(d: &mut Desk<'_>, versions: &[u64], command: &Command) -> Result<Reply, Refusal> {
    let current = match command.changes() {
        Some(Versioned::Task(key)) => d.state.tasks.get(key).map(|t| t.version),
        Some(Versioned::Project(id)) => d.state.projects.get(id).map(|p| p.version),
        None => None,
    };
    let done = carry_out(d, command);
    match (done, current) {
        // Whoever may not know of it is not told its version.
        (Err(e @ (Refusal::Unauthenticated | Refusal::Forbidden { .. } | Refusal::NotFound { .. })), _) => {
            Err(e)
        }
        (_, Some(current)) if !versions.contains(&current) => Err(Refusal::VersionMismatch { current }),
        (done, _) => done,
    }
}
