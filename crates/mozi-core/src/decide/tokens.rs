//! Credentials of people and runners.

use super::{About, Desk};
use crate::{
    change::{Change, Reply},
    event::EventKind,
    id::ProjectId,
    limits,
    refusal::Refusal,
    time::Timestamp,
    token::{Holder, Token, TokenHash},
};

pub(super) fn create(
    d: &mut Desk<'_>,
    name: &str,
    hash: TokenHash,
    holder: &Holder,
    project: Option<&ProjectId>,
    expires_at: Option<Timestamp>,
) -> Result<Reply, Refusal> {
    d.admin()?;
    limits::line("name", name, limits::WORD_CHARS)?;
    if d.state.token.as_ref().is_some_and(|t| t.revoked_at.is_none()) {
        return Err(Refusal::DuplicateId { what: format!("token {name}") });
    }
    if expires_at.is_some_and(|at| at <= d.now) {
        return Err(Refusal::invalid("expires_at", "is in the past"));
    }
    let token = Token {
        name: name.to_owned(),
        hash,
        holder: holder.clone(),
        project: project.cloned(),
        created_at: d.now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    d.write(Change::PutToken(Box::new(token.clone())));
    let role = match holder {
        Holder::User { role, .. } => role.as_str(),
        Holder::Runner(_) => "runner",
    };
    let actor = d.actor();
    d.emit(About::default(), actor, EventKind::TokenCreated { name: name.to_owned(), role: role.to_owned() });
    Ok(Reply::Token(Box::new(token)))
}

pub(super) fn revoke(d: &mut Desk<'_>, name: &str) -> Result<Reply, Refusal> {
    d.admin()?;
    let Some(mut token) = d.state.token.clone() else {
        return Err(Refusal::not_found(format!("token {name}")));
    };
    if token.revoked_at.is_none() {
        token.revoked_at = Some(d.now);
        d.write(Change::PutToken(Box::new(token.clone())));
        let actor = d.actor();
        d.emit(About::default(), actor, EventKind::TokenRevoked { name: name.to_owned() });
    }
    Ok(Reply::Token(Box::new(token)))
}
