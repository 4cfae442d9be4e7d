//! Every status, asked for by everybody: the whole table, written out.

use std::collections::BTreeMap;

use mozi_core::{EventKind, Refusal, Status, project::Review, transition};

use crate::fixture::{Who, World, agent, ends_as, secs};
use mozi_core::Outcome;

/// `o` it moves there; `=` no news, nothing is written; `-` no such move; `v` another verdict was given before;
/// `c` the attempt is over; `n` not there for this token; `f` not for this credential; `u` no credential.
fn answer(w: &mut World, who: Who, asked: Status) -> char {
    let (board, before) = (w.board.clone(), w.status("t"));
    let result = w.ask(who, World::say("t", asked, Some("because")));
    match &result {
        Ok(_) if w.board == board => '=',
        Ok(_) => {
            assert_eq!(w.status("t"), asked);
            assert_ne!(before, asked);
            'o'
        }
        Err(Refusal::TransitionRefused { current, asked: a, .. }) => {
            assert_eq!((*current, *a), (before, asked));
            '-'
        }
        Err(Refusal::VerdictGiven { current, .. }) => {
            assert_eq!(*current, before);
            'v'
        }
        Err(Refusal::AttemptClosed { .. }) => 'c',
        Err(Refusal::NotFound { .. }) => 'n',
        Err(Refusal::Forbidden { .. }) => 'f',
        Err(Refusal::Unauthenticated) => 'u',
        Err(other) => panic!("{other}"),
    }
}

/// One row: what everybody of `who` gets who asks for each status in the order of the columns.
#[track_caller]
fn row(title: &str, scene: impl Fn() -> (World, Who), expected: &str) {
    let expected: Vec<char> = expected.split_whitespace().flat_map(str::chars).collect();
    assert_eq!(expected.len(), 8, "{title}");
    let (world, _) = scene();
    let moves: Vec<Status> =
        Status::ALL.iter().zip(&expected).filter(|(_, e)| **e == 'o').map(|(s, _)| *s).collect();
    for (asked, expected) in Status::ALL.iter().zip(&expected) {
        let (mut w, who) = scene();
        assert_eq!(w.status("t"), world.status("t"));
        let got = answer(&mut w, who, *asked);
        assert_eq!(got, *expected, "{title}, asked for {asked}");
        if got == '-' {
            let Err(Refusal::TransitionRefused { allowed, .. }) =
                w.ask(who, World::say("t", *asked, Some("because")))
            else {
                panic!("{title}: refused once, not twice")
            };
            assert_eq!(allowed, moves, "{title}, asked for {asked}: what is allowed");
        }
    }
}

struct Scene {
    world: World,
    /// Attempt 1 of the task, crashed.
    closed: Who,
    /// A live attempt at another task.
    other: Who,
    /// The attempt that put the task where it is, still running.
    executor: Option<Who>,
}

/// The task `t` in a status that it was brought to by agents, and by a person where only one may.
fn reached(status: Status) -> Scene {
    let mut w = World::new();
    w.add_with("o", |n| n.spec.agent = Some(agent("critic")));
    let other = w.claim("o").who();
    w.add("t");
    let first = w.claim("t");
    w.end(&first, |e| ends_as(e, Outcome::Crashed));
    let closed = first.who();
    if status == Status::Pending {
        return Scene { world: w, closed, other, executor: None };
    }
    w.later(secs(3_600));
    let second = w.claim("t");
    w.deliver(&second);
    match status {
        Status::Pending | Status::Claimed => {}
        Status::Working | Status::Review | Status::Failed | Status::Blocked | Status::Cancelled => {
            w.report(&second, status);
        }
        Status::Done => {
            w.report(&second, Status::Review);
            w.decide("t", Status::Done);
        }
    }
    assert_eq!(w.status("t"), status);
    Scene { world: w, closed, other, executor: Some(second.who()) }
}

#[test]
fn a_person() {
    let table = [
        //                    pending claimed working review done failed blocked cancelled
        (Status::Pending, "   =       -       -       -      o    -      o       o"),
        (Status::Claimed, "   -       =       -       -      -    -      o       o"),
        (Status::Working, "   -       -       =       -      -    -      o       o"),
        (Status::Review, "    o       -       -       =      o    -      o       o"),
        (Status::Done, "      -       -       -       -      =    -      -       -"),
        (Status::Failed, "    o       -       -       -      o    =      -       -"),
        (Status::Blocked, "   o       -       -       -      o    -      =       o"),
        (Status::Cancelled, " o       -       -       -      o    -      -       ="),
    ];
    assert_eq!(table.len(), Status::ALL.len());
    for (from, expected) in table {
        for who in [Who::Operator, Who::Admin] {
            row(&format!("{who:?} at {from}"), || (reached(from).world, who), expected);
        }
    }
}

#[test]
fn an_executor() {
    let at = |from| move || reached(from).take_executor();
    //                                                         pending claimed working review done failed blocked cancelled
    row(
        "executor, claimed",
        at(Status::Claimed),
        "            -       -       o       o      -    o      o       o",
    );
    row(
        "executor, working",
        at(Status::Working),
        "            -       -       =       o      -    o      o       o",
    );
    row(
        "executor, said review",
        at(Status::Review),
        "         v       v       v       =      v    v      v       v",
    );
    row(
        "executor, said review, approved",
        at(Status::Done),
        " v       v       v       =      v    v      v       v",
    );
    row(
        "executor, said failed",
        at(Status::Failed),
        "         v       v       v       v      v    =      v       v",
    );
    row(
        "executor, said blocked",
        at(Status::Blocked),
        "       v       v       v       v      v    v      =       v",
    );
    row(
        "executor, said cancelled",
        at(Status::Cancelled),
        "   v       v       v       v      v    v      v       =",
    );
    let reopened = |said| {
        move || {
            let mut s = reached(said);
            s.world.decide("t", Status::Pending);
            s.take_executor()
        }
    };
    row("executor, said failed, retried", reopened(Status::Failed), "  v v v v v = v v");
    row("executor, said review, sent back", reopened(Status::Review), "v v v = v v v v");
}

impl Scene {
    fn take_executor(self) -> (World, Who) {
        let who = self.executor.expect("an executor");
        (self.world, who)
    }
}

/// A reviewer at work on `t`, after its executor has ended.
fn reviewing() -> (World, Who) {
    let mut w = World::new();
    w.add_with("t", |n| n.spec.review = Some(Review::Agent(agent("critic"))));
    w.finish("t");
    let who = w.claim("t").who();
    (w, who)
}

#[test]
fn a_reviewer() {
    let said = |status| {
        move || {
            let (mut w, who) = reviewing();
            w.ok(who, World::say("t", status, Some("look again")));
            (w, who)
        }
    };
    //                                                         pending claimed working review done failed blocked cancelled
    row(
        "reviewer at work",
        reviewing,
        "                       o       -       =       -      o    -      -       -",
    );
    row(
        "reviewer, said done",
        said(Status::Done),
        "           v       v       v       v      =    v      v       v",
    );
    row(
        "reviewer, said pending",
        said(Status::Pending),
        "     =       v       v       v      v    v      v       v",
    );
    let last_round = || {
        let (mut w, who) = reviewing();
        w.set(mozi_core::command::SettingChange::MaxReviewRounds(1));
        w.ok(who, World::say("t", Status::Pending, Some("look again")));
        assert_eq!(w.status("t"), Status::Blocked);
        (w, who)
    };
    row("reviewer, said pending, blocked by the board", last_round, "= v v v v v v v");
}

#[test]
fn everybody_else() {
    for from in Status::ALL.iter().copied() {
        let fixed = |who| move || (reached(from).world, who);
        row(&format!("viewer at {from}"), fixed(Who::Viewer), "f f f f f f f f");
        row(&format!("runner at {from}"), fixed(Who::Runner), "f f f f f f f f");
        row(&format!("board at {from}"), fixed(Who::Board), "f f f f f f f f");
        row(&format!("nobody at {from}"), fixed(Who::Nobody), "u u u u u u u u");
        row(&format!("forged at {from}"), fixed(Who::Forged), "u u u u u u u u");
        row(&format!("user of another project at {from}"), fixed(Who::Stranger), "n n n n n n n n");
        let other = || {
            let s = reached(from);
            (s.world, s.other)
        };
        row(&format!("another task's attempt at {from}"), other, "n n n n n n n n");
        let closed = || {
            let s = reached(from);
            (s.world, s.closed)
        };
        row(&format!("closed attempt at {from}"), closed, "c c c c c c c c");
    }
}

#[test]
fn a_revoked_attempt() {
    let held = |then: &'static [Status]| {
        move || {
            let mut s = reached(Status::Working);
            for to in then {
                s.world.decide("t", *to);
            }
            s.take_executor()
        }
    };
    let paths: [(&str, &[Status]); 5] = [
        ("held", &[Status::Blocked]),
        ("held, released", &[Status::Blocked, Status::Pending]),
        ("held, done by hand", &[Status::Blocked, Status::Done]),
        ("called off", &[Status::Cancelled]),
        ("called off, reopened, called off", &[Status::Cancelled, Status::Pending, Status::Cancelled]),
    ];
    for (title, path) in paths {
        row(title, held(path), "c c c c c c c c");
    }
    for decision in [Status::Done, Status::Pending, Status::Blocked, Status::Cancelled] {
        let overtaken = || {
            let (mut w, who) = reviewing();
            w.decide("t", decision);
            (w, who)
        };
        row(&format!("reviewer, a person said {decision}"), overtaken, "c c c c c c c c");
    }
    // Whoever is held in the grace after its verdict has lost the task too.
    let in_grace = || {
        let mut s = reached(Status::Review);
        s.world.decide("t", Status::Blocked);
        s.take_executor()
    };
    row("said review, held", in_grace, "c c c c c c c c");
}

#[test]
fn every_move_writes_one_event_and_no_other_moves_are_made() {
    let mut seen: BTreeMap<(Status, Status), u32> = BTreeMap::new();
    for from in Status::ALL.iter().copied() {
        for asked in Status::ALL.iter().copied() {
            for executor in [false, true] {
                let s = reached(from);
                let mut w = s.world;
                let who = if executor { s.executor } else { Some(Who::Operator) };
                let Some(who) = who else { continue };
                let before = w.board.events.len();
                if w.ask(who, World::say("t", asked, Some("because"))).is_err() {
                    continue;
                }
                let moved: Vec<_> = w.board.events[before..]
                    .iter()
                    .filter_map(|e| match &e.kind {
                        EventKind::StatusChanged(c) => Some((c.from, c.to)),
                        _ => None,
                    })
                    .collect();
                let expected = match (executor, from, asked) {
                    _ if w.board.events.len() == before => vec![],
                    // The history shows the step that the agent forgot.
                    (true, Status::Claimed, to) if to != Status::Working => {
                        vec![(from, Status::Working), (Status::Working, to)]
                    }
                    _ => vec![(from, asked)],
                };
                assert_eq!(moved, expected, "{from} to {asked}");
                for at in moved {
                    *seen.entry(at).or_default() += 1;
                }
            }
        }
    }
    for (from, to) in seen.keys() {
        let row = transition::TRANSITIONS.iter().any(|t| t.to == *to && t.from.contains(from));
        assert!(row, "{from} to {to} is not in the table");
    }
}

#[test]
fn what_must_be_said_with_a_decision() {
    for (from, to) in [
        (Status::Review, Status::Pending),
        (Status::Pending, Status::Done),
        (Status::Blocked, Status::Done),
        (Status::Failed, Status::Done),
        (Status::Cancelled, Status::Done),
    ] {
        for detail in [None, Some("  ")] {
            let mut w = reached(from).world;
            assert_eq!(
                w.refused(Who::Operator, World::say("t", to, detail)),
                "invalid_body",
                "{from} to {to}"
            );
        }
    }
    let (mut w, reviewer) = reviewing();
    assert_eq!(w.refused(reviewer, World::say("t", Status::Pending, None)), "invalid_body");
    w.ok(Who::Operator, World::say("t", Status::Done, None));
}

#[test]
fn a_decision_on_another_attempt_than_the_one_seen_is_refused() {
    let mut w = reached(Status::Review).world;
    let seen = |n| {
        let mozi_core::Command::Report(mut r) = World::say("t", Status::Done, None) else { unreachable!() };
        r.attempt_number = Some(n);
        mozi_core::Command::Report(r)
    };
    assert_eq!(w.refused(Who::Operator, seen(1)), "transition_refused");
    w.ok(Who::Operator, seen(2));
}
