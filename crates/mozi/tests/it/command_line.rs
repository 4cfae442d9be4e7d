//! The command line as people and scripts use it: words, exit statuses, JSON, messages that say what to do next.

use std::{fs, process::Output};

use serde_json::{Value, json};

use crate::support::{Board, Setup, WORKING, command};

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[track_caller]
fn ends(board: &Board, args: &[&str], status: i32) -> String {
    let out = board.mozi(args);
    assert_eq!(out.status.code(), Some(status), "mozi {args:?}:\n{}", text(&out));
    text(&out)
}

#[track_caller]
fn json_of(board: &Board, args: &[&str]) -> Value {
    let said = board.ok(args);
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("mozi {args:?} said {said}: {e}"))
}

/// `mozi` with nothing around it.
fn bare(home: &std::path::Path, args: &[&str]) -> Output {
    command(env!("CARGO_BIN_EXE_mozi")).args(args).env("HOME", home).current_dir(home).output().unwrap()
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let home = tempfile::tempdir().unwrap();
    let below = |words: &[&str]| -> Vec<String> {
        let out = bare(home.path(), &[words, &["--help"]].concat());
        assert!(out.status.success(), "{words:?}: {}", text(&out));
        let help = String::from_utf8(out.stdout).unwrap();
        // Those of the program itself stand in groups.
        let list = match help.split_once("Commands:\n").or_else(|| help.split_once("To begin:\n")) {
            Some((_, list)) => list.split("\nOptions:").next().unwrap().to_owned(),
            None => String::new(),
        };
        // A group tells with an example what it is for.
        assert!(
            words.is_empty() || help.contains("Example"),
            "`mozi {words:?} --help` has no example:\n{help}"
        );
        list.lines()
            .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
            .filter_map(|l| l.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    let mut count = 0;
    for noun in below(&[]) {
        for verb in below(&[&noun]) {
            below(&[&noun, &verb]);
            count += 1;
        }
    }
    assert!(count > 35, "only {count} commands of nouns");
}

#[test]
fn what_is_typed_wrong_ends_with_2_and_the_nearest_word() {
    let home = tempfile::tempdir().unwrap();
    for (args, said) in [
        (&["tsk"][..], "task"),
        (&["task", "aprove", "1"], "approve"),
        (&["task", "add"], "--help"),
        (&["task", "list", "--staus", "done"], "--status"),
        (&["serve", "--listen", "8083"], "127.0.0.1:8083"),
    ] {
        let out = bare(home.path(), args);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {}", text(&out));
        assert!(text(&out).contains(said), "{args:?}: {}", text(&out));
    }
}

#[test]
fn without_a_board_it_says_how_to_get_one() {
    let home = tempfile::tempdir().unwrap();
    let out = bare(home.path(), &["task", "list"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out).contains("mozi serve") && text(&out).contains("mozi demo"), "{}", text(&out));
    // A free port: nobody answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let out = bare(home.path(), &["--url", &url, "-p", "x", "task", "list"]);
    assert_eq!(out.status.code(), Some(3), "{}", text(&out));
    assert!(text(&out).contains(&url), "{}", text(&out));
    let report = bare(home.path(), &["report", "working"]);
    assert_eq!(report.status.code(), Some(1));
    assert!(text(&report).contains("MOZI_TASK"), "{}", text(&report));
}

#[test]
fn documents_come_out_of_the_binary() {
    let home = tempfile::tempdir().unwrap();
    let said = |args: &[&str]| {
        let out = bare(home.path(), args);
        assert!(out.status.success(), "{}", text(&out));
        String::from_utf8(out.stdout).unwrap()
    };
    let api: Value = serde_json::from_str(&said(&["openapi"])).unwrap();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"), "{}", api["openapi"]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(said(&["completions", shell]).contains("mozi"));
    }
    let man = said(&["man"]);
    assert!(man.starts_with('.') && man.contains("mozi task add"), "{}", &man[..200.min(man.len())]);
    assert!(said(&["version"]).starts_with("mozi "));
    assert_eq!(serde_json::from_str::<Value>(&said(&["version", "--json"])).unwrap()["api"], 1);
}

#[test]
fn tasks_from_adding_to_deciding() {
    let script =
        format!("{WORKING}mozi output add --title Result --content 'the answer is 42'\nmozi report review\n");
    let board = Setup::agents(&[("a", &script, "")]).start();
    // One agent is all there is: tasks that name none go to it.
    assert_eq!(board.get("/api/projects/default")["settings"]["default_agent"], "a");
    fs::write(board.path("notes.md"), "Release notes\n\nOne line for each change.\n").unwrap();
    let first = board.ok(&[
        "task",
        "add",
        "-F",
        "notes.md",
        "--must",
        "short",
        "--label",
        "area=docs",
        "--hold",
        "-q",
    ]);
    let first = first.trim();
    let task = board.task(first);
    assert_eq!(
        (&task["title"], &task["description"]),
        (&json!("Release notes"), &json!("One line for each change."))
    );
    assert_eq!((&task["status"], &task["labels"]), (&json!("blocked"), &json!({ "area": "docs" })));
    let second = board.ok(&[
        "task",
        "add",
        "Second",
        "--after",
        first,
        "--not-before",
        "+1h",
        "--timeout",
        "90s",
        "-q",
    ]);
    let second = second.trim();
    let why = ends(&board, &["why", first, second], 0);
    assert!(why.contains("mozi task release") && why.contains(&format!("task {first}")), "{why}");
    assert!(board.ok(&["task", "list", "--mine"]).contains("Release notes"));
    assert!(!board.ok(&["task", "list", "--mine"]).contains("Second"));
    assert_eq!(
        json_of(&board, &["task", "list", "--label", "area=docs", "--json"]).as_array().unwrap().len(),
        1
    );
    board.ok(&[
        "task",
        "edit",
        second,
        "--not-before",
        "",
        "--not-after",
        first,
        "--title",
        "Two",
        "--priority",
        "-1",
    ]);
    let edited = board.until(second, "review");
    assert_eq!((&edited["title"], &edited["priority"]), (&json!("Two"), &json!(-1)));
    // A word too narrow for the status is refused with the right one; nothing is changed.
    let refused = ends(&board, &["task", "release", second], 1);
    assert!(refused.contains("mozi task reject"), "{refused}");
    let refused = ends(&board, &["task", "approve", first], 1);
    assert!(refused.contains("--as-it-is"), "{refused}");
    ends(&board, &["task", "wait", second], 5);
    board.ok(&["task", "approve", second]);
    assert!(ends(&board, &["task", "approve", second], 0).contains("already"));
    ends(&board, &["task", "wait", second, "--final"], 0);
    board.ok(&["task", "approve", first, "--as-it-is", "-m", "written by hand"]);
    let shown = board.ok(&["task", "show", second]);
    assert!(shown.contains("Result") && shown.contains("completed"), "{shown}");
    assert_eq!(board.ok(&["output", "show", second, "1"]), "the answer is 42");
    board.ok(&["output", "save", second, "1", "-o", "saved.txt"]);
    assert_eq!(fs::read_to_string(board.path("saved.txt")).unwrap(), "the answer is 42");
    assert!(ends(&board, &["output", "save", second, "1", "-o", "saved.txt"], 1).contains("already"));
    assert!(ends(&board, &["output", "show", second, "7"], 1).contains("mozi output list"));
    let both = json_of(&board, &["task", "show", first, second, "--json"]);
    assert_eq!(both.as_array().unwrap().len(), 2);
    let missing = ends(&board, &["task", "show", "999"], 1);
    assert!(missing.contains("999"), "{missing}");
    board.finish();
}

#[test]
fn waiting_ends_as_the_task_does() {
    let script = format!(
        "{WORKING}case $MOZI_TASK in bad) mozi report failed --detail 'no way';; *) mozi output add --title r --content x; mozi report review;; esac\n"
    );
    let board = Setup::agents(&[("a", &script, "")]).start();
    let good = ends(&board, &["task", "add", "Good", "--id", "good", "--review", "none", "--wait"], 0);
    assert!(good.contains("done"), "{good}");
    let bad = ends(&board, &["task", "add", "Bad", "--id", "bad", "--wait=final"], 5);
    assert!(bad.contains("failed") && bad.contains("no way"), "{bad}");
    let looked = ends(&board, &["task", "add", "Looked at", "--id", "seen", "--wait"], 5);
    assert!(looked.contains("review") && looked.contains("mozi task approve"), "{looked}");
    let json: Value =
        serde_json::from_str(&ends(&board, &["task", "wait", "good", "bad", "--json"], 5)).unwrap();
    assert_eq!((&json[0]["status"], &json[1]["status"]), (&json!("done"), &json!("failed")));
    board.finish();
}

#[test]
fn answers_reach_the_agent() {
    let script = r#"cat > "$TEST_DIR/prompt.$MOZI_ATTEMPT.tmp"; mv "$TEST_DIR/prompt.$MOZI_ATTEMPT.tmp" "$TEST_DIR/prompt.$MOZI_ATTEMPT"
set -eu
mozi report working
if [ "$MOZI_ATTEMPT" = 1 ]; then mozi report blocked --kind needs_input --detail "which database?"; exit; fi
mozi output add --title r --content x; mozi report review
"#;
    let board = Setup::agents(&[("a", script, "")]).start();
    let id = board.add(&json!({ "title": "ask", "agent": "a" }));
    board.until(&id, "blocked");
    let why = board.ok(&["why", &id]);
    assert!(why.contains("which database?") && why.contains("mozi task answer"), "{why}");
    board.ok(&["task", "answer", &id, "the staging one"]);
    board.until(&id, "review");
    assert!(board.file("prompt.2").contains("the staging one"));
    board.finish();
}

#[test]
fn sessions_projects_agents_tokens_and_events() {
    let board = Setup::agents(&[("a", "cat > /dev/null; echo up; exec sleep 1000", "")]).start();
    let started = json_of(&board, &["session", "start", "a", "-m", "hello", "--json"]);
    let sid = started["session_id"].as_str().unwrap();
    assert!(board.ok(&["session", "list"]).contains(&sid[..8]));
    let shown = json_of(&board, &["session", "show", &sid[..6], "--json"]);
    assert_eq!(shown["session_id"], sid);
    ends(&board, &["session", "show", "zz"], 2);
    let live = ends(&board, &["session", "clean", &sid[..6]], 1);
    assert!(live.contains("mozi session stop") || live.contains("stop"), "{live}");
    let said_up = || (board.ok(&["logs", &sid[..8]]) == "up\n").then_some(());
    crate::support::wait_for("it to say something", said_up);
    board.ok(&["session", "stop", &sid[..6]]);
    crate::support::wait_for("the session to end", || {
        (!board.get(&format!("/api/sessions/{sid}"))["completed_at"].is_null()).then_some(())
    });
    assert_eq!(board.ok(&["logs", &sid[..8], "-f"]), "up\n");

    board.ok(&["project", "add", "app", "--name", "The app"]);
    board.ok(&["project", "set", "app", "max_attempts=5", "backoff_initial=20s", "review=none"]);
    let app = json_of(&board, &["project", "show", "app", "--json"]);
    assert_eq!((&app["settings"]["max_attempts"], &app["name"]), (&json!(5), &json!("The app")));
    let wrong = ends(&board, &["project", "set", "app", "max_atempts=5"], 2);
    assert!(wrong.contains("max_attempts"), "{wrong}");
    board.ok(&["project", "archive", "app"]);
    let refused = ends(&board, &["-p", "app", "task", "add", "too late"], 1);
    assert!(refused.contains("archived"), "{refused}");
    assert!(board.ok(&["project", "list"]).contains("archived"));

    board.ok(&["agent", "pause", "a"]);
    let id = board.ok(&["task", "add", "waits", "-a", "a", "-q"]);
    let why = board.ok(&["why", id.trim()]);
    assert!(why.contains("mozi agent resume a"), "{why}");
    assert!(board.ok(&["agent", "list"]).contains("paused"));
    board.ok(&["task", "cancel", id.trim()]);
    board.ok(&["agent", "resume", "a"]);

    let token = board.ok(&["token", "create", "--name", "laptop"]);
    let url = format!("http://127.0.0.1:{}", board.port);
    let with =
        board.mozi_command(&["agent", "list"]).env("MOZI_URL", &url).env("MOZI_TOKEN", token.trim()).output();
    assert!(with.unwrap().status.success());
    board.ok(&["token", "revoke", "laptop"]);
    let without = board.mozi_command(&["agent", "list"]).env("MOZI_TOKEN", token.trim()).output().unwrap();
    assert_eq!(without.status.code(), Some(4), "{}", text(&without));
    assert!(board.ok(&["token", "list"]).contains("revoked"));

    let events = board.ok(&["events", "--all", "--json"]);
    let types: Vec<Value> = events.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for wanted in ["token_created", "agent_paused", "session_ended", "task_created", "settings_changed"] {
        assert!(types.iter().any(|e| e["event_type"] == wanted), "{wanted} is missing in {events}");
    }
    let of_task = board.ok(&["events", "--task", id.trim()]);
    assert!(of_task.contains("pending → cancelled"), "{of_task}");
    assert!(!of_task.contains("agent_paused"));
    board.finish();
}

#[test]
fn the_project_is_found_by_the_folder() {
    let mut setup = Setup::agents(&[]);
    let folder = tempfile::tempdir().unwrap();
    setup.config += &format!("[projects.app]\npath = \"{}\"\n", folder.path().display());
    let board = setup.start();
    fs::create_dir(folder.path().join("deep")).unwrap();
    let mut add = board.mozi_command(&["task", "add", "from here", "--hold", "--json"]);
    let out = add.current_dir(folder.path().join("deep")).output().unwrap();
    let task: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out)));
    assert_eq!(task["project_id"], "app");
    let elsewhere = json_of(&board, &["task", "add", "from elsewhere", "--hold", "--json"]);
    assert_eq!(elsewhere["project_id"], "default");
    let named = json_of(&board, &["task", "show", "app/1", "--json"]);
    assert_eq!(named["title"], "from here");
    board.finish();
}
