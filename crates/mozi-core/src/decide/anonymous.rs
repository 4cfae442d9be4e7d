//! Callbacks without a token, where the board takes them: whoever names the agent at work at a task acts as its attempt.

use super::Desk;
use crate::{
    agent::Agent,
    attempt::{Attempt, Role},
    command::Command,
    refusal::Refusal,
    token::Identity,
};

/// Whether somebody who calls himself `claimed` is this agent: its id or one of its aliases.
pub fn is_named(attempt: &Attempt, agent: Option<&Agent>, claimed: &str) -> bool {
    let claimed = claimed.trim();
    claimed.eq_ignore_ascii_case(attempt.agent.as_str())
        || agent.is_some_and(|a| a.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(claimed)))
}

/// Whether an attempt may be acted as without a token: an executor that has the task in its hands. Who reviews has
/// the word over somebody's work, and shows its token.
pub fn may_act(attempt: &Attempt) -> bool {
    attempt.is_open() && attempt.revoked_at.is_none() && attempt.role == Role::Executor
}

/// Whoever asks without a token is the attempt at work at the task that is named, under its agent's name, or nobody.
pub(super) fn admit(d: &mut Desk<'_>) -> Result<(), Refusal> {
    let mut command = &d.request.command;
    while let Command::IfVersion { command: inner, .. } = command {
        command = inner;
    }
    let (key, claimed) = if let Command::Report(r) = command {
        (&r.key, r.claimed_agent.as_ref())
    } else if let Command::AddOutput(o) = command {
        (&o.key, o.claimed_agent.as_ref())
    } else if let Command::AddComment { key, author, body: _ } = command {
        (key, author.as_ref())
    } else {
        return Err(Refusal::Unauthenticated);
    };
    let found = d
        .open_attempt(key)
        .filter(|a| may_act(a))
        .filter(|a| claimed.is_some_and(|claimed| is_named(a, d.state.agents.get(&a.agent), claimed)));
    let attempt = found.ok_or(Refusal::Unauthenticated)?;
    d.state.identity = Identity::Attempt {
        key: attempt.key.clone(),
        number: attempt.number,
        role: attempt.role,
        agent: attempt.agent.clone(),
        session: attempt.session_id.to_string(),
    };
    Ok(())
}
