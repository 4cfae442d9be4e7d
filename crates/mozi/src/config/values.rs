//! A configuration as a list of keys and values: to be shown, and to be compared with another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use mozi_api::wire::show_duration;
use mozi_core::retention::Retention;
use mozi_runner::config::{
    AgentConfig, Bootstrap, Callback, Hook, InheritEnv, LogOverflow, ProjectConfig, PromptVia, RuntimeConfig,
    Verdict, WorkspaceMode,
};
use serde_json::{Value, json};

use super::{Config, Server, reader::path_of, registry};

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Its row in the table of settings.
    pub pattern: &'static str,
    /// Where it stands: `agents.coder.timeout`.
    pub path: String,
    /// The table that comes and goes as a whole, if it stands in one: an agent, a project, a hook.
    pub table: Option<String>,
    /// What holds; null where nothing does.
    pub value: Value,
}

/// How one configuration differs from another one, by keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Tables that are new: `agents.coder`.
    pub added: Vec<String>,
    /// Tables that are gone.
    pub removed: Vec<String>,
    /// Keys with another value that a running server takes.
    pub changed: Vec<String>,
    /// Keys with another value that only the next start takes.
    pub needs_restart: Vec<String>,
}

impl Difference {
    /// Whether there is none.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let Self { added, removed, changed, needs_restart } = self;
        [added, removed, changed, needs_restart].iter().all(|l| l.is_empty())
    }
}

impl Config {
    /// Every key that has a meaning here, with what holds for it.
    pub(crate) fn values(&self) -> Vec<Entry> {
        let mut all = List::default();
        // Whoever adds a field adds its key here.
        let Self {
            file: _,
            dir: _,
            lines: _,
            server,
            max_sessions,
            agents,
            projects,
            bootstraps,
            hooks,
            retention,
        } = self;
        all.server(server);
        all.add("runner.max_sessions", None, json!(max_sessions));
        for (id, agent) in agents {
            all.agent(id.as_str(), agent);
        }
        for (id, ProjectConfig { path, workspace }) in projects {
            all.add("projects.*.path", Some(id.as_str()), json!(path));
            let workspace = match workspace {
                WorkspaceMode::PerTask => "per-task",
                WorkspaceMode::PerAttempt => "per-attempt",
                WorkspaceMode::InPlace => "in-place",
            };
            all.add("projects.*.workspace", Some(id.as_str()), json!(workspace));
        }
        for (name, Bootstrap { command, timeout }) in bootstraps {
            all.add("bootstraps.*.command", Some(name), json!(command));
            all.add("bootstraps.*.timeout", Some(name), json!(show_duration(*timeout)));
        }
        for (i, Hook { on, project, run, timeout }) in hooks.iter().enumerate() {
            let at = Some(i.to_string());
            all.add("hooks.on", at.as_deref(), json!(on));
            all.add("hooks.project", at.as_deref(), json!(project));
            all.add("hooks.run", at.as_deref(), json!(run));
            all.add("hooks.timeout", at.as_deref(), json!(show_duration(*timeout)));
        }
        let Retention { logs, logs_max, events, workspaces } = retention;
        let age =
            |age: &Option<std::time::Duration>| age.map_or_else(|| json!("0"), |d| json!(show_duration(d)));
        all.add("retention.logs", None, age(logs));
        all.add(
            "retention.logs_max",
            None,
            logs_max.map_or_else(|| json!("0"), |n| json!(super::show_bytes(n))),
        );
        all.add("retention.events", None, age(events));
        all.add("retention.workspaces", None, age(workspaces));
        all.0
    }

    /// What is different in `new`.
    pub(crate) fn difference(&self, new: &Self) -> Difference {
        let (old, new) = (self.values(), new.values());
        let tables = |all: &[Entry]| all.iter().filter_map(|v| v.table.clone()).collect::<BTreeSet<String>>();
        let (old_tables, new_tables) = (tables(&old), tables(&new));
        let mut found = Difference {
            added: new_tables.difference(&old_tables).cloned().collect(),
            removed: old_tables.difference(&new_tables).cloned().collect(),
            ..Difference::default()
        };
        let before: BTreeMap<&str, &Entry> = old.iter().map(|v| (v.path.as_str(), v)).collect();
        let after: BTreeMap<&str, &Entry> = new.iter().map(|v| (v.path.as_str(), v)).collect();
        let paths: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        for path in paths {
            let (b, a) = (before.get(path), after.get(path));
            let Some(value) = a.or(b) else { continue };
            let whole =
                value.table.as_ref().is_some_and(|t| old_tables.contains(t) != new_tables.contains(t));
            if whole || b.map(|v| &v.value) == a.map(|v| &v.value) {
                continue;
            }
            let restart =
                registry::setting(value.pattern).is_none_or(|s| s.reload == registry::Reload::Restart);
            let list = if restart { &mut found.needs_restart } else { &mut found.changed };
            list.push(path.to_owned());
        }
        found
    }
}

#[derive(Default)]
struct List(Vec<Entry>);

impl List {
    fn add(&mut self, pattern: &'static str, name: Option<&str>, value: Value) {
        let table = name.and_then(|_| Some(path_of(pattern, name).rsplit_once('.')?.0.to_owned()));
        self.0.push(Entry { pattern, path: path_of(pattern, name), table, value });
    }

    fn server(&mut self, server: &Server) {
        let Server { listen, public_url, agent_url, allowed_hosts, tls, insecure_listen, anonymous } = server;
        self.add("server.listen", None, json!(listen.to_string()));
        self.add("server.public_url", None, json!(public_url));
        self.add("server.agent_url", None, json!(agent_url));
        self.add("server.allowed_hosts", None, json!(allowed_hosts));
        self.add("server.tls_cert", None, json!(tls.as_ref().map(|t| &t.cert)));
        self.add("server.tls_key", None, json!(tls.as_ref().map(|t| &t.key)));
        self.add("server.insecure_listen", None, json!(insecure_listen));
        self.add("server.anonymous", None, json!(if *anonymous { "callbacks" } else { "off" }));
    }

    fn agent(&mut self, id: &str, agent: &AgentConfig) {
        let AgentConfig {
            runtime,
            callback,
            output_roots,
            aliases,
            roles,
            max_sessions,
            timeout,
            stall_timeout,
            grace,
            log_overflow,
            inherit_env,
            env,
        } = agent;
        let id = Some(id);
        self.add("agents.*.runtime", id, json!(runtime.name()));
        match runtime {
            RuntimeConfig::Command { command, prompt_via, verdict } => {
                self.add("agents.*.command", id, json!(command));
                let via = match prompt_via {
                    PromptVia::Stdin => "stdin",
                    PromptVia::File => "file",
                    PromptVia::None => "none",
                };
                self.add("agents.*.prompt_via", id, json!(via));
                self.add("agents.*.verdict", id, json!(Verdict::as_str(*verdict)));
            }
            RuntimeConfig::Openclaw { openclaw_agent, program: _ } => {
                self.add("agents.*.openclaw_agent", id, json!(openclaw_agent));
            }
            RuntimeConfig::DryRun => {}
        }
        self.add("agents.*.callback", id, json!(Callback::as_str(*callback)));
        self.add("agents.*.aliases", id, json!(aliases));
        self.add("agents.*.output_roots", id, json!(output_roots));
        let roles: Vec<&str> = roles.iter().map(|r| r.as_str()).collect();
        self.add("agents.*.roles", id, json!(roles));
        self.add("agents.*.max_sessions", id, json!(max_sessions));
        let span = |limit: &Option<_>| json!(limit.map_or_else(|| "0".to_owned(), show_duration));
        self.add("agents.*.timeout", id, span(timeout));
        self.add("agents.*.stall_timeout", id, span(stall_timeout));
        self.add("agents.*.grace", id, json!(show_duration(*grace)));
        let overflow = match log_overflow {
            LogOverflow::DropOldest => "drop-oldest",
            LogOverflow::End => "end",
        };
        self.add("agents.*.log_overflow", id, json!(overflow));
        let inherit = match inherit_env {
            InheritEnv::All => json!("all"),
            InheritEnv::Minimal => json!("minimal"),
            InheritEnv::Names(names) => json!(names),
        };
        self.add("agents.*.inherit_env", id, inherit);
        for (name, value) in env {
            self.add("agents.*.env", id, json!(value));
            if let Some(last) = self.0.last_mut() {
                last.path = format!("{}.{name}", last.path);
            }
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything else.
    Default,
    /// This line of the file.
    Line(usize),
    /// This line of the file, in `[agent_defaults]`.
    AgentDefaults(usize),
}

impl Config {
    /// Where the value of this key comes from.
    pub(crate) fn origin(&self, value: &Entry) -> Origin {
        if let Some(line) = self.lines.of(&value.path) {
            return Origin::Line(line);
        }
        let key = value.pattern.strip_prefix("agents.*.").unwrap_or_default();
        let name = value.path.rsplit_once(".env.").filter(|_| key == "env");
        let inherited = match name {
            Some((_, name)) => format!("agent_defaults.env.{name}"),
            None => format!("agent_defaults.{key}"),
        };
        // A runtime that has no use for a key of [agent_defaults] goes its own way.
        match self.lines.of(&inherited).filter(|_| !key.is_empty()) {
            Some(_) if key == "callback" && self.is_openclaw(value) => Origin::Default,
            Some(line) => Origin::AgentDefaults(line),
            None => Origin::Default,
        }
    }

    fn is_openclaw(&self, value: &Entry) -> bool {
        self.agents.iter().any(|(id, agent)| {
            matches!(agent.runtime, RuntimeConfig::Openclaw { .. })
                && path_of(value.pattern, Some(id.as_str())) == value.path
        })
    }
}

impl Origin {
    /// For people: `default`, `mozi.toml:12`.
    pub(crate) fn show(&self, file: Option<&Path>) -> String {
        let name = file.and_then(Path::file_name).map_or_else(|| "mozi.toml".into(), |n| n.to_string_lossy());
        match self {
            Self::Default => "default".to_owned(),
            Self::Line(line) => format!("{name}:{line}"),
            Self::AgentDefaults(line) => format!("agent_defaults ({name}:{line})"),
        }
    }
}
