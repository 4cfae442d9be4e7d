//! A task for people: what it is, how it stands, why it does not run.

use mozi_api::{query::Expand, task::Task, waiting::WaitingFor};
use mozi_core::Status;

use super::Several;
use crate::{
    context::Context,
    error::Result,
    output::{Out, Paint, Table, bytes, local, money, paint_of, seconds},
};

pub(super) async fn run(context: &Context, ids: &[String]) -> Result<()> {
    let mut several = Several::default();
    for (i, id) in ids.iter().enumerate() {
        let shown = async {
            let key = context.key(id).await?;
            let task = context.task(&key, Expand { events: false, ..Expand::ALL }).await?;
            if !context.out.json() {
                if i > 0 {
                    context.out.line("")?;
                }
                print(context.out, &task)?;
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
            let said = because(context.out, &task);
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

fn because(out: Out, task: &Task) -> String {
    let status = out.paint(paint_of(task.status.as_str()), task.status.as_str());
    let detail = task.detail.as_deref().map_or_else(String::new, |d| format!(": {d}"));
    let mut lines = vec![format!("{}/{} is {status}{detail}", task.project_id, task.task_id)];
    lines.extend(task.waiting_for.iter().map(|wait| format!("  waits for {}", sentence(wait))));
    if task.status.0 == Status::Pending && task.waiting_for.is_empty() {
        lines.push("  waits for nothing: a runner takes it up now".to_owned());
    }
    let step = next_step(task);
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

/// What a person can do about it.
pub(super) fn next_step(task: &Task) -> String {
    let id = &task.task_id;
    let has = |kind: &str| task.waiting_for.iter().any(|w| w.kind == kind);
    let agent = |kind: &str| {
        let wait = task.waiting_for.iter().find(|w| w.kind == kind)?;
        wait.text_of("agent").map(str::to_owned)
    };
    match task.status.0 {
        Status::Review if has("review") || has("person") => {
            format!("mozi task approve {id}  ·  mozi task reject {id} -m \"…\"  ·  mozi output list {id}")
        }
        Status::Blocked if task.kind.as_deref() == Some("needs_input") => {
            format!("mozi task answer {id} \"…\"")
        }
        Status::Blocked => format!("mozi task release {id}  ·  mozi task cancel {id}"),
        Status::Failed | Status::Cancelled => format!("mozi task retry {id}  ·  mozi logs {id}"),
        Status::Pending if has("no_agent") => {
            format!(
                "mozi task edit {id} -a AGENT  ·  mozi project set {} default_agent=AGENT",
                task.project_id
            )
        }
        Status::Pending if has("agent_unknown") => {
            "mozi agent list shows the agents that can be started".to_owned()
        }
        Status::Pending if has("agent_offline") => "mozi serve starts the runner of this machine".to_owned(),
        Status::Pending | Status::Review if has("agent_paused") => {
            format!("mozi agent resume {}", agent("agent_paused").unwrap_or_default())
        }
        Status::Pending | Status::Review if has("agent_held_back") => {
            "mozi doctor says what is missing".to_owned()
        }
        Status::Pending if has("manual") => format!("mozi session start AGENT --task {id}"),
        Status::Claimed | Status::Working => format!("mozi logs {id} -f"),
        Status::Pending | Status::Review | Status::Done => String::new(),
    }
}

fn print(out: Out, task: &Task) -> Result<()> {
    let status = out.paint(paint_of(task.status.as_str()), task.status.as_str());
    let name = out.paint(Paint::Strong, &format!("{}/{}", task.project_id, task.task_id));
    out.line(format!("{name}  {}  {status}", task.title))?;
    let agent =
        task.agent.as_ref().map_or_else(|| "the project's agent".to_owned(), |a| format!("agent {a}"));
    let review = task.review.as_ref().map_or_else(String::new, |r| format!(" · review {r}"));
    let by =
        task.created_by.name.as_deref().or(task.created_by.id.as_deref()).unwrap_or(&task.created_by.kind);
    out.line(out.paint(
        Paint::Dim,
        &format!(
            "{agent} · {} · priority {}{review} · added {} by {by}",
            task.task_type,
            task.priority,
            local(&task.created_at.to_string())
        ),
    ))?;
    if let Some(detail) = &task.detail {
        out.line(format!("  {detail}"))?;
    }
    for wait in &task.waiting_for {
        out.line(format!("  waits for {}", sentence(wait)))?;
    }
    let step = next_step(task);
    if !step.is_empty() {
        out.line(format!("  {}", out.paint(Paint::Dim, &step)))?;
    }
    if let Some(description) = &task.description {
        out.line(format!("\n{description}"))?;
    }
    if !task.must_haves.is_empty() {
        out.line("\nMust")?;
        for must in &task.must_haves {
            out.line(format!("  - {must}"))?;
        }
    }
    if !task.depends_on.is_empty() {
        out.line("\nAfter")?;
        for d in &task.depends_on {
            let met = if d.met { "" } else { ", waited for" };
            out.line(format!("  {} until {}: {}{met}", d.task_id, d.until, d.status))?;
        }
    }
    print_attempts(out, task)?;
    print_outputs(out, task)?;
    print_comments(out, task)
}

fn print_attempts(out: Out, task: &Task) -> Result<()> {
    let attempts = task.attempts.as_deref().unwrap_or_default();
    if attempts.is_empty() {
        return Ok(());
    }
    out.line("\nAttempts")?;
    let mut table = Table::new(&["#", "ROLE", "AGENT", "OUTCOME", "VERDICT", "STARTED", "TOOK", "COST"]);
    for a in attempts {
        table.row(attempt_row(a));
    }
    out.table(&table)
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

fn print_outputs(out: Out, task: &Task) -> Result<()> {
    let outputs = task.outputs.as_deref().unwrap_or_default();
    if outputs.is_empty() {
        return Ok(());
    }
    out.line("\nOutputs")?;
    for o in outputs {
        out.line(format!("  {}  {} ({}, {})", o.output_id, o.title, o.output_type, bytes(o.size_bytes)))?;
        if let Some(summary) = &o.summary {
            for line in summary.lines() {
                out.line(format!("     {line}"))?;
            }
        }
    }
    out.line(out.paint(Paint::Dim, &format!("  mozi output show {} {}", task.task_id, outputs.len())))
}

fn print_comments(out: Out, task: &Task) -> Result<()> {
    let comments = task.comments.as_deref().unwrap_or_default();
    if comments.is_empty() {
        return Ok(());
    }
    out.line("\nComments")?;
    for c in comments {
        out.line(out.paint(Paint::Dim, &format!("  {} at {}", c.author, local(&c.created_at.to_string()))))?;
        for line in c.body.lines() {
            out.line(format!("    {line}"))?;
        }
    }
    Ok(())
}
