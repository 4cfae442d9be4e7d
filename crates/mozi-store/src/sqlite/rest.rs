//! What is left to do on the board: whether it is at rest.

use std::collections::{BTreeMap, BTreeSet};

use mozi_core::{
    Agent, AgentId, Project, ProjectId, Role, Runner, RunnerId, Session, Timestamp,
    rest::{Queued, is_at_rest},
    task::StatusCounts,
    waiting::Floor,
};
use rusqlite::{Connection, Row, params};

use super::{
    load::{self, all, one, select},
    rows::{self, Columns, Sql},
};

/// So many tasks that wait for a time are looked at.
const DELAYED: i64 = 2_000;

/// Open sessions, and where there is none, what waits for a claim, with all that decides on it.
pub(super) struct Work {
    pub(super) live: Vec<Session>,
    pub(super) queued: Vec<Queued>,
    pub(super) projects: BTreeMap<ProjectId, Project>,
    pub(super) agents: BTreeMap<AgentId, Agent>,
    pub(super) runners: BTreeMap<RunnerId, Runner>,
}

pub(super) fn work(db: &Connection) -> Sql<Work> {
    let live = load::open_sessions(db)?;
    let queued = if live.is_empty() { queued(db)? } else { BTreeSet::new() };
    let mut projects = BTreeMap::new();
    for id in queued.iter().map(|q| &q.project).collect::<BTreeSet<_>>() {
        projects.extend(load::project(db, id)?.map(|p| (p.id.clone(), p)));
    }
    let agents = all(db, select!(rows::AGENT, "agents ORDER BY agent"), [], rows::agent)?;
    Ok(Work {
        live,
        queued: queued.into_iter().collect(),
        projects,
        agents: agents.into_iter().map(|a| (a.id.clone(), a)).collect(),
        runners: load::runners(db)?.into_iter().map(|r| (r.id.clone(), r)).collect(),
    })
}

/// One of each kind: from kind to kind, one step in the index each.
fn queued(db: &Connection) -> Sql<BTreeSet<Queued>> {
    let next = "SELECT queue_agent, project_id, queue_role FROM tasks
        WHERE queue_role IS NOT NULL AND queue_from IS NULL
          AND (queue_agent, project_id, queue_role) > (?1, ?2, ?3)
        ORDER BY queue_agent, project_id, queue_role LIMIT 1";
    let mut found = BTreeSet::new();
    let mut after = (String::new(), String::new(), String::new());
    while let Some((kind, at)) = one(db, next, params![after.0, after.1, after.2], kind)? {
        found.insert(kind);
        after = at;
    }
    let delayed = "SELECT queue_agent, project_id, queue_role FROM tasks WHERE queue_from IS NOT NULL
        ORDER BY queue_from LIMIT ?1";
    found.extend(all(db, delayed, [DELAYED], kind)?.into_iter().map(|(kind, _)| kind));
    Ok(found)
}

fn kind(row: &Row<'_>) -> Sql<(Queued, (String, String, String))> {
    let at: (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let c = &mut Columns::from(row, 1);
    let (project, role) = (c.id()?, c.word(Role::parse)?);
    let agent = if at.0.is_empty() { None } else { Some(Columns::from(row, 0).id()?) };
    Ok((Queued { project, agent, role }, at))
}

/// How many tasks of projects that are not archived are in which status.
pub(super) fn totals(db: &Connection) -> Sql<StatusCounts> {
    let sums =
        "SELECT total(pending), total(claimed), total(working), total(review), total(done), total(failed),
        total(blocked), total(cancelled) FROM projects WHERE archived = 0";
    db.prepare_cached(sums)?.query_row([], |row| {
        let mut counts = [0; 8];
        for (n, count) in counts.iter_mut().enumerate() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
            let sum = row.get::<_, f64>(n)? as u64;
            *count = sum;
        }
        Ok(StatusCounts::from_array(counts))
    })
}

/// Whether the board says of itself that it is at rest and is not, or the other way round.
pub(super) fn has_changed(db: &Connection, now: Timestamp) -> Sql<bool> {
    let stored: bool = db.prepare_cached("SELECT at_rest FROM meta")?.query_row([], |row| row.get(0))?;
    let open = "SELECT 1 FROM sessions INDEXED BY sessions_open WHERE completed_at IS NULL";
    if load::exists(db, open, [])? {
        return Ok(stored);
    }
    let work = work(db)?;
    let floor = Floor { agents: &work.agents, runners: &work.runners, live: &work.live, busy: &[], now };
    Ok(is_at_rest(&work.queued, &work.projects, floor) != stored)
}
