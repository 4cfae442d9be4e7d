//! Another mozi.toml for a running server, by command and by signal.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Board, Setup, WORKING, alive, kill, start_time, wait_for};

const DONE: &str =
    "cat > /dev/null\nmozi report working\nmozi output add --title r --content x\nmozi report review\n";

fn agent(name: &str) -> String {
    format!("[agents.{name}]\nruntime = \"command\"\ncommand = [\"bash\", \"{{config_dir}}/{name}.sh\"]\n")
}

fn rewrite(board: &Board, text: &str) {
    fs::write(board.path("mozi.toml"), text).unwrap();
}

/// The newest event of this type that belongs to no project.
fn told(board: &Board, kind: &str) -> Value {
    wait_for(kind, || {
        let page = board.get("/api/events?limit=500");
        let items = page["items"].as_array()?;
        items.iter().rev().find(|e| e["event_type"] == kind).cloned()
    })
}

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_agent_that_is_new_works_and_one_that_is_gone_ends_its_work() {
    let slow = format!(
        "{WORKING}echo $$ > \"$TEST_DIR/pid\"\nuntil [ -e \"$TEST_DIR/go\" ]; do sleep 0.05; done\nmozi output add --title r --content x\nmozi report review\n"
    );
    let board = Setup::agents(&[("old", &slow, "")]).start();
    let first = board.add(&json!({ "title": "slow", "agent": "old" }));
    let pid: u32 = board.file("pid").parse().unwrap();
    let born = start_time(pid);
    fs::write(board.path("new.sh"), DONE).unwrap();
    rewrite(&board, &(agent("new") + "[runner]\nmax_sessions = 3\n[projects.app]\n"));
    let output = board.ok(&["reload"]);
    for line in [
        "new: agents.new, projects.app",
        "gone (what runs of it runs to its end): agents.old",
        "runner.max_sessions",
    ] {
        assert!(output.contains(line), "{line}\n{output}");
    }
    // The board knows it at once: no warning that there is no such agent.
    let answer = board.post("/api/projects/default/tasks", &json!({ "title": "t", "agent": "new" }));
    assert!(answer["warnings"].is_null(), "{answer}");
    board.until(answer["task_id"].as_str().unwrap(), "review");
    assert_eq!(board.get("/api/projects/app")["project_id"], "app");
    assert_eq!(board.get("/api/agents/old")["configured"], false);
    assert!(alive(pid) && start_time(pid) == born);
    fs::write(board.path("go"), "").unwrap();
    board.until(&first, "review");
    board.until_outcome(&first, 1, "completed");
    let event = told(&board, "config_reloaded");
    assert_eq!(event["detail"]["added"], json!(["agents.new", "projects.app"]));
    assert_eq!(event["actor"]["kind"], "user");
    board.finish();
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_with_every_mistake() {
    let board = Setup::agents(&[("a", DONE, "")]).start();
    rewrite(&board, "[agents.a]\nruntime = \"comand\"\n[runner]\nmax_session = 1\n");
    let output = board.mozi(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for part in ["2 mistakes", "mozi.toml:2:11:", "did you mean `max_sessions`", "goes on as before"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let refused = board.api("POST", "/api/config/reload", &json!({}));
    assert_eq!((refused.status, &refused.body["code"]), (422, &json!("config_refused")));
    assert_eq!(refused.body["mistakes"][0]["line"], 2);
    assert!(told(&board, "config_refused")["detail"]["text"].as_str().unwrap().contains("comand"));
    // What was there works as before; a file that is gone is no wish to have no agents either.
    fs::remove_file(board.path("mozi.toml")).unwrap();
    let output = board.mozi(&["reload"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let id = board.add(&json!({ "title": "t", "agent": "a" }));
    board.until(&id, "review");
    board.finish();
}

#[test]
fn what_needs_a_restart_is_said_until_it_has_come() {
    let board = Setup::agents(&[("a", DONE, "")]).start();
    let with_listen = format!("[server]\nlisten = \"127.0.0.1:1\"\n{}", agent("a"));
    rewrite(&board, &with_listen);
    for _ in 0..2 {
        let output = board.mozi(&["reload", "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["needs_restart"], json!(["server.listen"]), "{answer}");
    }
    // More than loopback without a word would not start again: refused now, not then.
    rewrite(&board, "[server]\nlisten = \"0.0.0.0:1\"\n");
    assert!(
        said(&board.mozi(&["reload"])).contains("insecure_listen")
            || said(&board.mozi(&["reload"])).contains("0.0.0.0:1")
    );
    board.finish();
}

#[test]
fn a_hangup_signal_reloads_where_no_terminal_has_gone() {
    let board = Setup::agents(&[("a", DONE, "")]).start();
    let pid = board.serve.as_ref().unwrap().id();
    rewrite(&board, &(agent("a") + "timeout = \"5m\"\n"));
    kill(pid, 1);
    let event = told(&board, "config_reloaded");
    assert_eq!(event["detail"]["changed"], json!(["agents.a.timeout"]));
    assert_eq!((&event["actor"]["kind"], &event["actor"]["via"]), (&json!("board"), &json!("signal")));
    rewrite(&board, "[agents");
    kill(pid, 1);
    assert!(told(&board, "config_refused")["detail"]["text"].as_str().unwrap().contains("mozi.toml:1:"));
    assert!(board.log().contains("goes on as before"), "{}", board.log());
    assert_eq!(board.get("/api/agents/a")["timeout_seconds"], 300);
    board.finish();
}

#[test]
fn a_hook_that_is_new_is_run() {
    let board = Setup::agents(&[("a", DONE, "")]).start();
    let hook = "[[hooks]]\non = [\"agent_*\"]\nrun = [\"bash\", \"-c\", \"cat > /dev/null; echo run >> \\\"$TEST_DIR/hooked\\\"\"]\n";
    rewrite(&board, &(agent("a") + hook));
    assert!(board.ok(&["reload"]).contains("hooks.0"));
    let id = board.add(&json!({ "title": "t", "agent": "a" }));
    board.until(&id, "review");
    board.file("hooked");
    board.finish();
}

#[test]
fn an_agent_may_not_reload_or_stop() {
    let board = Setup::agents(&[]).start();
    for words in [&["reload"][..], &["stop"], &["down"], &["up"]] {
        let output = board.mozi_command(words).env("OPENCLAW_SHELL", "exec").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("a person's decision"), "{words:?}: {}", said(&output));
    }
    board.finish();
}
