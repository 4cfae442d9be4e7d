//! A session that ends by itself, and what the agent finds at its start.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mozi_supervise::*;

use crate::help::*;

#[test]
fn the_whole_life_of_a_session() {
    let sessions = Sessions::new();
    let spec = Spec {
        stdin: StdinSource::Prompt,
        ..sessions.spec("cat; echo out; echo err >&2; echo $MOZI_SESSION_ID; pwd; exit 3")
    };
    let mut live = sessions.start(&spec);
    let record = live.wait_end();
    assert_eq!((record.ended, record.exit_code, record.signal), (Some(Ended::Exited), Some(3), None));
    assert_eq!((record.cause, record.by, record.stop.clone()), (Cause::Itself, WrittenBy::Supervisor, None));
    assert_eq!((record.version, record.error.clone(), record.killed_count), (EXIT_VERSION, None, 0));
    assert!(record.started_at.as_ref().unwrap() <= &record.ended_at);
    assert!(record.resources.unwrap().max_rss_bytes > 0 && record.elapsed_ms.is_some());
    let cwd = sessions.root().canonicalize().unwrap();
    assert_eq!(live.stdout(), format!("the prompt\nout\n{}\n{}\n", spec.session_id, cwd.display()));
    assert_eq!(live.stderr(), "err\n");
    let logs = record.logs.unwrap();
    assert_eq!((logs.stdout.bytes, logs.stderr.bytes), (live.stdout().len() as u64, 4));
    let Probe::Ended(probed) = live.dir.probe().unwrap() else { panic!("not ended") };
    assert_eq!(probed.exit_code, Some(3));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(live.dir.path()), 0o700);
    for name in ["spec.json", "status.json", "prompt.md", "lock", "stdout.log", "stderr.log", "exit.json"] {
        assert_eq!(mode(&live.dir.path().join(name)), 0o600, "{name}");
    }
    // Neither the socket nor the room set aside is left.
    let mut names: Vec<_> =
        fs::read_dir(live.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["exit.json", "lock", "outbox", "prompt.md", "spec.json", "status.json", "stderr.log", "stdout.log"]
    );
}

#[test]
fn an_end_by_signal_is_told_as_it_was() {
    let sessions = Sessions::new();
    let record = sessions.run(&sessions.spec("kill -USR1 $$"));
    assert_eq!((record.ended, record.exit_code), (Some(Ended::Signalled), None));
    assert_eq!((record.signal, record.cause), (Some(10), Cause::Itself));
}

#[test]
fn the_agent_begins_with_a_clean_process() {
    let sessions = Sessions::new();
    let mut live =
        sessions.start(&sessions.spec("umask; cat /proc/self/oom_score_adj; echo go; exec sleep 1000"));
    live.wait_output("go");
    let agent = live.agent();
    until("sleep", || {
        fs::read_to_string(format!("/proc/{agent}/comm")).ok().filter(|name| name == "sleep\n")
    });
    let mut open: Vec<_> =
        fs::read_dir(format!("/proc/{agent}/fd")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    for set in ["SigBlk", "SigIgn", "SigPnd"] {
        assert_eq!(proc_status(agent, set).unwrap(), "0000000000000000", "{set}");
    }
    let umask = shell("umask");
    let score = live.stdout().lines().nth(1).unwrap().parse::<i32>().unwrap();
    assert_eq!(live.stdout().lines().next().unwrap(), umask);
    assert!(score >= 500, "{score}");
    // It leads a session and a group of its own, beneath a supervisor that does so too.
    let stat = |pid: i32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ids = |pid: i32| {
        stat(pid)
            .split(") ")
            .nth(1)
            .unwrap()
            .split(' ')
            .skip(1)
            .take(3)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(agent), [live.pid().to_string(), agent.to_string(), agent.to_string()]);
    assert_eq!(ids(live.pid())[1..], [live.pid().to_string(), live.pid().to_string()]);
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", live.pid())).unwrap(), "mozi-supervise\n");
    live.kill_supervisor();
    until("the agent's death with its supervisor", || (!is_alive(agent)).then_some(()));
}

#[test]
fn the_supervisor_holds_nothing_of_its_starter() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("exec sleep 1000"));
    assert!(live.wait_ready());
    for standard in 0..3 {
        let target = fs::read_link(format!("/proc/{}/fd/{standard}", live.pid())).unwrap();
        assert_eq!(target.to_str(), Some("/dev/null"), "{standard}");
    }
    assert_eq!(
        fs::read_link(format!("/proc/{}/cwd", live.pid())).unwrap(),
        live.dir.path().canonicalize().unwrap()
    );
}

#[test]
fn what_cannot_be_started_is_told_with_its_reason() {
    let sessions = Sessions::new();
    let script = sessions.root().join("no-first-line");
    fs::write(&script, "echo hi\n").unwrap();
    let plain = sessions.root().join("plain");
    fs::write(&plain, "data").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    let check = |spec: Spec, words: &[&str]| {
        let record = sessions.run(&spec);
        let error = record.error.clone().unwrap();
        assert_eq!((record.ended, record.cause), (Some(Ended::NotStarted), Cause::SpawnError), "{error}");
        assert_eq!((record.exit_code, record.signal, record.started_at), (None, None, None), "{error}");
        for word in words {
            assert!(error.contains(word), "{word} in {error}");
        }
    };
    let spec = || sessions.spec("true");
    check(
        Spec { program: "/nowhere/at-all".into(), ..spec() },
        &["could not execute /nowhere/at-all", "ENOENT"],
    );
    check(Spec { program: "no-such-program-here".into(), ..spec() }, &["no-such-program-here", "ENOENT"]);
    check(Spec { program: plain, ..spec() }, &["EACCES"]);
    check(Spec { program: script, ..spec() }, &["ENOEXEC", "#!"]);
    check(Spec { program: "/".into(), ..spec() }, &["EACCES"]);
    check(Spec { cwd: "/nowhere".into(), ..spec() }, &["working directory /nowhere", "ENOENT"]);
    check(Spec { args: vec!["a\0b".to_owned()], ..spec() }, &["arguments"]);
    check(Spec { args: vec!["x".repeat(200_000)], ..spec() }, &["E2BIG"]);
}

#[test]
fn a_spec_that_cannot_be_read_ends_the_session() {
    let sessions = Sessions::new();
    for (text, word) in [("{", "spec.json"), (r#"{"version":99}"#, "newer"), ("", "spec.json")] {
        let (dir, lock) = SessionDir::create(sessions.root(), &Sessions::new_id()).unwrap();
        fs::write(dir.spec_path(), text).unwrap();
        let record = sessions.start_in(dir, lock).end();
        let error = record.error.unwrap();
        assert_eq!(record.cause, Cause::SpawnError);
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_path_of_the_directory_may_be_long() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    let sessions = Sessions::in_folder(tempfile::tempdir_in(&deep).unwrap());
    let mut live = sessions.start(&sessions.spec("exec sleep 1000"));
    let mut control = live.control();
    let status = control.ask_status().unwrap();
    assert_eq!(status.supervisor.pid, live.pid());
    control.request(&Request::Stop { by: "t".to_owned(), why: String::new(), grace_ms: None }).unwrap();
    assert_eq!(live.wait_end().cause, Cause::Stop);
}

#[test]
fn a_supervisor_is_small() {
    const COUNT: u64 = 20;
    let sessions = Sessions::new();
    let mut all: Vec<Live> =
        (0..COUNT).map(|_| sessions.start(&sessions.spec("echo hello; exec sleep 1000"))).collect();
    let (mut dirty, mut pss) = (0, 0);
    for live in &mut all {
        live.wait_output("hello");
        live.wait_phase(Phase::Running);
    }
    for live in &all {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", live.pid())).unwrap();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        dirty += field("Private_Dirty:");
        pss += field("Pss:");
    }
    println!("private dirty {} KiB, PSS {} KiB", dirty / COUNT, pss / COUNT);
    // This program is position independent, which costs some; the product is not.
    assert!(dirty / COUNT <= 256, "private dirty {} KiB", dirty / COUNT);
    assert!(pss / COUNT <= 400, "PSS {} KiB", pss / COUNT);
}
