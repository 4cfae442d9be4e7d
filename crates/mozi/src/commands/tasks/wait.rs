//! Waiting until tasks have ended or need a person.

use mozi_api::{query::Expand, task::Task};
use mozi_core::{Status, TaskKey};

use super::show;
use crate::{
    cli::Wait,
    context::{Context, last_event},
    error::{Exit, Failure, Result},
    output::{Paint, paint_of},
};

/// Whether it waits for a person's decision.
pub(super) fn needs_person(task: &Task) -> bool {
    match task.status.0 {
        Status::Blocked => true,
        Status::Review => task.waiting_for.iter().any(|w| w.kind == "review" || w.kind == "person"),
        Status::Pending
        | Status::Claimed
        | Status::Working
        | Status::Done
        | Status::Failed
        | Status::Cancelled => false,
    }
}

fn is_over(task: &Task, until: Wait) -> bool {
    task.status.0.is_end() || (until == Wait::Decision && needs_person(task))
}

pub(super) async fn run(context: &Context, ids: &[String], until: Wait) -> Result<()> {
    let mut keys: Vec<TaskKey> = Vec::new();
    for id in ids {
        keys.push(context.key(id).await?);
    }
    let mut over: Vec<Option<Task>> = vec![None; keys.len()];
    // One project after the other: a stream tells of one.
    let mut projects: Vec<_> = keys.iter().map(|k| k.project.clone()).collect();
    projects.sort();
    projects.dedup();
    for project in projects {
        // The stream begins before the look: what happens in between is told.
        let end = last_event(context, &project).await?;
        let mut stream = context.client.event_stream(Some(&project), Some(end.to_string()));
        let mut look: Vec<usize> =
            (0..keys.len()).filter(|i| keys.get(*i).is_some_and(|k| k.project == project)).collect();
        loop {
            for i in std::mem::take(&mut look) {
                let (Some(key), Some(slot)) = (keys.get(i), over.get_mut(i)) else { continue };
                if slot.is_some() {
                    continue;
                }
                let task = context.task(key, Expand::default()).await?;
                if is_over(&task, until) {
                    if !context.out.json() {
                        context.out.line(said(context, &task))?;
                    }
                    *slot = Some(task);
                }
            }
            let open = |i: &usize| over.get(*i).is_some_and(Option::is_none);
            let waiting: Vec<usize> = (0..keys.len())
                .filter(open)
                .filter(|i| keys.get(*i).is_some_and(|k| k.project == project))
                .collect();
            if waiting.is_empty() {
                break;
            }
            let event = context.ask(stream.next()).await?.event;
            let of = |i: &usize| {
                keys.get(*i).is_some_and(|k| event.task_id.as_ref().is_some_and(|t| t.0 == k.task))
            };
            look = waiting.into_iter().filter(of).collect();
        }
    }
    let tasks: Vec<Task> = over.into_iter().flatten().collect();
    if context.out.json() {
        match tasks.as_slice() {
            [one] => context.out.value(one)?,
            many => context.out.value(&many)?,
        }
    }
    if tasks.iter().all(|t| t.status.0 == Status::Done) {
        Ok(())
    } else {
        Err(Failure::silent(Exit::Otherwise))
    }
}

fn said(context: &Context, task: &Task) -> String {
    let status = context.out.paint(paint_of(task.status.as_str()), task.status.as_str());
    let mut line = format!("{}/{} {status}", task.project_id, task.task_id);
    if let Some(detail) = task.detail.as_deref().filter(|_| task.status.0 != Status::Done) {
        line.push_str(": ");
        line.push_str(&crate::output::clip(detail, 300));
    }
    if needs_person(task) {
        line.push('\n');
        line.push_str(
            &context.out.paint(Paint::Dim, &format!("  {}", show::next_step(task, task.task_id.as_str()))),
        );
    }
    line
}
