//! Who may start and who may close a session: the lock, the record, and every way in which they can be missing or wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use mozi_supervise::*;

use crate::help::*;

fn held_supervisor(sessions: &mut Sessions) {
    let path = sessions.root().join("held");
    let script = format!("#!/bin/sh\nkill -STOP $$\nexec {} \"$@\"\n", supervisor_exe().display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    sessions.exe = path;
}

/// Nobody holds the lock and nothing is said; but for an instant a child of this process may hold a copy.
#[track_caller]
fn is_dead(dir: &SessionDir) {
    until("a free lock", || match dir.probe().unwrap() {
        Probe::Dead => Some(()),
        Probe::Running(_) => None,
        other => panic!("{other:?}"),
    });
}

fn wait_stopped(live: &Live) {
    until("the stop", || proc_status(live.pid(), "State")?.starts_with('T').then_some(()));
}

#[test]
fn the_lock_is_never_free_between_spawn_and_death() {
    let sessions = Sessions::new();
    for _ in 0..20 {
        let spec = sessions.spec("(sleep 0.01 &) ; true");
        let (dir, lock) = SessionDir::create(sessions.root(), &spec.session_id).unwrap();
        dir.write_spec(&spec).unwrap();
        let mut looks = 0;
        let mut live = sessions.start_in(dir.clone(), lock);
        while let LockAttempt::Held = dir.try_lock().unwrap() {
            looks += 1;
        }
        assert!(dir.read_exit().is_some(), "the lock was free without a record after {looks} looks");
        assert!(live.wait_gone().success());
    }
}

#[test]
fn a_supervisor_that_is_held_keeps_everybody_out() {
    let mut sessions = Sessions::new();
    held_supervisor(&mut sessions);
    let mut live = sessions.start(&sessions.spec("echo once"));
    wait_stopped(&live);
    // A second server looks: it may neither start nor close.
    assert!(matches!(live.dir.probe().unwrap(), Probe::Running(None)));
    assert!(matches!(live.dir.try_lock().unwrap(), LockAttempt::Held));
    let again = SessionDir::create(sessions.root(), &live.dir.session_id());
    assert!(matches!(again, Err(Error::Exists { .. })));
    send("CONT", live.pid());
    assert_eq!(live.wait_end().exit_code, Some(0));
    assert_eq!(live.stdout(), "once\n");
}

#[test]
fn a_supervisor_that_comes_too_late_starts_nothing() {
    type Meanwhile = fn(&SessionDir);
    let closed: Meanwhile = |dir| {
        let record = ExitRecord::not_started(Cause::SupervisorLost, None, WrittenBy::Reconcile);
        durable_write(&dir.exit_path(), &serde_json::to_vec(&record).unwrap()).unwrap();
    };
    let lock_removed: Meanwhile = |dir| fs::remove_file(dir.lock_path()).unwrap();
    let lock_replaced: Meanwhile = |dir| {
        fs::remove_file(dir.lock_path()).unwrap();
        fs::write(dir.lock_path(), "").unwrap();
    };
    let all_removed: Meanwhile = |dir| fs::remove_dir_all(dir.path()).unwrap();
    for meanwhile in [closed, lock_removed, lock_replaced, all_removed] {
        let mut sessions = Sessions::new();
        held_supervisor(&mut sessions);
        let mark = sessions.root().join("started");
        let mut live = sessions.start(&sessions.spec(&format!("touch {}", mark.display())));
        wait_stopped(&live);
        meanwhile(&live.dir);
        send("CONT", live.pid());
        assert!(!live.wait_ready());
        assert_eq!(live.wait_gone().into_raw(), 1 << 8);
        assert!(!mark.exists() && !live.dir.status_path().exists());
    }
}

#[test]
fn the_lock_of_another_session_starts_nothing() {
    let sessions = Sessions::new();
    let (_other, lock) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
    let spec = sessions.spec("true");
    let (dir, held) = SessionDir::create(sessions.root(), &spec.session_id).unwrap();
    dir.write_spec(&spec).unwrap();
    drop(held);
    let mut live = sessions.start_in(dir.clone(), lock);
    assert!(!live.wait_gone().success());
    is_dead(&dir);
}

#[test]
fn only_one_of_starter_and_closer_wins() {
    let sessions = Sessions::new();
    let id = Sessions::new_id();
    let record = close_never_started(
        sessions.root(),
        &id,
        Cause::SpawnError,
        Some("never asked for".to_owned()),
        WrittenBy::Runner,
    )
    .unwrap();
    assert_eq!((record.ended, record.by), (Some(Ended::NotStarted), WrittenBy::Runner));
    assert!(matches!(SessionDir::create(sessions.root(), &id), Err(Error::Exists { .. })));
    let Probe::Ended(read) = SessionDir::at(sessions.root().join(&id)).probe().unwrap() else { panic!() };
    assert_eq!(*read, record);
    // And the other way round.
    let id = Sessions::new_id();
    let (_dir, _lock) = SessionDir::create(sessions.root(), &id).unwrap();
    let late = close_never_started(sessions.root(), &id, Cause::SpawnError, None, WrittenBy::Runner);
    assert!(matches!(late, Err(Error::Exists { .. })));
    // Many at once: one wins.
    let id = Sessions::new_id();
    let wins = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| SessionDir::create(sessions.root(), &id).is_ok())).collect();
        threads.into_iter().filter(|_| true).map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
    });
    assert_eq!(wins, 1);
}

#[test]
fn a_directory_whose_starter_died_early_can_be_closed() {
    let sessions = Sessions::new();
    // Between mkdir and the lock.
    let dir = SessionDir::at(sessions.root().join(Sessions::new_id()));
    fs::create_dir(dir.path()).unwrap();
    is_dead(&dir);
    let lock = lock_of(&dir);
    let record = ended(reconcile_dead(&dir, lock, None).unwrap());
    assert_eq!((record.ended, record.cause), (None, Cause::SupervisorLost));
    // Between the lock and the spawn.
    let (dir, lock) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
    assert!(matches!(dir.probe().unwrap(), Probe::Running(None)));
    drop(lock);
    is_dead(&dir);
    // There is none at all.
    assert!(matches!(SessionDir::at(sessions.root().join("nothing")).probe().unwrap(), Probe::Missing));
    assert!(SessionDir::at(sessions.root().join("nothing")).try_lock().is_err());
}

#[test]
fn what_nobody_has_heard_of_and_has_left_no_trace_was_never_started() {
    let sessions = Sessions::new();
    let not_started = (Some(Ended::NotStarted), Cause::SupervisorLost, WrittenBy::Reconcile);
    let lost = (None, Cause::SupervisorLost, WrittenBy::Reconcile);
    let of = |reconciled| {
        let record = ended(reconciled);
        (record.ended, record.cause, record.by)
    };
    for (ran, expected) in [(false, not_started), (true, lost)] {
        let id = Sessions::new_id();
        assert_eq!(of(reconcile_missing(sessions.root(), &id, None, ran).unwrap()), expected);
        assert!(matches!(SessionDir::create(sessions.root(), &id), Err(Error::Exists { .. })));
        assert!(matches!(reconcile_missing(sessions.root(), &id, None, ran), Err(Error::Exists { .. })));
    }
    let id = Sessions::new_id();
    let rebooted = ended(reconcile_missing(sessions.root(), &id, Some("another boot"), true).unwrap());
    assert_eq!((rebooted.ended, rebooted.cause), (None, Cause::Reboot));
    // A trace of a supervisor, readable or not, is one.
    for trace in ["status.json", "stdout.log", "stderr.log"] {
        let (dir, lock) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
        fs::write(dir.path().join(trace), "").unwrap();
        assert_eq!(of(reconcile_unheard(&dir, lock, None).unwrap()), lost, "{trace}");
    }
    let (dir, lock) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
    assert_eq!(of(reconcile_unheard(&dir, lock, None).unwrap()), not_started);
}

#[test]
fn nothing_final_is_written_with_a_foreign_lock_or_twice() {
    let sessions = Sessions::new();
    let (one, lock_of_one) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
    let (two, lock_of_two) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
    let foreign = write_not_started(&two, lock_of_one, Cause::DryRun, None);
    assert!(matches!(foreign, Err(Error::ForeignLock { .. })));
    let record = write_not_started(&two, lock_of_two, Cause::DryRun, None).unwrap();
    assert_eq!((record.cause, record.ended), (Cause::DryRun, Some(Ended::NotStarted)));
    let lock = lock_of(&two);
    let twice = write_not_started(&two, lock, Cause::SpawnError, None);
    assert!(matches!(twice, Err(Error::Ended { .. })));
    // Reconciling what has ended tells how it did.
    let lock = lock_of(&two);
    assert_eq!(ended(reconcile_dead(&two, lock, None).unwrap()), record);
    drop(one);
}

#[test]
fn an_exit_record_that_cannot_be_read_counts_as_absent() {
    let sessions = Sessions::new();
    let (dir, lock) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
    write_not_started(&dir, lock, Cause::DryRun, None).unwrap();
    let whole = fs::read(dir.exit_path()).unwrap();
    for broken in [&b""[..], b"{", b"null", b"\0\0\0\0", &whole[..whole.len() - 1], b"{\"version\":1}"] {
        fs::write(dir.exit_path(), broken).unwrap();
        assert_eq!(dir.read_exit(), None, "{broken:?}");
        is_dead(&dir);
    }
    // A FIFO, a link, a folder in its place neither hang nor lead elsewhere.
    let elsewhere = sessions.root().join("elsewhere.json");
    fs::write(&elsewhere, &whole).unwrap();
    for line in ["mkfifo $", "ln -s ../elsewhere.json $", "mkdir $"] {
        shell(&format!(
            "rm -rf {0}; {1}",
            dir.exit_path().display(),
            line.replace('$', &dir.exit_path().display().to_string())
        ));
        assert_eq!(dir.read_exit(), None, "{line}");
        is_dead(&dir);
    }
    shell(&format!("rm -rf {0}; mkfifo {0}", dir.status_path().display()));
    assert_eq!(dir.read_status(), None);
    shell(&format!("rm -rf {0}; mkfifo {0}", dir.spec_path().display()));
    assert!(dir.read_spec().is_err());
    shell(&format!("rm -rf {0}; mkfifo {0}", dir.lock_path().display()));
    assert!(dir.probe().is_err() && dir.try_lock().is_err());
}

#[test]
fn a_status_that_is_torn_counts_as_absent() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("true"));
    live.wait_end();
    let whole = fs::read(live.dir.status_path()).unwrap();
    assert!(live.dir.read_status().is_some());
    let mut torn = whole.clone();
    torn[whole.len() / 2] ^= 0x20;
    for broken in [&b""[..], &whole[..4096], &torn] {
        fs::write(live.dir.status_path(), broken).unwrap();
        assert_eq!(live.dir.read_status(), None);
    }
}

#[test]
fn sessions_are_listed_and_everything_else_is_passed_over() {
    let sessions = Sessions::new();
    let root = sessions.root().join("sessions");
    assert_eq!(SessionDir::list(&root).unwrap().count(), 0);
    fs::create_dir(&root).unwrap();
    let ids = [Sessions::new_id(), Sessions::new_id()];
    for id in &ids {
        SessionDir::create(&root, id).unwrap();
    }
    shell(&format!(
        "cd {}; mkfifo fifo; touch file; ln -s {} link; mkdir .hidden 'with space'",
        root.display(),
        ids[0]
    ));
    let mut found: Vec<String> = SessionDir::list(&root).unwrap().map(|dir| dir.session_id()).collect();
    found.sort();
    let mut expected = ids.to_vec();
    expected.sort();
    assert_eq!(found, expected);
    for bad in ["", ".", "..", "a/b", ".hidden", "a\0b", &"x".repeat(128), "中"] {
        assert!(matches!(SessionDir::create(&root, bad), Err(Error::InvalidId { .. })), "{bad:?}");
    }
}

#[test]
fn only_an_ended_session_is_removed() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("echo ready; read x < <(sleep 1000)"));
    live.wait_output("ready");
    assert!(matches!(live.dir.remove(), Err(Error::NotEnded { .. })));
    live.kill_supervisor();
    assert!(matches!(live.dir.remove(), Err(Error::NotEnded { .. })));
    ended(reconcile_dead(&live.dir, live.take_lock(), None).unwrap());
    let lock = live.take_lock();
    assert!(matches!(live.dir.remove(), Err(Error::Locked { .. })));
    drop(lock);
    fs::write(live.dir.outbox_path().join("0001"), "x").unwrap();
    live.dir.remove().unwrap();
    assert!(!live.dir.path().exists());
}
