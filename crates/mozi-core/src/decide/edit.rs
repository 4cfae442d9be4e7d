//! Changes of what a task's author says.

use super::{About, Desk};
use crate::{
    change::Reply,
    command::TaskPatch,
    event::EventKind,
    id::TaskKey,
    limits,
    refusal::Refusal,
    task::{NotBefore, Status, TaskSpec},
};

pub(super) fn edit(d: &mut Desk<'_>, key: &TaskKey, patch: &TaskPatch) -> Result<Reply, Refusal> {
    d.person(Some(&key.project))?;
    let task = d.task(key)?.clone();
    let mut spec = task.spec.clone();
    let mut changed = Vec::new();
    put(&mut changed, "title", &mut spec.title, patch.title.as_ref());
    put(&mut changed, "description", &mut spec.description, patch.description.as_ref());
    put(&mut changed, "task_type", &mut spec.task_type, patch.task_type.as_ref());
    put(&mut changed, "priority", &mut spec.priority, patch.priority.as_ref());
    put(&mut changed, "must_haves", &mut spec.must_haves, patch.must_haves.as_ref());
    put(&mut changed, "agent", &mut spec.agent, patch.agent.as_ref());
    put(&mut changed, "timeout_seconds", &mut spec.timeout, patch.timeout.as_ref());
    put(&mut changed, "max_attempts", &mut spec.max_attempts, patch.max_attempts.as_ref());
    put(&mut changed, "review", &mut spec.review, patch.review.as_ref());
    put(&mut changed, "labels", &mut spec.labels, patch.labels.as_ref());
    put(&mut changed, "metadata", &mut spec.metadata, patch.metadata.as_ref());
    limits::spec(&spec)?;
    if spec.agent != task.spec.agent && task.state.open.is_some() {
        return Err(Refusal::SessionActive {
            why: "the agent cannot be changed while an attempt is open: stop it first".into(),
        });
    }
    let not_before = patch.not_before.filter(|at| *at != task.state.not_before.map(|n| n.at));
    if not_before.is_some() {
        if !matches!(task.state.status, Status::Pending | Status::Blocked | Status::Review) {
            return Err(Refusal::invalid(
                "not_before",
                format!("cannot be set while the task is {}", task.state.status),
            ));
        }
        changed.push("not_before".into());
    }
    if changed.is_empty() {
        return Ok(Reply::Task { task: Box::new(task), created: false, warnings: Vec::new() });
    }
    let another_reviewer = spec.review != task.spec.review;
    store(d, key, spec)?;
    if another_reviewer {
        d.change_task(key)?.state.reviewer_given_up = false;
    }
    if let Some(at) = not_before {
        d.change_task(key)?.state.not_before = at.map(|at| NotBefore { at, by_board: false });
    }
    let actor = d.actor();
    d.emit(About::task(key), actor, EventKind::TaskEdited { changed, not_before });
    Ok(Reply::Task {
        task: Box::new(d.task(key)?.clone()),
        created: false,
        warnings: std::mem::take(&mut d.warnings),
    })
}

fn store(d: &mut Desk<'_>, key: &TaskKey, spec: TaskSpec) -> Result<(), Refusal> {
    d.change_spec(key)?.spec = spec;
    Ok(())
}

fn put<T: Clone + PartialEq>(changed: &mut Vec<String>, name: &str, old: &mut T, new: Option<&T>) {
    if let Some(new) = new.filter(|n| *n != old) {
        old.clone_from(new);
        changed.push(name.to_owned());
    }
}
