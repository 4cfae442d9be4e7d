//! Runtimes: how an agent is started, what its result says, and what must be confirmed before its session is closed.
//!
//! Each is a module; this enum-shaped front is all that the rest of the runner knows of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mozi_api::runner::EndReading;
use mozi_core::SessionId;
use mozi_supervise::{ExitRecord, SessionDir, StdinSource};
use serde::{Deserialize, Serialize};

use crate::config::{AgentConfig, RunnerConfig, RuntimeConfig};

pub(crate) mod command;
pub(crate) mod openclaw;

/// What a runtime needs of a session later, whatever mozi.toml says by then. It stands in `spec.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RuntimeData {
    /// Where outputs may lie, beside the workspace.
    #[serde(default)]
    pub(crate) output_roots: Vec<PathBuf>,
    /// The project in whose own folder the session works, if it does.
    #[serde(default)]
    pub(crate) in_place: Option<String>,
    /// Of the runtime `openclaw`.
    #[serde(default)]
    pub(crate) openclaw: Option<openclaw::Run>,
}

impl RuntimeData {
    /// What is there; what is not understood counts as absent.
    pub(crate) fn read(value: &serde_json::Value) -> Self {
        Self::deserialize(value).unwrap_or_default()
    }
}

/// What a runtime is told of the session that it prepares.
#[derive(Debug, Clone)]
pub(crate) struct Session<'a> {
    pub(crate) id: SessionId,
    pub(crate) project_id: Option<&'a str>,
    pub(crate) task_id: Option<&'a str>,
    pub(crate) attempt_number: Option<u32>,
    pub(crate) workspace: &'a Path,
    pub(crate) prompt_file: &'a Path,
    pub(crate) prompt_bytes: usize,
    pub(crate) timeout_ms: Option<u64>,
}

/// How a session's process is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) stdin: StdinSource,
    /// Variables beside those that every agent gets.
    pub(crate) env: BTreeMap<String, String>,
    /// Variables that would disturb it.
    pub(crate) removed_env: &'static [&'static str],
    pub(crate) data: RuntimeData,
}

/// How the process is to be started; none = nothing is started.
///
/// # Errors
/// Why it cannot be, in words.
pub(crate) fn prepare(
    config: &RunnerConfig,
    agent: &AgentConfig,
    session: &Session<'_>,
) -> Result<Option<Prepared>, String> {
    if config.dry_run {
        return Ok(None);
    }
    match &agent.runtime {
        RuntimeConfig::DryRun => Ok(None),
        RuntimeConfig::Command { command, prompt_via, verdict: _ } => {
            command::prepare(&config.config_dir, command, *prompt_via, session).map(Some)
        }
        RuntimeConfig::Openclaw { openclaw_agent, program } => {
            openclaw::prepare(&config.config_dir, openclaw_agent, program, session).map(Some)
        }
    }
}

/// What the result of an ended session says, as far as its runtime leaves one.
pub(crate) fn read_result(dir: &SessionDir, data: &RuntimeData, record: &ExitRecord) -> EndReading {
    match &data.openclaw {
        Some(_) => openclaw::read_result(dir, record).reading,
        None => EndReading::default(),
    }
}

/// What has to be confirmed elsewhere before an ended session may be closed; none = nothing.
pub(crate) fn to_confirm(dir: &SessionDir, data: &RuntimeData, record: &ExitRecord) -> Option<openclaw::Run> {
    let run = data.openclaw.as_ref()?;
    let started = record.ended != Some(mozi_supervise::Ended::NotStarted);
    (started && openclaw::must_confirm(dir, record)).then(|| run.clone())
}

/// The same for a session of which only the agent is known, and that its processes may have run.
pub(crate) fn to_confirm_without_spec(
    config: &RunnerConfig,
    agent: &AgentConfig,
    dir: &SessionDir,
) -> Option<openclaw::Run> {
    match &agent.runtime {
        RuntimeConfig::Openclaw { openclaw_agent, program } => {
            Some(openclaw::Run::of(&config.config_dir, openclaw_agent, program, &dir.session_id()))
        }
        RuntimeConfig::Command { .. } | RuntimeConfig::DryRun => None,
    }
}

/// What stands in the way of starting an agent, in words; none = nothing that is known.
pub(crate) async fn obstacle(
    config: &RunnerConfig,
    agent: &AgentConfig,
    known: &openclaw::Versions,
) -> Option<String> {
    if config.dry_run {
        return None;
    }
    let env = environment(config, agent);
    match &agent.runtime {
        RuntimeConfig::DryRun => None,
        RuntimeConfig::Command { command, .. } => command::obstacle(&config.config_dir, command, &env),
        RuntimeConfig::Openclaw { program, .. } => {
            openclaw::obstacle(&config.config_dir, program, &env, known).await
        }
    }
}

/// The environment that every process of an agent has, but for what belongs to one session.
pub(crate) fn environment(config: &RunnerConfig, agent: &AgentConfig) -> BTreeMap<OsString, OsString> {
    let bin = config.mozi_link.parent().unwrap_or(&config.data_dir);
    crate::env::build(&config.base_env, &agent.inherit_env, &agent.env, &[], bin, &[])
}

/// A program as the configuration names it: with a slash relative to the configuration's folder, without one a name
/// on the PATH.
pub(crate) fn program_path(config_dir: &Path, program: &str) -> PathBuf {
    if program.contains('/') { config_dir.join(program) } else { PathBuf::from(program) }
}

/// The file that would be executed, looked for as the system does.
pub(crate) fn find_program(program: &Path, env: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    let runs = |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return runs(program).then(|| program.to_path_buf());
    }
    let path = env.get(std::ffi::OsStr::new("PATH"))?;
    std::env::split_paths(path).map(|dir| dir.join(program)).find(|path| runs(path))
}
