//! What a configuration may say, but hardly means: programs and folders that are not there.

use std::path::{Path, PathBuf};

use super::Remark;
use crate::{
    config::{Config, env},
    error::Result,
    serve::runner_config,
};

/// Everything that looks wrong, in the order of the file.
pub(super) async fn of(config: &Config) -> Result<Vec<Remark>> {
    let mut found = Vec::new();
    let mut doubt = |path: &str, table: &str, text: String| {
        let line = config.lines.of(path).or_else(|| config.lines.of(table));
        found.push(Remark { line, column: None, text });
    };
    let values = config.values();
    let runner = runner_config(Path::new("/"), config, "", false)?;
    for (agent, why) in mozi_runner::probe::obstacles(&runner).await {
        let Some(why) = why else { continue };
        let at = values.iter().find(|v| v.pattern == "agents.*.runtime" && v.path.contains(agent.as_str()));
        let table = at.and_then(|v| v.table.clone()).unwrap_or_default();
        doubt(&format!("{table}.command"), &table, format!("agent {agent} cannot be started: {why}"));
    }
    for value in &values {
        let table = value.table.as_deref().unwrap_or_default();
        let words = || value.value.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
        let text = value.value.as_str();
        match value.pattern {
            "agents.*.command" => {
                for word in words().skip(1).filter_map(|w| missing_beside(w, &config.dir)) {
                    doubt(&value.path, table, format!("there is no file {}", word.display()));
                }
            }
            "bootstraps.*.command" | "hooks.run" => {
                if let Some(why) = words().next().and_then(|program| unfound(program, &config.dir)) {
                    doubt(&value.path, table, why);
                }
            }
            "projects.*.path" | "server.tls_cert" | "server.tls_key" => {
                if let Some(path) = text.filter(|p| !Path::new(p).exists()) {
                    doubt(&value.path, table, format!("{path} is not there"));
                }
            }
            "agents.*.output_roots" => {
                for root in words().filter(|r| !Path::new(r).is_dir()) {
                    doubt(&value.path, table, format!("there is no folder {root}"));
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|r| r.line);
    Ok(found)
}

/// A file that a word of a command names beside mozi.toml, if it is not there.
fn missing_beside(word: &str, dir: &Path) -> Option<PathBuf> {
    let rest = word.strip_prefix("{config_dir}/").filter(|rest| !rest.contains('{'))?;
    Some(dir.join(rest)).filter(|path| !path.exists())
}

fn unfound(program: &str, dir: &Path) -> Option<String> {
    if !program.contains('/') {
        let there = env::find_program(program).is_some();
        return (!there).then(|| format!("there is no program {program} on PATH"));
    }
    let path = dir.join(program.replace("{config_dir}", &dir.to_string_lossy()));
    let there = env::find_program(&path.to_string_lossy()).is_some();
    (!there).then(|| format!("{} is no program that can be run", path.display()))
}
