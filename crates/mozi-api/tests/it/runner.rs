//! What runners and their board say to each other.

use mozi_api::{
    body::parse,
    runner::{
        Assignment, EndSession, Hello, MarkKind, OpenSession, Poll, PollReply, PromptParts, RunnerNotice,
        SessionNote, StopOrder,
    },
};
use mozi_core::{self as core, Command, Timestamp, command as cmd};
use serde_json::json;

const SID: core::SessionId = core::SessionId(uuid::Uuid::from_u128(7));

#[test]
fn hello_becomes_its_command() {
    let body = json!({
        "max_sessions": 8, "boot_id": "b", "pid_namespace": "n", "version": "0.1.0",
        "agents": [{
            "id": "coder", "runtime": "openclaw", "aliases": ["开发者"], "roles": ["executor", "reviewer"],
            "max_sessions": 1, "verdict": "report", "timeout_ms": 600_000, "callback": "header", "held_back": null,
        }],
    });
    let hello: Hello = parse(body.to_string().as_bytes()).expect("a hello");
    assert_eq!(json!(hello), body);
    let Command::Hello(command) = hello.into_command("local".parse().expect("an id")) else {
        panic!("a hello")
    };
    assert_eq!(command.agents[0].roles, [core::Role::Executor, core::Role::Reviewer]);
    assert_eq!(command.agents[0].timeout_ms, Some(600_000));
    let bad = parse::<Hello>(br#"{"max_sessions": 1, "boot_id": "", "pid_namespace": "", "version": "", "agents": [{"id": "a", "runtime": "x", "roles": ["boss"]}]}"#);
    assert_eq!(
        bad.expect_err("a role").to_string(),
        "`agents[0].roles[0]` is one of executor, reviewer, not \"boss\""
    );
}

#[test]
fn polls_and_their_answers_come_back() {
    let poll: Poll = parse(
        json!({
            "agents": ["coder"],
            "offers": [{"session_id": SID.to_string(), "token_sha256": "00".repeat(32)}],
            "busy_projects": ["app"],
            "known": [{"session_id": SID.to_string(), "order": "grace"}],
            "wait_seconds": 30,
        })
        .to_string()
        .as_bytes(),
    )
    .expect("a poll");
    let offer: cmd::Offer = poll.offers[0].into();
    assert_eq!((offer.session_id, offer.token_hash), (SID, core::TokenHash([0; 32])));
    assert!(parse::<Poll>(b"{}").is_ok(), "all of a poll may be left out");
    let reply = PollReply {
        claimed: vec![Assignment {
            session_id: SID.into(),
            agent: "coder".parse().expect("an id"),
            role: core::Role::Executor.into(),
            project_id: Some("app".parse().expect("an id")),
            task_id: Some("7".parse().expect("an id")),
            attempt_number: Some(1),
            timeout_ms: None,
            order: None,
            language: core::project::Language::ZhCn.into(),
            prompt: Some(PromptParts {
                text: "do @@token-1@@".into(),
                marks: MarkKind::ALL.iter().map(|m| ((*m).into(), "@@1@@".to_owned())).collect(),
                states: std::collections::BTreeMap::new(),
                bootstrap: None,
            }),
        }],
        start: vec![],
        stop: vec![StopOrder {
            session_id: SID.into(),
            order: mozi_api::runner::OrderKind::Grace.into(),
            why: "verdict given".into(),
            verdict_age_ms: Some(5),
        }],
        clean: vec![SID.into()],
    };
    assert!(!reply.is_empty());
    assert!(PollReply::default().is_empty());
    let shown = json!(reply);
    assert_eq!(shown["claimed"][0]["prompt"]["marks"]["workspace_state"], json!("@@1@@"));
    assert_eq!(shown["claimed"][0]["language"], json!("zh-CN"));
    assert_eq!(serde_json::from_value::<PollReply>(shown).expect("a reply"), reply);
    // What an older board leaves out is nothing.
    assert!(serde_json::from_value::<PollReply>(json!({})).expect("an empty reply").is_empty());
}

#[test]
fn an_end_becomes_its_command() {
    let body = json!({
        "cause": "itself", "exit_code": 0, "signal": null, "error": null, "reason": "model_error",
        "reading": {
            "ended_as": "failed", "reason": "rate_limited", "reset_at": "2026-08-01T12:00:00Z", "final_text": "bye",
            "usage": [{"model": "m", "input_tokens": 5}],
        },
        "resources": {"cpu_seconds": 0.003, "max_rss_bytes": 7},
        "tail": {"stdout": "o", "stderr": "e", "stdout_bytes": 1, "stderr_bytes": 1},
        "metadata": {"killed": [1]},
    });
    let end: EndSession = parse(body.to_string().as_bytes()).expect("an end");
    assert_eq!(serde_json::from_value::<EndSession>(json!(end)).expect("the same end"), end);
    let end = end.into_end(SID, Some("hash".into()));
    assert_eq!(end.cause, cmd::Cause::Itself);
    assert_eq!(end.resources.map(|r| r.cpu_ms), Some(3));
    assert_eq!(end.reading.ended_as, Some(cmd::EndedAs::Failed));
    assert_eq!(end.reading.reset_at, Some(Timestamp::from_micros(1_785_585_600_000_000)));
    assert_eq!(end.reading.usage[0].input_tokens, Some(5));
    assert_eq!(end.reading.usage[0].output_tokens, None);
    assert!(end.reading.usage[0].reported);
    assert_eq!(end.tail_sha256.as_deref(), Some("hash"));
    assert!(parse::<EndSession>(br#"{"cause": "never_started"}"#).is_ok());
    let bad = parse::<EndSession>(br#"{"cause": "boredom"}"#).expect_err("a cause");
    assert!(
        bad.to_string().starts_with("`cause` is one of itself, deadline, stall, output_limit, grace, stop,")
    );
}

#[test]
fn notes_become_their_commands() {
    let note = |body: &[u8]| parse::<SessionNote>(body).expect("a note").into_command(SID);
    let Ok(Command::NoteSession { note: cmd::SessionNote::HeldUp(held), .. }) =
        note(br#"{"note": "held_up", "by": "gateway", "detail": "no answer"}"#)
    else {
        panic!("held up")
    };
    assert_eq!((held.by.as_str(), held.detail.as_str()), ("gateway", "no answer"));
    assert_eq!(
        note(br#"{"note": "held_up"}"#).expect_err("by what").to_string(),
        "`by` is needed with `held_up`"
    );
    assert!(matches!(
        note(br#"{"note": "cleaned"}"#),
        Ok(Command::NoteSession { note: cmd::SessionNote::Cleaned, .. })
    ));
    let notice = RunnerNotice { task_id: Some("7".parse().expect("an id")), ..RunnerNotice::new("c", "t") };
    assert_eq!(
        notice.into_command().expect_err("half a key").to_string(),
        "`project_id` is needed with a task_id"
    );
    assert!(matches!(RunnerNotice::new("c", "t").into_command(), Ok(Command::Notice { key: None, .. })));
}

#[test]
fn an_open_session_tells_the_age_of_its_verdict_not_the_time() {
    let now = Timestamp::from_micros(10_000_000);
    let session = core::Session {
        id: SID,
        agent: "a".parse().expect("an id"),
        runner_id: "local".parse().expect("an id"),
        attempt: None,
        order: Some(core::session::Order { message: None, verbatim: false, taken: false }),
        status: core::SessionStatus::Starting,
        pid: None,
        held_up: None,
        error: None,
        stop_requested: None,
        forced: true,
        clean_requested: false,
        started_at: now,
        completed_at: None,
    };
    let shown = OpenSession::new(&session, None, now);
    assert!(!shown.taken && shown.forced && shown.attempt.is_none());
    assert_eq!(serde_json::from_value::<OpenSession>(json!(shown)).expect("a session"), shown);
}
