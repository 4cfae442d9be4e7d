//! Keeping house: copies before a change of the database's format, backups, what is kept how long.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::{Board, Setup, alive, command, request, wait_for};

const VERSION_1: &[u8] = include_bytes!("../../../mozi-store/tests/fixtures/v1.db");

/// A board that does not run, with the database of an earlier version in its data folder.
fn of_version_1() -> Board {
    let mut board = Setup::agents(&[]).start();
    board.down(15);
    for name in ["mozi.db", "mozi.db-wal", "mozi.db-shm"] {
        drop(fs::remove_file(board.data().join(name)));
    }
    fs::write(board.data().join("mozi.db"), VERSION_1).unwrap();
    board
}

fn backups(board: &Board) -> Vec<PathBuf> {
    let entries = fs::read_dir(board.data().join("backups")).into_iter().flatten();
    entries.map(|e| e.unwrap().path()).collect()
}

#[test]
fn an_older_database_is_copied_before_it_is_changed() {
    let mut board = of_version_1();
    board.up();
    let copies = backups(&board);
    let [copy] = copies.as_slice() else { panic!("{copies:?}") };
    assert!(board.log().contains(&copy.display().to_string()), "{}", board.log());
    assert_eq!(format_of(copy), 1);
    let tasks = board.get("/api/projects/default/tasks");
    assert_eq!(tasks["items"].as_array().unwrap().len(), 4, "{tasks:#}");
    assert_eq!(board.get("/api/projects/app/tasks/1")["status"], "done");
    board.down(15);
    board.up();
    assert_eq!(backups(&board).len(), 1, "nothing is to be changed a second time");
    board.finish();
}

#[test]
fn without_the_copy_nothing_is_changed() {
    let mut board = of_version_1();
    fs::write(board.data().join("backups"), "in the way").unwrap();
    let out = board.mozi(&["serve", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("without a copy of it") && said.contains("make room"), "{said}");
    assert_eq!(fs::read(board.data().join("mozi.db")).unwrap(), VERSION_1, "not a byte of it was changed");
    fs::remove_file(board.data().join("backups")).unwrap();
    board.up();
    assert_eq!(backups(&board).len(), 1);
    board.finish();
}

/// The number that `SQLite` keeps for its user, from the header of the file.
fn format_of(path: &std::path::Path) -> u32 {
    let bytes = fs::read(path).unwrap();
    u32::from_be_bytes(bytes[60..64].try_into().unwrap())
}

// --- backups ------------------------------------------------------------------------------------------------------

/// Delivers a small and a large output, and is reviewed by a person.
const WORKER: &str = r#"cat > /dev/null
mozi report working
mozi output add --title Small --type data --content "a small one"
head -c 100000 /dev/zero | tr '\0' "$MOZI_TASK" > big.txt
mozi output add --title Large --type data --file big.txt
mozi comment "两半都好"
echo "what it printed"
mozi report review
"#;

const SLEEPER: &str = "cat > /dev/null; mozi report working; echo $$ > \"$TEST_DIR/sleeper\"; sleep 1000";

/// A board with a task that is done and one that is at work.
fn busy() -> (Board, String, String) {
    let agents = [("worker", WORKER, "grace = \"200ms\""), ("sleeper", SLEEPER, "")];
    let board = Setup::agents(&agents).settings(json!({ "backoff_initial": "10ms" })).start();
    let done = board.add(&json!({ "title": "一份报告", "agent": "worker" }));
    board.until_outcome(&done, 1, "completed");
    board.status(&done, &json!({ "status": "done" }));
    let live = board.add(&json!({ "title": "at work", "agent": "sleeper" }));
    board.file("sleeper");
    (board, done, live)
}

/// Ends what is at work, and looks that nothing is left.
fn end(board: Board, live: &str) {
    board.ok(&["task", "cancel", live]);
    board.finish();
}

#[track_caller]
fn refused(board: &Board, args: &[&str], text: &str) {
    let out = board.mozi(args);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{args:?}: {said}");
    assert!(said.contains(text), "{args:?}: {said}");
}

fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

/// Everything of a task but what a restart of its attempt changes.
fn told(task: &Value) -> Value {
    let mut task = task.clone();
    for key in ["events", "waiting_for"] {
        task.as_object_mut().unwrap().remove(key);
    }
    for attempt in task["attempts"].as_array_mut().unwrap() {
        attempt.as_object_mut().unwrap().remove("log");
    }
    task
}

#[test]
fn a_backup_of_a_board_at_work_is_restored_elsewhere() {
    let (mut board, done, live) = busy();
    fs::create_dir_all(board.path("prompts/default")).unwrap();
    fs::write(board.path("prompts/default/executor.md"), "{{ task.title }}").unwrap();
    let file = board.path("saved.tar");
    let file = file.to_str().unwrap();
    let said = board.ok(&["backup", file]);
    assert!(said.contains("1 project, 2 tasks, 2 attempts, 2 outputs"), "{said}");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    refused(&board, &["backup", file], "is there already");
    board.ok(&["backup", file, "--force"]);
    refused(&board, &["backup", board.dir.path().to_str().unwrap()], "is a folder");
    refused(&board, &["backup", "/nowhere/at/all.tar"], "no backup was made");
    assert_eq!(names(&board.data().join("backups")), Vec::<String>::new(), "no copy is left");
    let events = board.get("/api/events?limit=500");
    let made =
        events["items"].as_array().unwrap().iter().filter(|e| e["event_type"] == "backup_made").count();
    assert_eq!(made, 2);
    let verified = board.ok(&["restore", file, "--verify", "--json"]);
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!((&verified["whole"], &verified["manifest"]["open_attempts"]), (&json!(true), &json!(1)));
    // What came after it is not in it.
    board.add(&json!({ "title": "later", "held": true }));

    let (before, saved) = (board.task(&done), board.task(&live));
    refused(&board, &["restore", file], "not empty");
    let elsewhere = board.path("elsewhere");
    let to = elsewhere.to_str().unwrap();
    let said = board.ok(&["restore", file, "--data", to]);
    assert!(said.contains("kept") && said.contains("were at work"), "{said}");
    assert_eq!(names(&elsewhere), ["blobs", "lock", "mozi.db"]);
    refused(&board, &["restore", file, "--data", to], "not empty");

    // The old board ends, its agent goes on. The restored one must not have a second one at the same task, and does not
    // end what is another data folder's.
    let pid: u32 = fs::read_to_string(board.path("sleeper")).unwrap().trim().parse().unwrap();
    board.down(15);
    assert!(alive(pid), "agents go on");
    let old = board.data();
    fs::rename(&old, board.path("old")).unwrap();
    fs::rename(&elsewhere, &old).unwrap();
    fs::remove_file(board.path("sleeper")).unwrap();
    board.up();
    assert_eq!(told(&board.task(&done)), told(&before));
    assert_eq!(board.api("GET", "/api/projects/default/tasks/3", &Value::Null).status, 404);
    let content =
        board.api("GET", &format!("/api/projects/default/tasks/{done}/outputs/2/content"), &Value::Null);
    assert_eq!(content.body.as_str().unwrap().len(), 100_000);
    assert_eq!(saved["attempts"][0]["outcome"], Value::Null);
    let task = board.until_that(&live, "held up", |t| t["waiting_for"][0]["held_up"].is_object());
    let detail = task["waiting_for"][0]["held_up"]["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("another data folder, {}/old", board.dir.path().display())), "{detail}");
    assert!(alive(pid), "it is not ours");
    // The folder of before is lost: now it is ours.
    fs::remove_dir_all(board.path("old")).unwrap();
    // Its first attempt is closed only when nothing of it lives any more; then there is a second one.
    let task = board.until_that(&live, "at work again", |t| t["attempts"][1].is_object());
    assert!(!alive(pid), "the agent of before is gone before the next one begins");
    assert_eq!(task["attempts"][0]["outcome"], "lost", "{task:#}");
    board.file("sleeper");
    let doctor = board.mozi(&["doctor", "--all-outputs"]);
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    end(board, &live);
}

#[test]
fn what_is_not_whole_is_neither_verified_nor_restored() {
    let mut board = Setup::agents(&[]).start();
    board.add(&json!({ "title": "one" }));
    board.down(15);
    let file = board.path("saved.tar");
    // Without a server the command takes the lock itself, and tells the board.
    board.ok(&["backup", file.to_str().unwrap()]);
    let whole = fs::read(&file).unwrap();
    let bad = board.path("bad.tar");
    let to = board.path("new");
    let bad_name = bad.to_str().unwrap();
    for (what, bytes) in [
        ("incomplete", whole[..whole.len() / 2].to_vec()),
        ("no backup", b"not a tar file".to_vec()),
        ("damaged", {
            let mut bytes = whole.clone();
            let at = bytes.windows(6).position(|w| w == b"SQLite").unwrap() + 3000;
            bytes[at] ^= 1;
            bytes
        }),
    ] {
        fs::write(&bad, bytes).unwrap();
        refused(&board, &["restore", bad_name, "--verify"], what);
        refused(&board, &["restore", bad_name, "--data", to.to_str().unwrap()], what);
        assert!(!to.exists(), "{what}: nothing is left");
    }
    let agent = board.mozi_command(&["restore", file.to_str().unwrap()]).env("MOZI_SESSION_ID", "x").output();
    assert!(String::from_utf8_lossy(&agent.unwrap().stderr).contains("person's decision"));

    // A restore that was killed in the middle is no new board.
    fs::create_dir_all(to.join(".restoring")).unwrap();
    let serve = board.mozi(&["serve", "--data", to.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(String::from_utf8_lossy(&serve.stderr).contains("was broken off"), "{serve:?}");
    board.ok(&["restore", file.to_str().unwrap(), "--data", to.to_str().unwrap()]);
    assert_eq!(names(&to), ["lock", "mozi.db"]);
    board.up();
    let events = board.get("/api/events?limit=500");
    let made =
        events["items"].as_array().unwrap().iter().filter(|e| e["event_type"] == "backup_made").count();
    assert_eq!(made, 1, "the board that did not run was told");
    board.finish();
}

#[test]
fn a_backup_where_there_is_no_room_leaves_nothing() {
    let board = Setup::agents(&[]).start();
    board.add(&json!({ "title": "one" }));
    let small = board.path("small");
    fs::create_dir(&small).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=40k tmpfs '{0}' 2>/dev/null || exit 99
         \"$@\"; code=$?; ls -A '{0}' >&2; exit $code",
        small.display()
    );
    let mut inside = board.mozi_command(&["backup", small.join("b.tar").to_str().unwrap()]);
    let mut unshare = command("unshare");
    unshare.args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    unshare.arg(inside.get_program()).args(inside.get_args());
    for (key, value) in inside.get_envs() {
        match value {
            Some(value) => unshare.env(key, value),
            None => unshare.env_remove(key),
        };
    }
    inside.stdin(std::process::Stdio::null());
    let Ok(out) = unshare.output() else {
        println!("not tested: this machine has no unshare");
        return;
    };
    let said = String::from_utf8_lossy(&out.stderr);
    if out.status.code() == Some(99) || said.contains("unshare:") {
        println!("not tested: mounting is not permitted here");
        return;
    }
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("no space") && said.contains("no backup was made"), "{said}");
    assert!(!said.contains("b.tar\n") && !said.contains(".mozi-backup"), "nothing is left: {said}");
    board.finish();
}

// --- what goes ----------------------------------------------------------------------------------------------------

fn gc(board: &Board, more: &[&str]) -> Value {
    let args: Vec<&str> = ["gc", "--json"].iter().chain(more).copied().collect();
    serde_json::from_str(&board.ok(&args)).unwrap()
}

fn of<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let all = report["removed"].as_array().unwrap();
    all.iter().find(|line| line["kind"] == kind).unwrap_or(&Value::Null)
}

fn set_retention(board: &mut Board, text: &str) {
    let file = board.path("mozi.toml");
    let config = fs::read_to_string(&file).unwrap();
    let own = config.split("[retention]").next().unwrap().to_owned();
    fs::write(&file, format!("{own}[retention]\n{text}\n")).unwrap();
    if board.serve.is_some() {
        board.down(15);
        board.up();
    }
}

#[test]
fn logs_go_by_the_rule_and_the_board_says_so() {
    let (mut board, done, live) = busy();
    let attempt = format!("/api/projects/default/tasks/{done}/attempts/1");
    assert_eq!(of(&gc(&board, &["--dry-run"]), "logs")["count"], 0, "thirty days are not over");
    assert_eq!(board.get(&attempt)["log"]["state"], "stored");
    // A rule that lets nothing stay is applied by the start itself.
    set_retention(&mut board, "logs = \"1ms\"");
    board.until_that(&done, "without its log", |t| t["attempts"][0]["log"]["state"] == "expired");
    let log = board.api("GET", &format!("{attempt}/log"), &Value::Null);
    assert_eq!(log.status, 200, "its last lines are kept with the attempt");
    assert!(log.body.to_string().contains("what it printed"), "{}", log.body);
    let task = board.task(&live);
    assert_eq!(task["attempts"][0]["log"]["state"], "live", "what lives is not touched");
    let session = board.get(&attempt)["session_id"].as_str().unwrap().to_owned();
    let left = names(&board.data().join("sessions").join(session));
    assert!(left.contains(&"exit.json".to_owned()) && left.contains(&"prompt.md".to_owned()), "{left:?}");
    assert!(!left.contains(&"stdout.log".to_owned()), "{left:?}");
    // It is told when the round is over, which is after the first log is gone.
    let kept = wait_for("the word that the house was kept", || {
        let events = board.get("/api/events?limit=500");
        events["items"].as_array()?.iter().find(|e| e["detail"]["code"] == "house_kept").cloned()
    });
    assert_eq!(kept["detail"]["because"], "retention");
    end(board, &live);
}

#[test]
fn events_go_and_whoever_asks_for_them_is_told() {
    let mut board = Setup::agents(&[("worker", WORKER, "grace = \"200ms\"")]).start();
    let done = board.add(&json!({ "title": "one", "agent": "worker" }));
    board.until_outcome(&done, 1, "completed");
    board.status(&done, &json!({ "status": "done" }));
    let before = board.task(&done);
    let waiting = board.add(&json!({ "title": "waits", "held": true }));
    set_retention(&mut board, "events = \"1ms\"");
    board.until_that(&done, "told by a snapshot", |t| t["events"][0]["event_type"] == "task_snapshot");
    assert_eq!(board.history(&waiting), ["task_created"], "what is not finished keeps its history");
    assert_eq!(told(&board.task(&done)), told(&before));
    let page = board.get("/api/projects/default/events?limit=500");
    let ids: Vec<u64> = page["items"].as_array().unwrap().iter().map(|e| e["id"].as_u64().unwrap()).collect();
    assert!(ids[0] > 5 && ids.windows(2).all(|w| w[1] == w[0] + 1), "{ids:?}");
    let gone = board.api("GET", "/api/projects/default/events?after=1", &Value::Null);
    assert_eq!((gone.status, &gone.body["code"]), (410, &json!("events_expired")));
    assert_eq!(gone.body["oldest_id"], ids[0]);
    let oldest = ids[0] - 1;
    let from = board.get(&format!("/api/projects/default/events?after={oldest}&limit=500"));
    assert_eq!(from["items"].as_array().unwrap().len(), ids.len());
    let gone = board.api("GET", "/api/events?after=s1", &Value::Null);
    assert_eq!((gone.status, &gone.body["code"]), (410, &json!("events_expired")));
    // Whoever begins without a place reads on without a gap to the end.
    let (mut after, mut read) = (String::new(), 0);
    loop {
        let page = board.get(&format!("/api/events?limit=1{after}"));
        read += page["items"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert!(read >= 2, "{read}");
    let token = board.token();
    let auth = format!("Bearer {token}");
    for path in ["/api/projects/default/events?after=1", "/api/events?after=s1"] {
        let headers = [("authorization", auth.as_str()), ("accept", "text/event-stream")];
        let (status, body) = request(board.port, "GET", path, &headers, "").unwrap();
        assert_eq!(status, 410, "{path}: {body}");
    }
    let out = board.mozi(&["events", "--after", "1"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("--after"), "{out:?}");
    assert!(board.mozi(&["doctor"]).status.success(), "the fold is still as the rows");
    let report = gc(&board, &[]);
    assert_eq!(of(&report, "events")["count"], 0, "what is told anew is not told again: {report}");
    assert!(report["notes"].to_string().contains("is not finished"), "{report}");
    board.finish();
}

#[test]
fn what_nothing_needs_goes_by_gc_alone() {
    let (mut board, done, live) = busy();
    set_retention(&mut board, "workspaces = \"1ms\"\nlogs = \"0\"\nlogs_max = \"0\"");
    let data = board.data();
    let blob = data.join("blobs/ab").join("ab".repeat(32));
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    let unknown = data.join("sessions/00000000-0000-4000-8000-00000000000a");
    fs::create_dir_all(&unknown).unwrap();
    for path in
        [&blob, &unknown.join("lock"), &unknown.join("exit.json"), &data.join("backups/.unfinished.db")]
    {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}").unwrap();
    }
    fs::write(unknown.join("exit.json"), exit_record(&data)).unwrap();
    let young = gc(&board, &["--dry-run"]);
    for kind in ["blobs", "sessions", "temporary"] {
        assert_eq!(of(&young, kind)["count"], 0, "{kind} may be on its way: {young}");
    }
    for path in [&blob, &unknown.join("exit.json"), &data.join("backups/.unfinished.db")] {
        assert!(command("touch").args(["-d", "3 days ago"]).arg(path).status().unwrap().success());
    }
    assert!(!data.join("workspaces/default").join(&done).exists(), "the rule was applied at the start");
    assert!(data.join("workspaces/default").join(&live).exists(), "what is at work keeps its folder");
    let would = gc(&board, &["--dry-run"]);
    assert_eq!(would["dry_run"], true);
    for kind in ["blobs", "sessions", "temporary"] {
        assert_eq!(of(&would, kind)["count"], 1, "{kind}: {would}");
    }
    assert!(blob.exists() && unknown.exists());
    // The server owns the data: a command beside it does not touch it.
    refused(&board, &["gc", "--data", data.to_str().unwrap()], "is in use");
    let gone = gc(&board, &[]);
    assert_eq!(would["removed"], gone["removed"]);
    assert!(!blob.exists() && !unknown.exists() && !data.join("backups/.unfinished.db").exists());
    let content =
        board.api("GET", &format!("/api/projects/default/tasks/{done}/outputs/2/content"), &Value::Null);
    assert_eq!(content.body.as_str().unwrap().len(), 100_000, "what is named stays");
    board.down(15);
    let offline = gc(&board, &["--dry-run"]);
    assert!(offline["removed"].as_array().unwrap().iter().all(|l| l["count"] == 0), "{offline}");
    board.up();
    end(board, &live);
}

/// The record of a session that has ended, of those that are there.
fn exit_record(data: &Path) -> Vec<u8> {
    let sessions = fs::read_dir(data.join("sessions")).unwrap().map(|e| e.unwrap().path().join("exit.json"));
    fs::read(sessions.filter(|p| p.exists()).find(|p| fs::metadata(p).unwrap().len() > 10).unwrap()).unwrap()
}

#[test]
fn a_damaged_output_is_noticed_by_the_doctor_and_by_a_backup() {
    let (board, done, live) = busy();
    let output = &board.task(&done)["outputs"][1];
    let sha256 = output["sha256"].as_str().unwrap();
    let blob = board.data().join("blobs").join(&sha256[..2]).join(sha256);
    assert_eq!(fs::metadata(&blob).unwrap().permissions().mode() & 0o777, 0o400);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[5000] ^= 1;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    let out = board.mozi(&["doctor", "--all-outputs"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(1));
    assert!(said.contains(sha256) && said.contains(&format!("default/{done}")), "{said}");
    let file = board.path("b.tar");
    refused(&board, &["backup", file.to_str().unwrap()], "missing or damaged");
    refused(&board, &["restore", file.to_str().unwrap(), "--verify"], "missing or damaged");
    assert!(file.exists(), "everything else is saved");
    fs::remove_file(&blob).unwrap();
    assert_eq!(
        board.mozi(&["doctor"]).status.code(),
        Some(1),
        "a missing one is seen without being asked for"
    );
    end(board, &live);
}

/// Killed at any moment, a backup is whole or has no name, and the board has lost nothing.
#[test]
fn a_backup_that_is_killed_has_no_name() {
    let (mut board, done, live) = busy();
    let file = board.path("killed.tar");
    for wait in [0_u64, 2, 5, 10, 20] {
        let mut child = board.mozi_command(&["backup", file.to_str().unwrap(), "--force"]).spawn().unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < u128::from(wait) {
            std::thread::yield_now();
        }
        drop(child.kill());
        child.wait().unwrap();
        if file.exists() {
            board.ok(&["restore", file.to_str().unwrap(), "--verify"]);
        }
    }
    // The other side: the board is killed while somebody takes one from it.
    let mut child = board.mozi_command(&["backup", file.to_str().unwrap(), "--force"]).spawn().unwrap();
    board.down(9);
    child.wait().unwrap();
    if file.exists() {
        board.ok(&["restore", file.to_str().unwrap(), "--verify"]);
    }
    board.up();
    assert_eq!(board.task(&done)["status"], "done");
    board.ok(&["backup", file.to_str().unwrap(), "--force"]);
    end(board, &live);
}

/// A restore that is killed has left no board, or a whole one; once more, and it is there.
#[test]
fn a_restore_that_is_killed_is_begun_again() {
    let (mut board, done, live) = busy();
    let file = board.path("saved.tar");
    let file = file.to_str().unwrap();
    board.ok(&["backup", file]);
    board.ok(&["task", "cancel", &live]);
    for (n, wait) in [0_u64, 3, 6, 10, 15, 25, 40].into_iter().enumerate() {
        let to = board.path(&format!("to-{n}"));
        let args = ["restore", file, "--data", to.to_str().unwrap()];
        let mut child = board.mozi_command(&args).spawn().unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < u128::from(wait) {
            std::thread::yield_now();
        }
        drop(child.kill());
        child.wait().unwrap();
        if !to.join("mozi.db").exists() {
            board.ok(&args);
        }
        let check = board.mozi(&["doctor", "--all-outputs", "--data", to.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert!(said.contains("all 1 that lie in files are what was delivered"), "{wait} ms: {said}");
        assert!(!said.contains("wrong  rules"), "{said}");
    }
    assert_eq!(board.task(&done)["status"], "done");
    board.down(15);
    board.up();
    board.finish();
}
