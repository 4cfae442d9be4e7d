//! The shapes of answers: the names that people and agents hold on to.

use std::collections::BTreeMap;

use mozi_api::{
    Problem,
    attempt::{Attempt, LogState, Usage},
    event::Event,
    problem::CODES,
    project::{Project, SettingsPatch},
    session::Session,
    task::{CreateTask, Task},
    token::{CreatedToken, Token},
    waiting::WaitingFor,
};
use mozi_core::{
    self as core, Actor, AttemptNumber, EventKind, Outcome, Reason, Role, SessionId, SessionStatus, Status,
    TaskKey, Timestamp,
    attempt::{Resources, Tail},
    event::StatusChange,
    session::{HeldUp, HoldUp},
};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_micros(1_785_585_600_000_000);
const NOW_TEXT: &str = "2026-08-01T12:00:00Z";
const SID: SessionId = SessionId(uuid::Uuid::from_u128(7));

fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("an id")
}

fn key() -> TaskKey {
    TaskKey::new(id("app"), id("7"))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn attempt(number: AttemptNumber) -> core::Attempt {
    core::Attempt {
        key: key(),
        number,
        role: Role::Executor,
        agent: id("coder"),
        session_id: SID,
        runner_id: id("local"),
        boot_id: None,
        pid_namespace: None,
        token_hash: Some(core::TokenHash([1; 32])),
        verdict_mode: core::VerdictMode::Report,
        verdict: Some(core::Verdict::Review),
        verdict_at: Some(NOW),
        revoked_at: None,
        revoked_why: None,
        outcome: Some(Outcome::Completed),
        reason: Some(Reason::Lingered),
        exit_code: None,
        signal: Some(15),
        timeout_ms: Some(600_000),
        workspace: Some("/w".to_owned()),
        started_at: NOW,
        completed_at: Some(NOW),
        outputs: 1,
        created_tasks: 0,
        resources: Some(Resources { cpu_ms: 1_500, max_rss_bytes: 1024 }),
        tail: Some(Tail { stdout: "x".into(), stderr: String::new(), stdout_bytes: 9, stderr_bytes: 0 }),
        metadata: json!({"killed": []}),
    }
}

fn usage(model: &str, input: Option<u64>, cost: Option<i64>) -> core::Usage {
    core::Usage {
        model: Some(model.to_owned()),
        input_tokens: input,
        output_tokens: Some(2),
        cache_read_tokens: None,
        cache_write_tokens: None,
        cost_micro_usd: cost,
        reported: true,
    }
}

#[test]
fn a_new_task_is_shown_as_it_was_asked_for() {
    let body = json!({
        "title": "T", "task_id": "7", "description": "D", "task_type": "fix", "priority": -3,
        "must_haves": ["a"], "agent": "coder", "depends_on": ["6", {"task_id": "5", "until": "ended"}],
        "not_before": "2026-08-01T20:00:00+08:00", "timeout_seconds": 60, "max_attempts": 2,
        "review": "reviewer", "parent": "1", "labels": {"k": "v"}, "metadata": {"m": 1}, "held": true,
    });
    let asked: CreateTask = serde_json::from_value(body).expect("a body");
    let again: CreateTask = serde_json::from_value(json!(asked)).expect("the same body");
    assert_eq!(asked, again);
    let new = asked.into_new_task(id("app"), "print".to_owned()).expect("a task");
    assert_eq!(new.not_before, Some(NOW));
    assert!(new.held);
    assert_eq!(new.depends_on, [(id("6"), core::Until::Done), (id("5"), core::Until::Ended)]);
    let state = core::TaskState::new(Status::Blocked, Some("held".into()), new.not_before, 2, 0);
    let task = core::Task {
        key: key(),
        spec: new.spec,
        state,
        created_by: Actor::board(),
        created_at: NOW,
        updated_at: NOW,
        version: 3,
    };
    let dependency = core::Dependency { on: id("6"), until: core::Until::Done, status: Status::Failed };
    let waits = [core::WaitingFor::Person { kind: Some("held".into()), detail: None }];
    let shown = json!(Task::new(&task, &[dependency], &waits));
    assert_eq!(
        shown,
        json!({
            "project_id": "app", "task_id": "7", "title": "T", "description": "D", "task_type": "fix",
            "priority": -3, "must_haves": ["a"], "agent": "coder",
            "depends_on": [{"task_id": "6", "until": "done", "status": "failed", "met": false}],
            "not_before": NOW_TEXT, "timeout_seconds": 60, "max_attempts": 2, "review": "reviewer",
            "parent": "1", "labels": {"k": "v"}, "metadata": {"m": 1}, "status": "blocked", "kind": "held",
            "detail": null, "attempt_number": null, "version": 3,
            "waiting_for": [{"kind": "person", "why": "held", "detail": null, "text": "a person's decision"}],
            "created_by": {"kind": "board", "id": null, "name": null, "via": null},
            "created_at": NOW_TEXT, "updated_at": NOW_TEXT,
        })
    );
    let back: Task = serde_json::from_value(shown.clone()).expect("a task");
    assert_eq!(json!(back), shown);
}

#[test]
fn an_attempt_has_the_fields_that_are_promised() {
    let rows = [usage("a", Some(10), Some(5)), usage("b", Some(1), None)];
    let shown = json!(Attempt::new(&attempt(2), &rows, LogState::Stored));
    for name in [
        "attempt_number",
        "role",
        "agent",
        "session_id",
        "runner_id",
        "verdict",
        "outcome",
        "reason",
        "exit_code",
        "signal",
        "workspace",
        "started_at",
        "completed_at",
        "log",
        "usage",
        "resources",
        "metadata",
    ] {
        assert!(shown.get(name).is_some(), "{name}");
    }
    assert_eq!(shown["log"], json!({"state": "stored", "stdout_bytes": 9, "stderr_bytes": 0}));
    assert_eq!(shown["resources"], json!({"cpu_seconds": 1.5, "max_rss_bytes": 1024}));
    assert_eq!(shown["usage"]["input_tokens"], json!(11));
    assert_eq!(shown["usage"]["output_tokens"], json!(4));
    // One model's cost is not known, so the whole is not.
    assert_eq!(shown["usage"]["cost_micro_usd"], Value::Null);
    assert_eq!(shown["usage"]["source"], json!("reported"));
    assert_eq!(shown["usage"]["by_model"][0]["cost_micro_usd"], json!(5));
    assert!(!shown.to_string().contains("0101"), "no hash of a token is shown");
    let back: Attempt = serde_json::from_value(shown.clone()).expect("an attempt");
    assert_eq!(json!(back), shown);
}

#[test]
fn an_open_attempt_has_no_outcome_and_a_live_log() {
    let open = core::Attempt { outcome: None, completed_at: None, tail: None, ..attempt(1) };
    let shown = json!(Attempt::new(&open, &[], LogState::Stored));
    assert_eq!(shown["outcome"], Value::Null);
    assert_eq!(shown["usage"], Value::Null);
    assert_eq!(shown["log"], json!({"state": "live", "stdout_bytes": null, "stderr_bytes": null}));
    assert_eq!(Usage::of(&[]), None);
    let gone = json!(Attempt::new(&attempt(1), &[], LogState::Expired));
    assert_eq!(gone["log"]["state"], json!("expired"));
}

#[test]
fn clients_tolerate_what_they_do_not_know() {
    let mut newer = json!(Attempt::new(&attempt(2), &[], LogState::Stored));
    newer["outcome"] = json!("abducted");
    newer["reason"] = json!("aliens");
    newer["role"] = json!("spectator");
    newer["new_field"] = json!({"a": 1});
    let read: Attempt = serde_json::from_value(newer).expect("a newer attempt");
    assert_eq!(read.outcome.as_deref(), Some("abducted"));
    let problem: Problem = serde_json::from_value(json!({
        "type": "about:blank", "title": "t", "status": 418, "detail": "d", "code": "teapot", "x": [1],
    }))
    .expect("a newer problem");
    assert_eq!(problem.more.get("x"), Some(&json!([1])));
}

#[test]
fn a_session_has_the_fields_that_are_promised() {
    let session = core::Session {
        id: SID,
        agent: id("coder"),
        runner_id: id("local"),
        attempt: Some((key(), 2)),
        order: None,
        status: SessionStatus::Stuck,
        pid: Some(42),
        held_up: Some(HeldUp { by: HoldUp::Gateway, detail: "no answer".into() }),
        error: None,
        stop_requested: None,
        forced: false,
        clean_requested: false,
        started_at: NOW,
        completed_at: None,
    };
    assert_eq!(
        json!(Session::from(&session)),
        json!({
            "session_id": "00000000-0000-0000-0000-000000000007", "agent": "coder", "project_id": "app",
            "task_id": "7", "attempt_number": 2, "runner_id": "local", "pid": 42, "status": "stuck",
            "held_up": {"by": "gateway", "detail": "no answer"}, "error": null, "stop_requested": null,
            "started_at": NOW_TEXT, "completed_at": null,
        })
    );
    let ended = core::Session { status: SessionStatus::Ended(Outcome::TimedOut), attempt: None, ..session };
    let shown = json!(Session::from(&ended));
    assert_eq!((&shown["status"], &shown["task_id"]), (&json!("timed_out"), &Value::Null));
}

fn event(kind: EventKind) -> Value {
    json!(Event::from(&core::Event {
        id: 9,
        project: Some(id("app")),
        task: Some(id("7")),
        attempt_number: Some(2),
        agent: Some(id("coder")),
        actor: Actor::board(),
        kind,
        at: NOW,
    }))
}

#[test]
fn events_have_the_fields_that_are_promised() {
    let shown = event(EventKind::StatusChanged(StatusChange {
        from: Status::Working,
        to: Status::Review,
        detail: Some("done".into()),
        kind: None,
        verdict_of: Some(2),
        revoked: None,
    }));
    assert_eq!(
        keys(&shown),
        ["actor", "agent", "at", "attempt_number", "detail", "event_type", "id", "project_id", "task_id"]
    );
    assert_eq!(shown["event_type"], json!("status_changed"));
    assert_eq!(
        shown["detail"],
        json!({"from": "working", "to": "review", "detail": "done", "kind": null, "verdict_of": 2, "revoked": null})
    );
    assert_eq!(serde_json::from_value::<Event>(shown.clone()).map(|e| json!(e)).expect("an event"), shown);
}

#[test]
fn times_in_events_are_shown_as_everywhere() {
    let paused = EventKind::AgentPaused { until: Some(NOW), reason: Some(Reason::RateLimited), detail: None };
    assert_eq!(event(paused)["detail"], json!({"until": NOW_TEXT, "reason": "rate_limited", "detail": null}));
    let ended = EventKind::AgentEnded {
        outcome: Outcome::Crashed,
        role: Role::Executor,
        reason: None,
        exit_code: Some(1),
        signal: None,
        counted: true,
        not_before: Some(NOW),
    };
    let shown = event(ended);
    assert_eq!(shown["event_type"], json!("agent_crashed"));
    assert_eq!(shown["detail"]["not_before"], json!(NOW_TEXT));
    let edited = EventKind::TaskEdited { changed: vec!["not_before".into()], not_before: Some(None) };
    assert_eq!(event(edited)["detail"], json!({"changed": ["not_before"], "not_before": null}));
    let patch: SettingsPatch =
        serde_json::from_value(json!({"backoff_initial": "90s", "backoff_max": "1h", "max_attempts": 4}))
            .expect("settings");
    let changed = patch
        .into_changes()
        .iter()
        .map(|c| {
            let (n, v) = c.named();
            (n.to_owned(), v)
        })
        .collect();
    assert_eq!(
        event(EventKind::SettingsChanged { changed })["detail"],
        json!({"changed": {"backoff_initial": "1m 30s", "backoff_max": "1h", "max_attempts": 4}})
    );
}

#[test]
fn a_project_shows_its_settings_and_counts() {
    let project = core::Project::new(id("app"), Some("App".into()), core::Settings::default(), NOW);
    let shown = json!(Project::from(&project));
    assert_eq!(
        shown["settings"],
        json!({
            "default_agent": null, "dispatch": "auto", "review": "human", "require_output": "auto",
            "max_attempts": 3, "max_review_attempts": 2, "max_review_rounds": 5, "on_no_verdict": "auto",
            "on_lost": "retry", "on_timeout": "retry", "backoff_initial": "10s", "backoff_max": "5m",
            "max_sessions": null, "agents_may_create": false, "language": "en", "bootstrap": null,
        })
    );
    let counts: BTreeMap<String, u64> = serde_json::from_value(shown["counts"].clone()).expect("counts");
    assert_eq!(counts.len(), Status::ALL.len());
    assert_eq!(SettingsPatch::NAMES.len(), shown["settings"].as_object().map_or(0, serde_json::Map::len));
    // What is shown can be given back.
    let patch: SettingsPatch = serde_json::from_value(shown["settings"].clone()).expect("settings");
    let mut settings = core::Settings { max_attempts: 9, ..core::Settings::default() };
    for change in patch.into_changes() {
        change.apply(&mut settings);
    }
    assert_eq!(settings, core::Settings::default());
}

#[test]
fn a_token_shows_its_secret_once() {
    let user = core::User {
        name: "admin".into(),
        role: core::UserRole::Viewer,
        project: Some(id("app")),
        created_at: NOW,
        expires_at: None,
        disabled_at: None,
    };
    let stored = core::Token {
        name: "me".into(),
        hash: core::TokenHash([1; 32]),
        holder: core::token::Holder::User { user: "admin".into(), role: core::UserRole::Operator },
        project: None,
        created_at: NOW,
        expires_at: Some(NOW),
        last_used_at: None,
        revoked_at: None,
    };
    let before = core::Timestamp::from_micros(NOW.as_micros() - 1);
    let token = Token::new(&stored, Some(&user), before);
    let created = json!(CreatedToken { token: "mozi_u_x".into(), info: token.clone() });
    assert_eq!(created["token"], json!("mozi_u_x"));
    assert_eq!((&created["role"], &created["project_id"]), (&json!("viewer"), &json!("app")));
    assert_eq!(created["state"], json!("valid"));
    assert_eq!(Token::new(&stored, Some(&user), NOW).state, "expired");
    let disabled = core::User { disabled_at: Some(NOW), ..user.clone() };
    assert_eq!(Token::new(&stored, Some(&disabled), before).state, "user_disabled");
    let elsewhere = core::Token { project: Some(id("site")), ..stored.clone() };
    assert_eq!(Token::new(&elsewhere, Some(&user), before).state, "no_scope");
    let revoked = core::Token { revoked_at: Some(NOW), ..stored };
    assert_eq!(Token::new(&revoked, Some(&user), before).state, "revoked");
    assert_eq!(json!(token).get("token"), None);
    assert_eq!(json!(token).get("hash"), None);
}

#[test]
fn every_wait_has_its_kind_a_sentence_and_its_fields() {
    use core::WaitingFor as W;
    let all = [
        W::Dependency { task_id: id("6"), status: Status::Failed, until: core::Until::Done },
        W::Time { at: NOW, by_board: true },
        W::AgentSlot { agent: id("a"), held_by: vec![SID] },
        W::ProjectSlot { project_id: id("app"), held_by: vec![] },
        W::RunnerSlot { runner_id: id("local"), held_by: vec![] },
        W::Attempt { number: 1, role: Role::Executor, agent: id("a"), since: NOW },
        W::AttemptEnding { number: 1, held_up: None },
        W::AttemptEnding { number: 1, held_up: Some(HeldUp { by: HoldUp::Gateway, detail: "x".into() }) },
        W::NoAgent,
        W::AgentUnknown { agent: id("a") },
        W::AgentOffline { agent: id("a"), since: NOW },
        W::AgentPaused { agent: id("a"), until: Some(NOW), reason: None, detail: None },
        W::AgentHeldBack { agent: id("a"), why: "x".into() },
        W::AgentRole { agent: id("a"), role: Role::Reviewer },
        W::Manual,
        W::Archived,
        W::FolderBusy,
        W::Review,
        W::Person { kind: None, detail: Some("say".into()) },
    ];
    for wait in &all {
        let shown = json!(WaitingFor::from(wait));
        assert_eq!(shown["kind"], json!(wait.kind()));
        assert!(!shown["text"].as_str().expect("a sentence").is_empty());
        let back: WaitingFor = serde_json::from_value(shown.clone()).expect("a wait");
        assert_eq!(json!(back), shown);
    }
    let slot = json!(WaitingFor::from(&all[2]));
    assert_eq!(slot["held_by"], json!(["00000000-0000-0000-0000-000000000007"]));
    let time = json!(WaitingFor::from(&all[1]));
    assert_eq!(time["at"], json!(NOW_TEXT));
}

#[test]
fn every_refusal_has_a_status_and_what_belongs_to_it() {
    use core::Refusal as R;
    let all = [
        (R::Unauthenticated, 401),
        (R::Forbidden { why: "no".into() }, 403),
        (R::NotFound { what: "task 7".into() }, 404),
        (R::Invalid { field: "title".into(), why: "is missing".into() }, 422),
        (
            R::TransitionRefused {
                current: Status::Done,
                asked: Status::Pending,
                allowed: vec![Status::Blocked],
                why: None,
            },
            409,
        ),
        (R::AttemptClosed { number: 2, why: "revoked".into() }, 409),
        (R::VerdictGiven { verdict: core::Verdict::Review, current: Status::Done }, 409),
        (R::OutputRequired, 409),
        (R::NotClaimable { waiting_for: vec![core::WaitingFor::Manual] }, 409),
        (R::DuplicateId { what: "task 7".into() }, 409),
        (R::DependencyCycle { task: id("7"), on: id("6") }, 409),
        (R::SessionActive { why: "it lives".into() }, 409),
        (R::ProjectArchived { project: "app".into() }, 409),
        (R::IdempotencyConflict, 409),
    ];
    for (refusal, status) in all {
        let problem = Problem::from(&refusal);
        assert_eq!((problem.status, problem.code.as_str()), (status, refusal.code()));
        assert_eq!(problem.kind, format!("/docs#{}", refusal.code()));
        assert!(CODES.iter().any(|(c, _, _)| *c == refusal.code()), "{}", refusal.code());
    }
    let shown = json!(
        Problem::from(&R::TransitionRefused {
            current: Status::Review,
            asked: Status::Working,
            allowed: vec![Status::Done, Status::Pending],
            why: None,
        })
        .for_request("r1")
    );
    assert_eq!(
        keys(&shown),
        ["allowed", "asked", "code", "current", "detail", "request_id", "status", "title", "type"]
    );
    assert_eq!(shown["allowed"], json!(["done", "pending"]));
    assert_eq!(shown["request_id"], json!("r1"));
    let waits = json!(Problem::from(&R::NotClaimable { waiting_for: vec![core::WaitingFor::Manual] }));
    assert_eq!(waits["waiting_for"][0]["kind"], json!("manual"));
}

#[test]
fn every_type_of_event_has_a_meaning() {
    use mozi_api::event::EVENT_TYPES;
    // Their names stand in one function; there is no list of them to be asked for.
    let source = include_str!("../../../mozi-core/src/event.rs");
    let (_, after) = source.split_once("pub fn name(&self) -> String").expect("the function");
    let (body, _) = after.split_once("/// The `detail`").expect("its end");
    let mut names: Vec<String> =
        body.split('"').skip(1).step_by(2).filter(|n| !n.contains('{')).map(str::to_owned).collect();
    assert!(names.len() > 12, "{names:?}");
    names.extend(Outcome::ALL.iter().map(|o| format!("agent_{o}")));
    for name in names {
        let meaning = EVENT_TYPES.iter().find(|(n, _)| *n == name).map(|(_, m)| *m);
        assert!(meaning.is_some_and(|m| m.len() > 10), "{name} is missing in EVENT_TYPES");
    }
    let mut all: Vec<_> = EVENT_TYPES.iter().map(|(n, _)| *n).collect();
    all.sort_unstable();
    assert!(all.windows(2).all(|w| w[0] != w[1]), "each once");
}
