//! The first minutes: starting, being refused with one clear sentence, init, doctor, demo.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use serde_json::{Value, json};

use crate::support::{Setup, command, is_root, marked, read, wait_gone};

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// `mozi ARGS` in a home of its own, as an ordinary user if asked for.
fn mozi(home: &Path, args: &[&str], ordinary: bool) -> Output {
    let mut c = if ordinary && is_root() {
        let own = home.join("mozi");
        fs::copy(env!("CARGO_BIN_EXE_mozi"), &own).unwrap();
        assert!(command("chown").args(["-R", "65534:65534"]).arg(home).status().unwrap().success());
        let mut c = command("setpriv");
        c.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(own);
        c
    } else {
        command(env!("CARGO_BIN_EXE_mozi"))
    };
    c.args(args).env("HOME", home).env("TMPDIR", home).current_dir(home).output().unwrap()
}

#[track_caller]
fn refused(home: &Path, args: &[&str], ordinary: bool, with: &[&str]) {
    let out = mozi(home, args, ordinary);
    assert_eq!(out.status.code(), Some(1), "mozi {args:?}: {}", said(&out));
    for text in with {
        assert!(said(&out).contains(text), "mozi {args:?} does not say {text:?}:\n{}", said(&out));
    }
}

#[test]
fn a_port_in_use() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let holder = format!("pid {}", std::process::id());
    refused(home.path(), &["serve", "--listen", &listen], false, &[&listen, &holder, "--listen"]);
}

#[test]
fn a_data_folder_in_use_by_another_server() {
    let board = Setup::agents(&[]).start();
    let data = board.data();
    let pid = board.serve.as_ref().unwrap().id();
    refused(
        board.dir.path(),
        &["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()],
        false,
        &[&format!("pid {pid}"), "in use", data.to_str().unwrap()],
    );
    // It is still there and still the same.
    assert_eq!(board.get("/api/projects/default")["project_id"], "default");
    board.finish();
}

#[test]
fn a_data_folder_that_cannot_be_written_to() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = home.path().join("locked");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).unwrap();
    let named = data.to_str().unwrap();
    refused(
        home.path(),
        &["serve", "--listen", "127.0.0.1:0", "--data", named],
        true,
        &[named, "permission denied", "--data"],
    );
}

#[test]
fn a_data_folder_of_a_newer_mozi() {
    let mut board = Setup::agents(&[]).start();
    board.down(15);
    let file = board.data().join("mozi.db");
    // The format stands in bytes 60 to 63 of an SQLite file; the server has ended and left no journal.
    let mut bytes = fs::read(&file).unwrap();
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    fs::write(&file, &bytes).unwrap();
    let named = board.data().to_str().unwrap().to_owned();
    refused(
        board.dir.path(),
        &["serve", "--listen", "127.0.0.1:0", "--data", &named],
        false,
        &["999", "newer", "mozi.db"],
    );
    assert_eq!(fs::read(&file).unwrap(), bytes, "nothing was changed");
}

#[test]
fn a_bad_configuration() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mozi.toml");
    fs::write(&file, "[agents.a]\nruntime = \"command\"\ncomand = [\"x\"]\n").unwrap();
    let named = file.to_str().unwrap();
    refused(home.path(), &["serve", "--config", named], false, &["mozi.toml:3:1", "did you mean `command`?"]);
    assert!(!home.path().join(".local").exists(), "nothing was made");
    refused(
        home.path(),
        &["serve", "--config", "/no/such/mozi.toml"],
        false,
        &["/no/such/mozi.toml", "mozi init"],
    );
}

#[test]
fn more_than_loopback_needs_a_word() {
    let home = tempfile::tempdir().unwrap();
    refused(
        home.path(),
        &["serve", "--listen", "0.0.0.0:0"],
        false,
        &["0.0.0.0:0", "tls_cert", "insecure_listen"],
    );
}

#[test]
fn a_dry_run_starts_nothing() {
    let mut board = Setup::agents(&[("a", "echo ran | tee \"$TEST_DIR/ran\"", "verdict = \"exit\"")]).start();
    board.down(15);
    let listen = format!("127.0.0.1:{}", board.port);
    let log = fs::File::create(board.path("dry.log")).unwrap();
    let child = board.mozi_command(&["serve", "--dry-run", "--listen", &listen]).stdout(log).spawn().unwrap();
    board.serve = Some(child);
    crate::support::wait_for("it to be ready", || {
        (crate::support::request(board.port, "GET", "/readyz", &[], "").ok()?.0 == 200).then_some(())
    });
    let id = board.add(&json!({ "title": "nothing", "agent": "a" }));
    let task = board.until(&id, "blocked");
    assert_eq!((&task["kind"], &task["attempts"][0]["outcome"]), (&json!("dry_run"), &json!("dry_run")));
    let session = task["attempts"][0]["session_id"].as_str().unwrap();
    let dir = board.data().join("sessions").join(session);
    assert!(dir.join("prompt.md").exists() && dir.join("spec.json").exists());
    assert!(!board.path("ran").exists());
    // All is there to be read, and nothing was used up; held back is another reason.
    assert!(board.ok(&["task", "prompt", &id]).contains("nothing"));
    assert!(read(&dir.join("prompt.md")).contains("nothing"));
    let held = board.add(&json!({ "title": "later", "agent": "a", "held": true }));
    assert!(board.ok(&["task", "release", "--kind", "dry-run"]).contains("held"));
    board.down(15);
    board.up();
    let said = board.ok(&["task", "release", "--kind", "dry_run", "-m", "the shadow is over"]);
    assert!(said.contains("released") && !said.contains(&format!("/{held} ")), "{said}");
    let task = board.until(&id, "review");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2);
    assert!(board.path("ran").exists());
    assert_eq!(board.get(&format!("/api/projects/default/tasks/{held}"))["status"], "blocked");
    board.finish();
}

#[test]
fn init_writes_what_works_and_never_overwrites() {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    for name in ["claude", "codex", "openclaw"] {
        fs::write(bin.join(name), "#!/bin/sh\n").unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir(home.path().join(".openclaw")).unwrap();
    fs::write(
        home.path().join(".openclaw/openclaw.json"),
        "{ // mine\n agents: 0 }".replace(
            "agents: 0",
            "\"agents\": {\"entries\": {\"coder\": {\"workspace\": \"/w\"}, \"开发者\": {}}},",
        ),
    )
    .unwrap();
    let source = home.path().join("my app");
    fs::create_dir_all(source.join(".git")).unwrap();
    fs::create_dir_all(source.join("src")).unwrap();
    let init = |args: &[&str]| {
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let mut c = command(env!("CARGO_BIN_EXE_mozi"));
        c.args(args)
            .env("HOME", home.path())
            .env("PATH", path)
            .current_dir(source.join("src"))
            .output()
            .unwrap()
    };
    let out = init(&["init"]);
    assert!(out.status.success(), "{}", said(&out));
    for word in ["claude", "codex", "coder", "my-app", "mozi serve"] {
        assert!(said(&out).contains(word), "{word} is missing in {}", said(&out));
    }
    let file = home.path().join(".config/mozi/mozi.toml");
    let text = read(&file);
    assert!(
        text.contains("acceptEdits")
            && text.contains("workspace-write")
            && text.contains("runtime = \"openclaw\"")
    );
    let again = init(&["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("stays as it is"), "{}", said(&again));
    assert_eq!(read(&file), text);
}

#[test]
fn doctor_finds_what_is_wrong_and_says_the_way_out() {
    let board = Setup::agents(&[("a", "exit 0", "")]).start();
    let out = board.mozi(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(out.status.success(), "{report:#}");
    let checks: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|f| f["check"].as_str().unwrap()).collect();
    for wanted in ["config", "data", "secrets", "locks", "database", "rules", "server", "agent"] {
        assert!(checks.contains(&wanted), "{wanted} was not looked at: {checks:?}");
    }
    fs::set_permissions(board.data().join("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let config = read(&board.path("mozi.toml"));
    fs::write(
        board.path("mozi.toml"),
        config + "[agents.ghost]\nruntime = \"command\"\ncommand = [\"/no/such\"]\n",
    )
    .unwrap();
    let out = board.mozi(&["doctor"]);
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    for text in ["chmod 600", "ghost cannot be started", "2 things are wrong"] {
        assert!(said(&out).contains(text), "{text} is missing in {}", said(&out));
    }
    fs::set_permissions(board.data().join("token"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(board.path("mozi.toml"), "").unwrap();
    board.finish();
}

/// The demo, in a shell that another agent has opened.
fn demo(args: &[&str]) -> (tempfile::TempDir, String, Output) {
    let home = tempfile::tempdir().unwrap();
    let mark = format!("mozi-demo-test-{}-{}", std::process::id(), args.len());
    let out = command(env!("CARGO_BIN_EXE_mozi"))
        .args(args)
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("TEST_MARK", &mark)
        .envs([
            ("OPENCLAW_SHELL", "exec"),
            ("CLAUDECODE", "1"),
            ("MOZI_URL", "http://127.0.0.1:9"),
            ("MOZI_TOKEN", "x"),
        ])
        .envs([("MOZI_SESSION_ID", "00000000-0000-4000-8000-000000000000"), ("MOZI_TASK", "7")])
        .current_dir(home.path())
        .output()
        .unwrap();
    (home, mark, out)
}

#[test]
fn the_demo_tells_a_story_and_leaves_nothing() {
    let (home, mark, out) = demo(&["demo"]);
    let story = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{}", said(&out));
    for text in ["sends it back: 1 is not a prime", "attempt 3", "add up to 1060", "mozi init"] {
        assert!(story.contains(text), "{text:?} is missing in\n{story}");
    }
    assert_eq!(story.matches("done").count(), 3, "two tasks, and one that waits for the other:\n{story}");
    let left = wait_gone(&mark);
    assert!(left.is_empty(), "left behind: {left:?}");
    let files: Vec<_> = fs::read_dir(home.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(files.is_empty(), "left behind: {files:?}");
}

#[test]
fn a_kept_demo_can_be_gone_on_with() {
    let (home, mark, out) = demo(&["demo", "--keep"]);
    assert!(out.status.success(), "{}", said(&out));
    let kept = fs::read_dir(home.path()).unwrap().flatten().next().expect("a folder").path();
    assert!(said(&out).contains(kept.to_str().unwrap()), "{}", said(&out));
    let data = kept.join("data");
    let doctor = mozi(home.path(), &["doctor", "--json", "--data", data.to_str().unwrap()], false);
    assert!(doctor.status.success(), "{}", said(&doctor));
    assert!(marked(&mark).is_empty());
}

/// A process that does not outlive its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            crate::support::kill(self.0.id(), 9);
            crate::support::wait_exit(&mut self.0);
        }
    }
}

#[test]
fn with_a_certificate_it_speaks_tls() {
    let home = tempfile::tempdir().unwrap();
    let certificate = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls/cert.pem");
    let key = certificate.with_file_name("key.pem");
    let config = format!("[server]\ntls_cert = {certificate:?}\ntls_key = {key:?}\n");
    fs::write(home.path().join("mozi.toml"), config).unwrap();
    let tls = |args: &[&str]| {
        let mut c = command(env!("CARGO_BIN_EXE_mozi"));
        c.args(args).env("HOME", home.path()).env("SSL_CERT_FILE", &certificate).current_dir(home.path());
        c
    };
    let serve = tls(&["serve", "--config", "mozi.toml", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut serve = Killed(serve);
    let place = home.path().join(".local/share/mozi/server.json");
    let url = crate::support::wait_for("the board", || {
        let server: Value = serde_json::from_str(&read(&place)).ok()?;
        Some(server["url"].as_str()?.to_owned())
    });
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let listed = tls(&["--url", &url, "project", "list", "--json"]).output().unwrap();
    assert!(listed.status.success() && said(&listed).contains("default"), "{}", said(&listed));
    // By its address: the socket of this machine needs no certificate.
    let stranger =
        tls(&["--url", &url, "project", "list"]).env("SSL_CERT_FILE", "/dev/null").output().unwrap();
    assert_eq!(stranger.status.code(), Some(3), "{}", said(&stranger));
    assert!(said(&stranger).contains("SSL_CERT_FILE"), "{}", said(&stranger));
    let curl = command("curl")
        .args(["-sS", "--noproxy", "*", "--cacert"])
        .arg(&certificate)
        .arg(format!("{url}/readyz"))
        .output()
        .unwrap();
    assert!(curl.status.success(), "{}", said(&curl));
    crate::support::kill(serve.0.id(), 15);
    assert!(crate::support::wait_exit(&mut serve.0).success());
    fs::write(home.path().join("key.pem"), "no key").unwrap();
    let config = format!("[server]\ntls_cert = {certificate:?}\ntls_key = \"key.pem\"\n");
    fs::write(home.path().join("mozi.toml"), config).unwrap();
    refused(
        home.path(),
        &["serve", "--config", "mozi.toml", "--listen", "127.0.0.1:0"],
        false,
        &["key.pem", "could not use"],
    );
}
