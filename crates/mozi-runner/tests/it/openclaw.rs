//! The runtime `openclaw` against a program that behaves like OpenClaw's command line.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use mozi_api::runner::OrderKind;
use mozi_core::command::{Cause, EndedAs};
use mozi_runner::config::{Callback, RuntimeConfig};
use mozi_testing::wait_until;

use crate::board::Job;
use crate::help::{Place, kill, task};

/// Prints a result, or waits; a question to its Gateway is noted and answered by what stands in `gateway`.
const PROGRAM: &str = r#"#!/bin/bash
here=$(dirname "$0")
if [ "$1" = gateway ]; then
  echo "$*" >> "$here/asked"
  cat "$here/gateway" 2>/dev/null || { echo '{"ok":false,"error":{"type":"cli_error","message":"Gateway not reachable"}}'; exit 1; }
  exit 0
fi
[ -e "$here/hang" ] && trap 'exit 143' TERM
echo "$* respawn=$OPENCLAW_NO_RESPAWN shell=$OPENCLAW_SHELL" >> "$here/called"
while [ -e "$here/hang" ]; do sleep 0.1; done
cat "$here/result"
exit $(cat "$here/exit" 2>/dev/null || echo 0)
"#;

const RESULT: &str = r#"{"runId":"r","status":"ok","summary":"completed","result":{"payloads":[{"text":"hi"}],
  "meta":{"stopReason":"stop","agentMeta":{"provider":"mock","model":"m","usage":{"input":5,"output":7,"cost":{"total":0.001}}},
  "finalAssistantVisibleText":"hi"}}}"#;

fn place(test: &str) -> (Place, PathBuf, std::net::TcpListener) {
    let mut p = Place::new(test);
    let here = p.config.config_dir.clone();
    let program = here.join("openclaw");
    std::fs::write(&program, PROGRAM).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(here.join("result"), RESULT).unwrap();
    // Something that listens and says nothing of readiness is not in the way.
    let gateway = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let accepting = gateway.try_clone().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in accepting.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 256];
            drop(stream.read(&mut request));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"));
        }
    });
    let port = gateway.local_addr().unwrap().port();
    let runtime = RuntimeConfig::Openclaw { openclaw_agent: "oc".into(), program: "./openclaw".into() };
    let agent = p.agent_of("coder", runtime);
    agent.callback = Callback::Header;
    agent.timeout = Some(Duration::from_mins(10));
    agent.env.insert("OPENCLAW_GATEWAY_PORT".into(), port.to_string());
    p.board.put(Job { message: Some("the prompt".into()), ..task("coder") });
    (p, here, gateway)
}

fn asked(here: &std::path::Path) -> usize {
    std::fs::read_to_string(here.join("asked")).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn a_complete_result_needs_no_confirmation() {
    let (p, here, _gateway) = place("oc_complete");
    let runner = p.run();
    let (id, end) = p.board.an_end().await;
    assert_eq!((end.cause.0, end.exit_code), (Cause::Itself, Some(0)));
    assert_eq!(end.reading.ended_as.map(|e| e.0), Some(EndedAs::Finished));
    assert_eq!(
        (end.reading.usage[0].input_tokens, end.reading.usage[0].cost_micro_usd),
        (Some(5), Some(1000))
    );
    let called = std::fs::read_to_string(here.join("called")).unwrap();
    let expected = format!(
        "agent --agent oc --session-key agent:oc:subagent:mozi-{id} --message-file {} --timeout 660 --json respawn=1 shell=\n",
        p.dir(id).prompt_path().display()
    );
    assert_eq!(called, expected);
    assert_eq!(asked(&here), 0);
    assert_eq!(std::fs::read_to_string(p.dir(id).prompt_path()).unwrap(), "the prompt");
    runner.stop().await;
}

#[tokio::test]
async fn a_killed_one_is_closed_only_when_the_gateway_has_said_twice_that_it_is_over() {
    let (p, here, _gateway) = place("oc_killed");
    std::fs::write(here.join("hang"), "").unwrap();
    let runner = p.run();
    let (id, pid) = p.board.running().await;
    kill(i32::try_from(pid).unwrap());
    let held = p
        .board
        .wait("the hold-up", |s| s.notes.iter().find_map(|(_, n)| n.by.map(|by| (by, n.clone()))))
        .await;
    assert_eq!(held.0.to_string(), "gateway");
    assert!(held.1.detail.unwrap().contains("Gateway not reachable"));
    assert!(p.board.with(|s| s.ends.is_empty()));
    let before = asked(&here);
    std::fs::write(here.join("gateway"), r#"{"ok":true,"abortedRunId":"r","status":"aborted"}"#).unwrap();
    let end = p.board.end_of(id).await;
    assert_eq!((end.cause.0, end.signal), (Cause::Itself, Some(9)));
    assert!(asked(&here) >= before + 2);
    let line = std::fs::read_to_string(here.join("asked")).unwrap();
    let key = format!(
        r#"gateway call sessions.abort --params {{"clearQueued":true,"key":"agent:oc:subagent:mozi-{id}"}} --json"#
    );
    assert!(line.starts_with(&key), "{line}");
    runner.stop().await;
}

#[tokio::test]
async fn one_that_obeyed_our_sigterm_needs_no_confirmation() {
    let (p, here, _gateway) = place("oc_term");
    std::fs::write(here.join("hang"), "").unwrap();
    let runner = p.run();
    let (id, _) = p.board.running().await;
    wait_until(Duration::from_secs(10), "its trap", async || here.join("called").exists()).await;
    p.board.stop(id, OrderKind::Stop, None);
    let end = p.board.end_of(id).await;
    assert_eq!((end.cause.0, end.exit_code), (Cause::Stop, Some(143)));
    assert_eq!(asked(&here), 0);
    runner.stop().await;
}

#[tokio::test]
async fn a_persons_word_closes_what_the_gateway_does_not_confirm() {
    let (p, here, _gateway) = place("oc_forced");
    std::fs::write(
        here.join("result"),
        r#"{"ok":false,"error":{"message":"gateway closed (1006): outcome is unknown"}}"#,
    )
    .unwrap();
    std::fs::write(here.join("exit"), "1").unwrap();
    let runner = p.run();
    let id = p
        .board
        .wait("the hold-up", |s| s.notes.iter().find(|(_, n)| n.by.is_some()).map(|(id, _)| *id))
        .await;
    p.board.stop(id, OrderKind::Force, None);
    let end = p.board.end_of(id).await;
    assert_eq!(end.exit_code, Some(1));
    assert_eq!(end.reading.reason.map(|r| r.0), Some(mozi_core::Reason::GatewayLost));
    runner.stop().await;
}

#[tokio::test]
async fn without_a_gateway_the_agent_is_held_back() {
    let (mut p, here, _gateway) = place("oc_away");
    let port = mozi_testing::free_port();
    p.agent("coder", "").env.insert("OPENCLAW_GATEWAY_PORT".into(), port.to_string());
    let runner = p.run();
    let why = p.board.wait("a hello", |s| s.hellos.last()?.agents[0].held_back.clone()).await;
    assert!(why.contains("no OpenClaw Gateway answers"), "{why}");
    p.board.wait("a poll", |s| s.polls.last().map(|poll| assert!(poll.agents.is_empty()))).await;
    assert!(!here.join("called").exists());
    runner.stop().await;
}
