//! `mozi.toml` and the environment: what this machine runs, and where everything lies.
//!
//! Agents and folders belong to the machine that runs them, never to the API: whoever holds a token cannot define a
//! program. Every mistake in the file is told, with line, column and what was probably meant.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use mozi_core::{AgentId, ProjectId, Role, retention::Retention};
use mozi_runner::config::{
    AgentConfig, Bootstrap, Callback, Hook, InheritEnv, LogOverflow, ProjectConfig, PromptVia, RuntimeConfig,
    Verdict, WorkspaceMode,
};
use toml::de::DeTable;

use crate::error::Failure;
use reader::{Limit, Lines, Section, Source};

pub(crate) mod env;
mod hooks;
pub(crate) mod openclaw;
mod reader;
pub(crate) mod registry;
mod values;
pub(crate) use reader::{Mistake, nearest};
pub(crate) use values::{Entry, Origin};

/// The address that a board listens on unless told otherwise.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:8083";

/// A whole configuration, read and complete.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file it came from, if there is one.
    pub file: Option<PathBuf>,
    /// The folder in which hooks and bootstraps run and relative programs lie.
    pub dir: PathBuf,
    /// On which line each key stands.
    pub lines: Lines,
    pub server: Server,
    /// Sessions at once.
    pub max_sessions: u32,
    pub agents: BTreeMap<AgentId, AgentConfig>,
    pub projects: BTreeMap<ProjectId, ProjectConfig>,
    pub bootstraps: BTreeMap<String, Bootstrap>,
    pub hooks: Vec<Hook>,
    /// What is kept how long.
    pub retention: Retention,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    pub agent_url: Option<String>,
    pub allowed_hosts: Vec<String>,
    pub tls: Option<Tls>,
    pub insecure_listen: bool,
    /// The contract's calls are taken without a token from the agent at work at the task.
    pub anonymous: bool,
}

/// Certificate and key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuntimeName {
    Command,
    Openclaw,
    DryRun,
}

impl Config {
    /// The configuration of a machine without a file: a board, no agents.
    pub(crate) fn empty(dir: PathBuf) -> Self {
        Self {
            file: None,
            dir,
            lines: Lines::default(),
            server: Server {
                listen: SocketAddr::from(([127, 0, 0, 1], 8083)),
                public_url: None,
                agent_url: None,
                allowed_hosts: Vec::new(),
                tls: None,
                insecure_listen: false,
                anonymous: false,
            },
            max_sessions: 8,
            agents: BTreeMap::new(),
            projects: BTreeMap::new(),
            bootstraps: BTreeMap::new(),
            hooks: Vec::new(),
            retention: Retention::usual(),
        }
    }

    /// Reads the file that the command line or the environment names; without a name, a missing file is an empty one.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, Failure> {
        Self::read(named).map_err(|why| match why {
            Unread::Mistakes(all) => refused(&all),
            Unread::Failed(failure) => *failure,
        })
    }

    /// The same, with every mistake by itself.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Unread> {
        let file = named.map(Path::to_path_buf).or_else(env::config_file);
        let Some(file) = file else { return Ok(Self::empty(PathBuf::from("/"))) };
        let file = std::path::absolute(&file).unwrap_or(file);
        let dir = file.parent().unwrap_or_else(|| Path::new("/")).to_path_buf();
        match std::fs::read_to_string(&file) {
            Ok(text) => Self::parse(&file, &text).map_err(Unread::Mistakes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(Self::empty(dir)),
            Err(e) => {
                let hint =
                    "`mozi init` writes a configuration file; --config or MOZI_CONFIG names another one";
                let failure = Failure::io("read the configuration", &file, &e).hint(hint);
                Err(Unread::Failed(Box::new(failure)))
            }
        }
    }

    /// Reads the text of a file, which need not exist.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Vec<Mistake>> {
        let source = Source::new(file, text);
        let mut config = Self::empty(file.parent().unwrap_or_else(|| Path::new("/")).to_path_buf());
        config.file = Some(file.to_path_buf());
        match DeTable::parse(text) {
            Ok(table) => read_root(&mut config, Section::root(&source, &table)),
            Err(e) => source.mistake(e.span().unwrap_or(0..0), e.message().trim().replace('\n', ": ")),
        }
        config.lines = source.lines();
        let mistakes = source.into_mistakes();
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// More than loopback needs encryption, or the word that it is meant.
    pub(crate) fn check_listen(&self, listen: SocketAddr) -> Result<(), Failure> {
        if listen.ip().is_loopback() || self.server.tls.is_some() || self.server.insecure_listen {
            return Ok(());
        }
        Err(Failure::new(format!(
            "will not listen on {listen}: whoever can reach it could read tokens on their way"
        ))
        .hint(
            "set tls_cert and tls_key in [server] of mozi.toml, put a TLS proxy before a loopback address, or, if \
             the network is your own, set insecure_listen = true",
        ))
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The file is wrong.
    Mistakes(Vec<Mistake>),
    /// The file could not be read.
    Failed(Box<Failure>),
}

/// All mistakes as one failure.
pub(crate) fn refused(mistakes: &[Mistake]) -> Failure {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let what = match lines.as_slice() {
        [one] => one.clone(),
        many => format!("the configuration has {} mistakes:\n  {}", many.len(), many.join("\n  ")),
    };
    Failure::new(what).code("bad_config")
}

fn read_root(config: &mut Config, root: Section<'_, '_>) {
    if let Some(server) = root.section("server") {
        read_server(config, server);
    }
    if let Some(runner) = root.section("runner") {
        config.max_sessions = runner.number("max_sessions", 1..=1_000).unwrap_or(8);
        runner.finish();
    }
    let defaults =
        root.section("agent_defaults").map(|s| AgentKeys::read(s, &config.dir)).unwrap_or_default();
    for (id, section) in root.named::<AgentId>("agents") {
        if let Some(agent) = read_agent(&id, section, &defaults, config) {
            config.agents.insert(id, agent);
        }
    }
    for (id, section) in root.named::<ProjectId>("projects") {
        config.projects.insert(id, read_project(section));
    }
    for (name, section) in root.named::<Name>("bootstraps") {
        let command = command_of(&section, "command");
        let timeout = section.duration("timeout").and_then(Limit::get).unwrap_or(Duration::from_secs(30));
        section.finish();
        config.bootstraps.insert(name.0, Bootstrap { command, timeout });
    }
    for section in root.each("hooks") {
        config.hooks.push(hooks::read(&section));
        section.finish();
    }
    if let Some(retention) = root.section("retention") {
        config.retention = read_retention(retention);
    }
    root.finish();
}

fn read_retention(section: Section<'_, '_>) -> Retention {
    let usual = Retention::usual();
    let age = |key: &'static str, usual| section.duration(key).map_or(usual, Limit::get);
    let rule = Retention {
        logs: age("logs", usual.logs),
        logs_max: section.parsed("logs_max", parse_bytes).unwrap_or(usual.logs_max),
        events: age("events", usual.events),
        workspaces: age("workspaces", usual.workspaces),
    };
    section.finish();
    rule
}

/// Units of sizes, the largest first.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// A size as it would be written.
fn show_bytes(n: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| n.is_multiple_of(*factor);
    let (unit, factor) = UNITS.iter().find(fits).copied().unwrap_or(("B", 1));
    format!("{}{unit}", n / factor)
}

/// A size such as `10GiB`; `0` is none.
fn parse_bytes(text: &str) -> Result<Option<u64>, String> {
    let wrong = || format!("is a size such as \"500MiB\" or \"10GiB\", or \"0\" for no limit, not {text:?}");
    if text.trim() == "0" {
        return Ok(None);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor =
        UNITS.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, n)| *n).ok_or_else(wrong)?;
    number.checked_mul(factor).map(|n| (n > 0).then_some(n)).ok_or_else(wrong)
}

/// A name of the user's own, by the grammar of ids.
#[derive(PartialEq, Eq)]
struct Name(String);

impl std::str::FromStr for Name {
    type Err = mozi_core::BadId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<AgentId>().map(|id| Self(id.to_string()))
    }
}

fn read_server(config: &mut Config, section: Section<'_, '_>) {
    let server = &mut config.server;
    if let Some(listen) = section.parsed("listen", parse_listen) {
        server.listen = listen;
    }
    let url = |key: &'static str| section.parsed(key, parse_url).flatten();
    server.public_url = url("public_url");
    server.agent_url = url("agent_url");
    server.allowed_hosts = section.strings("allowed_hosts").unwrap_or_default();
    let file = |key: &'static str| section.string(key).map(|f| config.dir.join(f));
    server.tls = match (file("tls_cert"), file("tls_key")) {
        (Some(cert), Some(key)) => Some(Tls { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            section.mistake(Some("tls_cert"), "`tls_cert` needs `tls_key` beside it");
            None
        }
        (None, Some(_)) => {
            section.mistake(Some("tls_key"), "`tls_key` needs `tls_cert` beside it");
            None
        }
    };
    server.insecure_listen = section.boolean("insecure_listen").unwrap_or(false);
    let takes = [("off", false), ("callbacks", true)];
    server.anonymous = section.word("anonymous", &takes).unwrap_or(false);
    section.finish();
}

/// An address with its port; `localhost` is 127.0.0.1.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let numbers = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numbers.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!("is an address with a port, such as \"{DEFAULT_LISTEN}\" or \"[::1]:8083\", not {text:?}")
    })
}

/// `http://host[:port]`; empty is none.
fn parse_url(text: &str) -> Result<Option<String>, String> {
    let text = text.trim_end_matches('/');
    if text.is_empty() {
        return Ok(None);
    }
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(h) if !h.is_empty() && !h.contains(['/', '?', '#', '@', ' ']) => Ok(Some(text.to_owned())),
        _ => Err(format!("is a URL such as \"https://mozi.example.org\", not {text:?}")),
    }
}

/// What stands for a value in an agent's command.
const PLACEHOLDERS: &[&str] =
    &["task_id", "project_id", "attempt", "session_id", "prompt_file", "workspace", "config_dir"];

/// A word in braces that is no placeholder, but nearly one. Other braces are a shell's or an awk's own.
fn misspelt(word: &str) -> Option<(&str, &'static str)> {
    word.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).find_map(|name| {
        let near = reader::nearest(name, PLACEHOLDERS)?;
        (!PLACEHOLDERS.contains(&name)).then_some((name, near))
    })
}

fn command_of(section: &Section<'_, '_>, key: &'static str) -> Vec<String> {
    let command = section.strings(key);
    for (name, near) in command.iter().flatten().filter_map(|word| misspelt(word)) {
        section
            .mistake(Some(key), format!("`{key}` has no placeholder {{{name}}}: did you mean {{{near}}}?"));
    }
    match &command {
        Some(words) if words.first().is_none_or(String::is_empty) => {
            section.mistake(Some(key), format!("`{key}` must name a program: [\"program\", \"argument\"]"));
        }
        None if !section.has(key) => {
            section.mistake(
                None,
                format!("[{}] needs `{key}`: [\"program\", \"argument\", …]", section.title()),
            );
        }
        _ => {}
    }
    command.unwrap_or_default()
}

fn read_project(section: Section<'_, '_>) -> ProjectConfig {
    let path = section.parsed("path", |text| {
        let path = match (text.strip_prefix("~/"), env::home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        if path.is_absolute() { Ok(path) } else { Err(format!("is an absolute path, not {text:?}")) }
    });
    let words = [
        ("per-task", WorkspaceMode::PerTask),
        ("per-attempt", WorkspaceMode::PerAttempt),
        ("in-place", WorkspaceMode::InPlace),
    ];
    let workspace = section.word("workspace", &words).unwrap_or(WorkspaceMode::PerTask);
    if workspace == WorkspaceMode::InPlace && path.is_none() && !section.has("path") {
        section.mistake(Some("workspace"), "`workspace = \"in-place\"` needs `path`: the folder to work in");
    }
    section.finish();
    ProjectConfig { path, workspace }
}

/// The keys of an agent as they stand in one table.
#[derive(Debug, Clone, Default)]
struct AgentKeys {
    runtime: Option<RuntimeName>,
    openclaw_agent: Option<String>,
    command: Option<Vec<String>>,
    prompt_via: Option<PromptVia>,
    verdict: Option<Verdict>,
    callback: Option<Callback>,
    aliases: Option<Vec<String>>,
    output_roots: Option<Vec<PathBuf>>,
    roles: Option<Vec<Role>>,
    max_sessions: Option<u32>,
    timeout: Option<Limit>,
    stall_timeout: Option<Limit>,
    grace: Option<Limit>,
    log_overflow: Option<LogOverflow>,
    inherit_env: Option<InheritEnv>,
    env: BTreeMap<String, String>,
}

impl AgentKeys {
    fn of(section: &Section<'_, '_>, dir: &Path) -> Self {
        let runtimes = [
            ("command", RuntimeName::Command),
            ("openclaw", RuntimeName::Openclaw),
            ("dry-run", RuntimeName::DryRun),
        ];
        let vias = [("stdin", PromptVia::Stdin), ("file", PromptVia::File), ("none", PromptVia::None)];
        let verdicts = [("report", Verdict::Report), ("exit", Verdict::Exit)];
        let callbacks = [
            ("env", Callback::Env),
            ("header", Callback::Header),
            ("url", Callback::Url),
            ("anonymous", Callback::Anonymous),
        ];
        let roles = [("executor", Role::Executor), ("reviewer", Role::Reviewer)];
        let overflows = [("drop-oldest", LogOverflow::DropOldest), ("end", LogOverflow::End)];
        // The third form is a list.
        let inherits = [("all", true), ("minimal", false)];
        let keys = Self {
            runtime: section.word("runtime", &runtimes),
            openclaw_agent: section.string("openclaw_agent"),
            command: section.has("command").then(|| command_of(section, "command")),
            prompt_via: section.word("prompt_via", &vias),
            verdict: section.word("verdict", &verdicts),
            callback: section.word("callback", &callbacks),
            aliases: section.strings("aliases"),
            output_roots: section
                .strings("output_roots")
                .map(|roots| roots.iter().map(|r| dir.join(r)).collect()),
            roles: section.words("roles", &roles),
            max_sessions: section.number("max_sessions", 0..=1_000),
            timeout: section.duration("timeout"),
            stall_timeout: section.duration("stall_timeout"),
            grace: section.duration("grace"),
            log_overflow: section.word("log_overflow", &overflows),
            inherit_env: section.word_or_strings("inherit_env", &inherits).map(|read| match read {
                Ok(true) => InheritEnv::All,
                Ok(false) => InheritEnv::Minimal,
                Err(names) => InheritEnv::Names(names),
            }),
            env: section.map("env").unwrap_or_default(),
        };
        for name in keys.env.keys().filter(|n| n.is_empty() || n.contains('=') || n.starts_with("MOZI_")) {
            section.mistake(Some("env"), format!("`env` cannot set {name:?}"));
        }
        keys
    }

    fn read(section: Section<'_, '_>, dir: &Path) -> Self {
        let keys = Self::of(&section, dir);
        if section.has("aliases") {
            section.mistake(Some("aliases"), "`aliases` are one agent's: write them in its own table");
        }
        section.finish();
        keys
    }
}

/// Under one name only one agent can report.
fn check_names(
    id: &AgentId,
    aliases: &[String],
    section: &Section<'_, '_>,
    others: &BTreeMap<AgentId, AgentConfig>,
) {
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    for (i, alias) in aliases.iter().enumerate() {
        let long = alias.chars().count() > 127 || alias.chars().any(char::is_control);
        if alias.trim().is_empty() || alias.trim() != alias || long {
            let text = "`aliases` takes names of 1 to 127 characters, without spaces around them";
            section.mistake(Some("aliases"), text);
        }
        if same(alias, id.as_str()) || aliases.iter().take(i).any(|a| same(a, alias)) {
            section.mistake(
                Some("aliases"),
                format!("`aliases` has {alias:?}, which is a name of the agent already"),
            );
        }
    }
    for (other, config) in others {
        let taken = |name: &str| same(name, other.as_str()) || config.aliases.iter().any(|a| same(a, name));
        if let Some(alias) = aliases.iter().find(|a| taken(a)) {
            let text = format!("`aliases` has {alias:?}, which is a name of agent {other}");
            section.mistake(Some("aliases"), text);
        }
        if config.aliases.iter().any(|a| same(a, id.as_str())) {
            section.mistake(None, format!("agent {other} has the alias {id:?}, which is this agent's id"));
        }
    }
}

fn read_agent(
    id: &AgentId,
    section: Section<'_, '_>,
    defaults: &AgentKeys,
    config: &Config,
) -> Option<AgentConfig> {
    let own = AgentKeys::of(&section, &config.dir);
    check_names(id, own.aliases.as_deref().unwrap_or_default(), &section, &config.agents);
    let d = defaults.clone();
    let name = own.runtime.or(d.runtime).or_else(|| {
        if !section.has("runtime") {
            let text = format!("[{}] needs `runtime`: command, openclaw or dry-run", section.title());
            section.mistake(None, text);
        }
        None
    });
    let runtime = match name {
        None => None,
        Some(RuntimeName::Command) => {
            let command = own.command.or(d.command).unwrap_or_else(|| {
                section.mistake(
                    None,
                    format!("[{}] needs `command`: [\"program\", \"argument\", …]", section.title()),
                );
                Vec::new()
            });
            let prompt_via = own.prompt_via.or(d.prompt_via).unwrap_or(PromptVia::Stdin);
            let verdict = own.verdict.or(d.verdict).unwrap_or(Verdict::Report);
            Some(RuntimeConfig::Command { command, prompt_via, verdict })
        }
        Some(RuntimeName::Openclaw) => {
            let agent = own.openclaw_agent.or(d.openclaw_agent).unwrap_or_else(|| id.to_string());
            Some(RuntimeConfig::Openclaw { openclaw_agent: agent, program: PathBuf::from("openclaw") })
        }
        Some(RuntimeName::DryRun) => Some(RuntimeConfig::DryRun),
    };
    // What belongs to another runtime would be ignored without a word.
    let foreign: &[&str] = match name {
        Some(RuntimeName::Command) => &["openclaw_agent"],
        Some(RuntimeName::Openclaw) => &["command", "prompt_via", "verdict"],
        Some(RuntimeName::DryRun) => &["command", "prompt_via", "verdict", "openclaw_agent"],
        None => &[],
    };
    for key in foreign.iter().copied().filter(|k| section.has(k)) {
        section.mistake(Some(key), format!("`{key}` has no meaning for this runtime"));
    }
    let openclaw = name == Some(RuntimeName::Openclaw);
    if openclaw && own.callback == Some(Callback::Env) {
        let text = "`callback` is \"header\" here: OpenClaw passes no environment to its agents";
        section.mistake(Some("callback"), text);
    }
    let default_callback = if openclaw { Callback::Header } else { Callback::Env };
    // What OpenClaw cannot pass on is not taken over from the defaults either.
    let by_default = d.callback.filter(|c| !(openclaw && *c == Callback::Env));
    let callback = own.callback.or(by_default).unwrap_or(default_callback);
    if callback == Callback::Anonymous && !config.server.anonymous {
        let text = format!(
            "[{}] has callback = \"anonymous\", which needs anonymous = \"callbacks\" in [server]",
            section.title()
        );
        section.mistake(section.has("callback").then_some("callback"), text);
    }
    section.finish();
    let runtime = runtime?;
    let output_roots = own.output_roots.or(d.output_roots).unwrap_or_else(|| match &runtime {
        RuntimeConfig::Openclaw { openclaw_agent, .. } => {
            openclaw::workspace_of(openclaw_agent).into_iter().collect()
        }
        RuntimeConfig::Command { .. } | RuntimeConfig::DryRun => Vec::new(),
    });
    let default_timeout = if openclaw { Duration::from_mins(10) } else { Duration::from_hours(2) };
    // An exit status is no decision on somebody's work.
    let default_roles = match runtime.verdict() {
        Verdict::Report => vec![Role::Executor, Role::Reviewer],
        Verdict::Exit => vec![Role::Executor],
    };
    let mut env = d.env;
    env.extend(own.env);
    Some(AgentConfig {
        runtime,
        callback,
        output_roots,
        aliases: own.aliases.unwrap_or_default(),
        roles: own.roles.or(d.roles).unwrap_or(default_roles),
        max_sessions: own.max_sessions.or(d.max_sessions).unwrap_or_else(|| u32::from(openclaw)),
        timeout: own.timeout.or(d.timeout).unwrap_or(Limit::After(default_timeout)).get(),
        stall_timeout: own.stall_timeout.or(d.stall_timeout).and_then(Limit::get),
        grace: own.grace.or(d.grace).map_or(Duration::from_secs(30), |g| g.get().unwrap_or_default()),
        log_overflow: own.log_overflow.or(d.log_overflow).unwrap_or(LogOverflow::DropOldest),
        inherit_env: own.inherit_env.or(d.inherit_env).unwrap_or(InheritEnv::All),
        env,
    })
}

#[cfg(test)]
mod tests;
