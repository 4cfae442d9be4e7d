//! `mozi init`: a mozi.toml with the agents of this machine, each with the rights that its work needs and no more.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use mozi_core::{AgentId, ProjectId};

use crate::{
    config::{Config, env, openclaw},
    error::{Failure, Result},
    output::{Out, Paint},
};

/// An agent program that Mozi knows how to start.
struct Known {
    program: &'static str,
    table: &'static str,
    chosen: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        program: "claude",
        table: r#"runtime = "command"
command = ["claude", "-p", "--output-format", "stream-json", "--verbose", "--permission-mode", "acceptEdits", "--allowedTools", "Bash"]
env = { DISABLE_AUTOUPDATER = "1" }
"#,
        chosen: "may edit files in its workspace and run shell commands, without asking",
    },
    Known {
        program: "codex",
        table: r#"runtime = "command"
command = ["codex", "exec", "--json", "--skip-git-repo-check", "--sandbox", "workspace-write", "-c", "sandbox_workspace_write.network_access=true", "-"]
"#,
        chosen: "may write in its workspace only, and use the network (to report to the board)",
    },
    Known {
        program: "gemini",
        table: r#"runtime = "command"
command = ["gemini", "--output-format", "stream-json", "--approval-mode", "yolo"]
env = { GEMINI_CLI_TRUST_WORKSPACE = "true" }
"#,
        chosen: "may use all its tools without asking: it has no narrower mode that can run commands",
    },
    Known {
        program: "opencode",
        table: r#"runtime = "command"
command = ["opencode", "run", "--format", "json"]
env = { OPENCODE_DISABLE_AUTOUPDATE = "1" }
"#,
        chosen: "may do what its own configuration allows",
    },
];

/// What was found on this machine.
#[derive(Debug, Default)]
struct Found {
    /// Programs on PATH: name, table, what was chosen.
    programs: Vec<(&'static str, &'static str, &'static str)>,
    /// Agents of `OpenClaw`: their ids here, and their names there.
    openclaw: Vec<(AgentId, String)>,
    /// What is in the way.
    remarks: Vec<String>,
    /// The work tree that this runs in, with the id of its project.
    project: Option<(ProjectId, PathBuf)>,
}

pub(crate) fn run(out: Out) -> Result<()> {
    let file = env::config_file().ok_or_else(|| {
        Failure::new("no place for mozi.toml is known: neither HOME nor XDG_CONFIG_HOME is set")
            .hint("name the file with MOZI_CONFIG")
    })?;
    let file = std::path::absolute(&file).unwrap_or(file);
    let found = look();
    let text = text_of(&found);
    // What is written must be readable: a mistake here would be found by the user at the worst moment.
    if let Err(mistakes) = Config::parse(&file, &text) {
        let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        return Err(Failure::new(format!("the configuration made here is wrong: {}", all.join("; "))));
    }
    write_new(&file, &text)?;
    if out.json() {
        let agents: Vec<String> = found
            .programs
            .iter()
            .map(|(name, _, _)| (*name).to_owned())
            .chain(found.openclaw.iter().map(|(id, _)| id.to_string()))
            .collect();
        let project = found.project.as_ref().map(|(id, _)| id.as_str());
        return out.value(&serde_json::json!({
            "file": file, "agents": agents, "project": project, "remarks": found.remarks,
        }));
    }
    tell(out, &file, &found)
}

fn tell(out: Out, file: &Path, found: &Found) -> Result<()> {
    out.line(format!("wrote {}", file.display()))?;
    for (name, _, chosen) in &found.programs {
        out.line(format!("  {}  {chosen}", out.paint(Paint::Strong, name)))?;
    }
    for (id, own) in &found.openclaw {
        let name = out.paint(Paint::Strong, id.as_str());
        let own = if own == id.as_str() { String::new() } else { format!(" ({own:?} there)") };
        out.line(format!("  {name}  an agent of OpenClaw{own}, with the rights that OpenClaw gives it"))?;
    }
    if let Some((id, path)) = &found.project {
        out.line(format!(
            "  project {}  {}; each task works in a folder of its own, told where the source is",
            out.paint(Paint::Strong, id.as_str()),
            path.display()
        ))?;
    }
    for remark in &found.remarks {
        out.line(format!("  {} {remark}", out.paint(Paint::Wait, "note:")))?;
    }
    let first = found
        .programs
        .first()
        .map(|(n, _, _)| *n)
        .or_else(|| found.openclaw.first().map(|(id, _)| id.as_str()));
    out.line("")?;
    match first {
        Some(agent) => out.line(format!(
            "Next:\n  mozi serve\n  mozi task add \"Say hello in hello.txt\" -a {agent} --wait"
        )),
        None => out.line(
            "No agent was found: the file shows how to declare one.\nNext: edit it, then `mozi serve`; or look at `mozi demo` first.",
        ),
    }
}

fn look() -> Found {
    let mut found = Found::default();
    for known in KNOWN {
        if env::find_program(known.program).is_some() {
            found.programs.push((known.program, known.table, known.chosen));
        }
    }
    let taken = |id: &AgentId| KNOWN.iter().any(|k| k.program.eq_ignore_ascii_case(id.as_str()));
    let (names, unread) = match openclaw::agents() {
        Ok(names) => (names, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    // What is an id as it stands goes first: no made-up one takes it away.
    let (ids, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|n| n.parse::<AgentId>().is_ok());
    for name in ids.into_iter().chain(others) {
        if name.trim() != name
            || name.is_empty()
            || name.chars().count() > 127
            || name.contains(char::is_control)
        {
            found.remarks.push(format!("an agent of OpenClaw was left out: {name:?} can be no name here"));
            continue;
        }
        // A name that is a program's here, or no id at all, gets one; the table says which agent it is.
        let wanted = match name.parse::<AgentId>() {
            Ok(id) if taken(&id) => format!("openclaw-{id}"),
            Ok(id) => id.to_string(),
            Err(_) => id_of(&name, "agent"),
        };
        let free = |id: &AgentId| {
            let same = |(other, own): &(AgentId, String)| {
                other.as_str().eq_ignore_ascii_case(id.as_str()) || own.eq_ignore_ascii_case(id.as_str())
            };
            !taken(id) && !found.openclaw.iter().any(same)
        };
        let numbered = (2..1000).map(|n| format!("{wanted}-{n}"));
        let id = std::iter::once(wanted.clone()).chain(numbered).filter_map(|id| id.parse().ok()).find(free);
        match id {
            Some(id) => found.openclaw.push((id, name)),
            None => {
                found.remarks.push(format!("an agent of OpenClaw was left out: no id is free for {name:?}"));
            }
        }
    }
    let on_path = env::find_program("openclaw").is_some();
    if !found.openclaw.is_empty() && !on_path {
        found.remarks.push("`openclaw` is not on PATH: its agents are held back until it is".to_owned());
    }
    if let Some(why) = unread {
        found.remarks.push(why);
    } else if found.openclaw.is_empty() && on_path {
        let file =
            openclaw::file().map_or_else(|| "its configuration".to_owned(), |f| f.display().to_string());
        found.remarks.push(format!("`openclaw` is on PATH, but {file} names no agents"));
    }
    found.project = work_tree().and_then(|path| {
        let name = path.file_name()?.to_str()?;
        let id = id_of(name, "project").parse::<ProjectId>().ok()?;
        Some((id, path))
    });
    found
}

/// The work tree that the current folder is in.
fn work_tree() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().find(|dir| dir.join(".git").exists()).map(Path::to_path_buf)
}

/// A name as an id; `instead` where nothing of it can be one.
fn id_of(name: &str, instead: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let id: String = name.chars().map(allowed).collect();
    let id = id.trim_start_matches(['.', '_', '-']).trim_end_matches('-');
    let short: String = id.chars().take(60).collect();
    if short.is_empty() { instead.to_owned() } else { short }
}

fn text_of(found: &Found) -> String {
    let mut text = String::from(
        "# What this machine runs for Mozi. Every key: see `docs/agents.md` in the source of Mozi.\n\
         # After a change: mozi reload. Agents at work go on as they were started.\n\n\
         [server]\nlisten = \"127.0.0.1:8083\"\n",
    );
    let mut add = |piece: std::fmt::Arguments<'_>| text.push_str(&piece.to_string());
    for (name, table, chosen) in &found.programs {
        add(format_args!("\n# {chosen}\n[agents.{name}]\n{table}"));
    }
    for (id, own) in &found.openclaw {
        // It may call itself by a name that is no id.
        let alias = own.parse::<AgentId>().is_err();
        let own = toml::Value::String(own.clone());
        let aliases = if alias { format!("aliases = [{own}]\n") } else { String::new() };
        // A dot in a bare key would begin a table below.
        add(format_args!(
            "\n# an agent of OpenClaw, with the rights that OpenClaw gives it\n[agents.\"{id}\"]\nruntime = \"openclaw\"\nopenclaw_agent = {own}\n{aliases}"
        ));
    }
    if found.programs.is_empty() && found.openclaw.is_empty() {
        add(format_args!(
            "\n# No agent was found on PATH or in OpenClaw's configuration. Any program can be one; this script's exit\n\
             # status 0 is its verdict and its last lines are its output:\n\
             #\n# [agents.shell]\n# runtime = \"command\"\n# command = [\"bash\", \"{{config_dir}}/work.sh\", \"{{task_id}}\"]\n# verdict = \"exit\"\n"
        ));
    }
    if let Some((id, path)) = &found.project {
        let path = toml::Value::String(path.to_string_lossy().into_owned());
        add(format_args!(
            "\n# workspace = \"in-place\" would work in the folder itself, one session at a time\n[projects.\"{id}\"]\npath = {path}\nworkspace = \"per-task\"\n"
        ));
    }
    text
}

/// Writes a file that is not there yet.
fn write_new(file: &Path, text: &str) -> Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Failure::io("make the folder", dir, &e))?;
    }
    let made = std::fs::File::create_new(file);
    let mut made = made.map_err(|e| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::new(format!("{} is there already and stays as it is", file.display()))
                .hint("move it away to have it written anew, or name another file with MOZI_CONFIG")
        } else {
            Failure::io("write", file, &e)
        }
    })?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).map_err(|e| Failure::io("write", file, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Found {
        Found {
            programs: KNOWN.iter().map(|k| (k.program, k.table, k.chosen)).collect(),
            openclaw: [
                ("coder", "coder"),
                ("openclaw-claude", "claude"),
                ("a.b", "a.b"),
                ("agent", "开发\"者"),
            ]
            .map(|(id, own)| (id.parse().unwrap(), own.to_owned()))
            .into(),
            remarks: Vec::new(),
            project: Some(("app".parse().unwrap(), PathBuf::from("/src/my \"app\""))),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = Config::parse(Path::new("/c/mozi.toml"), &text_of(&everything())).unwrap();
        assert_eq!(config.agents.len(), KNOWN.len() + 4);
        assert_eq!(config.projects.values().next().unwrap().path, Some(PathBuf::from("/src/my \"app\"")));
        let claude = &config.agents[&"openclaw-claude".parse().unwrap()];
        assert!(format!("{:?}", claude.runtime).contains("openclaw_agent: \"claude\""), "{claude:?}");
        let named = &config.agents[&"agent".parse().unwrap()];
        assert_eq!(named.aliases, ["开发\"者"]);
        assert!(claude.aliases.is_empty());
        Config::parse(Path::new("/c/mozi.toml"), &text_of(&Found::default())).unwrap();
    }

    #[test]
    fn folders_become_ids() {
        for (name, id) in [
            ("app", "app"),
            ("My App!", "My-App"),
            (".dotfiles", "dotfiles"),
            ("项目", "project"),
            ("a b", "a-b"),
        ] {
            assert_eq!(id_of(name, "project"), id);
            assert!(id.parse::<ProjectId>().is_ok());
        }
    }
}
