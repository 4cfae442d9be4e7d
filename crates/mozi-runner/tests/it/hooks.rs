//! Hooks and signs of life from the board's events.

use std::time::{Duration, Instant};

use mozi_core::command::Cause;
use mozi_runner::config::Hook;
use serde_json::{Value, json};

use crate::help::{Place, task, wait_for_file};

fn event(kind: &str, actor: &str, id: Option<&str>) -> Value {
    json!({
        "id": 1, "project_id": "p", "task_id": "1", "attempt_number": 1, "agent": "coder",
        "actor": { "kind": actor, "id": id, "name": null, "via": null },
        "event_type": kind, "detail": { "outcome": "completed" }, "at": "2026-01-01T00:00:00Z",
    })
}

#[tokio::test]
async fn a_hook_gets_what_happened_after_it_was_there_and_its_failure_is_told() {
    let mut p = Place::new("hooks");
    let out = p.file("out");
    let hook = |script: &str| Hook {
        on: vec!["agent_*".into()],
        project: "*".into(),
        run: ["bash", "-c", script].map(str::to_owned).to_vec(),
    };
    p.config.hooks = vec![hook("exit 9"), hook(&format!("cat > {0}; echo >> {0}", out.display()))];
    // What happened before the first start is nobody's news.
    p.board.with(|s| s.events.push((1, event("agent_crashed", "board", None))));
    let runner = p.run();
    let place = p.config.data_dir.join("hooks.position");
    assert_eq!(wait_for_file(&place).await, "board-1 1\n");
    runner.stop().await;
    p.board.happen(2, event("status_changed", "board", None));
    p.board.happen(3, event("agent_completed", "board", None));
    let runner = p.run();
    let given: Value = serde_json::from_str(&wait_for_file(&out).await).unwrap();
    assert_eq!((&given["event"]["event_type"], &given["task"]), (&json!("agent_completed"), &Value::Null));
    let notice = p.board.wait("a notice", |s| s.notices.first().cloned()).await;
    assert!(notice.code == "hook_failed" && notice.text.contains("exit status: 9"), "{notice:?}");
    mozi_testing::wait_until(Duration::from_secs(10), "the place", async || {
        std::fs::read_to_string(&place).is_ok_and(|t| t == "board-1 3\n")
    })
    .await;
    runner.stop().await;
}

#[tokio::test]
async fn a_callback_is_a_sign_of_life() {
    let mut p = Place::new("sign_of_life");
    let stall = Duration::from_secs(2);
    let agent = p.agent("coder", "while :; do sleep 1; done");
    agent.stall_timeout = Some(stall);
    agent.grace = Duration::from_millis(100);
    p.board.put(task("coder"));
    let runner = p.run();
    let (id, _) = p.board.running().await;
    let (began, mut ticks) = (Instant::now(), tokio::time::interval(Duration::from_millis(300)));
    let mut number = 10;
    while began.elapsed() < stall * 2 {
        ticks.tick().await;
        number += 1;
        p.board.happen(number, event("comment_added", "attempt", Some(&id.to_string())));
        assert!(p.board.with(|s| s.ends.is_empty()), "it was heard of all the time");
    }
    assert_eq!(p.board.end_of(id).await.cause.0, Cause::Stall);
    assert!(began.elapsed() + Duration::from_millis(500) >= stall * 3, "{:?}", began.elapsed());
    runner.stop().await;
}
