//! Looking at session directories and at the board's open sessions: what reconciling is decided on.

use std::collections::{BTreeMap, BTreeSet};

use mozi_api::runner::OpenSession;
use mozi_core::SessionId;
use mozi_supervise::{Error, Probe, SessionDir};

use crate::reconcile::Dir;
use crate::shared::Shared;
use crate::step::{Failure, Sighting};

/// Looks at directories first and asks the board second. With `all` every directory is looked at, else those of open
/// sessions; what is in `skip` needs no look.
pub(crate) async fn look(
    shared: &Shared,
    all: bool,
    skip: BTreeSet<SessionId>,
) -> Result<Vec<Sighting>, Failure> {
    // Which directories matter is asked before, too: what is open is a handful, what lies there may be a million.
    let before = open_sessions(shared).await?;
    let wanted: BTreeSet<_> = before.keys().copied().filter(|id| !skip.contains(id)).collect();
    if wanted.is_empty() && !all {
        return Ok(Vec::new());
    }
    let (sessions, board_id) = (shared.config().sessions_dir(), shared.board_id.clone());
    let dirs = shared
        .blocking(move || {
            let mut dirs = BTreeMap::new();
            for id in &wanted {
                dirs.insert(*id, state(&SessionDir::at(sessions.join(id.to_string())), &board_id));
            }
            if all {
                for dir in SessionDir::list(&sessions).into_iter().flatten() {
                    let Ok(id) = dir.session_id().parse::<SessionId>() else { continue };
                    // An ended one that nobody waits for is looked at with one call: most are.
                    let settled = !wanted.contains(&id) && dir.exit_path().exists();
                    if !settled && !skip.contains(&id) && !dirs.contains_key(&id) {
                        dirs.insert(id, state(&dir, &board_id));
                    }
                }
            }
            dirs
        })
        .await
        .ok_or(Failure::Passing)?;
    let mut after = open_sessions(shared).await?;
    Ok(dirs
        .into_iter()
        .map(|(id, dir)| Sighting { session_id: id, dir, open: after.remove(&id).map(Box::new) })
        .collect())
}

async fn open_sessions(shared: &Shared) -> Result<BTreeMap<SessionId, OpenSession>, Failure> {
    match shared.client.runner_sessions(&shared.id).await {
        Ok(open) => Ok(open.into_iter().map(|open| (open.session.session_id.0, open)).collect()),
        Err(error) => {
            tracing::warn!("could not ask the board for open sessions: {error}");
            Err(if error.is_passing() { Failure::Passing } else { Failure::Refused })
        }
    }
}

fn state(dir: &SessionDir, board_id: &str) -> Dir {
    match dir.read_spec() {
        Ok(spec) if spec.board_id != board_id => return Dir::Foreign,
        Err(Error::Newer { .. }) => return Dir::Foreign,
        // Without one it was being made, or closed before it was made: it is ours.
        Ok(_) | Err(_) => {}
    }
    match dir.probe() {
        Ok(Probe::Missing) => Dir::Missing,
        Ok(Probe::Ended(_)) => Dir::Ended,
        Ok(Probe::Running(_)) => Dir::Running,
        // What is wrong with its lock shows when it is followed.
        Ok(Probe::Dead) | Err(_) => Dir::Dead,
    }
}
