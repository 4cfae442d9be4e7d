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

fn hook(script: &str) -> Hook {
    Hook {
        on: vec!["agent_*".into()],
        project: "*".into(),
        run: ["bash", "-c", script].map(str::to_owned).to_vec(),
        timeout: Duration::from_secs(30),
    }
}

/// Where the hooks of a runner are.
fn places(p: &Place) -> Vec<String> {
    let text = std::fs::read(p.config.data_dir.join("hooks.json")).unwrap_or_default();
    let kept: Value = serde_json::from_slice(&text).unwrap_or_default();
    let places = kept["places"].as_object().cloned().unwrap_or_default();
    places.values().map(|v| v.as_str().unwrap().to_owned()).collect()
}

async fn until_places(p: &Place, wanted: &[&str]) {
    mozi_testing::wait_until(Duration::from_secs(30), "the places", async || {
        let mut found = places(p);
        found.sort();
        found == wanted
    })
    .await;
}

#[tokio::test]
async fn a_hook_gets_what_happened_after_it_was_there_and_its_failure_is_told() {
    let mut p = Place::new("hooks");
    let out = p.file("out");
    p.config.hooks =
        vec![hook("echo the last words; exit 9"), hook(&format!("cat > {0}; echo >> {0}", out.display()))];
    // What happened before the first start is nobody's news.
    p.board.with(|s| s.events.push((1, event("agent_crashed", "board", None))));
    let runner = p.run();
    until_places(&p, &["1", "1"]).await;
    runner.stop().await;
    p.board.happen(2, event("status_changed", "board", None));
    p.board.happen(3, event("agent_completed", "board", None));
    let runner = p.run();
    let given: Value = serde_json::from_str(&wait_for_file(&out).await).unwrap();
    assert_eq!((&given["event"]["event_type"], &given["task"]), (&json!("agent_completed"), &Value::Null));
    let notice = p.board.wait("a notice", |s| s.notices.first().cloned()).await;
    assert!(notice.code == "hook_failed" && notice.text.contains("exit status: 9"), "{notice:?}");
    assert!(notice.text.contains("the last words"), "{notice:?}");
    until_places(&p, &["3", "3"]).await;
    runner.stop().await;
}

/// One that hangs is ended at its limit, with all that it has started; meanwhile the others go on, however many
/// events there are.
#[tokio::test]
async fn a_hook_that_hangs_or_floods_is_in_nobodys_way() {
    let mut p = Place::new("hooks_hang");
    let out = p.file("out");
    let slow = Hook {
        timeout: Duration::from_secs(2),
        ..hook("setsid -f sleep 7531.5; echo waiting; sleep 7531.5")
    };
    let flood = hook("yes flood");
    p.config.hooks = vec![slow, flood, hook(&format!("cat > /dev/null; echo x >> {}", out.display()))];
    let runner = p.run();
    until_places(&p, &["0", "0", "0"]).await;
    for number in 1..=200 {
        p.board.happen(number, event("agent_completed", "board", None));
    }
    mozi_testing::wait_until(Duration::from_mins(1), "two hundred runs", async || {
        std::fs::read_to_string(&out).is_ok_and(|t| t.lines().count() == 200)
    })
    .await;
    let told = |what: &'static str| {
        p.board.wait("a notice", move |s| s.notices.iter().find(|n| n.text.contains(what)).cloned())
    };
    assert_eq!(told("took longer than 2s: waiting").await.code, "hook_failed");
    assert_eq!(told("printed more than").await.code, "hook_failed");
    // A runner that goes away takes along what a hook has started.
    runner.stop().await;
    p.census.wait_for_none(Duration::from_secs(20));
}

/// What a hook was in the middle of when everything was cut off is done again: it was not done.
#[tokio::test]
async fn what_a_crash_cut_short_is_run_for_again() {
    let mut p = Place::new("hooks_crash");
    let (out, go) = (p.file("out"), p.file("go"));
    let script = format!(
        "grep -oE '\"id\":[0-9]+' | head -1 >> {0}; [ -e {1} ] || sleep 1000",
        out.display(),
        go.display()
    );
    p.config.hooks = vec![hook(&script)];
    let runner = p.run();
    until_places(&p, &["0"]).await;
    p.board.happen(1, event("agent_completed", "board", None));
    assert_eq!(wait_for_file(&out).await, "\"id\":1\n");
    runner.kill().await;
    assert_eq!(places(&p), ["0"]);
    std::fs::write(&go, "").unwrap();
    let runner = p.run();
    until_places(&p, &["1"]).await;
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "\"id\":1\n\"id\":1\n");
    runner.stop().await;
    p.census.wait_for_none(Duration::from_secs(20));
}

#[tokio::test]
async fn hooks_come_and_go_with_the_configuration_and_rest_in_a_dry_run() {
    let mut p = Place::new("hooks_reload");
    let (first, second) = (p.file("first"), p.file("second"));
    let writes = |to: &std::path::Path| hook(&format!("echo x >> {}", to.display()));
    p.config.hooks = vec![writes(&first)];
    let (runner, controller) = p.run_controlled();
    until_places(&p, &["0"]).await;
    p.board.happen(1, event("agent_completed", "board", None));
    until_places(&p, &["1"]).await;
    let mut config = p.config.clone();
    config.hooks = vec![writes(&second)];
    assert!(controller.reconfigure(config).await);
    // The place of the one that is gone looks the same: it is the name that counts.
    mozi_testing::wait_until(Duration::from_secs(30), "the new hook's place", async || {
        let text = std::fs::read_to_string(p.config.data_dir.join("hooks.json")).unwrap_or_default();
        text.contains(&second.display().to_string())
    })
    .await;
    p.board.happen(2, event("agent_completed", "board", None));
    until_places(&p, &["2"]).await;
    assert_eq!(std::fs::read_to_string(&second).unwrap(), "x\n");
    assert_eq!(std::fs::read_to_string(&first).unwrap(), "x\n", "it is gone");
    runner.stop().await;

    p.config.dry_run = true;
    p.board.happen(3, event("agent_dry_run", "board", None));
    p.agent("coder", "true");
    p.board.put(task("coder"));
    let runner = p.run();
    p.board.an_end().await;
    runner.stop().await;
    assert_eq!(
        std::fs::read_to_string(&first).unwrap(),
        "x\n",
        "nobody is told of what only seems to happen"
    );
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
