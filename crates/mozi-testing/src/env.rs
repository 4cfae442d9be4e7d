//! The environment without what an outer agent or an outer board has left in it.

use std::ffi::{OsStr, OsString};

/// Names that begin like this are marks of an agent around us, or Mozi's own.
const BEGINNINGS: &[&str] = &[
    "MOZI_",
    "OPENCLAW_SHELL",
    "OPENCLAW_CLI",
    "CLAUDECODE",
    "CLAUDE_CODE_",
    "CODEX_",
    "GEMINI_CLI",
    "OPENCODE",
];

/// Whether a variable is a mark of an outer agent or of Mozi itself.
pub fn is_outer_mark(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    BEGINNINGS.iter().any(|b| name.starts_with(b))
}

/// This process's environment without such marks.
pub fn clean_env() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| !is_outer_mark(name)).collect()
}
