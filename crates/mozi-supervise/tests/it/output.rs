//! The logs: complete, out of the agent's reach, and held to their limit; and a full disk.

use std::fs;
use std::os::unix::fs::MetadataExt;

use mozi_supervise::*;

use crate::help::*;

#[test]
fn an_agent_cannot_empty_a_log() {
    let sessions = Sessions::new();
    let script =
        "echo one >&2; echo two > /dev/stderr; echo three > /dev/stdout; echo four; echo five >> /dev/stderr";
    let mut live = sessions.start(&sessions.spec(script));
    live.wait_end();
    assert_eq!((live.stderr().as_str(), live.stdout().as_str()), ("one\ntwo\nfive\n", "three\nfour\n"));
}

#[test]
fn the_log_of_a_killed_writer_is_complete() {
    let sessions = Sessions::new();
    for _ in 0..5 {
        let script =
            "head -c 60000 /dev/zero | tr '\\0' a; head -c 50000 /dev/zero | tr '\\0' b >&2; kill -9 $$";
        let mut live = sessions.start(&sessions.spec(script));
        let record = live.wait_end();
        assert_eq!(record.signal, Some(9));
        assert_eq!((live.stdout(), live.stderr()), ("a".repeat(60_000), "b".repeat(50_000)));
    }
}

#[test]
fn a_log_keeps_its_newest_part() {
    let sessions = Sessions::new();
    let limit = 4 * 1024 * 1024;
    let spec = Spec { log_limit_bytes: limit, ..sessions.spec("seq -f %015.0f 2000000; echo the end") };
    let mut live = sessions.start(&spec);
    let record = live.wait_end();
    let log = record.logs.unwrap().stdout;
    assert_eq!((log.bytes, log.lost_bytes, log.error), (32_000_008, 0, None));
    assert!(log.bytes - log.kept_from <= limit && log.bytes - log.kept_from > limit / 2);
    let file = fs::metadata(live.dir.stdout_path()).unwrap();
    assert!(file.len() == log.bytes && file.blocks() * 512 <= limit + 8192, "{} blocks", file.blocks());
    // Offsets are what they would be if nothing had been dropped.
    let content = fs::read(live.dir.stdout_path()).unwrap();
    let from = usize::try_from(log.kept_from).unwrap().next_multiple_of(16);
    let line = format!("{:015}\n", from / 16 + 1);
    assert_eq!(&content[from..from + 16], line.as_bytes());
    assert!(content.ends_with(b"000000002000000\nthe end\n"));
}

#[test]
fn a_torrent_of_output_is_held_to_the_limit_and_to_the_deadline() {
    let sessions = Sessions::new();
    let limit = 8 * 1024 * 1024;
    let spec = Spec {
        log_limit_bytes: limit,
        timeout_ms: Some(1_500),
        grace_ms: 100,
        ..sessions.spec("trap '' TERM; while :; do cat /dev/zero; done")
    };
    let mut live = sessions.start(&spec);
    let most = until("the end", || {
        let blocks = fs::metadata(live.dir.stdout_path()).map_or(0, |meta| meta.blocks() * 512);
        assert!(blocks <= limit + 1024 * 1024, "{blocks} bytes on disk");
        live.dir.read_exit().map(|_| blocks)
    });
    let record = live.wait_end();
    let bytes = record.logs.unwrap().stdout.bytes;
    println!("{} MiB came, {} KiB kept", bytes >> 20, most >> 10);
    assert_eq!(record.cause, Cause::Deadline);
    assert!(bytes > 10 * limit, "{bytes}");
}

#[test]
fn at_the_limit_the_session_ends_where_that_is_wanted() {
    let sessions = Sessions::new();
    let spec = Spec {
        log_limit_bytes: 100_000,
        log_overflow: LogOverflow::End,
        grace_ms: 1_000,
        ..sessions.spec("echo small; exec cat /dev/zero >&2")
    };
    let mut live = sessions.start(&spec);
    let record = live.wait_end();
    let logs = record.logs.unwrap();
    assert_eq!(
        (record.cause, logs.stderr.bytes, live.stdout().as_str()),
        (Cause::OutputLimit, 100_000, "small\n")
    );
    assert!(logs.stderr.lost_bytes > 0);
}

#[test]
fn output_is_readable_at_once_and_told_in_the_status() {
    let sessions = Sessions::new();
    shell(&format!("mkfifo {}/go", sessions.root().display()));
    let mut live =
        sessions.start(&sessions.spec(&format!("echo first; read x < {}/go", sessions.root().display())));
    live.wait_output("first\n");
    let status = until("the status", || live.dir.read_status().filter(|status| status.stdout_bytes == 6));
    assert!(status.last_output_at.is_some());
    shell(&format!("echo > {}/go", sessions.root().display()));
    live.wait_end();
}

/// A disk of its own, if one may be made.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(size: &str) -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        shell(&format!("mount -t tmpfs -o size={size} tmpfs {path} 2>/dev/null && echo yes"))
            .eq("yes")
            .then(|| Disk(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        shell(&format!("umount {}", self.0.path().display()));
    }
}

#[test]
fn a_full_disk_does_not_keep_a_session_from_ending() {
    let Some(disk) = Disk::new("1m") else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let sessions = Sessions::in_folder(tempfile::tempdir_in(disk.0.path()).unwrap());
    let script = "head -c 3000000 /dev/zero; exit 6";
    let mut live = sessions.start(&sessions.spec(script));
    let record = live.wait_end();
    let log = record.logs.unwrap().stdout;
    assert_eq!(record.exit_code, Some(6));
    assert!(log.error.unwrap().contains("os error 28"));
    assert_eq!(log.bytes + log.lost_bytes, 3_000_000);
    assert!(log.lost_bytes > 1_500_000);
}

#[test]
fn a_disk_that_was_full_before_the_start_delays_the_record_until_there_is_room() {
    let Some(disk) = Disk::new("256k") else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let sessions = Sessions::in_folder(tempfile::tempdir_in(disk.0.path()).unwrap());
    let spec = sessions.spec("true");
    let (dir, lock) = SessionDir::create(sessions.root(), &spec.session_id).unwrap();
    dir.write_spec(&spec).unwrap();
    let filler = sessions.root().join("filler");
    shell(&format!("head -c 1000000 /dev/zero > {}", filler.display()));
    let mut live = sessions.start_in(dir, lock);
    until("the first attempt", || live.dir.path().join(".exit.json").exists().then_some(()));
    assert!(matches!(live.dir.probe().unwrap(), Probe::Running(_)));
    assert!(live.dir.read_exit().is_none());
    fs::remove_file(filler).unwrap();
    let record = live.wait_end();
    assert_eq!((record.ended, record.cause), (Some(Ended::NotStarted), Cause::SpawnError));
    assert!(record.error.unwrap().contains("exit.json"));
}
