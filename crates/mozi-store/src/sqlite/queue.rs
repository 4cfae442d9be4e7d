//! The queue of ready tasks. Its index holds what could run now; delayed tasks wait in an index of their own and are
//! moved over when their time has come, so that neither they nor the tasks of other agents are looked at by a claim.

use std::collections::{BTreeMap, BTreeSet};

use mozi_core::{
    AgentId, Project, ProjectId, Role, Session, State, Task, Timestamp,
    project::Dispatch,
    state::ClaimNeeds,
    waiting::{self, Floor},
};
use rusqlite::{Connection, params};

use super::{
    load::{all, as_limit, one, project, select},
    rows::{self, Columns, Sql},
};

/// So many delayed tasks become ready in one command at most; the next command goes on.
const PROMOTED: i64 = 2_000;

/// Lets those into the queue whose time has come.
pub(super) fn promote(db: &Connection, now: Timestamp) -> Sql<()> {
    let due = "SELECT 1 FROM tasks WHERE queue_from IS NOT NULL AND queue_from <= ?1";
    if !db.prepare_cached(due)?.exists([now.as_micros()])? {
        return Ok(());
    }
    db.prepare_cached(
        "UPDATE tasks SET queue_from = NULL WHERE id IN (SELECT id FROM tasks
         WHERE queue_from IS NOT NULL AND queue_from <= ?1 ORDER BY queue_from LIMIT ?2)",
    )?
    .execute(params![now.as_micros(), PROMOTED])
    .map(|_| ())
}

/// Where a ready task stands in the order of claims.
type Rank = (i64, i64, i64);

/// Ready tasks for a claim, in order: for each agent and role that is free to work, as many as can be claimed.
/// `state` holds the agents, their runners and the open sessions.
pub(super) fn ready(db: &Connection, claim: &ClaimNeeds, state: &State, now: Timestamp) -> Sql<Vec<Task>> {
    let floor =
        Floor { agents: &state.agents, runners: &state.runners, live: &state.live, busy: &claim.busy, now };
    let mut projects = Projects { db, floor, known: BTreeMap::new() };
    let mut found: BTreeSet<Rank> = BTreeSet::new();
    for agent in &claim.agents {
        for role in [Role::Executor, Role::Reviewer] {
            if !waiting::agent_blockers(agent, role, floor).is_empty() {
                continue;
            }
            let mut stream = Stream::default();
            for (project, queue_agent) in sources(db, agent, role)? {
                let limit = projects.room(&project)?.map(|room| room.min(claim.limit));
                match limit {
                    Some(0) => {}
                    // A project with a limit of its own takes nothing from what the others may fill.
                    Some(limit) => stream.limited.extend(ranks(db, &project, queue_agent, role, limit, now)?),
                    None => stream.free.extend(ranks(db, &project, queue_agent, role, claim.limit, now)?),
                }
            }
            stream.free.sort_unstable();
            stream.free.truncate(claim.limit);
            found.extend(stream.free.into_iter().chain(stream.limited));
        }
    }
    let by_id = select!(rows::TASK, "tasks t JOIN task_texts x USING (id) WHERE t.id = ?1");
    let tasks = found.into_iter().map(|(_, _, id)| one(db, by_id, [id], rows::task));
    tasks.filter_map(Result::transpose).collect()
}

#[derive(Default)]
struct Stream {
    free: Vec<Rank>,
    limited: Vec<Rank>,
}

/// Projects with ready tasks for `agent` in `role`, and under which name the queue holds them.
fn sources<'a>(db: &Connection, agent: &'a AgentId, role: Role) -> Sql<Vec<(ProjectId, &'a str)>> {
    let mut found = Vec::new();
    // Its own: from project to project, one step in the index each.
    let mut after = String::new();
    let next = "SELECT project_id FROM tasks WHERE queue_role IS NOT NULL AND queue_from IS NULL
        AND queue_agent = ?1 AND project_id > ?2 ORDER BY project_id LIMIT 1";
    while let Some(project) =
        one(db, next, [agent.as_str(), &after], |row| Columns::from(row, 0).id::<ProjectId>())?
    {
        project.as_str().clone_into(&mut after);
        found.push((project, agent.as_str()));
    }
    // Those of projects whose settings name it.
    let sql = match role {
        Role::Executor => {
            "SELECT project_id FROM projects WHERE archived = 0 AND dispatch = 'auto' AND pending > 0
             AND default_agent IS NOT NULL AND default_agent = ?1"
        }
        Role::Reviewer => {
            "SELECT project_id FROM projects WHERE archived = 0 AND dispatch = 'auto' AND review > 0
             AND reviewer = ?1"
        }
    };
    let named = all(db, sql, [agent.as_str()], |row| Columns::from(row, 0).id::<ProjectId>())?;
    found.extend(named.into_iter().map(|p| (p, "")));
    Ok(found)
}

fn ranks(
    db: &Connection,
    project: &ProjectId,
    queue_agent: &str,
    role: Role,
    limit: usize,
    now: Timestamp,
) -> Sql<Vec<Rank>> {
    all(
        db,
        // The due time is looked at once more: a clock that jumped back must not fill the queue with the unclaimable.
        "SELECT priority, created_at, id FROM tasks WHERE queue_role IS NOT NULL AND queue_from IS NULL
         AND queue_agent = ?1 AND project_id = ?2 AND queue_role = ?3 AND (not_before IS NULL OR not_before <= ?5)
         ORDER BY priority, created_at, id LIMIT ?4",
        params![queue_agent, project.as_str(), role.as_str(), as_limit(limit), now.as_micros()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
}

/// How much room projects have, looked at once each.
struct Projects<'a> {
    db: &'a Connection,
    floor: Floor<'a>,
    known: BTreeMap<ProjectId, Option<usize>>,
}

impl Projects<'_> {
    /// How many tasks of the project can be claimed; none = any number.
    fn room(&mut self, id: &ProjectId) -> Sql<Option<usize>> {
        if let Some(room) = self.known.get(id) {
            return Ok(*room);
        }
        let room = match project(self.db, id)? {
            Some(p) => self.measure(&p),
            None => Some(0),
        };
        self.known.insert(id.clone(), room);
        Ok(room)
    }

    fn measure(&self, p: &Project) -> Option<usize> {
        if p.archived || p.settings.dispatch == Dispatch::Manual || self.floor.busy.contains(&p.id) {
            return Some(0);
        }
        let of_project = |s: &&Session| s.attempt.as_ref().is_some_and(|(k, _)| k.project == p.id);
        let max = usize::try_from(p.settings.max_sessions?).unwrap_or(usize::MAX);
        Some(max.saturating_sub(self.floor.live.iter().filter(of_project).count()))
    }
}
