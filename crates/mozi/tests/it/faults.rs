//! Agents that misbehave, and processes that are killed: nothing is left behind, and the outcome is right.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Setup, alive, kill, marked, start_time, supervisor_of, wait_for};

fn once() -> Value {
    json!({ "max_attempts": 1, "backoff_initial": "10ms", "backoff_max": "10ms" })
}

/// Children in their own sessions and groups, one with an empty environment; all ignore SIGTERM.
const FAMILY: &str = r#"cat > /dev/null
trap '' TERM HUP INT
setsid nohup bash -c 'trap "" TERM HUP; echo $$ >> "$TEST_DIR/pids"; while :; do sleep 100; done' > /dev/null 2>&1 &
(setsid bash -c 'trap "" TERM; (sleep 1000 & echo $! >> "$TEST_DIR/pids"; wait) & sleep 1000' &) > /dev/null 2>&1
env -i TEST_DIR="$TEST_DIR" setsid "$BASH" -c 'trap "" TERM; echo $$ >> "$TEST_DIR/pids"; exec sleep 1000' > /dev/null 2>&1 &
until [ "$(wc -l < "$TEST_DIR/pids" 2>/dev/null || echo 0)" -ge 3 ]; do sleep 0.02; done
echo "$$" >> "$TEST_DIR/pids"
mozi report working
echo ready > "$TEST_DIR/ready"
while :; do sleep 100; done
"#;

fn family(board: &crate::support::Board) -> Vec<(u32, String)> {
    board.file("ready");
    let text = fs::read_to_string(board.path("pids")).unwrap();
    let pids: Vec<u32> = text.lines().map(|l| l.parse().unwrap()).collect();
    assert_eq!(pids.len(), 4, "{text}");
    pids.into_iter().map(|p| (p, start_time(p))).collect()
}

/// Waits until the supervisor has noted in which process sessions its descendants are: the only mark on one with an
/// empty environment and no open pipe. It looks a quarter of a second after the start, then every few seconds.
#[track_caller]
fn noted(board: &crate::support::Board, session: &str, family: &[(u32, String)]) {
    let file = board.data().join("sessions").join(session).join("status.json");
    let sids: Vec<String> = family
        .iter()
        .map(|(pid, _)| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().to_owned()
        })
        .collect();
    wait_for("all process sessions to be noted", || {
        let text = String::from_utf8_lossy(&fs::read(&file).ok()?).into_owned();
        sids.iter().all(|sid| text.contains(&format!("\"pid\":{sid},"))).then_some(())
    });
}

#[track_caller]
fn gone(family: &[(u32, String)]) {
    let left: Vec<_> = family.iter().filter(|(p, born)| alive(*p) && start_time(*p) == *born).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_deadline_ends_the_whole_family() {
    let board = Setup::agents(&[("a", FAMILY, "grace = \"300ms\"")]).settings(once()).start();
    let id = board.add(&json!({ "title": "too long", "agent": "a", "timeout_seconds": 2 }));
    let family = family(&board);
    let task = board.until_outcome(&id, 1, "timed_out");
    gone(&family);
    assert_eq!(task["status"], "failed");
    assert_eq!(task["attempts"][0]["reason"], "deadline");
    board.finish();
}

#[test]
fn as_an_ordinary_user_too() {
    let mut setup = Setup::agents(&[("a", FAMILY, "grace = \"300ms\"")]).settings(once());
    setup.reuid = true;
    let board = setup.start();
    let id = board.add(&json!({ "title": "too long", "agent": "a", "timeout_seconds": 2 }));
    let family = family(&board);
    board.until_outcome(&id, 1, "timed_out");
    gone(&family);
    board.finish();
}

#[test]
fn kill_9_of_the_supervisor() {
    let board = Setup::agents(&[("a", FAMILY, "")]).settings(once()).start();
    let id = board.add(&json!({ "title": "orphaned", "agent": "a" }));
    let family = family(&board);
    let session = board.task(&id)["attempts"][0]["session_id"].as_str().unwrap().to_owned();
    noted(&board, &session, &family);
    kill(wait_for("its supervisor", || supervisor_of(&session)), 9);
    let task = board.until_outcome(&id, 1, "lost");
    gone(&family);
    assert_eq!(task["attempts"][0]["reason"], "supervisor_lost");
    board.finish();
}

#[test]
fn kill_9_of_the_supervisor_and_of_serve() {
    let mut board = Setup::agents(&[("a", FAMILY, "")]).settings(once()).start();
    let id = board.add(&json!({ "title": "orphaned", "agent": "a" }));
    let family = family(&board);
    let session = board.task(&id)["attempts"][0]["session_id"].as_str().unwrap().to_owned();
    let supervisor = wait_for("its supervisor", || supervisor_of(&session));
    noted(&board, &session, &family);
    board.down(9);
    kill(supervisor, 9);
    board.up();
    board.until_outcome(&id, 1, "lost");
    gone(&family);
    board.finish();
}

#[test]
fn kill_9_of_the_agent() {
    let board = Setup::agents(&[("a", FAMILY, "")]).settings(once()).start();
    let id = board.add(&json!({ "title": "shot", "agent": "a" }));
    let family = family(&board);
    kill(family[3].0, 9);
    let task = board.until_outcome(&id, 1, "crashed");
    gone(&family);
    assert_eq!(task["attempts"][0]["signal"], 9);
    assert_eq!(task["attempts"][0]["reason"], "killed_by_signal");
    board.finish();
}

#[test]
fn what_an_agent_leaves_behind_when_it_ends_well() {
    let script = "cat > /dev/null; mozi report working; setsid nohup sleep 1000 > /dev/null 2>&1 &\n\
                  mozi output add --title r --content x; mozi report review";
    let board = Setup::agents(&[("a", script, "")]).start();
    let id = board.add(&json!({ "title": "tidy", "agent": "a" }));
    board.until_outcome(&id, 1, "completed");
    let left: Vec<_> = marked(&board.mark).into_iter().filter(|(_, line)| line.contains("sleep")).collect();
    assert!(left.is_empty(), "{left:?}");
    board.finish();
}

#[test]
fn a_log_cannot_be_emptied_by_its_agent() {
    let script = "cat > /dev/null; echo first >&2; echo second > /dev/stderr; echo third >&2; mozi report failed --detail x";
    let board = Setup::agents(&[("a", script, "")]).start();
    let id = board.add(&json!({ "title": "loud", "agent": "a" }));
    board.until_outcome(&id, 1, "completed");
    let log = board.api(
        "GET",
        &format!("/api/projects/default/tasks/{id}/attempts/1/log?stream=stderr"),
        &Value::Null,
    );
    assert_eq!(log.body, json!("first\nsecond\nthird\n"));
    assert_eq!(board.ok(&["logs", &id, "--stderr"]), "first\nsecond\nthird\n");
    board.finish();
}

#[test]
fn a_flood_is_bounded() {
    let script = "cat > /dev/null; mozi report working; head -c 700000000 /dev/zero; echo the end; mozi report failed --detail x";
    let board =
        Setup::agents(&[("a", script, ""), ("b", script, "log_overflow = \"end\"")]).settings(once()).start();
    let dropped = board.add(&json!({ "title": "flood", "agent": "a" }));
    let ended = board.add(&json!({ "title": "flood", "agent": "b" }));
    let task = board.until_outcome(&dropped, 1, "completed");
    assert!(task["attempts"][0]["log"]["stdout_bytes"].as_u64().unwrap() > 700_000_000, "{task:#}");
    let session = task["attempts"][0]["session_id"].as_str().unwrap();
    let file = board.data().join("sessions").join(session).join("stdout.log");
    let on_disk = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&file).unwrap()) * 512;
    assert!(on_disk <= 300 << 20, "{on_disk} bytes on disk");
    let task = board.until_outcome(&ended, 1, "over_budget");
    assert_eq!(task["status"], "blocked");
    assert_eq!(task["attempts"][0]["reason"], "output_limit");
    board.finish();
}

#[test]
fn a_silent_agent_is_ended_and_repeated() {
    let script = "cat > /dev/null; mozi report working; [ \"$MOZI_ATTEMPT\" = 2 ] && { mozi report failed --detail enough; exit; }; sleep 1000";
    let mut settings = once();
    settings["max_attempts"] = json!(3);
    let board = Setup::agents(&[("a", script, "stall_timeout = \"1s\"")]).settings(settings).start();
    let id = board.add(&json!({ "title": "silent", "agent": "a" }));
    let task = board.until(&id, "failed");
    assert_eq!(task["attempts"][0]["outcome"], "stalled");
    assert_eq!(task["attempts"][1]["verdict"], "failed");
    board.finish();
}

#[test]
fn a_session_directory_deleted_by_hand_is_no_second_start() {
    let script = "cat > /dev/null; mozi report working; echo $$ >> \"$TEST_DIR/pids\"; sleep 1000";
    let mut board = Setup::agents(&[("a", script, "")]).settings(once()).start();
    let id = board.add(&json!({ "title": "robbed", "agent": "a" }));
    let pid: u32 = board.file("pids").parse().unwrap();
    let session = board.task(&id)["attempts"][0]["session_id"].as_str().unwrap().to_owned();
    board.down(9);
    fs::remove_dir_all(board.data().join("sessions").join(&session)).unwrap();
    board.up();
    // The supervisor is alive and cannot be reached by its directory: the attempt is closed only after both are gone.
    let task = board.until_outcome(&id, 1, "lost");
    assert!(!alive(pid), "closed although its agent is alive: {task:#}");
    assert!(supervisor_of(&session).is_none(), "closed although its supervisor is alive: {task:#}");
    assert_eq!(fs::read_to_string(board.path("pids")).unwrap().lines().count(), 1, "started twice");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
    board.finish();
}
