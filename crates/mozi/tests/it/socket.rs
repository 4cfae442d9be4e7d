//! The socket in the data folder: the command line's usual road, and what is seen of who asks there.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
};

use serde_json::{Value, json};

use crate::support::{Board, Setup, command, is_root};

/// A call by the socket with curl and nothing in its environment; as another user where one is named.
fn curl(socket: &Path, uid: Option<&str>, words: &[&str]) -> (i32, String) {
    let mut c = match uid {
        None => command("curl"),
        Some(uid) => {
            let mut c = command("setpriv");
            c.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups", "curl"]);
            c
        }
    };
    let out = c.args(["-sS", "-m", "30", "--unix-socket"]).arg(socket).args(words).output().unwrap();
    (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stdout).into_owned())
}

fn socket_of(board: &Board) -> std::path::PathBuf {
    board.data().join("mozi.sock")
}

fn actor(board: &Board, id: &str, event: &str) -> Value {
    let task = board.task(id);
    let events = task["events"].as_array().unwrap();
    let found = events.iter().rev().find(|e| e["event_type"] == event);
    found.unwrap_or_else(|| panic!("no {event} in {events:#?}"))["actor"].clone()
}

#[test]
fn the_command_line_goes_by_the_socket_and_needs_no_token() {
    let mut board = Setup::agents(&[]).start();
    let socket = socket_of(&board);
    let mode = fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // Neither the token nor the port can be found: what works now works by the socket.
    let (token, word) = (board.data().join("token"), board.data().join("server.json"));
    let kept = [&token, &word].map(|f| fs::read(f).unwrap());
    fs::remove_file(&token).unwrap();
    let mut hidden: Value = serde_json::from_slice(&kept[1]).unwrap();
    hidden["url"] = json!("http://127.0.0.1:1");
    fs::write(&word, hidden.to_string()).unwrap();
    let id = board.ok(&["task", "add", "by the socket", "--agent", "nobody"]);
    let id = id.split_whitespace().find_map(|w| w.strip_prefix("default/")).unwrap_or("1").to_owned();
    board.ok(&["task", "cancel", &id]);
    board.ok(&["token", "create", "--name", "ci"]);
    board.ok(&["reload"]);
    let (code, said) = curl(&socket, None, &["http://localhost/api/tokens"]);
    assert!(code == 0 && said.contains("\"ci\""), "{code} {said}");
    fs::write(&token, &kept[0]).unwrap();
    fs::write(&word, &kept[1]).unwrap();
    let moved = actor(&board, &id, "status_changed");
    assert_eq!((&moved["kind"], &moved["via"]), (&json!("user"), &json!("cli")), "{moved}");
    let comment = format!("http://localhost/api/projects/default/tasks/{id}/comments");
    let (code, said) = curl(&socket, None, &[&comment, "-d", "{\"body\":\"x\"}"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(actor(&board, &id, "comment_added")["via"], "socket");

    // A server that was killed leaves its socket; the next one replaces it.
    board.down(9);
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    let gone = board.mozi(&["task", "list"]);
    assert_eq!(gone.status.code(), Some(3), "{}", String::from_utf8_lossy(&gone.stderr));
    board.up();
    board.ok(&["task", "list"]);
    board.down(15);
    assert!(!socket.exists(), "it is taken away at a clean end");
    board.up();
    board.finish();
}

#[test]
fn a_data_folder_may_have_a_long_path() {
    let mut setup = Setup::agents(&[]);
    // The same folder by a name that no socket's address could hold.
    setup.env.push(("MOZI_DATA".to_owned(), format!("{}data", "data/../".repeat(30))));
    let board = setup.start();
    let server = json!({ "url": "http://127.0.0.1:1", "pid": 1, "version": "0" });
    fs::write(board.data().join("server.json"), server.to_string()).unwrap();
    let listed = board.ok(&["project", "list", "--json"]);
    assert!(listed.contains("default"), "{listed}");
    board.finish();
}

/// Asks by the socket as somebody who knows nothing of the session that it runs in: only its ancestors tell.
const SLY: &str = r#"cat > /dev/null; mozi report working
other=$(cat "$TEST_DIR/other"); dir=$TEST_DIR; token=$MOZI_TOKEN; mine=$MOZI_TASK
ask() { env -i "PATH=$PATH" curl -sS -m 30 --unix-socket "$dir/data/mozi.sock" "$@"; echo; }
api=http://localhost/api
{
ask "$api/projects/default/tasks/$other/status" -d '{"status":"cancelled"}'
ask "$api/tokens" -H 'content-type: application/json' -d '{"name":"mine"}'
ask "$api/backup"
ask "$api/gc" -X DELETE
ask "$api/projects/default/tasks/$mine/comments" -H "authorization: Bearer $token" -d '{"body":"hello"}'
ask "$api/projects/default/tasks/$other/comments" -H "authorization: Bearer $token" -d '{"body":"hello"}'
ask "$api/projects/default/tasks/$other"
ask "$api/projects/default/tasks/$other/status" -H 'mozi-as-person: true' -d '{"status":"cancelled"}'
} > "$dir/asked" 2>&1
env -i "PATH=$PATH" "HOME=$HOME" "MOZI_DATA=$dir/data" "$(command -v mozi)" --json task retry "$other" > "$dir/cli" 2>&1
env -i "PATH=$PATH" "HOME=$HOME" "MOZI_DATA=$dir/data" "$(command -v mozi)" --as-person task retry "$other" >> "$dir/cli" 2>&1
echo done > "$dir/done"; sleep 1000"#;

#[test]
fn a_decision_from_inside_a_session_is_refused_by_the_board() {
    let board = Setup::agents(&[("a", SLY, "")]).start();
    let other = board.add(&json!({ "title": "somebody else's", "agent": "nobody" }));
    fs::write(board.path("other"), &other).unwrap();
    let mine = board.add(&json!({ "title": "mine", "agent": "a" }));
    assert_eq!(board.file("done"), "done");
    let asked = fs::read_to_string(board.path("asked")).unwrap();
    let answers: Vec<Value> = asked
        .lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {asked}")))
        .collect();
    assert_eq!(answers.len(), 8, "{asked}");
    for refused in &answers[..4] {
        assert_eq!((&refused["status"], &refused["code"]), (&json!(403), &json!("agent_context")), "{asked}");
        assert!(refused["detail"].as_str().unwrap().contains("supervisor"), "{asked}");
    }
    assert!(answers[4]["comment_id"].is_number(), "an attempt's token is the attempt's: {asked}");
    assert_eq!(answers[5]["code"], "not_found", "and reaches no further: {asked}");
    assert_eq!(answers[6]["status"], "pending", "reading is nobody's decision: {asked}");
    assert_eq!(answers[7]["status"], "cancelled", "what is said to be meant passes: {asked}");
    let told = fs::read_to_string(board.path("cli")).unwrap();
    assert!(told.contains("agent_context"), "{told}");
    let task = board.task(&other);
    let moves: Vec<&str> = task["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["event_type"] == "status_changed")
        .map(|e| e["actor"]["via"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(moves, ["socket --as-person", "cli --as-person"], "{told}");
    assert_eq!(actor(&board, &mine, "comment_added")["kind"], "attempt");
    board.ok(&["task", "cancel", &mine]);
    board.finish();
}

#[test]
fn another_user_is_refused_and_root_is_not() {
    if !is_root() {
        return;
    }
    let mut setup = Setup::agents(&[]);
    setup.reuid = true;
    let board = setup.start();
    let (socket, all) = (socket_of(&board), ["http://localhost/api/projects"]);
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    board.ok(&["project", "list"]);
    let (code, said) = curl(&socket, None, &all);
    assert!(code == 0 && said.contains("items"), "root: {code} {said}");
    // Even where every folder above may be entered.
    open(board.dir.path(), 0o755);
    open(&board.data(), 0o755);
    let (code, said) = curl(&socket, Some("65533"), &all);
    assert!(code != 0 && said.is_empty(), "0600 keeps them out: {code} {said}");
    // And where somebody has opened the socket itself.
    open(&socket, 0o666);
    let (code, said) = curl(&socket, Some("65533"), &all);
    assert!(code == 0 && said.contains("\"forbidden\"") && !said.contains("items"), "{code} {said}");
    let token = format!("authorization: Bearer {}", board.token());
    let (_, said) = curl(&socket, Some("65533"), &[all[0], "-H", &token]);
    assert!(said.contains("\"forbidden\""), "whose token it has is of no matter here: {said}");
    board.finish();
}
