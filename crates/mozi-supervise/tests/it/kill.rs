//! The end of a session: nothing is left when `exit.json` is there, whatever the agent has started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use mozi_supervise::*;

use crate::help::*;

/// An agent that ignores SIGTERM and starts what real agents leave behind, and worse: `marker` is in every command line.
fn stubborn(marker: &str) -> String {
    let script = r#"
        trap '' TERM INT HUP
        sleep 1000.$marker &
        setsid nohup sleep 1001.$marker >/dev/null 2>&1 </dev/null &
        ( setsid sh -c 'trap "" TERM; (setsid sleep 1002.$marker &) ; sleep 1003.$marker; sleep 1004.$marker' & )
        env -i /bin/sh -c 'setsid sleep 1005.$marker >/dev/null 2>&1 </dev/null &'
        ( ( exec setsid env -i sleep 1006.$marker ) & )
        bash -c 'kill -STOP $$; sleep 1007.$marker' &
        echo ready
        while :; do sleep 1008.$marker; done"#;
    script.replace("$marker", marker)
}

/// Waits until all of it is there.
fn wait_for_brood(live: &Live, marker: &str) {
    live.wait_output("ready");
    for number in [1000, 1001, 1002, 1003, 1005, 1006, 1008] {
        wait_command(&format!("sleep {number}.{marker}"));
    }
}

#[track_caller]
fn nothing_left(marker: &str) {
    let left: Vec<i32> = with_command_line(marker).into_iter().filter(|pid| is_alive(*pid)).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn nothing_is_left_after_the_deadline() {
    let sessions = Sessions::new();
    let marker = marker();
    let spec = Spec { timeout_ms: Some(8_000), grace_ms: 300, ..sessions.spec(&stubborn(&marker)) };
    let mut live = sessions.start(&spec);
    wait_for_brood(&live, &marker);
    // The moment that `exit.json` is there counts, not the end of the supervisor.
    until("exit.json", || live.dir.read_exit());
    nothing_left(&marker);
    let record = live.wait_end();
    assert_eq!((record.cause, record.signal), (Cause::Deadline, Some(9)));
    assert!(record.killed_count >= 7, "{:?}", record.killed);
    assert!(record.killed.iter().any(|killed| killed.command == "sleep" && killed.signal == 9));
}

#[test]
fn nothing_is_left_after_a_stop_and_the_first_reason_stands() {
    let sessions = Sessions::new();
    let marker = marker();
    let mut live = sessions.start(&Spec { grace_ms: 60_000, ..sessions.spec(&stubborn(&marker)) });
    wait_for_brood(&live, &marker);
    let mut control = live.control();
    let stop = |by: &str, grace_ms| Request::Stop { by: by.to_owned(), why: "enough".to_owned(), grace_ms };
    control.request(&stop("ann", None)).unwrap();
    assert_eq!(live.wait_phase(Phase::Ending).cause, Some(Cause::Stop));
    // A later stop cannot take the place of the first, but can shorten the grace.
    control.request(&stop("bob", Some(0))).unwrap();
    let record = live.wait_end();
    nothing_left(&marker);
    assert_eq!((record.cause, record.stop.unwrap().by.as_str()), (Cause::Stop, "ann"));
}

#[test]
fn what_an_agent_leaves_running_is_ended_and_told() {
    let sessions = Sessions::new();
    let marker = marker();
    shell(&format!("mkfifo {}/go", sessions.root().display()));
    let script = format!(
        "setsid sleep 1000.{marker} & (setsid sh -c 'trap \"\" TERM; echo > go; while :; do sleep 0.{marker}; done' &)
         read x < go; exit 0"
    );
    let record = sessions.run(&sessions.spec(&script));
    nothing_left(&marker);
    assert_eq!((record.cause, record.exit_code), (Cause::Itself, Some(0)));
    assert!(record.killed.iter().any(|killed| killed.signal == 15), "{:?}", record.killed);
    assert!(record.killed.iter().any(|killed| killed.signal == 9), "{:?}", record.killed);
    // The agent's own end is told as it was, before the rest was ended.
    assert!(record.agent_ended_at.unwrap() < record.ended_at);
}

#[test]
fn an_agent_that_obeys_ends_with_its_own_status() {
    let sessions = Sessions::new();
    let mut live = sessions
        .start(&sessions.spec("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"));
    live.wait_output("ready");
    send("TERM", live.pid());
    let record = live.wait_end();
    assert_eq!((record.cause, record.ended, record.exit_code), (Cause::Stop, Some(Ended::Exited), Some(7)));
    assert_eq!(record.stop.unwrap().by, StopOrder::SIGNAL);
    assert_eq!(live.stdout(), "ready\nbye\n");
    assert!(record.killed.iter().any(|killed| killed.signal == 15));
}

#[test]
fn a_hangup_does_not_concern_the_supervisor() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("echo ready; sleep 0.5; exit 4"));
    live.wait_output("ready");
    for signal in ["HUP", "USR1", "PIPE", "QUIT"] {
        send(signal, live.pid());
    }
    assert_eq!(live.wait_end().exit_code, Some(4));
}

#[test]
fn a_stopped_agent_is_ended() {
    let sessions = Sessions::new();
    let spec = Spec { timeout_ms: Some(300), ..sessions.spec("kill -STOP $$; echo never") };
    let record = sessions.run(&spec);
    assert_eq!((record.cause, record.signal), (Cause::Deadline, Some(15)));
}

#[test]
fn a_fork_bomb_is_ended_in_bounded_time() {
    let sessions = Sessions::new();
    let marker = marker();
    // 200 shells, let go at once, each of which replaces itself by a new one in a process session of its own for ever.
    shell(&format!("mkfifo {}/go", sessions.root().display()));
    let script = format!(
        "trap '' TERM
         export SELF='trap \"\" TERM; setsid bash -c \"$SELF\" {marker} & exit 0'
         for i in $(seq 200); do setsid bash -c 'read x < go; exec bash -c \"$SELF\" {marker}' & done
         exec 4> go; sleep 2; echo ready; exec 4>&-; while :; do sleep 1; done"
    );
    let mut live = sessions.start(&Spec { grace_ms: 100, ..sessions.spec(&script) });
    live.wait_output("ready");
    let start = Instant::now();
    let mut control = live.control();
    control.request(&Request::Stop { by: "t".to_owned(), why: String::new(), grace_ms: None }).unwrap();
    let record = live.wait_end();
    let took = start.elapsed();
    nothing_left(&marker);
    println!("a fork bomb of 200: {} ms, {} killed", took.as_millis(), record.killed_count);
    assert!(took < Duration::from_secs(40), "{took:?}");
    assert!(record.killed.len() <= ExitRecord::KILLED_LISTED);
}

/// As root only: a child that has become another user cannot be killed by a supervisor that is not root.
#[test]
fn what_cannot_be_killed_keeps_the_session_open_until_it_ends_or_is_given_up() {
    if !am_root() {
        println!("skipped: only root can make a process that its starter must not kill");
        return;
    }
    let mut sessions = Sessions::new();
    let root = sessions.root().to_path_buf();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    // A set-user-id program that becomes root altogether: then not even its own starter may signal it.
    let escape = root.join("escape");
    fs::copy(shell("command -v setpriv"), &escape).unwrap();
    fs::set_permissions(&escape, fs::Permissions::from_mode(0o4755)).unwrap();
    let supervisor = root.join("supervisor");
    fs::copy(supervisor_exe(), &supervisor).unwrap();
    sessions.exe = root.join("as-nobody");
    fs::write(
        &sessions.exe,
        format!(
            "#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups {} \"$@\"\n",
            supervisor.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&sessions.exe, fs::Permissions::from_mode(0o755)).unwrap();
    if !shell(&format!(
        "setpriv --reuid=65534 --regid=65534 --clear-groups {} --reuid=0 id -ru",
        escape.display()
    ))
    .eq("0")
    {
        println!("skipped: set-user-id programs have no effect in the temporary folder");
        return;
    }
    for give_up in [false, true] {
        let script = format!(
            "{} --reuid=0 sleep 1000 & until grep -q 'Name:.sleep' /proc/$!/status; do :; done; echo child $!; exit 0",
            escape.display()
        );
        let spec = Spec { grace_ms: 100, ..sessions.spec(&script) };
        let (dir, lock) = SessionDir::create(&root, &spec.session_id).unwrap();
        dir.write_spec(&spec).unwrap();
        shell(&format!("chown -R 65534:65534 {}", dir.path().display()));
        let mut live = sessions.start_in(dir, lock);
        let status = live.wait_phase(Phase::Stuck);
        let child: i32 = live.stdout().trim().strip_prefix("child ").unwrap().parse().unwrap();
        let left = status.left_behind.first().unwrap();
        assert_eq!(
            (left.pid, left.command.as_str(), left.uid, status.left_behind_count),
            (child, "sleep", 0, 1)
        );
        assert_eq!(status.agent_ended.unwrap().exit_code, Some(0));
        assert!(live.dir.read_exit().is_none());
        assert!(matches!(live.dir.try_lock().unwrap(), LockAttempt::Held));
        assert!(!status_overdue(&live));
        if give_up {
            let mut control = live.control();
            let abandon = Request::Abandon { by: "ann".to_owned(), why: "it is mine".to_owned() };
            control.request(&abandon).unwrap();
            let record = live.wait_end();
            assert_eq!(record.left_behind.first().unwrap().pid, child);
            assert!(record.error.unwrap().contains("ann"));
            assert!(is_alive(child));
            send("KILL", child);
            until("its end", || (!is_alive(child)).then_some(()));
        } else {
            send("KILL", child);
            let record = live.wait_end();
            assert_eq!(
                (record.cause, record.exit_code, record.left_behind.len()),
                (Cause::Itself, Some(0), 0)
            );
        }
    }
}

fn status_overdue(live: &Live) -> bool {
    live.dir.read_status().unwrap().supervisor_overdue()
}

#[test]
fn giving_up_is_refused_where_nothing_resists() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("exec sleep 1000"));
    let mut control = live.control();
    let refused =
        control.request(&Request::Abandon { by: "ann".to_owned(), why: String::new() }).unwrap_err();
    assert!(matches!(refused, ControlError::Refused(_)), "{refused}");
    assert!(live.dir.read_exit().is_none());
}
