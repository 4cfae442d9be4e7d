//! `control.sock`: numbered messages, news, and whoever speaks it badly.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use mozi_supervise::*;

use crate::help::*;

fn verdict(grace_ms: u64) -> Request {
    Request::VerdictGiven { since_ms_ago: 0, grace_ms }
}

#[test]
fn a_repeated_message_is_done_once() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("trap '' TERM; echo ready; while :; do sleep 0.1; done"));
    live.wait_output("ready");
    let mut control = live.control();
    assert_eq!(control.done(), 0);
    let first = control.send(&Message { n: Some(7), request: verdict(3_600_000) }).unwrap();
    assert_eq!((first.n, first.done, first.repeated), (Some(7), 7, false));
    // If this were done, the session would end at once.
    let second = control.send(&Message { n: Some(7), request: verdict(0) }).unwrap();
    assert_eq!((second.n, second.done, second.repeated), (Some(7), 7, true));
    let older = control.send(&Message { n: Some(3), request: verdict(0) }).unwrap();
    assert!(older.repeated);
    // It is on record for a runner that comes later, and for one that only reads the file.
    assert_eq!(live.dir.read_status().unwrap().highest_message, 7);
    drop(control);
    let mut control = live.control();
    assert_eq!(control.done(), 7);
    assert_eq!(control.ask_status().unwrap().phase, Phase::Running);
    // Two clients at once: the number that one has used is not taken for the other's.
    let mut other = live.control();
    assert_eq!(control.request(&Request::SignOfLife).unwrap().done, 8);
    assert_eq!(other.request(&Request::SignOfLife).unwrap().done, 9);
    let stop = |by: &str, grace_ms| Request::Stop { by: by.to_owned(), why: String::new(), grace_ms };
    control.send(&Message { n: Some(10), request: stop("ann", None) }).unwrap();
    assert!(other.send(&Message { n: Some(10), request: stop("bob", Some(0)) }).unwrap().repeated);
    assert!(live.dir.read_exit().is_none());
    control.send(&Message { n: Some(11), request: stop("bob", Some(0)) }).unwrap();
    assert_eq!(live.wait_end().stop.unwrap().by, "ann");
}

#[test]
fn the_end_is_news_and_then_end_of_file() {
    let sessions = Sessions::new();
    shell(&format!("mkfifo {}/go", sessions.root().display()));
    let script =
        format!("read x < {}/go; trap '' TERM; setsid sleep 1000 & exit 0", sessions.root().display());
    let mut live = sessions.start(&sessions.spec(&script));
    let mut control = live.control();
    let agent = control.last_status().unwrap().agent.unwrap();
    assert_eq!(process_start_time(agent.pid).unwrap(), agent.start_time_ticks);
    shell(&format!("echo > {}/go", sessions.root().display()));
    let mut phases = Vec::new();
    while let Some(news) = control.wait_for_news().unwrap() {
        assert!(news.news && news.n.is_none());
        phases.push(news.status.unwrap().phase);
    }
    // At end of file the record is there.
    assert_eq!(live.dir.read_exit().unwrap().exit_code, Some(0));
    assert_eq!(phases.last(), Some(&Phase::Ending));
    live.wait_end();
    assert!(matches!(Control::connect(&live.dir, PATIENCE), Err(ControlError::Gone(_))));
}

#[test]
fn whoever_speaks_badly_is_told_or_cut_off_and_harms_nobody() {
    let sessions = Sessions::new();
    let mut live = sessions.start(&sessions.spec("exec sleep 1000"));
    let mut control = live.control();
    let raw = || {
        let mut stream = UnixStream::connect(live.dir.control_path()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut greeting = Vec::new();
        while !greeting.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            greeting.extend(byte);
        }
        stream
    };
    let mut stream = raw();
    stream.write_all(b"nonsense\n{\"n\":1,\"kind\":\"dance\"}\n").unwrap();
    let mut text = String::new();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_string(&mut text).unwrap();
    let answers: Vec<Answer> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answers: Vec<Answer> = answers.into_iter().filter(|answer| !answer.news).collect();
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|answer| answer.error.is_some() && answer.done == 0));
    // No line end in sight.
    let mut stream = raw();
    drop(stream.write_all(&vec![b'x'; 100_000]));
    drop(stream.read_to_end(&mut Vec::new()));
    // Too many at once: the surplus is turned away, those who are there stay.
    let many: Vec<UnixStream> =
        (0..40).map(|_| UnixStream::connect(live.dir.control_path()).unwrap()).collect();
    assert_eq!(control.ask_status().unwrap().supervisor.pid, live.pid());
    drop(many);
    // Until it has seen that they are gone, whoever comes is one too many.
    let mut late = until("a free place", || Control::connect(&live.dir, PATIENCE).ok());
    late.request(&Request::Stop { by: "ann".to_owned(), why: String::new(), grace_ms: None }).unwrap();
    live.wait_end();
}
