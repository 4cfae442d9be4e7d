//! Credentials of people and runners.

use super::{About, Desk, users};
use crate::{
    change::{Change, Reply},
    event::EventKind,
    id::ProjectId,
    limits,
    refusal::Refusal,
    time::Timestamp,
    token::{Holder, Identity, SOCKET, Token, TokenHash},
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
    if name == SOCKET {
        return Err(Refusal::invalid("name", "is what events call the local socket: take another one"));
    }
    if d.state.token.as_ref().is_some_and(|t| t.revoked_at.is_none()) {
        return Err(Refusal::DuplicateId { what: format!("token {name}") });
    }
    users::ahead(d, expires_at)?;
    users::known(d, project)?;
    let holder = holder_of(d, holder, project)?;
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
    let (role, user) = match holder {
        Holder::User { role, user } => (role.as_str(), Some(user)),
        Holder::Runner(_) => ("runner", None),
    };
    let actor = d.actor();
    d.emit(
        About::default(),
        actor,
        EventKind::TokenCreated {
            name: name.to_owned(),
            role: role.to_owned(),
            user,
            project: project.cloned(),
            expires_at,
        },
    );
    Ok(Reply::Token(Box::new(token)))
}

/// Whose it becomes. Nobody gets a token that says more than they may; the board itself makes its first user so.
fn holder_of(d: &mut Desk<'_>, holder: &Holder, project: Option<&ProjectId>) -> Result<Holder, Refusal> {
    let Holder::User { user: name, role } = holder else { return Ok(holder.clone()) };
    let user = match d.state.user.clone() {
        Some(user) => user,
        None if d.state.identity == Identity::Board => users::insert(d, name, *role, None, None),
        None => return Err(Refusal::not_found(format!("user {name}"))),
    };
    if *role > user.role {
        return Err(Refusal::invalid(
            "role",
            format!("must not be more than {} may: {}", user.name, user.role),
        ));
    }
    if let (Some(own), Some(asked)) = (&user.project, project)
        && own != asked
    {
        return Err(Refusal::invalid(
            "project_id",
            format!("must be {own}: {} may see no other project", user.name),
        ));
    }
    Ok(Holder::User { user: user.name, role: *role })
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
