//! `OpenClaw`'s own configuration, as far as it tells which agents there are and where they work.

use std::path::PathBuf;

use serde_json::Value;

use super::env;

/// The file: `$OPENCLAW_CONFIG_PATH`, else `openclaw.json` in its state folder.
pub(crate) fn file() -> Option<PathBuf> {
    env::path("OPENCLAW_CONFIG_PATH").or_else(|| Some(state_dir()?.join("openclaw.json")))
}

fn state_dir() -> Option<PathBuf> {
    env::path("OPENCLAW_STATE_DIR").or_else(|| Some(env::home()?.join(".openclaw")))
}

/// None where there is no file; else what it says (it is JSON5), or why it cannot be read.
fn read() -> Option<Result<Value, String>> {
    let file = file()?;
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            Some(json5::from_str(&text).map_err(|e| format!("could not read {}: {e}", file.display())))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => Some(Err(format!("could not read {}: {e}", file.display()))),
    }
}

/// The ids of its agents, in the order of the file's keys. Empty where there is no file.
///
/// # Errors
/// When there is one that cannot be read or is not JSON5: the sentence says why.
pub(crate) fn agents() -> Result<Vec<String>, String> {
    read().transpose().map(|config| config.as_ref().map(agents_in).unwrap_or_default())
}

fn agents_in(config: &Value) -> Vec<String> {
    let agents = config.get("agents");
    let entries = agents.and_then(|a| a.get("entries")).and_then(Value::as_object);
    // The older form is a list of objects with an id.
    let list = agents.and_then(|a| a.get("list")).and_then(Value::as_array);
    let ids =
        list.into_iter().flatten().filter_map(|a| a.get("id").and_then(Value::as_str).map(str::to_owned));
    entries.map(|e| e.keys().cloned().collect::<Vec<_>>()).into_iter().flatten().chain(ids).collect()
}

/// Where an agent works, if `OpenClaw`'s configuration says so.
pub(crate) fn workspace_of(agent: &str) -> Option<PathBuf> {
    workspace_in(&read()?.ok()?, agent).map(|text| match (text.strip_prefix("~/"), env::home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    })
}

fn workspace_in(config: &Value, agent: &str) -> Option<String> {
    let agents = config.get("agents")?;
    let own = agents.get("entries").and_then(|e| e.get(agent)).or_else(|| {
        let list = agents.get("list")?.as_array()?;
        list.iter().find(|a| a.get("id").and_then(Value::as_str) == Some(agent))
    });
    let workspace = |v: &Value| v.get("workspace").and_then(Value::as_str).map(str::to_owned);
    own.and_then(workspace).or_else(|| agents.get("defaults").and_then(workspace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_and_workspaces_are_found_in_a_file_with_comments() {
        let text = r#"{
          // the agents, "quoted" here
          agents: { "defaults": { "workspace": "/w/all" },
            "entries": { "coder": { "workspace": "/w/coder, // not a comment" }, /* one more, */ "main": {}, },
          },
        }"#;
        let config: Value = json5::from_str(text).unwrap();
        assert_eq!(agents_in(&config), ["coder", "main"]);
        assert_eq!(workspace_in(&config, "coder").unwrap(), "/w/coder, // not a comment");
        assert_eq!(workspace_in(&config, "main").unwrap(), "/w/all");
    }

    #[test]
    fn the_older_list_of_agents_is_read_too() {
        let config: Value = serde_json::json!({ "agents": { "list": [{ "id": "a", "workspace": "/a" }] } });
        assert_eq!(
            (agents_in(&config), workspace_in(&config, "a")),
            (vec!["a".to_owned()], Some("/a".to_owned()))
        );
    }
}
