//! A task for people: what it is, how it stands, why it does not run.

use mozi_api::{query::Expand, task::Task, waiting::WaitingFor};
use mozi_core::Status;

use super::{Several, page};
use crate::{
    context::Context,
    error::Result,
    output::{Out, Paint, local, money, paint_of, seconds},
};

pub(super) async fn run(context: &Context, ids: &[String]) -> Result<()> {
    let mut several = Several::default();
    for (i, id) in ids.iter().enumerate() {
        let shown = async {
            let key = context.key(id).await?;
            let task = context.task(&key, Expand::ALL).await?;
            if !context.out.json() {
                if i > 0 {
                    context.out.line("")?;
                }
                for line in page::lines(context.out, &task, id) {
                    context.out.line(line)?;
                }
            }
            Ok((task, String::new()))
        };
        several.add(context, shown.await)?;
    }
    several.end(context, ids.len())
}

/// `mozi why`
pub(crate) async fn why(context: &Context, ids: &[String]) -> Result<()> {
    let mut several = Several::default();
    for id in ids {
        let said = async {
            let key = context.key(id).await?;
            let task = context.task(&key, Expand::default()).await?;
            let said = because(context.out, &task, id);
            let value = serde_json::json!({
                "project_id": task.project_id, "task_id": task.task_id, "status": task.status,
                "kind": task.kind, "detail": task.detail, "waiting_for": task.waiting_for,
            });
            Ok((value, said))
        };
        several.add(context, said.await)?;
    }
    several.end(context, ids.len())
}

fn because(out: Out, task: &Task, name: &str) -> String {
    let status = out.paint(paint_of(task.status.as_str()), task.status.as_str());
    let detail = task.detail.as_deref().map_or_else(String::new, |d| format!(": {d}"));
    let mut lines = vec![format!("{}/{} is {status}{detail}", task.project_id, task.task_id)];
    lines.extend(task.waiting_for.iter().map(|wait| format!("  waits for {}", sentence(wait))));
    if task.status.0 == Status::Pending && task.waiting_for.is_empty() {
        lines.push("  waits for nothing: a runner takes it up now".to_owned());
    }
    let step = next_step(task, name);
    if !step.is_empty() {
        lines.push(format!("  {}", out.paint(Paint::Dim, &step)));
    }
    lines.join("\n")
}

/// What a task waits for, with the point in time where there is one.
pub(super) fn sentence(wait: &WaitingFor) -> String {
    let at = wait.text_of("at").or_else(|| wait.text_of("until")).or_else(|| wait.text_of("since"));
    // A dependency's `until` is a status.
    match at.filter(|t| t.contains('T')) {
        Some(t) if wait.text_of("since").is_some() => format!("{} (since {})", wait.text, local(t)),
        Some(t) => format!("{} (until {})", wait.text, local(t)),
        None => wait.text.clone(),
    }
}

/// What a person can do about it, the likeliest first. `name` is how commands name the task.
pub(super) fn next_steps(task: &Task, name: &str) -> Vec<String> {
    let has = |kind: &str| task.waiting_for.iter().any(|w| w.kind == kind);
    let agent = |kind: &str| {
        let wait = task.waiting_for.iter().find(|w| w.kind == kind)?;
        wait.text_of("agent").map(str::to_owned)
    };
    // A task that will never be as far as it is waited for.
    let dead_end = task.waiting_for.iter().find(|w| {
        w.kind == "dependency" && w.text_of("status").is_some_and(|s| matches!(s, "failed" | "cancelled"))
    });
    let project = name.split_once('/').map_or_else(String::new, |(p, _)| format!("{p}/"));
    match task.status.0 {
        Status::Review if has("review") || has("person") => vec![
            format!("mozi output list {name}"),
            format!("mozi task approve {name}"),
            format!("mozi task reject {name} -m \"…\""),
        ],
        Status::Blocked if task.kind.as_deref() == Some("needs_input") => {
            vec![format!("mozi task answer {name} \"…\"")]
        }
        Status::Blocked => vec![format!("mozi task release {name}"), format!("mozi task cancel {name}")],
        Status::Failed | Status::Cancelled => {
            let log = task.attempt_number.map(|_| format!("mozi logs {name}"));
            log.into_iter().chain([format!("mozi task retry {name}")]).collect()
        }
        Status::Pending if has("no_agent") => vec![
            format!("mozi task edit {name} -a AGENT"),
            format!("mozi project set {} default_agent=AGENT", task.project_id),
        ],
        Status::Pending if has("agent_unknown") => {
            vec!["mozi agent list".to_owned(), format!("mozi task edit {name} -a AGENT")]
        }
        Status::Pending if has("agent_offline") => vec!["mozi serve".to_owned()],
        Status::Pending | Status::Review if has("agent_paused") => {
            vec![format!("mozi agent resume {}", agent("agent_paused").unwrap_or_default())]
        }
        Status::Pending | Status::Review if has("agent_held_back") => vec!["mozi doctor".to_owned()],
        Status::Pending if has("manual") => vec![format!("mozi session start AGENT --task {name}")],
        Status::Pending if dead_end.is_some() => {
            let on = dead_end.and_then(|w| w.text_of("task_id")).unwrap_or_default();
            vec![format!("mozi task retry {project}{on}"), format!("mozi task edit {name} --not-after {on}")]
        }
        Status::Claimed | Status::Working => vec![format!("mozi logs {name} -f")],
        Status::Pending | Status::Review | Status::Done => Vec::new(),
    }
}

/// The same on one line.
pub(super) fn next_step(task: &Task, name: &str) -> String {
    next_steps(task, name).join("  ·  ")
}

/// The cells of an attempt in a table.
pub(crate) fn attempt_row(a: &mozi_api::attempt::Attempt) -> Vec<String> {
    let dash = || "-".to_owned();
    let started = a.started_at.to_string();
    let outcome = match (&a.outcome, &a.reason) {
        (Some(outcome), Some(reason)) => format!("{outcome} ({reason})"),
        (Some(outcome), None) => outcome.clone(),
        (None, _) if a.revoked_at.is_some() => "ending".to_owned(),
        (None, _) => "running".to_owned(),
    };
    let cost = a.usage.as_ref().and_then(|u| u.cost_micro_usd).map_or_else(dash, money);
    vec![
        a.attempt_number.to_string(),
        a.role.clone(),
        a.agent.to_string(),
        outcome,
        a.verdict.clone().unwrap_or_else(dash),
        local(&started),
        a.completed_at.and_then(|end| seconds(&started, &end.to_string())).unwrap_or_else(dash),
        cost,
    ]
}
