//! What happened to the task before: one list, newest first, within a limit.

use std::collections::BTreeMap;

use mozi_core::{
    Actor, ActorKind, Attempt, AttemptNumber, Comment, Event, EventKind, Role, Status, Timestamp, Verdict,
    attempt::ReviewVerdict,
};
use serde::Serialize;

use super::{PromptMaterial, cut, outputs::OutputView, time};

/// The most for the whole list, in bytes. The newest remark stands in full whatever its length.
const ALL: usize = 48 * 1024;
/// The longest comment; remarks and answers are not cut.
const COMMENT: usize = 8 * 1024;
/// The longest closing words of an agent, error of a start, and what it said with its verdict.
const WORDS: usize = 2 * 1024;
/// The last lines of a log.
const STDOUT: (usize, usize) = (1536, 24);
const STDERR: (usize, usize) = (1024, 12);
/// The most outputs of one attempt.
const OUTPUTS: usize = 20;

/// The history of a task.
#[derive(Debug, Serialize)]
pub(super) struct History {
    /// Newest first.
    pub(super) entries: Vec<Entry>,
    /// How many older ones there was no room for.
    pub(super) left_out: usize,
    /// The newest thing that was asked of whoever works on it: the result was sent back.
    pub(super) sent_back: bool,
}

/// One thing that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Entry {
    /// An attempt that is over.
    Attempt(Box<AttemptView>),
    /// A decision on a result.
    Review { at: String, by: Who, approved: bool, text: Option<String> },
    /// What a person said when moving the task.
    Answer { at: String, by: Who, from: &'static str, to: &'static str, text: String },
    /// A comment.
    Comment { at: String, by: Who, text: String, left_out: usize },
    /// An output that no attempt delivered.
    Output { at: String, by: Who, output: OutputView },
    /// A report of an earlier attempt that came too late or was refused.
    Refused { at: String, text: String },
}

/// Who did something.
#[derive(Debug, Serialize)]
pub(super) struct Who {
    kind: &'static str,
    name: String,
    attempt_number: Option<AttemptNumber>,
}

/// An attempt that is over.
#[derive(Debug, Serialize)]
pub(super) struct AttemptView {
    at: String,
    number: AttemptNumber,
    role: &'static str,
    agent: String,
    verdict: Option<&'static str>,
    outcome: Option<&'static str>,
    reason: Option<&'static str>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    timeout: Option<String>,
    said: Option<String>,
    error: Option<String>,
    final_text: Option<String>,
    stdout: Option<String>,
    stderr: Option<String>,
    outputs: Vec<OutputView>,
    outputs_left_out: usize,
}

struct Item {
    at: Timestamp,
    cost: usize,
    remark: bool,
    entry: Entry,
}

impl History {
    /// What happened before attempt `number` in `role`. Outputs in `shown` stand elsewhere already.
    pub(super) fn new(m: &PromptMaterial, role: Role, number: AttemptNumber, shown: &[u32]) -> Self {
        let said = verdict_words(&m.remarks);
        let mut items: Vec<Item> = Vec::new();
        for a in m.attempts.iter().filter(|a| a.number < number && tells_something(a, role)) {
            items.push(attempt(m, a, said.get(&a.number).copied(), shown));
        }
        items.extend(m.remarks.iter().filter_map(remark));
        let last =
            m.attempts.iter().filter(|a| a.number < number && a.role == Role::Executor).map(ended).max();
        items.extend(m.comments.iter().map(|c| comment(c, last)));
        for o in m.outputs.iter().filter(|o| o.attempt_number.is_none() && !shown.contains(&o.id)) {
            let output = OutputView::new(o);
            let entry = Entry::Output { at: time::shown(o.created_at), by: Who::of(&o.actor, None), output };
            items.push(item(o.created_at, 400, entry));
        }
        items.sort_by_key(|i| std::cmp::Reverse(i.at));
        let newest = items.iter().find_map(|i| match &i.entry {
            Entry::Review { approved, .. } => Some(!approved),
            Entry::Answer { from, .. } => Some(*from == Status::Review.as_str()),
            Entry::Attempt(_) => Some(false),
            Entry::Comment { .. } | Entry::Output { .. } | Entry::Refused { .. } => None,
        });
        let sent_back = newest.unwrap_or(false);
        let (entries, left_out) = fit(items);
        Self { entries, left_out, sent_back }
    }
}

/// A reviewer's decision is told by its remark; that it broke off concerns the next reviewer alone.
fn tells_something(a: &Attempt, for_role: Role) -> bool {
    match a.role {
        Role::Executor => true,
        Role::Reviewer => for_role == Role::Reviewer && a.verdict.is_none(),
    }
}

/// Remarks first, then everything else, each newest first, until there is no more room.
fn fit(items: Vec<Item>) -> (Vec<Entry>, usize) {
    let mut room = ALL;
    let mut keep = vec![false; items.len()];
    for remarks in [true, false] {
        let mut first = remarks;
        for (item, kept) in items.iter().zip(&mut keep).filter(|(i, _)| i.remark == remarks) {
            if item.cost > room && !first {
                // What is older than something left out is left out too: no gap that nobody sees.
                break;
            }
            first = false;
            *kept = true;
            room = room.saturating_sub(item.cost);
        }
    }
    let left_out = keep.iter().filter(|k| !**k).count();
    let entries = items.into_iter().zip(keep).filter(|(_, kept)| *kept).map(|(i, _)| i.entry).collect();
    (entries, left_out)
}

/// What executors said with their verdicts, by attempt.
fn verdict_words(remarks: &[Event]) -> BTreeMap<AttemptNumber, &str> {
    remarks
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::StatusChanged(c) => Some((c.verdict_of?, c.detail.as_deref()?)),
            _ => None,
        })
        .collect()
}

fn item(at: Timestamp, length: usize, entry: Entry) -> Item {
    Item { at, cost: length.saturating_add(120), remark: false, entry }
}

/// What a person has said since the last attempt answers it, and stands in full as a remark does.
fn comment(c: &Comment, last: Option<Timestamp>) -> Item {
    let answers = c.actor.kind == ActorKind::User && last.is_some_and(|last| c.created_at > last);
    let most = if answers { usize::MAX } else { COMMENT };
    let (text, left_out) = cut::head(c.body.trim_end(), most);
    let text = text.to_owned();
    let by = Who { attempt_number: c.attempt_number, ..Who::named(&c.actor, &c.author) };
    let length = text.len();
    let entry = Entry::Comment { at: time::shown(c.created_at), by, text, left_out };
    Item { remark: answers, ..item(c.created_at, length, entry) }
}

/// When an attempt came to its end as far as the task is concerned. The verdict is what counts for the order: what was
/// said about it comes after it, even while the agent ends.
fn ended(a: &Attempt) -> Timestamp {
    a.verdict_at.or(a.completed_at).unwrap_or(a.started_at)
}

fn remark(e: &Event) -> Option<Item> {
    let at = time::shown(e.at);
    match &e.kind {
        EventKind::ReviewGiven { verdict, remark } => {
            let text = remark.as_deref().map(str::trim_end).filter(|t| !t.is_empty()).map(str::to_owned);
            let by = Who::of(&e.actor, e.attempt_number);
            let cost = text.as_ref().map_or(0, String::len);
            let entry = Entry::Review { at, by, approved: *verdict == ReviewVerdict::Approve, text };
            Some(Item { remark: true, ..item(e.at, cost, entry) })
        }
        // A decision on a result has an event of its own.
        EventKind::StatusChanged(c)
            if c.from == Status::Review && matches!(c.to, Status::Pending | Status::Done) =>
        {
            None
        }
        EventKind::StatusChanged(c) if e.actor.kind == ActorKind::User => {
            let text = c.detail.as_deref().map(str::trim_end).filter(|t| !t.is_empty())?.to_owned();
            let by = Who::of(&e.actor, None);
            let (from, to) = (c.from.as_str(), c.to.as_str());
            let cost = text.len();
            Some(Item { remark: true, ..item(e.at, cost, Entry::Answer { at, by, from, to, text }) })
        }
        EventKind::Notice { code, text, more: _ } if code == "outbox_refused" => {
            Some(item(e.at, text.len(), Entry::Refused { at, text: text.clone() }))
        }
        _ => None,
    }
}

fn attempt(m: &PromptMaterial, a: &Attempt, said: Option<&str>, shown: &[u32]) -> Item {
    let at = ended(a);
    let words = |text: &str| cut::head(text.trim_end(), WORDS).0.to_owned();
    let noted =
        |key: &str| a.metadata.get(key).and_then(|v| v.as_str()).map(words).filter(|t| !t.trim().is_empty());
    let log = |text: &str, (bytes, lines): (usize, usize)| {
        let plain = cut::plain(text);
        Some(cut::tail(&plain, bytes, lines).to_owned()).filter(|t| !t.trim().is_empty())
    };
    let final_text = noted("final_text");
    let all: Vec<_> =
        m.outputs.iter().filter(|o| o.attempt_number == Some(a.number) && !shown.contains(&o.id)).collect();
    let outputs: Vec<OutputView> = all.iter().take(OUTPUTS).map(|o| OutputView::new(o)).collect();
    let view = AttemptView {
        at: time::shown(at),
        number: a.number,
        role: a.role.as_str(),
        agent: a.agent.to_string(),
        verdict: a.verdict.map(Verdict::as_str),
        outcome: a.outcome.map(mozi_core::Outcome::as_str),
        reason: a.reason.map(mozi_core::Reason::as_str),
        exit_code: a.exit_code.filter(|c| *c != 0),
        signal: a.signal,
        timeout: a.timeout_ms.map(|ms| time::length(std::time::Duration::from_millis(ms))),
        said: said.map(words).filter(|t| !t.trim().is_empty()),
        error: noted("error"),
        // A runtime that tells its last words prints machine talk, which tells less.
        stdout: a.tail.as_ref().filter(|_| final_text.is_none()).and_then(|t| log(&t.stdout, STDOUT)),
        stderr: a.tail.as_ref().and_then(|t| log(&t.stderr, STDERR)),
        final_text,
        outputs_left_out: all.len().saturating_sub(outputs.len()),
        outputs,
    };
    let texts = [&view.said, &view.error, &view.final_text, &view.stdout, &view.stderr];
    let length = texts.iter().filter_map(|t| t.as_ref()).map(String::len).fold(0, usize::saturating_add);
    let outputs = view.outputs.iter().map(OutputView::cost).fold(0, usize::saturating_add);
    item(at, length.saturating_add(outputs), Entry::Attempt(Box::new(view)))
}

impl Who {
    fn of(actor: &Actor, attempt_number: Option<AttemptNumber>) -> Self {
        let name = actor.name.clone().or_else(|| actor.id.clone()).unwrap_or_else(|| actor.kind.to_string());
        Self { attempt_number, ..Self::named(actor, &name) }
    }

    fn named(actor: &Actor, name: &str) -> Self {
        let kind = if actor.kind == ActorKind::Attempt { "agent" } else { "person" };
        Self { kind, name: cut::line(name, 100), attempt_number: None }
    }
}
