//! Pauses before repetitions, and times that a jump of the clock has moved.

use std::time::Duration;

use mozi_core::{
    Command, Outcome, Timestamp,
    command::SettingChange,
    due::next_due,
    retry::{backoff, doubled},
};
use proptest::prelude::*;

use crate::fixture::{Who, World, ends_as, secs};

proptest! {
    #[test]
    fn a_pause_is_the_doubled_one_shortened_by_a_quarter_at_most(
        repeats in 1u32..1_000, initial in 0u64..100_000, max in 0u64..100_000, seed: u64,
    ) {
        let (initial, max) = (Duration::from_millis(initial), Duration::from_millis(max));
        let full = doubled(initial, repeats - 1, max);
        let pause = backoff(repeats, initial, max, seed);
        prop_assert!(pause <= full && pause >= full * 3 / 4, "{pause:?} of {full:?}");
        prop_assert!(full <= max);
        prop_assert!(full == max || full >= initial);
        prop_assert_eq!(pause, backoff(repeats, initial, max, seed));
    }
}

#[test]
fn pauses_double_up_to_the_longest() {
    let full: Vec<_> = (1..=8).map(|n| doubled(secs(10), n - 1, secs(300)).as_secs()).collect();
    assert_eq!(full, [10, 20, 40, 80, 160, 300, 300, 300]);
    let different =
        (0..100).map(|seed| backoff(1, secs(10), secs(300), seed)).collect::<std::collections::HashSet<_>>();
    assert!(different.len() > 90, "many tasks must not come back at once");
}

#[test]
fn a_repetition_waits_longer_each_time_and_a_send_back_not_at_all() {
    let mut w = World::new();
    w.set(SettingChange::MaxAttempts(10));
    w.add("t");
    for full in [10, 20, 40] {
        let c = w.claim("t");
        w.end(&c, |e| ends_as(e, Outcome::Crashed));
        assert_eq!(w.waits("t"), ["time"]);
        let pause = w.task("t").state.not_before.unwrap().at.since(w.now);
        assert!(pause <= secs(full) && pause >= secs(full) * 3 / 4, "{pause:?}");
        w.later(pause.saturating_sub(Duration::from_micros(1)));
        assert!(w.claim_many(1).is_empty(), "before its time");
        w.later(Duration::from_micros(1));
    }
    w.finish("t");
    w.decide("t", mozi_core::Status::Pending);
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    let pause = w.task("t").state.not_before.unwrap().at.since(w.now);
    assert!(pause <= secs(10), "a new budget begins with the shortest pause: {pause:?}");
    w.edit("t", |p| p.not_before = Some(None));
    w.claim("t");
}

#[test]
fn a_due_time_of_the_board_is_believed_at_most_the_longest_pause_ahead() {
    let mut w = World::new();
    w.add("t");
    let c = w.claim("t");
    w.end(&c, |e| ends_as(e, Outcome::Crashed));
    // The clock jumps back by a year.
    w.now = Timestamp::from_micros(w.now.as_micros() - 31_536_000_000_000);
    let [mozi_core::WaitingFor::Time { at, by_board: true }] = w.waiting("t")[..] else { panic!() };
    assert_eq!(at, w.now.plus(secs(300)));
    w.ok(Who::Board, Command::Due);
    assert_eq!(w.task("t").state.not_before.unwrap().at, w.now.plus(secs(300)));
    w.later(secs(300));
    w.claim("t");
    assert_eq!(w.refused(Who::Admin, Command::Due), "forbidden");
}

#[test]
fn a_due_time_of_a_person_is_believed_however_far_it_is() {
    let mut w = World::new();
    let at = w.now.plus(secs(400 * 86_400));
    w.add_with("t", |n| n.not_before = Some(at));
    w.ok(Who::Board, Command::Due);
    w.later(secs(399 * 86_400));
    assert!(w.claim_many(1).is_empty());
    w.later(secs(86_400));
    w.claim("t");
}

#[test]
fn a_time_that_a_person_set_outlives_hold_and_release() {
    let mut w = World::new();
    let at = w.now.plus(secs(3_600));
    w.add_with("t", |n| (n.not_before, n.held) = (Some(at), true));
    assert_eq!(w.task("t").state.kind.as_deref(), Some("held"));
    w.decide("t", mozi_core::Status::Pending);
    assert_eq!(w.waits("t"), ["time"]);
    assert!(w.claim_many(1).is_empty());
    w.later(secs(3_600));
    w.claim("t");
}

#[test]
fn the_next_due_time_is_the_earliest_that_lies_ahead() {
    let mut w = World::new();
    let now = w.now;
    let at = |n: u64| now.plus(secs(n));
    assert_eq!(next_due([], [], now), None);
    assert_eq!(next_due([now, at(7), at(3)], [], now), Some(at(3)));
    w.add("t");
    let c = w.claim("t");
    w.end(&c, |e| {
        ends_as(e, Outcome::Crashed);
        e.reason = Some(mozi_core::Reason::RateLimited);
    });
    assert_eq!(next_due([at(100)], [w.agent("coder")], now), Some(at(60)));
    assert_eq!(next_due([], [w.agent("coder")], at(60)), None);
}
