//! Hooks, and signs of life: what the runner makes of the board's events.
//!
//! Each hook reads the events over all projects for itself and remembers its own place: one that hangs, fails or is
//! flooded is in nobody's way. The place is written when the hook has ended, so an event that was committed before a
//! crash is run for after it, and one that the crash cut short is run for again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mozi_api::ClientError;
use mozi_api::event::Event;
use mozi_api::runner::RunnerNotice;
use mozi_core::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::child;
use crate::config::{Hook, RunnerConfig};
use crate::drive::Beside;
use crate::shared::{Backoff, Shared};

/// Of a hook that prints more than this something is wrong.
const OUTPUT_LIMIT: u64 = 16 * 1024 * 1024;
/// So many events may pass a hook before its place is written, if it runs for none of them.
const PASSED: u32 = 64;

/// Whether there is anything to do with events.
pub(crate) fn are_wanted(config: &RunnerConfig) -> bool {
    !of(config).is_empty() || wants_signs(config)
}

fn wants_signs(config: &RunnerConfig) -> bool {
    config.agents.values().any(|agent| agent.stall_timeout.is_some())
}

/// The hooks by the names under which their places are kept: what they are for and what they run. In a dry run nothing
/// is started, and nobody is told of what only seems to happen.
fn of(config: &RunnerConfig) -> BTreeMap<String, Hook> {
    let mut hooks = BTreeMap::new();
    for hook in config.hooks.iter().filter(|_| !config.dry_run) {
        let name = json!([hook.on, hook.project, hook.run]).to_string();
        let twin = (1u32..).map(|n| format!("{name} {n}"));
        let free = std::iter::once(name.clone()).chain(twin).find(|name| !hooks.contains_key(name));
        hooks.extend(free.map(|name| (name, hook.clone())));
    }
    hooks
}

/// Keeps a reader at work for each hook of the configuration as it changes, for ever.
pub(crate) async fn run(shared: Arc<Shared>, tell: mpsc::Sender<Beside>) {
    let mut changes = shared.changes.subscribe();
    let places = Arc::new(Places::open(&shared).await);
    let mut at_work: JoinSet<()> = JoinSet::new();
    let mut readers: BTreeMap<String, AbortHandle> = BTreeMap::new();
    let mut signs: Option<AbortHandle> = None;
    loop {
        changes.borrow_and_update();
        let config = shared.config();
        let hooks = of(&config);
        readers.retain(|_, reader| !reader.is_finished());
        places.keep_only(hooks.keys().chain(readers.keys()).cloned().collect()).await;
        for name in hooks.into_keys().filter(|name| !readers.contains_key(name)).collect::<Vec<_>>() {
            let reader = at_work.spawn(read(Arc::clone(&shared), name.clone(), Arc::clone(&places)));
            readers.insert(name, reader);
        }
        if wants_signs(&config) && signs.as_ref().is_none_or(AbortHandle::is_finished) {
            signs = Some(at_work.spawn(signs_of_life(Arc::clone(&shared), tell.clone())));
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            Some(ended) = at_work.join_next() => {
                if let Err(broken) = ended
                    && let Ok(panic) = broken.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                }
            }
            () = tell.closed() => return,
        }
    }
}

/// Reads events for one hook from the place where it was left, until the configuration has it no longer.
async fn read(shared: Arc<Shared>, name: String, places: Arc<Places>) {
    let mut changes = shared.changes.subscribe();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mark = format!("{} {name}", shared.config().data_dir.display());
    let crashed = mark.clone();
    // What a crash has cut short is run for again, and must not go on beside that.
    if let Some(Err(left)) = shared.blocking(move || child::end_left(&crashed)).await {
        tracing::warn!("what a hook has left behind {left}");
    }
    loop {
        let Some(mut hook) = of(&shared.config()).remove(&name) else { return };
        let after = places.of(&name).await;
        let mut stream = shared.client.event_stream(None, after.clone()).with_patience(Duration::ZERO);
        if after.is_none()
            && let Ok(place) = stream.place().await
        {
            // A hook that is new does not run for the past.
            places.remember(&shared, &name, place).await;
        }
        let mut passed = 0;
        let broken = loop {
            if stream.cursor().is_none() {
                break None;
            }
            let next = tokio::select! {
                next = stream.next() => next,
                _ = changes.changed() => {
                    match of(&shared.config()).remove(&name) {
                        Some(now) => hook = now,
                        None => return,
                    }
                    continue;
                }
            };
            let next = match next {
                Ok(next) => next,
                Err(error) => break Some(error),
            };
            passed += 1;
            if matches(&hook, &next.event) {
                run_for(&shared, &hook, &mark, &next.event).await;
                passed = PASSED;
            }
            // What a hook was run for needs to be remembered at once; to pass the rest again does nothing.
            if passed >= PASSED {
                passed = 0;
                places.remember(&shared, &name, next.cursor).await;
            }
            backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        };
        if let Some(problem) = broken.as_ref().and_then(ClientError::problem)
            && problem.code == "events_expired"
        {
            let program = hook.run.first().map_or("", String::as_str);
            let text = format!(
                "events that hook {program} has not seen are gone: it goes on with those that are left"
            );
            shared.notice(RunnerNotice::new("hooks_behind", text)).await;
            match problem.more.get("oldest_id").and_then(Value::as_str) {
                Some(oldest) => places.remember(&shared, &name, oldest.to_owned()).await,
                None => places.forget(&name).await,
            }
        }
        backoff.wait().await;
    }
}

/// What an attempt writes to the board is a sign of life that its supervisor does not see.
async fn signs_of_life(shared: Arc<Shared>, tell: mpsc::Sender<Beside>) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    while !tell.is_closed() {
        let mut stream = shared.client.event_stream(None, None).with_patience(Duration::ZERO);
        while let Ok(next) = stream.next().await {
            let actor = next.event.actor;
            if matches!(actor.kind.as_str(), "attempt" | "anonymous")
                && let Some(id) = actor.id.and_then(|id| id.parse::<SessionId>().ok())
            {
                drop(tell.try_send(Beside::SignOfLife(id)));
            }
            backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        }
        backoff.wait().await;
    }
}

/// Where each hook is, in `hooks.json` of the data folder.
struct Places {
    file: PathBuf,
    kept: tokio::sync::Mutex<Kept>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Places of another board mean nothing here.
    board: String,
    places: BTreeMap<String, String>,
}

impl Places {
    async fn open(shared: &Shared) -> Self {
        let file = shared.config().data_dir.join("hooks.json");
        let path = file.clone();
        let text = shared.blocking(move || std::fs::read(path)).await;
        let kept = text.and_then(|read| serde_json::from_slice::<Kept>(&read.ok()?).ok());
        let kept = kept.filter(|k| k.board == shared.board_id);
        let fresh = Kept { board: shared.board_id.clone(), places: BTreeMap::new() };
        Self { file, kept: tokio::sync::Mutex::new(kept.unwrap_or(fresh)) }
    }

    async fn of(&self, name: &str) -> Option<String> {
        self.kept.lock().await.places.get(name).cloned()
    }

    async fn forget(&self, name: &str) {
        self.kept.lock().await.places.remove(name);
    }

    async fn keep_only(&self, names: BTreeSet<String>) {
        self.kept.lock().await.places.retain(|name, _| names.contains(name));
    }

    async fn remember(&self, shared: &Shared, name: &str, place: String) {
        let mut kept = self.kept.lock().await;
        kept.places.insert(name.to_owned(), place);
        let (file, text) = (self.file.clone(), serde_json::to_vec(&*kept).unwrap_or_default());
        // The lock is held meanwhile: what is written last is what holds last.
        if let Some(Err(error)) = shared.blocking(move || mozi_supervise::durable_write(&file, &text)).await {
            tracing::warn!("could not {error}");
        }
    }
}

async fn run_for(shared: &Arc<Shared>, hook: &Hook, mark: &str, event: &Event) {
    let input = serde_json::to_vec(&material(shared, event).await).unwrap_or_default();
    let output = child::Output::LastWords(OUTPUT_LIMIT);
    let Err(why) =
        child::run(&shared.config(), &hook.run, mark.to_owned(), input, output, hook.timeout).await
    else {
        return;
    };
    let program = hook.run.first().map_or("", String::as_str);
    let text = format!("hook {program} for {} failed: {why}", event.event_type);
    let notice = RunnerNotice {
        project_id: event.project_id.clone().filter(|_| event.task_id.is_some()),
        task_id: event.task_id.clone().filter(|_| event.project_id.is_some()),
        attempt_number: event.attempt_number,
        agent: event.agent.clone(),
        ..RunnerNotice::new("hook_failed", text)
    };
    shared.notice(notice).await;
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
        let timeout = Duration::from_mins(1);
        let hook = Hook { on: vec![pattern.into()], project: project.into(), run: Vec::new(), timeout };
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
        check("*", "*", &paused, true);
        check("*", "*", &event("notice", &json!({ "code": "hook_failed" })), false);
        check("*", "*", &event("notice", &json!({ "code": "held_up_gateway" })), true);
        let idle =
            Event { project_id: None, task_id: None, attempt_number: None, ..event("idle", &json!({})) };
        check("idle", "*", &idle, true);
        check("idle", "app", &idle, false);
        check("notice", "*", &event("notice", &json!({ "code": "hook_failed" })), false);
    }
}
