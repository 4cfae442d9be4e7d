//! The board at a glance: who waits for whom, counted without reading all of it.

use mozi_core::{
    Command, ProjectId, Status, TaskSpec, Usage,
    command::{Cause, Credential, End, Reading, SettingChange},
    project::{RequireOutput, Review},
    task::Until,
};
use mozi_store::{Overview, OverviewQuery, TaskLine};

use crate::support::{
    Disk, after, board, by, claim, create, hash, hello, id, key, person, person_token, project, report,
    session, task,
};

fn look(d: &Disk, project: Option<&str>, since: u64, limit: usize) -> Overview {
    let query = OverviewQuery { project: project.map(id::<ProjectId>), since: after(since), limit };
    d.ask(d.store.overview(query, after(1000))).unwrap()
}

fn for_agent(name: &str) -> TaskSpec {
    TaskSpec { agent: Some(id(name)), ..TaskSpec::titled("a task") }
}

fn reviewed_by(review: Review) -> TaskSpec {
    TaskSpec { review: Some(review), ..for_agent("coder") }
}

/// Claims the one ready task of `coder` under session `n`; says `status` of it where there is one to say.
fn attempt(d: &Disk, name: &str, n: u8, said: Option<Status>, at: u64) {
    d.done(board(after(at), claim(&["coder"], [n])));
    if let Some(status) = said {
        let said = report(key(name), status, Some("as it is"));
        d.done(by(Credential::Token(hash(n)), after(at + 1), said));
    }
}

fn end(d: &Disk, n: u8, at: u64, cost: Option<i64>) {
    let usage = Usage {
        model: None,
        input_tokens: None,
        output_tokens: None,
        cache_read_tokens: None,
        cache_write_tokens: None,
        cost_micro_usd: cost,
        reported: true,
    };
    let end = End {
        session_id: session(n),
        cause: Cause::Itself,
        exit_code: Some(0),
        signal: None,
        error: None,
        reason: None,
        reading: Reading { usage: vec![usage], ..Reading::default() },
        resources: None,
        tail: None,
        metadata: serde_json::json!({}),
        tail_sha256: None,
    };
    d.done(board(after(at), Command::End(Box::new(end))));
}

fn set(d: &Disk, name: &str, change: SettingChange) {
    let command = Command::SetProject { id: id(name), name: None, settings: vec![change], archived: None };
    d.done(person(after(1), command));
}

fn names(list: &[TaskLine]) -> Vec<&str> {
    list.iter().map(|t| t.key.task.as_str()).collect()
}

fn fresh() -> Disk {
    let d = Disk::new();
    let settings = vec![SettingChange::RequireOutput(RequireOutput::Never)];
    d.done(board(after(0), project("app", settings)));
    d.done(board(after(0), project("other", vec![])));
    d.done(board(after(0), hello(&["coder", "critic"], 9)));
    d.done(person_token());
    d
}

#[test]
fn an_empty_board_has_nothing_to_say() {
    let d = Disk::new();
    let o = look(&d, None, 0, 50);
    assert_eq!(o.reviews.items, []);
    assert!(o.reviews.exact && o.blocked.exact && o.ended.exact && o.spent.exact && o.delayed.exact);
    assert_eq!((o.waiting, o.agents, o.runners), (vec![], vec![], vec![]));
    assert_eq!(look(&d, Some("nowhere"), 0, 50).reviews.items, []);
}

#[test]
fn who_decides_stands_on_the_desk_of_that_one_only() {
    let d = fresh();
    let reviews = [
        ("by-project", None),
        ("by-person", Some(Review::Human)),
        ("by-agent", Some(Review::Agent(id("critic")))),
        ("being-reviewed", Some(Review::Agent(id("critic")))),
    ];
    for (n, (name, review)) in (1u8..).zip(reviews) {
        let at = u64::from(n) * 10;
        let spec = TaskSpec { review, ..for_agent("coder") };
        d.done(board(after(at), create(name, spec)));
        attempt(&d, name, n, Some(Status::Review), at + 1);
        end(&d, n, at + 3, None);
    }
    d.done(board(after(60), claim(&["critic"], [9])));
    let o = look(&d, None, 0, 50);
    assert_eq!(names(&o.reviews.items), ["by-project", "by-person"]);
    assert_eq!(o.running.items[0].role, Some(mozi_core::Role::Reviewer));
    assert_eq!(o.running.items[0].session.attempt.as_ref().unwrap().0, key("by-agent"));
    // The project's own setting moves what does not say otherwise.
    set(&d, "app", SettingChange::Review(Review::Agent(id("nobody"))));
    let o = look(&d, Some("app"), 0, 50);
    assert_eq!(names(&o.reviews.items), ["by-person"]);
    let unknown = o.waiting.iter().find(|g| g.waits_for.kind() == "agent_unknown").unwrap();
    assert_eq!((unknown.example.task.as_str(), unknown.tasks), ("by-project", 1));
    assert_eq!(names(&look(&d, Some("other"), 0, 50).reviews.items), [""; 0]);
    d.check();
}

#[test]
fn questions_are_told_and_what_a_person_holds_is_not() {
    let d = fresh();
    for n in 1..=4u8 {
        let name = format!("q{n}");
        d.done(board(after(u64::from(n)), create(&name, for_agent("coder"))));
        attempt(&d, &name, n, Some(Status::Blocked), u64::from(n) * 5);
    }
    let mut held = task("held", TaskSpec::titled("not yet"));
    held.held = true;
    d.done(board(after(30), Command::CreateTask(Box::new(held))));
    let o = look(&d, None, 0, 3);
    assert_eq!(names(&o.blocked.items), ["q1", "q2", "q3"]);
    assert_eq!((o.blocked.total, o.blocked.exact), (4, true));
    assert_eq!(o.blocked.items[0].detail.as_deref(), Some("as it is"));
    assert_eq!(o.counts.get(Status::Blocked), 5);
}

#[test]
fn ends_are_told_from_then_on_with_what_they_cost() {
    let d = fresh();
    let done = || reviewed_by(Review::None);
    for (n, cost, verdict) in
        [(1u8, Some(1_000), Status::Review), (2, Some(2_000), Status::Failed), (3, None, Status::Review)]
    {
        let (name, at) = (format!("t{n}"), u64::from(n) * 100);
        d.done(board(after(at), create(&name, done())));
        attempt(&d, &name, n, Some(verdict), at + 1);
        end(&d, n, at + 11, cost);
    }
    let o = look(&d, None, 0, 50);
    let told: Vec<_> = o.ended.items.iter().map(|e| (e.task.key.task.as_str(), e.task.status)).collect();
    assert_eq!(told, [("t2", Status::Failed), ("t3", Status::Done), ("t1", Status::Done)]);
    assert_eq!(
        (o.ended.total, o.ended_counts.get(Status::Done), o.ended_counts.get(Status::Failed)),
        (3, 2, 1)
    );
    let failed = &o.ended.items[0];
    assert_eq!((failed.agent.as_deref(), failed.outcome.as_deref()), (Some("coder"), Some("completed")));
    assert_eq!(
        (failed.worked.as_secs(), failed.cost_micro_usd, failed.cost_incomplete),
        (10, Some(2_000), false)
    );
    assert_eq!((o.ended.items[1].cost_micro_usd, o.ended.items[1].cost_incomplete), (None, true));
    assert_eq!((o.spent.attempts, o.spent.known, o.spent.cost_micro_usd), (3, 2, Some(3_000)));
    let late = look(&d, Some("app"), 150, 50);
    assert_eq!((late.ended.total, late.spent.attempts, late.spent.cost_micro_usd), (2, 2, Some(2_000)));
    assert_eq!((look(&d, None, 150, 1).ended.items.len(), look(&d, None, 150, 1).ended.total), (1, 2));
    assert_eq!(look(&d, None, 999, 50).spent.cost_micro_usd, None);
}

#[test]
fn what_does_not_go_on_is_told_by_its_cause() {
    let d = fresh();
    for (name, agent) in [("a", "ghost"), ("b", "ghost"), ("c", "coder"), ("d", "coder"), ("e", "coder")] {
        d.done(board(after(1), create(name, for_agent(agent))));
    }
    d.done(board(after(1), create("of-nobody", TaskSpec::titled("x"))));
    let mut later = task("later", for_agent("coder"));
    later.not_before = Some(after(5000));
    d.done(board(after(2), Command::CreateTask(Box::new(later))));
    d.done(board(after(3), create("broken", for_agent("critic"))));
    for name in ["after-1", "after-2"] {
        let mut waiting = task(name, for_agent("coder"));
        waiting.depends_on = vec![(id("broken"), Until::Done)];
        d.done(board(after(3), Command::CreateTask(Box::new(waiting))));
    }
    let mut whatever = task("after-any-end", for_agent("ghost"));
    whatever.depends_on = vec![(id("broken"), Until::Ended)];
    d.done(board(after(3), Command::CreateTask(Box::new(whatever))));
    d.done(person(after(4), report(key("broken"), Status::Cancelled, None)));
    d.done(person(after(5), Command::PauseAgent { agent: id("coder"), detail: Some("lunch".into()) }));
    let o = look(&d, None, 0, 50);
    let told: Vec<_> =
        o.waiting.iter().map(|g| (g.waits_for.kind(), g.tasks, g.waits_for.needs_somebody())).collect();
    assert_eq!(
        told.iter().copied().collect::<std::collections::BTreeSet<_>>(),
        [
            ("agent_paused", 3, true),
            ("agent_unknown", 3, true),
            ("dependency", 2, true),
            ("no_agent", 1, true)
        ]
        .into()
    );
    assert_eq!((o.delayed.tasks, o.delayed.next_at), (1, Some(after(5000))));
    assert_eq!(look(&d, Some("other"), 0, 50).delayed.tasks, 0);
    assert_eq!(o.agents.len(), 1);
    assert_eq!(o.agents[0].paused.as_ref().unwrap().detail.as_deref(), Some("lunch"));
    // With its runner away, and back at work, the cause is another one.
    d.done(board(after(6), Command::Goodbye { runner_id: id("local") }));
    assert_eq!(look(&d, None, 0, 50).runners.len(), 1);
    d.check();
}

#[test]
fn what_runs_is_told_with_its_last_sign_of_life() {
    let d = fresh();
    let spec = TaskSpec { timeout: Some(std::time::Duration::from_mins(1)), ..for_agent("coder") };
    d.done(board(after(1), create("t", spec)));
    attempt(&d, "t", 1, Some(Status::Working), 20);
    let o = look(&d, None, 0, 50);
    let line = &o.running.items[0];
    assert_eq!((line.title.as_deref(), line.status), (Some("a task"), Some(Status::Working)));
    assert_eq!((line.last_event_at, line.timeout.map(|t| t.as_secs())), (Some(after(21)), Some(60)));
    assert!(line.runner_online);
    assert_eq!(look(&d, Some("other"), 0, 50).running.total, 0);
}
