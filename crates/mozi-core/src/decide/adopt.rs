//! A whole project from elsewhere.

use serde_json::json;

use super::{About, Desk};
use crate::{
    archive::Staged,
    change::{Change, Reply},
    event::EventKind,
    project::Project,
    refusal::Refusal,
    task::StatusCounts,
};

/// Takes a staged project in: whole, and only where nothing is yet. Its events keep their ids in a new project; behind
/// those of one that is there, they follow them.
pub(super) fn adopt(d: &mut Desk<'_>, staged: &Staged) -> Result<Reply, Refusal> {
    d.admin()?;
    let came = &staged.project;
    let id = came.id.clone();
    let existing = d.state.projects.get(&id).cloned();
    if existing.as_ref().is_some_and(|p| p.counts != StatusCounts::default()) {
        return Err(Refusal::ProjectNotEmpty { project: id.to_string() });
    }
    let before = staged.first_event.saturating_sub(1);
    let here = existing.as_ref().map_or(before, |p| p.last_event);
    let last_event = came.last_event.saturating_sub(before).saturating_add(here);
    let created = existing.is_none();
    let project = Project {
        version: existing.as_ref().map_or(came.version, |p| p.version.saturating_add(1)),
        created_at: existing.as_ref().map_or(came.created_at, |p| p.created_at),
        updated_at: d.now,
        last_event,
        ..came.clone()
    };
    let row = Box::new(project.clone());
    d.write(if created { Change::InsertProject(row) } else { Change::UpdateProject(row) });
    d.write(Change::Adopt { name: staged.name.clone(), project: id.clone(), before, here });
    d.state.projects.insert(id.clone(), project);
    let tasks = came.counts.to_array().into_iter().fold(0, u64::saturating_add);
    let text =
        format!("taken in from another board: {tasks} tasks, {} of them were at work", staged.were_live);
    let more = json!({ "tasks": tasks, "were_live": staged.were_live, "board_id": staged.board_id });
    let more = more.as_object().cloned().unwrap_or_default();
    let actor = d.actor();
    d.emit(About::project(&id), actor, EventKind::Notice { code: "project_imported".into(), text, more });
    Ok(Reply::Project { project: Box::new(d.project(&id)?.clone()), created })
}
