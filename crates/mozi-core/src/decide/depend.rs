//! Dependencies.

use super::{About, Desk};
use crate::{
    change::{Change, Reply},
    event::EventKind,
    id::{TaskId, TaskKey},
    limits,
    refusal::Refusal,
    task::{Dependency, Until},
};

pub(super) fn set(d: &mut Desk<'_>, key: &TaskKey, on: &TaskId, until: Until) -> Result<Reply, Refusal> {
    changeable(d, key)?;
    let status = d.task(&TaskKey::new(key.project.clone(), on.clone()))?.state.status;
    if *on == key.task || d.state.path_exists {
        return Err(Refusal::DependencyCycle { task: key.task.clone(), on: on.clone() });
    }
    let new = Dependency { on: on.clone(), until, status };
    if d.state.dependencies.contains(&new) {
        return unchanged(d, key);
    }
    d.state.dependencies.retain(|x| x.on != *on);
    if d.state.dependencies.len() >= limits::DEPENDENCIES {
        return Err(Refusal::invalid(
            "depends_on",
            format!("has more than {} entries", limits::DEPENDENCIES),
        ));
    }
    d.state.dependencies.push(new);
    d.write(Change::PutDependency { key: key.clone(), on: on.clone(), until });
    changed(d, key)
}

pub(super) fn remove(d: &mut Desk<'_>, key: &TaskKey, on: &TaskId) -> Result<Reply, Refusal> {
    changeable(d, key)?;
    if !d.state.dependencies.iter().any(|x| x.on == *on) {
        return Err(Refusal::not_found(format!("dependency of task {} on {on}", key.task)));
    }
    d.state.dependencies.retain(|x| x.on != *on);
    d.write(Change::DeleteDependency { key: key.clone(), on: on.clone() });
    changed(d, key)
}

fn changeable(d: &Desk<'_>, key: &TaskKey) -> Result<(), Refusal> {
    d.person(Some(&key.project))?;
    if d.task(key)?.state.open.is_some() {
        return Err(Refusal::SessionActive {
            why: "dependencies cannot be changed while an attempt is open".into(),
        });
    }
    Ok(())
}

fn changed(d: &mut Desk<'_>, key: &TaskKey) -> Result<Reply, Refusal> {
    let unmet = d.state.dependencies.iter().filter(|x| !x.is_met()).count();
    d.change_task(key)?.state.unmet = u32::try_from(unmet).unwrap_or(u32::MAX);
    let actor = d.actor();
    d.emit(
        About::task(key),
        actor,
        EventKind::TaskEdited { changed: vec!["depends_on".into()], not_before: None },
    );
    unchanged(d, key)
}

fn unchanged(d: &Desk<'_>, key: &TaskKey) -> Result<Reply, Refusal> {
    Ok(Reply::Task { task: Box::new(d.task(key)?.clone()), created: false, warnings: Vec::new() })
}
