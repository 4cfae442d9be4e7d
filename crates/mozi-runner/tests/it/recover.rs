//! Restarts and crashes at every point: nothing lost, nothing doubled, nothing left behind.

use std::time::Duration;

use mozi_api::runner::OrderKind;
use mozi_core::SessionId;
use mozi_core::command::Cause;
use mozi_runner::config::Bootstrap;
use mozi_supervise::{Ended, SessionDir, WrittenBy};
use mozi_testing::{start_time, wait_until};

use crate::board::{Job, open_session};
use crate::help::{Place, alive, kill, task, wait_for_file};

#[tokio::test]
async fn a_restarted_runner_follows_the_same_agent_to_its_end() {
    let mut p = Place::new("restart");
    let go = p.file("go");
    p.agent("coder", &format!("until [ -e {} ]; do sleep 0.05; done; echo done", go.display()));
    p.board.put(task("coder"));
    let first = p.run();
    let (id, pid) = p.board.running().await;
    let started = start_time(pid).unwrap();
    first.stop().await;
    assert_eq!(start_time(pid), Some(started), "the agent works on");
    let second = p.run();
    p.board.wait("two hellos", |s| (s.hellos.len() == 2).then_some(())).await;
    // This one goes without a word.
    second.kill().await;
    let third = p.run();
    p.board
        .wait("a poll of the third", |s| (s.hellos.len() == 3 && s.log.last()? == "started").then_some(()))
        .await;
    assert_eq!(start_time(pid), Some(started));
    std::fs::write(&go, "").unwrap();
    let end = p.board.end_of(id).await;
    assert_eq!((end.cause.0, end.exit_code), (Cause::Itself, Some(0)));
    assert_eq!(end.tail.unwrap().stdout, "done\n");
    assert_eq!(p.board.with(|s| s.ends.len()), 1);
    third.stop().await;
}

#[tokio::test]
async fn an_end_while_nobody_was_there_is_told_once() {
    let mut p = Place::new("end_alone");
    let go = p.file("go");
    p.agent("coder", &format!("until [ -e {} ]; do sleep 0.05; done; exit 4", go.display()));
    p.board.put(task("coder"));
    let first = p.run();
    let (id, _) = p.board.running().await;
    first.kill().await;
    std::fs::write(&go, "").unwrap();
    let dir = p.dir(id);
    wait_until(Duration::from_secs(30), "its end", async || dir.read_exit().is_some()).await;
    let second = p.run();
    assert_eq!(p.board.end_of(id).await.exit_code, Some(4));
    second.stop().await;
    let third = p.run();
    p.board.wait("three hellos", |s| (s.hellos.len() == 3 && s.polls.len() > 2).then_some(())).await;
    third.stop().await;
    assert_eq!(p.board.with(|s| s.ends.len()), 1);
}

#[tokio::test]
async fn an_end_is_told_however_long_the_board_is_away() {
    let mut p = Place::new("board_away");
    let go = p.file("go");
    p.agent("coder", &format!("until [ -e {} ]; do sleep 0.05; done", go.display()));
    p.board.put(task("coder"));
    let runner = p.run();
    let (id, _) = p.board.running().await;
    p.board.set_away(true);
    std::fs::write(&go, "").unwrap();
    let dir = p.dir(id);
    wait_until(Duration::from_secs(30), "its end", async || dir.read_exit().is_some()).await;
    p.board.set_away(false);
    assert_eq!(p.board.end_of(id).await.cause.0, Cause::Itself);
    // Claims go on, too.
    p.board.put(Job { task: Some("2".into()), ..task("coder") });
    p.board.wait("two ends", |s| (s.ends.len() == 2).then_some(())).await;
    runner.stop().await;
}

#[tokio::test]
async fn a_killed_supervisor_takes_everything_with_it() {
    let mut p = Place::new("killed_supervisor");
    p.agent(
        "coder",
        "setsid nohup sleep 600 & setsid env -i /bin/sleep 601 & disown -a; while :; do sleep 1; done",
    );
    p.board.put(task("coder"));
    let runner = p.run();
    let (id, pid) = p.board.running().await;
    wait_until(Duration::from_secs(10), "its children", async || p.census.processes().len() >= 4).await;
    kill(p.dir(id).read_status().unwrap().supervisor.pid);
    let end = p.board.end_of(id).await;
    assert_eq!(end.cause.0, Cause::SupervisorLost);
    assert_eq!(p.dir(id).read_exit().unwrap().by, WrittenBy::Reconcile);
    assert!(!alive(pid));
    p.census.wait_for_none(Duration::from_secs(5));
    runner.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_claim_starts_the_agent_once() {
    let mut p = Place::new("lost_answer");
    let mark = p.file("mark");
    p.agent("coder", &format!("echo x >> {}", mark.display()));
    p.board.with(|s| s.lose = 2);
    p.board.put(task("coder"));
    // A stop order for a session that nobody has makes the runner look at once, while the claim is open without a
    // directory: it must not be called unstarted.
    p.board.stop("7f0f7a52-4a43-4f0e-9b51-333333333333".parse().unwrap(), OrderKind::Stop, None);
    let runner = p.run();
    let (_, end) = p.board.an_end().await;
    assert_eq!(end.cause.0, Cause::Itself);
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "x\n");
    p.board.with(|s| {
        assert_eq!(s.log.iter().filter(|l| *l == "lost").count(), 2, "{:?}", s.log);
        assert_eq!((s.ends.len(), s.log.iter().filter(|l| *l == "claim").count()), (1, 1));
    });
    runner.stop().await;
}

#[tokio::test]
async fn a_look_between_claim_and_directory_closes_nothing() {
    let mut p = Place::new("look_between");
    let (slow, go) = (p.file("slow"), p.file("go"));
    p.agent("coder", "cat");
    let script =
        format!("echo > {}; until [ -e {} ]; do sleep 0.05; done; echo first", slow.display(), go.display());
    let command = ["bash", "-c", &script].map(str::to_owned).to_vec();
    p.config.bootstraps.insert("slow".into(), Bootstrap { command, timeout: Duration::from_mins(1) });
    let parts = mozi_api::runner::PromptParts {
        text: "built in".into(),
        marks: std::collections::BTreeMap::new(),
        states: std::collections::BTreeMap::new(),
        bootstrap: Some(mozi_api::runner::BootstrapParts {
            name: "slow".into(),
            input: serde_json::Value::Null,
            operating_text: "rest".into(),
        }),
    };
    p.board.put(Job { prompt: Some(parts), ..task("coder") });
    let runner = p.run();
    let id = p.board.claimed().await;
    wait_for_file(&slow).await;
    assert!(!p.dir(id).path().exists());
    // Orders for strangers force looks; each asks for the open sessions.
    for n in 1..4_u128 {
        p.board.stop(SessionId(uuid::Uuid::from_u128(n)), OrderKind::Stop, None);
        p.board
            .wait("it to be known", move |s| {
                let known = |poll: &mozi_api::runner::Poll| {
                    poll.known.iter().any(|k| k.session_id.0 == SessionId(uuid::Uuid::from_u128(n)))
                };
                s.polls.iter().any(known).then_some(())
            })
            .await;
    }
    assert!(p.board.with(|s| s.ends.is_empty()));
    std::fs::write(&go, "").unwrap();
    let end = p.board.end_of(id).await;
    assert_eq!((end.cause.0, end.tail.unwrap().stdout.as_str()), (Cause::Itself, "first\n\nrest"));
    runner.stop().await;
}

#[tokio::test]
async fn what_an_earlier_life_claimed_and_never_started_is_closed_for_good() {
    let mut p = Place::new("never_started");
    p.agent("coder", "echo must not run");
    let id: SessionId = "7f0f7a52-4a43-4f0e-9b51-444444444444".parse().unwrap();
    let rebooted: SessionId = "7f0f7a52-4a43-4f0e-9b51-555555555555".parse().unwrap();
    p.board.with(|s| {
        s.open.insert(id, open_session(id, &task("coder"), true));
        let mut other = open_session(rebooted, &task("coder"), true);
        other.attempt.as_mut().unwrap().boot_id = Some("another boot".into());
        s.open.insert(rebooted, other);
    });
    let runner = p.run();
    assert_eq!(p.board.end_of(id).await.cause.0, Cause::NeverStarted);
    assert_eq!(p.board.end_of(rebooted).await.cause.0, Cause::Reboot);
    // Whoever would still start it finds the directory taken.
    assert_eq!(p.dir(id).read_exit().unwrap().ended, Some(Ended::NotStarted));
    assert!(SessionDir::create(&p.config.sessions_dir(), &id.to_string()).is_err());
    runner.stop().await;
}

#[tokio::test]
async fn a_crash_between_directory_and_supervisor_is_made_an_end_of() {
    let mut p = Place::new("between");
    p.agent("coder", "echo must not run");
    let id: SessionId = "7f0f7a52-4a43-4f0e-9b51-666666666666".parse().unwrap();
    std::fs::create_dir_all(p.config.sessions_dir()).unwrap();
    let (_, lock) = SessionDir::create(&p.config.sessions_dir(), &id.to_string()).unwrap();
    drop(lock);
    p.board.with(|s| s.open.insert(id, open_session(id, &task("coder"), true)));
    let runner = p.run();
    // No supervisor has ever written a status, and nothing bears the session's marks: nothing ran.
    assert_eq!(p.board.end_of(id).await.cause.0, Cause::NeverStarted);
    assert!(p.dir(id).read_exit().is_some());
    runner.stop().await;
}

#[tokio::test]
async fn a_directory_that_was_removed_while_nobody_was_there_ends_the_agent_first() {
    for heard in [true, false] {
        let mut p = Place::new(if heard { "removed_heard" } else { "removed_unheard" });
        p.agent("coder", "setsid env -i /bin/sleep 602 & while :; do sleep 1; done");
        p.board.put(task("coder"));
        let runner = p.run();
        let (id, pid) = p.board.running().await;
        wait_until(Duration::from_secs(10), "its child", async || p.census.processes().len() >= 3).await;
        let supervisor = u32::try_from(p.dir(id).read_status().unwrap().supervisor.pid).unwrap();
        runner.kill().await;
        std::fs::remove_dir_all(p.dir(id).path()).unwrap();
        p.board.with(|s| s.open.get_mut(&id).unwrap().session.pid = heard.then_some(pid));
        let runner = p.run();
        assert_eq!(p.board.end_of(id).await.cause.0, Cause::SupervisorLost, "heard: {heard}");
        assert!(!alive(pid) && !alive(supervisor));
        p.census.wait_for_none(Duration::from_secs(5));
        let record = p.dir(id).read_exit().unwrap();
        assert!(record.by == WrittenBy::Reconcile && record.killed_count >= 2, "{record:?}");
        runner.stop().await;
    }
}

#[tokio::test]
async fn a_directory_that_is_removed_under_a_living_session_keeps_it_neither_from_working_nor_from_ending() {
    let mut p = Place::new("removed_under");
    let go = p.file("go");
    p.agent("coder", &format!("until [ -e {} ]; do sleep 0.05; done", go.display()));
    p.board.put(task("coder"));
    let runner = p.run();
    let (id, pid) = p.board.running().await;
    std::fs::remove_dir_all(p.dir(id).path()).unwrap();
    assert!(alive(pid));
    std::fs::write(&go, "").unwrap();
    assert_eq!(p.board.end_of(id).await.cause.0, Cause::SupervisorLost);
    p.census.wait_for_none(Duration::from_secs(5));
    assert!(p.dir(id).read_exit().is_some());
    runner.stop().await;
}

#[tokio::test]
async fn what_the_board_does_not_know_is_ended_and_what_is_not_ours_is_left_alone() {
    let mut p = Place::new("unclaimed");
    p.agent("coder", "while :; do sleep 1; done").grace = Duration::from_millis(100);
    p.board.put(task("coder"));
    p.board.put(Job { task: Some("2".into()), ..task("coder") });
    let runner = p.run();
    let running = p.board.wait("two agents", |s| (s.started.len() == 2).then(|| s.started.clone())).await;
    runner.kill().await;
    let (unknown, foreign) = (running[0].clone(), running[1].clone());
    let path = p.dir(foreign.0).spec_path();
    let spec = std::fs::read_to_string(&path).unwrap().replace("board-1", "board-2");
    std::fs::write(&path, spec).unwrap();
    p.board.with(|s| {
        s.open.remove(&unknown.0);
    });
    let runner = p.run();
    let notice = p.board.wait("a notice", |s| s.notices.first().cloned()).await;
    assert!(notice.code == "foreign_session" && notice.text.contains(&foreign.0.to_string()));
    let dir = p.dir(unknown.0);
    wait_until(Duration::from_secs(30), "its end", async || dir.read_exit().is_some()).await;
    assert!(!alive(unknown.1.pid.unwrap()) && alive(foreign.1.pid.unwrap()));
    assert!(p.board.with(|s| s.ends.is_empty()), "there is nobody to be told");
    runner.stop().await;
    kill(p.dir(foreign.0).read_status().unwrap().supervisor.pid);
}

#[tokio::test]
async fn a_supervisor_without_a_socket_yet_is_found_again() {
    let mut p = Place::new("no_socket");
    p.agent("coder", "while :; do sleep 1; done").grace = Duration::from_millis(100);
    p.board.put(task("coder"));
    let runner = p.run();
    let (id, pid) = p.board.running().await;
    runner.kill().await;
    // Nobody can connect; the lock says that it lives.
    std::fs::remove_file(p.dir(id).control_path()).unwrap();
    let runner = p.run();
    p.board.wait("a poll", |s| (s.hellos.len() == 2 && s.log.last()? == "hello").then_some(())).await;
    assert!(alive(pid) && p.board.with(|s| s.ends.is_empty()));
    kill(i32::try_from(pid).unwrap());
    let end = p.board.end_of(id).await;
    assert_eq!((end.cause.0, end.signal), (Cause::Itself, Some(9)));
    runner.stop().await;
}

#[tokio::test]
async fn a_supervisor_held_before_its_first_instruction_starts_one_agent_not_two() {
    let mut p = Place::new("held_before_first");
    let (mark, pid_file) = (p.file("mark"), p.file("held.pid"));
    p.agent("coder", &format!("echo x >> {}", mark.display()));
    // The lock goes through it as standard input, as through a supervisor that has not run yet.
    let held = p.file("held.sh");
    let real = p.config.exe.clone();
    let script = format!(
        "#!/bin/bash\necho $$ > {}\nkill -STOP $$\nexec {} \"$@\"\n",
        pid_file.display(),
        real.display()
    );
    std::fs::write(&held, script).unwrap();
    std::fs::set_permissions(&held, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    p.config.exe = held;
    p.board.put(task("coder"));
    let first = p.run();
    let id = p.board.claimed().await;
    let pid: i32 = wait_for_file(&pid_file).await.trim().parse().unwrap();
    first.kill().await;
    p.config.exe = real;
    let second = p.run();
    p.board
        .wait("the second to look and ask", |s| (s.hellos.len() == 2 && s.polls.len() >= 2).then_some(()))
        .await;
    assert!(p.board.with(|s| s.ends.is_empty()) && p.dir(id).read_exit().is_none() && !mark.exists());
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::CONT,
    )
    .unwrap();
    let end = p.board.end_of(id).await;
    assert_eq!((end.cause.0, end.exit_code), (Cause::Itself, Some(0)));
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "x\n");
    second.stop().await;
}

#[tokio::test]
async fn a_session_closed_under_a_held_supervisor_is_never_started_by_it() {
    let mut p = Place::new("closed_under_held");
    let (mark, pid_file) = (p.file("mark"), p.file("held.pid"));
    p.agent("coder", &format!("echo x >> {}", mark.display()));
    let held = p.file("held.sh");
    let real = p.config.exe.clone();
    // This one lets the lock go while it is held: the worst that could happen.
    let script = format!(
        "#!/bin/bash\nexec 9<&0 </dev/null\nflock -u 9\necho $$ > {}\nkill -STOP $$\nexec {} \"$@\" <&9 9<&-\n",
        pid_file.display(),
        real.display()
    );
    std::fs::write(&held, script).unwrap();
    std::fs::set_permissions(&held, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    p.config.exe = held;
    p.board.put(task("coder"));
    let first = p.run();
    let id = p.board.claimed().await;
    let pid: i32 = wait_for_file(&pid_file).await.trim().parse().unwrap();
    let end = p.board.end_of(id).await;
    assert_eq!(end.cause.0, Cause::SupervisorLost);
    assert!(!alive(u32::try_from(pid).unwrap()), "the sweep has found it by its mark");
    assert!(!mark.exists());
    first.stop().await;
}
