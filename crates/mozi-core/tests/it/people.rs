//! Users, and what their tokens are worth.

use mozi_core::{
    Command, EventKind, Identity, Reply, Timestamp, User, UserRole,
    command::{Credential, NewUser, SettingChange, UserPatch},
    token::Holder,
};

use crate::fixture::{Who, World, hash, project, secs};

fn user(name: &str, role: UserRole) -> NewUser {
    NewUser { name: name.into(), role, project: None, expires_at: None }
}

fn add(w: &mut World, new: NewUser) -> User {
    let Reply::User { user, created: true } = w.ok(Who::Admin, Command::CreateUser(new)) else { panic!() };
    *user
}

fn set(name: &str, patch: UserPatch) -> Command {
    Command::SetUser { name: name.into(), patch }
}

fn token(name: &str, n: u128, user: &str, role: UserRole) -> Command {
    let holder = Holder::User { user: user.into(), role };
    Command::CreateToken { name: name.into(), hash: hash(n), holder, project: None, expires_at: None }
}

/// Role and scope of a token, if it is worth anything.
fn worth(w: &World, n: u128) -> Option<(UserRole, bool)> {
    match w.board.identify(hash(n), w.now) {
        Identity::User { role, project, .. } => Some((role, project.is_some())),
        _ => None,
    }
}

#[test]
fn users_are_for_admins_to_make() {
    let mut w = World::new();
    let ann = || Command::CreateUser(user("ann", UserRole::Operator));
    for (who, code) in [
        (Who::Operator, "forbidden"),
        (Who::Viewer, "forbidden"),
        (Who::Stranger, "forbidden"),
        (Who::Runner, "forbidden"),
        (Who::Nobody, "unauthenticated"),
    ] {
        assert_eq!(w.refused(who, ann()), code);
        assert_eq!(w.refused(who, set("operator", UserPatch::default())), code);
    }
    w.ok(Who::Admin, ann());
    let told = w.board.events.last().unwrap();
    assert!(
        matches!(&told.kind, EventKind::UserCreated { name, role: UserRole::Operator, .. } if name == "ann")
    );
    assert_eq!((told.project.as_ref(), told.actor.id.as_deref()), (None, Some("admin")));
    // The same again is answered, also under another case; another one is refused.
    let again = Command::CreateUser(user("ANN", UserRole::Operator));
    let Reply::User { user: there, created: false } = w.ok(Who::Admin, again) else { panic!() };
    assert_eq!(there.name, "ann");
    assert_eq!(w.refused(Who::Admin, Command::CreateUser(user("ann", UserRole::Admin))), "duplicate_id");
    for name in ["", "-x", "a b", "a/b", "a\n", "..", &"x".repeat(101)] {
        assert_eq!(w.refused(Who::Admin, Command::CreateUser(user(name, UserRole::Admin))), "invalid_body");
    }
    for name in ["张伟", "ann@example.org", "o_neil-2"] {
        add(&mut w, user(name, UserRole::Viewer));
    }
    let nowhere = NewUser { project: Some("nowhere".parse().unwrap()), ..user("bob", UserRole::Viewer) };
    assert_eq!(w.refused(Who::Admin, Command::CreateUser(nowhere)), "invalid_body");
    let past = NewUser { expires_at: Some(w.now), ..user("bob", UserRole::Viewer) };
    assert_eq!(w.refused(Who::Admin, Command::CreateUser(past)), "invalid_body");
    assert_eq!(w.refused(Who::Admin, set("bob", UserPatch::default())), "not_found");
}

#[test]
fn a_token_never_may_more_than_its_user() {
    let mut w = World::new();
    add(&mut w, user("ann", UserRole::Operator));
    assert_eq!(w.refused(Who::Admin, token("a", 500, "ann", UserRole::Admin)), "invalid_body");
    assert_eq!(w.refused(Who::Admin, token("a", 500, "nobody", UserRole::Viewer)), "not_found");
    assert_eq!(w.refused(Who::Admin, token("socket", 500, "ann", UserRole::Viewer)), "invalid_body");
    w.ok(Who::Admin, token("a", 500, "Ann", UserRole::Operator));
    w.ok(Who::Admin, token("b", 501, "ann", UserRole::Viewer));
    assert_eq!(
        (worth(&w, 500), worth(&w, 501)),
        (Some((UserRole::Operator, false)), Some((UserRole::Viewer, false)))
    );
    // What the user loses, all their tokens lose; what they win, a token has only as far as it says.
    w.ok(Who::Admin, set("ann", UserPatch { role: Some(UserRole::Viewer), ..UserPatch::default() }));
    assert_eq!(worth(&w, 500), Some((UserRole::Viewer, false)));
    let edit = || Command::SetProject {
        id: project(),
        name: None,
        settings: vec![SettingChange::MaxAttempts(7)],
        archived: None,
    };
    assert_eq!(w.refused(Who::Attempt(500), edit()), "forbidden");
    w.ok(Who::Admin, set("ann", UserPatch { role: Some(UserRole::Admin), ..UserPatch::default() }));
    assert_eq!(worth(&w, 500), Some((UserRole::Operator, false)));
    assert_eq!(worth(&w, 501), Some((UserRole::Viewer, false)));
    // Scope.
    w.ok(Who::Admin, set("ann", UserPatch { project: Some(Some(project())), ..UserPatch::default() }));
    assert_eq!(worth(&w, 500), Some((UserRole::Operator, true)));
    let elsewhere = Command::CreateToken {
        name: "c".into(),
        hash: hash(502),
        holder: Holder::User { user: "ann".into(), role: UserRole::Viewer },
        project: Some("nowhere".parse().unwrap()),
        expires_at: None,
    };
    assert_eq!(w.refused(Who::Admin, elsewhere), "invalid_body");
    // Disabled, enabled again, at an end.
    let switch = |off| set("ann", UserPatch { disabled: Some(off), ..UserPatch::default() });
    w.ok(Who::Admin, switch(true));
    assert_eq!((worth(&w, 500), worth(&w, 501)), (None, None));
    assert_eq!(w.refused(Who::Attempt(500), edit()), "unauthenticated");
    let events = w.board.events.len();
    w.ok(Who::Admin, switch(true));
    assert_eq!(w.board.events.len(), events, "no news");
    w.ok(Who::Admin, switch(false));
    assert!(worth(&w, 500).is_some());
    let end = w.now.plus(secs(60));
    w.ok(Who::Admin, set("ann", UserPatch { expires_at: Some(Some(end)), ..UserPatch::default() }));
    w.later(secs(60));
    assert_eq!(worth(&w, 500), None);
    w.ok(Who::Admin, set("ann", UserPatch { expires_at: Some(None), ..UserPatch::default() }));
    assert!(worth(&w, 500).is_some());
}

#[test]
fn scopes_that_share_nothing_leave_nothing() {
    let mut w = World::new();
    let other = Command::CreateProject { id: "other".parse().unwrap(), name: None, settings: vec![] };
    w.ok(Who::Admin, other);
    add(&mut w, NewUser { project: Some(project()), ..user("ann", UserRole::Operator) });
    let made = Command::CreateToken {
        name: "a".into(),
        hash: hash(500),
        holder: Holder::User { user: "ann".into(), role: UserRole::Operator },
        project: Some(project()),
        expires_at: None,
    };
    w.ok(Who::Admin, made);
    assert_eq!(worth(&w, 500), Some((UserRole::Operator, true)));
    let moved = Some(Some("other".parse().unwrap()));
    w.ok(Who::Admin, set("ann", UserPatch { project: moved, ..UserPatch::default() }));
    assert_eq!(worth(&w, 500), None);
}

#[test]
fn nobody_takes_their_own_rights_away() {
    let mut w = World::new();
    for patch in [
        UserPatch { role: Some(UserRole::Operator), ..UserPatch::default() },
        UserPatch { disabled: Some(true), ..UserPatch::default() },
        UserPatch { project: Some(Some(project())), ..UserPatch::default() },
    ] {
        assert_eq!(w.refused(Who::Admin, set("ADMIN", patch)), "forbidden");
    }
    add(&mut w, user("ann", UserRole::Admin));
    w.ok(Who::Admin, token("a", 500, "ann", UserRole::Admin));
    w.ok(Who::Attempt(500), set("admin", UserPatch { disabled: Some(true), ..UserPatch::default() }));
    assert_eq!(w.refused(Who::Admin, set("ann", UserPatch::default())), "unauthenticated");
}

#[test]
fn whoever_owns_the_files_is_an_admin_by_name() {
    let mut w = World::new();
    let request = mozi_core::Request {
        credential: Credential::Owner("mo".into()),
        via: Some("cli".into()),
        now: Timestamp::from_micros(w.now.as_micros() + 1),
        seed: 0,
        command: Command::CreateUser(user("ann", UserRole::Viewer)),
    };
    w.board.submit(&request).unwrap();
    let actor = &w.board.events.last().unwrap().actor;
    assert_eq!(
        (actor.id.as_deref(), actor.name.as_deref(), actor.via.as_deref()),
        (Some("mo"), Some("socket"), Some("cli"))
    );
}
