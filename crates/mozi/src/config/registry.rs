//! Every key of mozi.toml in one table: what it takes, what holds without it, what it means, and whether a running
//! server takes a new value.
//!
//! The words of mistakes, `mozi config show`, the answer of a reload and the reference come from here. A test compares
//! the table with what the reader asks for: a key that stands in one of the two alone fails it.

use serde::Serialize;

/// Whether a running server takes a new value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reload {
    /// It does; what already runs keeps what it was started with.
    Live,
    /// Only the next start does.
    Restart,
}

/// One key.
#[derive(Debug, Serialize)]
pub(crate) struct Setting {
    /// Where it stands, with `*` for a name of the user's own: `agents.*.timeout`.
    #[serde(rename = "setting")]
    pub path: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What holds without it, as it would be written; in brackets where it is no fixed value.
    pub default: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// Whether a running server takes a new value.
    pub reload: Reload,
    /// The first version that knows it.
    pub since: &'static str,
}

const fn live(
    path: &'static str,
    takes: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { path, takes, default, meaning, reload: Reload::Live, since: "0.1" }
}

const fn fixed(
    path: &'static str,
    takes: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { path, takes, default, meaning, reload: Reload::Restart, since: "0.1" }
}

const SPAN: &str = r#"a duration such as "90s" or "2h"; "0" switches it off"#;
const COMMAND: &str = r#"["program", "argument", …]"#;

/// All keys, in the order in which they are explained. `[agent_defaults]` takes every key of an agent.
#[rustfmt::skip]
pub(crate) static SETTINGS: &[Setting] = &[
    fixed("server.listen", "an address with a port", r#""127.0.0.1:8083""#, "Where the board listens; more than loopback needs `tls_cert` and `tls_key`, or `insecure_listen`."),
    fixed("server.public_url", "a URL, or empty", "(from `listen`)", "Where people find the board: links, allowed Host and Origin."),
    fixed("server.agent_url", "a URL, or empty", "(loopback of `listen`; with TLS `public_url`)", "Where agents are told that the board is."),
    fixed("server.allowed_hosts", "a list of host names", "[]", "Names under which the board may be asked, beside those of the two URLs and loopback."),
    fixed("server.tls_cert", "a PEM file", "(no TLS)", "The certificate chain; relative to mozi.toml."),
    fixed("server.tls_key", "a PEM file", "(no TLS)", "The private key of `tls_cert`; relative to mozi.toml."),
    fixed("server.insecure_listen", "true or false", "false", "Listen on more than loopback without TLS all the same."),
    fixed("server.anonymous", "off or callbacks", r#""off""#, "callbacks: the contract's four calls are taken without a token from the agent at work at the task, named in the body."),
    live("runner.max_sessions", "1 to 1000", "8", "Agents at work at once on this machine."),
    live("agents.*.runtime", "command, openclaw or dry-run", "(needed)", "How the agent is started and followed."),
    live("agents.*.openclaw_agent", "a text", "(the agent's id)", "The agent's id in OpenClaw; for runtime openclaw."),
    live("agents.*.command", COMMAND, "(needed for runtime command)", "The program and its arguments; a program with a / is relative to mozi.toml."),
    live("agents.*.prompt_via", "stdin, file or none", r#""stdin""#, "How the program gets its prompt; for runtime command."),
    live("agents.*.verdict", "report or exit", r#""report""#, "Whether the agent reports its verdict, or its exit status is it: 0 means review; for runtime command."),
    live("agents.*.callback", "env, header, url or anonymous", "(env; for runtime openclaw header)", "How the agent gets its token: from its environment, written into its prompt, or in the board's address; anonymous: not at all, which needs `anonymous` in [server]."),
    live("agents.*.aliases", "a list of names", "[]", "Other names under which the agent reports."),
    live("agents.*.output_roots", "a list of folders", "[]", "Where files that the agent names as outputs may lie, beside its workspace; for runtime openclaw its configured workspace by default."),
    live("agents.*.roles", "a list of executor and reviewer", r#"(["executor", "reviewer"]; with verdict exit ["executor"])"#, "What the agent may be claimed for."),
    live("agents.*.max_sessions", "0 to 1000", "(0; for runtime openclaw 1)", "Its sessions at once; 0 = only the runner's limit."),
    live("agents.*.timeout", SPAN, r#"("2h"; for runtime openclaw "10m")"#, "The longest time of a session; a task may name another one."),
    live("agents.*.stall_timeout", SPAN, r#""0""#, "The longest time without output and without a report."),
    live("agents.*.grace", "a duration", r#""30s""#, "The time that the agent has after its verdict, and between SIGTERM and SIGKILL."),
    live("agents.*.log_overflow", "drop-oldest or end", r#""drop-oldest""#, "What happens when a log of the agent reaches 256 MiB."),
    live("agents.*.inherit_env", "all, minimal or a list of names", r#""all""#, "What the agent gets of the server's environment; Mozi's secrets and an outer agent's marks never."),
    live("agents.*.env", r#"a table { NAME = "value" }"#, "{}", "What the agent gets in its environment beside."),
    live("projects.*.path", "an absolute path, or ~/…", "(none)", "The project's folder on this machine."),
    live("projects.*.workspace", "per-task, per-attempt or in-place", r#""per-task""#, "Where agents work: a folder for each task, for each attempt, or the project's own folder, one session at a time."),
    live("bootstraps.*.command", COMMAND, "(needed)", "Builds the first part of a prompt: JSON on its standard input, text on its standard output."),
    live("bootstraps.*.timeout", "a duration", r#""30s""#, "How long it may take."),
    live("hooks.on", r#"a list such as ["agent_*", "status_changed:review", "idle"]"#, "(needed)", "The types of events for which it is run; a * at the end stands for any ending."),
    live("hooks.project", "a project's id, or *", r#""*""#, "The project whose events it is run for."),
    live("hooks.timeout", "a duration", r#""1m""#, "How long it may take; then it is ended with all that it has started."),
    live("hooks.run", COMMAND, "(needed)", "What is run; it gets the event, its task and its attempt as JSON on standard input."),
    live("retention.logs", SPAN, r#""30d""#, "How long the logs of a session are kept after its end."),
    live("retention.logs_max", r#"a size such as "10GiB"; "0" is no limit"#, r#""10GiB""#, "How much all logs of ended sessions may take together; beyond it the oldest go first."),
    live("retention.events", SPAN, r#""0""#, "How long events of finished tasks are kept; what a task has come to is always told."),
    live("retention.workspaces", SPAN, r#""0""#, "How long folders that Mozi made are kept after their task has ended; never with git work that is nowhere else."),
];

/// The row of a key. `agent_defaults.KEY` is that of `agents.*.KEY`.
pub(crate) fn setting(pattern: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.path == pattern || is_default_of(pattern, s.path))
}

fn is_default_of(pattern: &str, path: &str) -> bool {
    let keys = (pattern.strip_prefix("agent_defaults."), path.strip_prefix("agents.*."));
    matches!(keys, (Some(a), Some(b)) if a == b)
}

/// The keys of the table with this pattern: `listen`, `public_url` … for `server`; the tables for the root.
pub(crate) fn keys_of(pattern: &str) -> Vec<&'static str> {
    let prefix = match pattern {
        "" => String::new(),
        "agent_defaults" => "agents.*.".to_owned(),
        table => format!("{table}."),
    };
    let mut keys: Vec<&'static str> = Vec::new();
    for setting in SETTINGS {
        let Some(rest) = setting.path.strip_prefix(&prefix) else { continue };
        let key = rest.split('.').next().unwrap_or(rest);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if pattern.is_empty() {
        keys.push("agent_defaults");
    }
    keys
}

/// Another table that has this key, for a key that stands in the wrong one.
pub(crate) fn elsewhere(key: &str) -> Option<String> {
    SETTINGS.iter().find_map(|s| {
        let (table, last) = s.path.rsplit_once('.')?;
        (last == key).then(|| match table {
            "hooks" => "[[hooks]]".to_owned(),
            table => format!("[{}]", table.replace('*', "NAME")),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_complete_and_there_once() {
        for (i, s) in SETTINGS.iter().enumerate() {
            assert!(!s.takes.is_empty() && !s.default.is_empty() && !s.since.is_empty(), "{}", s.path);
            assert!(s.meaning.ends_with('.'), "{}: a sentence", s.path);
            assert!(SETTINGS.iter().take(i).all(|o| o.path != s.path), "{} is there twice", s.path);
            assert_eq!(setting(s.path).map(|s| s.path), Some(s.path));
        }
    }

    #[test]
    fn keys_of_tables() {
        assert_eq!(keys_of("runner"), ["max_sessions"]);
        assert_eq!(keys_of("agent_defaults"), keys_of("agents.*"));
        assert!(keys_of("").contains(&"server") && keys_of("").contains(&"agent_defaults"));
        assert_eq!(setting("agent_defaults.timeout").map(|s| s.path), Some("agents.*.timeout"));
        assert_eq!(elsewhere("listen").as_deref(), Some("[server]"));
        assert_eq!(elsewhere("grace").as_deref(), Some("[agents.NAME]"));
    }
}
