//! New tasks.

use super::{About, Desk};
use crate::{
    attempt::Role,
    change::{Change, Reply},
    command::NewTask,
    event::EventKind,
    id::TaskKey,
    limits,
    project::Review,
    refusal::Refusal,
    task::{Status, Task, TaskState},
    token::Identity,
};

pub(super) fn create(d: &mut Desk<'_>, new: &NewTask) -> Result<Reply, Refusal> {
    let creator = creator(d, new)?;
    let project = d.project(&new.project)?.clone();
    let id = match &new.id {
        Some(id) => id.clone(),
        None => d.state.free_id.clone().ok_or_else(|| Refusal::not_found("free task number"))?,
    };
    let key = TaskKey::new(project.id.clone(), id);
    if let Some(existing) = d.state.existing_fingerprint.clone() {
        return if existing == new.fingerprint {
            Ok(Reply::Task { task: Box::new(d.task(&key)?.clone()), created: false, warnings: Vec::new() })
        } else {
            Err(Refusal::DuplicateId { what: format!("task {}", key.task) })
        };
    }
    if project.archived {
        return Err(Refusal::ProjectArchived { project: project.id.to_string() });
    }
    let mut spec = new.spec.clone();
    if let Some((own, number)) = &creator {
        spec.parent = Some(own.task.clone());
        let attempt = d.attempt(own, *number).ok_or_else(|| Refusal::not_found("attempt"))?;
        if attempt.created_tasks >= limits::CREATED_PER_ATTEMPT {
            return Err(Refusal::Forbidden {
                why: format!("an attempt may create at most {} tasks", limits::CREATED_PER_ATTEMPT),
            });
        }
    }
    limits::spec(&spec)?;
    if new.depends_on.len() > limits::DEPENDENCIES {
        return Err(Refusal::invalid(
            "depends_on",
            format!("has more than {} entries", limits::DEPENDENCIES),
        ));
    }
    let parent = match &spec.parent {
        None => None,
        Some(p) => match d.state.tasks.get(&TaskKey::new(project.id.clone(), p.clone())) {
            Some(t) => Some(t.state.depth),
            None => return Err(Refusal::invalid("parent", format!("names task {p}, which does not exist"))),
        },
    };
    // What a person creates begins anew, whatever it is linked to: only chains of agents are limited.
    let depth = parent.filter(|_| creator.is_some()).map_or(0, |n| n.saturating_add(1));
    if depth > limits::CREATED_DEPTH {
        return Err(Refusal::Forbidden {
            why: format!("agents may create tasks at most {} deep", limits::CREATED_DEPTH),
        });
    }
    let mut unmet = 0u32;
    for (i, (on, until)) in new.depends_on.iter().enumerate() {
        if *on == key.task {
            return Err(Refusal::DependencyCycle { task: key.task.clone(), on: on.clone() });
        }
        if new.depends_on.iter().take(i).any(|(other, _)| other == on) {
            return Err(Refusal::invalid("depends_on", format!("names task {on} twice")));
        }
        let Some(other) = d.state.tasks.get(&TaskKey::new(project.id.clone(), on.clone())) else {
            return Err(Refusal::invalid("depends_on", format!("names task {on}, which does not exist")));
        };
        if !until.is_reached_by(other.state.status) {
            unmet = unmet.saturating_add(1);
        }
    }
    let (status, kind) = beginning(new.held);
    let actor = d.actor();
    let task = Task {
        key: key.clone(),
        spec,
        state: TaskState::new(status, kind.clone(), new.not_before, unmet, depth),
        created_by: actor.clone(),
        created_at: d.now,
        updated_at: d.now,
        version: 1,
    };
    d.write(Change::InsertTask { task: Box::new(task.clone()), fingerprint: new.fingerprint.clone() });
    for (on, until) in &new.depends_on {
        d.write(Change::PutDependency { key: key.clone(), on: on.clone(), until: *until });
    }
    if let Some(p) = d.change_project(&project.id) {
        p.counts.shift(None, Some(status));
        if let (None, Ok(n)) = (&new.id, key.task.as_str().parse::<u64>()) {
            p.next_task = n.saturating_add(1);
        }
    }
    if let Some((k, n)) = &creator
        && let Some(a) = d.change_attempt(k, *n)
    {
        a.created_tasks = a.created_tasks.saturating_add(1);
    }
    let attempt = creator.as_ref().map(|(_, n)| *n);
    d.emit(
        About { attempt, ..About::task(&key) },
        actor,
        EventKind::TaskCreated { title: task.spec.title.clone(), status, kind, not_before: new.not_before },
    );
    warn_about_agent(d, &task);
    let warnings = std::mem::take(&mut d.warnings);
    Ok(Reply::Task { task: Box::new(task), created: true, warnings })
}

/// Where a new task begins.
pub(super) fn beginning(held: bool) -> (Status, Option<String>) {
    if held { (Status::Blocked, Some("held".to_owned())) } else { (Status::Pending, None) }
}

/// A person, or an executor whose project allows it; then its own task is the parent.
fn creator(d: &Desk<'_>, new: &NewTask) -> Result<Option<(TaskKey, u32)>, Refusal> {
    let Identity::Attempt { key, number, role, .. } = d.state.identity.clone() else {
        d.person(Some(&new.project))?;
        return Ok(None);
    };
    if key.project != new.project {
        return Err(Refusal::not_found(format!("project {}", new.project)));
    }
    super::deliver::while_it_stands(d, &key, number)?;
    if role != Role::Executor || !d.project(&key.project)?.settings.agents_may_create {
        return Err(Refusal::Forbidden {
            why: "agents may not create tasks in this project (setting agents_may_create)".into(),
        });
    }
    if new.spec.parent.as_ref().is_some_and(|p| *p != key.task) {
        return Err(Refusal::invalid("parent", format!("must be your own task {}", key.task)));
    }
    Ok(Some((key, number)))
}

fn warn_about_agent(d: &mut Desk<'_>, task: &Task) {
    let agent =
        task.spec.agent.clone().or_else(|| {
            d.state.projects.get(&task.key.project).and_then(|p| p.settings.default_agent.clone())
        });
    match agent {
        None => d.warn("neither the task nor its project names an agent: nobody will start it"),
        Some(a) if !d.state.agents.get(&a).is_some_and(|a| a.configured) => {
            d.warn(format!("no runner knows an agent {a}: the task waits until one does"));
        }
        Some(_) => {}
    }
    if let Some(Review::Agent(a)) = &task.spec.review
        && !d.state.agents.get(a).is_some_and(|a| a.configured)
    {
        d.warn(format!(
            "no runner knows an agent {a}, which is to review it: a person decides until one does"
        ));
    }
}
