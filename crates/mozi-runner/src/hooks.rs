//! Hooks, and signs of life: what the runner makes of the board's events.
//!
//! A consumer of the stream over all projects that remembers its place. A hook that fails or takes too long is told
//! and left behind: it is never in the way of anything but the hooks after it.

use std::sync::Arc;
use std::time::Duration;

use mozi_api::event::Event;
use mozi_api::query::EventsQuery;
use mozi_api::runner::RunnerNotice;
use mozi_core::SessionId;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::child;
use crate::config::{Hook, RunnerConfig};
use crate::drive::Beside;
use crate::shared::{Backoff, Shared};

/// So long a hook may take.
const LIMIT: Duration = Duration::from_mins(1);
/// More of its output is not read.
const OUTPUT_LIMIT: u64 = 1024 * 1024;

/// Whether there is anything to do with events.
pub(crate) fn are_wanted(config: &RunnerConfig) -> bool {
    !config.hooks.is_empty() || config.agents.values().any(|agent| agent.stall_timeout.is_some())
}

/// Reads events from the place where it was left, for ever.
pub(crate) async fn run(shared: Arc<Shared>, tell: mpsc::Sender<Beside>) {
    let place = shared.config().data_dir.join("hooks.position");
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut after = None;
    while !tell.is_closed() {
        if after.is_none() {
            after = start_place(&shared, &place).await;
        }
        if let Some(at) = after.clone() {
            let mut stream = shared.client.event_stream(None, Some(at)).with_patience(Duration::ZERO);
            while let Ok(next) = stream.next().await {
                sign_of_life(&next.event, &tell);
                let ran = run_matching(&shared, &next.event).await;
                after = Some(next.cursor.clone());
                // Only what a hook was run for needs to be remembered at once; a repetition of the rest does nothing.
                if ran || next.event.id % 64 == 0 {
                    remember(&shared, &place, next.cursor).await;
                }
                backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
            }
            if let Err(error) = stream.next().await
                && error.code() == Some("events_expired")
            {
                let text = "events that no hook has seen are gone; hooks go on with what is there";
                shared.notice(RunnerNotice::new("hooks_behind", text)).await;
                after = None;
                drop(std::fs::remove_file(&place));
            }
        }
        backoff.wait().await;
    }
}

/// Where to go on: where it was left, else behind the newest event there is.
async fn start_place(shared: &Shared, place: &std::path::Path) -> Option<String> {
    let file = place.to_path_buf();
    let stored = shared.blocking(move || std::fs::read_to_string(file)).await?;
    if let Ok(stored) = stored
        && let Some((board, cursor)) = stored.trim().split_once(' ')
        && board == shared.board_id
    {
        return Some(cursor.to_owned());
    }
    let newest = newest(shared).await?;
    remember(shared, place, newest.clone()).await;
    Some(newest)
}

/// The place behind the newest event, so that a hook that is new does not run for the past.
async fn newest(shared: &Shared) -> Option<String> {
    let mut after = None;
    loop {
        let query = EventsQuery { after: after.clone(), limit: Some(500) };
        let page = shared.client.events(None, &query).await.ok()?;
        match page.next_cursor {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            _ => return Some(after.unwrap_or_else(|| "0".to_owned())),
        }
    }
}

async fn remember(shared: &Shared, place: &std::path::Path, cursor: String) {
    let (place, text) = (place.to_path_buf(), format!("{} {cursor}\n", shared.board_id));
    let written = shared.blocking(move || mozi_supervise::durable_write(&place, text.as_bytes())).await;
    if let Some(Err(error)) = written {
        tracing::warn!("could not {error}");
    }
}

/// What an attempt writes to the board is a sign of life that its supervisor does not see.
fn sign_of_life(event: &Event, tell: &mpsc::Sender<Beside>) {
    if event.actor.kind != "attempt" {
        return;
    }
    if let Some(id) = event.actor.id.as_ref().and_then(|id| id.parse::<SessionId>().ok()) {
        drop(tell.try_send(Beside::SignOfLife(id)));
    }
}

async fn run_matching(shared: &Arc<Shared>, event: &Event) -> bool {
    let mut input = None;
    let config = shared.config();
    for hook in config.hooks.iter().filter(|hook| matches(hook, event)) {
        let input = match &input {
            Some(input) => input,
            None => input.insert(material(shared, event).await),
        };
        let bytes = serde_json::to_vec(input).unwrap_or_default();
        if let Err(why) = child::run(&config, &hook.run, bytes, OUTPUT_LIMIT, LIMIT).await {
            let program = hook.run.first().map_or("", String::as_str);
            let notice = RunnerNotice {
                project_id: event.project_id.clone().filter(|_| event.task_id.is_some()),
                task_id: event.task_id.clone().filter(|_| event.project_id.is_some()),
                attempt_number: event.attempt_number,
                agent: event.agent.clone(),
                ..RunnerNotice::new(
                    "hook_failed",
                    format!("hook {program} for {} failed: {why}", event.event_type),
                )
            };
            shared.notice(notice).await;
        }
    }
    input.is_some()
}

async fn material(shared: &Shared, event: &Event) -> Value {
    let (mut task, mut attempt) = (Value::Null, Value::Null);
    if let (Some(project), Some(id)) = (&event.project_id, &event.task_id) {
        let expand = mozi_api::query::Expand::default();
        if let Ok(found) = shared.client.task(&project.0, &id.0, expand).await {
            task = json!(found);
        }
        if let Some(number) = event.attempt_number
            && let Ok(found) = shared.client.attempt(&project.0, &id.0, number).await
        {
            attempt = json!(found);
        }
    }
    json!({ "event": event, "task": task, "attempt": attempt })
}

fn matches(hook: &Hook, event: &Event) -> bool {
    let project = event.project_id.as_ref().map(|p| p.0.as_str());
    let here = hook.project == "*" || project.is_some_and(|p| p.eq_ignore_ascii_case(&hook.project));
    here && hook.on.iter().any(|pattern| fits(pattern, event))
}

/// `agent_*`, `agent_completed`, `status_changed:review`.
fn fits(pattern: &str, event: &Event) -> bool {
    // What a hook's own failure is told with must not start the hook again.
    if event.event_type == "notice" && event.text_of("code") == Some("hook_failed") {
        return false;
    }
    let (name, value) = match pattern.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        None => (pattern, None),
    };
    let named = match name.strip_suffix('*') {
        Some(start) => event.event_type.starts_with(start),
        None => event.event_type == name,
    };
    // An agent is started by nobody's end: `agent_*` means how attempts go, not what is decided on agents.
    let attempt = name != "agent_*" || event.attempt_number.is_some();
    let valued = value.is_none_or(|value| {
        ["to", "outcome", "verdict", "code"].iter().any(|field| event.text_of(field) == Some(value))
    });
    named && attempt && valued
}

#[cfg(test)]
mod tests {
    use mozi_api::actor::Actor;
    use mozi_api::wire::Time;

    use super::*;

    fn event(kind: &str, detail: &Value) -> Event {
        Event {
            id: 1,
            project_id: Some("app".parse().unwrap()),
            task_id: Some("1".parse().unwrap()),
            attempt_number: Some(1),
            agent: None,
            actor: Actor { kind: "board".into(), id: None, name: None, via: None },
            event_type: kind.into(),
            detail: mozi_api::wire::Object::of(detail),
            at: Time::default(),
        }
    }

    #[track_caller]
    fn check(pattern: &str, project: &str, event: &Event, expected: bool) {
        let hook = Hook { on: vec![pattern.into()], project: project.into(), run: Vec::new() };
        assert_eq!(matches(&hook, event), expected, "{pattern} {project} {}", event.event_type);
    }

    #[test]
    fn patterns() {
        let crashed = event("agent_crashed", &json!({ "outcome": "crashed" }));
        let review = event("status_changed", &json!({ "from": "working", "to": "review" }));
        check("agent_*", "*", &crashed, true);
        check("agent_*", "APP", &crashed, true);
        check("agent_*", "other", &crashed, false);
        check("agent_crashed", "*", &crashed, true);
        check("agent_completed", "*", &crashed, false);
        check("status_changed:review", "*", &review, true);
        check("status_changed:done", "*", &review, false);
        check("status_changed", "*", &review, true);
        check("agent_*", "*", &review, false);
        let paused = Event { attempt_number: None, ..event("agent_paused", &json!({})) };
        check("agent_*", "*", &paused, false);
        check("agent_paused", "*", &paused, true);
        check("notice", "*", &event("notice", &json!({ "code": "hook_failed" })), false);
    }
}
