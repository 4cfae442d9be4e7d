//! `mozi config`: every mistake with its place, every value with its origin.

use std::fs;

use serde_json::Value;

use crate::support::command;

fn mozi(dir: &std::path::Path, args: &[&str]) -> (i32, String, String) {
    let out = command(env!("CARGO_BIN_EXE_mozi"))
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env("MOZI_CONFIG", dir.join("mozi.toml"))
        .env("MOZI_DATA", dir.join("data"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
}

#[test]
fn every_mistake_is_told_with_line_and_column_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mozi.toml");
    fs::write(
        &file,
        "[server]\nlistn = \"x\"\n[agents.a]\nruntime = \"comand\"\ngrace = 5\n[runner]\nlisten = \"x\"\n",
    )
    .unwrap();
    let (code, said, _) = mozi(dir.path(), &["config", "check"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("mozi.toml:2:1: mistake: unknown key `listn` in [server]: did you mean `listen`?"),
        "{said}"
    );
    assert!(said.contains("mozi.toml:4:11:") && said.contains("mozi.toml:5:9:"), "{said}");
    assert!(said.contains("mozi.toml:7:1:") && said.contains("belongs into [server]"), "{said}");
    assert!(said.trim_end().ends_with("has 4 mistakes"), "{said}");
    let (code, json, _) = mozi(dir.path(), &["config", "check", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json["ok"].as_bool()), (1, Some(false)));
    assert_eq!(json["mistakes"][0]["line"], 2);
    assert_eq!(json["mistakes"].as_array().unwrap().len(), 4);
    let (code, _, said) = mozi(dir.path(), &["config", "check", "nowhere.toml"]);
    assert!(code == 1 && said.contains("nowhere.toml") && said.contains("mozi init"), "{said}");
}

#[test]
fn what_is_allowed_but_looks_wrong_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[agents.a]\nruntime = \"command\"\ncommand = [\"no-such-program-at-all\"]\n\
        [agents.b]\nruntime = \"command\"\ncommand = [\"sh\", \"{config_dir}/gone.sh\"]\n\
        [projects.p]\npath = \"/nowhere/at/all\"\n[[hooks]]\non = [\"agent_*\"]\nrun = [\"./gone\"]\n";
    fs::write(dir.path().join("other.toml"), text).unwrap();
    let (code, said, _) = mozi(dir.path(), &["config", "check", "other.toml"]);
    assert_eq!(code, 0, "{said}");
    for line in [
        "other.toml:3: warning: agent a",
        "other.toml:6: warning: there is no file",
        "other.toml:8: warning:",
        "other.toml:11: warning:",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    fs::write(dir.path().join("mozi.toml"), "[server]\nlisten = \"0.0.0.0:1\"\n").unwrap();
    let (code, said, _) = mozi(dir.path(), &["config", "check"]);
    assert!(code == 1 && said.contains("mozi.toml:2: mistake: will not listen on 0.0.0.0:1"), "{said}");
}

#[test]
fn every_value_is_shown_with_its_origin_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[agent_defaults]\ntimeout = \"3h\"\n[agents.a]\nruntime = \"command\"\ncommand = [\"true\"]\n\
        env = { API_KEY = \"very-secret\" }\n";
    fs::write(dir.path().join("mozi.toml"), text).unwrap();
    let (code, said, _) = mozi(dir.path(), &["config", "show"]);
    assert_eq!(code, 0, "{said}");
    let line = |key: &str| {
        said.lines().find(|l| l.split_whitespace().next() == Some(key)).unwrap_or_default().to_owned()
    };
    assert!(line("server.listen").ends_with("default"), "{said}");
    assert!(line("agents.a.timeout").ends_with("agent_defaults (mozi.toml:2)"), "{said}");
    assert!(line("agents.a.command").ends_with("mozi.toml:5"), "{said}");
    assert!(said.contains("environment (MOZI_DATA)") && !said.contains("very-secret"), "{said}");
    let (_, json, _) = mozi(dir.path(), &["config", "show", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let key = json["items"].as_array().unwrap().iter().find(|i| i["key"] == "agents.a.env.API_KEY").unwrap();
    assert_eq!((&key["value"], &key["origin"]), (&"***".into(), &"mozi.toml:6".into()));
    assert!(key["meaning"].as_str().is_some_and(|m| !m.is_empty()));
}
