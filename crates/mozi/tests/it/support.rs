//! The real binary on a free port in a temporary folder, and what tests ask of it.

use std::{
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Looks until `what` is there. The one place that waits by looking again.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        pause(Duration::from_millis(10));
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that waits by looking again")]
fn pause(for_so_long: Duration) {
    std::thread::sleep(for_so_long);
}

/// The environment without what an outer agent or an outer Mozi left in it.
pub(crate) fn clean_env() -> Vec<(OsString, OsString)> {
    const MARKS: &[&str] = &["MOZI_", "OPENCLAW_", "CLAUDE", "CODEX_", "GEMINI_", "OPENCODE", "CURSOR_"];
    std::env::vars_os()
        .filter(|(k, _)| !MARKS.iter().any(|m| k.to_string_lossy().starts_with(m)))
        .filter(|(k, _)| !k.to_string_lossy().to_lowercase().ends_with("_proxy"))
        .collect()
}

/// Starts nothing but gives a command in a clean environment.
#[expect(clippy::disallowed_methods, reason = "tests start processes")]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut c = Command::new(program);
    c.env_clear().envs(clean_env()).stdin(Stdio::null());
    c
}

/// A status code and a body.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// A board in a temporary folder. Dropped, it kills everything that was started under it.
pub(crate) struct Board {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) mark: String,
    pub(crate) serve: Option<Child>,
    pub(crate) binary: PathBuf,
    extra_env: Vec<(String, String)>,
    reuid: bool,
}

/// What a board is made of.
pub(crate) struct Setup {
    pub(crate) config: String,
    pub(crate) scripts: Vec<(String, String)>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) own_binary: bool,
    pub(crate) reuid: bool,
    pub(crate) settings: Value,
    /// Scripts that are programs themselves.
    pub(crate) programs: Vec<String>,
}

impl Setup {
    /// Agents that are bash scripts: (name, script, more lines of its table).
    pub(crate) fn agents(agents: &[(&str, &str, &str)]) -> Self {
        let mut config = String::from("[runner]\nmax_sessions = 8\n\n");
        let mut scripts = Vec::new();
        for (name, script, more) in agents {
            config += &format!(
                "[agents.{name}]\nruntime = \"command\"\ncommand = [\"bash\", \"{{config_dir}}/{name}.sh\"]\n{more}\n\n"
            );
            scripts.push((format!("{name}.sh"), (*script).to_owned()));
        }
        Self {
            config,
            scripts,
            env: Vec::new(),
            own_binary: false,
            reuid: false,
            settings: json!({}),
            programs: Vec::new(),
        }
    }

    /// Makes a program of one of its scripts.
    pub(crate) fn program(mut self, script: &str) -> Self {
        self.programs.push(script.to_owned());
        self
    }

    pub(crate) fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    pub(crate) fn start(self) -> Board {
        Board::start(self)
    }
}

impl Board {
    fn start(setup: Setup) -> Self {
        let dir = tempfile::Builder::new().prefix("mozi-it-").tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(dir.path().join("mozi.toml"), &setup.config).unwrap();
        for (name, text) in &setup.scripts {
            fs::write(dir.path().join(name), text).unwrap();
        }
        for name in &setup.programs {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_mozi"));
        let reuid = setup.reuid && is_root();
        if setup.own_binary || reuid {
            let own = dir.path().join("mozi");
            fs::copy(&binary, &own).unwrap();
            binary = own;
        }
        if reuid {
            assert!(command("chown").args(["-R", "65534:65534"]).arg(dir.path()).status().unwrap().success());
        }
        let mark = format!("mozi-test-{}-{port}", std::process::id());
        let mut board = Self { dir, port, mark, serve: None, binary, extra_env: setup.env, reuid };
        board.up();
        if setup.settings.as_object().is_some_and(|o| !o.is_empty()) {
            let set = board.api("PATCH", "/api/projects/default", &json!({ "settings": setup.settings }));
            assert_eq!(set.status, 200, "{}", set.body);
        }
        board
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// `mozi` with this board's environment, not yet started.
    pub(crate) fn mozi_command(&self, args: &[&str]) -> Command {
        let mut c = if self.reuid {
            let mut c = command("setpriv");
            c.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&self.binary);
            c
        } else {
            command(&self.binary)
        };
        c.args(args)
            .current_dir(self.dir.path())
            .env("MOZI_CONFIG", self.path("mozi.toml"))
            .env("MOZI_DATA", self.data())
            .env("HOME", self.dir.path())
            .env("TEST_MARK", &self.mark)
            .env("TEST_DIR", self.dir.path())
            .env("LANG", "C.UTF-8")
            .envs(self.extra_env.iter().map(|(k, v)| (k, v)));
        c
    }

    /// `mozi ARGS`, to its end.
    pub(crate) fn mozi(&self, args: &[&str]) -> Output {
        self.mozi_command(args).output().expect("mozi can be started")
    }

    /// `mozi ARGS`, which must succeed; its standard output.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let out = self.mozi(args);
        assert!(
            out.status.success(),
            "mozi {args:?}: {}\n{}{}",
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    }

    /// Starts `mozi serve` and waits until it is ready.
    pub(crate) fn up(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("serve.log")).unwrap();
        let listen = format!("127.0.0.1:{}", self.port);
        let mut child = self
            .mozi_command(&["serve", "--listen", &listen])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("mozi serve can be started");
        wait_for("mozi serve to be ready", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!(
                    "mozi serve ended with {status}:\n{}",
                    fs::read_to_string(self.path("serve.log")).unwrap()
                );
            }
            (request(self.port, "GET", "/readyz", &[], "").ok()?.0 == 200).then_some(())
        });
        self.serve = Some(child);
        wait_for("its runner to be there", || {
            let runners = self.get("/api/runners");
            runners["items"].as_array()?.iter().any(|r| r["online"] == true).then_some(())
        });
    }

    /// Ends `mozi serve` by this signal and waits for it.
    pub(crate) fn down(&mut self, signal: i32) -> ExitStatus {
        let mut child = self.serve.take().expect("serve runs");
        kill(child.id(), signal);
        wait_exit(&mut child)
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.data().join("token")).unwrap().trim().to_owned()
    }

    /// A call as the admin.
    pub(crate) fn api(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.api_as(&self.token(), method, path, body)
    }

    /// A call with any token.
    pub(crate) fn api_as(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let auth = format!("Bearer {token}");
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
        let (status, body) = request(self.port, method, path, &headers, &text)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}\n{}", self.log()));
        Answer { status, body: serde_json::from_str(&body).unwrap_or(Value::String(body)) }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.api("GET", path, &Value::Null);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.body
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.api("POST", path, body);
        assert!((200..300).contains(&answer.status), "POST {path}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// A new task; its id.
    #[track_caller]
    pub(crate) fn add(&self, body: &Value) -> String {
        self.post("/api/projects/default/tasks", body)["task_id"].as_str().expect("an id").to_owned()
    }

    #[track_caller]
    pub(crate) fn task(&self, id: &str) -> Value {
        self.get(&format!("/api/projects/default/tasks/{id}?expand=all"))
    }

    /// Sets a status as a person.
    #[track_caller]
    pub(crate) fn status(&self, id: &str, body: &Value) -> Value {
        self.post(&format!("/api/projects/default/tasks/{id}/status"), body)
    }

    /// Waits until the task is in `status`.
    #[track_caller]
    pub(crate) fn until(&self, id: &str, status: &str) -> Value {
        self.until_that(id, status, |t| t["status"] == status)
    }

    /// Waits until something is true of the task.
    #[track_caller]
    pub(crate) fn until_that(&self, id: &str, what: &str, mut test: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let task = self.task(id);
            if test(&task) {
                return task;
            }
            assert!(Instant::now() < end, "task {id} is not {what}:\n{task:#}\n{}", self.log());
            pause(Duration::from_millis(15));
        }
    }

    /// Waits until attempt `n` is closed with `outcome`.
    #[track_caller]
    pub(crate) fn until_outcome(&self, id: &str, n: usize, outcome: &str) -> Value {
        let task = self
            .until_that(id, &format!("through attempt {n}"), |t| !t["attempts"][n - 1]["outcome"].is_null());
        assert_eq!(task["attempts"][n - 1]["outcome"], outcome, "{task:#}\n{}", self.log());
        task
    }

    /// What happened to a task, as `event_type` or `from>to`.
    pub(crate) fn history(&self, id: &str) -> Vec<String> {
        self.task(id)["events"].as_array().expect("events").iter().map(event_word).collect()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("serve.log")).unwrap_or_default()
    }

    /// Waits for a file that a script writes; its text, trimmed.
    #[track_caller]
    pub(crate) fn file(&self, name: &str) -> String {
        wait_for(&format!("the file {name}"), || {
            fs::read_to_string(self.path(name))
                .ok()
                .filter(|t| t.ends_with('\n'))
                .map(|t| t.trim().to_owned())
        })
    }

    #[track_caller]
    pub(crate) fn file_json(&self, name: &str) -> Value {
        serde_json::from_str(&read(&self.path(name))).expect("JSON")
    }

    /// Stops the board as a person would and asserts that nothing of it is left.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        wait_for("all sessions to end", || {
            let list = self.get("/api/sessions?active=true");
            list["items"].as_array().unwrap().is_empty().then_some(())
        });
        let status = self.down(15);
        assert!(status.success(), "serve ended with {status}\n{}", self.log());
        let left = wait_gone(&self.mark);
        assert!(left.is_empty(), "left behind: {left:?}");
        let invariants = self.mozi(&["doctor", "--json"]);
        let text = String::from_utf8_lossy(&invariants.stdout);
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("doctor said {text}: {e}"));
        let broken: Vec<_> = report["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|f| f["check"].as_str().is_some_and(|c| c.contains("rules")) && f["level"] != "ok")
            .collect();
        assert!(broken.is_empty(), "doctor finds broken rules: {broken:#?}");
    }
}

fn event_word(e: &Value) -> String {
    match e["event_type"].as_str().unwrap_or_default() {
        "status_changed" => format!(
            "{}>{}",
            e["detail"]["from"].as_str().unwrap_or_default(),
            e["detail"]["to"].as_str().unwrap_or_default()
        ),
        other => other.to_owned(),
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(child) = &mut self.serve {
            kill(child.id(), 9);
            wait_exit(child);
        }
        for _ in 0..50 {
            let left = marked(&self.mark);
            if left.is_empty() {
                break;
            }
            for (pid, _) in left {
                kill(pid, 18);
                kill(pid, 9);
            }
            pause(Duration::from_millis(5));
        }
    }
}

/// Processes, zombies left out, whose environment carries `mark`.
pub(crate) fn marked(mark: &str) -> Vec<(u32, String)> {
    let wanted = format!("TEST_MARK={mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(environ) = fs::read(entry.path().join("environ")) else { continue };
        if environ.split(|b| *b == 0).any(|v| v == wanted.as_bytes()) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

/// Gives what has been told to end a moment to be gone.
pub(crate) fn wait_gone(mark: &str) -> Vec<(u32, String)> {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let left = marked(mark);
        if left.is_empty() || Instant::now() > end {
            return left;
        }
        pause(Duration::from_millis(20));
    }
}

pub(crate) fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| !s.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

/// Start time of a process in ticks: with its pid it names one process for ever.
pub(crate) fn start_time(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().to_owned()
}

pub(crate) fn kill(pid: u32, signal: i32) {
    let done = command("kill").arg(format!("-{signal}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    assert!(done.is_ok(), "kill can be started");
}

#[expect(clippy::disallowed_methods, reason = "the test's own child")]
pub(crate) fn wait_exit(child: &mut Child) -> ExitStatus {
    child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0))
}

pub(crate) fn is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .is_ok_and(|s| s.lines().any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0")))
}

/// The process that stands over a session.
pub(crate) fn supervisor_of(session: &str) -> Option<u32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|e| {
        let pid = e.file_name().to_string_lossy().parse::<u32>().ok()?;
        let line = fs::read(e.path().join("cmdline")).ok()?;
        let args: Vec<_> = line.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
        (args.get(1).is_some_and(|a| a == "supervise") && args.get(2).is_some_and(|a| a.ends_with(session)))
            .then_some(pid)
    })
}

/// One HTTP/1.1 request on a connection of its own: status and body.
pub(crate) fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<(u16, String)> {
    let mut s = TcpStream::connect(("127.0.0.1", port))?;
    s.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n");
    for (k, v) in headers {
        head += &format!("{k}: {v}\r\n");
    }
    if !body.is_empty() || method != "GET" {
        head += &format!("content-length: {}\r\n", body.len());
    }
    s.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    s.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let bad = || std::io::Error::other(format!("no HTTP answer: {text:?}"));
    let (head, rest) = text.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    Ok((status, if chunked { unchunk(rest) } else { rest.to_owned() }))
}

fn unchunk(mut rest: &str) -> String {
    let mut out = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(n) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some(chunk) = after.get(..n).filter(|_| n > 0) else { break };
        out += chunk;
        rest = after.get(n + 2..).unwrap_or_default();
    }
    out
}

/// What an agent's script begins with: report in.
pub(crate) const WORKING: &str = "set -eu\nmozi report working\n";

/// Reads a text file or says that there is none.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
