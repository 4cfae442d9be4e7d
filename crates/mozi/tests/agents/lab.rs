//! The mock model and the Gateway, started by the scripts beside the repository's tests.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::support::{command, wait_for};

/// Where scripts/test-agents has installed the agents.
pub(crate) fn agents() -> PathBuf {
    PathBuf::from(std::env::var_os("MOZI_AGENTS").expect("MOZI_AGENTS: run scripts/test-agents"))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("tests/agents")
}

/// A running OpenClaw Gateway with its model, in a folder of its own.
pub(crate) struct Claw {
    pub(crate) root: tempfile::TempDir,
    pub(crate) env: Vec<(String, String)>,
}

impl Claw {
    pub(crate) fn start() -> Self {
        let root = tempfile::Builder::new().prefix("mozi-claw-").tempdir().unwrap();
        let said = run(&["start", root.path().to_str().unwrap()]);
        let env = said.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        Self { root, env }
    }

    pub(crate) fn gateway(&self, verb: &str) {
        run(&[verb, self.root.path().to_str().unwrap()]);
    }
}

impl Drop for Claw {
    fn drop(&mut self) {
        run(&["stop", self.root.path().to_str().unwrap()]);
    }
}

fn run(args: &[&str]) -> String {
    let out = command("bash")
        .arg(scripts().join("openclaw.sh"))
        .args(args)
        .env("MOZI_AGENTS", agents())
        .output()
        .unwrap();
    assert!(out.status.success(), "openclaw.sh {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The mock model alone.
pub(crate) struct Model {
    child: std::process::Child,
    pub(crate) port: u16,
    pub(crate) dir: tempfile::TempDir,
}

impl Model {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("port");
        let child = command("python3")
            .arg(scripts().join("mock_model.py"))
            .arg("--port-file")
            .arg(&file)
            .arg("--log")
            .arg(dir.path().join("log"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let port = wait_for("the mock model", || std::fs::read_to_string(&file).ok()?.parse().ok());
        Self { child, port, dir }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        crate::support::kill(self.child.id(), 9);
        crate::support::wait_exit(&mut self.child);
    }
}
