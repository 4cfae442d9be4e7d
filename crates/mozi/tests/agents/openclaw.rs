//! OpenClaw, the real program, through its Gateway.

use std::fs;

use serde_json::{Value, json};

use crate::{
    lab::Claw,
    support::{Board, Setup, kill, wait_for},
};

fn board(claw: &Claw) -> Board {
    let mut setup = Setup::agents(&[]);
    let wrong = claw.root.path().join("wrong.json");
    let right = fs::read_to_string(claw.root.path().join("openclaw.json")).unwrap();
    fs::write(&wrong, right.replace("test-gateway-token", "another-token")).unwrap();
    setup.config += "[agents.coder]\nruntime = \"openclaw\"\ntimeout = \"3m\"\ngrace = \"5s\"\n\n";
    setup.config += "[agents.nobody]\nruntime = \"openclaw\"\nopenclaw_agent = \"nobody\"\n\n";
    setup.config += &format!(
        "[agents.stranger]\nruntime = \"openclaw\"\nopenclaw_agent = \"coder\"\nenv = {{ OPENCLAW_CONFIG_PATH = {:?} }}\n",
        wrong.to_str().unwrap()
    );
    setup.env.clone_from(&claw.env);
    setup.settings(json!({ "backoff_initial": "10ms", "backoff_max": "10ms" })).start()
}

fn add(board: &Board, agent: &str, title: &str, script: &str, more: &Value) -> String {
    let mut body = json!({ "title": title, "agent": agent, "description": script });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    board.add(&body)
}

/// A command that leaves a line when it begins and one when it ends, and takes its time. After 10 s OpenClaw would
/// put it into the background and let its agent go on.
fn slow(board: &Board, name: &str, seconds: u32) -> String {
    let mark = board.path(name);
    let mark = mark.display();
    format!("MOCK-RUN: echo begin >> {mark}; sleep {seconds}; echo end >> {mark}")
}

fn marks(board: &Board, name: &str) -> Vec<String> {
    fs::read_to_string(board.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn cli_of(board: &Board) -> u32 {
    let sessions = board.get("/api/sessions?active=true");
    u32::try_from(sessions["items"][0]["pid"].as_u64().expect("a pid")).unwrap()
}

fn waits_for(task: &Value, kind: &str) -> bool {
    task["waiting_for"].as_array().unwrap().iter().any(|w| w["kind"] == kind)
}

/// One Gateway serves all of this, one after the other: it needs a gigabyte.
#[test]
fn openclaw() {
    let claw = Claw::start();
    let board = board(&claw);
    success(&board);
    errors(&board);
    cancel(&board);
    killed_with_the_gateway_up(&board);
    killed_with_the_gateway_down(&board, &claw);
    gateway_lost(&board, &claw);
    board.finish();
}

fn success(board: &Board) {
    let hostile = "A 'title' with \"quotes\", $HOME, `ticks` and \\ backslashes";
    let id = add(board, "coder", hostile, "MOCK-RUN: pwd", &json!({ "must_haves": ["it's \"right\""] }));
    let task = board.until(&id, "review");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task:#}");
    assert_eq!(task["outputs"].as_array().unwrap().len(), 1, "{task:#}");
    let task = board.until_outcome(&id, 1, "completed");
    let usage = &task["attempts"][0]["usage"];
    assert!(usage["input_tokens"].as_u64().unwrap() > 0, "{usage:#}");
    assert_eq!(usage["source"], "reported");
    assert!(usage["by_model"].to_string().contains("mock-1"), "{usage:#}");
    assert_eq!(task["attempts"][0]["exit_code"], 0);
}

fn errors(board: &Board) {
    // The model answers 400: the CLI ends with 1 and an error object.
    let once = json!({ "max_attempts": 1 });
    let id = add(board, "coder", "model error", "MOCK-ERROR: 400", &once);
    let task = board.until_outcome(&id, 1, "crashed");
    assert_eq!(task["attempts"][0]["reason"], "model_error", "{task:#}");
    assert_eq!(task["attempts"][0]["exit_code"], 1);
    board.until(&id, "failed");
    // It ends to its own satisfaction, with status ok, and has said nothing.
    let id = add(board, "coder", "silent", "MOCK-END: nothing\nMOCK-NO-OUTPUT:", &once);
    board.until_outcome(&id, 1, "no_verdict");
    board.until(&id, "failed");
    // It says itself that it failed.
    let id = add(board, "coder", "gives up", "MOCK-END: failed", &once);
    let task = board.until_outcome(&id, 1, "completed");
    assert_eq!((&task["status"], &task["attempts"][0]["verdict"]), (&json!("failed"), &json!("failed")));
    // An agent that the Gateway does not know.
    let id = add(board, "nobody", "for nobody", "", &once);
    let task = board.until(&id, "failed");
    assert_eq!(task["attempts"][0]["reason"], "bad_config", "{task:#}");
    // A wrong token: the agent is held back or paused, the attempt does not count.
    let id = add(board, "stranger", "wrong token", "", &json!({}));
    let task = board.until_that(&id, "paused or held back", |t| {
        waits_for(t, "agent_paused") || waits_for(t, "agent_held_back")
    });
    assert_eq!(task["status"], "pending");
    for attempt in task["attempts"].as_array().unwrap() {
        assert_eq!(attempt["reason"], "auth_failed", "{task:#}");
    }
    board.ok(&["task", "cancel", &id]);
}

fn cancel(board: &Board) {
    let id = add(board, "coder", "cancelled", &slow(board, "cancel", 60), &json!({}));
    wait_for("the command to run", || (marks(board, "cancel") == ["begin"]).then_some(()));
    board.ok(&["task", "cancel", &id]);
    let task = board.until_outcome(&id, 1, "cancelled");
    assert_eq!(task["status"], "cancelled");
    assert_eq!(marks(board, "cancel"), ["begin"]);
    wait_for("its command to be gone", || sleeping(60).is_empty().then_some(()));
}

/// Processes `sleep SECONDS` of this machine.
fn sleeping(seconds: u32) -> Vec<u32> {
    let wanted = format!("sleep\0{seconds}\0");
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|e| fs::read(e.path().join("cmdline")).is_ok_and(|l| l == wanted.as_bytes()))
        .filter_map(|e| e.file_name().to_string_lossy().parse().ok())
        .collect()
}

fn killed_with_the_gateway_up(board: &Board) {
    let id = add(board, "coder", "shot", &slow(board, "up", 8), &json!({ "max_attempts": 2 }));
    wait_for("the command to run", || (marks(board, "up") == ["begin"]).then_some(()));
    kill(cli_of(board), 9);
    let task = board.until_outcome(&id, 1, "crashed");
    assert_eq!(task["attempts"][0]["signal"], 9);
    // The abort was confirmed before the close: the first command never comes to its end.
    board.until(&id, "review");
    let task = board.until_outcome(&id, 2, "completed");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(marks(board, "up"), ["begin", "begin", "end"]);
    assert!(task["attempts"][0]["completed_at"].as_str() <= task["attempts"][1]["started_at"].as_str());
}

fn killed_with_the_gateway_down(board: &Board, claw: &Claw) {
    let id = add(board, "coder", "shot in the dark", &slow(board, "down", 8), &json!({ "max_attempts": 2 }));
    wait_for("the command to run", || (marks(board, "down") == ["begin"]).then_some(()));
    let cli = cli_of(board);
    kill(cli, 19);
    claw.gateway("kill");
    kill(cli, 9);
    let task = board.until_that(&id, "waiting for the Gateway", |t| waits_for(t, "gateway"));
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "no second attempt: {task:#}");
    assert!(task["attempts"][0]["outcome"].is_null());
    claw.gateway("gateway");
    board.until(&id, "review");
    let task = board.until_outcome(&id, 2, "completed");
    assert_eq!(task["attempts"][0]["outcome"], "crashed");
    assert_eq!(marks(board, "down"), ["begin", "begin", "end"]);
}

fn gateway_lost(board: &Board, claw: &Claw) {
    let id = add(board, "coder", "lost Gateway", &slow(board, "lost", 8), &json!({ "max_attempts": 2 }));
    wait_for("the command to run", || (marks(board, "lost") == ["begin"]).then_some(()));
    claw.gateway("kill");
    let task = board.until_that(&id, "waiting for the Gateway", |t| waits_for(t, "gateway"));
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "no second attempt: {task:#}");
    // While it is down, nothing else is burnt on it either.
    let other = add(board, "coder", "waits", "", &json!({}));
    claw.gateway("gateway");
    board.until(&id, "review");
    let task = board.until_outcome(&id, 2, "completed");
    assert_eq!(task["attempts"][0]["reason"], "gateway_lost", "{task:#}");
    assert_eq!(marks(board, "lost"), ["begin", "begin", "end"]);
    let task = board.until(&other, "review");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
    board.until_outcome(&other, 1, "completed");
}
