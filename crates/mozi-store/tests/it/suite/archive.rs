//! A whole project out of one board and into another.

use mozi_core::{
    Actor, ActorKind, AttemptNumber, Command, EventKind, Outcome, Project, Refusal, Reply, Status, TaskKey,
    TaskSpec, Until,
    archive::{IMPORTED_LIVE, Staged},
    command::SettingChange,
    output::Content,
    project::Review,
};
use mozi_store::{
    BadArchive, Staging, SubmitError,
    archive::{By, TABLES},
};

use crate::support::{
    Disk, after, board, by, claim, comment, create, hash, hello, id, key, output, page, person, person_token,
    project, report, task,
};
use mozi_core::command::Credential;

type Lines = Vec<(&'static str, String)>;

fn lines(disk: &Disk, of: &str) -> Lines {
    let mut all = Vec::new();
    disk.store
        .export(&id(of), |table, line| {
            all.push((table.name, String::from_utf8(line.to_vec()).unwrap()));
            Ok(())
        })
        .unwrap();
    all
}

fn who() -> By {
    let actor = Actor {
        kind: ActorKind::User,
        id: Some("admin".into()),
        name: Some("first".into()),
        via: Some("http".into()),
    };
    By { actor, now: after(9_000), chance: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef }
}

fn stage(disk: &Disk, name: &str, to: &str, lines: &Lines) -> Result<Staged, BadArchive> {
    let path = disk.folder.path().join(name);
    let mut staging = Staging::create(&path, id(to))?;
    for (table, line) in lines {
        let table = TABLES.iter().find(|t| t.name == *table).unwrap();
        staging.row(table, line.trim_end().as_bytes())?;
    }
    disk.store.staged(staging, "elsewhere".into(), &who())
}

fn adopt(disk: &Disk, staged: Staged) -> Result<Box<Project>, Refusal> {
    match disk.answer(person(after(9_001), Command::AdoptProject(Box::new(staged))), None) {
        Ok(answer) => match answer.reply {
            Reply::Project { project, .. } => Ok(project),
            other => panic!("{other:?}"),
        },
        Err(SubmitError::Refused(refusal)) => Err(refusal),
        Err(e) => panic!("{e}"),
    }
}

/// A board on which much has happened: finished, sent back, retried, held, at work.
fn busy() -> Disk {
    let disk = Disk::new();
    disk.done(person_token());
    disk.done(board(
        after(1),
        project("app", vec![SettingChange::DefaultAgent(Some(id("coder"))), SettingChange::MaxAttempts(7)]),
    ));
    disk.done(board(after(1), hello(&["coder", "critic"], 8)));
    let mut spec = TaskSpec::titled("标题 with \"quotes\" and more");
    spec.description = Some("几行文字\n".repeat(3));
    spec.must_haves = vec!["测试通过".into()];
    spec.metadata = serde_json::json!({ "nested": { "a": [1, 2.5, null] } });
    spec.labels.insert("area".into(), "web".into());
    spec.review = Some(Review::Human);
    disk.done(person(after(2), create("first", spec)));
    for name in ["second", "third", "fourth", "fifth"] {
        disk.done(person(after(2), create(name, TaskSpec::titled(name))));
    }
    let mut waits = task("waits", TaskSpec::titled("waits"));
    waits.depends_on = vec![(id("first"), Until::Done), (id("second"), Until::Ended)];
    disk.done(person(after(3), Command::CreateTask(Box::new(waits))));
    disk.done(board(after(4), claim(&["coder"], 1..=4)));
    let agent = |n: u8, at: u64, c: Command| disk.done(by(Credential::Token(hash(n)), after(at), c));
    agent(1, 5, report(key("first"), Status::Working, None));
    agent(1, 6, output(key("first"), Content::Inline("完成\n".into())));
    agent(1, 6, output(key("first"), Content::Inline(vec![0xff, 0, 1])));
    agent(1, 6, output(key("first"), Content::Blob));
    agent(1, 6, comment(key("first"), "看一下"));
    agent(1, 7, report(key("first"), Status::Review, Some("done")));
    disk.done(person(after(8), report(key("first"), Status::Pending, Some("not yet"))));
    agent(2, 9, report(key("second"), Status::Failed, Some("no")));
    agent(3, 9, report(key("third"), Status::Working, None));
    disk.done(person(after(10), report(key("fifth"), Status::Blocked, Some("wait"))));
    disk
}

#[test]
fn a_project_comes_out_as_it_went_in() {
    let from = busy();
    let out = lines(&from, "app");
    let hash_text = "\"token_hash\"";
    assert!(out.iter().all(|(_, l)| !l.contains(hash_text) && !l.contains("boot")), "no secret, no machine");
    let to = Disk::new();
    to.done(person_token());
    let staged = stage(&to, "staged", "copy", &out).unwrap();
    // Working, claimed, and one that was sent back before its agent had ended.
    assert_eq!(staged.were_live, 3);
    assert!(
        to.ask(to.store.project(&id("copy"))).unwrap().is_none(),
        "nothing is there before it is taken in"
    );
    let project = adopt(&to, staged).unwrap();
    to.check();
    assert_eq!(project.settings.max_attempts, 7);
    // Their ids, numbers, statuses, times and texts.
    let at = |disk: &Disk, project: &str, task: &str| {
        disk.ask(page(&disk.store, &TaskKey::new(id(project), id(task))))
    };
    for name in ["first", "second", "fifth", "waits"] {
        let (then, now) = (at(&from, "app", name), at(&to, "copy", name));
        assert_eq!(now.view.task.spec, then.view.task.spec, "{name}");
        assert_eq!(now.view.task.created_at, then.view.task.created_at);
        let waits = |p: &mozi_store::TaskPage| {
            p.view.dependencies.iter().map(|d| (d.on.clone(), d.until)).collect::<Vec<_>>()
        };
        assert_eq!(waits(&now), waits(&then));
        assert_eq!(now.outputs.len(), then.outputs.len());
        let bodies = |p: &mozi_store::TaskPage| p.comments.iter().map(|c| c.body.clone()).collect::<Vec<_>>();
        assert_eq!(bodies(&now), bodies(&then));
    }
    let content = |disk: &Disk, project: &str, n: u32| {
        let output =
            disk.ask(disk.store.output(&TaskKey::new(id(project), id("first")), n)).unwrap().unwrap();
        (output.content, output.sha256, output.created_at)
    };
    for n in 1..=3 {
        assert_eq!(content(&to, "copy", n), content(&from, "app", n));
    }
    // What lived is blocked, its attempt lost, and that is told.
    let third = at(&to, "copy", "third");
    assert_eq!(third.view.task.state.status, Status::Blocked);
    assert_eq!(third.view.task.state.kind.as_deref(), Some(IMPORTED_LIVE));
    let attempt: &mozi_core::Attempt = &third.attempts.last().unwrap().attempt;
    assert_eq!((attempt.number, attempt.outcome), (1 as AttemptNumber, Some(Outcome::Lost)));
    assert!(matches!(third.events.last().unwrap().kind, EventKind::TaskSnapshot(_)));
    // History keeps its ids and is none of this board's order.
    let old = from.ask(from.store.events(Some(&id("app")), 0, 500)).unwrap().events;
    let new = to.ask(to.store.events(Some(&id("copy")), 0, 500)).unwrap().events;
    for (old, new) in old.iter().zip(&new) {
        assert_eq!((old.id, &old.kind, &old.actor, old.at), (new.id, &new.kind, &new.actor, new.at));
    }
    let told: Vec<_> = to.ask(to.store.all_events(0, 500)).unwrap().into_iter().map(|(_, e)| e).collect();
    assert_eq!(told.len(), 3, "a user, a token and an import: {told:?}");
    assert!(matches!(&told[2].kind, EventKind::Notice { code, .. } if code == "project_imported"));
    assert_eq!(to.ask(to.store.oldest_seq()).unwrap(), 1);
    // Out again: the same but for what had to end.
    let again = lines(&to, "copy");
    let still = |all: &Lines| {
        let told = |l: &&(&str, String)| {
            !matches!(l.0, "project" | "events")
                && !["\"third\"", "\"first\"", "\"fourth\"", "\"second\""]
                    .iter()
                    .any(|t| l.0 != "outputs" && l.1.contains(t))
        };
        all.iter().filter(told).cloned().collect::<Vec<_>>()
    };
    assert_eq!(still(&again), still(&out));
    // And a third board takes that in without a word.
    let third = Disk::new();
    third.done(person_token());
    let staged = stage(&third, "staged", "app", &again).unwrap();
    assert_eq!(staged.were_live, 0);
    adopt(&third, staged).unwrap();
    third.check();
}

#[test]
fn the_same_board_takes_its_own_project_under_another_name() {
    let disk = busy();
    let out = lines(&disk, "app");
    adopt(&disk, stage(&disk, "staged", "copy", &out).unwrap()).unwrap();
    disk.check();
    let of = |project: &str| {
        disk.ask(page(&disk.store, &TaskKey::new(id(project), id("first")))).attempts[0].attempt.session_id
    };
    assert_ne!(of("app"), of("copy"), "a session is named once on a board");
    // Work goes on in both.
    disk.done(board(after(9_100), claim(&["coder"], 10..=12)));
    disk.check();
}

#[test]
fn only_where_nothing_is_yet() {
    let disk = busy();
    let out = lines(&disk, "app");
    let refused = adopt(&disk, stage(&disk, "one", "app", &out).unwrap());
    assert_eq!(refused.map(|_| ()), Err(Refusal::ProjectNotEmpty { project: "app".into() }));
    disk.check();
    // An empty project takes it, behind its own events.
    disk.done(board(after(1), project("empty", Vec::new())));
    let before = disk.ask(disk.store.project(&id("empty"))).unwrap().unwrap();
    let after_it = adopt(&disk, stage(&disk, "two", "empty", &out).unwrap()).unwrap();
    assert!(after_it.last_event > before.last_event + 20);
    assert_eq!(after_it.version, before.version + 1);
    disk.check();
    // Nobody but an admin.
    let staged = stage(&disk, "three", "other", &out).unwrap();
    let runner = by(Credential::Token(hash(2)), after(9_001), Command::AdoptProject(Box::new(staged)));
    assert!(disk.answer(runner, None).is_err());
}

#[test]
fn what_is_wrong_is_said_and_leaves_the_board_as_it_was() {
    let from = busy();
    let out = lines(&from, "app");
    let to = Disk::new();
    to.done(person_token());
    let mut n = 0;
    let mut wrong = |what: &str, said: &str, change: &dyn Fn(&mut Lines)| {
        n += 1;
        let mut lines = out.clone();
        change(&mut lines);
        match stage(&to, &format!("staged{n}"), "copy", &lines) {
            Err(BadArchive::Wrong(e)) => assert!(e.contains(said), "{what}: {e}"),
            other => panic!("{what}: {other:?}"),
        }
    };
    let first = |table: &'static str| move |lines: &Lines| lines.iter().position(|l| l.0 == table).unwrap();
    wrong("no project", "FOREIGN", &|l| l.retain(|l| l.0 != "project"));
    wrong("a gap", "gaps", &|l| {
        let at = first("events")(l) + 3;
        l.remove(at);
    });
    wrong("a status", "nonsense", &|l| {
        let at = first("tasks")(l);
        l[at].1 = l[at].1.replace("\"pending\"", "\"nonsense\"");
    });
    wrong("a field", "secret", &|l| {
        let at = first("tasks")(l);
        l[at].1 = l[at].1.replacen('{', "{\"secret\":1,", 1);
    });
    wrong("a task twice", "UNIQUE", &|l| {
        let at = first("tasks")(l);
        let line = l[at].clone();
        l.insert(at, line);
    });
    wrong("an attempt of nobody", "FOREIGN", &|l| {
        let at = first("attempts")(l);
        l[at].1 = l[at].1.replace("\"task_id\":\"", "\"task_id\":\"no");
    });
    wrong("an event of nobody", "does not hold", &|l| {
        let at = l.len() - 1;
        l[at].1 = l[at].1.replace("\"task_id\":\"", "\"task_id\":\"no");
    });
    wrong("a circle", "waits for itself", &|l| {
        let line = "{\"task_id\":\"first\",\"depends_on\":\"waits\",\"until\":\"done\"}\n";
        let at = first("attempts")(l);
        l.insert(at, ("dependencies", line.into()));
    });
    wrong("a count", "not met", &|l| {
        let at = l.iter().position(|l| l.0 == "tasks" && l.1.contains("\"waits\"")).unwrap();
        l[at].1 = l[at].1.replace("\"unmet\":1", "\"unmet\":0");
    });
    wrong("not JSON", "not JSON", &|l| l[1].1 = "{".into());
    assert!(to.ask(to.store.projects(None, 10)).unwrap().items.is_empty());
    to.check();
}
