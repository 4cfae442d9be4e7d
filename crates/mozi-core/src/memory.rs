//! A whole board in memory: the model that stores are tested against. Not for production: nothing is durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    agent::{Agent, Runner},
    attempt::{Attempt, Usage},
    change::{Change, Decision},
    command::Request,
    comment::Comment,
    decide,
    event::Event,
    id::{AgentId, AttemptNumber, ProjectId, RunnerId, SessionId, TaskId, TaskKey},
    output::Output,
    project::Project,
    refusal::Refusal,
    session::Session,
    state::{Needs, State},
    task::{Dependency, Task, Until},
    time::Timestamp,
    token::{Identity, Token, TokenHash},
    user::{self, User},
};

mod load;

/// Every row of a board. A clone is a savepoint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryBoard {
    /// Projects by id.
    pub projects: BTreeMap<ProjectId, Project>,
    /// Tasks by key.
    pub tasks: BTreeMap<TaskKey, Task>,
    /// The digests of the bodies that made the tasks.
    pub fingerprints: BTreeMap<TaskKey, String>,
    /// The tasks in the order of their creation.
    pub created: Vec<TaskKey>,
    /// What each task waits for.
    pub dependencies: BTreeMap<TaskKey, BTreeMap<TaskId, Until>>,
    /// Attempts by task and number.
    pub attempts: BTreeMap<(TaskKey, AttemptNumber), Attempt>,
    /// Tokens and money by attempt.
    pub usage: BTreeMap<(TaskKey, AttemptNumber), Vec<Usage>>,
    /// Sessions by id.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Outputs by task and number.
    pub outputs: BTreeMap<(TaskKey, u32), Output>,
    /// Comments by task and number.
    pub comments: BTreeMap<(TaskKey, u32), Comment>,
    /// Agents by id.
    pub agents: BTreeMap<AgentId, Agent>,
    /// Runners by id.
    pub runners: BTreeMap<RunnerId, Runner>,
    /// Users by name, as it is compared.
    pub users: BTreeMap<String, User>,
    /// Tokens by name.
    pub tokens: BTreeMap<String, Token>,
    /// All events, in the order of their commits.
    pub events: Vec<Event>,
    /// The newest event id of the stream of what belongs to no project.
    pub stream_last: u64,
    /// Something has run, or could have, since the board last came to rest.
    pub at_work: bool,
    /// Boards whose rows lie ready to be taken in, by name: each with one project, under the id that it gets.
    pub staged: BTreeMap<String, MemoryBoard>,
    /// The newest event of each project that was forgotten.
    pub forgotten: BTreeMap<ProjectId, u64>,
}

/// Why a change cannot be applied: always a mistake of whoever decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyError {
    /// It changes something that is not there.
    Missing(String),
    /// It inserts something that is there already.
    Exists(String),
    /// The task has an open attempt already.
    SecondOpenAttempt(TaskKey),
    /// The number does not follow the one before.
    OutOfOrder(String),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "{what} is not there"),
            Self::Exists(what) => write!(f, "{what} is there already"),
            Self::SecondOpenAttempt(key) => {
                write!(f, "task {} of project {} has an open attempt already", key.task, key.project)
            }
            Self::OutOfOrder(what) => write!(f, "{what} does not follow the one before"),
        }
    }
}

impl std::error::Error for ApplyError {}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum Failed {
    /// The rules refused it.
    Refused(Refusal),
    /// The rules decided what cannot be written: a mistake in them.
    Broken(ApplyError),
}

impl MemoryBoard {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// Carries a command out, all of it or nothing.
    ///
    /// # Errors
    /// When the rules refuse it, or decide what cannot be written; then nothing has changed.
    pub fn submit(&mut self, request: &Request) -> Result<Decision, Failed> {
        let decision = decide(self.load(&request.needs()), request).map_err(Failed::Refused)?;
        let mut next = self.clone();
        for change in &decision.changes {
            next.apply(change).map_err(Failed::Broken)?;
        }
        *self = next;
        Ok(decision)
    }

    /// The slice of the board that `needs` names.
    pub fn load(&self, needs: &Needs) -> State {
        load::load(self, needs)
    }

    /// Whose a credential is at `now`.
    pub fn identify(&self, hash: TokenHash, now: Timestamp) -> Identity {
        load::identify(self, hash, now).0
    }

    /// Writes one change.
    ///
    /// # Errors
    /// When it does not fit the rows that are there.
    pub fn apply(&mut self, change: &Change) -> Result<(), ApplyError> {
        match change {
            Change::InsertProject(p) => insert(&mut self.projects, p.id.clone(), p, "project"),
            Change::UpdateProject(p) => {
                let row = find(&mut self.projects, &p.id, "project")?;
                row.name.clone_from(&p.name);
                row.settings.clone_from(&p.settings);
                row.archived = p.archived;
                row.version = p.version;
                row.updated_at = p.updated_at;
                Ok(())
            }
            Change::CountProject { id, next_task, last_event, counts } => {
                let row = find(&mut self.projects, id, "project")?;
                row.next_task = *next_task;
                row.last_event = *last_event;
                row.counts = *counts;
                Ok(())
            }
            Change::InsertTask { task, fingerprint } => {
                find(&mut self.projects, &task.key.project, "project")?;
                self.fingerprints.insert(task.key.clone(), fingerprint.clone());
                self.created.push(task.key.clone());
                insert(&mut self.tasks, task.key.clone(), task, "task")
            }
            Change::UpdateTaskSpec(t) => {
                let row = find(&mut self.tasks, &t.key, "task")?;
                row.spec.clone_from(&t.spec);
                row.version = t.version;
                row.updated_at = t.updated_at;
                Ok(())
            }
            Change::UpdateTaskState(t) => {
                let row = find(&mut self.tasks, &t.key, "task")?;
                row.state.clone_from(&t.state);
                row.version = t.version;
                row.updated_at = t.updated_at;
                Ok(())
            }
            Change::PutDependency { key, on, until } => {
                find(&mut self.tasks, key, "task")?;
                find(&mut self.tasks, &TaskKey::new(key.project.clone(), on.clone()), "task")?;
                self.dependencies.entry(key.clone()).or_default().insert(on.clone(), *until);
                Ok(())
            }
            Change::DeleteDependency { key, on } => {
                let row = find(&mut self.dependencies, key, "dependencies of task")?;
                row.remove(on).map(|_| ()).ok_or_else(|| ApplyError::Missing(format!("dependency on {on}")))
            }
            Change::ShiftUnmet { key, by } => {
                let row = find(&mut self.tasks, key, "task")?;
                row.state.unmet =
                    row.state.unmet.checked_add_signed(*by).ok_or_else(|| {
                        ApplyError::OutOfOrder(format!("the unmet count of task {}", key.task))
                    })?;
                Ok(())
            }
            Change::Adopt { name, project, before, here } => self.adopt(name, project, *before, *here),
            Change::InsertAttempt(a) => self.insert_attempt(a),
            Change::UpdateAttempt(a) => {
                *find(&mut self.attempts, &(a.key.clone(), a.number), "attempt")? = (**a).clone();
                Ok(())
            }
            Change::InsertUsage { key, number, rows } => {
                let at = (key.clone(), *number);
                find(&mut self.attempts, &at, "attempt")?;
                insert(&mut self.usage, at, rows, "usage")
            }
            Change::PutSession(s) => {
                self.sessions.insert(s.id, (**s).clone());
                Ok(())
            }
            Change::DeleteSession(id) => self
                .sessions
                .remove(id)
                .map(|_| ())
                .ok_or_else(|| ApplyError::Missing(format!("session {id}"))),
            Change::InsertOutput(o) => insert(&mut self.outputs, (o.key.clone(), o.id), o, "output"),
            Change::InsertComment(c) => {
                let row = find(&mut self.tasks, &c.key, "task")?;
                if c.id != row.state.next_comment {
                    return Err(ApplyError::OutOfOrder(format!("comment {} of task {}", c.id, c.key.task)));
                }
                row.state.next_comment = c.id.saturating_add(1);
                insert(&mut self.comments, (c.key.clone(), c.id), c, "comment")
            }
            Change::PutAgent(a) => {
                self.agents.insert(a.id.clone(), (**a).clone());
                Ok(())
            }
            Change::PutRunner(r) => {
                self.runners.insert(r.id.clone(), (**r).clone());
                Ok(())
            }
            Change::PutUser(u) => {
                self.users.insert(user::folded(&u.name), (**u).clone());
                Ok(())
            }
            Change::PutToken(t) => {
                self.tokens.insert(t.name.clone(), (**t).clone());
                Ok(())
            }
            Change::InsertEvent(e) => {
                let last = self.events.iter().rev().find(|x| x.project == e.project).map_or(0, |x| x.id);
                if e.id != last.saturating_add(1) {
                    return Err(ApplyError::OutOfOrder(format!("event {} after {last}", e.id)));
                }
                self.events.push((**e).clone());
                Ok(())
            }
            // What a log is kept for is no row of this model.
            Change::ExpireLog { .. } => Ok(()),
            Change::ForgetEvents { project, up_to } => {
                self.events.retain(|e| e.project.as_ref() != Some(project) || e.id > *up_to);
                let newest = self.forgotten.entry(project.clone()).or_default();
                *newest = (*newest).max(*up_to);
                Ok(())
            }
            Change::CountStream { last_event } => {
                self.stream_last = *last_event;
                Ok(())
            }
            Change::SetRest { at_rest } => {
                self.at_work = !*at_rest;
                Ok(())
            }
        }
    }

    fn insert_attempt(&mut self, a: &Attempt) -> Result<(), ApplyError> {
        find(&mut self.tasks, &a.key, "task")?;
        if a.is_open() && self.open_attempt(&a.key).is_some() {
            return Err(ApplyError::SecondOpenAttempt(a.key.clone()));
        }
        if self.sessions.values().any(|s| s.id == a.session_id && s.attempt.is_some()) {
            return Err(ApplyError::Exists(format!("an attempt of session {}", a.session_id)));
        }
        insert(&mut self.attempts, (a.key.clone(), a.number), a, "attempt")
    }

    fn adopt(&mut self, name: &str, project: &ProjectId, before: u64, here: u64) -> Result<(), ApplyError> {
        find(&mut self.projects, project, "project")?;
        let Some(from) = self.staged.get(name).cloned() else {
            return Err(ApplyError::Missing(format!("what was staged as {name}")));
        };
        self.tasks.extend(from.tasks);
        self.fingerprints.extend(from.fingerprints);
        self.created.extend(from.created);
        self.dependencies.extend(from.dependencies);
        self.attempts.extend(from.attempts);
        self.usage.extend(from.usage);
        self.outputs.extend(from.outputs);
        self.comments.extend(from.comments);
        // What was pruned elsewhere is not here either.
        if before == here && before > 0 {
            self.forgotten.insert(project.clone(), before);
        }
        for e in from.events {
            let id = e.id.saturating_sub(before).saturating_add(here);
            self.events.push(Event { id, ..e });
        }
        Ok(())
    }

    /// The attempts of a task, in order.
    pub fn attempts_of(&self, key: &TaskKey) -> impl Iterator<Item = &Attempt> + use<'_> {
        self.attempts.range((key.clone(), 0)..=(key.clone(), AttemptNumber::MAX)).map(|(_, a)| a)
    }

    /// The open attempt of a task.
    pub fn open_attempt(&self, key: &TaskKey) -> Option<&Attempt> {
        self.attempts_of(key).find(|a| a.is_open())
    }

    /// What a task waits for, with the statuses as they are.
    pub fn dependencies_of(&self, key: &TaskKey) -> Vec<Dependency> {
        let on_all = self.dependencies.get(key).into_iter().flatten();
        on_all
            .filter_map(|(on, until)| {
                let status = self.tasks.get(&TaskKey::new(key.project.clone(), on.clone()))?.state.status;
                Some(Dependency { on: on.clone(), until: *until, status })
            })
            .collect()
    }

    /// The events of a task, oldest first.
    pub fn events_of<'a>(&'a self, key: &TaskKey) -> impl Iterator<Item = &'a Event> + use<'a> {
        let key = key.clone();
        self.events
            .iter()
            .filter(move |e| e.project.as_ref() == Some(&key.project) && e.task.as_ref() == Some(&key.task))
    }

    /// All open sessions.
    pub fn live(&self) -> Vec<Session> {
        self.sessions.values().filter(|s| s.is_open()).cloned().collect()
    }

    /// The projects in which no more sessions fit.
    pub(crate) fn full_projects(&self) -> BTreeSet<ProjectId> {
        let mut held: BTreeMap<&ProjectId, u64> = BTreeMap::new();
        for (key, _) in self.sessions.values().filter(|s| s.is_open()).filter_map(|s| s.attempt.as_ref()) {
            let n = held.entry(&key.project).or_default();
            *n = n.saturating_add(1);
        }
        let full = |p: &&Project| {
            p.settings.max_sessions.is_some_and(|max| held.get(&p.id).copied().unwrap_or(0) >= u64::from(max))
        };
        self.projects.values().filter(full).map(|p| p.id.clone()).collect()
    }
}

fn insert<K: Ord + fmt::Debug, V: Clone>(
    rows: &mut BTreeMap<K, V>,
    key: K,
    row: &V,
    what: &str,
) -> Result<(), ApplyError> {
    if rows.contains_key(&key) {
        return Err(ApplyError::Exists(format!("{what} {key:?}")));
    }
    rows.insert(key, row.clone());
    Ok(())
}

fn find<'a, K: Ord + fmt::Debug, V>(
    rows: &'a mut BTreeMap<K, V>,
    key: &K,
    what: &str,
) -> Result<&'a mut V, ApplyError> {
    rows.get_mut(key).ok_or_else(|| ApplyError::Missing(format!("{what} {key:?}")))
}
