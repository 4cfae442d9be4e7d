//! The start of a session: directory made and locked, prompt and spec written, supervisor spawned with the lock.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Child;
use std::sync::Arc;

use mozi_api::prompt::{PromptValues, WorkspaceState};
use mozi_api::runner::Assignment;
use mozi_core::SessionId;
use mozi_supervise::{
    Cause, DEFAULT_LOG_LIMIT, Error, ExitRecord, Lock, LockAttempt, SPEC_VERSION, SessionDir, Spec,
    WrittenBy, close_never_started, spawn_supervisor, write_not_started,
};

use crate::config::{AgentConfig, Callback, LogOverflow, RunnerConfig};
use crate::entropy::Secret;
use crate::prompt;
use crate::runtime::{self, Prepared, RuntimeData};
use crate::shared::Shared;
use crate::workspace::{self, Workspace};

/// What came of a start.
pub(crate) enum Started {
    /// Its supervisor is there.
    Running(Child),
    /// There is a directory already: whatever it says holds.
    Exists,
    /// Nothing was started, and it is true: `exit.json` says so.
    Not(Box<ExitRecord>),
}

/// Starts a claimed session.
///
/// # Errors
/// Why not even the directory could be made, in words: nothing is true yet, it has to be tried again.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    assignment: &Assignment,
    token: &Secret,
) -> Result<Started, String> {
    let id = assignment.session_id.0;
    let prepared = match prepare(shared, assignment, token).await {
        Ok(ready) => ready,
        Err(why) => return never_started(shared, id, Cause::SpawnError, Some(why)).await,
    };
    let (sessions, exe) = (shared.config().sessions_dir(), shared.config().exe.clone());
    let made = shared.blocking(move || make(&sessions, &exe, prepared)).await;
    made.unwrap_or_else(|| Err("start the session: the runner is going away".to_owned()))
}

/// Makes it true that a session was never started: for the one that would have started it.
///
/// # Errors
/// Why it could not be made true, in words.
pub(crate) async fn never_started(
    shared: &Shared,
    id: SessionId,
    cause: Cause,
    why: Option<String>,
) -> Result<Started, String> {
    let sessions = shared.config().sessions_dir();
    let closed = shared
        .blocking(move || close_never_started(&sessions, &id.to_string(), cause, why, WrittenBy::Runner))
        .await;
    match closed {
        Some(Ok(record)) => Ok(Started::Not(Box::new(record))),
        Some(Err(Error::Exists { .. })) => Ok(Started::Exists),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("close the session: the runner is going away".to_owned()),
    }
}

/// All that is written or handed over at a start.
struct Ready {
    spec: Spec,
    prompt: String,
    env: BTreeMap<OsString, OsString>,
    /// Nothing is started, as asked.
    dry: bool,
}

async fn prepare(shared: &Arc<Shared>, assignment: &Assignment, token: &Secret) -> Result<Ready, String> {
    // One and the same from here to the end of the start, whatever is reloaded meanwhile.
    let config = &*shared.config();
    let id = assignment.session_id.0;
    let agent = &shared
        .agent(&assignment.agent.0)
        .ok_or_else(|| format!("this machine's mozi.toml has no agent {}", assignment.agent))?;
    // What held the agent back may have come up since it was offered: better no start than a burnt attempt.
    if let Some(why) = runtime::obstacle(config, agent, &shared.versions).await {
        return Err(why);
    }
    let workspace = find_workspace(shared, config, assignment).await?;
    let dir = shared.dir(id);
    let mozi = config.mozi_link.to_string_lossy();
    let (outbox, path) = (dir.outbox_path(), workspace.path.to_string_lossy().into_owned());
    // Whoever works in a folder of its own has to know where the project is.
    let source = assignment
        .project_id
        .as_ref()
        .filter(|_| workspace.state != WorkspaceState::InPlace)
        .and_then(|p| config.projects.get(&p.0)?.path.as_ref())
        .map(|path| path.to_string_lossy());
    let values = PromptValues {
        token: token.expose(),
        workspace: &path,
        outbox: &outbox.to_string_lossy(),
        mozi: &mozi,
        url: &config.agent_url,
        session_id: &id.to_string(),
        state: workspace.state,
        source: source.as_deref(),
    };
    let prompt = prompt::compose(config, assignment, &values).await;
    if let Some(notice) = prompt.notice {
        // In the background: an agent does not wait for what people are told.
        let shared = Arc::clone(shared);
        shared.clone().background(async move { shared.notice(notice).await });
    }
    let timeout_ms = assignment.timeout_ms.or_else(|| agent.timeout.map(millis));
    let (project, task) = (assignment.project_id.as_ref(), assignment.task_id.as_ref());
    let session = runtime::Session {
        id,
        project_id: project.map(|p| p.0.as_str()),
        task_id: task.map(|t| t.0.as_str()),
        attempt_number: assignment.attempt_number,
        workspace: &workspace.path,
        prompt_file: &dir.prompt_path(),
        prompt_bytes: prompt.text.len(),
        timeout_ms,
    };
    let prepared = runtime::prepare(config, agent, &session)?;
    let dry = prepared.is_none();
    let prepared = prepared.unwrap_or_else(|| Prepared {
        program: "true".into(),
        args: Vec::new(),
        stdin: mozi_supervise::StdinSource::Null,
        env: BTreeMap::new(),
        removed_env: &[],
        data: RuntimeData::default(),
    });
    let env = environment(shared, config, assignment, agent, token, &workspace, &prepared);
    let place = (workspace.state == WorkspaceState::InPlace).then(|| session.project_id.map(str::to_owned));
    let data =
        RuntimeData { output_roots: agent.output_roots.clone(), in_place: place.flatten(), ..prepared.data };
    let spec = Spec {
        version: SPEC_VERSION,
        board_id: shared.board_id.clone(),
        session_id: id.to_string(),
        project_id: session.project_id.map(str::to_owned),
        task_id: session.task_id.map(str::to_owned),
        attempt_number: assignment.attempt_number,
        agent: assignment.agent.to_string(),
        role: task.map(|_| assignment.role.0.as_str().to_owned()),
        runtime: if dry { "dry-run".to_owned() } else { agent.runtime.name().to_owned() },
        program: prepared.program,
        args: prepared.args,
        argv0: None,
        cwd: workspace.path.clone(),
        stdin: prepared.stdin,
        timeout_ms,
        stall_timeout_ms: agent.stall_timeout.map(millis),
        grace_ms: millis(agent.grace),
        log_limit_bytes: DEFAULT_LOG_LIMIT,
        log_overflow: match agent.log_overflow {
            LogOverflow::DropOldest => mozi_supervise::LogOverflow::DropOldest,
            LogOverflow::End => mozi_supervise::LogOverflow::End,
        },
        created_at: jiff::Timestamp::now().to_string(),
        runtime_data: serde_json::to_value(&data).map_err(|error| error.to_string())?,
    };
    Ok(Ready { spec, prompt: prompt.text, env, dry })
}

async fn find_workspace(
    shared: &Shared,
    config: &RunnerConfig,
    assignment: &Assignment,
) -> Result<Workspace, String> {
    let root = config.workspaces_dir();
    let project_id = assignment.project_id.as_ref().map(|p| p.0.clone());
    let project = project_id.as_ref().and_then(|id| config.projects.get(id)).cloned();
    let task = assignment.task_id.as_ref().map(|t| t.0.clone());
    let (number, id) = (assignment.attempt_number.unwrap_or(0), assignment.session_id.0);
    let found = shared
        .blocking(move || {
            let at = project_id.as_ref().zip(task.as_ref()).map(|(p, t)| (p, t, number));
            workspace::prepare(&root, project.as_ref(), at, id)
        })
        .await
        .ok_or("the runner is going away")?;
    found.map_err(|error| format!("could not {error}"))
}

/// The whole environment of supervisor and agent.
fn environment(
    shared: &Shared,
    config: &RunnerConfig,
    assignment: &Assignment,
    agent: &AgentConfig,
    token: &Secret,
    workspace: &Workspace,
    prepared: &Prepared,
) -> BTreeMap<OsString, OsString> {
    let id = assignment.session_id.0;
    // Who knows nothing but an address has the token in it.
    let url = match agent.callback {
        Callback::Url if assignment.task_id.is_some() => format!("{}/t/{}", config.agent_url, token.expose()),
        _ => config.agent_url.clone(),
    };
    // The mark by which a sweep finds what is left of the session; everything else is for the agent.
    let mut mozi: Vec<(&str, OsString)> = vec![
        ("MOZI_SESSION_ID", id.to_string().into()),
        ("MOZI_URL", url.into()),
        ("MOZI_OUTBOX", shared.dir(id).outbox_path().into()),
        ("MOZI_WORKSPACE", workspace.path.clone().into()),
    ];
    let attempt = assignment.project_id.as_ref().zip(assignment.task_id.as_ref());
    if let Some((project, task)) = attempt {
        mozi.push(("MOZI_PROJECT", project.to_string().into()));
        mozi.push(("MOZI_TASK", task.to_string().into()));
        if let Some(number) = assignment.attempt_number {
            mozi.push(("MOZI_ATTEMPT", number.to_string().into()));
        }
        // Where it stands in the prompt, it need not stand here too.
        if agent.callback == Callback::Env {
            mozi.push(("MOZI_TOKEN", token.expose().into()));
        }
    }
    let mut added = agent.env.clone();
    added.extend(prepared.env.clone());
    let bin = config.mozi_link.parent().unwrap_or(&config.data_dir);
    crate::env::build(&config.base_env, &agent.inherit_env, &added, &mozi, bin, prepared.removed_env)
}

/// Makes the directory and hands it over. From here on the directory alone says what is true.
fn make(sessions: &std::path::Path, exe: &std::path::Path, ready: Ready) -> Result<Started, String> {
    let (dir, lock) = match SessionDir::create(sessions, &ready.spec.session_id) {
        Ok(made) => made,
        Err(Error::Exists { .. }) => return Ok(Started::Exists),
        Err(error) => return Err(error.to_string()),
    };
    let written = dir.write_prompt(ready.prompt.as_bytes()).and_then(|()| dir.write_spec(&ready.spec));
    if let Err(error) = written {
        return Ok(not_started(&dir, lock, Cause::SpawnError, Some(format!("could not {error}"))));
    }
    if ready.dry {
        return Ok(not_started(&dir, lock, Cause::DryRun, None));
    }
    match spawn_supervisor(exe, &dir, lock, ready.env) {
        Ok(child) => Ok(Started::Running(child)),
        Err(error) => {
            let why = format!("could not start a supervisor from {}: {error}", exe.display());
            match dir.try_lock() {
                Ok(LockAttempt::Locked(lock)) => Ok(not_started(&dir, lock, Cause::SpawnError, Some(why))),
                Ok(LockAttempt::Held) | Err(_) => Ok(Started::Exists),
            }
        }
    }
}

fn not_started(dir: &SessionDir, lock: Lock, cause: Cause, why: Option<String>) -> Started {
    match write_not_started(dir, lock, cause, why) {
        Ok(record) => Started::Not(Box::new(record)),
        // The directory is there and nobody holds its lock: following it makes an end of it.
        Err(_) => Started::Exists,
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
