//! Stories of tasks, and everything that can be read of them.

use std::time::Duration;

use mozi_core::{
    Command, EventKind, Identity, Outcome, Role, SessionStatus, Status, TaskSpec, Until, Usage, UserRole,
    attempt::{Resources, Tail},
    command::{Cause, Credential, End, Reading, SettingChange, StartSession},
    output::Content,
    token::Holder,
    waiting::WaitingFor,
};
use mozi_store::Wanted;

use crate::support::{
    Disk, after, board, by, claim, comment, create, hash, hello, id, key, on_both, output, page, project,
    report, session, task,
};

fn end(n: u8, exit_code: i32) -> Command {
    let usage = |model: &str| Usage {
        model: Some(model.into()),
        input_tokens: Some(100),
        output_tokens: Some(10),
        cache_read_tokens: None,
        cache_write_tokens: None,
        cost_micro_usd: Some(1_500),
        reported: true,
    };
    Command::End(Box::new(End {
        session_id: session(n),
        cause: Cause::Itself,
        exit_code: Some(exit_code),
        signal: None,
        error: None,
        reason: None,
        reading: Reading { usage: vec![usage("large"), usage("small")], ..Reading::default() },
        resources: Some(Resources { cpu_ms: 12, max_rss_bytes: 3 << 20 }),
        tail: Some(Tail {
            stdout: "最后一行".into(),
            stderr: "oops".into(),
            stdout_bytes: 12,
            stderr_bytes: 4,
        }),
        metadata: serde_json::json!({ "killed": [] }),
        tail_sha256: None,
    }))
}

/// From `pending` to `done`, with a review by an agent.
fn whole_life() -> Disk {
    let reviewed = vec![
        SettingChange::DefaultAgent(Some(id("coder"))),
        SettingChange::Review(mozi_core::project::Review::Agent(id("critic"))),
    ];
    on_both(move |b| {
        let (coder, critic) = (Credential::Token(hash(1)), Credential::Token(hash(2)));
        let mut second = task("2", TaskSpec { parent: Some(id("1")), ..TaskSpec::titled("after it") });
        second.depends_on = vec![(id("1"), Until::Done)];
        [
            board(after(0), project("app", reviewed.clone())),
            board(after(0), hello(&["coder", "critic"], 8)),
            board(
                after(1),
                create("1", TaskSpec { description: Some("写一个程序".into()), ..TaskSpec::titled("write") }),
            ),
            board(after(2), Command::CreateTask(Box::new(second))),
            board(after(3), claim(&["coder", "critic"], [1])),
            board(
                after(4),
                Command::Started { session_id: session(1), pid: Some(77), workspace: Some("/w".into()) },
            ),
            by(coder.clone(), after(5), report(key("1"), Status::Working, None)),
            by(coder.clone(), after(5), report(key("1"), Status::Working, None)),
            by(coder.clone(), after(6), report(key("1"), Status::Review, None)),
            by(coder.clone(), after(6), output(key("1"), Content::Inline(b"fn main() {}".to_vec()))),
            by(coder.clone(), after(6), output(key("1"), Content::Blob)),
            by(coder.clone(), after(7), comment(key("1"), "看起来不错")),
            by(coder.clone(), after(8), report(key("1"), Status::Review, Some("finished"))),
            board(after(9), end(1, 0)),
            board(after(9), end(1, 0)),
            by(coder.clone(), after(9), comment(key("1"), "too late")),
            board(after(10), claim(&["coder", "critic"], [2])),
            by(critic, after(11), report(key("1"), Status::Done, Some("good"))),
            board(after(12), end(2, 0)),
            board(after(13), claim(&["coder", "critic"], [3])),
        ]
        .into_iter()
        .map(|request| b.submit(request))
        .collect()
    })
}

#[test]
fn everything_of_a_task_can_be_read() {
    let d = whole_life();
    let (s, first) = (&d.store, key("1"));
    let view = d.ask(s.task(&first, after(20))).unwrap().unwrap();
    assert_eq!(view.task.state.status, Status::Done);
    assert_eq!((view.waiting_for.len(), view.dependencies.len()), (0, 0));
    assert_eq!(view.task.spec.description.as_deref(), Some("写一个程序"));
    let second = d.ask(s.task(&key("2"), after(20))).unwrap().unwrap();
    assert_eq!(second.task.state.status, Status::Claimed);
    assert_eq!(second.dependencies.len(), 1);
    assert_eq!(second.dependencies[0].status, Status::Done);
    assert_eq!(second.open.as_ref().unwrap().session_id, session(3));
    assert!(matches!(second.waiting_for[..], [WaitingFor::Attempt { number: 1, role: Role::Executor, .. }]));
    let whole = d.ask(page(s, &first));
    assert_eq!(whole.view, view);
    let attempts: Vec<_> = whole.attempts.iter().map(|a| a.attempt.clone()).collect();
    assert_eq!(
        attempts.iter().map(|a| (a.number, a.role)).collect::<Vec<_>>(),
        [(1, Role::Executor), (2, Role::Reviewer)]
    );
    assert_eq!(attempts[0].outcome, Some(Outcome::Completed));
    assert_eq!(attempts[0].tail.as_ref().unwrap().stdout, "最后一行");
    assert_eq!(attempts[0].workspace.as_deref(), Some("/w"));
    assert_eq!(d.ask(s.attempt(&first, 2)).unwrap().as_ref(), attempts.get(1));
    assert_eq!(d.ask(s.attempt(&first, 3)).unwrap(), None);
    for one in &whole.attempts {
        let models: Vec<_> = one.usage.iter().map(|u| u.model.as_deref().unwrap()).collect();
        assert_eq!((models, one.kept), (vec!["large", "small"], true));
        assert_eq!(d.ask(s.attempt_view(&first, one.attempt.number)).unwrap().as_ref(), Some(one));
    }
    assert_eq!(d.ask(s.attempt_view(&first, 3)).unwrap(), None);
    let outputs = whole.outputs;
    assert_eq!(
        outputs.iter().map(|o| o.content.clone()).collect::<Vec<_>>(),
        [Content::Inline(Vec::new()), Content::Blob]
    );
    let output = d.ask(s.output(&first, 1)).unwrap().unwrap();
    assert_eq!(output.content, Content::Inline(b"fn main() {}".to_vec()));
    assert!(d.ask(s.blob_used(&outputs[1].sha256)).unwrap());
    assert!(!d.ask(s.blob_used(&outputs[0].sha256)).unwrap());
    assert_eq!(whole.comments.iter().map(|c| c.body.as_str()).collect::<Vec<_>>(), ["看起来不错"]);
    let material = d.ask(s.prompt_material(&key("2"))).unwrap().unwrap();
    assert_eq!(material.dependencies[0].outputs.len(), 2);
    assert_eq!(material.parent.unwrap().key, first);
    let material = d.ask(s.prompt_material(&first)).unwrap().unwrap();
    assert_eq!(material.attempts.iter().map(|a| a.number).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(material.outputs.iter().map(|o| o.id).collect::<Vec<_>>(), [2, 1]);
    assert!(material.remarks.iter().any(|e| matches!(&e.kind, EventKind::ReviewGiven { .. })));
    assert!(material.remarks.is_sorted_by(|a, b| a.id > b.id));
    assert_eq!(d.ask(s.prompt_material(&key("none"))).unwrap(), None);
}

#[test]
fn events_are_told_in_order_and_without_gap() {
    let d = whole_life();
    let s = &d.store;
    let app = id("app");
    let page = d.ask(s.events(Some(&app), 0, 1000)).unwrap();
    let last = page.events.len() as u64;
    assert!(last > 10);
    assert!(page.events.iter().map(|e| e.id).eq(1..=last));
    assert_eq!(page.oldest, 1);
    assert_eq!(d.ask(s.project(&app)).unwrap().unwrap().last_event, last);
    let rest = d.ask(s.events(Some(&app), last - 3, 2)).unwrap();
    assert_eq!(rest.events.iter().map(|e| e.id).collect::<Vec<_>>(), [last - 2, last - 1]);
    let of_task = d.ask(crate::support::page(s, &key("1"))).events;
    assert!(of_task.iter().all(|e| e.task == Some(id("1"))));
    let wanted = Wanted { events: Some(2), ..Wanted::default() };
    let little = d.ask(s.task_page(&key("1"), wanted, after(20))).unwrap().unwrap();
    assert_eq!(little.events, of_task[..2]);
    assert_eq!((little.attempts.len(), little.outputs.len(), little.comments.len()), (0, 0, 0));
    assert_eq!(d.ask(s.task_page(&key("none"), wanted, after(20))).unwrap(), None);
    let all = d.ask(s.all_events(0, 10_000)).unwrap();
    assert_eq!(d.ask(s.last_seq()).unwrap(), all.last().unwrap().0);
    assert_eq!(d.ask(s.oldest_seq()).unwrap(), 1);
    let theirs: Vec<_> = all.into_iter().map(|(_, e)| e).filter(|e| e.project.is_some()).collect();
    assert_eq!(theirs, page.events);
    let nobody = d.ask(s.events(None, 0, 10)).unwrap();
    assert_eq!((nobody.events.len(), nobody.oldest), (0, 1));
}

#[test]
fn sessions_agents_and_runners_can_be_read() {
    let d = whole_life();
    let s = &d.store;
    let ids = |active| -> Vec<_> {
        d.ask(s.sessions(active, 10)).unwrap().into_iter().map(|s| (s.id, s.is_open())).collect()
    };
    assert_eq!(ids(None), [(session(3), true), (session(2), false), (session(1), false)]);
    assert_eq!(ids(Some(true)), [(session(3), true)]);
    assert_eq!(ids(Some(false)), [(session(2), false), (session(1), false)]);
    let (one, attempt) = d.ask(s.session(session(1))).unwrap().unwrap();
    assert_eq!(one.status, SessionStatus::Ended(Outcome::Completed));
    assert_eq!(attempt.unwrap().number, 1);
    assert_eq!(d.ask(s.session(session(9))).unwrap(), None);
    assert_eq!(d.ask(s.find_session_prefix("AB")).unwrap().len(), 3);
    assert_eq!(d.ask(s.find_session_prefix(&session(2).to_string())).unwrap(), [session(2)]);
    assert_eq!(d.ask(s.find_session_prefix("")).unwrap(), []);
    assert_eq!(d.ask(s.find_session_prefix("%' OR 1")).unwrap(), []);
    let agents = d.ask(s.agents()).unwrap();
    let live: Vec<_> = agents.iter().map(|(a, live)| (a.id.as_str(), live.clone())).collect();
    assert_eq!(live, [("coder", vec![session(3)]), ("critic", vec![])]);
    assert_eq!(d.ask(s.agent(&id("CODER"))).unwrap().unwrap().id, id("coder"));
    assert!(d.ask(s.runners()).unwrap()[0].online);
    let work = d.ask(s.runner_work(&id("local"))).unwrap();
    assert_eq!(work.open.len(), 1);
    assert_eq!(work.open[0].1.as_ref().unwrap().key, key("2"));
    assert_eq!(work.clean, []);
    d.done(board(after(30), Command::CleanSession { session_id: session(1), force: false }));
    assert_eq!(d.ask(s.runner_work(&id("local"))).unwrap().clean, [session(1)]);
    let totals = d.ask(s.counts()).unwrap();
    assert_eq!((totals.projects, totals.open_attempts, totals.open_sessions), (1, 1, 1));
    assert_eq!(totals.tasks.get(Status::Done), 1);
    assert_eq!(totals.last_seq, d.ask(s.last_seq()).unwrap());
}

#[test]
fn credentials_are_known_by_their_hash() {
    let d = whole_life();
    let who = |n, now| d.ask(d.store.identify(hash(n), now)).unwrap();
    assert!(matches!(who(1, after(20)), Identity::Attempt { number: 1, role: Role::Executor, .. }));
    assert_eq!(who(50, after(20)), Identity::Unknown);
    let token = |name: &str, n, holder| Command::CreateToken {
        name: name.into(),
        hash: hash(n),
        holder,
        project: None,
        expires_at: (n == 50).then(|| after(100)),
    };
    let user = Holder::User { user: "me".into(), role: UserRole::Operator };
    d.done(board(after(20), token("phone", 50, user)));
    d.done(board(after(20), token("far", 51, Holder::Runner(id("far")))));
    assert!(matches!(who(50, after(99)), Identity::User { role: UserRole::Operator, .. }));
    assert_eq!(who(50, after(100)), Identity::Unknown);
    assert_eq!(who(51, after(100)), Identity::Runner(id("far")));
    d.done(board(after(30), Command::RevokeToken { name: "far".into() }));
    assert_eq!(who(51, after(40)), Identity::Unknown);
    d.done(by(Credential::Token(hash(50)), after(40), comment(key("1"), "hello")));
    let tokens = d.ask(d.store.tokens()).unwrap();
    assert_eq!(tokens.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["far", "phone"]);
    assert_eq!(tokens[1].last_used_at, Some(after(40)));
    d.check();
}

#[test]
fn an_attempt_may_read_its_relatives() {
    let d = whole_life();
    d.done(board(after(20), create("3", TaskSpec::titled("apart"))));
    let related = |own, other| d.ask(d.store.related(&key(own), &key(other))).unwrap();
    assert!(related("1", "1"));
    assert!(related("2", "1"), "what it depends on, and its parent");
    assert!(related("1", "2"), "its subtask");
    assert!(!related("1", "3"));
    assert!(!related("3", "1"));
    let elsewhere = mozi_core::TaskKey::new(id("other"), id("1"));
    assert!(!d.ask(d.store.related(&key("1"), &elsewhere)).unwrap());
}

#[test]
fn a_session_by_name_and_its_order() {
    let d = on_both(|b| {
        let start = |n, agent: &str, task: Option<&str>| {
            Command::StartSession(Box::new(StartSession {
                session_id: session(n),
                agent: id(agent),
                message: Some("看一看".into()),
                verbatim: task.is_none(),
                task: task.map(key),
            }))
        };
        [
            board(after(0), project("app", vec![])),
            board(after(0), hello(&["coder"], 2)),
            board(after(1), create("1", TaskSpec::titled("one"))),
            board(after(2), start(1, "coder", None)),
            board(after(2), start(2, "coder", Some("1"))),
            board(after(2), start(3, "coder", None)),
            board(after(3), Command::TakeSession { session_id: session(2), token_hash: hash(2) }),
            by(Credential::Token(hash(2)), after(4), report(key("1"), Status::Working, None)),
            board(after(5), Command::StopSession { session_id: session(2), why: None }),
            by(Credential::Token(hash(2)), after(6), report(key("1"), Status::Review, None)),
            board(after(7), end(2, 143)),
            board(after(7), end(1, 0)),
        ]
        .into_iter()
        .map(|request| b.submit(request))
        .collect()
    });
    let (session, _) = d.ask(d.store.session(session(1))).unwrap().unwrap();
    assert_eq!(session.order.unwrap().message.as_deref(), Some("看一看"));
    let view = d.ask(d.store.task(&key("1"), after(8))).unwrap().unwrap();
    assert_eq!(view.task.state.status, Status::Blocked);
    assert!(matches!(view.waiting_for[..], [WaitingFor::Person { .. }]));
}

#[test]
fn what_moves_by_itself_is_known_beforehand() {
    let d = on_both(|b| {
        let mut later = task("1", TaskSpec { agent: Some(id("coder")), ..TaskSpec::titled("later") });
        later.not_before = Some(after(500));
        [
            board(after(0), project("app", vec![SettingChange::BackoffMax(Duration::from_secs(20))])),
            board(after(0), hello(&["coder"], 8)),
            board(after(1), Command::CreateTask(Box::new(later))),
            board(after(1), create("2", TaskSpec { agent: Some(id("coder")), ..TaskSpec::titled("now") })),
            board(after(2), claim(&["coder"], [1, 2])),
            board(after(3), end(1, 1)),
        ]
        .into_iter()
        .map(|request| b.submit(request))
        .collect()
    });
    let backoff = d.ask(d.store.task(&key("2"), after(3))).unwrap().unwrap().task.state.not_before.unwrap();
    assert_eq!(d.ask(d.store.next_due(after(3))).unwrap(), Some(backoff.at));
    // The clock has jumped back a day: the pause is believed to last no longer than the longest, and mended.
    let early = after(0).as_micros() - 86_400_000_000;
    let early = mozi_core::Timestamp::from_micros(early);
    let longest = early.plus(Duration::from_secs(20));
    assert_eq!(d.ask(d.store.next_due(early)).unwrap(), Some(longest));
    d.done(board(early, Command::Due));
    let mended = d.ask(d.store.task(&key("2"), early)).unwrap().unwrap().task.state.not_before.unwrap();
    assert_eq!(mended.at, longest);
    assert_eq!(d.ask(d.store.next_due(backoff.at)).unwrap(), Some(after(500)));
    assert_eq!(d.ask(d.store.next_due(after(500))).unwrap(), None);
    d.check();
}
