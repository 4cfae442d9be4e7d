//! Two boards on one machine whose data folders know the same sessions: one is a backup of the other.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Child,
};

use serde_json::{Value, json};

use crate::support::{Board, Setup, alive, kill, request, start_time, wait_exit, wait_for};

const SLEEPER: &str =
    "cat > /dev/null; mozi report working; echo $$ > \"$TEST_DIR/sleeper\"; exec sleep 1000";

/// A second board with the configuration of the first, in a data folder of its own.
struct Second<'a> {
    of: &'a Board,
    data: PathBuf,
    port: u16,
    serve: Child,
}

impl<'a> Second<'a> {
    fn start(of: &'a Board, data: &Path, more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let log = fs::OpenOptions::new().create(true).append(true).open(of.path("second.log")).unwrap();
        let args = [&["serve", "--data", data.to_str().unwrap(), "--listen", &listen], more].concat();
        let serve = of
            .mozi_command(&args)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("mozi serve can be started");
        let second = Self { of, data: data.to_owned(), port, serve };
        wait_for("the second board", || {
            (request(port, "GET", "/readyz", &[], "").ok()?.0 == 200).then_some(())
        });
        second
    }

    fn log(&self) -> String {
        fs::read_to_string(self.of.path("second.log")).unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let out = self.of.mozi_command(args).env("MOZI_DATA", &self.data).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
        text
    }

    fn get(&self, path: &str) -> Value {
        let token = fs::read_to_string(self.data.join("token")).unwrap();
        let auth = format!("Bearer {}", token.trim());
        let (status, body) = request(self.port, "GET", path, &[("authorization", &auth)], "").unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn down(mut self) {
        kill(self.serve.id(), 15);
        assert!(wait_exit(&mut self.serve).success(), "{}", self.log());
    }
}

impl Drop for Second<'_> {
    fn drop(&mut self) {
        // It has ended, unless the test broke.
        drop(self.serve.kill());
        drop(self.serve.wait());
    }
}

#[test]
fn a_restored_backup_is_served_beside_the_board_at_work_and_ends_nothing_of_it() {
    let board = Setup::agents(&[("sleeper", SLEEPER, "")]).start();
    let live = board.add(&json!({ "title": "at work", "agent": "sleeper" }));
    let pid: u32 = board.file("sleeper").parse().unwrap();
    let began = start_time(pid);
    board.ok(&["backup", board.path("saved.tar").to_str().unwrap()]);
    let elsewhere = board.path("elsewhere");
    let to = elsewhere.to_str().unwrap();
    let restored = board.mozi(&["restore", board.path("saved.tar").to_str().unwrap(), "--data", to]);
    let said = String::from_utf8_lossy(&restored.stderr);
    assert!(restored.status.success(), "{said}");
    assert!(said.contains(&format!("`mozi serve --data {to} --listen 127.0.0.1:0`")), "{said}");

    let session =
        board.get("/api/sessions?active=true")["items"][0]["session_id"].as_str().unwrap().to_owned();
    let task = format!("/api/projects/default/tasks/{live}?expand=all");
    let first = board.data().display().to_string();
    // Each start looks anew, and the follower of the session goes on looking.
    for (looks, more) in [&[][..], &["--dry-run"], &[], &["--dry-run"], &[]].into_iter().enumerate() {
        let second = Second::start(&board, &elsewhere, more);
        wait_for("the second board to look", || {
            (second.log().matches("cannot be ended yet").count() > looks).then_some(())
        });
        // What the start before has said is there until this one has looked.
        let expected = if more.is_empty() { "another data folder" } else { "a dry run ends nothing" };
        wait_for("the session to be held up", || {
            let told = second.get(&task);
            told["waiting_for"][0]["held_up"]["detail"].as_str()?.contains(expected).then_some(())
        });
        assert!(alive(pid) && start_time(pid) == began, "the first board's agent");
        assert_eq!(second.get(&task)["attempts"][0]["outcome"], Value::Null);
        if more.is_empty() {
            for args in [&["why", &live][..], &["status"], &["session", "show", &session]] {
                let said = second.ok(args);
                let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(flat.contains("another data folder") && flat.contains(&first), "{args:?}: {said}");
            }
        }
        second.down();
    }

    // A person's word lets go of it here; there it goes on.
    let second = Second::start(&board, &elsewhere, &["--dry-run"]);
    second.ok(&["session", "clean", &session, "--force"]);
    wait_for("the attempt to be closed", || {
        (second.get(&task)["attempts"][0]["outcome"] == "lost").then_some(())
    });
    second.down();
    assert!(alive(pid) && start_time(pid) == began, "the first board's agent");
    assert_eq!(board.task(&live)["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(board.task(&live)["status"], "working");
    board.ok(&["task", "cancel", &live]);
    board.finish();
}
