//! Refusals as people and agents read them on the command line: what happened, and what to do.

use serde_json::json;

use crate::support::{Board, Setup};

/// An agent that tries what it may not, and writes down what it is told.
const AGENT: &str = r#"
said() { echo "== $1" >> "$TEST_DIR/said"; shift; mozi "$@" >> "$TEST_DIR/said" 2>&1; }
mozi report working
said output_required report review
echo hello > file.txt
mozi output add --title t --file file.txt
mozi report review
said verdict_given report failed --detail late
echo "$MOZI_TOKEN" > "$TEST_DIR/token-of-agent"
"#;

/// What `mozi ARGS` says when it is refused, with its exit status.
#[track_caller]
fn refused(board: &Board, args: &[&str]) -> (i32, String) {
    let out = board.mozi(args);
    assert!(!out.status.success(), "mozi {args:?} was not refused: {}", String::from_utf8_lossy(&out.stdout));
    assert!(out.stdout.is_empty(), "mozi {args:?}: {}", String::from_utf8_lossy(&out.stdout));
    (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn every_refusal_that_a_person_can_cause_is_a_sentence() {
    let board = Setup::agents(&[("coder", AGENT, ""), ("idler", "exec sleep 600", "")]).start();
    board.ok(&["task", "add", "-q", "-a", "coder", "One"]);
    board.until_outcome("1", 1, "completed");
    board.ok(&["task", "add", "-q", "--hold", "--id", "two", "Two"]);
    board.ok(&["task", "add", "-q", "--hold", "--id", "three", "--after", "two", "Three"]);
    board.ok(&["task", "add", "-q", "-a", "idler", "--id", "live", "Live"]);
    board.until_that("live", "at work", |t| t["attempts"][0]["pid"].is_u64() || t["status"] == "claimed");
    let session = board.task("live")["attempts"][0]["session_id"].as_str().unwrap().to_owned();
    board.ok(&["project", "add", "old"]);
    board.ok(&["project", "archive", "old"]);
    let viewer = board.post("/api/tokens", &json!({ "name": "viewer", "role": "viewer" }));
    let viewer = viewer["token"].as_str().unwrap();
    std::fs::write(board.path("large.txt"), "x".repeat(1024 * 1024)).unwrap();
    let nowhere = format!("http://0.0.0.0:{}", board.port);
    let closed = board.file("token-of-agent");

    // The code, the command, its exit status, and what the sentence says.
    let table: &[(&str, &[&str], i32, &[&str])] = &[
        ("invalid_body", &["task", "add", " "], 1, &["title", "empty"]),
        ("unauthenticated", &["--token", "mozi_u_none", "task", "list"], 4, &["not known", "MOZI_TOKEN"]),
        ("forbidden", &["--token", viewer, "task", "add", "x"], 4, &["only read"]),
        ("host_refused", &["--url", &nowhere, "task", "list"], 4, &["not called", "allowed_hosts"]),
        ("not_found", &["task", "show", "99"], 1, &["no task 99", "mozi task list"]),
        ("transition_refused", &["task", "approve", "two"], 1, &["blocked", "in review"]),
        (
            "not_claimable",
            &["session", "start", "coder", "--task", "two"],
            1,
            &["cannot be started", "mozi why"],
        ),
        ("duplicate_id", &["task", "add", "--id", "TWO", "Another"], 1, &["exists already"]),
        ("dependency_cycle", &["task", "edit", "two", "--after", "three"], 1, &["waits for two already"]),
        ("session_active", &["session", "clean", &session], 1, &["live"]),
        ("project_archived", &["-p", "old", "task", "add", "x"], 1, &["project old is archived"]),
        (
            "version_mismatch",
            &["task", "edit", "two", "--title", "x", "--if-version", "77"],
            1,
            &["version is 1 now"],
        ),
        ("payload_too_large", &["task", "add", "x", "-d", "@large.txt"], 1, &["larger than 1048576 bytes"]),
    ];
    for (code, args, exit, words) in table {
        let mut args: Vec<&str> = args.to_vec();
        let out = board.mozi(&args);
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(*exit), "{code}: mozi {args:?}: {said}");
        for word in *words {
            assert!(said.contains(word), "{code}: {word:?} is missing: {said}");
        }
        assert!(said.lines().count() <= 6, "a sentence, not a page: {said}");
        // The same for machines, with the code.
        args.push("--json");
        let out = board.mozi(&args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
        assert!(said.contains(&format!("\"{code}\"")), "{code}: {said}");
    }
    let (exit, said) = refused(&board, &["--url", "http://127.0.0.1:1", "task", "list"]);
    assert!(exit == 3 && said.contains("no board answers"), "{said}");

    // What an agent is told that goes on after its end.
    let url = format!("http://127.0.0.1:{}", board.port);
    let mut late = board.mozi_command(&["report", "working"]);
    late.envs([
        ("MOZI_URL", url.as_str()),
        ("MOZI_TOKEN", &closed),
        ("MOZI_PROJECT", "default"),
        ("MOZI_TASK", "1"),
    ]);
    let late = late.output().unwrap();
    let said = String::from_utf8_lossy(&late.stderr);
    assert!(!late.status.success() && said.contains("attempt 1 is over"), "{said}");

    // What it was told while it worked.
    let said = std::fs::read_to_string(board.path("said")).unwrap();
    for (code, words) in
        [("output_required", "add an output first"), ("verdict_given", "already said review")]
    {
        let part =
            said.split("== ").find(|p| p.starts_with(code)).unwrap_or_else(|| panic!("{code}: {said}"));
        assert!(part.contains(words), "{code}: {part}");
    }
}

#[test]
fn an_editor_does_not_overwrite_what_others_changed_meanwhile() {
    let board = Setup::agents(&[]).start();
    board.ok(&["task", "add", "-q", "--hold", "--id", "two", "Two"]);
    // While the editor is open, somebody else gives it another title.
    std::fs::write(
        board.path("editor.sh"),
        "unset EDITOR\nmozi task edit two --title \"Theirs\" > /dev/null && echo \"Mine\" > \"$1\"\n",
    )
    .unwrap();
    let bin = board.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mozi"), bin.join("mozi")).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let editor = format!("bash {}", board.path("editor.sh").display());
    // An editor needs a terminal.
    let edit = |with: &str| {
        let mut c = crate::support::command("script");
        let words = format!("{} task edit two -e", env!("CARGO_BIN_EXE_mozi"));
        c.args(["-qec", &words, "/dev/null"]).current_dir(board.dir.path());
        c.env("MOZI_CONFIG", board.path("mozi.toml")).env("MOZI_DATA", board.data());
        c.env("EDITOR", with).env("VISUAL", with).env("PATH", &path);
        c.stdin(std::process::Stdio::null()).output().unwrap()
    };
    let out = edit(&editor);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(!out.status.success() && said.contains("changed in between"), "{said}");
    assert_eq!(board.task("two")["title"], "Theirs");
    std::fs::write(board.path("editor.sh"), "echo \"Mine\" > \"$1\"\n").unwrap();
    let out = edit(&editor);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    assert_eq!(board.task("two")["title"], "Mine");
}
