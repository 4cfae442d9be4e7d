//! A supervisor that is killed, held or stuck, and whoever makes an end of its session.

use std::fs;
use std::time::Duration;

use mozi_supervise::*;

use crate::help::*;

/// Starts what survives a killed supervisor, and waits until it is there.
fn with_survivors(sessions: &Sessions, marker: &str) -> Live {
    let script = r#"
        setsid sleep 1000.$marker >/dev/null 2>&1 &
        ( setsid sh -c 'trap "" TERM; sleep 1001.$marker; sleep 1002.$marker' & )
        ( exec setsid env -i sleep 1003.$marker 2>/dev/null & )
        ( exec setsid env -i sleep 1004.$marker >/dev/null 2>&1 </dev/null & )
        echo ready
        while :; do sleep 1005.$marker; done"#;
    let live = sessions.start(&sessions.spec(&script.replace("$marker", marker)));
    live.wait_output("ready");
    // The one that holds nothing of the session is known by the process session in which it was seen.
    for number in [1000, 1001, 1003, 1005] {
        wait_command(&format!("sleep {number}.{marker}"));
    }
    let hidden = wait_command(&format!("sleep 1004.{marker}"));
    until("the mark in the status", || {
        live.dir.read_status()?.process_sessions.iter().any(|known| known.pid == hidden).then_some(())
    });
    live
}

fn living(marker: &str) -> usize {
    with_command_line(marker).into_iter().filter(|pid| is_alive(*pid)).count()
}

#[test]
fn a_killed_supervisor_takes_its_agent_along_and_the_sweep_finds_the_rest() {
    let sessions = Sessions::new();
    let marker = marker();
    let mut live = with_survivors(&sessions, &marker);
    let agent = live.agent();
    live.kill_supervisor();
    until("the agent's death", || (!is_alive(agent)).then_some(()));
    assert!(living(&marker) >= 4);
    // None of them holds the lock.
    drop(live.take_lock());
    let record = ended(reconcile_dead(&live.dir, live.take_lock(), None).unwrap());
    assert_eq!(living(&marker), 0);
    assert_eq!((record.cause, record.by), (Cause::SupervisorLost, WrittenBy::Reconcile));
    // What nobody saw is not invented.
    assert_eq!((record.ended, record.exit_code, record.signal), (None, None, None));
    assert!(record.started_at.is_some() && record.killed_count >= 4, "{record:?}");
    let Probe::Ended(probed) = live.dir.probe().unwrap() else { panic!("not ended") };
    assert_eq!(*probed, record);
}

#[test]
fn an_orphan_without_an_environment_is_known_by_the_pipe_alone() {
    let sessions = Sessions::new();
    let marker = marker();
    let script =
        format!("( exec setsid env -i sleep 1000.{marker} & ); echo ready; exec sleep 1001.{marker}");
    let mut live = sessions.start(&sessions.spec(&script));
    live.wait_output("ready");
    wait_command(&format!("sleep 1000.{marker}"));
    live.kill_supervisor();
    // As if the supervisor had never seen the orphan's process session.
    let mut status = live.dir.read_status().unwrap();
    status.process_sessions.clear();
    overwrite_status(&live, &status);
    ended(reconcile_dead(&live.dir, live.take_lock(), None).unwrap());
    assert_eq!(living(&marker), 0);
}

#[test]
fn what_the_supervisor_saw_before_it_was_killed_stands() {
    let sessions = Sessions::new();
    let script = "trap '' TERM; (trap '' TERM; setsid sleep 1000 &); kill -9 $$";
    let spec = Spec { grace_ms: 60_000, ..sessions.spec(script) };
    let mut live = sessions.start(&spec);
    let seen =
        until("the agent's end", || live.dir.read_status().filter(|status| status.agent_ended.is_some()));
    live.kill_supervisor();
    if live.dir.read_exit().is_none() {
        let record = ended(reconcile_dead(&live.dir, live.take_lock(), None).unwrap());
        assert_eq!((record.ended, record.signal), (Some(Ended::Signalled), Some(9)));
        assert_eq!((record.cause, record.by), (Cause::Itself, WrittenBy::Reconcile));
        assert_eq!(record.agent_ended_at, seen.agent_ended.map(|end| end.at));
    }
}

/// Rewrites `status.json` as a supervisor in other circumstances would have left it.
fn overwrite_status(live: &Live, status: &Status) {
    fs::write(live.dir.status_path(), status.to_record()).unwrap();
}

#[test]
fn after_a_restart_of_the_machine_nothing_is_swept() {
    let sessions = Sessions::new();
    let marker = marker();
    let mut live = with_survivors(&sessions, &marker);
    live.kill_supervisor();
    let before = living(&marker);
    let record = ended(reconcile_dead(&live.dir, live.take_lock(), Some("another boot")).unwrap());
    assert_eq!((record.cause, record.ended, record.killed_count), (Cause::Reboot, None, 0));
    assert!(before >= 4 && living(&marker) >= 4);
    // The same by what the directory itself says.
    fs::remove_file(live.dir.exit_path()).unwrap();
    let mut status = live.dir.read_status().unwrap();
    let here = std::mem::replace(&mut status.boot_id, "another boot".to_owned());
    overwrite_status(&live, &status);
    let record = ended(reconcile_dead(&live.dir, live.take_lock(), Some(&here)).unwrap());
    assert_eq!(record.cause, Cause::Reboot);
    // In truth the machine was not restarted.
    fs::remove_file(live.dir.exit_path()).unwrap();
    status.boot_id = here;
    overwrite_status(&live, &status);
    ended(reconcile_dead(&live.dir, live.take_lock(), None).unwrap());
    assert_eq!(living(&marker), 0);
}

#[test]
fn in_another_process_namespace_nothing_is_killed_and_nothing_is_said() {
    let sessions = Sessions::new();
    let marker = marker();
    let mut live = with_survivors(&sessions, &marker);
    live.kill_supervisor();
    let mut status = live.dir.read_status().unwrap();
    status.pid_ns += 1;
    overwrite_status(&live, &status);
    let reconciled = reconcile_dead(&live.dir, live.take_lock(), None).unwrap();
    assert!(matches!(reconciled, Reconciled::OtherNamespace), "{reconciled:?}");
    assert!(live.dir.read_exit().is_none() && living(&marker) >= 4);
    status.pid_ns -= 1;
    overwrite_status(&live, &status);
}

#[test]
fn a_process_of_another_session_that_looks_into_this_one_is_left_alone() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("echo ready; exec sleep 1000"));
    live.wait_output("ready");
    let file = live.dir.outbox_path().join("note");
    let script = format!("exec 7>>{}; echo ready; exec sleep 1000", file.display());
    let mut other = sessions.start(&sessions.spec(&script));
    other.wait_output("ready");
    live.kill_supervisor();
    ended(reconcile_dead(&live.dir, live.take_lock(), None).unwrap());
    assert!(is_alive(other.agent()));
    send("TERM", other.pid());
    other.wait_end();
}

#[test]
fn a_stopped_supervisor_is_woken_first() {
    let sessions = Sessions::new();
    let spec = Spec { timeout_ms: Some(50), grace_ms: 10, ..sessions.spec("exec sleep 1000") };
    let mut live = sessions.start(&spec);
    live.wait_ready();
    send("STOP", live.pid());
    let record = ended(kill_stuck_supervisor(&live.dir, Duration::from_secs(30)).unwrap());
    assert_eq!((record.cause, record.by), (Cause::Deadline, WrittenBy::Supervisor));
    live.wait_end();
}

#[test]
fn a_supervisor_that_no_longer_moves_is_killed_and_its_session_swept() {
    let sessions = Sessions::new();
    let marker = marker();
    let mut live = with_survivors(&sessions, &marker);
    // It never ends by itself: without a deadline, waking it has no effect.
    let record = ended(kill_stuck_supervisor(&live.dir, Duration::from_millis(50)).unwrap());
    assert_eq!((record.cause, record.by), (Cause::SupervisorStuck, WrittenBy::Reconcile));
    assert_eq!(living(&marker), 0);
    live.wait_gone();
}

#[test]
fn a_holder_of_the_lock_that_never_became_a_supervisor_is_killed() {
    let mut sessions = Sessions::new();
    sessions.exe = sessions.root().join("hangs");
    fs::write(&sessions.exe, "#!/bin/sh\nsleep 1000\n").unwrap();
    shell(&format!("chmod +x {}", sessions.exe.display()));
    let mut live = sessions.start(&sessions.spec("true"));
    until("its child", || (with_session_id(&live.dir.session_id()).len() == 2).then_some(()));
    assert!(matches!(live.dir.probe().unwrap(), Probe::Running(None)));
    let record = ended(kill_stuck_supervisor(&live.dir, Duration::from_millis(50)).unwrap());
    assert_eq!(record.cause, Cause::SupervisorStuck);
    live.wait_gone();
}

#[test]
fn giving_up_a_session_without_a_supervisor() {
    let sessions = Sessions::new();
    let (dir, lock) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
    let left = LeftBehind { pid: 1, command: "init".to_owned(), uid: 0, state: "D".to_owned() };
    let by = StopOrder { by: "ann".to_owned(), why: "it is mine".to_owned() };
    let record = abandon_dead(&dir, lock, by, vec![left.clone()]).unwrap();
    assert_eq!((record.cause, record.left_behind), (Cause::SupervisorLost, vec![left]));
    assert!(matches!(dir.probe().unwrap(), Probe::Ended(_)));
}

/// A child between fork and exec has everything open that its parent has: the files of a session that is being swept, too.
#[test]
fn a_sweep_does_not_touch_what_is_being_started_beside_it() {
    let sessions = Sessions::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let (dir, lock) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
                    let record = ended(reconcile_dead(&dir, lock, None).unwrap());
                    assert_eq!(record.killed, []);
                }
            });
        }
        for _ in 0..100 {
            assert_eq!(sessions.run(&sessions.spec("exit 9")).exit_code, Some(9));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
