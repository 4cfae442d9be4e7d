//! The same key again: the same answer, done once.

use mozi_core::{Command, Refusal, Reply, Status, TaskSpec, command::Credential, output::Content};
use mozi_store::{IdempotencyKey, SubmitError};

use crate::support::{
    Disk, after, board, by, claim, comment, create, hash, hello, id, key, output, page, person, person_token,
    project, report,
};

fn named(key: &str, body: u8) -> IdempotencyKey {
    IdempotencyKey { scope: "me POST /x".into(), key: key.into(), body_sha256: [body; 32] }
}

fn at_work() -> Disk {
    let d = Disk::new();
    d.done(board(after(0), project("app", vec![])));
    d.done(board(after(0), hello(&["coder"], 8)));
    d.done(person_token());
    d.done(board(after(1), create("1", TaskSpec { agent: Some(id("coder")), ..TaskSpec::titled("one") })));
    d.done(board(after(2), claim(&["coder"], [1])));
    d
}

#[test]
fn a_repeated_command_is_answered_and_not_repeated() {
    let d = at_work();
    let coder = Credential::Token(hash(1));
    let requests = [
        by(coder.clone(), after(3), comment(key("1"), "hello")),
        by(coder.clone(), after(4), output(key("1"), Content::Inline(b"x".to_vec()))),
        by(coder.clone(), after(5), report(key("1"), Status::Working, None)),
        board(after(6), create("2", TaskSpec::titled("two"))),
        board(after(6), project("more", vec![])),
        board(after(6), Command::PauseAgent { agent: id("coder"), detail: None }),
    ];
    for (n, request) in requests.iter().enumerate() {
        let n = format!("key {n}");
        let before = d.ask(d.store.last_seq()).unwrap();
        let first = d.answer(request.clone(), Some(named(&n, 1))).unwrap();
        let between = d.ask(d.store.last_seq()).unwrap();
        assert!(between > before);
        assert!(!first.repeated);
        let again = d.answer(request.clone(), Some(named(&n, 1))).unwrap();
        assert!(again.repeated);
        assert_eq!(again.reply, first.reply);
        assert_eq!(d.ask(d.store.last_seq()).unwrap(), between);
        let other = d.answer(request.clone(), Some(named(&n, 2)));
        assert_eq!(other, Err(SubmitError::Refused(Refusal::IdempotencyConflict)));
    }
    d.check();
}

#[test]
fn the_answer_is_that_of_then() {
    let d = at_work();
    let coder = Credential::Token(hash(1));
    d.done(by(coder.clone(), after(3), output(key("1"), Content::Blob)));
    let request = by(coder.clone(), after(4), report(key("1"), Status::Working, None));
    let first = d.answer(request.clone(), Some(named("k", 1))).unwrap();
    d.done(by(coder.clone(), after(5), report(key("1"), Status::Review, None)));
    d.done(person(after(6), report(key("1"), Status::Done, None)));
    let again = d.answer(request, Some(named("k", 1))).unwrap();
    let told = |reply: &Reply| match reply {
        Reply::Status { task, attempt_number, event_id, warnings } => {
            (task.state.status, *attempt_number, *event_id, warnings.clone())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&first.reply), told(&again.reply));
    assert!(again.repeated);
}

#[test]
fn a_refusal_takes_no_key() {
    let d = at_work();
    let refused = by(Credential::Token(hash(1)), after(3), report(key("1"), Status::Done, None));
    assert!(d.answer(refused, Some(named("k", 1))).is_err());
    let other = by(Credential::Token(hash(1)), after(4), report(key("1"), Status::Working, None));
    assert!(!d.answer(other, Some(named("k", 2))).unwrap().repeated);
}

#[test]
fn a_key_is_forgotten_after_a_day() {
    let d = at_work();
    let day = 24 * 3600;
    let say = |seconds| board(after(seconds), comment(key("1"), "hello"));
    d.answer(say(10), Some(named("k", 1))).unwrap();
    assert!(d.answer(say(10 + day), Some(named("k", 1))).unwrap().repeated);
    assert!(!d.answer(say(11 + day), Some(named("k", 2))).unwrap().repeated);
    assert_eq!(d.ask(page(&d.store, &key("1"))).comments.len(), 2);
    // And their rows go in passing.
    for n in 0..20 {
        d.answer(say(20), Some(named(&format!("old {n}"), 1))).unwrap();
    }
    for n in 0..6 {
        d.answer(say(30 + 3 * day), Some(named(&format!("new {n}"), 1))).unwrap();
    }
    let rows: i64 = rusqlite::Connection::open(d.folder.path().join("mozi.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 6);
}

#[test]
fn an_unknown_credential_is_not_told_an_answer() {
    let d = at_work();
    let unknown = by(Credential::Token(hash(99)), after(3), comment(key("1"), "hello"));
    d.answer(board(after(3), comment(key("1"), "hello")), Some(named("k", 1))).unwrap();
    let answer = d.answer(unknown, Some(named("k", 1)));
    assert_eq!(answer, Err(SubmitError::Refused(Refusal::Unauthenticated)));
}
