//! The environment: everything that is read of it is read here.

use std::{ffi::OsString, path::PathBuf};

/// A variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this module is the one that reads the environment")]
pub(crate) fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// A variable that names a path.
#[expect(clippy::disallowed_methods, reason = "this module is the one that reads the environment")]
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// The user's home folder.
pub(crate) fn home() -> Option<PathBuf> {
    path("HOME").filter(|p| p.is_absolute())
}

/// The configuration file: `$MOZI_CONFIG`, else `$XDG_CONFIG_HOME/mozi/mozi.toml`, else below `~/.config`.
pub(crate) fn config_file() -> Option<PathBuf> {
    path("MOZI_CONFIG").or_else(|| user_config_dir().map(|b| b.join("mozi").join("mozi.toml")))
}

/// The folder of this user's configurations: `$XDG_CONFIG_HOME`, else `~/.config`.
pub(crate) fn user_config_dir() -> Option<PathBuf> {
    let base = path("XDG_CONFIG_HOME").filter(|p| p.is_absolute());
    base.or_else(|| home().map(|h| h.join(".config")))
}

/// The data folder: `$MOZI_DATA`, else `$XDG_DATA_HOME/mozi`, else below `~/.local/share`.
pub(crate) fn data_dir() -> Option<PathBuf> {
    path("MOZI_DATA").or_else(default_data_dir)
}

/// The data folder of whoever says nothing.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    let base = path("XDG_DATA_HOME").filter(|p| p.is_absolute());
    base.or_else(|| home().map(|h| h.join(".local").join("share"))).map(|b| b.join("mozi"))
}

/// What a service manager tells the server alone: whoever else had it could speak for the server.
const OF_THE_MANAGER: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "MAINPID",
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
    "JOURNAL_STREAM",
];

/// The environment that agents are started from: everything but Mozi's own variables and an outer agent's marks.
pub(crate) fn for_agents() -> Vec<(OsString, OsString)> {
    let of_the_manager = |name: &OsString| OF_THE_MANAGER.iter().any(|n| name == n);
    std::env::vars_os()
        .filter(|(name, _)| !mozi_runner::is_outer_mark(name) && !of_the_manager(name))
        .collect()
}

/// The variable by which an agent has marked the shell that this runs in.
pub(crate) fn agent_mark() -> Option<String> {
    agent_mark_of(std::env::vars_os())
}

/// The same of an environment as `/proc` has it.
pub(crate) fn agent_mark_in(environ: &[u8]) -> Option<String> {
    use std::os::unix::ffi::OsStrExt as _;
    let pairs = environ.split(|b| *b == 0).filter_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let of = |bytes: &[u8]| OsString::from(std::ffi::OsStr::from_bytes(bytes));
        Some((of(pair.get(..at)?), of(pair.get(at + 1..)?)))
    });
    agent_mark_of(pairs)
}

fn agent_mark_of(pairs: impl Iterator<Item = (OsString, OsString)>) -> Option<String> {
    pairs
        .filter(|(name, value)| !value.is_empty() && mozi_runner::is_outer_mark(name))
        .filter_map(|(name, _)| name.into_string().ok())
        // Addresses, tokens and folders of Mozi are for people too.
        .find(|name| !name.starts_with("MOZI_") || name == "MOZI_SESSION_ID")
}

/// A language that the environment asks for, as `LC_ALL`, `LC_MESSAGES` and `LANG` say.
pub(crate) fn language() -> mozi_core::project::Language {
    let asked = var("LC_ALL").or_else(|| var("LC_MESSAGES")).or_else(|| var("LANG")).unwrap_or_default();
    if asked.to_ascii_lowercase().starts_with("zh") {
        mozi_core::project::Language::ZhCn
    } else {
        mozi_core::project::Language::En
    }
}

/// A program of this name on PATH, or the path itself if it has a `/`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_program =
        |p: &PathBuf| std::fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(is_program);
    }
    let all = path("PATH")?;
    std::env::split_paths(&all).filter(|d| d.is_absolute()).map(|d| d.join(name)).find(is_program)
}
