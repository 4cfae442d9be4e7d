//! Outputs, comments and notices.

use serde_json::{Map, Value};

use super::{About, Desk, report::open_for_writing};
use crate::{
    change::{Change, Reply},
    command::NewOutput,
    comment::Comment,
    event::EventKind,
    id::{AgentId, AttemptNumber, TaskKey},
    limits,
    output::Output,
    refusal::Refusal,
    token::{Actor, Identity},
};

/// Who adds something to a task, if they may: an attempt only to its own task, and after its verdict only while
/// the task is still where the verdict put it. What a person approved does not change.
fn writer(
    d: &mut Desk<'_>,
    key: &TaskKey,
    claimed: Option<&str>,
) -> Result<Option<(AttemptNumber, AgentId)>, Refusal> {
    let Identity::Attempt { key: own, number, agent, .. } = d.state.identity.clone() else {
        d.person(Some(&key.project))?;
        d.task(key)?;
        return Ok(None);
    };
    if own != *key {
        return Err(Refusal::not_found(format!("task {} for this token", key.task)));
    }
    while_it_stands(d, key, number)?;
    if let Some(claimed) = claimed {
        d.check_claimed("the body", key, number, claimed);
    }
    Ok(Some((number, agent)))
}

/// The attempt may write, and the task is still where its verdict put it, if it has given one.
pub(super) fn while_it_stands(d: &Desk<'_>, key: &TaskKey, number: AttemptNumber) -> Result<(), Refusal> {
    let verdict = open_for_writing(d, key, number)?.verdict;
    let current = d.task(key)?.state.status;
    match verdict.filter(|v| v.status() != current) {
        Some(verdict) => Err(Refusal::VerdictGiven { verdict, current }),
        None => Ok(()),
    }
}

pub(super) fn output(d: &mut Desk<'_>, new: &NewOutput) -> Result<Reply, Refusal> {
    let by = writer(d, &new.key, new.claimed_agent.as_deref())?;
    limits::line("title", &new.title, limits::TITLE_CHARS)?;
    limits::opt_text("summary", new.summary.as_deref(), limits::SUMMARY_BYTES)?;
    let output = add_output(d, new, by)?;
    Ok(Reply::Output { output: Box::new(output), warnings: std::mem::take(&mut d.warnings) })
}

pub(super) fn add_output(
    d: &mut Desk<'_>,
    new: &NewOutput,
    by: Option<(AttemptNumber, AgentId)>,
) -> Result<Output, Refusal> {
    let actor = d.actor();
    let s = &mut d.change_task(&new.key)?.state;
    let id = s.next_output;
    s.next_output = id.saturating_add(1);
    let (attempt_number, agent) = by.unzip();
    if let Some(a) = attempt_number.and_then(|n| d.change_attempt(&new.key, n)) {
        a.outputs = a.outputs.saturating_add(1);
    }
    let output = Output {
        key: new.key.clone(),
        id,
        attempt_number,
        agent: agent.clone(),
        output_type: new.output_type,
        title: new.title.clone(),
        summary: new.summary.clone(),
        file_name: new.file_name.clone(),
        sha256: new.sha256.clone(),
        size_bytes: new.size_bytes,
        content: new.content.clone(),
        actor: actor.clone(),
        created_at: d.now,
    };
    d.write(Change::InsertOutput(Box::new(output.clone())));
    d.emit(
        About { attempt: attempt_number, agent: agent.as_ref(), ..About::task(&new.key) },
        actor,
        EventKind::OutputAdded {
            output_id: id,
            title: new.title.clone(),
            output_type: new.output_type,
            size_bytes: new.size_bytes,
        },
    );
    Ok(output)
}

pub(super) fn comment(
    d: &mut Desk<'_>,
    key: &TaskKey,
    author: Option<&str>,
    body: &str,
) -> Result<Reply, Refusal> {
    let by = writer(d, key, author)?;
    limits::text("body", body, limits::COMMENT_BYTES)?;
    if body.trim().is_empty() {
        return Err(Refusal::invalid("body", "must not be empty"));
    }
    if let Some(author) = author {
        limits::line("author", author, limits::WORD_CHARS)?;
    }
    let actor = d.actor();
    let shown = match &by {
        Some((_, agent)) => agent.to_string(),
        None => {
            author.map(str::to_owned).or_else(|| actor.id.clone()).unwrap_or_else(|| actor.kind.to_string())
        }
    };
    let task = d.state.tasks.get_mut(key).ok_or_else(|| Refusal::not_found(format!("task {}", key.task)))?;
    let id = task.state.next_comment;
    task.state.next_comment = id.saturating_add(1);
    let (attempt_number, agent) = by.unzip();
    let comment = Comment {
        key: key.clone(),
        id,
        author: shown.clone(),
        body: body.to_owned(),
        attempt_number,
        actor: actor.clone(),
        created_at: d.now,
    };
    d.write(Change::InsertComment(Box::new(comment.clone())));
    d.emit(
        About { attempt: attempt_number, agent: agent.as_ref(), ..About::task(key) },
        actor,
        EventKind::CommentAdded { comment_id: id, author: shown },
    );
    Ok(Reply::Comment { comment: Box::new(comment), warnings: std::mem::take(&mut d.warnings) })
}

pub(super) fn notice(
    d: &mut Desk<'_>,
    key: Option<&TaskKey>,
    attempt: Option<AttemptNumber>,
    agent: Option<&AgentId>,
    code: &str,
    text: &str,
    more: &Map<String, Value>,
) -> Result<Reply, Refusal> {
    let actor = match &d.state.identity {
        Identity::Board => Actor::board(),
        Identity::Runner(_) => d.actor(),
        Identity::Unknown => return Err(Refusal::Unauthenticated),
        Identity::User { .. } | Identity::Attempt { .. } => {
            return Err(Refusal::Forbidden { why: "notices are written by Mozi itself".into() });
        }
    };
    limits::line("code", code, limits::WORD_CHARS)?;
    limits::text("text", text, limits::DETAIL_BYTES)?;
    if let Some(key) = key {
        d.task(key)?;
    }
    let about = About { project: key.map(|k| &k.project), task: key, attempt, agent };
    d.emit(
        about,
        actor,
        EventKind::Notice { code: code.to_owned(), text: text.to_owned(), more: more.clone() },
    );
    Ok(Reply::Done)
}
