//! Hooks of a real board: what a crash does not take from them, and the word that nothing is left to do.

use serde_json::{Value, json};

use crate::support::{Setup, WORKING, wait_for};

fn with_hook(setup: Setup, on: &str, script: &str) -> Setup {
    let mut setup = setup;
    setup.config += &format!("[[hooks]]\non = [{on}]\nrun = [\"bash\", \"./hook.sh\"]\n");
    setup.scripts.push(("hook.sh".into(), script.to_owned()));
    setup
}

/// The first run is stuck when everything is cut off; what was committed meanwhile is run for after it.
#[test]
fn what_matched_before_a_crash_is_run_for_after_it() {
    let script = format!("{WORKING}mozi output add --title t --content c\nmozi report review\n");
    let hook = r#"line=$(cat | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["event"]["id"], d["task"]["task_id"], d["attempt"]["attempt_number"])')
echo "$line" >> "$TEST_DIR/begun"
while [ ! -e "$TEST_DIR/go" ]; do sleep 0.05; done
echo "$line" >> "$TEST_DIR/ran"
"#;
    let setup = Setup::agents(&[("worker", &script, "")]);
    let mut board = with_hook(setup, "\"status_changed:review\"", hook).start();
    let first = board.add(&json!({ "title": "one", "agent": "worker" }));
    board.until(&first, "review");
    let begun = board.file("begun");
    let second = board.add(&json!({ "title": "two", "agent": "worker" }));
    board.until(&second, "review");
    board.down(9);
    assert_eq!(board.file("begun"), begun, "the second waits for the first");
    std::fs::write(board.path("go"), "").unwrap();
    board.up();
    let ran = wait_for("both to be run for", || {
        let text = std::fs::read_to_string(board.path("ran")).ok()?;
        (text.lines().any(|l| l.contains(&format!(" {second} 1")))).then_some(text)
    });
    assert!(ran.starts_with(&begun), "what was cut short is run for again: {ran}");
    board.finish();
}

#[test]
fn whoever_wants_to_know_hears_once_that_nothing_is_left_to_do() {
    let script = format!("{WORKING}mozi output add --title t --content c\nmozi report review\n");
    let hook = "cat > \"$TEST_DIR/idle.tmp\"; echo >> \"$TEST_DIR/idle.tmp\"\nmv \"$TEST_DIR/idle.tmp\" \"$TEST_DIR/idle\"; echo x >> \"$TEST_DIR/count\"\n";
    let board = with_hook(Setup::agents(&[("worker", &script, "")]), "\"idle\"", hook).start();
    let first = board.add(&json!({ "title": "one", "agent": "worker" }));
    let second = board.add(&json!({ "title": "two", "agent": "worker", "depends_on": [{ "task_id": first, "until": "review" }] }));
    board.until(&second, "review");
    let told: Value = serde_json::from_str(&board.file("idle")).unwrap();
    assert_eq!((&told["event"]["event_type"], &told["task"]), (&json!("idle"), &Value::Null));
    let detail = json!({ "review": 2, "blocked": 0, "pending": 0, "failed": 0 });
    assert_eq!(told["event"]["detail"], detail);
    board.status(&first, &json!({ "status": "done" }));
    board.status(&second, &json!({ "status": "pending", "detail": "once more" }));
    wait_for("a second time", || {
        (std::fs::read_to_string(board.path("count")).ok()?.lines().count() == 2).then_some(())
    });
    board.finish();
}
