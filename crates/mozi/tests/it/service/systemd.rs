//! A real `systemd --user` of the test's own, in a name space of its own, where the machine lets it have one.

use std::{fs, path::Path};

use super::{Home, kill, said};
use crate::support::{alive, command, is_root, read, start_time, wait_exit, wait_for};

/// Starts a manager that believes the machine was booted with systemd. Its control groups are its own.
const MANAGER: &str = r#"set -eu
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mkdir -p /run/systemd/system
for at in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  [ -e "$at/cgroup.procs" ] || continue
  mkdir -p "$at/$GROUP"
  echo $$ > "$at/$GROUP/cgroup.procs"
done
exec /usr/lib/systemd/systemd --user --unit=basic.target
"#;

#[expect(clippy::print_stderr, reason = "how a test says what it left out")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

struct Manager {
    process: std::process::Child,
    group: String,
}

impl Manager {
    /// None, and a word why, where there can be none.
    fn start(home: &mut Home) -> Option<Self> {
        let runtime = home.path("run");
        fs::create_dir_all(&runtime).unwrap();
        command("chmod").args(["700"]).arg(&runtime).status().unwrap();
        home.env.push(("XDG_RUNTIME_DIR".to_owned(), runtime.clone()));
        if !is_root() || !Path::new("/usr/lib/systemd/systemd").exists() {
            skip("a systemd of its own needs root and /usr/lib/systemd/systemd");
            return None;
        }
        let group = home.mark.clone();
        let log = fs::File::create(home.path("systemd.log")).unwrap();
        let process = home
            .command("unshare")
            .args(["--mount", "bash", "-c", MANAGER])
            .env("GROUP", &group)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let Ok(mut process) = process else {
            skip("no `unshare`");
            return None;
        };
        let there = wait_for("systemd --user, or its end", || {
            if !matches!(process.try_wait(), Ok(None)) {
                return Some(false);
            }
            let asked = home.command("systemctl").args(["--user", "show", "--property=Version"]).output();
            asked.is_ok_and(|o| o.status.success()).then_some(true)
        });
        let manager = Self { process, group };
        if !there {
            skip(&format!("systemd --user does not start here: {}", read(&home.path("systemd.log"))));
            return None;
        }
        Some(manager)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        kill(self.process.id(), 15);
        wait_exit(&mut self.process);
        for at in ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"] {
            let group = Path::new(at).join(&self.group);
            if group.is_dir() {
                end_all(&group);
            }
        }
    }
}

/// Ends what is left in a group and takes it away, the inner ones first.
fn end_all(group: &Path) {
    for inner in fs::read_dir(group).unwrap().flatten().filter(|e| e.path().is_dir()) {
        end_all(&inner.path());
    }
    for pid in read(&group.join("cgroup.procs")).lines().filter_map(|l| l.parse().ok()) {
        kill(pid, 9);
    }
    wait_for("an empty control group", || fs::remove_dir(group).ok());
}

fn systemctl(home: &Home, words: &[&str]) -> String {
    let out = home.command("systemctl").arg("--user").args(words).output().unwrap();
    assert!(out.status.success(), "systemctl {words:?}: {}", said(&out));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_restart_under_a_real_systemd_in_the_middle_of_an_attempt() {
    let mut home = Home::new("systemd");
    fs::write(
        home.path("config/mozi/env"),
        format!("TEST_MARK={}\nTEST_DIR={}\n", home.mark, home.dir.path().display()),
    )
    .unwrap();
    let Some(manager) = Manager::start(&mut home) else { return };
    let up = home.mozi(&["up"]);
    assert!(up.status.success(), "{}\n{}", said(&up), read(&home.path("systemd.log")));
    assert!(
        said(&up).contains("the board is up at http://") && said(&up).contains("loginctl enable-linger"),
        "{}",
        said(&up)
    );
    assert!(home.ok(&["up"]).contains("is up already"));
    let main_pid = || {
        systemctl(&home, &["show", "--property=MainPID", "--value", "mozi.service"])
            .trim()
            .parse::<u32>()
            .unwrap()
    };
    assert_eq!(systemctl(&home, &["is-enabled", "mozi.service"]).trim(), "enabled");
    let (agent, born) = home.working();
    let same = || assert!(alive(agent) && start_time(agent) == born, "the agent that was at work is at work");
    let before = main_pid();
    systemctl(&home, &["restart", "mozi.service"]);
    assert_ne!(main_pid(), before);
    same();
    // As from a crash: systemd brings it back.
    let before = main_pid();
    kill(before, 9);
    wait_for("systemd to start it again", || (![0, before].contains(&main_pid())).then_some(()));
    wait_for("it to be ready", || home.mozi(&["task", "show", "first"]).status.success().then_some(()));
    same();
    systemctl(&home, &["reload", "mozi.service"]);
    let config = home.path("config/mozi/mozi.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, "[agents").unwrap();
    let reload = home.command("systemctl").args(["--user", "reload", "mozi.service"]).output().unwrap();
    assert!(!reload.status.success(), "a wrong file is a failed reload");
    fs::write(&config, good).unwrap();
    // Other options: a restart, and still the same agent.
    let up = home.ok(&["up", "--listen", "127.0.0.2:0"]);
    assert!(up.contains("http://127.0.0.2:"), "{up}");
    same();
    let doctor = home.mozi(&["doctor"]);
    assert!(!said(&doctor).contains("KillMode"), "{}", said(&doctor));
    let down = home.ok(&["down"]);
    assert!(down.contains("one agent stays at work"), "{down}");
    same();
    let out = home.command("systemctl").args(["--user", "is-enabled", "mozi.service"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "disabled");
    home.ok(&["up"]);
    home.go();
    home.until("first", "review");
    assert_eq!(home.json(&["task", "show", "first"])["attempt_number"], 1);
    home.ok(&["stop"]);
    drop(manager);
}

#[test]
fn a_unit_that_would_end_agents_is_told_loudly() {
    let mut home = Home::new("killing");
    let Some(manager) = Manager::start(&mut home) else { return };
    let units = home.path("config/systemd/user");
    fs::create_dir_all(&units).unwrap();
    let text = format!(
        "[Service]\nType=notify\nExecStart={} serve\nEnvironment=TEST_MARK={} XDG_DATA_HOME={} XDG_CONFIG_HOME={}\nStandardError=append:{}\n",
        env!("CARGO_BIN_EXE_mozi"),
        home.mark,
        home.path("share").display(),
        home.path("config").display(),
        home.path("unit.log").display()
    );
    fs::write(units.join("board.service"), text).unwrap();
    systemctl(&home, &["daemon-reload"]);
    systemctl(&home, &["start", "board.service"]);
    let log =
        wait_for("the warning", || Some(read(&home.path("unit.log"))).filter(|l| l.contains("WARNING")));
    assert!(log.contains("board.service") && log.contains("KillMode=control-group"), "{log}");
    let doctor = home.mozi(&["doctor"]);
    assert!(
        doctor.status.code() == Some(1) && said(&doctor).contains("KillMode=process"),
        "{}",
        said(&doctor)
    );
    systemctl(&home, &["stop", "board.service"]);
    drop(manager);
}

#[test]
fn the_unit_of_the_system_is_one() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/mozi.service");
    let text = fs::read_to_string(&unit).unwrap();
    for line in [
        "Type=notify",
        "KillMode=process",
        "SendSIGHUP=no",
        "OOMPolicy=continue",
        "Delegate=yes",
        "PrivateTmp=no",
        "User=mozi",
        "StateDirectory=mozi",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}");
    }
    let dir = tempfile::tempdir().unwrap();
    // The program does not lie there on this machine.
    let copy = dir.path().join("mozi.service");
    fs::write(&copy, text.replace("/usr/local/bin/mozi", env!("CARGO_BIN_EXE_mozi"))).unwrap();
    let Ok(out) = command("systemd-analyze").arg("verify").arg(&copy).output() else {
        eprintln!("skipped: no systemd-analyze");
        return;
    };
    let complaints: Vec<_> = said(&out)
        .lines()
        .filter(|l| l.contains("mozi.service") && !l.contains("DelegateSubgroup"))
        .map(str::to_owned)
        .collect();
    assert!(
        complaints.iter().all(|l| !l.contains("Unknown") && !l.contains("Failed to parse")),
        "{complaints:?}"
    );
}
