//! The board at a glance, from counts that are kept and the ends of indexes: never by reading what has long ended.

use std::{collections::BTreeMap, time::Duration};

use mozi_core::{
    ProjectId, Role, Session, Status, TaskKey, Timestamp,
    project::Review,
    task::{StatusCounts, Until},
    waiting::{self, WaitingFor},
};
use rusqlite::{Params, Row, params};

use super::{Answer, Snapshot, list::Ground};
use crate::{
    Delayed, EndedLine, Listed, Overview, OverviewQuery, PAGE_LIMIT, RunningLine, Spent, TaskLine,
    WaitingGroup,
    sqlite::{
        load::{self, all, as_limit, one, select},
        rows::{self, Columns, Sql, bad, int},
    },
};

/// So many ended tasks are counted.
const COUNTED: u64 = 10_000;
/// So many are counted of what waits for a person, for a time, or in one group.
const COUNTED_WAITING: u64 = 1_000;
/// So many are counted in all groups together; of the rest of them a few each.
const COUNTED_GROUPS: u64 = 5_000;
const COUNTED_AT_LEAST: u64 = 10;
/// So many attempts are asked what they cost.
const COUNTED_SPENT: u64 = 2_000;
/// So many groups of the queue are looked at.
const GROUPS: usize = 1_000;
/// So many of the tasks that ended badly last are asked who waits for them, of each project and status.
const BAD_ENDS: i64 = 300;

const LINE: &str =
    "project_id, task_id, title, status, kind, detail, last_attempt, reviewer_given_up, updated_at";

const PLACE: &str =
    "project_id, reviewer, last_event, pending, claimed, working, review, done, failed, blocked, cancelled";

/// As in the index `tasks_desk`: what waits for a person.
macro_rules! desk {
    ($columns:expr, $rest:literal) => {
        select!(
            $columns,
            concat!(
                "tasks INDEXED BY tasks_desk WHERE (status = 'blocked' AND coalesce(kind, '') NOT IN ('held', 'dry_run')
                 OR status = 'review' AND open_role IS NOT 'reviewer') AND project_id = ?1 AND status = ?2",
                $rest
            )
        )
    };
}

/// What an overview has to know of a project.
struct Place {
    id: ProjectId,
    counts: StatusCounts,
    /// A person reviews where a task does not say otherwise.
    human: bool,
    last_event: u64,
}

fn line(row: &Row<'_>) -> Sql<TaskLine> {
    let mut c = Columns::from(row, 0);
    Ok(TaskLine {
        key: c.key()?,
        title: c.get()?,
        status: c.word(Status::parse)?,
        kind: c.get()?,
        detail: c.get()?,
        attempts: c.get()?,
        reviewer_given_up: c.get()?,
        updated_at: c.time()?,
    })
}

impl Snapshot<'_> {
    pub(crate) fn overview(&self, query: &OverviewQuery, now: Timestamp) -> Answer<Overview> {
        let limit = query.limit.clamp(1, PAGE_LIMIT);
        let places = self.places(query.project.as_ref())?;
        let ground = self.ground(now)?;
        let mut o = Overview { counts: sum(places.iter().map(|p| p.counts)), ..Overview::default() };
        o.last_event = match (&query.project, places.first()) {
            (Some(_), place) => place.map_or(0, |p| p.last_event),
            (None, _) => self.last_seq()?,
        };
        let mut ended = [Listed::default(), Listed::default(), Listed::default()];
        o.spent.exact = true;
        for place in &places {
            self.desk(place, limit, &mut o)?;
            for (status, list) in ENDS.iter().zip(&mut ended) {
                self.ends(place, *status, query.since, limit, list)?;
            }
            self.spent(place, query.since, &mut o.spent)?;
        }
        for list in [&mut o.reviews, &mut o.blocked] {
            list.items.sort_by_key(|t| t.updated_at);
            list.items.truncate(limit);
        }
        self.ended(ended, limit, &mut o)?;
        o.running = self.running(query.project.as_ref(), &ground, limit)?;
        o.waiting = self.waiting(&places, &ground, limit)?;
        o.delayed = self.delayed(query.project.as_ref())?;
        let mine = |runner: &mozi_core::Runner| {
            ground.agents.values().any(|a| a.configured && a.runner_id == runner.id)
        };
        o.runners = ground.runners.values().filter(|r| !r.online && mine(r)).cloned().collect();
        let troubled = |a: &&mozi_core::Agent| {
            a.configured && (a.held_back.is_some() || a.paused.as_ref().is_some_and(|p| p.holds(now)))
        };
        o.agents = ground.agents.values().filter(troubled).cloned().collect();
        Ok(o)
    }

    fn places(&self, project: Option<&ProjectId>) -> Sql<Vec<Place>> {
        let read = |row: &Row<'_>| {
            let mut c = Columns::from(row, 0);
            let id = c.id()?;
            let human = matches!(c.word(|w| Review::parse(w).ok())?, Review::Human | Review::None);
            let last_event = c.count()?;
            let mut counts = [0; 8];
            for n in &mut counts {
                *n = c.count()?;
            }
            Ok(Place { id, counts: StatusCounts::from_array(counts), human, last_event })
        };
        match project {
            Some(id) => all(self.db, select!(PLACE, "projects WHERE project_id = ?1"), [id.as_str()], read),
            None => all(self.db, select!(PLACE, "projects ORDER BY project_id"), [], read),
        }
    }

    /// How many rows there are, counted up to a limit.
    fn counted(&self, sql: &str, limit: u64, params: impl Params) -> Sql<(u64, bool)> {
        let n = self.db.prepare_cached(sql)?.query_row(params, |row| Columns::from(row, 0).count())?;
        Ok((n.min(limit), n <= limit))
    }

    /// What waits for a person.
    fn desk(&self, place: &Place, limit: usize, o: &mut Overview) -> Answer<()> {
        let project = place.id.as_str();
        let take = |list: &mut Listed<TaskLine>, status: Status, queued: bool| -> Sql<()> {
            let (count, items) = if queued {
                (
                    desk!(
                        "count(*) FROM (SELECT 1",
                        " AND queue_role = 'reviewer' AND queue_agent = '' LIMIT ?3)"
                    ),
                    desk!(
                        LINE,
                        " AND queue_role = 'reviewer' AND queue_agent = '' ORDER BY updated_at LIMIT ?3"
                    ),
                )
            } else {
                (
                    desk!(
                        "count(*) FROM (SELECT 1",
                        " AND queue_role IS NULL AND queue_agent = '' LIMIT ?3)"
                    ),
                    desk!(LINE, " AND queue_role IS NULL AND queue_agent = '' ORDER BY updated_at LIMIT ?3"),
                )
            };
            let left = COUNTED_WAITING.saturating_sub(list.total);
            let (n, exact) =
                self.counted(count, left, params![project, status.as_str(), int(left.saturating_add(1))])?;
            list.total += n;
            list.exact &= exact;
            if n > 0 {
                let found = all(self.db, items, params![project, status.as_str(), as_limit(limit)], line)?;
                list.items.extend(found);
            }
            Ok(())
        };
        if place.counts.get(Status::Blocked) > 0 {
            take(&mut o.blocked, Status::Blocked, false)?;
        }
        if place.counts.get(Status::Review) > 0 {
            take(&mut o.reviews, Status::Review, false)?;
            if place.human {
                take(&mut o.reviews, Status::Review, true)?;
            }
        }
        Ok(())
    }

    /// Tasks that ended so since then, the newest first.
    fn ends(
        &self,
        place: &Place,
        status: Status,
        since: Timestamp,
        limit: usize,
        list: &mut Listed<TaskLine>,
    ) -> Sql<()> {
        if place.counts.get(status) == 0 {
            return Ok(());
        }
        let left = COUNTED.saturating_sub(list.total);
        let (n, exact) = self.counted(
            "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_updated
             WHERE project_id = ?1 AND status = ?2 AND updated_at >= ?3 LIMIT ?4)",
            left,
            params![place.id.as_str(), status.as_str(), since.as_micros(), int(left.saturating_add(1))],
        )?;
        list.total += n;
        list.exact &= exact;
        if n > 0 {
            list.items.extend(all(
                self.db,
                select!(
                    LINE,
                    "tasks INDEXED BY tasks_updated WHERE project_id = ?1 AND status = ?2 AND updated_at >= ?3
                     ORDER BY updated_at DESC LIMIT ?4"
                ),
                params![place.id.as_str(), status.as_str(), since.as_micros(), as_limit(limit)],
                line,
            )?);
        }
        Ok(())
    }

    fn ended(&self, lists: [Listed<TaskLine>; 3], limit: usize, o: &mut Overview) -> Answer<()> {
        let mut counts = [0; 8];
        for (status, mut list) in ENDS.into_iter().zip(lists) {
            if let Some(n) = counts.get_mut(status as usize) {
                *n = list.total;
            }
            o.ended.total += list.total;
            o.ended.exact &= list.exact;
            list.items.sort_by_key(|t| std::cmp::Reverse(t.updated_at));
            for task in list.items {
                if o.ended.items.len() < limit {
                    o.ended.items.push(self.ended_line(task)?);
                }
            }
        }
        o.ended_counts = StatusCounts::from_array(counts);
        Ok(())
    }

    fn ended_line(&self, task: TaskLine) -> Sql<EndedLine> {
        let (project, id) = (task.key.project.as_str(), task.key.task.as_str());
        let last = one(
            self.db,
            "SELECT agent, outcome, reason, tail_stderr FROM task_attempts
             WHERE project_id = ?1 AND task_id = ?2 AND role = 'executor' ORDER BY attempt_number DESC LIMIT 1",
            [project, id],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<String>>(3)?)),
        )?;
        let (agent, outcome, reason, tail) = last.unwrap_or_default();
        let last_error = tail.as_deref().and_then(last_line);
        let sums = "SELECT sum(completed_at - started_at), sum(c.cost), count(c.cost) < count(*) FROM task_attempts a
             LEFT JOIN (SELECT attempt_number, sum(cost_micro_usd) AS cost FROM attempt_usage
                        WHERE project_id = ?1 AND task_id = ?2 GROUP BY attempt_number) c USING (attempt_number)
             WHERE a.project_id = ?1 AND a.task_id = ?2";
        let (micros, cost_micro_usd, cost_incomplete) = self
            .db
            .prepare_cached(sums)?
            .query_row([project, id], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?, row.get(2)?)))?;
        let worked = Duration::from_micros(micros.and_then(|n| u64::try_from(n).ok()).unwrap_or(0));
        Ok(EndedLine { task, agent, outcome, reason, last_error, worked, cost_micro_usd, cost_incomplete })
    }

    fn spent(&self, place: &Place, since: Timestamp, spent: &mut Spent) -> Sql<()> {
        let left = COUNTED_SPENT.saturating_sub(spent.attempts);
        let sql = "SELECT count(*), count(cost), sum(cost) FROM (SELECT
             (SELECT sum(u.cost_micro_usd) FROM attempt_usage u WHERE u.project_id = a.project_id
              AND u.task_id = a.task_id AND u.attempt_number = a.attempt_number) AS cost
             FROM task_attempts a INDEXED BY task_attempts_ended
             WHERE a.completed_at IS NOT NULL AND a.project_id = ?1 AND a.completed_at >= ?2
             ORDER BY a.completed_at DESC LIMIT ?3)";
        let params = params![place.id.as_str(), since.as_micros(), int(left)];
        let (attempts, known, cost) = self.db.prepare_cached(sql)?.query_row(params, |row| {
            let mut c = Columns::from(row, 0);
            Ok((c.count()?, c.count()?, c.get::<Option<i64>>()?))
        })?;
        spent.attempts += attempts;
        spent.known += known;
        // With the limit reached there may be more.
        spent.exact &= attempts < left;
        if let Some(cost) = cost {
            spent.cost_micro_usd = Some(spent.cost_micro_usd.unwrap_or(0).saturating_add(cost));
        }
        Ok(())
    }

    fn running(
        &self,
        project: Option<&ProjectId>,
        ground: &Ground,
        limit: usize,
    ) -> Sql<Listed<RunningLine>> {
        let of_project = |s: &&Session| {
            project.is_none_or(|p| s.attempt.as_ref().is_some_and(|(key, _)| key.project == *p))
        };
        let sessions: Vec<&Session> = ground.live.iter().filter(of_project).collect();
        let items = sessions.iter().take(limit).map(|s| self.running_line(s, ground)).collect::<Sql<_>>()?;
        Ok(Listed { items, total: sessions.len() as u64, exact: true })
    }

    fn running_line(&self, session: &Session, ground: &Ground) -> Sql<RunningLine> {
        let mut line = RunningLine {
            session: session.clone(),
            title: None,
            status: None,
            role: None,
            timeout: None,
            last_event_at: None,
            runner_online: ground.runners.get(&session.runner_id).is_some_and(|r| r.online),
        };
        let Some((key, number)) = &session.attempt else { return Ok(line) };
        let (project, id) = (key.project.as_str(), key.task.as_str());
        let read = |row: &Row<'_>| {
            let mut c = Columns::from(row, 0);
            Ok((c.get::<String>()?, c.word(Status::parse)?, c.word(Role::parse)?, c.opt_count()?))
        };
        let found = one(
            self.db,
            "SELECT t.title, t.status, a.role, a.timeout_ms FROM tasks t JOIN task_attempts a
             ON a.project_id = t.project_id AND a.task_id = t.task_id AND a.attempt_number = ?3
             WHERE t.project_id = ?1 AND t.task_id = ?2",
            params![project, id, number],
            read,
        )?;
        if let Some((title, status, role, timeout)) = found {
            line.title = Some(title);
            line.status = Some(status);
            line.role = Some(role);
            line.timeout = timeout.map(Duration::from_millis);
        }
        line.last_event_at = one(
            self.db,
            "SELECT at FROM events WHERE project_id = ?1 AND task_id = ?2 ORDER BY id DESC LIMIT 1",
            [project, id],
            |row| Columns::from(row, 0).time(),
        )?;
        Ok(line)
    }

    /// What tasks wait for, in groups: the queue is ordered by whom they wait for, so a group is one look.
    fn waiting(&self, places: &[Place], ground: &Ground, limit: usize) -> Answer<Vec<WaitingGroup>> {
        let mut groups: BTreeMap<String, WaitingGroup> = BTreeMap::new();
        let mut add = |waits_for: WaitingFor, tasks: u64, exact: bool, example: TaskKey| {
            let group = groups.entry(waits_for.to_string());
            let group = group.or_insert(WaitingGroup { waits_for, tasks: 0, exact: true, example });
            group.tasks += tasks;
            group.exact &= exact;
        };
        for place in places.iter().filter(|p| p.counts.get(Status::Pending) > 0) {
            for status in [Status::Failed, Status::Cancelled] {
                if place.counts.get(status) > 0 {
                    for (on, tasks, example) in self.dead_ends(place, status)? {
                        let wait = WaitingFor::Dependency { task_id: on, status, until: Until::Done };
                        add(wait, tasks, true, example);
                    }
                }
            }
        }
        let mut after = (String::new(), String::new(), String::new());
        let next = "SELECT queue_agent, project_id, queue_role FROM tasks WHERE queue_role IS NOT NULL
            AND queue_from IS NULL AND (queue_agent, project_id, queue_role) > (?1, ?2, ?3)
            ORDER BY queue_agent, project_id, queue_role LIMIT 1";
        let mut budget = COUNTED_GROUPS;
        for _ in 0..GROUPS {
            let place = one(self.db, next, [&after.0, &after.1, &after.2], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            let Some(place) = place else { break };
            after = place;
            let (agent, project, role) = &after;
            let Some(place) = places.iter().find(|p| p.id.as_str().eq_ignore_ascii_case(project)) else {
                continue;
            };
            let role = Role::parse(role).ok_or_else(|| bad(role.as_str()))?;
            // A person decides: told elsewhere.
            if role == Role::Reviewer && agent.is_empty() && place.human {
                continue;
            }
            let Some((wait, example)) = self.first_of_group(place, agent, role, ground)? else { continue };
            let upto = budget.clamp(COUNTED_AT_LEAST, COUNTED_WAITING);
            let (tasks, exact) = self.counted(
                "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE queue_role IS NOT NULL AND queue_from IS NULL
                 AND queue_agent = ?1 AND project_id = ?2 AND queue_role = ?3 LIMIT ?4)",
                upto,
                params![agent, project, role.as_str(), int(upto.saturating_add(1))],
            )?;
            budget = budget.saturating_sub(tasks);
            add(wait, tasks, exact, example);
        }
        let mut groups: Vec<WaitingGroup> = groups.into_values().collect();
        groups.sort_by_key(|g| (!g.waits_for.needs_somebody(), std::cmp::Reverse(g.tasks)));
        groups.truncate(limit);
        Ok(groups)
    }

    /// What the first task of a group waits for: the others of it wait for the same.
    fn first_of_group(
        &self,
        place: &Place,
        agent: &str,
        role: Role,
        ground: &Ground,
    ) -> Answer<Option<(WaitingFor, TaskKey)>> {
        let first = one(
            self.db,
            "SELECT id FROM tasks WHERE queue_role IS NOT NULL AND queue_from IS NULL AND queue_agent = ?1
             AND project_id = ?2 AND queue_role = ?3 ORDER BY priority, created_at LIMIT 1",
            params![agent, place.id.as_str(), role.as_str()],
            |row| row.get::<_, i64>(0),
        )?;
        let by_id = select!(rows::TASK, "tasks t JOIN task_texts x USING (id) WHERE t.id = ?1");
        let task = first.map(|id| one(self.db, by_id, [id], rows::task)).transpose()?.flatten();
        let (Some(task), Some(project)) = (task, load::project(self.db, &place.id)?) else { return Ok(None) };
        let waits = waiting::claimability(&task, &project, &[], None, ground.floor()).waiting_for;
        let wait = waits.iter().find(|w| w.needs_somebody()).or_else(|| waits.first());
        Ok(wait.map(|w| (w.clone(), task.key.clone())))
    }

    /// Tasks that ended so and that pending ones wait for in vain, each with how many do, and one of those.
    fn dead_ends(&self, place: &Place, status: Status) -> Sql<Vec<(mozi_core::TaskId, u64, TaskKey)>> {
        all(
            self.db,
            "SELECT e.task_id, count(*), w.task_id FROM (SELECT task_id FROM tasks INDEXED BY tasks_updated
                WHERE project_id = ?1 AND status = ?2 ORDER BY updated_at DESC LIMIT ?3) e
             CROSS JOIN dependencies d ON d.project_id = ?1 AND d.depends_on = e.task_id AND d.until <> 'ended'
             CROSS JOIN tasks w ON w.project_id = ?1 AND w.task_id = d.task_id AND w.status = 'pending'
             GROUP BY e.task_id",
            params![place.id.as_str(), status.as_str(), BAD_ENDS],
            |row| {
                let mut c = Columns::from(row, 0);
                Ok((c.id()?, c.count()?, TaskKey::new(place.id.clone(), c.id()?)))
            },
        )
    }

    fn delayed(&self, project: Option<&ProjectId>) -> Sql<Delayed> {
        let sql = "SELECT count(*), min(queue_from), (SELECT count(*) FROM (SELECT 1 FROM tasks
                WHERE queue_from IS NOT NULL LIMIT ?2)) < ?2
             FROM (SELECT project_id, queue_from FROM tasks WHERE queue_from IS NOT NULL ORDER BY queue_from LIMIT ?2)
             WHERE ?1 IS NULL OR project_id = ?1";
        let params = params![project.map(ProjectId::as_str), int(COUNTED_WAITING)];
        let (tasks, next_at, exact) = self.db.prepare_cached(sql)?.query_row(params, |row| {
            let mut c = Columns::from(row, 0);
            Ok((c.count()?, c.opt_time()?, c.get()?))
        })?;
        let next = next_at.map(|at: Timestamp| {
            let first =
                select!(LINE, "tasks WHERE queue_from = ?1 AND (?2 IS NULL OR project_id = ?2) LIMIT 1");
            one(self.db, first, params![at.as_micros(), project.map(ProjectId::as_str)], line)
        });
        Ok(Delayed { tasks, next_at, exact, next: next.transpose()?.flatten() })
    }
}

/// The last line that says something.
fn last_line(text: &str) -> Option<String> {
    text.lines().rev().map(str::trim).find(|l| !l.is_empty()).map(str::to_owned)
}

/// How tasks end, what went wrong first.
const ENDS: [Status; 3] = [Status::Failed, Status::Done, Status::Cancelled];

fn sum(all: impl Iterator<Item = StatusCounts>) -> StatusCounts {
    let mut sum = [0_u64; 8];
    for counts in all {
        for (n, more) in sum.iter_mut().zip(counts.to_array()) {
            *n = n.saturating_add(more);
        }
    }
    StatusCounts::from_array(sum)
}
