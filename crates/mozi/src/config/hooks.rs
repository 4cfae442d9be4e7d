//! `[[hooks]]`

use std::time::Duration;

use mozi_api::event::EVENT_TYPES;
use mozi_core::{ProjectId, Status};
use mozi_runner::config::Hook;

use super::{
    command_of,
    reader::{Limit, Section, nearest},
};

pub(super) fn read(section: &Section<'_, '_>) -> Hook {
    let listed = section.strings("on");
    let is_empty = listed.as_ref().map_or_else(|| !section.has("on"), Vec::is_empty);
    let on = listed.unwrap_or_default();
    if is_empty {
        section.mistake(None, "a hook needs `on`, a list such as [\"agent_*\", \"idle\"]");
    }
    for why in on.iter().filter_map(|pattern| wrong(pattern)) {
        section.mistake(Some("on"), why);
    }
    let project = section.string("project").unwrap_or_else(|| "*".to_owned());
    if project != "*" && project.parse::<ProjectId>().is_err() {
        section.mistake(Some("project"), format!("`project` is a project's id or \"*\", not {project:?}"));
    }
    if project != "*" && on.iter().any(|p| p == "idle") {
        let text = "`idle` is of the whole board and belongs to no project: it needs `project = \"*\"`";
        section.mistake(Some("project"), text);
    }
    let run = command_of(section, "run");
    let timeout = section.duration("timeout").and_then(Limit::get).unwrap_or(Duration::from_mins(1));
    Hook { on, project, run, timeout }
}

/// What is wrong with a pattern of event types: one that can never fit is a mistake.
fn wrong(pattern: &str) -> Option<String> {
    let (name, value) = match pattern.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        None => (pattern, None),
    };
    let types: Vec<&str> = EVENT_TYPES.iter().map(|(name, _)| *name).collect();
    let fits = match name.strip_suffix('*') {
        Some(start) => types.iter().any(|t| t.starts_with(start)),
        None => types.contains(&name),
    };
    if !fits {
        let meant = nearest(name, &types).map_or_else(
            || "`mozi events` shows which there are".to_owned(),
            |near| format!("did you mean {near:?}?"),
        );
        return Some(format!("`on` has {pattern:?}, which is no type of event: {meant}"));
    }
    match value {
        Some(status) if name == "status_changed" && Status::parse(status).is_none() => {
            let words: Vec<&str> = Status::ALL.iter().map(|s| s.as_str()).collect();
            Some(format!("`on` has {pattern:?}: a status is one of {}", words.join(", ")))
        }
        Some("") => Some(format!("`on` has {pattern:?}: what follows the colon is missing")),
        Some(_) | None => None,
    }
}
