//! Tasks that wait for others.

use mozi_core::{Command, Status, Until, command::NewTask};

use crate::fixture::{Who, World, id, key};

fn set(on: &str, task: &str, until: Until) -> Command {
    Command::SetDependency { key: key(task), on: id(on), until }
}
fn remove(on: &str, task: &str) -> Command {
    Command::RemoveDependency { key: key(task), on: id(on) }
}

/// `a` brought to a status by hand and by work, and whether each kind of wait for it is over.
#[test]
fn how_far_each_kind_waits() {
    let table = [
        //                  done   review ended
        (Status::Pending, [false, false, false]),
        (Status::Claimed, [false, false, false]),
        (Status::Working, [false, false, false]),
        (Status::Review, [false, true, false]),
        (Status::Done, [true, true, true]),
        (Status::Failed, [false, false, true]),
        (Status::Blocked, [false, false, false]),
        (Status::Cancelled, [false, false, true]),
    ];
    for (status, over) in table {
        let mut w = World::new();
        w.add_with("a", |n| n.spec.priority = -1);
        for until in Until::ALL {
            w.add_after(until.as_str(), "a", *until);
        }
        if status != Status::Pending {
            let mut claim = w.claim_of(1);
            claim.agents = vec![crate::fixture::agent("coder")];
            let c = w.claim_with(claim).pop().unwrap();
            w.deliver(&c);
            match status {
                Status::Pending | Status::Claimed => {}
                Status::Done => {
                    w.report(&c, Status::Review);
                    w.decide("a", Status::Done);
                }
                other => w.report(&c, other),
            }
        }
        for (until, over) in Until::ALL.iter().zip(over) {
            assert_eq!(w.task(until.as_str()).state.unmet == 0, over, "{until} of {status}");
            assert_eq!(w.waiting(until.as_str()).is_empty(), over);
        }
        let ready = over.iter().filter(|o| **o).count() + usize::from(status == Status::Pending);
        assert_eq!(w.claim_many(8).len(), ready, "{status}");
    }
}

#[test]
fn a_dependency_that_is_sent_back_is_waited_for_again() {
    let mut w = World::new();
    w.add("a");
    w.add_after("b", "a", Until::Review);
    w.add_after("c", "a", Until::Ended);
    let c = w.work("a");
    assert_eq!(w.task("b").state.unmet, 0);
    w.decide("a", Status::Pending);
    assert_eq!(w.task("b").state.unmet, 1);
    w.end(&c, |_| ());
    w.decide("a", Status::Cancelled);
    assert_eq!((w.task("b").state.unmet, w.task("c").state.unmet), (1, 0));
    w.decide("a", Status::Pending);
    assert_eq!((w.task("b").state.unmet, w.task("c").state.unmet), (1, 1));
    w.decide("a", Status::Done);
    assert_eq!((w.task("b").state.unmet, w.task("c").state.unmet), (0, 0));
}

#[test]
fn a_task_at_work_is_not_stopped_by_a_dependency_that_begins_anew() {
    let mut w = World::new();
    w.add("a");
    w.add_after("b", "a", Until::Review);
    w.finish("a");
    let b = w.claim("b");
    w.decide("a", Status::Pending);
    w.report(&b, Status::Working);
    w.deliver(&b);
    w.report(&b, Status::Review);
    w.end(&b, |_| ());
    w.decide("b", Status::Pending);
    assert_eq!(w.waits("b"), ["dependency"], "but its repetition waits");
}

#[test]
fn circles_are_refused_when_they_are_written() {
    let mut w = World::new();
    w.add("a");
    w.add_after("b", "a", Until::Done);
    w.add_after("c", "b", Until::Review);
    for until in Until::ALL {
        assert_eq!(w.refused(Who::Operator, set("a", "a", *until)), "dependency_cycle");
        assert_eq!(w.refused(Who::Operator, set("c", "a", *until)), "dependency_cycle");
        assert_eq!(w.refused(Who::Operator, set("B", "A", *until)), "dependency_cycle");
    }
    w.ok(Who::Operator, set("a", "c", Until::Done));
    w.ok(Who::Operator, remove("b", "c"));
    w.ok(Who::Operator, remove("a", "c"));
    w.ok(Who::Operator, set("c", "a", Until::Done));
    let own = NewTask { depends_on: vec![(id("x"), Until::Done)], ..World::new_task("x") };
    assert_eq!(w.refused(Who::Operator, Command::CreateTask(Box::new(own))), "dependency_cycle");
}

#[test]
fn they_change_only_while_no_attempt_is_open() {
    let mut w = World::new();
    w.add("a");
    w.add("b");
    let c = w.claim("a");
    assert_eq!(w.refused(Who::Operator, set("b", "a", Until::Done)), "session_active");
    w.decide("a", Status::Blocked);
    assert_eq!(w.refused(Who::Operator, set("b", "a", Until::Done)), "session_active", "it is still ending");
    w.end(&c, |_| ());
    w.ok(Who::Operator, set("b", "a", Until::Done));
    let before = w.board.clone();
    w.ok(Who::Operator, set("b", "a", Until::Done));
    assert!(w.board == before, "the same again is no news");
    w.ok(Who::Operator, set("b", "a", Until::Ended));
    assert_eq!(w.board.dependencies_of(&key("a"))[0].until, Until::Ended);
    assert_eq!(w.refused(Who::Operator, remove("c", "a")), "not_found");
    assert_eq!(w.refused(Who::Operator, set("nothing", "a", Until::Done)), "not_found");
    assert_eq!(w.refused(Who::Viewer, remove("b", "a")), "forbidden");
}

#[test]
fn what_a_new_task_waits_for_must_be_there_and_once() {
    let mut w = World::new();
    w.add("a");
    let with = |on: &[&str]| {
        let depends_on = on.iter().map(|t| (id(t), Until::Done)).collect();
        Command::CreateTask(Box::new(NewTask { depends_on, ..World::new_task("x") }))
    };
    assert_eq!(w.refused(Who::Operator, with(&["nothing"])), "invalid_body");
    assert_eq!(w.refused(Who::Operator, with(&["a", "A"])), "invalid_body");
    w.ok(Who::Operator, with(&["a"]));
}
