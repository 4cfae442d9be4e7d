//! People.

use serde_json::{Map, Value};

use super::{About, Desk};
use crate::{
    change::{Change, Reply},
    command::{NewUser, UserPatch},
    event::EventKind,
    id::ProjectId,
    refusal::Refusal,
    time::Timestamp,
    token::{Identity, UserRole},
    user::{self, User},
};

pub(super) fn create(d: &mut Desk<'_>, new: &NewUser) -> Result<Reply, Refusal> {
    d.admin()?;
    if !user::is_name(&new.name) {
        return Err(Refusal::invalid(
            "name",
            format!(
                "begins with a letter or digit and goes on with letters, digits, '.', '_', '-', '@' or '+', at most {} characters",
                user::NAME_CHARS
            ),
        ));
    }
    if let Some(there) = d.state.user.clone() {
        let same = (there.role, &there.project, there.expires_at) == (new.role, &new.project, new.expires_at);
        return if same {
            Ok(Reply::User { user: Box::new(there), created: false })
        } else {
            Err(Refusal::DuplicateId { what: format!("user {}", there.name) })
        };
    }
    known(d, new.project.as_ref())?;
    ahead(d, new.expires_at)?;
    let made = insert(d, &new.name, new.role, new.project.clone(), new.expires_at);
    Ok(Reply::User { user: Box::new(made), created: true })
}

/// Writes a new user and says so.
pub(super) fn insert(
    d: &mut Desk<'_>,
    name: &str,
    role: UserRole,
    project: Option<ProjectId>,
    expires_at: Option<Timestamp>,
) -> User {
    let made = User {
        name: name.to_owned(),
        role,
        project: project.clone(),
        created_at: d.now,
        expires_at,
        disabled_at: None,
    };
    d.write(Change::PutUser(Box::new(made.clone())));
    d.state.user = Some(made.clone());
    let actor = d.actor();
    d.emit(
        About::default(),
        actor,
        EventKind::UserCreated { name: name.to_owned(), role, project, expires_at },
    );
    made
}

pub(super) fn set(d: &mut Desk<'_>, name: &str, patch: &UserPatch) -> Result<Reply, Refusal> {
    d.admin()?;
    let Some(before) = d.state.user.clone() else {
        return Err(Refusal::not_found(format!("user {name}")));
    };
    let mut after = before.clone();
    let mut changed = Map::new();
    if let Some(role) = patch.role.filter(|r| *r != before.role) {
        after.role = role;
        changed.insert("role".into(), role.as_str().into());
    }
    if let Some(project) = patch.project.as_ref().filter(|p| **p != before.project) {
        known(d, project.as_ref())?;
        after.project.clone_from(project);
        changed.insert("project_id".into(), project.as_ref().map(ProjectId::as_str).into());
    }
    if let Some(expires_at) = patch.expires_at.filter(|at| *at != before.expires_at) {
        ahead(d, expires_at)?;
        after.expires_at = expires_at;
        changed.insert("expires_at_us".into(), expires_at.map(Timestamp::as_micros).into());
    }
    if let Some(disabled) = patch.disabled.filter(|off| *off != before.disabled_at.is_some()) {
        after.disabled_at = disabled.then_some(d.now);
        changed.insert("disabled".into(), Value::Bool(disabled));
    }
    if changed.is_empty() {
        return Ok(Reply::User { user: Box::new(before), created: false });
    }
    // Somebody is always left who may undo it.
    let own = matches!(&d.state.identity, Identity::User { user: me, .. } if user::same(me, &before.name));
    let weaker = after.role < UserRole::Admin || after.project.is_some() || after.disabled_at.is_some();
    if own && weaker {
        return Err(Refusal::Forbidden {
            why: "nobody takes their own rights away: let another admin do it".into(),
        });
    }
    d.write(Change::PutUser(Box::new(after.clone())));
    d.state.user = Some(after.clone());
    let actor = d.actor();
    let name = after.name.clone();
    d.emit(About::default(), actor, EventKind::UserChanged { name, changed });
    Ok(Reply::User { user: Box::new(after), created: false })
}

/// A scope must be there; what the board itself makes may come before its project.
pub(super) fn known(d: &Desk<'_>, project: Option<&ProjectId>) -> Result<(), Refusal> {
    match project {
        Some(id) if d.state.identity != Identity::Board && !d.state.projects.contains_key(id) => {
            Err(Refusal::invalid("project_id", format!("names no project: there is no {id}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn ahead(d: &Desk<'_>, expires_at: Option<Timestamp>) -> Result<(), Refusal> {
    match expires_at {
        Some(at) if at <= d.now => Err(Refusal::invalid("expires_at", "is in the past")),
        _ => Ok(()),
    }
}
