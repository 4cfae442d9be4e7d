//! The helpers themselves.

use std::time::Duration;

use mozi_testing::{
    Census, Guarded, clean_env, command, free_port, is_alive, is_outer_mark, processes_with, start_time,
    temp_dir, wait_for, wait_until, wait_until_blocking, workspace_root,
};

#[test]
fn the_census_sees_children_and_grandchildren_and_forgets_the_dead() {
    let census = Census::new("census");
    let mut bash = command("bash");
    bash.args(["-c", "setsid sleep 100 & sleep 100"]);
    let child = Guarded::spawn(census.mark_command(&mut bash));
    let (pid, started) = (child.id(), start_time(child.id()).expect("a live child"));
    assert!(is_alive(pid, started));
    assert!(!is_alive(pid, started + 1), "another start time is another process");
    wait_until_blocking(Duration::from_secs(5), "both sleeps", || {
        census.processes().iter().filter(|p| p.command.starts_with("sleep")).count() == 2
    });
    child.kill().expect("a live child can be killed");
    assert!(!is_alive(pid, started));
    let left = census.processes();
    assert!(!left.is_empty() && left.iter().all(|p| p.command == "sleep 100"), "{left:?}");
    for p in left {
        let killed = command("kill").args(["-KILL", &p.pid.to_string()]).status().expect("kill runs");
        assert!(killed.success());
    }
    census.wait_for_none(Duration::from_secs(5));
}

#[test]
fn a_census_with_survivors_fails_its_test_and_ends_them() {
    let census = Census::new("survivors");
    let (name, value) = census.mark();
    let value = value.to_owned();
    let mut sleep = command("sleep");
    let child = Guarded::spawn(census.mark_command(sleep.arg("100")));
    let (pid, started) = (child.id(), start_time(child.id()).expect("a live child"));
    let failed = std::thread::spawn(move || drop(census)).join();
    assert!(failed.is_err(), "a survivor must fail the test");
    assert!(!is_alive(pid, started));
    assert_eq!(processes_with(name, &value), vec![]);
}

#[test]
fn marks_of_outer_agents_are_taken_out() {
    for name in [
        "MOZI_TOKEN",
        "OPENCLAW_SHELL",
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CODEX_SANDBOX",
        "GEMINI_CLI",
    ] {
        assert!(is_outer_mark(name.as_ref()), "{name}");
    }
    for name in ["PATH", "HOME", "OPENCLAW_CONFIG_PATH", "CLAUDE_CONFIG_DIR", "TEST_CENSUS_MARK"] {
        assert!(!is_outer_mark(name.as_ref()), "{name}");
    }
    let printed = command("env").output().expect("env runs").stdout;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(printed.lines().all(|l| !l.starts_with("MOZI_")), "{printed}");
    assert!(clean_env().iter().any(|(n, _)| n == "PATH"));
}

#[test]
fn ports_and_folders_are_usable() {
    let port = free_port();
    std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let folder = temp_dir();
    std::fs::write(folder.path().join("file"), "x").expect("the folder can be written to");
    assert!(workspace_root().join("Cargo.toml").is_file());
}

#[tokio::test]
async fn waiting_ends_with_the_event_and_not_before() {
    let mut left = 3;
    wait_until(Duration::from_secs(5), "three looks", async || {
        left -= 1;
        left == 0
    })
    .await;
    assert_eq!(left, 0);
    assert_eq!(wait_for(Duration::ZERO, async || None::<()>).await, None);
}
