//! Projects and their settings.

use super::{About, Desk};
use crate::{
    change::{Change, Reply},
    command::SettingChange,
    event::EventKind,
    id::ProjectId,
    limits,
    project::{Project, Settings},
    refusal::Refusal,
};

pub(super) fn create(
    d: &mut Desk<'_>,
    id: &ProjectId,
    name: Option<&str>,
    settings: &[SettingChange],
) -> Result<Reply, Refusal> {
    d.person(None)?;
    check(name, settings)?;
    let mut wanted = Settings::default();
    for s in settings {
        s.apply(&mut wanted);
    }
    ordered(&wanted)?;
    if let Some(existing) = d.state.projects.get(id) {
        // Ids are one whatever their case, but another spelling is not the same request again.
        let same = existing.id.as_str() == id.as_str();
        return if same && existing.name.as_deref() == name && existing.settings == wanted {
            Ok(Reply::Project { project: Box::new(existing.clone()), created: false })
        } else {
            Err(Refusal::DuplicateId { what: format!("project {}", existing.id) })
        };
    }
    let project = Project::new(id.clone(), name.map(str::to_owned), wanted, d.now);
    d.write(Change::InsertProject(Box::new(project.clone())));
    d.state.projects.insert(id.clone(), project);
    let actor = d.actor();
    d.emit(About::project(id), actor, EventKind::ProjectCreated { name: name.map(str::to_owned) });
    Ok(Reply::Project { project: Box::new(d.project(id)?.clone()), created: true })
}

pub(super) fn set(
    d: &mut Desk<'_>,
    id: &ProjectId,
    name: Option<&Option<String>>,
    settings: &[SettingChange],
    archived: Option<bool>,
) -> Result<Reply, Refusal> {
    d.person(Some(id))?;
    check(name.and_then(Option::as_deref), settings)?;
    let before = d.project(id)?.clone();
    let mut after = before.clone();
    let mut changed = serde_json::Map::new();
    for s in settings {
        let previous = after.settings.clone();
        s.apply(&mut after.settings);
        if previous != after.settings {
            let (name, value) = s.named();
            changed.insert(name.into(), value);
        }
    }
    if let Some(name) = name {
        after.name.clone_from(name);
        if after.name != before.name {
            changed.insert("name".into(), name.clone().into());
        }
    }
    if let Some(archived) = archived.filter(|a| *a != before.archived) {
        after.archived = archived;
        changed.insert("archived".into(), archived.into());
    }
    ordered(&after.settings)?;
    if changed.is_empty() {
        return Ok(Reply::Project { project: Box::new(before), created: false });
    }
    after.version = after.version.saturating_add(1);
    after.updated_at = d.now;
    d.write(Change::UpdateProject(Box::new(after.clone())));
    d.state.projects.insert(id.clone(), after);
    let actor = d.actor();
    d.emit(About::project(id), actor, EventKind::SettingsChanged { changed });
    Ok(Reply::Project { project: Box::new(d.project(id)?.clone()), created: false })
}

fn ordered(settings: &Settings) -> Result<(), Refusal> {
    if settings.backoff_initial > settings.backoff_max {
        return Err(Refusal::invalid("backoff_initial", "must not be longer than backoff_max"));
    }
    Ok(())
}

fn check(name: Option<&str>, settings: &[SettingChange]) -> Result<(), Refusal> {
    if let Some(name) = name {
        limits::line("name", name, limits::WORD_CHARS)?;
    }
    settings.iter().try_for_each(limits::setting)
}
