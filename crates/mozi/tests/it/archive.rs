//! `mozi task import` and `mozi task export` with the real binary: files, refusals, and ends in the middle.

use std::{fmt::Write as _, fs, process::Stdio};

use serde_json::{Value, json};

use crate::support::{Board, Setup, WORKING, wait_for};

fn text(out: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn worker() -> Setup {
    let script = format!(
        "{WORKING}mozi output add --title result --type document --content \"结果 of $MOZI_TASK\"\nmozi report review\n"
    );
    Setup::agents(&[("coder", &script, "")])
}

fn incoming(board: &Board) -> Vec<String> {
    let dir = board.data().join("blobs/incoming");
    fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn lines_from_a_file_and_every_wrong_one_is_named() {
    let board = worker().start();
    let file = board.path("tasks.jsonl");
    fs::write(&file, "{\"title\":\"one\",\"task_id\":\"a\",\"held\":true}\n{\"title\":\"two\",\"depends_on\":[\"b\"]}\n{\"titl\":1,\"task_id\":\"c\"}\n").unwrap();
    let file = file.to_str().unwrap();
    let out = board.mozi(&["task", "import", file]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out));
    for said in [
        "line 2: `depends_on` names task b",
        "line 3 (c): `titl`",
        "2 lines are wrong, and nothing was added",
    ] {
        assert!(text(&out).contains(said), "{said}: {}", text(&out));
    }
    let out = board.mozi(&["--json", "task", "import", file]);
    let said: Value = serde_json::from_slice(&out.stderr).unwrap();
    assert_eq!(said["error"]["lines"][1]["line"], 3, "{said}");
    fs::write(file, "{\"title\":\"one\",\"task_id\":\"a\",\"held\":true}\n{\"title\":\"two\",\"depends_on\":[\"a\"],\"held\":true}\n").unwrap();
    assert!(board.ok(&["task", "import", file, "--dry-run"]).starts_with("would add 2 tasks"));
    assert!(board.ok(&["task", "import", file]).starts_with("added 2 tasks to default"));
    assert!(board.ok(&["task", "import", file]).contains("added 1 task to default; 1 is there already"));
    let out = board.mozi(&["task", "import", "/nowhere/tasks.jsonl"]);
    assert!(text(&out).contains("could not read /nowhere/tasks.jsonl"), "{}", text(&out));
    board.finish();
}

#[test]
fn a_project_travels_in_a_file() {
    let from = worker().start();
    let id = from.add(&json!({ "title": "做完", "agent": "coder" }));
    from.until(&id, "review");
    from.until_outcome(&id, 1, "completed");
    from.ok(&["task", "approve", &id]);
    let file = from.path("default.mozi.tar");
    let file = file.to_str().unwrap();
    assert!(from.ok(&["task", "export", "-o", file]).starts_with("wrote default to "));
    let out = from.mozi(&["task", "export", "-o", file]);
    assert!(text(&out).contains("is there already") && text(&out).contains("--force"), "{}", text(&out));
    from.ok(&["task", "export", "-o", file, "--force"]);
    let to = worker().start();
    assert!(to.ok(&["task", "import", file, "-p", "moved", "--dry-run"]).starts_with("would take in 1 task"));
    assert!(to.ok(&["task", "import", file, "-p", "moved"]).starts_with("took in 1 task as moved"));
    assert_eq!(to.ok(&["output", "show", &format!("moved/{id}"), "1"]), format!("结果 of {id}"));
    assert_eq!(to.get(&format!("/api/projects/moved/tasks/{id}"))["status"], "done");
    let out = to.mozi(&["task", "import", file, "-p", "moved"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out).contains("has tasks") && text(&out).contains("-p names another"), "{}", text(&out));
    // Through a pipe too, and into the project that is there from the beginning.
    let bytes = fs::read(file).unwrap();
    let mut piped = to.mozi_command(&["task", "import", "-"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut piped.stdin.take().unwrap(), &bytes).unwrap();
    let out = piped.wait_with_output().unwrap();
    assert!(text(&out).starts_with("took in 1 task as default"), "{}", text(&out));
    let damaged = to.path("damaged.tar");
    fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    let out = to.mozi(&["task", "import", damaged.to_str().unwrap(), "-p", "half"]);
    assert!(text(&out).contains("cut off"), "{}", text(&out));
    let doctor = to.mozi(&["doctor"]);
    assert!(!text(&doctor).contains("half"), "{}", text(&doctor));
    // An agent does not take in other people's decisions.
    let mut inside = to.mozi_command(&["task", "import", file, "-p", "mine"]);
    let out = inside.env("MOZI_SESSION_ID", "00000000-0000-4000-8000-000000000001").output().unwrap();
    assert!(!out.status.success(), "{}", text(&out));
    from.finish();
    to.finish();
}

#[test]
fn an_end_in_the_middle_leaves_nothing() {
    let mut board = worker().start();
    let mut lines = String::new();
    for n in 0..20_000 {
        writeln!(lines, "{{\"title\":\"task {n}\",\"task_id\":\"t{n}\",\"held\":true}}").unwrap();
    }
    let file = board.path("tasks.jsonl");
    fs::write(&file, lines).unwrap();
    board.ok(&["project", "add", "big"]);
    board.ok(&["task", "import", file.to_str().unwrap(), "-p", "big"]);
    let archive = board.path("big.tar");
    board.ok(&["task", "export", "-p", "big", "-o", archive.to_str().unwrap()]);
    let archive = archive.to_str().unwrap().to_owned();
    let begin = |board: &Board| {
        let mut import = board.mozi_command(&["task", "import", &archive, "-p", "twin"]);
        import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    // The client goes away: what it began comes to nothing or to all of it.
    let mut import = begin(&board);
    wait_for("the archive on its way", || (!incoming(&board).is_empty()).then_some(()));
    import.kill().unwrap();
    import.wait().unwrap();
    wait_for("an end", || incoming(&board).is_empty().then_some(()));
    let whole = |board: &Board| board.api("GET", "/api/projects/twin", &json!({}));
    let there = whole(&board);
    assert!(there.status == 404 || there.body["counts"]["blocked"] == 20_000, "{}", there.body);
    if there.status == 404 {
        // The board is killed: nothing of it is there afterwards.
        let mut import = begin(&board);
        wait_for("the archive on its way", || (!incoming(&board).is_empty()).then_some(()));
        board.down(9);
        import.wait().unwrap();
        board.up();
        let there = whole(&board);
        assert!(there.status == 404 || there.body["counts"]["blocked"] == 20_000, "{}", there.body);
    }
    assert_eq!(incoming(&board), Vec::<String>::new());
    if whole(&board).status == 404 {
        board.ok(&["task", "import", &archive, "-p", "twin"]);
    }
    assert_eq!(whole(&board).body["counts"]["blocked"], 20_000);
    board.finish();
}
