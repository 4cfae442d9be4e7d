//! The board as a service: detached, under systemd, on a terminal; agents outlive all of it.

use std::{
    fs,
    io::Read,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    PATIENCE, WORKING, alive, command, kill, marked, read, start_time, wait_exit, wait_for, wait_gone,
};

mod systemd;

/// Works until the file `go` is there.
const PATIENT: &str = r#"cat > /dev/null
env > "$TEST_DIR/env"
echo "$$" > "$TEST_DIR/pid"
until [ -e "$TEST_DIR/go" ]; do sleep 0.05; done
mozi output add --title result --content done
mozi report review
"#;

/// A home with a configuration; whatever is started in it is gone at the end.
struct Home {
    dir: tempfile::TempDir,
    mark: String,
    env: Vec<(String, PathBuf)>,
}

impl Home {
    fn new(name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("mozi-up-").tempdir().unwrap();
        let home = Self { mark: format!("mozi-service-{}-{name}", std::process::id()), dir, env: Vec::new() };
        let script = WORKING.to_owned() + PATIENT;
        fs::write(home.path("a.sh"), script).unwrap();
        fs::create_dir_all(home.path("config/mozi")).unwrap();
        let config = "[server]\nlisten = \"127.0.0.1:0\"\n[agents.a]\nruntime = \"command\"\ncommand = [\"bash\", \"../../a.sh\"]\nmax_sessions = 1\n";
        fs::write(
            home.path("config/mozi/mozi.toml"),
            config.replace("../../a.sh", home.path("a.sh").to_str().unwrap()),
        )
        .unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut c = command(program);
        c.current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_DATA_HOME", self.path("share"))
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env("TEST_MARK", &self.mark)
            .env("TEST_DIR", self.dir.path())
            .env("LANG", "C.UTF-8")
            .envs(self.env.iter().map(|(k, v)| (k, v)));
        c
    }

    fn mozi_command(&self, words: &[&str]) -> Command {
        let mut c = self.command(env!("CARGO_BIN_EXE_mozi"));
        c.args(words);
        c
    }

    fn mozi(&self, words: &[&str]) -> Output {
        self.mozi_command(words).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let out = self.mozi(words);
        assert!(out.status.success(), "mozi {words:?}: {}", said(&out));
        String::from_utf8(out.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// A task for the agent, which is at work at it; the process.
    fn working(&self) -> (u32, String) {
        self.ok(&["task", "add", "patient", "-a", "a", "--id", "first"]);
        let pid = wait_for("the agent", || read(&self.path("pid")).strip_suffix('\n')?.parse().ok());
        (pid, start_time(pid))
    }

    fn until(&self, task: &str, status: &str) {
        wait_for(&format!("{task} to be {status}"), || {
            (self.json(&["task", "show", task])["status"] == status).then_some(())
        });
    }

    fn go(&self) {
        fs::write(self.path("go"), "").unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for _ in 0..100 {
            let left = marked(&self.mark);
            if left.is_empty() {
                return;
            }
            for (pid, _) in left {
                kill(pid, 9);
            }
        }
    }
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn up_detached_twice_stop_and_up_again_with_the_same_agent() {
    let home = Home::new("detached");
    let up = home.json(&["up", "--detach"]);
    assert_eq!((&up["up"], &up["already"], &up["by"]), (&json!(true), &json!(false), &json!("detached")));
    let server = u32::try_from(up["pid"].as_u64().unwrap()).unwrap();
    assert_eq!(session_of(server), server, "it has left the terminal");
    let again = home.json(&["up", "--detach"]);
    assert_eq!((&again["already"], &again["pid"], &again["url"]), (&json!(true), &up["pid"], &up["url"]));
    let (pid, born) = home.working();
    let env = wait_for("the agent's environment", || Some(read(&home.path("env"))).filter(|e| !e.is_empty()));
    assert!(!env.contains("NOTIFY_SOCKET"), "an agent must not speak for the server: {env}");
    let text = home.ok(&["stop"]);
    assert!(text.contains("one agent stays at work: a at default/first"), "{text}");
    assert!(!alive(server) && alive(pid) && start_time(pid) == born);
    assert!(home.ok(&["stop"]).contains("no board runs"));
    home.ok(&["up", "--detach"]);
    assert_eq!(home.json(&["session", "list"]).as_array().map_or(0, Vec::len), 1);
    home.go();
    home.until("first", "review");
    assert_eq!(home.json(&["task", "show", "first"])["attempt_number"], 1);
    let down = home.json(&["down"]);
    assert_eq!((&down["stopped"], down["at_work"].as_array().map(Vec::len)), (&json!(true), Some(0)));
    assert_eq!(wait_gone(&home.mark), []);
    assert!(read(&home.path("share/mozi/serve.log")).contains("mozi is ready at"));
}

fn session_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().parse().unwrap()
}

#[test]
fn what_keeps_it_from_starting_is_told_at_once() {
    let home = Home::new("refused");
    let file = home.path("config/mozi/mozi.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, "[server]\nlistn = 1\n").unwrap();
    let out = home.mozi(&["up", "--detach"]);
    assert!(out.status.code() == Some(1) && said(&out).contains("mozi.toml:2:1"), "{}", said(&out));
    fs::write(&file, good).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let out = home.mozi(&["up", "--detach", "--listen", &address]);
    assert!(out.status.code() == Some(1) && said(&out).contains("could not listen on"), "{}", said(&out));
    assert_eq!(wait_gone(&home.mark), []);
}

fn drain(home: &Home) -> (Child, PathBuf) {
    let file = home.path("drain.log");
    let log = fs::File::create(&file).unwrap();
    let child =
        home.mozi_command(&["stop", "--drain"]).stderr(log.try_clone().unwrap()).stdout(log).spawn().unwrap();
    wait_for("stop --drain to wait", || read(&file).contains("waiting for a at default/first").then_some(()));
    (child, file)
}

#[test]
fn stop_drain_starts_nothing_waits_and_stops() {
    let home = Home::new("drain");
    let up = home.json(&["up", "--detach"]);
    home.working();
    let (mut child, log) = drain(&home);
    home.ok(&["task", "add", "later", "-a", "a", "--id", "later"]);
    let why = home.ok(&["why", "later"]);
    assert!(why.contains("about to be stopped"), "{why}");
    let start = home.mozi(&["session", "start", "a", "-m", "now"]);
    assert!(!start.status.success(), "{}", said(&start));
    home.go();
    assert!(wait_exit(&mut child).success(), "{}", read(&log));
    assert!(!alive(u32::try_from(up["pid"].as_u64().unwrap()).unwrap()));
    assert_eq!(wait_gone(&home.mark), []);
    // The next start knows nothing of it: what waited is done.
    home.ok(&["up", "--detach"]);
    home.until("first", "review");
    home.until("later", "review");
    home.ok(&["down"]);
}

#[test]
fn a_drain_that_is_broken_off_leaves_a_board_that_works() {
    let home = Home::new("broken-off");
    home.ok(&["up", "--detach"]);
    home.working();
    let (mut child, log) = drain(&home);
    kill(child.id(), 2);
    assert_eq!(wait_exit(&mut child).code(), Some(1));
    assert!(read(&log).contains("claims tasks again"), "{}", read(&log));
    home.ok(&["task", "add", "later", "-a", "a", "--id", "later"]);
    home.go();
    home.until("first", "review");
    home.until("later", "review");
    home.ok(&["down"]);
}

#[test]
fn a_service_manager_hears_of_ready_reload_and_stop() {
    let home = Home::new("notify");
    let socket = UnixDatagram::bind(home.path("n")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut buffer = [0; 500];
        let n = socket.recv(&mut buffer).expect("a word of the server");
        String::from_utf8_lossy(&buffer[..n]).lines().next().unwrap_or_default().to_owned()
    };
    let log = fs::File::create(home.path("serve.log")).unwrap();
    let mut serve = home
        .mozi_command(&["serve"])
        .env("NOTIFY_SOCKET", home.path("n"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    assert_eq!(hear(), "READY=1");
    kill(serve.id(), 1);
    assert_eq!([hear(), hear()], ["RELOADING=1", "READY=1"]);
    kill(serve.id(), 15);
    assert_eq!(hear(), "STOPPING=1");
    assert!(wait_exit(&mut serve).success());
    assert!(!read(&home.path("serve.log")).contains("closing this terminal"));
}

#[test]
fn a_terminal_that_is_closed_ends_the_board_and_no_agent() {
    let home = Home::new("terminal");
    let script = format!("exec {} serve", env!("CARGO_BIN_EXE_mozi"));
    let there = home.command("script").arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        eprintln!("skipped: no `script` to make a terminal with");
        return;
    }
    let mut terminal = home
        .command("script")
        .args(["-qfc", &script, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = String::new();
    let mut stdout = terminal.stdout.take().unwrap();
    let mut buffer = [0; 1024];
    while !shown.contains("closing this terminal ends the board, not the agents") {
        let n = stdout.read(&mut buffer).unwrap();
        assert!(n > 0, "{shown}");
        shown += &String::from_utf8_lossy(&buffer[..n]);
    }
    let (pid, born) = home.working();
    let server = fs::read_to_string(home.path("share/mozi/server.json")).unwrap();
    let server: Value = serde_json::from_str(&server).unwrap();
    let server = u32::try_from(server["pid"].as_u64().unwrap()).unwrap();
    kill(terminal.id(), 9);
    wait_exit(&mut terminal);
    wait_for("the board to end", || (!alive(server)).then_some(()));
    assert!(!home.path("share/mozi/server.json").exists(), "it ended in order");
    assert!(alive(pid) && start_time(pid) == born);
    home.ok(&["up", "--detach"]);
    home.go();
    home.until("first", "review");
    home.ok(&["down"]);
}
