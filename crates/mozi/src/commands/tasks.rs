//! `mozi task …` and `mozi why`

use mozi_api::{
    query::{Expand, PromptQuery, TasksQuery},
    task::{CreateTask, DependsOn, MustHaves, PatchTask, PutDependency, Task},
    wire::{Object, Status, Until, parse_duration},
};
use mozi_core::{Role, TaskId};
use serde_json::Value;

use super::words;
use crate::{
    cli::{TaskAdd, TaskCommand, TaskEdit, Wait},
    context::{Context, agent_id},
    error::{Exit, Failure, Result},
    output::{Table, parse_point},
};

mod decide;
mod page;
mod show;
mod wait;

pub(super) use show::{attempt_row, why};

pub(crate) async fn run(context: &Context, command: TaskCommand) -> Result<()> {
    match command {
        TaskCommand::Add(args) => add(context, args).await,
        TaskCommand::List { status, label, mine, limit } => list(context, &status, label, mine, limit).await,
        TaskCommand::Show { ids } => show::run(context, &ids).await,
        TaskCommand::Edit(args) => edit(context, args).await,
        TaskCommand::Prompt { id, role } => {
            let key = context.key(&id).await?;
            let role = role.map(|r| match r {
                crate::cli::Role::Executor => Role::Executor.into(),
                crate::cli::Role::Reviewer => Role::Reviewer.into(),
            });
            let query = PromptQuery { role };
            let preview = context.ask(context.client.task_prompt(&key.project, &key.task, &query)).await?;
            if context.out.json() {
                return context.out.value(&preview);
            }
            if let Some(name) = &preview.bootstrap {
                crate::output::note(format!("the bootstrap command {name:?} will put its part first"));
            }
            for notice in &preview.notices {
                crate::output::note(notice);
            }
            context.out.line(preview.text)
        }
        TaskCommand::Import { file, dry_run } => super::archive::import(context, &file, dry_run).await,
        TaskCommand::Export { output, tasks_only, force } => {
            super::archive::export(context, output, tasks_only, force).await
        }
        TaskCommand::Wait { ids, until_final } => {
            let until = if until_final { Wait::Final } else { Wait::Decision };
            wait::run(context, &ids, until).await
        }
        other => decide::run(context, other).await,
    }
}

async fn add(context: &Context, args: TaskAdd) -> Result<()> {
    let project = context.project().await?;
    let (title, description) = title_and_description(&args)?;
    let mut body = CreateTask::titled(title);
    body.description = description;
    body.task_id = args.id.as_deref().map(task_id).transpose()?.map(Into::into);
    body.task_type = args.task_type;
    body.priority = args.priority;
    body.must_haves = (!args.must.is_empty()).then_some(MustHaves(args.must));
    body.agent = args.agent.as_deref().map(agent_id).transpose()?.map(Into::into);
    body.depends_on = args.after.iter().map(|a| after(a)).collect::<Result<_>>()?;
    body.not_before = args.not_before.as_deref().map(point).transpose()?;
    body.timeout_seconds = args.timeout.as_deref().map(seconds).transpose()?;
    body.max_attempts = args.max_attempts;
    body.review = args.review.as_deref().map(review).transpose()?;
    body.labels = labels(&args.label)?;
    body.held = args.hold;
    let task = context.ask(context.client.create_task(&project, &body)).await?;
    let id = task.task_id.to_string();
    if args.quiet {
        context.out.line(&id)?;
    } else if context.out.json() && args.wait.is_none() {
        context.out.value(&task)?;
    } else if !context.out.json() {
        let who = task.agent.as_ref().map_or_else(String::new, |a| format!(" for {a}"));
        context.out.line(format!("added {project}/{id}{who}: {}", task.title))?;
        if let Some(first) = task.waiting_for.first() {
            context.out.line(format!("  waits for {}", show::sentence(first)))?;
        }
    }
    // What it waits for has been said, and an agent that nobody knows is what it waits for.
    let said = !args.quiet && !context.out.json();
    let waits: Vec<&str> = task.waiting_for.iter().take(1).map(|w| w.text.as_str()).collect();
    let unknown = task.waiting_for.first().is_some_and(|w| w.kind == "agent_unknown");
    let again = |w: &&String| {
        said && (waits.iter().any(|s| w.contains(s)) || unknown && w.starts_with("no runner knows"))
    };
    for warning in task.warnings.iter().filter(|w| !again(w)) {
        crate::output::note(format!("note: {warning}"));
    }
    match args.wait {
        None => Ok(()),
        Some(until) => wait::run(context, &[format!("{project}/{id}")], until).await,
    }
}

fn title_and_description(args: &TaskAdd) -> Result<(String, Option<String>)> {
    let named = args.description.as_deref().map(words::text).transpose()?;
    if let Some(file) = &args.file {
        let text = words::file(file)?;
        return match &args.title {
            Some(title) => Ok((title.clone(), Some(text).filter(|t| !t.is_empty()))),
            None => words::title_and_rest(&text),
        };
    }
    if args.edit {
        let before = format!("{}\n\n{}", args.title.as_deref().unwrap_or(""), named.unwrap_or_default());
        let help = "The first line is the title, the rest the description. An empty text adds nothing.";
        return words::title_and_rest(&words::edit(&before, help)?);
    }
    Ok((args.title.clone().unwrap_or_default(), named))
}

async fn edit(context: &Context, args: TaskEdit) -> Result<()> {
    let key = context.key(&args.id).await?;
    let (project, id) = (&key.project, &key.task);
    let mut patch = PatchTask {
        title: args.title,
        description: args.description.as_deref().map(words::text).transpose()?.map(none_if_empty),
        task_type: args.task_type,
        priority: args.priority,
        must_haves: (!args.must.is_empty()).then_some(MustHaves(args.must)),
        agent: emptied(args.agent.as_deref(), |a| agent_id(a).map(Into::into))?,
        not_before: emptied(args.not_before.as_deref(), point)?,
        timeout_seconds: emptied(args.timeout.as_deref(), seconds)?,
        max_attempts: args.max_attempts.map(Some),
        review: emptied(args.review.as_deref(), review)?,
        labels: (!args.label.is_empty()).then(|| labels(&args.label)).transpose()?,
        metadata: None,
    };
    if let Some(file) = &args.file {
        let (title, rest) = words::title_and_rest(&words::file(file)?)?;
        (patch.title, patch.description) = (Some(title), Some(rest));
    }
    let mut version = args.if_version;
    if args.edit {
        let task = context.task(&key, Expand::default()).await?;
        // What others change while the editor is open is not overwritten.
        version.get_or_insert(task.version);
        let before = format!("{}\n\n{}", task.title, task.description.as_deref().unwrap_or(""));
        let help = "The first line is the title, the rest the description.";
        let (title, rest) = words::title_and_rest(&words::edit(&before, help)?)?;
        (patch.title, patch.description) = (Some(title), Some(rest));
    }
    let mut task: Option<Task> = None;
    // The version that was seen, or the one that the change before has made.
    let client = |task: &Option<Task>| {
        let client = context.client.clone();
        match version.map(|seen| task.as_ref().map_or(seen, |t| t.version)) {
            Some(version) => client.if_version(version),
            None => client,
        }
    };
    if patch != PatchTask::default() {
        task = Some(context.ask(client(&task).patch_task(project, id, &patch)).await?);
    }
    for dependency in &args.after {
        let on = after(dependency)?;
        let body = PutDependency { until: Some(on.until) };
        task = Some(context.ask(client(&task).put_dependency(project, id, &on.task_id, &body)).await?);
    }
    for dependency in &args.not_after {
        let on = task_id(dependency)?;
        task = Some(context.ask(client(&task).delete_dependency(project, id, &on)).await?);
    }
    let Some(task) = task else {
        return Err(Failure::usage("nothing to change was named").hint("see `mozi task edit --help`"));
    };
    if context.out.json() {
        return context.out.value(&task);
    }
    context.out.line(format!("changed {project}/{id}: {}", task.title))
}

async fn list(
    context: &Context,
    statuses: &[String],
    label: Option<String>,
    mine: bool,
    limit: u32,
) -> Result<()> {
    let project = context.project().await?;
    let mut status = Vec::new();
    for word in statuses.iter().flat_map(|s| s.split(',')).map(str::trim) {
        status.push(word.parse::<Status>().map_err(|e| Failure::usage(format!("--status {e}")))?);
    }
    if mine {
        // What waits for a person: blocked tasks always, results where no agent decides.
        status = vec![mozi_core::Status::Review.into(), mozi_core::Status::Blocked.into()];
    }
    let mut tasks: Vec<Task> = Vec::new();
    let mut cursor = None;
    loop {
        let left = limit.saturating_sub(u32::try_from(tasks.len()).unwrap_or(u32::MAX));
        let query = TasksQuery {
            status: status.clone(),
            label: label.clone(),
            limit: Some(left.clamp(1, 500)),
            cursor,
            ..TasksQuery::default()
        };
        let page = context.ask(context.client.tasks(&project, &query)).await?;
        tasks.extend(page.items.into_iter().filter(|t| !mine || wait::needs_person(t)));
        cursor = page.next_cursor;
        if cursor.is_none() || tasks.len() >= limit as usize {
            break;
        }
    }
    // What has changed while it was listed came once more: the newer one counts, and stands where it belongs.
    let mut seen = std::collections::HashSet::new();
    tasks.reverse();
    tasks.retain(|t| seen.insert(t.task_id.to_string()));
    tasks.reverse();
    tasks.sort_by_key(|t| std::cmp::Reverse(t.updated_at.0));
    if context.out.json() {
        return context.out.value(&tasks);
    }
    if tasks.is_empty() {
        return context.out.line(if mine {
            "nothing waits for you".to_owned()
        } else {
            format!("no such tasks in {project}; `mozi task list` shows all, `mozi task add` adds one")
        });
    }
    let mut table = Table::new(&["ID", "STATUS", "TITLE", "AGENT", "TRY", "CHANGED"]);
    for t in &tasks {
        table.row(vec![
            t.task_id.to_string(),
            t.status.to_string(),
            t.title.clone(),
            t.agent.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            t.attempt_number.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            crate::output::local(&t.updated_at.to_string()),
        ]);
    }
    context.out.table(&table)?;
    if cursor.is_some() {
        crate::output::note("there are more: --limit shows them");
    }
    Ok(())
}

fn task_id(text: &str) -> Result<TaskId> {
    text.parse().map_err(|e| Failure::usage(format!("task {e}")))
}

/// `ID[:done|review|ended]`.
fn after(text: &str) -> Result<DependsOn> {
    let (id, until) = text.split_once(':').unwrap_or((text, "done"));
    let until: Until = until.parse().map_err(|e| Failure::usage(format!("what follows the `:` {e}")))?;
    Ok(DependsOn { task_id: task_id(id)?.into(), until })
}

fn point(text: &str) -> Result<mozi_api::wire::Time> {
    let at = parse_point(text).map_err(Failure::usage)?;
    at.parse().map_err(|e| Failure::usage(format!("--not-before {e}")))
}

fn seconds(text: &str) -> Result<u32> {
    let span = parse_duration(text).map_err(|e| Failure::usage(format!("--timeout {e}")))?;
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    u32::try_from(seconds).map_err(|_| Failure::usage("--timeout is too long"))
}

fn review(text: &str) -> Result<mozi_api::wire::Review> {
    text.parse().map_err(|e| Failure::usage(format!("--review {e}")))
}

fn labels(pairs: &[String]) -> Result<Object> {
    let mut map = serde_json::Map::new();
    for text in pairs {
        let (key, value) = words::pair(text)?;
        map.insert(key, Value::String(value));
    }
    Ok(Object(map))
}

fn none_if_empty(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}

/// Absent leaves it, empty takes it away, anything else is read.
#[expect(clippy::option_option, reason = "the form in which the wire tells \"leave\" from \"take away\"")]
fn emptied<T>(text: Option<&str>, read: impl FnOnce(&str) -> Result<T>) -> Result<Option<Option<T>>> {
    match text {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(text) => read(text).map(|t| Some(Some(t))),
    }
}

/// Several things asked for one after the other: each is said, the first failure decides how it ends.
#[derive(Debug, Default)]
pub(super) struct Several {
    values: Vec<Value>,
    done: usize,
    failure: Option<Failure>,
}

impl Several {
    pub(super) fn add<T: serde::Serialize>(
        &mut self,
        context: &Context,
        result: Result<(T, String)>,
    ) -> Result<()> {
        match result {
            Ok((value, said)) => {
                self.done += 1;
                if context.out.json() {
                    self.values.push(serde_json::to_value(value).unwrap_or_default());
                } else if !said.is_empty() {
                    context.out.line(said)?;
                }
            }
            // No board, no right: the rest would fare the same.
            Err(e) if matches!(e.exit, Exit::NoBoard | Exit::NotAuthorised) => return Err(e),
            Err(e) => {
                if let Some(earlier) = self.failure.replace(e) {
                    crate::output::failure(&earlier, context.out.json());
                }
            }
        }
        Ok(())
    }

    /// One value stands for itself, several are a list.
    pub(super) fn end(self, context: &Context, asked: usize) -> Result<()> {
        if context.out.json() {
            match (asked, self.values.as_slice()) {
                (1, [one]) => context.out.value(one)?,
                (1, []) => {}
                (_, all) => context.out.value(&all)?,
            }
        }
        match self.failure {
            None => Ok(()),
            Some(e) if asked == 1 => Err(e),
            Some(e) => {
                crate::output::failure(&e, context.out.json());
                if !context.out.json() {
                    crate::output::note(format!("{} of {asked} done", self.done));
                }
                Err(Failure { quiet: true, ..e })
            }
        }
    }
}
