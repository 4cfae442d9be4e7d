//! What the end of an attempt makes of its task, written out.

use mozi_core::{
    Attempt, Command, EventKind, Outcome, Reason, Role, Status, Timestamp,
    attempt::Tail,
    command::{Cause, SettingChange as Set},
    project::{OnNoVerdict, RetryOrBlock, Review},
};

use crate::fixture::{Claimed, Who, World, agent, ends_as, secs};

const DAY: u64 = 86_400;

/// What the event of an end says: whether it counts, and until when the task pauses.
fn told(w: &World, a: &Attempt) -> (bool, Option<Timestamp>) {
    let found = w.board.events_of(&a.key).find_map(|e| match e.kind {
        EventKind::AgentEnded { counted, not_before, .. } if e.attempt_number == Some(a.number) => {
            Some((counted, not_before))
        }
        _ => None,
    });
    found.expect("an event of the end")
}

/// `t`, claimed after so many crashes.
fn after_crashes(settings: &[Set], crashes: u32) -> (World, Claimed) {
    let mut w = World::new();
    for s in settings {
        w.set(s.clone());
    }
    w.add("t");
    for _ in 0..crashes {
        let c = w.claim("t");
        w.end(&c, |e| ends_as(e, Outcome::Crashed));
        w.later(secs(DAY));
    }
    let c = w.claim("t");
    (w, c)
}

#[test]
fn an_executor_without_a_verdict() {
    use Outcome::{Crashed, DryRun, Lost, NoVerdict, OverBudget, SpawnFailed, Stalled, TimedOut};
    use Status::{Blocked, Failed, Pending, Review};
    let on_no = |v| vec![Set::OnNoVerdict(v)];
    let (none, block_lost, block_time) =
        (Vec::new(), vec![Set::OnLost(RetryOrBlock::Block)], vec![Set::OnTimeout(RetryOrBlock::Block)]);
    // outcome, its reason if another than usual, settings, an output, crashes before (of 3)
    //   -> status, kind, counts, pauses
    let table = [
        (NoVerdict, None, none.clone(), false, 0, Pending, None, true, true),
        (NoVerdict, None, none.clone(), false, 2, Failed, None, true, false),
        (NoVerdict, None, none.clone(), true, 0, Review, Some("no_verdict"), true, false),
        (NoVerdict, None, none.clone(), true, 2, Review, Some("no_verdict"), true, false),
        (NoVerdict, None, on_no(OnNoVerdict::Retry), true, 0, Pending, None, true, true),
        (NoVerdict, None, on_no(OnNoVerdict::Retry), true, 2, Failed, None, true, false),
        (NoVerdict, None, on_no(OnNoVerdict::Review), false, 0, Review, Some("no_verdict"), true, false),
        (NoVerdict, None, on_no(OnNoVerdict::Review), false, 2, Review, Some("no_verdict"), true, false),
        (NoVerdict, None, on_no(OnNoVerdict::Block), true, 0, Blocked, Some("no_verdict"), true, false),
        (NoVerdict, None, on_no(OnNoVerdict::Block), false, 2, Blocked, Some("no_verdict"), true, false),
        (Crashed, None, none.clone(), true, 0, Pending, None, true, true),
        (Crashed, None, none.clone(), true, 1, Pending, None, true, true),
        (Crashed, None, none.clone(), true, 2, Failed, None, true, false),
        (Crashed, Some(Reason::ModelError), none.clone(), false, 2, Failed, None, true, false),
        (Crashed, Some(Reason::RateLimited), none.clone(), false, 2, Pending, None, false, true),
        (Crashed, Some(Reason::QuotaExhausted), none.clone(), false, 0, Pending, None, false, true),
        (Crashed, Some(Reason::AuthFailed), none.clone(), false, 2, Pending, None, false, true),
        (Stalled, None, none.clone(), false, 0, Pending, None, true, true),
        (Stalled, None, none.clone(), false, 2, Failed, None, true, false),
        (TimedOut, None, none.clone(), false, 0, Pending, None, true, true),
        (TimedOut, None, none.clone(), false, 2, Failed, None, true, false),
        (TimedOut, None, block_time.clone(), false, 0, Blocked, Some("timed_out"), true, false),
        (TimedOut, None, block_time.clone(), false, 2, Blocked, Some("timed_out"), true, false),
        (TimedOut, None, block_lost.clone(), false, 0, Pending, None, true, true),
        (Lost, None, none.clone(), false, 0, Pending, None, true, true),
        (Lost, None, none.clone(), false, 2, Failed, None, true, false),
        (Lost, None, block_lost.clone(), false, 0, Blocked, Some("lost"), true, false),
        (Lost, None, block_lost, false, 2, Blocked, Some("lost"), true, false),
        (Lost, None, block_time, false, 0, Pending, None, true, true),
        (OverBudget, None, none.clone(), true, 0, Blocked, Some("over_budget"), true, false),
        (OverBudget, None, none.clone(), false, 2, Blocked, Some("over_budget"), true, false),
        (SpawnFailed, None, none.clone(), false, 0, Pending, None, false, true),
        (SpawnFailed, None, none.clone(), false, 2, Pending, None, false, true),
        (DryRun, None, none.clone(), false, 0, Blocked, Some("dry_run"), false, false),
        (DryRun, None, none, false, 2, Blocked, Some("dry_run"), false, false),
    ];
    for row in table {
        let (outcome, reason, settings, output, crashes, status, kind, counts, pauses) = row.clone();
        for reported in [false, true] {
            let (mut w, c) = after_crashes(&settings, crashes);
            if reported {
                w.report(&c, Status::Working);
            }
            if output {
                w.deliver(&c);
            }
            let closed = w.end(&c, |e| {
                ends_as(e, outcome);
                e.reason = reason;
            });
            let task = w.task("t");
            assert_eq!(closed.outcome, Some(outcome), "{row:?}");
            assert_eq!((task.state.status, task.state.kind.as_deref()), (status, kind), "{row:?}");
            let (counted, not_before) = told(&w, &closed);
            assert_eq!((counted, not_before.is_some()), (counts, pauses), "{row:?}");
            assert_eq!(task.state.budget_used, crashes + u32::from(counts), "{row:?}");
            let pause = task.state.not_before.filter(|n| n.at > w.now);
            assert_eq!(pause.map(|n| n.at), not_before, "{row:?}");
            assert!(pause.is_none_or(|n| n.by_board), "{row:?}");
        }
    }
}

#[test]
fn an_end_after_a_verdict_never_touches_the_task() {
    for said in [Status::Review, Status::Failed, Status::Blocked, Status::Cancelled] {
        for cause in [Cause::Itself, Cause::Grace, Cause::Deadline, Cause::Stall, Cause::SupervisorLost] {
            for exit_code in [Some(0), Some(1), None] {
                let (mut w, c) = after_crashes(&[], 1);
                w.deliver(&c);
                w.report(&c, said);
                let before = w.task("t").state.clone();
                let closed = w.end(&c, |e| (e.cause, e.exit_code) = (cause, exit_code));
                let after = w.task("t").state.clone();
                assert_eq!(after, mozi_core::TaskState { open: None, ..before }, "{said} {cause:?}");
                assert_eq!(closed.verdict.map(mozi_core::Verdict::status), Some(said));
                assert!(!told(&w, &closed).0);
            }
        }
    }
}

#[test]
fn an_end_after_a_revocation_never_touches_the_task() {
    for to in [Status::Blocked, Status::Cancelled] {
        for outcome in Outcome::ALL {
            let (mut w, c) = after_crashes(&[], 2);
            w.deliver(&c);
            w.decide("t", to);
            let before = w.task("t").state.clone();
            let closed = w.end(&c, |e| ends_as(e, *outcome));
            assert_eq!(closed.outcome, Some(Outcome::Cancelled));
            assert_eq!(w.task("t").state, mozi_core::TaskState { open: None, ..before });
        }
    }
}

#[test]
fn a_person_who_releases_before_the_end_is_not_overruled_by_it() {
    let (mut w, c) = after_crashes(&[], 2);
    w.decide("t", Status::Blocked);
    w.decide("t", Status::Pending);
    assert_eq!(w.waits("t"), ["attempt_ending"]);
    assert!(w.claim_many(1).is_empty(), "two attempts at once");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    assert_eq!((w.status("t"), w.task("t").state.budget_used), (Status::Pending, 0));
    assert_eq!(w.claim("t").attempt.number, 4);
}

#[test]
fn a_reviewer_without_a_verdict_is_repeated_then_a_person_decides() {
    let reviewed = || {
        let mut w = World::new();
        w.set(Set::MaxReviewAttempts(2));
        w.add_with("t", |n| n.spec.review = Some(Review::Agent(agent("critic"))));
        w.finish("t");
        w
    };
    let first_counts = [
        Outcome::NoVerdict,
        Outcome::Crashed,
        Outcome::TimedOut,
        Outcome::Stalled,
        Outcome::OverBudget,
        Outcome::Lost,
    ];
    for outcome in first_counts {
        let mut w = reviewed();
        // What is said of executors that vanish or run late is not said of reviewers.
        w.set(Set::OnLost(RetryOrBlock::Block));
        w.set(Set::OnTimeout(RetryOrBlock::Block));
        w.set(Set::OnNoVerdict(OnNoVerdict::Block));
        for n in 1..=2 {
            let c = w.claim("t");
            assert_eq!(c.attempt.role, Role::Reviewer);
            let closed = w.end(&c, |e| ends_as(e, outcome));
            assert_eq!(w.status("t"), Status::Review, "{outcome}");
            assert_eq!(w.task("t").state.review_used, n, "{outcome}");
            assert_eq!(w.task("t").state.reviewer_given_up, n == 2, "{outcome}");
            let pause = w.task("t").state.not_before.map(|b| b.at).filter(|at| *at > w.now);
            assert_eq!(told(&w, &closed), (true, pause));
            assert_eq!(pause.is_some(), n == 1, "the pause before the second");
            w.later(secs(DAY));
        }
        assert!(w.claim_many(1).is_empty());
        assert_eq!(w.waits("t"), ["review"]);
        assert_eq!(w.history("t").iter().filter(|e| *e == "reviewer_given_up").count(), 1);
        w.decide("t", Status::Done);
    }
    let mut w = reviewed();
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::DryRun));
    assert!(w.task("t").state.reviewer_given_up, "a dry run reviews nothing");
    let mut w = reviewed();
    for n in 1..=5 {
        let c = w.claim("t");
        w.end(&c, |e| ends_as(e, Outcome::SpawnFailed));
        assert_eq!((w.task("t").state.review_used, w.task("t").state.reviewer_given_up), (0, n == 5));
        w.later(secs(DAY));
    }
    let mut w = reviewed();
    for _ in 0..4 {
        let c = w.claim("t");
        w.end(&c, |e| {
            ends_as(e, Outcome::Crashed);
            e.reason = Some(Reason::RateLimited);
        });
        assert_eq!((w.task("t").state.review_used, w.task("t").state.reviewer_given_up), (0, false));
        w.later(secs(DAY));
    }
}

#[test]
fn the_fifth_failed_start_in_a_row_blocks_the_task() {
    let mut w = World::new();
    w.add("t");
    for n in 1..=5 {
        let c = w.claim("t");
        w.end(&c, |e| {
            ends_as(e, Outcome::SpawnFailed);
            e.error = Some("no such program".into());
        });
        let expected = if n < 5 { Status::Pending } else { Status::Blocked };
        assert_eq!(w.status("t"), expected, "after {n}");
        w.later(secs(DAY));
    }
    assert_eq!(w.task("t").state.kind.as_deref(), Some("spawn_failed"));
    w.decide("t", Status::Pending);
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::SpawnFailed));
    assert_eq!(w.status("t"), Status::Pending, "a new row begins with a person's word");
    // Any other end begins a new row too.
    for _ in 0..3 {
        w.later(secs(DAY));
        let c = w.claim("t");
        w.end(&c, |e| ends_as(e, Outcome::SpawnFailed));
    }
    w.later(secs(DAY));
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    w.later(secs(DAY));
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::SpawnFailed));
    assert_eq!(w.status("t"), Status::Pending);
}

#[test]
fn exit_0_is_a_verdict_where_it_is_declared_so() {
    let script = |settings: &[Set]| {
        let mut w = World::new();
        for s in settings {
            w.set(s.clone());
        }
        w.add_with("t", |n| n.spec.agent = Some(agent("script")));
        let c = w.claim("t");
        (w, c)
    };
    let tail = Tail { stdout: "42\n".into(), ..Tail::default() };
    for (review, status) in [(Review::Human, Status::Review), (Review::None, Status::Done)] {
        let (mut w, c) = script(&[Set::Review(review), Set::OnNoVerdict(OnNoVerdict::Block)]);
        let closed = w.end(&c, |e| {
            e.tail = Some(tail.clone());
            e.tail_sha256 = Some("ab".repeat(32));
        });
        assert_eq!((w.status("t"), closed.outcome), (status, Some(Outcome::Completed)));
        assert_eq!(closed.verdict.map(mozi_core::Verdict::status), Some(Status::Review));
        assert_eq!((closed.outputs, w.board.outputs.len()), (1, 1));
        assert_eq!(w.task("t").state.budget_used, 0);
    }
    let (mut w, c) = script(&[Set::Review(Review::None)]);
    let closed = w.end(&c, |e| ends_as(e, Outcome::Crashed));
    assert_eq!((w.status("t"), closed.outcome), (Status::Pending, Some(Outcome::Crashed)));
    assert_eq!(closed.verdict, None);
    // As a reviewer it has to say what it decides.
    let mut w = World::new();
    w.add_with("t", |n| n.spec.review = Some(Review::Agent(agent("script"))));
    w.finish("t");
    let c = w.claim("t");
    let closed = w.end(&c, |_| ());
    assert_eq!((w.status("t"), closed.outcome), (Status::Review, Some(Outcome::NoVerdict)));
}

#[test]
fn a_review_that_nobody_vouched_for_is_never_skipped() {
    let mut w = World::new();
    w.set(Set::Review(Review::None));
    w.add("t");
    let c = w.claim("t");
    w.deliver(&c);
    w.end(&c, |_| ());
    assert_eq!(w.status("t"), Status::Review);
    assert_eq!(w.waits("t"), ["review"]);
    w.later(secs(DAY));
    assert!(w.claim_many(1).is_empty());
    // Its verdict would have been enough.
    w.decide("t", Status::Pending);
    let c = w.work("t");
    assert_eq!(w.status("t"), Status::Done);
    w.end(&c, |_| ());
}

#[test]
fn an_end_is_told_once() {
    let (mut w, c) = after_crashes(&[], 0);
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    let before = w.board.clone();
    w.end(&c, |e| ends_as(e, Outcome::Lost));
    assert!(w.board == before, "the second end of a session changed something");
    let end = Command::End(Box::new(crate::fixture::exit(c.n, 0)));
    assert_eq!(w.refused(Who::OtherRunner, end), "not_found");
}

#[test]
fn attempts_count_from_the_last_word_of_a_person() {
    let (mut w, c) = after_crashes(&[], 2);
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    assert_eq!(w.status("t"), Status::Failed);
    w.decide("t", Status::Pending);
    for n in 4..=6 {
        let c = w.claim("t");
        assert_eq!(c.attempt.number, n, "numbers go on");
        w.end(&c, |e| ends_as(e, Outcome::Crashed));
        w.later(secs(DAY));
    }
    assert_eq!(w.status("t"), Status::Failed);
    // The task's own limit comes before the project's, and is read at the end.
    let (mut w, c) = after_crashes(&[], 0);
    w.edit("t", |p| p.max_attempts = Some(Some(1)));
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    assert_eq!(w.status("t"), Status::Failed);
}
