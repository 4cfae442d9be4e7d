//! What a bootstrap command gets on its standard input.

use mozi_core::{Attempt, EventKind, Outcome, Output, Reason, Verdict};
use serde_json::{Value, json};

use super::{PromptMaterial, PromptOptions, cut};

/// The version of the shape below. It only grows.
const SCHEMA: u32 = 1;
/// The most attempts, and remarks, that are told.
const PREVIOUS: usize = 20;

pub(super) fn input(m: &PromptMaterial, o: &PromptOptions<'_>) -> Value {
    let spec = &m.task.spec;
    let settings = &m.project.settings;
    let previous: Vec<Value> = m
        .attempts
        .iter()
        .filter(|a| a.number < o.attempt_number)
        .take(PREVIOUS)
        .map(|a| attempt(a, &m.outputs))
        .collect();
    let remarks: Vec<Value> = m
        .remarks
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::ReviewGiven { verdict, remark } => Some(json!({
                "verdict": verdict.as_str(), "remark": remark, "attempt_number": e.attempt_number,
                "by": e.actor.name.as_ref().or(e.actor.id.as_ref()),
            })),
            _ => None,
        })
        .take(PREVIOUS)
        .collect();
    json!({
        "schema": SCHEMA,
        "role": o.role.as_str(),
        "agent": o.agent.as_str(),
        "attempt_number": o.attempt_number,
        "message": o.message,
        "task": {
            "project_id": m.task.key.project.as_str(),
            "task_id": m.task.key.task.as_str(),
            "title": spec.title,
            "description": spec.description,
            "task_type": spec.task_type,
            "priority": spec.priority,
            "must_haves": spec.must_haves,
            "labels": spec.labels,
            "metadata": spec.metadata,
            "status": m.task.state.status.as_str(),
            "parent": m.parent.as_ref().map(|p| p.key.task.as_str()),
            "depends_on": m.dependencies.iter().map(|d| json!({
                "task_id": d.task.key.task.as_str(),
                "title": d.task.spec.title,
                "status": d.task.state.status.as_str(),
                "outputs": d.outputs.iter().map(output).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        },
        "project": {
            "project_id": m.project.id.as_str(),
            "name": m.project.name,
            "language": settings.language.as_str(),
            "require_output": settings.require_output.as_str(),
            "review": settings.review.as_str(),
            "agents_may_create": settings.agents_may_create,
        },
        "previous": previous,
        "reviews": remarks,
    })
}

fn attempt(a: &Attempt, outputs: &[Output]) -> Value {
    let of_it = outputs.iter().filter(|o| o.attempt_number == Some(a.number));
    let log = |text: Option<&str>| text.map(cut::plain);
    json!({
        "attempt_number": a.number,
        "role": a.role.as_str(),
        "agent": a.agent.as_str(),
        "verdict": a.verdict.map(Verdict::as_str),
        "outcome": a.outcome.map(Outcome::as_str),
        "reason": a.reason.map(Reason::as_str),
        "exit_code": a.exit_code,
        "stdout": log(a.tail.as_ref().map(|t| t.stdout.as_str())),
        "stderr": log(a.tail.as_ref().map(|t| t.stderr.as_str())),
        "outputs": of_it.map(output).collect::<Vec<_>>(),
    })
}

fn output(o: &Output) -> Value {
    json!({
        "output_id": o.id, "type": o.output_type.as_str(), "title": o.title, "summary": o.summary,
        "size_bytes": o.size_bytes,
    })
}
