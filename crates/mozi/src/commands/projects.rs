//! `mozi project …`

use mozi_api::{
    project::{CreateProject, PatchProject, Project, SettingsPatch},
    query::PageQuery,
};
use serde_json::{Map, Value};

use super::{tasks::Several, words};
use crate::{
    cli::ProjectCommand,
    context::{Context, project_id},
    error::{Failure, Result},
    output::{Out, Paint, Table},
};

pub(crate) async fn run(context: &Context, command: ProjectCommand) -> Result<()> {
    match command {
        ProjectCommand::Add { id, name } => {
            let body = CreateProject {
                project_id: project_id(&id)?.into(),
                name,
                settings: SettingsPatch::default(),
            };
            let project = context.ask(context.client.create_project(&body)).await?;
            if context.out.json() {
                return context.out.value(&project);
            }
            context.out.line(format!("added project {}", project.project_id))
        }
        ProjectCommand::List => list(context).await,
        ProjectCommand::Show { ids } => {
            let mut several = Several::default();
            for id in &ids {
                let shown = async {
                    let project = context.ask(context.client.project(&project_id(id)?)).await?;
                    let said =
                        if context.out.json() { String::new() } else { text_of(context.out, &project) };
                    Ok((project, said))
                };
                several.add(context, shown.await)?;
            }
            several.end(context, ids.len())
        }
        ProjectCommand::Set { id, settings } => {
            context.person_only("`project set`")?;
            let patch = patch_of(&settings)?;
            let project = context.ask(context.client.patch_project(&project_id(&id)?, &patch)).await?;
            if context.out.json() {
                return context.out.value(&project);
            }
            context.out.line(text_of(context.out, &project))
        }
        ProjectCommand::Archive { ids, undo } => {
            context.person_only("`project archive`")?;
            let mut several = Several::default();
            for id in &ids {
                let done = async {
                    let patch = PatchProject { archived: Some(!undo), ..PatchProject::default() };
                    let project = context.ask(context.client.patch_project(&project_id(id)?, &patch)).await?;
                    let said = if undo { "is out of the archive" } else { "is archived" };
                    Ok((project, format!("{id} {said}")))
                };
                several.add(context, done.await)?;
            }
            several.end(context, ids.len())
        }
    }
}

/// `KEY=VALUE…` as a change of the project: values are read as the setting takes them.
fn patch_of(settings: &[String]) -> Result<PatchProject> {
    let mut patch = PatchProject::default();
    let mut map = Map::new();
    for text in settings {
        let (key, value) = words::pair(text)?;
        if key == "name" {
            patch.name = Some(Some(value).filter(|v| !v.is_empty()));
            continue;
        }
        if !SettingsPatch::NAMES.contains(&key.as_str()) {
            let names: Vec<&str> = SettingsPatch::NAMES.iter().copied().chain(["name"]).collect();
            let near = crate::config::nearest(&key, &names).map(|n| format!("did you mean `{n}`?"));
            return Err(Failure::usage(format!("there is no setting `{key}`"))
                .hint(near.unwrap_or_else(|| format!("settings: {}", names.join(", ")))));
        }
        let json = match value.as_str() {
            "" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number if number.parse::<u32>().is_ok() => Value::from(number.parse::<u32>().unwrap_or_default()),
            text => Value::String(text.to_owned()),
        };
        // `0` is a number and, with a unit to come, a duration: whichever the setting takes.
        let as_text = Value::String(value.clone());
        let takes = |v: &Value| {
            let one = Map::from_iter([(key.clone(), v.clone())]);
            serde_json::from_value::<SettingsPatch>(Value::Object(one))
        };
        match takes(&json).or_else(|e| takes(&as_text).map_err(|_| e)) {
            Ok(_) if takes(&json).is_ok() => map.insert(key, json),
            Ok(_) => map.insert(key, as_text),
            // What may not be empty goes back to its default.
            Err(_) if value.is_empty() => {
                let default = mozi_api::project::Settings::from(&mozi_core::Settings::default());
                let all = serde_json::to_value(default).unwrap_or_default();
                map.insert(key.clone(), all.get(&key).cloned().unwrap_or_default())
            }
            Err(e) => return Err(Failure::usage(format!("{key} {}, not {value:?}", fragment(&e)))),
        };
    }
    let settings = serde_json::from_value(Value::Object(map));
    patch.settings = settings.map_err(|e| Failure::usage(e.to_string()))?;
    Ok(patch)
}

fn fragment(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("invalid type: ") {
        Some(rest) => {
            let wanted = rest.split_once(", expected ").map(|(_, wanted)| wanted);
            let wanted = wanted.map(|w| match w {
                "u32" | "u64" => "a whole number",
                "a boolean" => "true or false",
                other => other,
            });
            wanted.map_or_else(|| text.clone(), |w| format!("is {w}"))
        }
        None => text,
    }
}

async fn list(context: &Context) -> Result<()> {
    let mut projects: Vec<Project> = Vec::new();
    let mut cursor = None;
    loop {
        let page = context.ask(context.client.projects(&PageQuery { limit: Some(500), cursor })).await?;
        projects.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if context.out.json() {
        return context.out.value(&projects);
    }
    let mut table = Table::new(&[
        "PROJECT", "STATE", "PENDING", "AT WORK", "REVIEW", "BLOCKED", "DONE", "FAILED", "NAME",
    ]);
    for p in &projects {
        let count = |words: &[&str]| words.iter().filter_map(|w| p.counts.get(*w)).sum::<u64>().to_string();
        table.row(vec![
            p.project_id.to_string(),
            if p.archived { "archived" } else { "open" }.to_owned(),
            count(&["pending"]),
            count(&["claimed", "working"]),
            count(&["review"]),
            count(&["blocked"]),
            count(&["done"]),
            count(&["failed", "cancelled"]),
            p.name.clone().unwrap_or_default(),
        ]);
    }
    context.out.table(&table)
}

fn text_of(out: Out, p: &Project) -> String {
    let name = p.name.as_deref().map_or_else(String::new, |n| format!("  {n}"));
    let archived = if p.archived { "  archived" } else { "" };
    let mut lines = vec![format!("{}{name}{archived}", out.paint(Paint::Strong, p.project_id.as_str()))];
    let counts: Vec<String> =
        p.counts.iter().filter(|(_, n)| **n > 0).map(|(status, n)| format!("{n} {status}")).collect();
    lines.push(format!("  tasks: {}", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }));
    if let Ok(Value::Object(settings)) = serde_json::to_value(&p.settings) {
        for (key, value) in settings {
            let value = match value {
                Value::Null => "-".to_owned(),
                Value::String(text) => text,
                other => other.to_string(),
            };
            lines.push(format!("  {key:<20} {value}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(words: &[&str]) -> Result<PatchProject> {
        patch_of(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_read_as_their_settings_take_them() {
        let p = patch(&[
            "max_attempts=5",
            "backoff_initial=10s",
            "agents_may_create=true",
            "default_agent=",
            "name=X",
        ])
        .unwrap();
        assert_eq!(p.settings.max_attempts, Some(5));
        assert_eq!(p.settings.backoff_initial.unwrap().0, std::time::Duration::from_secs(10));
        assert_eq!(p.settings.agents_may_create, Some(true));
        assert_eq!(p.settings.default_agent, Some(None));
        assert_eq!(p.name, Some(Some("X".to_owned())));
        // An agent may be called by a number.
        assert!(patch(&["default_agent=7"]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(patch(&["max_atempts=5"]).unwrap_err().hint.unwrap(), "did you mean `max_attempts`?");
        assert!(patch(&["max_attempts=many"]).unwrap_err().what.starts_with("max_attempts "));
        assert!(patch(&["dispatch=maybe"]).unwrap_err().what.contains("auto, manual"));
        assert!(patch(&["review"]).unwrap_err().what.contains("KEY=VALUE"));
        assert_eq!(patch(&["max_attempts="]).unwrap().settings.max_attempts, Some(3));
        assert!(patch(&["review=", "backoff_max="]).is_ok(), "an empty value takes one back");
    }
}
