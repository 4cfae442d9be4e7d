//! The only place with an opinion: what a command changes, or why it is refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    attempt::Attempt,
    change::{Change, Decision, Reply},
    command::{Command, Credential, Request},
    event::{Event, EventKind, StatusChange},
    id::{AgentId, AttemptNumber, ProjectId, SessionId, TaskKey},
    project::Project,
    refusal::Refusal,
    session::Session,
    state::State,
    task::{Status, Task},
    time::Timestamp,
    token::{Actor, Identity, UserRole},
};

mod agents;
mod claim;
mod create;
mod deliver;
mod depend;
mod due;
mod edit;
pub mod end;
mod projects;
mod report;
mod review;
mod sessions;
mod tokens;

/// Decides `request` on `state`, which holds what [`Request::needs`] named.
///
/// # Errors
/// A [`Refusal`] when the rules do not allow it; then nothing is to be written.
pub fn decide(state: State, request: &Request) -> Result<Decision, Refusal> {
    let mut desk = Desk::new(state, request);
    let d = &mut desk;
    let reply = match &request.command {
        Command::CreateProject { id, name, settings } => projects::create(d, id, name.as_deref(), settings),
        Command::SetProject { id, name, settings, archived } => {
            projects::set(d, id, name.as_ref(), settings, *archived)
        }
        Command::CreateTask(new) => create::create(d, new),
        Command::EditTask { key, patch } => edit::edit(d, key, patch),
        Command::SetDependency { key, on, until } => depend::set(d, key, on, *until),
        Command::RemoveDependency { key, on } => depend::remove(d, key, on),
        Command::Report(report) => report::report(d, report),
        Command::AddOutput(output) => deliver::output(d, output),
        Command::AddComment { key, author, body } => deliver::comment(d, key, author.as_deref(), body),
        Command::Claim(c) => claim::claim(d, c),
        Command::StartSession(s) => claim::start_by_name(d, s),
        Command::TakeSession { session_id, token_hash } => sessions::take(d, *session_id, *token_hash),
        Command::Started { session_id, pid, workspace } => {
            sessions::started(d, *session_id, *pid, workspace.as_ref())
        }
        Command::NoteSession { session_id, note } => sessions::note(d, *session_id, note),
        Command::End(end) => end::end(d, end),
        Command::StopSession { session_id, why } => sessions::stop(d, *session_id, why.as_deref()),
        Command::CleanSession { session_id, force } => sessions::clean(d, *session_id, *force),
        Command::Hello(hello) => agents::hello(d, hello),
        Command::Goodbye { runner_id } => agents::goodbye(d, runner_id),
        Command::BoardStarted => agents::board_started(d),
        Command::PauseAgent { agent, detail } => agents::pause(d, agent, detail.as_deref()),
        Command::ResumeAgent { agent } => agents::resume(d, agent),
        Command::CreateToken { name, hash, holder, project, expires_at } => {
            tokens::create(d, name, *hash, holder, project.as_ref(), *expires_at)
        }
        Command::RevokeToken { name } => tokens::revoke(d, name),
        Command::Notice { key, attempt_number, agent, code, text, more } => {
            deliver::notice(d, key.as_ref(), *attempt_number, agent.as_ref(), code, text, more)
        }
        Command::Due => due::due(d),
    }?;
    Ok(Decision { reply, changes: desk.finish() })
}

/// A desk to decide on: the loaded slice, changed in place, and what is to be written of it.
pub(crate) struct Desk<'a> {
    pub(crate) state: State,
    pub(crate) request: &'a Request,
    pub(crate) now: Timestamp,
    changes: Vec<Change>,
    /// What was changed in place and is written once, at the end, as it is then.
    tasks: BTreeSet<TaskKey>,
    specs: BTreeSet<TaskKey>,
    attempts: BTreeSet<(TaskKey, AttemptNumber)>,
    sessions: BTreeSet<SessionId>,
    agents: BTreeSet<AgentId>,
    projects: BTreeSet<ProjectId>,
    stream: bool,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Desk<'a> {
    fn new(mut state: State, request: &'a Request) -> Self {
        if request.credential == Credential::Board {
            state.identity = Identity::Board;
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

    fn finish(self) -> Vec<Change> {
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

    pub(crate) fn write(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Who asks, as events name it.
    pub(crate) fn actor(&self) -> Actor {
        self.state.identity.actor(self.request.via.as_deref())
    }

    // --- rights -----------------------------------------------------------------------------------------------

    /// A user who may write in `project`, or the board itself.
    pub(crate) fn person(&self, project: Option<&ProjectId>) -> Result<(), Refusal> {
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
            Identity::Attempt { .. } => {
                Err(Refusal::Forbidden { why: "an attempt's token may not do this".into() })
            }
            Identity::Runner(_) => Err(Refusal::Forbidden { why: "a runner's token may not do this".into() }),
        }
    }

    /// An administrator, or the board itself.
    pub(crate) fn admin(&self) -> Result<(), Refusal> {
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
    pub(crate) fn runner(&self, id: &crate::id::RunnerId) -> Result<(), Refusal> {
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

    pub(crate) fn project(&self, id: &ProjectId) -> Result<&Project, Refusal> {
        self.state.projects.get(id).ok_or_else(|| Refusal::not_found(format!("project {id}")))
    }

    pub(crate) fn task(&self, key: &TaskKey) -> Result<&Task, Refusal> {
        self.state
            .tasks
            .get(key)
            .ok_or_else(|| Refusal::not_found(format!("task {} in project {}", key.task, key.project)))
    }

    /// The task, to be changed: it is written, with a new version.
    pub(crate) fn change_task(&mut self, key: &TaskKey) -> Result<&mut Task, Refusal> {
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
    pub(crate) fn change_spec(&mut self, key: &TaskKey) -> Result<&mut Task, Refusal> {
        self.specs.insert(key.clone());
        self.change_task(key)
    }

    pub(crate) fn open_attempt(&self, key: &TaskKey) -> Option<&Attempt> {
        self.state.attempts.iter().find(|a| a.key == *key && a.is_open())
    }

    pub(crate) fn attempt(&self, key: &TaskKey, number: AttemptNumber) -> Option<&Attempt> {
        self.state.attempts.iter().find(|a| a.key == *key && a.number == number)
    }

    pub(crate) fn change_attempt(&mut self, key: &TaskKey, number: AttemptNumber) -> Option<&mut Attempt> {
        self.attempts.insert((key.clone(), number));
        self.state.attempts.iter_mut().find(|a| a.key == *key && a.number == number)
    }

    pub(crate) fn session(&self, id: SessionId) -> Result<&Session, Refusal> {
        self.state.sessions.get(&id).ok_or_else(|| Refusal::not_found(format!("session {id}")))
    }

    pub(crate) fn change_session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.insert(id);
        self.state.sessions.get_mut(&id)
    }

    pub(crate) fn change_agent(&mut self, id: &AgentId) -> Option<&mut crate::agent::Agent> {
        self.agents.insert(id.clone());
        self.state.agents.get_mut(id)
    }

    pub(crate) fn change_project(&mut self, id: &ProjectId) -> Option<&mut Project> {
        self.projects.insert(id.clone());
        self.state.projects.get_mut(id)
    }

    // --- events -----------------------------------------------------------------------------------------------

    /// Writes an event of `project`, or of the stream of what belongs to no project; gives its id.
    pub(crate) fn emit(&mut self, about: About<'_>, actor: Actor, kind: EventKind) -> u64 {
        let id = match about.project {
            Some(p) => self.change_project(p).map_or(0, |p| {
                p.last_event = p.last_event.saturating_add(1);
                p.last_event
            }),
            None => {
                self.stream = true;
                self.state.stream_last = self.state.stream_last.saturating_add(1);
                self.state.stream_last
            }
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
    pub(crate) fn move_task(
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
    pub(crate) fn revoke_open(&mut self, key: &TaskKey, why: &str) -> Option<AttemptNumber> {
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
pub(crate) struct About<'a> {
    pub(crate) project: Option<&'a ProjectId>,
    pub(crate) task: Option<&'a TaskKey>,
    pub(crate) attempt: Option<AttemptNumber>,
    pub(crate) agent: Option<&'a AgentId>,
}

impl<'a> About<'a> {
    pub(crate) fn task(key: &'a TaskKey) -> Self {
        Self { project: Some(&key.project), task: Some(key), attempt: None, agent: None }
    }
    pub(crate) fn project(id: &'a ProjectId) -> Self {
        Self { project: Some(id), ..Self::default() }
    }
    pub(crate) fn agent(id: &'a AgentId) -> Self {
        Self { agent: Some(id), ..Self::default() }
    }
}

/// Why a task is moved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Move {
    pub(crate) detail: Option<String>,
    pub(crate) kind: Option<String>,
    /// The attempt whose report sets the status.
    pub(crate) set_by: Option<AttemptNumber>,
    pub(crate) verdict_of: Option<AttemptNumber>,
    pub(crate) revoked: Option<AttemptNumber>,
}

/// The answer to a status report.
pub(crate) fn status_reply(
    d: &mut Desk<'_>,
    key: &TaskKey,
    attempt: Option<AttemptNumber>,
    event_id: Option<u64>,
) -> Result<Reply, Refusal> {
    let last = d.project(&key.project)?.last_event;
    let warnings = std::mem::take(&mut d.warnings);
    let task = Box::new(d.task(key)?.clone());
    let attempt_number = attempt.or((task.state.last_attempt > 0).then_some(task.state.last_attempt));
    Ok(Reply::Status { task, attempt_number, event_id: event_id.unwrap_or(last), warnings })
}
