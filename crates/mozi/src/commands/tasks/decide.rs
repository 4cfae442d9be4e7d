//! What people decide on tasks.

use std::collections::BTreeSet;

use mozi_api::{
    query::{Expand, SortBy, TasksQuery},
    report::{NewComment, StatusReport},
    task::Task,
};
use mozi_core::{Status, TaskKey};

use super::{super::words, Several};
use crate::{
    cli::TaskCommand,
    context::Context,
    error::{Failure, Result},
};

/// A decision: from where to where, and what it is called.
struct Decision {
    word: &'static str,
    past: &'static str,
    from: &'static [Status],
    to: Status,
}

use Status::{Blocked, Cancelled, Claimed, Done, Failed, Pending, Review, Working};

const APPROVE: Decision = Decision { word: "approve", past: "approved", from: &[Review], to: Done };
const ACCEPT: Decision = Decision {
    word: "approve",
    past: "accepted as it is",
    from: &[Review, Pending, Blocked, Failed, Cancelled],
    to: Done,
};
const REJECT: Decision = Decision { word: "reject", past: "sent back", from: &[Review], to: Pending };
const CANCEL: Decision = Decision {
    word: "cancel",
    past: "cancelled",
    from: &[Pending, Claimed, Working, Review, Blocked],
    to: Cancelled,
};
const HOLD: Decision =
    Decision { word: "hold", past: "held", from: &[Pending, Claimed, Working, Review], to: Blocked };
const STOP: Decision =
    Decision { word: "stop", past: "stopped and held", from: &[Claimed, Working, Review], to: Blocked };
const RELEASE: Decision = Decision { word: "release", past: "released", from: &[Blocked], to: Pending };
const ANSWER: Decision = Decision {
    word: "answer",
    past: "answered and released",
    from: &[Blocked, Failed, Cancelled],
    to: Pending,
};
const RETRY: Decision =
    Decision { word: "retry", past: "to be tried again", from: &[Failed, Blocked, Cancelled], to: Pending };

pub(super) async fn run(context: &Context, command: TaskCommand) -> Result<()> {
    match command {
        TaskCommand::Approve { ids, as_it_is, message } => {
            all(context, if as_it_is { &ACCEPT } else { &APPROVE }, &ids, message).await
        }
        TaskCommand::Reject { id, text } => {
            context.person_only("`reject`")?;
            let remark = match (text.message, text.file) {
                (Some(message), _) => message,
                (None, Some(file)) => words::file(&file)?,
                (None, None) => {
                    words::edit("", "Why does it go back? The agent reads this before it tries again.")?
                }
            };
            if remark.trim().is_empty() {
                return Err(Failure::usage("a remark is needed: what has to be different?"));
            }
            all(context, &REJECT, &[id], Some(remark)).await
        }
        TaskCommand::Answer { id, text } => {
            context.person_only("`answer`")?;
            let key = context.key(&id).await?;
            let task = context.task(&key, Expand::default()).await?;
            permitted(&ANSWER, &key, &task)?;
            let body = NewComment { author: None, body: words::text(&text)? };
            context.ask(context.client.add_comment(&key.project, &key.task, &body, None)).await?;
            all(context, &ANSWER, &[id], None).await
        }
        TaskCommand::Cancel(d) => all(context, &CANCEL, &d.ids, d.message).await,
        TaskCommand::Hold(d) => all(context, &HOLD, &d.ids, d.message).await,
        TaskCommand::Stop(d) => all(context, &STOP, &d.ids, d.message).await,
        TaskCommand::Release(d) => match &d.kind {
            None => all(context, &RELEASE, &d.ids, d.message).await,
            Some(kind) => release(context, kind, d.message).await,
        },
        TaskCommand::Retry(d) => all(context, &RETRY, &d.ids, d.message).await,
        TaskCommand::Add(_)
        | TaskCommand::List { .. }
        | TaskCommand::Show { .. }
        | TaskCommand::Edit(_)
        | TaskCommand::Prompt { .. }
        | TaskCommand::Wait { .. }
        | TaskCommand::Import { .. }
        | TaskCommand::Export { .. } => Err(Failure::usage("this is no decision")),
    }
}

async fn all(context: &Context, decision: &Decision, ids: &[String], detail: Option<String>) -> Result<()> {
    context.person_only(&format!("`{}`", decision.word))?;
    let mut several = Several::default();
    for id in ids {
        several.add(context, one(context, decision, id, detail.clone()).await)?;
    }
    several.end(context, ids.len())
}

/// Lets all tasks of the project go on that are blocked for one reason.
async fn release(context: &Context, kind: &str, detail: Option<String>) -> Result<()> {
    context.person_only("`release`")?;
    let project = context.project().await?;
    let mut query = TasksQuery {
        status: vec![Blocked.into()],
        sort: Some(SortBy::Created.into()),
        limit: Some(500),
        ..TasksQuery::default()
    };
    let (mut found, mut kinds) = (Vec::new(), BTreeSet::new());
    // All are looked at before any is moved: the pages are of one list.
    loop {
        let page = context.ask(context.client.tasks(&project, &query)).await?;
        for task in page.items {
            if task.kind.as_deref() == Some(kind) {
                found.push(format!("{project}/{}", task.task_id));
            }
            kinds.extend(task.kind);
        }
        match page.next_cursor {
            None => break,
            next => query.cursor = next,
        }
    }
    if !found.is_empty() {
        return all(context, &RELEASE, &found, detail).await;
    }
    if context.out.json() {
        return context.out.value(&serde_json::json!([]));
    }
    let others = kinds.into_iter().collect::<Vec<_>>().join(", ");
    let others = if others.is_empty() { String::new() } else { format!("; blocked there are: {others}") };
    context.out.line(format!("nothing in {project} is blocked as {kind}{others}"))
}

async fn one(
    context: &Context,
    decision: &Decision,
    id: &str,
    detail: Option<String>,
) -> Result<(mozi_api::report::StatusReply, String)> {
    let key = context.key(id).await?;
    let task = context.task(&key, Expand::default()).await?;
    let already = task.status.0 == decision.to;
    if !already {
        permitted(decision, &key, &task)?;
    }
    let mut body = StatusReport::of(decision.to);
    body.detail = detail;
    // What was decided on is what was seen: another attempt in between refuses the decision.
    body.attempt_number = task.attempt_number;
    let reply = context.ask(context.client.report_status(&key.project, &key.task, &body, None)).await?;
    let name = format!("{}/{}", key.project, key.task);
    let said = if already {
        format!("{name} is {} already", task.status)
    } else {
        format!("{name} {}: {} → {}", decision.past, task.status, reply.status)
    };
    for warning in &reply.warnings {
        crate::output::note(format!("note: {warning}"));
    }
    Ok((reply, said))
}

/// The board decides by its table; the words of the command line are narrower: `release` is not `reject`.
fn permitted(decision: &Decision, key: &TaskKey, task: &Task) -> Result<()> {
    let now = task.status.0;
    if decision.from.contains(&now) {
        return Ok(());
    }
    let at = |s: &Status| if *s == Review { "in review" } else { s.as_str() };
    let from: Vec<&str> = decision.from.iter().map(at).collect();
    let failure = Failure::new(format!(
        "could not {} {}/{}: it is {}, and this is for a task that is {}",
        decision.word,
        key.project,
        key.task,
        at(&now),
        from.join(" or ")
    ))
    .code("transition_refused");
    let id = &key.task;
    Err(match (decision.word, now) {
        ("approve", Pending | Blocked | Failed | Cancelled) => {
            failure.hint(format!("mozi task approve {id} --as-it-is -m \"why\" accepts it without a result"))
        }
        ("release" | "answer", Review) => {
            failure.hint(format!("mozi task reject {id} -m \"…\" sends it back"))
        }
        (_, Done) => failure.hint("done is final: add a new task"),
        ("stop", Pending | Blocked) => {
            failure.hint("nothing of it runs; `mozi task hold` keeps it from being started")
        }
        _ => failure.hint(format!("`mozi why {id}` says what it waits for")),
    })
}
