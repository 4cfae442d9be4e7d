//! Projects.

use http::StatusCode;
use mozi_api::{
    Page,
    project::{CreateProject, PatchProject, Project},
    query::PageQuery,
};
use mozi_core::{Command, Reply, command::SettingChange};

use crate::{
    call::{Call, Outcome, etag, json, location, rows},
    error::ApiError,
};

pub(super) async fn list(call: Call) -> Outcome {
    let asked = PageQuery::parse(call.query())?;
    // A cursor is the id of a project.
    if asked.cursor.as_ref().is_some_and(|c| c.parse::<mozi_core::ProjectId>().is_err()) {
        return Err(ApiError::invalid("cursor", "is none of this list"));
    }
    if let Some(scope) = call.scope() {
        let only = call.board.store.project(scope).await?;
        return json(StatusCode::OK, &Page::whole(only.iter().map(Project::from).collect()));
    }
    let page = call.board.store.projects(asked.cursor, rows(asked.limit)).await?;
    let items = page.items.iter().map(Project::from).collect();
    json(StatusCode::OK, &Page { items, next_cursor: page.next_cursor })
}

pub(super) async fn create(mut call: Call) -> Outcome {
    let body: CreateProject = call.json().await?;
    let mut command = body.into_command();
    if let Command::CreateProject { settings, .. } = &mut command
        && !settings.iter().any(|s| matches!(s, SettingChange::Language(_)))
    {
        settings.push(SettingChange::Language(call.board.config.default_language));
    }
    answer(call.submit(command).await?.reply)
}

pub(super) async fn show(call: Call) -> Outcome {
    let id = call.project()?;
    let project = call.board.store.project(&id).await?;
    let project = project.ok_or_else(|| ApiError::not_found(format_args!("project {id}")))?;
    Ok(etag(json(StatusCode::OK, &Project::from(&project))?, project.version))
}

pub(super) async fn edit(mut call: Call) -> Outcome {
    let id = call.project()?;
    let body: PatchProject = call.json().await?;
    answer(call.submit(body.into_command(id)).await?.reply)
}

fn answer(reply: Reply) -> Outcome {
    let Reply::Project { project, created } = reply else {
        return Err(ApiError::internal("the reply is no project"));
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let response = etag(json(status, &Project::from(&*project))?, project.version);
    Ok(location(response, &format!("/api/projects/{}", project.id)))
}
