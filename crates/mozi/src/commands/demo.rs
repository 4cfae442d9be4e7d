//! `mozi demo`: a board in a temporary folder, real agent processes, two tasks to `done`, told as it happens.
//!
//! Everything is the real thing, from the server to the supervisors; only the agents are bash scripts.

use std::{collections::HashMap, path::Path, time::Duration};

use mozi_api::{
    Client, ClientError,
    event::Event,
    query::{Expand, SessionsQuery},
    session::StopSession,
    task::{CreateTask, DependsOn, MustHaves},
};
use mozi_core::{ProjectId, TaskId};
use tokio::time::Instant;

use crate::{
    config::{Config, env},
    error::{Failure, Result},
    output::{Out, Paint, bytes, clip, pad},
    serve::{self, Server, Signals, Start},
};

const CONFIG: &str = include_str!("demo/mozi.toml");
const WRITER: &str = include_str!("demo/writer.sh");
const CHECKER: &str = include_str!("demo/checker.sh");

/// Somebody has broken it off.
const STOPPED: &str = "stopped";

/// Something is wrong if it takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn run(out: Out, keep: bool) -> Result<()> {
    serve::quiet_log();
    let signals = Signals::new()?;
    if env::find_program("bash").is_none() {
        return Err(Failure::new("the demo's agents are bash scripts, and there is no bash on PATH"));
    }
    let folder = tempfile::Builder::new().prefix("mozi-demo-").tempdir();
    let folder = folder.map_err(|e| {
        Failure::new(format!("could not make a temporary folder: {}", crate::error::plain(&e)))
    })?;
    let server = set_up(folder.path()).await?;
    let told = Demo::new(out, server)?.tell(folder.path(), signals).await;
    // What went wrong can be looked at; who broke it off does not want to.
    let failed = told.as_ref().is_err_and(|e| e.code.as_deref() != Some(STOPPED));
    if keep || failed {
        let kept = folder.keep();
        out.line(format!(
            "\nThe folder is kept: {0}\nGo on with it:      mozi serve --config {0}/mozi.toml --data {0}/data",
            kept.display()
        ))?;
    } else {
        let path = folder.path().to_path_buf();
        folder.close().map_err(|e| Failure::io("remove", &path, &e))?;
    }
    told?;
    if out.json() {
        return Ok(());
    }
    out.line("\nNext:\n  mozi init     looks for agents on this machine and writes mozi.toml\n  mozi serve    runs your own board\n  mozi --help   shows what else there is")
}

async fn set_up(folder: &Path) -> Result<Server> {
    let file = folder.join("mozi.toml");
    for (name, text) in [("mozi.toml", CONFIG), ("writer.sh", WRITER), ("checker.sh", CHECKER)] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| Failure::io("write", &path, &e))?;
    }
    let config = Config::load(Some(&file))?;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    serve::start(Start { data: folder.join("data"), config, named: Some(file), listen, dry_run: false }).await
}

struct Demo {
    out: Out,
    server: Server,
    client: Client,
    project: ProjectId,
    began: Instant,
    /// Who is at which attempt.
    agents: HashMap<(String, u32), String>,
    open: usize,
    done: usize,
}

impl Demo {
    fn new(out: Out, server: Server) -> Result<Self> {
        let client =
            Client::new(&server.url, Some(&server.token)).map_err(|e| crate::context::from_client(&e))?;
        let project = "default".parse().map_err(|e: mozi_core::BadId| Failure::new(e.to_string()))?;
        let demo = Self {
            out,
            server,
            client: client.with_via("cli"),
            project,
            began: Instant::now(),
            agents: HashMap::new(),
            open: 0,
            done: 0,
        };
        Ok(demo)
    }

    /// Adds the tasks and tells what happens until they are done; then stops the server.
    async fn tell(mut self, folder: &Path, mut signals: Signals) -> Result<()> {
        if !self.out.json() {
            let url = &self.server.url;
            self.out.line(format!(
                "A board at {url}, in {}, with two agents that are bash scripts:\n",
                folder.display()
            ))?;
        }
        let mut told = tokio::select! {
            told = tokio::time::timeout(PATIENCE, Self::story(&mut self)) => told.unwrap_or_else(|_| {
                Err(Failure::new("the demo did not come to its end within a minute").hint("`mozi doctor` may say why"))
            }),
            () = signals.next() => Err(Failure::new("stopped").code(STOPPED)),
        };
        if told.is_err() {
            self.stop_agents().await;
        } else if let Err(e) = self.result().await {
            told = Err(e);
        }
        let stopped = self.server.stop().await;
        told.and(stopped)
    }

    async fn story(&mut self) -> Result<()> {
        let mut events = self.client.event_stream(Some(&self.project), Some("0".to_owned()));
        let failed = |e: ClientError| crate::context::from_client(&e);
        let id = |text: &str| text.parse::<TaskId>().map_err(|e| Failure::new(e.to_string()));
        let agent = |text: &str| crate::context::agent_id(text);
        let mut primes = CreateTask::titled("Write down all primes below 100");
        primes.task_id = Some(id("primes")?.into());
        primes.agent = Some(agent("writer")?.into());
        primes.review = Some(mozi_core::project::Review::Agent(agent("checker")?).into());
        primes.must_haves = Some(MustHaves(vec!["one a line, ascending, and nothing but primes".to_owned()]));
        let mut sum = CreateTask::titled("Add them up");
        sum.task_id = Some(id("sum")?.into());
        sum.agent = Some(agent("writer")?.into());
        sum.review = Some(mozi_core::project::Review::None.into());
        sum.depends_on = vec![DependsOn::done(id("primes")?.into())];
        for task in [primes, sum] {
            self.client.create_task(&self.project, &task).await.map_err(failed)?;
        }
        while self.done < 2 || self.open > 0 {
            let event = tokio::select! {
                event = events.next() => event.map_err(failed)?.event,
                ended = self.server.ended() => return ended,
            };
            self.event(&event)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        if self.out.json() {
            self.out.value_line(event)?;
        }
        let Some(task) = event.task_id.as_ref().map(ToString::to_string) else { return Ok(()) };
        let who = event.agent.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = |name: &str| event.text_of(name).map(|t| clip(t, 100)).unwrap_or_default();
        let attempt = event.attempt_number.unwrap_or_default();
        let said = match event.event_type.as_str() {
            "task_created" => {
                let waits = if task == "sum" { " (waits until primes is done)" } else { "" };
                format!("added: {}{waits}", text("title"))
            }
            "agent_started" => {
                self.open += 1;
                self.agents.insert((task, attempt), text("role"));
                return Ok(());
            }
            "session_started" => {
                let pid = event.detail.0.get("pid").and_then(serde_json::Value::as_u64);
                let pid = pid.map_or_else(String::new, |p| format!(", process {p}"));
                let role = self.agents.get(&(task.clone(), attempt)).cloned().unwrap_or_default();
                let doing = if role == "reviewer" { "looks at it" } else { "is at work" };
                format!("{who} {doing} (attempt {attempt}{pid})")
            }
            "output_added" => {
                let size =
                    event.detail.0.get("size_bytes").and_then(serde_json::Value::as_u64).unwrap_or_default();
                format!("{who} delivers \"{}\" ({})", text("title"), bytes(size))
            }
            "review_given" if event.text_of("verdict") == Some("reject") => {
                self.out.paint(Paint::Wait, &format!("{who} sends it back: {}", text("remark")))
            }
            "status_changed" if event.text_of("to") == Some("done") => {
                self.done += 1;
                self.out.paint(Paint::Good, "done")
            }
            "status_changed" if matches!(event.text_of("to"), Some("failed" | "blocked" | "cancelled")) => {
                return Err(Failure::new(format!("task {task} is {}: {}", text("to"), text("detail"))));
            }
            "notice" => format!("{}: {}", text("code"), text("text")),
            ended if ended.starts_with("agent_") => {
                self.open = self.open.saturating_sub(1);
                return Ok(());
            }
            _ => return Ok(()),
        };
        if self.out.json() {
            return Ok(());
        }
        let ms = self.began.elapsed().as_millis();
        let clock = self.out.paint(Paint::Dim, &format!("{:>3}.{:02} s", ms / 1000, ms % 1000 / 10));
        self.out.line(format!("{clock}  {}  {said}", self.out.paint(Paint::Strong, &pad(&task, 6))))
    }

    /// What came of it.
    async fn result(&self) -> Result<()> {
        if self.out.json() {
            return Ok(());
        }
        let failed = |e: ClientError| crate::context::from_client(&e);
        let id = "sum".parse::<TaskId>().map_err(|e| Failure::new(e.to_string()))?;
        let task = self.client.task(&self.project, &id, Expand { outputs: true, ..Expand::default() }).await;
        let Some(output) = task.map_err(failed)?.outputs.and_then(|o| o.last().map(|o| o.output_id)) else {
            return Err(Failure::new("task sum is done but has no output"));
        };
        let content = self.client.output_content(&self.project, &id, output).await.map_err(failed)?;
        let text = String::from_utf8_lossy(&content.rest().await.map_err(failed)?).trim().to_owned();
        self.out.line(format!("\nThe result: {text}. Every agent has ended, and nothing of them is left."))
    }

    /// Ends what runs, so that nothing is left of a demo that was broken off.
    async fn stop_agents(&self) {
        let active = SessionsQuery { active: Some(true), ..SessionsQuery::default() };
        let end = Instant::now() + Duration::from_secs(10);
        while let Ok(page) = self.client.sessions(&active).await {
            if page.items.is_empty() || Instant::now() > end {
                return;
            }
            for session in page.items {
                if session.stop_requested.is_none()
                    && let Err(e) =
                        self.client.stop_session(session.session_id.0, &StopSession::default()).await
                {
                    tracing::debug!("could not stop session {}: {e}", session.session_id);
                }
            }
            // Looked at again a few times a second, for ten seconds at most: this is the way out.
            tokio::time::sleep_until(Instant::now() + Duration::from_millis(100)).await;
        }
    }
}
