//! A task's state as one event, where its history cannot be told from its creation.

use serde_json::{Value, json};

use super::{Folded, FoldedAttempt};
use crate::{
    attempt::{Attempt, Role, Verdict},
    outcome::Outcome,
    task::{Status, Task},
    time::Timestamp,
};

/// Why a history has a [`Snapshot`]: its task was brought from elsewhere.
pub const IMPORTED: &str = "import";
/// Why a history has a [`Snapshot`]: its older events were removed.
pub const PRUNED: &str = "retention";

/// What a task's events come to, all that there were. Folding begins at the newest one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Why it was written: [`IMPORTED`], [`PRUNED`]; an open list.
    pub because: String,
    /// The task's title, as a creation tells it.
    pub title: String,
    /// Why the task is where it is, as a word.
    pub kind: Option<String>,
    /// What the events come to.
    pub folded: Folded,
    /// `not_before` was set by the board: it ends with the budget.
    pub pause: bool,
}

impl Snapshot {
    /// Of a task as its rows are.
    pub fn of(task: &Task, attempts: &[Attempt], because: &str) -> Self {
        Self {
            because: because.to_owned(),
            title: task.spec.title.clone(),
            kind: task.state.kind.clone(),
            folded: Folded::of(task, attempts),
            pause: task.state.not_before.is_some_and(|n| n.by_board),
        }
    }

    pub(super) fn detail(&self) -> Value {
        let f = &self.folded;
        let attempts: Vec<Value> = f
            .attempts
            .iter()
            .map(|a| {
                json!({
                    "attempt_number": a.number, "role": a.role.as_str(), "agent": a.agent.as_str(),
                    "verdict": a.verdict.map(Verdict::as_str), "outcome": a.outcome.map(Outcome::as_str),
                    "revoked": a.revoked,
                })
            })
            .collect();
        json!({
            "because": self.because, "title": self.title, "status": f.status.as_str(), "kind": self.kind,
            "attempts": attempts, "budget_used": f.budget_used, "review_used": f.review_used,
            "rounds": f.rounds, "not_before_us": f.not_before.map(Timestamp::as_micros),
            "not_before_by_board": self.pause,
        })
    }

    pub(super) fn parse(d: &Value) -> Option<Self> {
        let text = |k: &str| d.get(k).and_then(Value::as_str).map(str::to_owned);
        let small = |v: Option<&Value>| v.and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let attempt = |a: &Value| {
            let word = |k: &str| a.get(k).and_then(Value::as_str);
            Some(FoldedAttempt {
                number: small(a.get("attempt_number"))?,
                role: Role::parse(word("role")?)?,
                agent: word("agent")?.parse().ok()?,
                verdict: word("verdict").map(|w| Verdict::parse(w).ok_or(())).transpose().ok()?,
                outcome: word("outcome").map(|w| Outcome::parse(w).ok_or(())).transpose().ok()?,
                revoked: a.get("revoked")?.as_bool()?,
            })
        };
        Some(Self {
            because: text("because")?,
            title: text("title")?,
            kind: text("kind"),
            folded: Folded {
                status: Status::parse(&text("status")?)?,
                attempts: d.get("attempts")?.as_array()?.iter().map(attempt).collect::<Option<_>>()?,
                budget_used: small(d.get("budget_used"))?,
                review_used: small(d.get("review_used"))?,
                rounds: small(d.get("rounds"))?,
                not_before: d.get("not_before_us").and_then(Value::as_i64).map(Timestamp::from_micros),
            },
            pause: d.get("not_before_by_board").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}
