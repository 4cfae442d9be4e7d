//! Restarts, upgrades and crashes of `serve`: no agent is killed, no report is lost, nothing is doubled.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use crate::support::{Board, Setup, alive, command, kill, start_time, supervisor_of, wait_for};

/// Works until the file `go` is there.
const PATIENT: &str = r#"cat > /dev/null
set -eu
echo "$$ start" >> "$TEST_DIR/starts"
mozi report working
echo "$$" > "$TEST_DIR/pid"
until [ -e "$TEST_DIR/go" ]; do sleep 0.05; done
mozi output add --title result --content done
mozi report review
"#;

fn working(board: &Board) -> (String, u32, String) {
    let id = board.add(&json!({ "title": "patient", "agent": "a" }));
    let pid: u32 = board.file("pid").parse().unwrap();
    let born = start_time(pid);
    (id, pid, born)
}

fn go(board: &Board) {
    fs::write(board.path("go"), "").unwrap();
}

#[test]
fn an_agent_survives_every_kind_of_end_of_serve() {
    for signal in [15, 2, 9] {
        let mut board = Setup::agents(&[("a", PATIENT, "")]).start();
        let (id, pid, born) = working(&board);
        board.down(signal);
        assert!(alive(pid), "signal {signal} to serve must not end the agent");
        board.up();
        assert_eq!(start_time(pid), born, "the same process, not another one");
        let sessions = board.get("/api/sessions?active=true");
        assert_eq!(sessions["items"].as_array().unwrap().len(), 1, "{sessions:#}");
        go(&board);
        board.until(&id, "review");
        let task = board.until_outcome(&id, 1, "completed");
        assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(fs::read_to_string(board.path("starts")).unwrap().lines().count(), 1);
        board.finish();
    }
}

#[test]
fn the_end_of_an_agent_is_recorded_although_nobody_was_there() {
    let mut board = Setup::agents(&[("a", PATIENT, "")]).start();
    let (id, pid, _) = working(&board);
    board.down(9);
    go(&board);
    wait_for("the agent to end", || (!alive(pid)).then_some(()));
    board.up();
    let task = board.until_outcome(&id, 1, "completed");
    assert_eq!(task["status"], "review");
    assert_eq!(task["outputs"].as_array().unwrap().len(), 1);
    board.finish();
}

#[test]
fn reports_made_while_the_board_is_down_are_delivered_in_order_and_once() {
    let script = r#"cat > /dev/null
set -eu
mozi report working
echo "$$" > "$TEST_DIR/pid"
until [ -e "$TEST_DIR/go" ]; do sleep 0.05; done
for i in 1 2 3 4; do mozi comment "$MOZI_TASK" "remark $i"; done
echo content > file.txt
mozi output add --title result --file file.txt
echo changed > file.txt
mozi report review > "$TEST_DIR/said" 2>&1
echo end >> "$TEST_DIR/said"
"#;
    let mut board = Setup::agents(&[("a", script, "")]).start();
    let (id, pid, _) = working(&board);
    board.down(9);
    go(&board);
    wait_for("the agent to end", || (!alive(pid)).then_some(()));
    assert!(board.file("said").len() > "end".len(), "it says that the report is kept");
    board.up();
    let task = board.until_outcome(&id, 1, "completed");
    assert_eq!(task["status"], "review");
    let remarks: Vec<_> =
        task["comments"].as_array().unwrap().iter().map(|c| c["body"].as_str().unwrap()).collect();
    assert_eq!(remarks, ["remark 1", "remark 2", "remark 3", "remark 4"]);
    assert_eq!(task["outputs"].as_array().unwrap().len(), 1);
    let content =
        board.api("GET", &format!("/api/projects/default/tasks/{id}/outputs/1/content"), &Value::Null);
    assert_eq!(content.body, json!("content\n"), "what it was when it was added");
    board.finish();
}

#[test]
fn a_new_binary_over_the_old_one_while_an_agent_runs() {
    let mut setup = Setup::agents(&[("a", PATIENT, "")]);
    setup.own_binary = true;
    let mut board = setup.start();
    let (id, pid, _) = working(&board);
    let new = board.path("mozi.new");
    fs::copy(&board.binary, &new).unwrap();
    fs::rename(&new, &board.binary).unwrap();
    // With the old serve still up, and with the new one.
    let second = board.add(&json!({ "title": "started by the old serve", "agent": "a" }));
    wait_for("a second start", || {
        (fs::read_to_string(board.path("starts")).unwrap_or_default().lines().count() == 2).then_some(())
    });
    board.down(15);
    board.up();
    assert!(alive(pid));
    go(&board);
    board.until(&id, "review");
    board.until(&second, "review");
    board.until_outcome(&id, 1, "completed");
    board.until_outcome(&second, 1, "completed");
    board.finish();
}

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let script =
        "cat > /dev/null; mozi report working; mozi output add --title r --content x; mozi report review";
    let mut board = Setup::agents(&[("a", script, "")]).settings(json!({ "review": "none" })).start();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        for i in 0..12 {
            let id = format!("t-{round}-{i}");
            acknowledged.push(board.add(&json!({ "title": "x", "agent": "a", "task_id": id })));
        }
        board.down(9);
        board.up();
    }
    for id in &acknowledged {
        let task = board.until(id, "done");
        let done = task["attempts"].as_array().unwrap().iter().filter(|a| a["verdict"] == "review").count();
        assert_eq!(done, 1, "one attempt gave the verdict: {task:#}");
        let ids: Vec<_> =
            task["events"].as_array().unwrap().iter().map(|e| e["id"].as_u64().unwrap()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    }
    let page = board.get("/api/projects/default/events?after=0&limit=500");
    let ids: Vec<_> = page["items"].as_array().unwrap().iter().map(|e| e["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "no gap");
    board.finish();
}

#[test]
fn a_second_serve_is_kept_off_and_says_who_is_there() {
    let board = Setup::agents(&[]).start();
    let second = board.mozi(&["serve", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    let pid = board.serve.as_ref().unwrap().id().to_string();
    assert!(said.contains(&pid), "{said}");
    let elsewhere = board.path("other");
    let listen = format!("127.0.0.1:{}", board.port);
    let third = board.mozi(&["serve", "--data", elsewhere.to_str().unwrap(), "--listen", &listen]);
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert_eq!(third.status.code(), Some(1), "{said}");
    assert!(said.contains(&board.port.to_string()) && said.contains("--listen"), "{said}");
    board.finish();
}

/// A library that stops every supervisor before its first instruction.
const HOLD: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void hold(void) {
  char line[512] = {0}, *second;
  FILE *f = fopen("/proc/self/cmdline", "r");
  if (!f) return;
  size_t n = fread(line, 1, sizeof line - 1, f);
  fclose(f);
  second = line + strlen(line) + 1;
  if (second < line + n && strcmp(second, "supervise") == 0 && access(HELD, F_OK) != 0) raise(SIGSTOP);
}
"#;

#[test]
fn a_supervisor_held_before_its_first_instruction_while_serve_is_killed_and_started_anew() {
    let library = tempfile::tempdir().unwrap();
    let (source, object) = (library.path().join("hold.c"), library.path().join("hold.so"));
    let free = library.path().join("free");
    fs::write(&source, HOLD.replace("HELD", &format!("{:?}", free.to_str().unwrap()))).unwrap();
    let compiled = command("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&object)
        .arg(&source)
        .stderr(Stdio::null())
        .status();
    if !compiled.is_ok_and(|s| s.success()) {
        eprintln!("skipped: no C compiler to build the library that holds the supervisor");
        return;
    }
    let mut setup = Setup::agents(&[("a", PATIENT, "")]);
    setup.env = vec![("LD_PRELOAD".into(), object.to_str().unwrap().into())];
    let mut board = setup.start();
    let id = board.add(&json!({ "title": "held", "agent": "a" }));
    let task = board.until_that(&id, "claimed", |t| t["status"] == "claimed");
    let session = task["attempts"][0]["session_id"].as_str().unwrap().to_owned();
    let supervisor = wait_for("the supervisor", || supervisor_of(&session));
    wait_for("it to be stopped", || stopped(supervisor).then_some(()));
    board.down(9);
    board.up();
    // Its lock is held: nobody may close the attempt, nobody may start another one.
    wait_for("the new serve to have looked", || {
        let s = board.get("/api/sessions?active=true");
        (s["items"].as_array().unwrap().len() == 1).then_some(())
    });
    assert!(!board.path("starts").exists(), "no agent has run yet");
    assert_eq!(board.task(&id)["attempts"].as_array().unwrap().len(), 1);
    fs::write(&free, "").unwrap();
    go(&board);
    kill(supervisor, 18);
    board.until(&id, "review");
    let task = board.until_outcome(&id, 1, "completed");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task:#}");
    assert_eq!(fs::read_to_string(board.path("starts")).unwrap().lines().count(), 1, "one agent, not two");
    board.finish();
}

fn stopped(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| s.rsplit(')').next().unwrap_or_default().trim_start().starts_with('T'))
}
