//! `spec.json`: everything that following and ending a session needs. It holds no secret: no token, no environment.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The newest format of `spec.json` that this version writes and reads.
pub const SPEC_VERSION: u32 = 1;

/// The default size that a log may have on disk before its oldest part is dropped.
pub const DEFAULT_LOG_LIMIT: u64 = 256 * 1024 * 1024;

/// How one agent process is started, limited and ended.
///
/// The agent's environment is not in it: it is the supervisor's own, as the runner set it when it spawned the
/// supervisor. Fields that a version does not know are ignored when it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Format of the file, see [`SPEC_VERSION`].
    pub version: u32,
    /// The board that the session belongs to: directories of another board are left alone.
    pub board_id: String,
    /// The session's id, also the name of its directory.
    pub session_id: String,
    /// The project, for a session that has a task.
    #[serde(default)]
    pub project_id: Option<String>,
    /// The task, for a session that has one.
    #[serde(default)]
    pub task_id: Option<String>,
    /// The number of the attempt at that task.
    #[serde(default)]
    pub attempt_number: Option<u32>,
    /// The agent's name.
    pub agent: String,
    /// `executor` or `reviewer`, for a session that has a task.
    #[serde(default)]
    pub role: Option<String>,
    /// The runtime that prepared the session.
    pub runtime: String,
    /// What is executed: a path, or a name that is looked up on the PATH of the environment.
    pub program: PathBuf,
    /// Its arguments, without the program's own name.
    #[serde(default)]
    pub args: Vec<String>,
    /// The name that the program gets as its argument 0; by default `program` as written.
    #[serde(default)]
    pub argv0: Option<String>,
    /// The agent's working directory.
    pub cwd: PathBuf,
    /// What the agent finds on its standard input.
    #[serde(default)]
    pub stdin: StdinSource,
    /// The session is ended so long after its start. Time in which the machine slept does not count.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// The session is ended after so long without a sign of life, counted while a runner is connected.
    #[serde(default)]
    pub stall_timeout_ms: Option<u64>,
    /// The time between SIGTERM and SIGKILL.
    #[serde(default = "default_grace")]
    pub grace_ms: u64,
    /// What each of the two logs may take on disk.
    #[serde(default = "default_log_limit")]
    pub log_limit_bytes: u64,
    /// What happens at that limit.
    #[serde(default)]
    pub log_overflow: LogOverflow,
    /// When the runner wrote this, RFC 3339.
    pub created_at: String,
    /// What the runner's runtime needs to end and confirm the session; the supervisor never looks at it.
    #[serde(default)]
    pub runtime_data: serde_json::Value,
}

/// Where the agent's standard input comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdinSource {
    /// The file `prompt.md` of the session directory, read-only.
    Prompt,
    /// `/dev/null`.
    #[default]
    Null,
}

/// What happens when a log has reached its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogOverflow {
    /// The oldest part is freed; offsets stay as they are.
    #[default]
    DropOldest,
    /// The session is ended with cause `output_limit`.
    End,
}

const fn default_grace() -> u64 {
    30_000
}

const fn default_log_limit() -> u64 {
    DEFAULT_LOG_LIMIT
}

impl Spec {
    /// Reads a spec; a format newer than [`SPEC_VERSION`] is refused by name instead of being half understood.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Spec, Error> {
        #[derive(Deserialize)]
        struct OnlyVersion {
            version: u32,
        }
        let malformed =
            |error: serde_json::Error| Error::Malformed { path: path.to_path_buf(), why: error.to_string() };
        let OnlyVersion { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version > SPEC_VERSION {
            return Err(Error::Newer { path: path.to_path_buf(), found: version, known: SPEC_VERSION });
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"version":1,"board_id":"b","session_id":"s","agent":"a","runtime":"command",
        "program":"true","cwd":"/","created_at":"2026-01-01T00:00:00Z","a_later_field":[1,2]}"#;

    #[test]
    fn unknown_fields_are_ignored_and_absent_ones_have_defaults() {
        let spec = Spec::parse(MINIMAL.as_bytes(), Path::new("spec.json")).unwrap();
        assert_eq!((spec.grace_ms, spec.log_limit_bytes), (30_000, DEFAULT_LOG_LIMIT));
        assert_eq!((spec.stdin, spec.log_overflow), (StdinSource::Null, LogOverflow::DropOldest));
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let newer = MINIMAL.replace(r#""version":1"#, r#""version":2"#);
        let error = Spec::parse(newer.as_bytes(), Path::new("spec.json")).unwrap_err();
        assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    }
}
