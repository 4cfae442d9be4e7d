//! Tasks with what hangs on them, one by one and in pages.

use std::{cmp::Reverse, collections::BTreeMap};

use mozi_core::{
    Agent, AgentId, Project, Runner, RunnerId, Session, Status, Task, TaskKey, Timestamp,
    task::Dependency,
    waiting::{self, Floor},
};
use rusqlite::{ToSql, params_from_iter};

use super::{
    Answer, Snapshot,
    place::{Place, Rank},
};
use crate::{
    PAGE_LIMIT, Page, TaskQuery, TaskSort, TaskView,
    sqlite::{
        load::{self, as_limit, one, select},
        rows::{self, Sql},
    },
};

/// What claims are decided by, loaded once for a page.
pub(super) struct Ground {
    pub(super) agents: BTreeMap<AgentId, Agent>,
    pub(super) runners: BTreeMap<RunnerId, Runner>,
    pub(super) live: Vec<Session>,
    now: Timestamp,
}

impl Ground {
    pub(super) fn floor(&self) -> Floor<'_> {
        Floor { agents: &self.agents, runners: &self.runners, live: &self.live, busy: &[], now: self.now }
    }
}

impl Snapshot<'_> {
    pub(super) fn ground(&self, now: Timestamp) -> Sql<Ground> {
        Ok(Ground {
            agents: self.all_agents()?.into_iter().map(|a| (a.id.clone(), a)).collect(),
            runners: load::runners(self.db)?.into_iter().map(|r| (r.id.clone(), r)).collect(),
            live: load::open_sessions(self.db)?,
            now,
        })
    }

    fn view(&self, task: Task, project: &Project, ground: &Ground) -> Sql<TaskView> {
        let dependencies: Vec<Dependency> = load::dependencies(self.db, &task.key)?;
        let open = match task.state.open {
            Some(open) => load::attempt(self.db, &task.key, open.number)?,
            None => None,
        };
        let waiting_for = waiting::waiting_for(&task, project, &dependencies, open.as_ref(), ground.floor());
        Ok(TaskView { task, dependencies, open, waiting_for })
    }

    pub(crate) fn task_view(&self, key: &TaskKey, now: Timestamp) -> Answer<Option<TaskView>> {
        let (Some(task), Some(project)) = (load::task(self.db, key)?, load::project(self.db, &key.project)?)
        else {
            return Ok(None);
        };
        Ok(Some(self.view(task, &project, &self.ground(now)?)?))
    }

    pub(crate) fn tasks(&self, query: &TaskQuery, now: Timestamp) -> Answer<Page<TaskView>> {
        let limit = query.limit.clamp(1, PAGE_LIMIT);
        let place = Place::read(query.sort, query.after.as_deref())?;
        let Some(project) = load::project(self.db, &query.project)? else {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        };
        let (mut ranks, mut more) = self.page(query, &project, place, limit)?;
        let mut place = place;
        if let (Place::Behind(_, first), TaskSort::Updated, true) = (place, query.sort, ranks.is_empty()) {
            place = Place::Changed(first);
            (ranks, more) = self.page(query, &project, place, limit)?;
        }
        let next = match (ranks.last(), place) {
            (Some(last), Place::Changed(_)) if more => Place::Changed(*last),
            (Some(last), Place::Start) if more => Place::Behind(*last, *ranks.first().unwrap_or(last)),
            (Some(last), Place::Behind(_, first)) if more => Place::Behind(*last, first),
            // The last page of a list by the last change: what has changed meanwhile follows, if anything has.
            (Some(_), Place::Behind(_, first)) if query.sort == TaskSort::Updated => {
                let changed = Place::Changed(first);
                if self.page(query, &project, changed, 1)?.0.is_empty() { Place::Start } else { changed }
            }
            (None | Some(_), _) => Place::Start,
        };
        let next_cursor = next.cursor(query.sort);
        let ground = self.ground(now)?;
        let by_id = select!(rows::TASK, "tasks t JOIN task_texts x USING (id) WHERE t.id = ?1");
        let mut items = Vec::with_capacity(ranks.len());
        for Rank(_, _, id) in ranks {
            if let Some(task) = one(self.db, by_id, [id], rows::task)? {
                items.push(self.view(task, &project, &ground)?);
            }
        }
        Ok(Page { items, next_cursor })
    }

    /// The places of a page, and whether there are more behind them.
    fn page(
        &self,
        query: &TaskQuery,
        project: &Project,
        place: Place,
        limit: usize,
    ) -> Sql<(Vec<Rank>, bool)> {
        let statuses = if query.statuses.is_empty() { Status::ALL } else { &query.statuses };
        // Each status has an index in every order: the first rows of each, put together.
        let mut ranks = Vec::new();
        for (i, status) in statuses.iter().enumerate() {
            if !statuses.iter().take(i).any(|s| s == status) && project.counts.get(*status) > 0 {
                ranks.extend(self.ranks(query, *status, place, limit.saturating_add(1))?);
            }
        }
        match (query.sort, place) {
            (TaskSort::Priority, _) | (_, Place::Changed(_)) => ranks.sort_unstable(),
            (TaskSort::Updated | TaskSort::Created, _) => ranks.sort_unstable_by_key(|r| Reverse(*r)),
        }
        let more = ranks.len() > limit;
        ranks.truncate(limit);
        Ok((ranks, more))
    }

    fn ranks(&self, query: &TaskQuery, status: Status, place: Place, limit: usize) -> Sql<Vec<Rank>> {
        let (columns, index, from, order) = match query.sort {
            TaskSort::Updated if matches!(place, Place::Changed(_)) => (
                "t.updated_at, 0, t.id",
                "tasks_updated",
                " AND (t.updated_at, t.id) > (?3, ?5) AND ?4 = 0",
                "t.updated_at, t.id",
            ),
            TaskSort::Updated => (
                "t.updated_at, 0, t.id",
                "tasks_updated",
                " AND (t.updated_at, t.id) < (?3, ?5) AND ?4 = 0",
                "t.updated_at DESC, t.id DESC",
            ),
            TaskSort::Created => (
                "t.created_at, 0, t.id",
                "tasks_created",
                " AND (t.created_at, t.id) < (?3, ?5) AND ?4 = 0",
                "t.created_at DESC, t.id DESC",
            ),
            TaskSort::Priority => (
                "t.priority, t.created_at, t.id",
                "tasks_priority",
                " AND (t.priority, t.created_at, t.id) > (?3, ?4, ?5)",
                "t.priority, t.created_at, t.id",
            ),
        };
        let mut values: Vec<Box<dyn ToSql>> =
            vec![Box::new(query.project.as_str().to_owned()), Box::new(status.as_str())];
        let mut sql = format!(
            "SELECT {columns} FROM tasks t INDEXED BY {index} WHERE t.project_id = ?1 AND t.status = ?2"
        );
        let (Rank(a, b, c), after) = match place {
            Place::Start => (Rank(0, 0, 0), false),
            Place::Behind(rank, _) | Place::Changed(rank) => (rank, true),
        };
        values.extend([a, b, c].map(|n| Box::new(n) as Box<dyn ToSql>));
        sql.push_str(if after { from } else { " AND ?3 = 0 AND ?4 = 0 AND ?5 = 0" });
        // A `?` takes the next value.
        let mut filter = |text: &str, with: &[&str]| {
            sql.push_str(text);
            values.extend(with.iter().map(|v| Box::new((*v).to_owned()) as Box<dyn ToSql>));
        };
        if let Some(agent) = &query.agent {
            filter(" AND t.agent = ?", &[agent.as_str()]);
        }
        if let Some(task_type) = &query.task_type {
            filter(" AND t.task_type = ?", &[task_type]);
        }
        for (name, value) in &query.labels {
            let label = " AND EXISTS (SELECT 1 FROM json_each(t.labels) l WHERE l.key = ? AND l.value = ?)";
            filter(label, &[name, value]);
        }
        if let Some(q) = query.q.as_ref().map(|q| q.to_ascii_lowercase()) {
            let text = " AND (instr(lower(t.task_id), ?) OR instr(lower(t.title), ?) OR EXISTS
                (SELECT 1 FROM task_texts x WHERE x.id = t.id AND instr(lower(x.description), ?)))";
            filter(text, &[&q, &q, &q]);
        }
        filter(&format!(" ORDER BY {order} LIMIT {}", as_limit(limit)), &[]);
        let mut rows = self.db.prepare_cached(&sql)?;
        let ranks =
            rows.query_map(params_from_iter(values), |row| Ok(Rank(row.get(0)?, row.get(1)?, row.get(2)?)))?;
        ranks.collect()
    }
}
