//! Loads of the board in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::MemoryBoard;
use crate::{
    attempt::{Attempt, Role},
    event::EventKind,
    id::{AttemptNumber, ProjectId, TaskId, TaskKey},
    project::Dispatch,
    rest::Queued,
    state::{ClaimNeeds, Dependent, ImportNeeds, KnownTask, Needs, State},
    task::{Status, StatusCounts},
    time::Timestamp,
    token::{Holder, Identity, TokenHash},
    user, waiting,
};

pub(super) fn load(board: &MemoryBoard, needs: &Needs) -> State {
    let mut l = Loading { board, state: State::default(), attempts: BTreeMap::new() };
    l.credential(needs);
    l.projects(needs.projects.iter());
    needs.tasks.iter().for_each(|key| l.task(key));
    for key in &needs.histories {
        l.task(key);
        board.attempts_of(key).for_each(|a| l.attempt(key, a.number));
    }
    if let Some((project, up_to)) = &needs.told_without {
        l.state.told_without = told_without(board, project, *up_to);
    }
    if let Some((project, id)) = &needs.new_task {
        l.new_task(project, id.as_ref());
    }
    if let Some(import) = &needs.import {
        l.import(import);
    }
    if let Some(key) = &needs.dependencies {
        l.state.dependencies = board.dependencies_of(key);
    }
    if let Some(key) = &needs.dependents {
        l.dependents(key);
    }
    if let Some((project, from, to)) = &needs.path {
        l.state.path_exists = path_exists(board, project, from, to);
    }
    for id in &needs.sessions {
        let Some(session) = board.sessions.get(id) else { continue };
        l.state.sessions.insert(*id, session.clone());
        l.agent(&session.agent);
        if let Some((key, number)) = &session.attempt {
            l.task(key);
            l.attempt(key, *number);
            if needs.session_dependents {
                l.dependents(key);
            }
        }
    }
    needs.agents.iter().for_each(|id| l.agent(id));
    if needs.attempt_agents {
        let of: Vec<_> = l.attempts.values().map(|a| a.agent.clone()).collect();
        for id in &of {
            l.agent(id);
        }
    }
    if needs.rest {
        l.rest();
    }
    if needs.default_agent {
        let defaults: Vec<_> =
            l.state.projects.values().filter_map(|p| p.settings.default_agent.clone()).collect();
        for id in &defaults {
            l.agent(id);
        }
    }
    if let Some(runner) = &needs.agents_of {
        board.agents.values().filter(|a| a.runner_id == *runner).for_each(|a| l.agent(&a.id));
    }
    l.runners(needs);
    if needs.live || needs.rest {
        l.state.live = board.live();
    }
    if let Some(claim) = &needs.claim {
        l.ready(claim, needs.now);
    }
    l.state.user = needs.user.as_ref().and_then(|name| board.users.get(&user::folded(name))).cloned();
    l.state.token = needs.token.as_ref().and_then(|name| board.tokens.get(name)).cloned();
    if needs.paused_agents {
        let until = |a: &&crate::agent::Agent| a.paused.as_ref().is_some_and(|p| p.until.is_some());
        board.agents.values().filter(until).for_each(|a| l.agent(&a.id));
    }
    if needs.far_due {
        l.far_due(needs.now);
    }
    l.state.stream_last = board.stream_last;
    l.state.at_rest = !board.at_work;
    l.state.attempts = l.attempts.into_values().collect();
    l.state
}

/// Whether each task with an event up to there has a snapshot behind it.
fn told_without(board: &MemoryBoard, project: &ProjectId, up_to: u64) -> bool {
    let of_project = || board.events.iter().filter(|e| e.project.as_ref() == Some(project));
    let told: BTreeSet<_> = of_project()
        .filter(|e| e.id > up_to && matches!(e.kind, EventKind::TaskSnapshot(_)))
        .filter_map(|e| e.task.as_ref())
        .collect();
    of_project().filter(|e| e.id <= up_to).filter_map(|e| e.task.as_ref()).all(|t| told.contains(t))
}

/// Whose a credential is at `now`, and the attempt that it belongs to.
pub(super) fn identify(board: &MemoryBoard, hash: TokenHash, now: Timestamp) -> (Identity, Option<Attempt>) {
    if let Some(a) = board.attempts.values().find(|a| a.token_hash == Some(hash)) {
        let identity = Identity::Attempt {
            key: a.key.clone(),
            number: a.number,
            role: a.role,
            agent: a.agent.clone(),
            session: a.session_id.to_string(),
        };
        return (identity, Some(a.clone()));
    }
    let Some(token) = board.tokens.values().find(|t| t.hash == hash) else {
        return (Identity::Unknown, None);
    };
    let of = match &token.holder {
        Holder::User { user, role: _ } => board.users.get(&user::folded(user)),
        Holder::Runner(_) => None,
    };
    (user::identity_of(token, of, now), None)
}

struct Loading<'a> {
    board: &'a MemoryBoard,
    state: State,
    /// Each once: what is changed in place must not be there twice.
    attempts: BTreeMap<(TaskKey, AttemptNumber), Attempt>,
}

impl Loading<'_> {
    fn credential(&mut self, needs: &Needs) {
        let Some(hash) = needs.credential else { return };
        let (identity, attempt) = identify(self.board, hash, needs.now);
        self.state.identity = identity;
        if let Some(a) = attempt {
            if needs.identity_task {
                self.task(&a.key);
            }
            self.attempts.insert((a.key.clone(), a.number), a);
        }
    }

    fn projects<'b>(&mut self, ids: impl Iterator<Item = &'b ProjectId>) {
        for p in ids.filter_map(|id| self.board.projects.get(id)) {
            self.state.projects.insert(p.id.clone(), p.clone());
        }
    }

    fn task(&mut self, key: &TaskKey) {
        let Some(task) = self.board.tasks.get(key) else { return };
        self.state.tasks.insert(task.key.clone(), task.clone());
        self.projects([&key.project].into_iter());
        if let Some(a) = self.board.open_attempt(key) {
            self.attempts.insert((a.key.clone(), a.number), a.clone());
        }
    }

    fn attempt(&mut self, key: &TaskKey, number: AttemptNumber) {
        if let Some(a) = self.board.attempts.get(&(key.clone(), number)) {
            self.attempts.insert((a.key.clone(), a.number), a.clone());
        }
    }

    fn agent(&mut self, id: &crate::id::AgentId) {
        if let Some(a) = self.board.agents.get(id) {
            self.state.agents.insert(a.id.clone(), a.clone());
        }
    }

    fn new_task(&mut self, project: &ProjectId, id: Option<&TaskId>) {
        let key = |id: TaskId| TaskKey::new(project.clone(), id);
        if let Some(id) = id {
            self.task(&key(id.clone()));
            self.state.existing_fingerprint = self.board.fingerprints.get(&key(id.clone())).cloned();
        } else if let Some(p) = self.board.projects.get(project) {
            self.state.free_id = (p.next_task..u64::MAX)
                .map(TaskId::from_number)
                .find(|id| !self.board.tasks.contains_key(&key(id.clone())));
        }
    }

    fn import(&mut self, import: &ImportNeeds) {
        let key = |id: &TaskId| TaskKey::new(import.project.clone(), id.clone());
        for id in &import.ids {
            if let (Some(t), Some(f)) =
                (self.board.tasks.get(&key(id)), self.board.fingerprints.get(&key(id)))
            {
                let known = KnownTask { fingerprint: f.clone(), status: t.state.status };
                self.state.known_tasks.insert(id.clone(), known);
            }
        }
        let next = self.board.projects.get(&import.project).map_or(1, |p| p.next_task);
        let numbers = (next..u64::MAX).map(TaskId::from_number);
        self.state.free_ids =
            numbers.filter(|id| !self.board.tasks.contains_key(&key(id))).take(import.numbers).collect();
    }

    fn dependents(&mut self, key: &TaskKey) {
        for (waiting, on_all) in &self.board.dependencies {
            if waiting.project == key.project
                && let Some(until) = on_all.get(&key.task)
            {
                self.state.dependents.push(Dependent {
                    task: waiting.task.clone(),
                    on: key.clone(),
                    until: *until,
                });
            }
        }
    }

    fn runners(&mut self, needs: &Needs) {
        let mut ids: BTreeSet<_> = needs.runners.iter().cloned().collect();
        if needs.agent_runners {
            ids.extend(self.state.agents.values().map(|a| a.runner_id.clone()));
        }
        if needs.all_runners || needs.rest {
            ids.extend(self.board.runners.keys().cloned());
        }
        self.state.runners = self
            .board
            .runners
            .values()
            .filter(|r| ids.contains(&r.id))
            .map(|r| (r.id.clone(), r.clone()))
            .collect();
    }

    fn rest(&mut self) {
        let live = self.board.projects.values().filter(|p| !p.archived);
        let mut totals = StatusCounts::default().to_array();
        for counts in live.map(|p| p.counts.to_array()) {
            for (sum, n) in totals.iter_mut().zip(counts) {
                *sum = sum.saturating_add(n);
            }
        }
        self.state.totals = StatusCounts::from_array(totals);
        for id in self.board.agents.keys() {
            self.agent(id);
        }
        if !self.board.live().is_empty() {
            return;
        }
        let queued: BTreeSet<Queued> = self
            .board
            .tasks
            .values()
            .filter_map(|t| {
                let place = t.queue_place()?;
                Some(Queued { project: t.key.project.clone(), agent: place.agent, role: place.role })
            })
            .collect();
        self.projects(queued.iter().map(|q| &q.project));
        self.state.queued = queued.into_iter().collect();
    }

    fn ready(&mut self, claim: &ClaimNeeds, now: Timestamp) {
        let full = self.board.full_projects();
        let mut ready = Vec::new();
        for (nth, task) in self.board.created.iter().filter_map(|k| self.board.tasks.get(k)).enumerate() {
            let key = &task.key;
            let Some(project) = self.board.projects.get(&key.project) else { continue };
            let Some(place) = task.queue_place() else { continue };
            let agent = waiting::agent_for(task, project, place.role).filter(|a| claim.agents.contains(a));
            let fits = !project.archived
                && project.settings.dispatch == Dispatch::Auto
                && !full.contains(&project.id)
                && !claim.busy.contains(&project.id)
                && waiting::believed_not_before(task, project, now).is_none();
            if agent.is_some_and(|a| fits && self.may(&a, place.role)) {
                ready.push((task.spec.priority, task.created_at, nth, key));
            }
        }
        ready.sort();
        // All of them, whatever the limit: a model must not miss what could be claimed.
        for (_, _, _, key) in ready {
            self.task(key);
            self.state.ready.push(key.clone());
        }
    }

    fn may(&self, agent: &crate::id::AgentId, role: Role) -> bool {
        self.board.agents.get(agent).is_some_and(|a| a.roles.contains(&role))
    }

    fn far_due(&mut self, now: Timestamp) {
        let far: Vec<_> = self
            .board
            .tasks
            .values()
            .filter(|t| {
                let max = self.board.projects.get(&t.key.project).map(|p| p.settings.backoff_max);
                let longest = now.plus(max.unwrap_or_default());
                matches!(t.state.status, Status::Pending | Status::Review)
                    && t.state.not_before.is_some_and(|n| n.by_board && n.at > longest)
            })
            .map(|t| t.key.clone())
            .take(1_000)
            .collect();
        for key in &far {
            self.task(key);
        }
    }
}

fn path_exists(board: &MemoryBoard, project: &ProjectId, from: &TaskId, to: &TaskId) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = vec![from.clone()];
    while let Some(id) = next.pop() {
        if id == *to {
            return true;
        }
        if seen.insert(id.clone())
            && let Some(on_all) = board.dependencies.get(&TaskKey::new(project.clone(), id))
        {
            next.extend(on_all.keys().cloned());
        }
    }
    false
}
