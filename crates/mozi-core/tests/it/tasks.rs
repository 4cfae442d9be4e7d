//! Tasks, projects and tokens: made, changed, refused.

use mozi_core::{
    Command, EventKind, Reply, Status, Timestamp, UserRole,
    command::{ConfigRead, NewTask, SettingChange},
    project::Review,
    token::Holder,
};

use crate::fixture::{Who, World, agent, key, project, secs};

fn create(new: NewTask) -> Command {
    Command::CreateTask(Box::new(new))
}

#[test]
fn the_same_task_again_is_answered_another_one_is_refused() {
    let mut w = World::new();
    w.add("t");
    let before = w.board.clone();
    let Reply::Task { created: false, .. } = w.ok(Who::Operator, create(World::new_task("t"))) else {
        panic!()
    };
    assert!(w.board == before);
    let other = NewTask { fingerprint: "other".into(), ..World::new_task("t") };
    assert_eq!(w.refused(Who::Operator, create(other)), "duplicate_id");
}

#[test]
fn a_task_that_nobody_will_start_is_a_warning() {
    let mut w = World::new();
    let warnings = |w: &mut World, id: &str, agent: Option<&str>| {
        let mut new = World::new_task(id);
        new.spec.agent = agent.map(|a| a.parse().unwrap());
        let Reply::Task { warnings, .. } = w.ok(Who::Operator, create(new)) else { panic!() };
        warnings.len()
    };
    assert_eq!(warnings(&mut w, "a", None), 0);
    assert_eq!(warnings(&mut w, "b", Some("stranger")), 1);
    w.set(SettingChange::DefaultAgent(None));
    assert_eq!(warnings(&mut w, "c", None), 1);
    assert_eq!(warnings(&mut w, "d", Some("critic")), 0);
}

type Spoil = fn(&mut NewTask, &str);

#[test]
fn limits_name_the_field() {
    let mut w = World::new();
    let long = "x".repeat(600_000);
    let cases: [(&str, Spoil); 8] = [
        ("title", |n, _| n.spec.title = " ".into()),
        ("title", |n, l| n.spec.title = l.chars().take(501).collect()),
        ("title", |n, _| n.spec.title = "two\nlines".into()),
        ("description", |n, l| n.spec.description = Some(l.into())),
        ("description", |n, _| n.spec.description = Some("a\0b".into())),
        ("max_attempts", |n, _| n.spec.max_attempts = Some(0)),
        ("metadata", |n, l| n.spec.metadata = serde_json::json!({ "x": l })),
        ("metadata", |n, _| n.spec.metadata = serde_json::json!([])),
    ];
    for (field, spoil) in cases {
        let mut new = World::new_task("x");
        spoil(&mut new, &long);
        match w.ask(Who::Operator, create(new)) {
            Err(mozi_core::Refusal::Invalid { field: f, .. }) => assert_eq!(f, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn text_changes_at_any_time_the_agent_only_between_attempts() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    let version = w.task("t").version;
    w.edit("t", |p| {
        p.title = Some("Better".into());
        p.priority = Some(1);
        p.timeout = Some(Some(secs(5)));
    });
    assert_eq!((w.task("t").spec.title.as_str(), w.task("t").version), ("Better", version + 1));
    assert_eq!(w.board.attempts[&(key("t"), 1)].timeout_ms, Some(7_200_000), "for the next attempt");
    let EventKind::TaskEdited { changed, .. } = &w.board.events.last().unwrap().kind else { panic!() };
    assert_eq!(changed, &["title", "priority", "timeout_seconds"]);
    let patch = mozi_core::command::TaskPatch { agent: Some(Some(agent("critic"))), ..Default::default() };
    let change = Command::EditTask { key: key("t"), patch: Box::new(patch) };
    assert_eq!(w.refused(Who::Operator, change.clone()), "session_active");
    w.end(&c, |_| ());
    w.ok(Who::Operator, change.clone());
    let before = w.board.clone();
    w.ok(Who::Operator, change.clone());
    assert!(w.board == before, "no change, no event");
    assert_eq!(w.refused(Who::Viewer, change.clone()), "forbidden");
    assert_eq!(w.refused(Who::Stranger, change), "not_found");
}

#[test]
fn a_time_is_set_only_where_it_means_something() {
    let mut w = World::new();
    w.add("t");
    let at = |w: &World| mozi_core::command::TaskPatch {
        not_before: Some(Some(w.now.plus(secs(60)))),
        ..Default::default()
    };
    let set = |w: &World| Command::EditTask { key: key("t"), patch: Box::new(at(w)) };
    w.ok(Who::Operator, set(&w));
    assert!(w.claim_many(1).is_empty());
    w.later(secs(60));
    w.work("t");
    w.ok(Who::Operator, set(&w));
    w.decide("t", Status::Done);
    w.later(secs(1));
    assert_eq!(w.refused(Who::Operator, set(&w)), "invalid_body");
}

#[test]
fn projects_count_their_tasks_by_status() {
    let mut w = World::new();
    w.add("a");
    w.add("b");
    w.add_with("c", |n| n.held = true);
    w.finish("a");
    let counts = w.project().counts;
    assert_eq!(
        Status::ALL.iter().map(|s| counts.get(*s)).collect::<Vec<_>>(),
        [1, 0, 0, 1, 0, 0, 1, 0],
        "pending, review, blocked"
    );
    assert_eq!(counts.open(), 3);
}

#[test]
fn settings_are_told_when_they_change() {
    let mut w = World::new();
    let version = w.project().version;
    w.set(SettingChange::MaxAttempts(7));
    assert_eq!(w.project().version, version + 1);
    let EventKind::SettingsChanged { changed } = &w.board.events.last().unwrap().kind else { panic!() };
    assert_eq!(serde_json::Value::from(changed.clone()), serde_json::json!({ "max_attempts": 7 }));
    let before = w.board.clone();
    w.set(SettingChange::MaxAttempts(7));
    assert!(w.board == before);
    let all = |settings| Command::SetProject { id: project(), name: None, settings, archived: None };
    for bad in [SettingChange::MaxAttempts(0), SettingChange::BackoffInitial(secs(600))] {
        assert_eq!(w.refused(Who::Operator, all(vec![bad])), "invalid_body");
    }
    w.ok(
        Who::Operator,
        all(vec![SettingChange::BackoffInitial(secs(600)), SettingChange::BackoffMax(secs(900))]),
    );
    assert_eq!(w.refused(Who::Viewer, all(vec![SettingChange::Review(Review::None)])), "forbidden");
    assert_eq!(w.refused(Who::Stranger, all(vec![])), "not_found");
    let new = |settings| Command::CreateProject { id: "new".parse().unwrap(), name: None, settings };
    assert_eq!(w.refused(Who::Operator, new(vec![SettingChange::BackoffInitial(secs(600))])), "invalid_body");
    w.ok(Who::Operator, new(vec![]));
    let Reply::Project { created: false, .. } = w.ok(Who::Operator, new(vec![])) else { panic!() };
    assert_eq!(w.refused(Who::Operator, new(vec![SettingChange::MaxAttempts(9)])), "duplicate_id");
    assert_eq!(w.refused(Who::Stranger, new(vec![])), "forbidden", "its token is for one project only");
}

#[test]
fn tokens_are_for_admins_to_make_and_end_when_they_should() {
    let mut w = World::new();
    let token = |at: Option<Timestamp>| Command::CreateToken {
        name: "ci".into(),
        hash: crate::fixture::hash(500),
        holder: Holder::User { user: "operator".into(), role: UserRole::Operator },
        project: None,
        expires_at: at,
    };
    assert_eq!(w.refused(Who::Operator, token(None)), "forbidden");
    let now = w.now;
    assert_eq!(w.refused(Who::Admin, token(Some(now))), "invalid_body");
    w.ok(Who::Admin, token(Some(now.plus(secs(60)))));
    assert_eq!(w.refused(Who::Admin, token(None)), "duplicate_id");
    w.ok(Who::Attempt(500), create(World::new_task("x")));
    w.later(secs(60));
    assert_eq!(w.refused(Who::Attempt(500), create(World::new_task("y"))), "unauthenticated");
    w.ok(Who::Admin, Command::RevokeToken { name: "Viewer".into() });
    assert_eq!(w.refused(Who::Viewer, create(World::new_task("y"))), "unauthenticated");
    assert_eq!(w.refused(Who::Admin, Command::RevokeToken { name: "nobody".into() }), "not_found");
}

#[test]
fn that_the_configuration_was_read_is_told_by_whom_may_steer() {
    let mut w = World::new();
    let refused = || Command::ConfigRead(ConfigRead::Refused { text: "mozi.toml:1:1: unknown key".into() });
    for (who, code) in [(Who::Operator, "forbidden"), (Who::Nobody, "unauthenticated")] {
        assert_eq!(w.refused(who, refused()), code);
    }
    w.ok(Who::Board, refused());
    let kinds = |w: &World| w.board.events.iter().map(|e| e.kind.clone()).collect::<Vec<_>>();
    assert!(kinds(&w).iter().any(|k| k.name() == "config_refused"));
    let needs_restart = vec!["server.listen".to_owned()];
    let (added, removed, changed) = (vec!["agents.b".to_owned()], Vec::new(), Vec::new());
    w.ok(Who::Admin, Command::ConfigRead(ConfigRead::Taken { added, removed, changed, needs_restart }));
    let told = kinds(&w).into_iter().find(|k| k.name() == "config_reloaded").unwrap();
    assert_eq!(told.detail()["needs_restart"][0], "server.listen");
    assert_eq!(EventKind::parse(&told.name(), told.detail()), told);
}

#[test]
fn notices_are_written_by_mozi_alone() {
    let mut w = World::new();
    w.add("t");
    let notice = || Command::Notice {
        key: Some(key("t")),
        attempt_number: None,
        agent: None,
        code: "outbox_refused".into(),
        text: "a late report was refused".into(),
        more: serde_json::Map::new(),
    };
    for (who, code) in [(Who::Admin, "forbidden"), (Who::Nobody, "unauthenticated")] {
        assert_eq!(w.refused(who, notice()), code);
    }
    w.ok(Who::Runner, notice());
    assert_eq!(w.history("t"), ["task_created", "outbox_refused"]);
}

#[test]
fn a_command_counts_for_the_version_that_was_seen() {
    let mut w = World::new();
    w.add("t");
    let seen = w.task("t").version;
    let patch = mozi_core::command::TaskPatch { title: Some("Better".into()), ..Default::default() };
    let edit = Command::EditTask { key: key("t"), patch: Box::new(patch) };
    let only = |versions: &[u64], command: &Command| Command::IfVersion {
        versions: versions.to_vec(),
        command: Box::new(command.clone()),
    };
    let before = w.board.clone();
    assert_eq!(w.refused(Who::Operator, only(&[seen + 1], &edit)), "version_mismatch");
    // Whoever may not know of it learns nothing of its version.
    assert_eq!(w.refused(Who::Stranger, only(&[seen + 1], &edit)), "not_found");
    assert_eq!(w.refused(Who::Viewer, only(&[seen + 1], &edit)), "forbidden");
    assert_eq!(w.refused(Who::Nobody, only(&[seen + 1], &edit)), "unauthenticated");
    assert!(w.board == before);
    w.ok(Who::Operator, only(&[seen + 1, seen], &edit));
    assert_eq!(w.refused(Who::Operator, only(&[seen], &edit)), "version_mismatch");
    // A decision, too; and an output changes the version like any edit.
    let c = w.claim("t");
    w.deliver(&c);
    let seen = w.task("t").version;
    w.deliver(&c);
    let hold = World::say("t", Status::Blocked, Some("wait"));
    assert_eq!(w.refused(Who::Operator, only(&[seen], &hold)), "version_mismatch");
    w.ok(Who::Operator, only(&[seen + 1], &hold));
    let name =
        Command::SetProject { id: project(), name: Some(None), settings: Vec::new(), archived: Some(true) };
    assert_eq!(w.refused(Who::Operator, only(&[99], &name)), "version_mismatch");
    w.ok(Who::Operator, only(&[1], &name));
}
