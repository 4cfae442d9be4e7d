//! `mozi agent …`

use mozi_api::agent::{Agent, PauseAgent};

use super::tasks::Several;
use crate::{
    cli::AgentCommand,
    context::{Context, agent_id},
    error::Result,
    output::{Out, Paint, Table, local, paint_of},
};

pub(crate) async fn run(context: &Context, command: AgentCommand) -> Result<()> {
    match command {
        AgentCommand::List => list(context).await,
        AgentCommand::Show { ids } => {
            let mut several = Several::default();
            for id in &ids {
                let shown = async {
                    let agent = context.ask(context.client.agent(&agent_id(id)?)).await?;
                    let said = text_of(context.out, &agent);
                    Ok((agent, said))
                };
                several.add(context, shown.await)?;
            }
            several.end(context, ids.len())
        }
        AgentCommand::Pause { ids } => set(context, &ids, true).await,
        AgentCommand::Resume { ids } => set(context, &ids, false).await,
    }
}

async fn set(context: &Context, ids: &[String], pause: bool) -> Result<()> {
    context.person_only(if pause { "`agent pause`" } else { "`agent resume`" })?;
    let mut several = Several::default();
    for id in ids {
        let done = async {
            let agent = agent_id(id)?;
            let agent = if pause {
                context.ask(context.client.pause_agent(&agent, &PauseAgent::default())).await?
            } else {
                context.ask(context.client.resume_agent(&agent)).await?
            };
            let live = agent.sessions.len();
            let said = match (pause, live) {
                (false, _) => format!("{id} is given work again"),
                (true, 0) => format!("{id} is given no work until `mozi agent resume {id}`"),
                (true, n) => format!("{id} is given no more work; {n} of its sessions go on to their end"),
            };
            Ok((agent, said))
        };
        several.add(context, done.await)?;
    }
    several.end(context, ids.len())
}

async fn list(context: &Context) -> Result<()> {
    let agents = context.ask(context.client.agents()).await?.items;
    if context.out.json() {
        return context.out.value(&agents);
    }
    if agents.is_empty() {
        return context
            .out
            .line("no agents are known: `mozi init` looks for them, `mozi serve` brings them to the board");
    }
    let mut table = Table::new(&["AGENT", "RUNTIME", "STATE", "BUSY", "ROLES", "NOTE"]);
    for a in &agents {
        let max = if a.max_sessions == 0 { "∞".to_owned() } else { a.max_sessions.to_string() };
        table.row(vec![
            a.agent.to_string(),
            a.runtime.clone(),
            state(a).to_owned(),
            format!("{}/{max}", a.sessions.len()),
            a.roles.join(", "),
            note(a),
        ]);
    }
    context.out.table(&table)
}

fn state(a: &Agent) -> &'static str {
    if !a.configured {
        "gone"
    } else if a.paused.is_some() {
        "paused"
    } else if a.held_back.is_some() {
        "held back"
    } else if a.sessions.is_empty() {
        "idle"
    } else {
        "running"
    }
}

fn note(a: &Agent) -> String {
    if !a.configured {
        return "not in its runner's configuration any more".to_owned();
    }
    if let Some(why) = &a.held_back {
        return why.clone();
    }
    let Some(pause) = &a.paused else { return String::new() };
    let why = pause.detail.clone().or_else(|| pause.reason.clone()).unwrap_or_default();
    match pause.until {
        Some(until) => format!("until {} {why}", local(&until.to_string())),
        None => format!("until `mozi agent resume {}` {why}", a.agent),
    }
}

fn text_of(out: Out, a: &Agent) -> String {
    let limit = |n: u32| if n == 0 { "the runner's".to_owned() } else { n.to_string() };
    let timeout = a.timeout_seconds.map_or_else(
        || "none".to_owned(),
        |s| mozi_api::wire::show_duration(std::time::Duration::from_secs(s)),
    );
    let live: Vec<String> = a.sessions.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!(
            "{}  {}",
            out.paint(Paint::Strong, a.agent.as_str()),
            out.paint(paint_of(state(a)), state(a))
        ),
        format!("  runtime      {}", a.runtime),
        format!("  runner       {}", a.runner_id),
        format!("  roles        {}", a.roles.join(", ")),
        format!("  verdict      {}", a.verdict),
        format!("  callback     {}", a.callback),
        format!("  time limit   {timeout}"),
        format!("  at once      {}", limit(a.max_sessions)),
    ];
    let remark = note(a);
    if !remark.is_empty() {
        lines.push(format!("  note         {remark}"));
    }
    if !live.is_empty() {
        lines.push(format!("  sessions     {}", live.join(", ")));
    }
    lines.join("\n")
}
