//! The runtime `openclaw`: an agent of an OpenClaw Gateway on this machine, by OpenClaw's command line.
//!
//! Its commands are children of the *Gateway*: the death of the process that we started proves nothing about them.
//! Before a session is closed, the Gateway has to say that the run is over, unless the command line did.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use mozi_supervise::{Cause, ExitRecord, SessionDir, StdinSource};
use serde::{Deserialize, Serialize};

use super::{Prepared, RuntimeData, Session, find_program, program_path};

mod confirm;
mod gateway;
mod result;

pub(crate) use confirm::confirm_stopped;
pub(super) use result::read as read_result;

/// A larger message file is refused by OpenClaw.
const PROMPT_LIMIT: usize = 4 * 1024 * 1024;
/// OpenClaw's own limit comes after ours: ours is the one that is recorded.
const TIMEOUT_MARGIN_S: u64 = 60;
/// What its shell exits with after it has obeyed SIGTERM; it has aborted its run by then.
const TERMINATED: i32 = 143;

/// A run at a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// OpenClaw's program.
    pub(crate) program: PathBuf,
    /// The key of its session there.
    pub(crate) key: String,
}

impl Run {
    /// The run of a session.
    pub(super) fn of(config_dir: &Path, agent: &str, program: &Path, session_id: &str) -> Self {
        let program = program_path(config_dir, &program.to_string_lossy());
        // A key of this class is not resumed by the Gateway itself after its restart.
        Self { program, key: format!("agent:{agent}:subagent:mozi-{session_id}") }
    }
}

pub(super) fn prepare(
    config_dir: &Path,
    agent: &str,
    program: &Path,
    session: &Session<'_>,
) -> Result<Prepared, String> {
    if session.prompt_bytes > PROMPT_LIMIT {
        return Err(format!(
            "its prompt has {} bytes, more than the {PROMPT_LIMIT} that OpenClaw takes",
            session.prompt_bytes
        ));
    }
    let Run { program, key } = Run::of(config_dir, agent, program, &session.id.to_string());
    let timeout = session.timeout_ms.map_or(0, |ms| ms.div_ceil(1000).saturating_add(TIMEOUT_MARGIN_S));
    let args = [
        "agent",
        "--agent",
        agent,
        "--session-key",
        &key,
        "--message-file",
        &session.prompt_file.to_string_lossy(),
        "--timeout",
        &timeout.to_string(),
        "--json",
    ];
    Ok(Prepared {
        program: program.clone(),
        args: args.map(str::to_owned).to_vec(),
        stdin: StdinSource::Null,
        // Otherwise it is two processes, the second in a session of its own.
        env: BTreeMap::from([("OPENCLAW_NO_RESPAWN".to_owned(), "1".to_owned())]),
        removed_env: &["OPENCLAW_SHELL"],
        data: RuntimeData { openclaw: Some(Run { program, key }), ..RuntimeData::default() },
    })
}

/// Whether the Gateway has to be asked before the session is closed.
pub(super) fn must_confirm(dir: &SessionDir, record: &ExitRecord) -> bool {
    let by_itself = record.cause == Cause::Itself && record.signal.is_none();
    let by_our_term = record.cause != Cause::Itself && record.exit_code == Some(TERMINATED);
    !(by_our_term || by_itself && result::read(dir, record).complete)
}

/// Versions of Node that were asked for once.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<BTreeMap<Program, Option<String>>>);

/// A program and when its file was changed.
type Program = (PathBuf, Option<SystemTime>);

/// What stands in the way of a run.
pub(super) async fn obstacle(
    config_dir: &Path,
    program: &Path,
    env: &BTreeMap<OsString, OsString>,
    versions: &Versions,
) -> Option<String> {
    let named = program_path(config_dir, &program.to_string_lossy());
    let Some(found) = find_program(&named, env) else {
        return Some(format!(
            "there is no program {} on its PATH: install OpenClaw (npm install -g openclaw), or start mozi with its folder on the PATH",
            named.display()
        ));
    };
    if let Some(why) = node_obstacle(&found, env, versions).await {
        return Some(why);
    }
    gateway::obstacle(env).await
}

/// OpenClaw is a Node script: the Node that its first line finds must be new enough.
async fn node_obstacle(
    program: &Path,
    env: &BTreeMap<OsString, OsString>,
    versions: &Versions,
) -> Option<String> {
    if !starts_with_env_node(program) {
        return None;
    }
    let Some(node) = find_program(Path::new("node"), env) else {
        return Some("there is no `node` on its PATH: OpenClaw needs Node 24.16 or newer".to_owned());
    };
    let changed = node.metadata().and_then(|meta| meta.modified()).ok();
    let id = (node.clone(), changed);
    let cached = versions.0.lock().ok().and_then(|known| known.get(&id).cloned());
    let version = if let Some(version) = cached {
        version
    } else {
        let version = ask_version(&node, env).await;
        if let Ok(mut known) = versions.0.lock() {
            known.insert(id, version.clone());
        }
        version
    };
    // What cannot be asked is not refused: the program will say what is wrong.
    let version = version?;
    if node_is_enough(&version) {
        return None;
    }
    Some(format!(
        "{} is Node {version}, but OpenClaw needs 24.16 or newer (not 25), or 26.1 or newer",
        node.display()
    ))
}

fn starts_with_env_node(program: &Path) -> bool {
    use std::io::Read;
    let mut first = [0; 128];
    let Ok(count) = std::fs::File::open(program).and_then(|mut file| file.read(&mut first)) else {
        return false;
    };
    let line = first.get(..count).unwrap_or_default().split(|b| *b == b'\n').next().unwrap_or_default();
    line.starts_with(b"#!") && String::from_utf8_lossy(line).trim_end().ends_with("node")
}

async fn ask_version(node: &Path, env: &BTreeMap<OsString, OsString>) -> Option<String> {
    let mut command = tokio::process::Command::new(node);
    command.arg("--version").env_clear().envs(env).kill_on_drop(true).stdin(std::process::Stdio::null());
    let output = tokio::time::timeout(Duration::from_secs(10), command.output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().trim_start_matches('v').to_owned())
}

/// `engines` of the versions of OpenClaw that this was made with: `>=24.16.0 <25 || >=26.1.0`.
fn node_is_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    match (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) {
        (24, minor) => minor >= 16,
        (26, minor) => minor >= 1,
        (major, _) => major > 26,
    }
}

/// A variable's value as text.
fn text<'a>(env: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a str> {
    env.get(OsStr::new(name)).and_then(|value| value.to_str()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use mozi_core::SessionId;

    use super::*;

    #[test]
    fn the_invocation() {
        let session = Session {
            id: SessionId(uuid::Uuid::nil()),
            project_id: Some("p"),
            task_id: Some("t"),
            attempt_number: Some(1),
            workspace: Path::new("/w"),
            prompt_file: Path::new("/s/prompt.md"),
            prompt_bytes: 10,
            timeout_ms: Some(600_000),
        };
        let prepared = prepare(Path::new("/cfg"), "coder", Path::new("openclaw"), &session).unwrap();
        let expected = "agent --agent coder --session-key agent:coder:subagent:mozi-00000000-0000-0000-0000-000000000000 \
                        --message-file /s/prompt.md --timeout 660 --json";
        assert_eq!(prepared.args.join(" "), expected);
        assert_eq!(prepared.program, Path::new("openclaw"));
        assert_eq!(prepared.env.get("OPENCLAW_NO_RESPAWN").map(String::as_str), Some("1"));
        assert_eq!(prepared.removed_env, ["OPENCLAW_SHELL"]);
        let large = Session { prompt_bytes: PROMPT_LIMIT + 1, ..session };
        assert!(prepare(Path::new("/cfg"), "coder", Path::new("openclaw"), &large).is_err());
    }

    #[test]
    fn versions_of_node() {
        for (version, enough) in [
            ("22.20.0", false),
            ("24.15.9", false),
            ("24.16.0", true),
            ("24.21.0", true),
            ("25.3.0", false),
            ("26.0.0", false),
            ("26.1.0", true),
            ("27.0.0", true),
            ("", false),
        ] {
            assert_eq!(node_is_enough(version), enough, "{version}");
        }
    }
}
