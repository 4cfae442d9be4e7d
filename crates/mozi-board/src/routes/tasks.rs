//! Tasks and what they depend on.

use http::StatusCode;
use mozi_api::{
    Page,
    comment::Comment,
    event::Event,
    output::Output,
    query::{Expand, PromptQuery, SortBy, TasksQuery},
    task::{CreateTask, PatchTask, PromptPreview, PutDependency, Task},
};
use mozi_core::{Command, Identity, ProjectId, Reply, Role, Status, TaskId, TaskKey, Until, WaitingFor};
use mozi_store::{TaskPage, TaskQuery, TaskSort, TaskView, Wanted};

use super::{attempts, poll};
use crate::{
    call::{Call, Outcome, etag, json, location, rows},
    clock::sha256_hex,
    error::ApiError,
    mask,
};

/// The most events that a task is shown with.
const EVENTS: usize = 10_000;

pub(super) async fn list(call: Call) -> Outcome {
    let project = call.project()?;
    let asked = TasksQuery::parse(call.query())?;
    let query = wanted(asked, &project)?;
    let page = call.board.store.tasks(query, call.board.clock.now()).await?;
    if page.items.is_empty() && call.board.store.project(&project).await?.is_none() {
        return Err(ApiError::not_found(format_args!("project {project}")));
    }
    let items: Vec<Task> = page.items.iter().map(shown).collect();
    json(StatusCode::OK, &Page { items, next_cursor: page.next_cursor })
}

fn wanted(asked: TasksQuery, project: &ProjectId) -> Result<TaskQuery, ApiError> {
    let labels = match asked.label_pair() {
        None => Vec::new(),
        Some((name, Some(value))) => vec![(name.to_owned(), value.to_owned())],
        Some((_, None)) => return Err(ApiError::invalid("label", "must be NAME=VALUE")),
    };
    Ok(TaskQuery {
        statuses: asked.status.into_iter().map(|s| s.0).collect(),
        agent: asked.agent.map(|a| a.0),
        task_type: asked.task_type,
        labels,
        q: asked.q,
        sort: match asked.sort.map(|s| s.0) {
            None | Some(SortBy::Updated) => TaskSort::Updated,
            Some(SortBy::Created) => TaskSort::Created,
            Some(SortBy::Priority) => TaskSort::Priority,
        },
        after: asked.cursor,
        limit: rows(asked.limit),
        ..TaskQuery::all(project.clone())
    })
}

pub(super) fn shown(view: &TaskView) -> Task {
    Task::new(&view.task, &view.dependencies, &view.waiting_for)
}

fn missing(key: &TaskKey) -> ApiError {
    ApiError::not_found(format_args!("task {} in project {}", key.task, key.project))
}

/// A task and what hangs on it, as of one moment.
pub(super) async fn page(call: &Call, key: &TaskKey, wanted: Wanted) -> Result<TaskPage, ApiError> {
    let page = call.board.store.task_page(key, wanted, call.board.clock.now()).await?;
    page.ok_or_else(|| missing(key))
}

async fn view(call: &Call, key: &TaskKey) -> Result<TaskView, ApiError> {
    call.board.store.task(key, call.board.clock.now()).await?.ok_or_else(|| missing(key))
}

pub(super) async fn create(mut call: Call) -> Outcome {
    let project = call.project()?;
    let body: CreateTask = call.json().await?;
    let fingerprint = sha256_hex(body.canonical().as_bytes());
    let new = body.into_new_task(project, fingerprint)?;
    let answer = call.submit(Command::CreateTask(Box::new(new))).await?;
    let Reply::Task { task, created, warnings } = answer.reply else {
        return Err(ApiError::internal("the reply is no task"));
    };
    let view = view(&call, &task.key).await?;
    let mut shown = shown(&view);
    shown.warnings = warnings;
    let absent = view
        .waiting_for
        .iter()
        .filter(|w| matches!(w, WaitingFor::AgentOffline { .. } | WaitingFor::AgentHeldBack { .. }));
    shown.warnings.extend(absent.map(|w| format!("it waits for {w}")));
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let response = etag(json(status, &shown)?, view.task.version);
    Ok(location(response, &format!("/api/projects/{}/tasks/{}", task.key.project, task.key.task)))
}

pub(super) async fn show(call: Call) -> Outcome {
    let key = call.task()?;
    let mut expand = Expand::parse(call.query())?;
    // What hangs on another's task is an attempt's to see only as far as it works with it.
    if let Some(Identity::Attempt { key: own, .. }) = &call.who
        && *own != key
    {
        if expand != Expand::ALL && (expand.attempts || expand.events) {
            return Err(ApiError::not_found(format_args!("history of task {} for this token", key.task)));
        }
        expand.attempts = false;
        expand.events = false;
    }
    let wanted = Wanted {
        attempts: expand.attempts,
        outputs: expand.outputs,
        comments: expand.comments,
        events: expand.events.then_some(EVENTS),
    };
    let page = page(&call, &key, wanted).await?;
    let mut task = shown(&page.view);
    task.outputs = expand.outputs.then(|| page.outputs.iter().map(Output::from).collect());
    task.comments = expand.comments.then(|| page.comments.iter().map(Comment::from).collect());
    task.attempts = expand.attempts.then(|| page.attempts.iter().map(attempts::shown).collect());
    task.events = expand.events.then(|| page.events.iter().map(Event::from).collect());
    Ok(etag(json(StatusCode::OK, &task)?, page.view.task.version))
}

pub(super) async fn edit(mut call: Call) -> Outcome {
    let key = call.task()?;
    let body: PatchTask = call.json().await?;
    let patch = Box::new(body.into_patch()?);
    let answer = call.submit(Command::EditTask { key, patch }).await?;
    changed(&call, answer.reply).await
}

pub(super) async fn set_dependency(mut call: Call) -> Outcome {
    let (key, on) = (call.task()?, call.path::<TaskId>("other", "task")?);
    let body: PutDependency = call.json_or_default().await?;
    let until = body.until.map_or(Until::Done, |u| u.0);
    let answer = call.submit(Command::SetDependency { key, on, until }).await?;
    changed(&call, answer.reply).await
}

pub(super) async fn remove_dependency(call: Call) -> Outcome {
    let (key, on) = (call.task()?, call.path::<TaskId>("other", "task")?);
    let answer = call.submit(Command::RemoveDependency { key, on }).await?;
    changed(&call, answer.reply).await
}

async fn changed(call: &Call, reply: Reply) -> Outcome {
    let Reply::Task { task, warnings, created: _ } = reply else {
        return Err(ApiError::internal("the reply is no task"));
    };
    let view = view(call, &task.key).await?;
    let mut shown = shown(&view);
    shown.warnings = warnings;
    Ok(etag(json(StatusCode::OK, &shown)?, view.task.version))
}

/// What an agent would be told now.
pub(super) async fn prompt(call: Call) -> Outcome {
    let key = call.task()?;
    let role = PromptQuery::parse(call.query())?.role.map(|r| r.0);
    let material = call.board.store.prompt_material(&key).await?.ok_or_else(|| missing(&key))?;
    let turn = if material.task.state.status == Status::Review { Role::Reviewer } else { Role::Executor };
    let role = role.unwrap_or(turn);
    let agent = mozi_core::waiting::agent_for(&material.task, &material.project, role);
    let preview = poll::preview(&call.board, material, role, agent.clone()).await?;
    json(
        StatusCode::OK,
        &PromptPreview {
            role: role.as_str().to_owned(),
            agent: agent.map(Into::into),
            text: mask::text(&preview.text),
            bootstrap: preview.bootstrap,
            notices: preview.notices,
        },
    )
}
