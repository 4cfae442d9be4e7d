//! `mozi attempt …`

use mozi_api::attempt::Attempt;

use super::tasks::{Several, attempt_row};
use crate::{
    cli::AttemptCommand,
    context::Context,
    error::Result,
    output::{Out, Paint, Table, bytes, local, money, paint_of, seconds},
};

pub(crate) async fn run(context: &Context, command: AttemptCommand) -> Result<()> {
    match command {
        AttemptCommand::List { ids } => {
            let mut several = Several::default();
            for id in &ids {
                let listed = async {
                    let key = context.key(id).await?;
                    let attempts = context.ask(context.client.attempts(&key.project, &key.task)).await?.items;
                    let said = if context.out.json() { String::new() } else { table(context.out, &attempts) };
                    Ok((attempts, said))
                };
                several.add(context, listed.await)?;
            }
            several.end(context, ids.len())
        }
        AttemptCommand::Show { id, number } => {
            let key = context.key(&id).await?;
            let attempt = context.ask(context.client.attempt(&key.project, &key.task, number)).await?;
            if context.out.json() {
                return context.out.value(&attempt);
            }
            print(context.out, &attempt)
        }
    }
}

fn table(out: Out, attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "no attempts yet".to_owned();
    }
    let mut table = Table::new(&["#", "ROLE", "AGENT", "OUTCOME", "VERDICT", "STARTED", "TOOK", "COST"]);
    for a in attempts {
        table.row(attempt_row(a));
    }
    table.lines(out).join("\n")
}

fn print(out: Out, a: &Attempt) -> Result<()> {
    let outcome =
        a.outcome.as_deref().unwrap_or_else(|| if a.revoked_at.is_some() { "ending" } else { "running" });
    let name = format!("{}/{} attempt {}", a.project_id, a.task_id, a.attempt_number);
    out.line(format!("{}  {}", out.paint(Paint::Strong, &name), out.paint(paint_of(outcome), outcome)))?;
    let started = a.started_at.to_string();
    let took = a.completed_at.and_then(|end| seconds(&started, &end.to_string()));
    let exit = match (a.exit_code, a.signal) {
        (Some(code), _) => Some(format!("status {code}")),
        (None, Some(signal)) => Some(format!("signal {signal}")),
        (None, None) => None,
    };
    let usage = a.usage.as_ref().map(|u| {
        let tokens = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let cost = u.cost_micro_usd.map_or_else(String::new, |c| format!(", {}", money(c)));
        format!("{} in, {} out{cost} ({})", tokens(u.input_tokens), tokens(u.output_tokens), u.source)
    });
    let resources = a.resources.as_ref().map(|r| {
        format!("{:.1} s of processor time, at most {} of memory", r.cpu_seconds, bytes(r.max_rss_bytes))
    });
    let log = match (a.log.stdout_bytes, a.log.stderr_bytes) {
        (Some(o), Some(e)) => format!("{} ({} and {} of errors)", a.log.state, bytes(o), bytes(e)),
        _ => a.log.state.clone(),
    };
    let rows = [
        ("role", Some(a.role.clone())),
        ("agent", Some(a.agent.to_string())),
        ("session", Some(a.session_id.to_string())),
        ("verdict", a.verdict.clone()),
        ("reason", a.reason.clone()),
        ("exit", exit),
        ("revoked", a.revoked_why.clone()),
        ("started", Some(local(&started))),
        ("took", took),
        ("workspace", a.workspace.clone()),
        ("tokens", usage),
        ("machine", resources),
        ("log", Some(log)),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            out.line(format!("  {name:<10} {value}"))?;
        }
    }
    if let Some(advice) =
        a.reason.as_deref().and_then(mozi_core::Reason::parse).map(mozi_core::Reason::advice)
    {
        let (english, chinese) = advice;
        let text = match crate::config::env::language() {
            mozi_core::project::Language::ZhCn => chinese,
            mozi_core::project::Language::En => english,
        };
        out.line(out.paint(Paint::Dim, &format!("  {text}")))?;
    }
    if let Some(error) = a.metadata.0.get("error").and_then(serde_json::Value::as_str) {
        out.line(format!("  {:<10} {error}", "error"))?;
    }
    Ok(())
}
