//! `mozi events`

use std::collections::VecDeque;

use mozi_api::{
    event::Event,
    query::{EventsQuery, Expand},
};
use mozi_core::{ProjectId, TaskKey};
use serde_json::Value;

use crate::{
    cli::EventsArgs,
    context::{Context, last_event},
    error::Result,
    output::{Out, Paint, clip, local, paint_of},
};

/// How many are shown before following, where nothing else was said.
const TAIL: u64 = 20;
/// How many are shown where nothing else was said.
const SHOWN: u64 = 100;

pub(crate) async fn run(context: &Context, args: EventsArgs) -> Result<()> {
    let key = match &args.task {
        Some(task) => Some(context.key(task).await?),
        None => None,
    };
    let project = match (&key, args.all) {
        (Some(key), _) => Some(key.project.clone()),
        (None, true) => None,
        (None, false) => Some(context.project().await?),
    };
    let printer = Printer { out: context.out, project: project.clone(), key };
    let cursor = match (&printer.key, &args.after) {
        (Some(key), None) => Some(history_of_task(context, &printer, key).await?),
        (_, after) => past(context, &printer, after.clone(), args.follow).await?,
    };
    if !args.follow {
        return Ok(());
    }
    let mut stream = context.client.event_stream(project.as_ref(), cursor);
    loop {
        let event = context.ask(stream.next()).await?.event;
        printer.print(&event)?;
    }
}

/// A task's own history is short enough to be shown whole. Returns where to go on.
async fn history_of_task(context: &Context, printer: &Printer, key: &TaskKey) -> Result<String> {
    // Where to go on is looked up first: what happens in between is shown once, by the history.
    let mut end = last_event(context, &key.project).await?;
    let task = context.task(key, Expand { events: true, ..Expand::default() }).await?;
    for event in task.events.unwrap_or_default() {
        end = end.max(event.id);
        printer.print(&event)?;
    }
    Ok(end.to_string())
}

/// Shows what there is after `after`, or the newest. Returns where to go on.
async fn past(
    context: &Context,
    printer: &Printer,
    after: Option<String>,
    follow: bool,
) -> Result<Option<String>> {
    let count = if follow { TAIL } else { SHOWN };
    let mut cursor = match (&after, &printer.project) {
        (Some(_), _) => after.clone(),
        (None, Some(project)) => Some(last_event(context, project).await?.saturating_sub(count).to_string()),
        (None, None) => None,
    };
    // Over all projects the place of the newest is not known: the end is read up to, and its last ones shown.
    let mut kept: VecDeque<Event> = VecDeque::new();
    loop {
        let query = EventsQuery { after: cursor.clone(), limit: Some(500) };
        let page = context.ask(context.client.events(printer.project.as_ref(), &query)).await?;
        let last = page.items.is_empty();
        for event in page.items {
            if after.is_some() || printer.project.is_some() {
                printer.print(&event)?;
            } else {
                if kept.len() as u64 >= count {
                    kept.pop_front();
                }
                kept.push_back(event);
            }
        }
        cursor = page.next_cursor.or(cursor);
        if last {
            break;
        }
    }
    for event in kept {
        printer.print(&event)?;
    }
    Ok(cursor)
}

struct Printer {
    out: Out,
    project: Option<ProjectId>,
    key: Option<TaskKey>,
}

impl Printer {
    fn print(&self, event: &Event) -> Result<()> {
        if let Some(key) = &self.key
            && event.task_id.as_ref().is_none_or(|t| t.0 != key.task)
        {
            return Ok(());
        }
        if self.out.json() {
            return self.out.value_line(event);
        }
        self.out.line(self.text(event))
    }

    fn text(&self, event: &Event) -> String {
        let place = match (&self.project, &event.project_id, &event.task_id) {
            (None, Some(p), Some(t)) => format!("{p}/{t}"),
            (None, Some(p), None) => p.to_string(),
            (_, _, Some(t)) => t.to_string(),
            _ => "-".to_owned(),
        };
        let word = event.event_type.strip_prefix("agent_").unwrap_or(&event.event_type);
        let paint = match event.event_type.as_str() {
            "notice" => Paint::Wait,
            "status_changed" => event.text_of("to").map_or(Paint::Dim, paint_of),
            _ => paint_of(word),
        };
        let who = event.agent.as_ref().map(ToString::to_string).or_else(|| {
            let actor = &event.actor;
            actor.name.clone().or_else(|| actor.id.clone()).or_else(|| Some(actor.kind.clone()))
        });
        let line = format!(
            "{}  {:>5}  {:<12} {:<16} {:<12} {}",
            self.out.paint(Paint::Dim, &local(&event.at.to_string())),
            event.id,
            clip(&place, 24),
            self.out.paint(paint, &format!("{:<16}", event.event_type)),
            clip(&who.unwrap_or_default(), 24),
            about(event)
        );
        line.trim_end().to_owned()
    }
}

/// What the event says, in a few words.
fn about(event: &Event) -> String {
    let text = |name: &str| event.text_of(name).map(|t| clip(t, 160));
    let number = |name: &str| event.detail.0.get(name).and_then(Value::as_u64);
    let mut words: Vec<String> = Vec::new();
    match event.event_type.as_str() {
        "status_changed" => {
            words.extend(text("from").zip(text("to")).map(|(from, to)| format!("{from} → {to}")));
            words.extend(text("kind"));
            words.extend(text("detail"));
        }
        "task_created" | "comment_added" => words.extend(text("title").or_else(|| text("author"))),
        "output_added" => {
            words.extend(number("output_id").map(|n| format!("#{n}")));
            words.extend(text("title"));
            words.extend(number("size_bytes").map(|n| format!("({})", crate::output::bytes(n))));
        }
        "review_given" => {
            words.extend(text("verdict"));
            words.extend(text("remark"));
        }
        "notice" => {
            words.extend(text("code").map(|c| format!("{c}:")));
            words.extend(text("text"));
        }
        "settings_changed" => {
            let changed = event.detail.0.get("changed").map(ToString::to_string);
            words.extend(changed.map(|c| clip(&c, 160)));
        }
        "task_edited" => {
            let changed = event.detail.0.get("changed").and_then(Value::as_array);
            words.extend(changed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        }
        _ => {
            words.extend(event.attempt_number.map(|n| format!("#{n}")));
            words.extend(text("role"));
            words.extend(text("reason"));
            words
                .extend(event.detail.0.get("exit_code").and_then(Value::as_i64).map(|c| format!("exit {c}")));
            words.extend(text("detail"));
            words.extend(text("name"));
        }
    }
    words.join(" ")
}
