//! `mozi session …`

use mozi_api::{
    query::{SessionsQuery, WaitQuery},
    session::{PromptKind, Session, StartSession, StopSession},
};

use super::{tasks::Several, words};
use crate::{
    cli::SessionCommand,
    context::{Context, agent_id},
    error::{Exit, Failure, Result},
    output::{Out, Paint, Table, local, paint_of, seconds},
};

pub(crate) async fn run(context: &Context, command: SessionCommand) -> Result<()> {
    match command {
        SessionCommand::List { all } => list(context, all).await,
        SessionCommand::Show { ids } => {
            let mut several = Several::default();
            for id in &ids {
                let shown = async {
                    let sid = context.session(id).await?;
                    let session = context.ask(context.client.session(sid)).await?;
                    let said =
                        if context.out.json() { String::new() } else { text_of(context.out, &session) };
                    Ok((session, said))
                };
                several.add(context, shown.await)?;
            }
            several.end(context, ids.len())
        }
        SessionCommand::Start { agent, message, task, verbatim, wait } => {
            let message = message.as_deref().map(words::text).transpose()?;
            let key = match &task {
                Some(task) => Some(context.key(task).await?),
                None => None,
            };
            let body = StartSession {
                agent: agent_id(&agent)?.into(),
                message,
                project_id: key.as_ref().map(|k| k.project.clone().into()),
                task_id: key.as_ref().map(|k| k.task.clone().into()),
                prompt: verbatim.then_some(PromptKind::Verbatim.into()),
            };
            let session = context.ask(context.client.start_session(&body)).await?;
            if wait {
                return until_ended(context, session).await;
            }
            if context.out.json() {
                return context.out.value(&session);
            }
            let at = key.map_or_else(String::new, |k| format!(" at {}/{}", k.project, k.task));
            context.out.line(format!("started {agent}{at}: session {}", session.session_id))?;
            let short: String = session.session_id.to_string().chars().take(8).collect();
            context.out.line(context.out.paint(Paint::Dim, &format!("  mozi logs {short} -f")))
        }
        SessionCommand::Stop { ids } => {
            context.person_only("`session stop`")?;
            let mut several = Several::default();
            for id in &ids {
                let stopped = async {
                    let sid = context.session(id).await?;
                    let session =
                        context.ask(context.client.stop_session(sid, &StopSession::default())).await?;
                    let said = match (&session.completed_at, &session.task_id) {
                        (Some(_), _) => format!("session {sid} has ended already; nothing was changed"),
                        (None, None) => format!("session {sid} is being stopped"),
                        (None, Some(t)) => {
                            format!(
                                "session {sid} is being stopped; task {t} is held, unless its verdict is given"
                            )
                        }
                    };
                    Ok((session, said))
                };
                several.add(context, stopped.await)?;
            }
            several.end(context, ids.len())
        }
        SessionCommand::Clean { ids, force } => {
            if force {
                context.person_only("`session clean --force`")?;
            }
            let mut several = Several::default();
            for id in &ids {
                let cleaned = async {
                    let sid = context.session(id).await?;
                    context.ask(context.client.clean_session(sid, force)).await?;
                    let said = if force {
                        format!("session {sid} is being closed on your word")
                    } else {
                        format!("session {sid} is being cleaned up")
                    };
                    Ok((serde_json::json!({ "session_id": sid.to_string() }), said))
                };
                several.add(context, cleaned.await)?;
            }
            several.end(context, ids.len())
        }
    }
}

/// Shows the session once it has ended; whoever is waiting for its work is told by the exit status how it did.
async fn until_ended(context: &Context, mut session: Session) -> Result<()> {
    let sid = session.session_id.0;
    if !context.out.json() {
        context.out.line(format!("started {}: session {sid}", session.agent))?;
    }
    while session.completed_at.is_none() {
        session = context.ask(context.client.session_ended(sid, WaitQuery::LONGEST)).await?;
    }
    if context.out.json() {
        context.out.value(&session)?;
    } else {
        context.out.line(text_of(context.out, &session))?;
    }
    if session.status == "completed" {
        return Ok(());
    }
    // All has been said.
    Err(Failure::silent(Exit::Otherwise))
}

async fn list(context: &Context, all: bool) -> Result<()> {
    let query =
        SessionsQuery { active: (!all).then_some(true), limit: Some(500), ..SessionsQuery::default() };
    let sessions = context.ask(context.client.sessions(&query)).await?.items;
    if context.out.json() {
        return context.out.value(&sessions);
    }
    if sessions.is_empty() {
        return context.out.line(if all {
            "no sessions"
        } else {
            "no sessions live; --all shows ended ones"
        });
    }
    let mut table = Table::new(&["SESSION", "AGENT", "TASK", "STATUS", "PID", "STARTED", "FOR"]);
    for s in &sessions {
        let dash = || "-".to_owned();
        let started = s.started_at.to_string();
        let task = match (&s.project_id, &s.task_id, s.attempt_number) {
            (Some(p), Some(t), Some(n)) => format!("{p}/{t} #{n}"),
            _ => dash(),
        };
        table.row(vec![
            s.session_id.to_string().chars().take(8).collect(),
            s.agent.to_string(),
            task,
            s.status.clone(),
            s.pid.map_or_else(dash, |p| p.to_string()),
            local(&started),
            seconds(&started, &s.completed_at.map_or_else(crate::output::now, |end| end.to_string()))
                .unwrap_or_else(dash),
        ]);
    }
    context.out.table(&table)
}

fn text_of(out: Out, s: &Session) -> String {
    let status = out.paint(paint_of(&s.status), &s.status);
    let mut lines = vec![format!("{}  {status}", out.paint(Paint::Strong, &s.session_id.to_string()))];
    let started = s.started_at.to_string();
    let rows = [
        ("agent", Some(s.agent.to_string())),
        ("task", s.task_id.as_ref().zip(s.project_id.as_ref()).map(|(t, p)| format!("{p}/{t}"))),
        ("attempt", s.attempt_number.map(|n| n.to_string())),
        ("runner", Some(s.runner_id.to_string())),
        ("pid", s.pid.map(|p| p.to_string())),
        ("started", Some(local(&started))),
        ("took", s.completed_at.and_then(|end| seconds(&started, &end.to_string()))),
        ("runs for", s.completed_at.is_none().then(|| seconds(&started, &crate::output::now())).flatten()),
        ("stop", s.stop_requested.clone()),
        ("error", s.error.clone()),
        ("held up by", s.held_up.as_ref().map(|h| format!("{}: {}", h.by, h.detail))),
    ];
    lines.extend(rows.into_iter().filter_map(|(name, value)| Some(format!("  {name:<11} {}", value?))));
    if s.held_up.is_some() {
        lines.push(format!(
            "  mozi session clean {} --force  is your word that the rest is not Mozi's",
            s.session_id
        ));
    }
    lines.join("\n")
}
