//! The morning after: what a person reads of the board, and a task, in a terminal.

use std::{
    fs::File,
    io::Read as _,
    os::fd::OwnedFd,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Board, Setup, WORKING, command, kill, wait_exit, wait_for};

/// A person at a terminal of this size: what is written there, and its process.
struct Terminal {
    child: Child,
    hand: File,
    screen: std::sync::mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(board: &Board, args: &[&str], columns: u16, rows: u16) -> Self {
        use rustix::{pty, termios};
        let hand = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
        pty::grantpt(&hand).unwrap();
        pty::unlockpt(&hand).unwrap();
        let name = pty::ptsname(&hand, Vec::new()).unwrap();
        let open = |_| -> OwnedFd {
            File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap().into()
        };
        let [stdin, stdout, stderr] = [0, 1, 2].map(open);
        let size = termios::Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        termios::tcsetwinsize(&stdout, size).unwrap();
        let mut c = board.mozi_command(args);
        c.env("TERM", "xterm-256color").env_remove("NO_COLOR").env("TZ", "UTC");
        let child = c.stdin(Stdio::from(stdin)).stdout(stdout).stderr(stderr).spawn().unwrap();
        drop(c);
        let hand = File::from(hand);
        let mut reader = hand.try_clone().unwrap();
        let (send, screen) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The other side closing ends it with an error.
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                if send.send(bytes[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, hand, screen, seen: String::new() }
    }

    /// Waits until this was written since the last such wait.
    #[track_caller]
    fn until(&mut self, text: &str) {
        let mut bytes = Vec::new();
        // A page that is drawn every second never leaves the line silent.
        let end = Instant::now() + crate::support::PATIENCE;
        loop {
            assert!(Instant::now() < end, "{text:?} never came:\n{}", String::from_utf8_lossy(&bytes));
            let now = String::from_utf8_lossy(&bytes).into_owned();
            if let Some(at) = now.find(text) {
                now[at..].clone_into(&mut self.seen);
                return;
            }
            match self.screen.recv_timeout(crate::support::PATIENCE) {
                Ok(more) => bytes.extend(more),
                Err(e) => panic!("{text:?} never came ({e}):\n{now}"),
            }
        }
    }

    fn end(mut self) -> (std::process::ExitStatus, String) {
        let status = wait_exit(&mut self.child);
        drop(self.hand);
        let mut rest = self.seen;
        while let Ok(more) = self.screen.recv_timeout(Duration::from_secs(5)) {
            rest.push_str(&String::from_utf8_lossy(&more));
        }
        (status, rest)
    }
}

/// Without what a terminal acts on.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                for c in chars.by_ref() {
                    if c.is_ascii_alphabetic() {
                        break;
                    }
                }
            }
            '\r' => {}
            c => out.push(c),
        }
    }
    out
}

/// Times, durations and folders as they are not twice the same.
fn settled(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for line in plain(text).lines() {
        let kept: Vec<String> = line
            .split(' ')
            .map(|w| {
                let digits = w.trim_end_matches(',').bytes().filter(u8::is_ascii_digit).count();
                let time =
                    w.contains(':') && digits >= 4 || w.starts_with("20") && w.matches('-').count() == 2;
                let span = digits > 0
                    && w.ends_with(['s', 'm', 'h', 'd'])
                    && w.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b"smhd".contains(&b));
                if time {
                    "TIME".to_owned()
                } else if span {
                    "SPAN".to_owned()
                } else {
                    w.to_owned()
                }
            })
            .collect();
        let line = kept.join(" ").trim_end().to_owned();
        // Widths follow the durations.
        let begins = line.len() - line.trim_start().len();
        let (gap, mut rest) = (line[..begins].to_owned(), line[begins..].to_owned());
        for (from, to) in
            [("   ", "  "), ("TIME TIME", "TIME"), ("SPAN SPAN", "SPAN"), ("SPAN   SPAN", "SPAN  SPAN")]
        {
            while rest.contains(from) {
                rest = rest.replace(from, to);
            }
        }
        words.push(format!("{gap}{rest}"));
    }
    words.join("\n")
}

const TITLE: &str = "修复登录页面的问题，并为所有的错误情况写测试，然后把结果写进文档里";

/// Five tasks were left for the night.
fn night() -> (Board, [String; 6]) {
    let good = format!(
        "{WORKING}mozi output add --title 结果报告 --content 'the answer is 42' --summary 'short'\nmozi comment 'half way'\nmozi report review --detail 'all tests pass'\n"
    );
    let asks = format!(
        "{WORKING}mozi report blocked --kind needs_input --detail '应该使用哪个数据库？Staging has the newest schema, production has the data, and both would do for a while.'\n"
    );
    let critic = "cat >/dev/null\nmozi report reject --detail 'the empty case is missing'\n";
    let stays = format!("{WORKING}echo here\ntouch \"$TEST_DIR/stays\"\nexec sleep 600\n");
    let board = Setup::agents(&[
        ("good", &good, ""),
        ("asks", &asks, ""),
        ("critic", critic, ""),
        ("crash", "echo oh no >&2\nexit 3\n", ""),
        ("stays", &stays, "timeout = \"30m\""),
    ])
    .settings(json!({ "require_output": "never" }))
    .start();
    let add = |body: Value| board.add(&body);
    let result = add(
        json!({ "title": TITLE, "agent": "good", "description": "第一段很长的说明，需要换行才能在窄终端里读。\n\n    code stays", "must_haves": ["没有新的警告"] }),
    );
    let question = add(json!({ "title": "Which database?", "agent": "asks" }));
    let failed = add(json!({ "title": "Crashes", "agent": "crash", "max_attempts": 1 }));
    let after = add(json!({ "title": "After the crash", "agent": "good", "depends_on": [failed] }));
    let ghost = add(json!({ "title": "Ghostly", "agent": "ghost" }));
    let runs = add(json!({ "title": "Long work", "agent": "stays" }));
    board.until(&result, "review");
    board.until(&question, "blocked");
    board.until(&failed, "failed");
    for id in [&result, &question, &failed] {
        board.until_that(id, "through its attempt", |t| t["attempts"][0]["outcome"].is_string());
    }
    wait_for("the long one to print", || board.path("stays").exists().then_some(()));
    board.until(&runs, "working");
    (board, [result, question, failed, after, ghost, runs])
}

fn end(mut board: Board, runs: &str) {
    board.ok(&["task", "cancel", runs]);
    board.down(15);
    drop(board);
}

#[test]
fn the_page_of_the_morning() {
    let (board, [result, question, failed, after, ghost, runs]) = night();
    let page = board.ok(&["status"]);
    insta::assert_snapshot!("the_page_of_the_morning", settled(&page));
    assert_eq!(settled(&board.ok(&[])), settled(&page), "plain `mozi` is the same page");
    assert!(!page.contains('\u{1b}'), "no colours where no terminal is");
    let json: Value = serde_json::from_str(&board.ok(&["status", "--json"])).unwrap();
    assert_eq!(json["blocked"]["items"][0]["task_id"], json!(question));
    assert_eq!(json["running"]["items"][0]["task_id"], json!(runs));
    // Each command that is suggested is one: with what a person fills in.
    board.ok(&["task", "answer", &question, "staging"]);
    board.ok(&["task", "approve", &result]);
    board.ok(&["task", "edit", &after, "--not-after", &failed]);
    board.ok(&["task", "cancel", &ghost]);
    let none = board.ok(&["-p", "default", "status", "--since", "1s", "-n", "1"]);
    assert!(none.contains("default: "), "{none}");
    for (args, said) in [
        (&["status", "--since", "yesterday"][..], "22:30"),
        (&["status", "-n", "0"], "1..=500"),
        (&["status", "--watch"], "terminal"),
        (&["status", "--watch", "--json"], "cannot be used"),
    ] {
        let out = board.mozi(args);
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(said), "{args:?}: {out:?}");
    }
    let out = board.mozi(&["-p", "nowhere", "status"]);
    assert_eq!(out.status.code(), Some(1));
    end(board, &runs);
}

#[test]
fn a_page_fits_its_terminal_in_colours() {
    let (board, [result, .., runs]) = night();
    for (columns, args) in [(60, &["status"][..]), (60, &["task", "show", &result]), (200, &["status"])] {
        let (status, text) = Terminal::start(&board, args, columns, 50).end();
        assert!(status.success(), "{text}");
        assert!(text.contains("\u{1b}[1m"), "{text}");
        for line in plain(&text).lines() {
            let wide = unicode_width::UnicodeWidthStr::width(line);
            assert!(wide <= usize::from(columns), "{wide} columns of {columns}: {line:?}");
        }
    }
    end(board, &runs);
}

#[test]
fn a_task_is_a_page_to_read() {
    let (board, [result, _, failed, after, _, runs]) = night();
    board.ok(&["task", "reject", &result, "-m", "标题还缺少"]);
    board.until_that(&result, "tried again", |t| t["attempts"][1]["outcome"].is_string());
    let page = board.ok(&["task", "show", &result]);
    insta::assert_snapshot!("a_task_is_a_page_to_read", settled(&page));
    let broken = board.ok(&["task", "show", &failed]);
    assert!(
        broken.contains("crashed (exit status)")
            && broken.contains(&format!("mozi logs {failed} --attempt 1 --stderr")),
        "{broken}"
    );
    let waits = board.ok(&["task", "show", &after]);
    assert!(waits.contains(&format!("waits for task {failed}, which has ended as failed")), "{waits}");
    assert!(waits.contains(&format!("mozi task retry {failed}")), "{waits}");
    end(board, &runs);
}

#[test]
fn a_watched_page_moves_with_the_board() {
    let mut board = Setup::agents(&[("a", "cat >/dev/null\n", "")]).start();
    board.ok(&["project", "set", "default", "dispatch=manual"]);
    let mut watcher = Terminal::start(&board, &["status", "--watch"], 80, 20);
    watcher.until("\u{1b}[?1049h");
    watcher.until("No tasks yet");
    let id = board.add(&json!({ "title": "the first" }));
    watcher.until("dispatched by hand");
    board.ok(&["task", "hold", &id]);
    watcher.until("1 blocked");
    // A new size is a new page.
    let size = rustix::termios::Winsize { ws_col: 40, ws_row: 8, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&watcher.hand, size).unwrap();
    kill(watcher.child.id(), 28);
    watcher.until("Ctrl-C ends");
    // The board goes and comes back.
    board.down(15);
    watcher.until("trying again");
    board.up();
    board.ok(&["task", "cancel", &id]);
    watcher.until("1 cancelled");
    kill(watcher.child.id(), 2);
    let (status, rest) = watcher.end();
    assert!(status.success(), "{status}");
    assert!(
        rest.contains("\u{1b}[?25h") && rest.contains("\u{1b}[?1049l"),
        "the screen is given back: {rest:?}"
    );
    board.finish();
}

#[test]
fn plain_mozi_without_a_board_says_how_to_begin() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        command(env!("CARGO_BIN_EXE_mozi"))
            .args(args)
            .env("HOME", home.path())
            .current_dir(home.path())
            .output()
            .unwrap()
    };
    let out = run(&[]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{out:?}");
    assert!(["mozi demo", "mozi init", "mozi serve"].iter().all(|c| said.contains(c)), "{said}");
    assert_eq!(run(&["status"]).status.code(), Some(3));
    assert_eq!(run(&["--json"]).status.code(), Some(3));
}

#[test]
fn small_things_that_fingers_expect() {
    let board = Setup::agents(&[
        ("a", &format!("{WORKING}mozi report failed --detail no >/dev/null\necho one\nprintf two"), ""),
        ("held", &format!("{WORKING}touch \"$TEST_DIR/held\"\nexec sleep 600\n"), ""),
    ])
    .start();
    let id = board.add(&json!({ "title": "x", "agent": "a" }));
    board.until(&id, "failed");
    board.until_that(&id, "through", |t| t["attempts"][0]["outcome"].is_string());
    let lines: Vec<Value> =
        board.ok(&["logs", &id, "--json"]).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|l| l["line"].as_str().unwrap()).collect();
    assert!(told.ends_with(&["one", "two"]), "{told:?}");
    assert_eq!(lines[0]["stream"], "stdout");
    // Flags behind a text, and a text that begins with a dash.
    let said: Value = serde_json::from_str(&board.ok(&["comment", &id, "a word", "--json"])).unwrap();
    assert_eq!(said["comment_id"], 1);
    board.ok(&["comment", &id, "- a list"]);
    assert_eq!(board.task(&id)["comments"][1]["body"], "- a list");
    // Several at once: what went well is told beside what did not.
    let other = board.add(&json!({ "title": "y", "agent": "nobody" }));
    let out = board.mozi(&["task", "cancel", &other, "999", "998"]);
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("999") && said.contains("998") && said.contains("1 of 3 done"), "{said}");
    // Said once.
    let out = board.mozi(&["task", "add", "z", "-a", "ghost"]);
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(said.matches("no runner knows").count(), 1, "{said}");
    let held = board.add(&json!({ "title": "long", "agent": "held" }));
    wait_for("it to run", || board.path("held").exists().then_some(()));
    let list = board.ok(&["session", "list"]);
    let line = list.lines().find(|l| l.contains("held")).unwrap().to_owned();
    assert!(list.contains("FOR") && !line.trim_end().ends_with('-'), "{list}");
    board.ok(&["task", "cancel", &held]);
    board.finish();
}

#[test]
fn a_data_folder_that_others_can_read_is_told_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut board = Setup::agents(&[("a", "true", "")]).start();
    assert!(!board.log().contains("chmod 700"), "{}", board.log());
    board.down(15);
    std::fs::set_permissions(board.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    board.up();
    assert!(board.log().contains("chmod 700"), "{}", board.log());
    board.finish();
}

#[test]
fn a_board_that_is_not_running_is_not_taken_for_none() {
    let mut board = Setup::agents(&[("good", "true", "")]).start();
    board.down(15);
    for words in [&[][..], &["status"], &["task", "list"]] {
        let said = board.mozi(words);
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(3), "{words:?}: {text}");
        assert!(text.contains("the board is not running; its data are in"), "{words:?}: {text}");
        assert!(text.contains("mozi up"), "{words:?}: {text}");
    }
}
