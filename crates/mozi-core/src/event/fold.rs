//! A task's state out of its events: what can be said without looking at any row.

use crate::{
    attempt::{Attempt, ReviewVerdict, Role, Verdict},
    event::{Event, EventKind, executor_verdict},
    id::{AgentId, AttemptNumber},
    outcome::Outcome,
    task::{Status, Task},
    time::Timestamp,
    token::ActorKind,
};

/// An attempt as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedAttempt {
    /// Its number.
    pub number: AttemptNumber,
    /// Its role.
    pub role: Role,
    /// Who ran.
    pub agent: AgentId,
    /// What it said.
    pub verdict: Option<Verdict>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Its task left its hands otherwise than by its verdict.
    pub revoked: bool,
}

/// A task as its events tell it. Texts, outputs and settings are not folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// Where it is.
    pub status: Status,
    /// Its attempts, in order.
    pub attempts: Vec<FoldedAttempt>,
    /// Executor attempts of this budget without a verdict.
    pub budget_used: u32,
    /// Reviewer attempts of this budget without a verdict.
    pub review_used: u32,
    /// Send-backs by reviewers since a person last acted.
    pub rounds: u32,
    /// Not claimed before.
    pub not_before: Option<Timestamp>,
}

impl Folded {
    /// The same out of the rows: what [`fold`] must give.
    pub fn of(task: &Task, attempts: &[Attempt]) -> Self {
        Self {
            status: task.state.status,
            attempts: attempts
                .iter()
                .map(|a| FoldedAttempt {
                    number: a.number,
                    role: a.role,
                    agent: a.agent.clone(),
                    verdict: a.verdict,
                    outcome: a.outcome,
                    revoked: a.revoked_at.is_some(),
                })
                .collect(),
            budget_used: task.state.budget_used,
            review_used: task.state.review_used,
            rounds: task.state.rounds,
            not_before: task.state.not_before.map(|n| n.at),
        }
    }
}

/// Folds the events of one task, oldest first, from its creation or, where there is one, from the newest
/// [`Snapshot`](super::Snapshot) on: what was before it may be incomplete. None if they begin with neither.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Folded> {
    let mut folding: Option<Folding> = None;
    let mut first = true;
    for event in events {
        if let EventKind::TaskSnapshot(s) = &event.kind {
            folding = Some(Folding { folded: s.folded.clone(), pause: s.pause });
        } else if let EventKind::TaskCreated { title: _, status, kind: _, not_before } = &event.kind
            && first
        {
            let folded = Folded {
                status: *status,
                attempts: Vec::new(),
                budget_used: 0,
                review_used: 0,
                rounds: 0,
                not_before: *not_before,
            };
            folding = Some(Folding { folded, pause: false });
        } else if let Some(folding) = &mut folding {
            step(folding, event);
        }
        first = false;
    }
    folding.map(|f| f.folded)
}

struct Folding {
    folded: Folded,
    /// `not_before` was set by the board: it ends with the budget.
    pause: bool,
}

fn step(folding: &mut Folding, event: &Event) {
    let attempt = |f: &mut Folded, n: AttemptNumber, then: &dyn Fn(&mut FoldedAttempt)| {
        f.attempts.iter_mut().filter(|a| a.number == n).for_each(then);
    };
    let Folding { folded: f, pause } = folding;
    match &event.kind {
        EventKind::StatusChanged(change) => {
            f.status = change.to;
            let by_person = event.actor.kind == ActorKind::User;
            if change.to == Status::Pending && (by_person || change.from == Status::Review) {
                f.budget_used = 0;
                f.review_used = 0;
                f.not_before = f.not_before.filter(|_| !*pause);
            }
            if change.to == Status::Review {
                f.not_before = None;
            }
            if by_person {
                f.rounds = 0;
            }
            if let Some((n, verdict)) = executor_verdict(change) {
                attempt(f, n, &|a| a.verdict = Some(verdict));
            }
            if let Some(n) = change.revoked {
                attempt(f, n, &|a| a.revoked = true);
            }
        }
        EventKind::AgentStarted { role, .. } => {
            if let (Some(number), Some(agent)) = (event.attempt_number, event.agent.clone()) {
                f.attempts.push(FoldedAttempt {
                    number,
                    role: *role,
                    agent,
                    verdict: None,
                    outcome: None,
                    revoked: false,
                });
            }
        }
        EventKind::AgentEnded { outcome, role, counted, not_before, .. } => {
            if let Some(n) = event.attempt_number {
                attempt(f, n, &|a| a.outcome = Some(*outcome));
            }
            let used = match role {
                Role::Executor => &mut f.budget_used,
                Role::Reviewer => &mut f.review_used,
            };
            if *counted {
                *used = used.saturating_add(1);
            }
            if not_before.is_some() {
                f.not_before = *not_before;
                *pause = true;
            }
        }
        EventKind::ReviewGiven { verdict, remark: _ } => {
            if let (ActorKind::Attempt, Some(n)) = (event.actor.kind, event.attempt_number) {
                let (said, again) = match verdict {
                    ReviewVerdict::Approve => (Verdict::Done, 0),
                    ReviewVerdict::Reject => (Verdict::Pending, 1),
                };
                attempt(f, n, &|a| a.verdict = Some(said));
                f.rounds = f.rounds.saturating_add(again);
            }
        }
        EventKind::TaskEdited { changed: _, not_before: Some(at) } => {
            f.not_before = *at;
            *pause = event.actor.kind == ActorKind::Board;
        }
        EventKind::TaskEdited { .. }
        | EventKind::ProjectCreated { .. }
        | EventKind::SettingsChanged { .. }
        | EventKind::TaskCreated { .. }
        | EventKind::TaskSnapshot(_)
        | EventKind::OutputAdded { .. }
        | EventKind::CommentAdded { .. }
        | EventKind::SessionStarted { .. }
        | EventKind::SessionEnded { .. }
        | EventKind::AgentPaused { .. }
        | EventKind::AgentResumed
        | EventKind::UserCreated { .. }
        | EventKind::UserChanged { .. }
        | EventKind::TokenCreated { .. }
        | EventKind::TokenRevoked { .. }
        | EventKind::Idle { .. }
        | EventKind::BackupMade { .. }
        | EventKind::ConfigReloaded { .. }
        | EventKind::ConfigRefused { .. }
        | EventKind::Notice { .. }
        | EventKind::Other { .. } => {}
    }
}
