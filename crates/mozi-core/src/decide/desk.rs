//! The desk: the loaded slice, changed in place, and what is to be written of it.

use std::collections::{BTreeMap, BTreeSet};

use super::anonymous::is_named;
use crate::{
    agent::Agent,
    attempt::Attempt,
    change::Change,
    command::{Credential, Request},
    event::{Event, EventKind, StatusChange},
    id::{AgentId, AttemptNumber, ProjectId, RunnerId, SessionId, TaskKey},
    project::Project,
    refusal::Refusal,
    session::Session,
    state::State,
    task::{Status, Task},
    time::Timestamp,
    token::{Actor, ActorKind, Identity, UserRole},
};

/// A desk to decide on: the loaded slice, changed in place, and what is to be written of it.
pub(super) struct Desk<'a> {
    pub(super) state: State,
    pub(super) request: &'a Request,
    pub(super) now: Timestamp,
    changes: Vec<Change>,
    /// What was changed in place and is written once, at the end, as it is then.
    tasks: BTreeSet<TaskKey>,
    specs: BTreeSet<TaskKey>,
    attempts: BTreeSet<(TaskKey, AttemptNumber)>,
    sessions: BTreeSet<SessionId>,
    agents: BTreeSet<AgentId>,
    projects: BTreeSet<ProjectId>,
    stream: bool,
    pub(super) warnings: Vec<String>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(mut state: State, request: &'a Request) -> Self {
        match &request.credential {
            Credential::Board => state.identity = Identity::Board,
            Credential::Owner(name) => state.identity = Identity::owner(name),
            Credential::None | Credential::Anonymous | Credential::Token(_) => {}
        }
        Self {
            state,
            request,
            now: request.now,
            changes: Vec::new(),
            tasks: BTreeSet::new(),
            specs: BTreeSet::new(),
            attempts: BTreeSet::new(),
            sessions: BTreeSet::new(),
            agents: BTreeSet::new(),
            projects: BTreeSet::new(),
            stream: false,
            warnings: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Vec<Change> {
        let Self { state, mut changes, tasks, specs, attempts, sessions, agents, projects, stream, .. } =
            self;
        let boxed = |t: &Task| Box::new(t.clone());
        changes.extend(
            specs.iter().filter_map(|k| state.tasks.get(k)).map(|t| Change::UpdateTaskSpec(boxed(t))),
        );
        changes.extend(
            tasks.iter().filter_map(|k| state.tasks.get(k)).map(|t| Change::UpdateTaskState(boxed(t))),
        );
        for a in &state.attempts {
            if attempts.contains(&(a.key.clone(), a.number)) {
                changes.push(Change::UpdateAttempt(Box::new(a.clone())));
            }
        }
        let mut put: BTreeMap<SessionId, &Session> = state.live.iter().map(|s| (s.id, s)).collect();
        put.extend(state.sessions.iter().map(|(id, s)| (*id, s)));
        changes.extend(
            sessions.iter().filter_map(|id| put.get(id)).map(|s| Change::PutSession(Box::new((*s).clone()))),
        );
        changes.extend(
            agents
                .iter()
                .filter_map(|id| state.agents.get(id))
                .map(|a| Change::PutAgent(Box::new(a.clone()))),
        );
        for p in projects.iter().filter_map(|id| state.projects.get(id)) {
            changes.push(Change::CountProject {
                id: p.id.clone(),
                next_task: p.next_task,
                last_event: p.last_event,
                counts: p.counts,
            });
        }
        if stream {
            changes.push(Change::CountStream { last_event: state.stream_last });
        }
        changes
    }

    pub(super) fn write(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Who asks, as events name it.
    pub(super) fn actor(&self) -> Actor {
        let actor = self.state.identity.actor(self.request.via.as_deref());
        // It is taken for the attempt, but nothing has shown that it is.
        if self.request.credential == Credential::Anonymous {
            return Actor { kind: ActorKind::Anonymous, ..actor };
        }
        actor
    }

    /// A warning where the body names somebody else than the token's attempt.
    pub(super) fn check_claimed(&mut self, what: &str, key: &TaskKey, number: AttemptNumber, claimed: &str) {
        let Some(attempt) = self.attempt(key, number) else { return };
        if !is_named(attempt, self.state.agents.get(&attempt.agent), claimed) {
            let agent = attempt.agent.clone();
            self.warn(format!("{what} says {claimed}, the token says {agent}: the token counts"));
        }
    }

    /// Something runs: the board is at rest no longer.
    pub(super) fn begin_work(&mut self) {
        if std::mem::take(&mut self.state.at_rest) {
            self.write(Change::SetRest { at_rest: false });
        }
    }

    // --- rights -----------------------------------------------------------------------------------------------

    /// A user who may write in `project`, or the board itself.
    pub(super) fn person(&self, project: Option<&ProjectId>) -> Result<(), Refusal> {
        match &self.state.identity {
            Identity::Board => Ok(()),
            Identity::Unknown => Err(Refusal::Unauthenticated),
            Identity::User { role, project: scope, .. } => {
                match (scope, project) {
                    (Some(s), Some(p)) if s != p => return Err(Refusal::not_found(format!("project {p}"))),
                    (Some(_), None) => {
                        return Err(Refusal::Forbidden { why: "this token is for one project only".into() });
                    }
                    _ => {}
                }
                if *role >= UserRole::Operator {
                    Ok(())
                } else {
                    Err(Refusal::Forbidden { why: "this token may only read".into() })
                }
            }
            Identity::Attempt { .. } => Err(Refusal::not_found("such thing for an attempt's token")),
            Identity::Runner(_) => Err(Refusal::Forbidden { why: "a runner's token may not do this".into() }),
        }
    }

    /// An administrator, or the board itself.
    pub(super) fn admin(&self) -> Result<(), Refusal> {
        self.person(None)?;
        match &self.state.identity {
            Identity::User { role: UserRole::Viewer | UserRole::Operator, .. } => {
                Err(Refusal::Forbidden { why: "only an admin may do this".into() })
            }
            Identity::User { role: UserRole::Admin, .. }
            | Identity::Board
            | Identity::Unknown
            | Identity::Attempt { .. }
            | Identity::Runner(_) => Ok(()),
        }
    }

    /// This very runner.
    pub(super) fn runner(&self, id: &RunnerId) -> Result<(), Refusal> {
        match &self.state.identity {
            Identity::Runner(me) if me == id => Ok(()),
            Identity::Board => Ok(()),
            Identity::Unknown => Err(Refusal::Unauthenticated),
            Identity::Runner(_) => Err(Refusal::not_found(format!("runner {id} for this token"))),
            Identity::User { .. } | Identity::Attempt { .. } => {
                Err(Refusal::Forbidden { why: "only a runner's token may do this".into() })
            }
        }
    }

    // --- the slice --------------------------------------------------------------------------------------------

    pub(super) fn project(&self, id: &ProjectId) -> Result<&Project, Refusal> {
        self.state.projects.get(id).ok_or_else(|| Refusal::not_found(format!("project {id}")))
    }

    pub(super) fn task(&self, key: &TaskKey) -> Result<&Task, Refusal> {
        self.state
            .tasks
            .get(key)
            .ok_or_else(|| Refusal::not_found(format!("task {} in project {}", key.task, key.project)))
    }

    /// The task, to be changed: it is written, with a new version.
    pub(super) fn change_task(&mut self, key: &TaskKey) -> Result<&mut Task, Refusal> {
        let now = self.now;
        let first = self.tasks.insert(key.clone());
        let task =
            self.state.tasks.get_mut(key).ok_or_else(|| Refusal::not_found(format!("task {}", key.task)))?;
        if first {
            task.version = task.version.saturating_add(1);
            task.updated_at = now;
        }
        Ok(task)
    }

    /// Its text has changed too.
    pub(super) fn change_spec(&mut self, key: &TaskKey) -> Result<&mut Task, Refusal> {
        self.specs.insert(key.clone());
        self.change_task(key)
    }

    pub(super) fn open_attempt(&self, key: &TaskKey) -> Option<&Attempt> {
        self.state.attempts.iter().find(|a| a.key == *key && a.is_open())
    }

    pub(super) fn attempt(&self, key: &TaskKey, number: AttemptNumber) -> Option<&Attempt> {
        self.state.attempts.iter().find(|a| a.key == *key && a.number == number)
    }

    pub(super) fn change_attempt(&mut self, key: &TaskKey, number: AttemptNumber) -> Option<&mut Attempt> {
        self.attempts.insert((key.clone(), number));
        self.state.attempts.iter_mut().find(|a| a.key == *key && a.number == number)
    }

    pub(super) fn session(&self, id: SessionId) -> Result<&Session, Refusal> {
        self.state.sessions.get(&id).ok_or_else(|| Refusal::not_found(format!("session {id}")))
    }

    pub(super) fn change_session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.insert(id);
        self.state.sessions.get_mut(&id)
    }

    pub(super) fn change_agent(&mut self, id: &AgentId) -> Option<&mut Agent> {
        self.agents.insert(id.clone());
        self.state.agents.get_mut(id)
    }

    pub(super) fn change_project(&mut self, id: &ProjectId) -> Option<&mut Project> {
        self.projects.insert(id.clone());
        self.state.projects.get_mut(id)
    }

    // --- events -----------------------------------------------------------------------------------------------

    /// Writes an event of `project`, or of the stream of what belongs to no project; gives its id.
    pub(super) fn emit(&mut self, about: About<'_>, actor: Actor, kind: EventKind) -> u64 {
        let id = if let Some(p) = about.project {
            self.change_project(p).map_or(0, |p| {
                p.last_event = p.last_event.saturating_add(1);
                p.last_event
            })
        } else {
            self.stream = true;
            self.state.stream_last = self.state.stream_last.saturating_add(1);
            self.state.stream_last
        };
        self.changes.push(Change::InsertEvent(Box::new(Event {
            id,
            project: about.project.cloned(),
            task: about.task.map(|k| k.task.clone()),
            attempt_number: about.attempt,
            agent: about.agent.cloned(),
            actor,
            kind,
            at: self.now,
        })));
        id
    }

    /// Moves a task: the row, the event, the counts and what waits for it. The move must be in the table.
    pub(super) fn move_task(
        &mut self,
        key: &TaskKey,
        to: Status,
        actor: Actor,
        why: Move,
    ) -> Result<u64, Refusal> {
        let from = self.task(key)?.state.status;
        let task = self.change_task(key)?;
        task.state.status = to;
        task.state.kind.clone_from(&why.kind);
        task.state.detail.clone_from(&why.detail);
        task.state.set_by = why.set_by;
        if to == Status::Review {
            // The pause before a repetition of the executor is none of the reviewer's.
            task.state.not_before = None;
        }
        if let Some(p) = self.change_project(&key.project) {
            p.counts.shift(Some(from), Some(to));
        }
        let flips: Vec<_> = self
            .state
            .dependents
            .iter()
            .filter(|d| d.on == *key)
            .filter_map(|d| {
                let by = match (d.until.is_reached_by(from), d.until.is_reached_by(to)) {
                    (false, true) => -1,
                    (true, false) => 1,
                    (true, true) | (false, false) => return None,
                };
                Some((TaskKey::new(key.project.clone(), d.task.clone()), by))
            })
            .collect();
        for (dependent, by) in flips {
            if let Some(t) = self.state.tasks.get_mut(&dependent) {
                t.state.unmet = t.state.unmet.saturating_add_signed(by);
            }
            self.write(Change::ShiftUnmet { key: dependent, by });
        }
        let attempt = why.set_by.or(why.verdict_of).or(why.revoked);
        let agent = attempt.and_then(|n| self.attempt(key, n)).map(|a| a.agent.clone());
        let about = About { attempt, agent: agent.as_ref(), ..About::task(key) };
        Ok(self.emit(
            about,
            actor,
            EventKind::StatusChanged(StatusChange {
                from,
                to,
                detail: why.detail,
                kind: why.kind,
                verdict_of: why.verdict_of,
                revoked: why.revoked,
            }),
        ))
    }

    /// Takes the task out of the hands of its open attempt: from the commit on its token writes nothing.
    pub(super) fn revoke_open(&mut self, key: &TaskKey, why: &str) -> Option<AttemptNumber> {
        let now = self.now;
        let number = self.open_attempt(key).filter(|a| a.revoked_at.is_none())?.number;
        let attempt = self.change_attempt(key, number)?;
        attempt.revoked_at = Some(now);
        attempt.revoked_why = Some(why.to_owned());
        Some(number)
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub(super) project: Option<&'a ProjectId>,
    pub(super) task: Option<&'a TaskKey>,
    pub(super) attempt: Option<AttemptNumber>,
    pub(super) agent: Option<&'a AgentId>,
}

impl<'a> About<'a> {
    pub(super) fn task(key: &'a TaskKey) -> Self {
        Self { project: Some(&key.project), task: Some(key), attempt: None, agent: None }
    }
    pub(super) fn project(id: &'a ProjectId) -> Self {
        Self { project: Some(id), ..Self::default() }
    }
    pub(super) fn agent(id: &'a AgentId) -> Self {
        Self { agent: Some(id), ..Self::default() }
    }
}

/// Why a task is moved.
#[derive(Debug, Clone, Default)]
pub(super) struct Move {
    pub(super) detail: Option<String>,
    pub(super) kind: Option<String>,
    /// The attempt whose report sets the status.
    pub(super) set_by: Option<AttemptNumber>,
    pub(super) verdict_of: Option<AttemptNumber>,
    pub(super) revoked: Option<AttemptNumber>,
}
