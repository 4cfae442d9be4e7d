//! Which slice of the board each command is decided on.

use std::collections::BTreeSet;

use super::{Command, Credential, ImportTasks, Request};
use crate::{
    id::TaskKey,
    project::Review,
    state::{ClaimNeeds, ImportNeeds, Needs},
    token::Holder,
};

impl Request {
    /// The slice of the board that the command is decided on.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs { now: self.now, ..Needs::default() };
        if let Credential::Token(hash) = self.credential {
            needs.credential = Some(hash);
        }
        let mut command = &self.command;
        while let Command::IfVersion { command: inner, .. } = command {
            command = inner;
        }
        match command {
            Command::CreateProject { id, .. } | Command::SetProject { id, .. } => {
                needs.projects.push(id.clone());
            }
            Command::CreateTask(new) => {
                needs.projects.push(new.project.clone());
                needs.new_task = Some((new.project.clone(), new.id.clone()));
                let others = new.depends_on.iter().map(|(t, _)| t).chain(&new.spec.parent);
                needs.tasks.extend(others.map(|t| TaskKey::new(new.project.clone(), t.clone())));
                needs.agents.extend(new.spec.agent.clone());
                if let Some(Review::Agent(reviewer)) = &new.spec.review {
                    needs.agents.push(reviewer.clone());
                }
                needs.default_agent = true;
                needs.identity_task = true;
            }
            Command::AdoptProject(staged) => needs.projects.push(staged.project.id.clone()),
            Command::ImportTasks(import) => import_needs(import, &mut needs),
            Command::SetDependency { key, on, .. } => {
                needs.tasks.push(key.clone());
                needs.tasks.push(TaskKey::new(key.project.clone(), on.clone()));
                needs.dependencies = Some(key.clone());
                needs.path = Some((key.project.clone(), on.clone(), key.task.clone()));
            }
            Command::RemoveDependency { key, .. } => {
                needs.tasks.push(key.clone());
                needs.dependencies = Some(key.clone());
            }
            Command::Report(r) => {
                needs.tasks.push(r.key.clone());
                needs.dependents = Some(r.key.clone());
                needs.attempt_agents = r.claimed_agent.is_some();
            }
            Command::AddOutput(o) => {
                needs.tasks.push(o.key.clone());
                needs.attempt_agents = o.claimed_agent.is_some();
            }
            Command::AddComment { key, author, body: _ } => {
                needs.tasks.push(key.clone());
                needs.attempt_agents = author.is_some();
            }
            Command::EditTask { key, .. } => needs.tasks.push(key.clone()),
            Command::Claim(c) => {
                needs.runners.push(c.runner_id.clone());
                needs.agents.clone_from(&c.agents);
                needs.live = true;
                needs.sessions.extend(c.offers.iter().map(|o| o.session_id));
                needs.claim = Some(ClaimNeeds {
                    agents: c.agents.clone(),
                    busy: c.busy.clone(),
                    limit: c.offers.len(),
                });
            }
            Command::StartSession(s) => {
                needs.agents.push(s.agent.clone());
                needs.agent_runners = true;
                needs.live = true;
                needs.sessions.push(s.session_id);
                if let Some(key) = &s.task {
                    needs.tasks.push(key.clone());
                    needs.dependencies = Some(key.clone());
                    needs.dependents = Some(key.clone());
                }
            }
            Command::TakeSession { session_id, .. }
            | Command::Started { session_id, .. }
            | Command::NoteSession { session_id, .. }
            | Command::CleanSession { session_id, .. }
            | Command::StopSession { session_id, .. } => {
                needs.sessions.push(*session_id);
                needs.session_dependents = true;
            }
            Command::End(end) => {
                needs.sessions.push(end.session_id);
                needs.session_dependents = true;
            }
            Command::Hello(h) => {
                needs.runners.push(h.runner_id.clone());
                needs.agents_of = Some(h.runner_id.clone());
                needs.agents.extend(h.agents.iter().map(|a| a.id.clone()));
            }
            Command::Goodbye { runner_id } => needs.runners.push(runner_id.clone()),
            Command::BoardStarted => needs.all_runners = true,
            Command::PauseAgent { agent, .. } | Command::ResumeAgent { agent } => {
                needs.agents.push(agent.clone());
            }
            Command::CreateUser(new) => {
                needs.user = Some(new.name.clone());
                needs.projects.extend(new.project.clone());
            }
            Command::SetUser { name, patch } => {
                needs.user = Some(name.clone());
                needs.projects.extend(patch.project.clone().flatten());
            }
            Command::CreateToken { name, holder, project, .. } => {
                needs.token = Some(name.clone());
                if let Holder::User { user, role: _ } = holder {
                    needs.user = Some(user.clone());
                }
                needs.projects.extend(project.clone());
            }
            Command::RevokeToken { name } => needs.token = Some(name.clone()),
            Command::Notice { key, .. } => needs.tasks.extend(key.clone()),
            // Looked through above.
            Command::IfVersion { .. }
            | Command::Seen
            | Command::ConfigRead(_)
            | Command::BackupMade { .. }
            | Command::KeptHouse { .. }
            | Command::ExpireLogs { .. } => {}
            Command::SnapshotTasks { project, tasks } => {
                needs.projects.push(project.clone());
                needs.histories = tasks.iter().map(|t| TaskKey::new(project.clone(), t.clone())).collect();
            }
            Command::ForgetEvents { project, up_to } => {
                needs.projects.push(project.clone());
                needs.told_without = Some((project.clone(), *up_to));
            }
            Command::Due => {
                needs.far_due = true;
                needs.paused_agents = true;
            }
            Command::Rest => needs.rest = true,
        }
        needs
    }
}

fn import_needs(import: &ImportTasks, needs: &mut Needs) {
    needs.projects.push(import.project.clone());
    needs.default_agent = true;
    let (mut ids, mut agents) = (BTreeSet::new(), BTreeSet::new());
    let mut numbers = 0_usize;
    for new in import.lines.iter().map(|l| &l.task) {
        ids.extend(
            new.id.iter().chain(&new.spec.parent).chain(new.depends_on.iter().map(|(on, _)| on)).cloned(),
        );
        agents.extend(new.spec.agent.clone());
        if let Some(Review::Agent(reviewer)) = &new.spec.review {
            agents.insert(reviewer.clone());
        }
        // A number that is free on the board may be one that a line names.
        let numbered = new.id.as_ref().is_none_or(|id| id.as_str().bytes().all(|b| b.is_ascii_digit()));
        numbers = numbers.saturating_add(usize::from(numbered));
    }
    needs.agents.extend(agents);
    needs.import =
        Some(ImportNeeds { project: import.project.clone(), ids: ids.into_iter().collect(), numbers });
}
