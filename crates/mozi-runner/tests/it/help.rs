//! A runner in a folder of its own, and agents that are scripts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mozi_core::SessionId;
use mozi_core::attempt::Role;
use mozi_runner::config::{
    AgentConfig, Callback, InheritEnv, LogOverflow, PromptVia, RunnerConfig, RuntimeConfig, Verdict,
};
use mozi_runner::{Controller, RunnerError};
use mozi_supervise::SessionDir;
use mozi_testing::{Census, clean_env, temp_dir, wait_until};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::board::{Board, Job};

pub(crate) struct Place {
    pub(crate) root: tempfile::TempDir,
    pub(crate) board: Board,
    pub(crate) config: RunnerConfig,
    pub(crate) census: Census,
}

/// A runner at work. Dropped without [`Running::stop`] it is gone at once, as by `kill -9`.
pub(crate) struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinSet<Result<(), RunnerError>>,
}

impl Running {
    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn kill(mut self) {
        self.task.shutdown().await;
    }
}

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let root = temp_dir();
        let census = Census::new(test);
        let mut base_env: Vec<_> = clean_env();
        let (name, value) = census.mark();
        base_env.push((name.into(), value.into()));
        let config_dir = root.path().join("config");
        std::fs::create_dir(&config_dir).unwrap();
        let data_dir = root.path().join("data");
        let config = RunnerConfig {
            id: "local".parse().unwrap(),
            mozi_link: data_dir.join("bin/mozi"),
            data_dir,
            config_dir,
            max_sessions: 4,
            agents: BTreeMap::new(),
            projects: BTreeMap::new(),
            bootstraps: BTreeMap::new(),
            hooks: Vec::new(),
            agent_url: "http://127.0.0.1:1".into(),
            exe: supervisor(),
            base_env,
            dry_run: false,
            version: "0".into(),
        };
        Self { root, board: Board::new(), config, census }
    }

    /// An agent that is a script of bash.
    pub(crate) fn agent(&mut self, name: &str, script: &str) -> &mut AgentConfig {
        let command = ["bash", "-c", script].map(str::to_owned).to_vec();
        self.agent_of(
            name,
            RuntimeConfig::Command { command, prompt_via: PromptVia::Stdin, verdict: Verdict::Report },
        )
    }

    pub(crate) fn agent_of(&mut self, name: &str, runtime: RuntimeConfig) -> &mut AgentConfig {
        let agent = AgentConfig {
            runtime,
            callback: Callback::Env,
            output_roots: Vec::new(),
            aliases: Vec::new(),
            roles: vec![Role::Executor, Role::Reviewer],
            max_sessions: 0,
            timeout: None,
            stall_timeout: None,
            grace: Duration::from_secs(1),
            log_overflow: LogOverflow::DropOldest,
            inherit_env: InheritEnv::All,
            env: BTreeMap::new(),
        };
        self.config.agents.entry(name.parse().unwrap()).or_insert(agent)
    }

    pub(crate) fn run(&self) -> Running {
        self.run_controlled().0
    }

    /// The same with a hand that tells it of changes.
    pub(crate) fn run_controlled(&self) -> (Running, Controller) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (controller, control) = mozi_runner::control();
        let (config, client) = (self.config.clone(), self.board.client());
        let mut task = JoinSet::new();
        task.spawn(async move {
            mozi_runner::run(config, client, control, async {
                drop(stopped.await);
            })
            .await
        });
        (Running { stop: Some(stop), task }, controller)
    }

    pub(crate) fn dir(&self, id: SessionId) -> SessionDir {
        SessionDir::at(self.config.sessions_dir().join(id.to_string()))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

/// A job at task 1 of project `p`.
pub(crate) fn task(agent: &str) -> Job {
    Job { agent: agent.into(), project: "p".into(), task: Some("1".into()), ..Job::default() }
}

pub(crate) async fn wait_for_file(path: &Path) -> String {
    let what = format!("{} to be there", path.display());
    wait_until(Duration::from_secs(30), &what, async || {
        std::fs::read_to_string(path).is_ok_and(|t| t.ends_with('\n'))
    })
    .await;
    std::fs::read_to_string(path).unwrap()
}

pub(crate) fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// `cargo test` builds it; `cargo test --test it` alone does not.
fn supervisor() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    let exe = folder.join("examples/runner_supervisor");
    assert!(exe.is_file(), "run `cargo build -p mozi-runner --examples` first");
    exe
}
