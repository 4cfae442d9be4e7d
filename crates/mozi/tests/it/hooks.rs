//! Hooks: run for what was committed, whatever happens to the board in between.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Board, Setup, WORKING, alive, start_time, wait_for};

/// A board with one hook, which has its place already.
fn board(on: &str, hook: &str) -> Board {
    let work = format!("{WORKING}mozi output add --title t --type data --content c\nmozi report review\n");
    let mut setup = Setup::agents(&[("worker", &work, "")]);
    setup.config += &format!("[[hooks]]\non = [\"{on}\"]\nrun = [\"bash\", \"hook.sh\"]\n");
    setup.scripts.push(("hook.sh".to_owned(), hook.to_owned()));
    let board = setup.start();
    wait_for("the hook to have a place", || place(&board));
    board
}

fn place(board: &Board) -> Option<String> {
    let kept: Value = serde_json::from_slice(&fs::read(board.data().join("hooks.json")).ok()?).ok()?;
    kept["places"].as_object()?.values().next()?.as_str().map(str::to_owned)
}

/// What the hook was given so far.
fn seen(board: &Board) -> Vec<Value> {
    let text = fs::read_to_string(board.path("seen")).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|l| l.ends_with('\n'))
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[track_caller]
fn until_seen(board: &Board, count: usize) -> Vec<Value> {
    wait_for("the hook to be run", || Some(seen(board)).filter(|s| s.len() >= count))
}

fn tasks(seen: &[Value]) -> Vec<&str> {
    seen.iter().map(|s| s["task"]["task_id"].as_str().unwrap()).collect()
}

#[test]
fn what_was_committed_before_a_crash_is_run_for_after_it() {
    let hook = "echo $$ >> \"$TEST_DIR/pids\"\ncat >> \"$TEST_DIR/seen\"; echo >> \"$TEST_DIR/seen\"\n\
                until [ -e \"$TEST_DIR/go\" ]; do sleep 0.05; done\n";
    let mut board = board("task_created", hook);
    let first = board.add(&json!({ "title": "one", "held": true }));
    until_seen(&board, 1);
    // The hook is in the middle of the first; of the second the board has said that it is there.
    let second = board.add(&json!({ "title": "two", "held": true }));
    board.down(9);
    let left: u32 = fs::read_to_string(board.path("pids")).unwrap().trim().parse().unwrap();
    let born = start_time(left);
    board.up();
    until_seen(&board, 2);
    assert!(!alive(left) || start_time(left) != born, "what the crash has left runs beside it");
    fs::write(board.path("go"), "").unwrap();
    let seen = until_seen(&board, 3);
    assert_eq!(tasks(&seen), [&first, &first, &second]);
    assert_eq!(seen[0]["event"], seen[1]["event"], "the same event, to be known by its id");
    board.finish();
}

#[test]
fn a_hook_that_was_away_for_longer_than_events_are_kept_goes_on() {
    let mut board = board("task_created", "cat >> \"$TEST_DIR/seen\"; echo >> \"$TEST_DIR/seen\"\n");
    let old = place(&board).unwrap();
    let file = board.data().join("hooks.json");
    let kept = fs::read(&file).unwrap();
    let done = board.add(&json!({ "title": "one", "agent": "worker" }));
    board.until_outcome(&done, 1, "completed");
    board.status(&done, &json!({ "status": "done" }));
    until_seen(&board, 1);
    let config = fs::read_to_string(board.path("mozi.toml")).unwrap();
    fs::write(board.path("mozi.toml"), config + "[retention]\nevents = \"1ms\"\n").unwrap();
    board.down(15);
    board.up();
    wait_for("the events behind its place to be gone", || {
        (board.api("GET", &format!("/api/events?after={old}"), &Value::Null).status == 410).then_some(())
    });
    board.down(15);
    // As if the hook had not been run since then.
    fs::write(&file, kept).unwrap();
    board.up();
    wait_for("a word on what is gone", || {
        let events = board.get("/api/events?limit=500");
        let behind = |e: &Value| e["detail"]["code"] == "hooks_behind";
        events["items"].as_array()?.iter().any(behind).then_some(())
    });
    wait_for("another place", || place(&board).filter(|p| *p != old));
    let next = board.add(&json!({ "title": "two", "held": true }));
    let seen = wait_for("the next run", || Some(seen(&board)).filter(|s| tasks(s).contains(&next.as_str())));
    assert_eq!(tasks(&seen).last(), Some(&next.as_str()));
    board.finish();
}

#[test]
fn a_board_that_has_come_to_rest_says_so_once() {
    let board = board("idle", "cat >> \"$TEST_DIR/seen\"; echo >> \"$TEST_DIR/seen\"\n");
    let id = board.add(&json!({ "title": "one", "agent": "worker" }));
    board.until(&id, "review");
    let first = until_seen(&board, 1);
    assert_eq!((&first[0]["event"]["event_type"], &first[0]["task"]), (&json!("idle"), &Value::Null));
    assert_eq!(first[0]["event"]["detail"]["review"], 1, "{}", first[0]);
    let id = board.add(&json!({ "title": "two", "agent": "worker" }));
    board.until(&id, "review");
    let second = until_seen(&board, 2);
    assert_eq!((second.len(), &second[1]["event"]["detail"]["review"]), (2, &json!(2)));
    board.finish();
}
