//! What is kept how long.

use std::time::Duration;

use mozi_core::{
    Timestamp,
    retention::{EndedLog, Retention, logs_to_go},
};

fn log(key: u32, day: u64, bytes: u64) -> EndedLog<u32> {
    EndedLog { key, ended_at: at(day), bytes }
}

fn at(day: u64) -> Timestamp {
    Timestamp::from_micros(0).plus(Duration::from_hours(24 * day))
}

fn days(n: u64) -> Duration {
    Duration::from_hours(24 * n)
}

#[track_caller]
fn check(rule: Retention, expected: &[u32]) {
    let logs = vec![log(3, 30, 100), log(1, 10, 100), log(4, 40, 100), log(2, 20, 100)];
    let going: Vec<u32> = logs_to_go(logs, rule, at(50)).into_iter().map(|l| l.key).collect();
    assert_eq!(going, expected, "{rule:?}");
}

#[test]
fn by_age_and_then_the_oldest_until_it_is_small_enough() {
    let none = Retention::default();
    check(none, &[]);
    check(Retention { logs: Some(days(25)), ..none }, &[1, 2]);
    check(Retention { logs: Some(days(40)), ..none }, &[]);
    check(Retention { logs_max: Some(400), ..none }, &[]);
    check(Retention { logs_max: Some(399), ..none }, &[1]);
    check(Retention { logs_max: Some(150), ..none }, &[1, 2, 3]);
    check(Retention { logs_max: Some(0), ..none }, &[1, 2, 3, 4]);
    check(Retention { logs: Some(days(25)), logs_max: Some(100), ..none }, &[1, 2, 3]);
    check(Retention { logs: Some(days(25)), logs_max: Some(300), ..none }, &[1, 2]);
}

#[test]
fn nothing_but_logs_goes_by_itself() {
    let usual = Retention::usual();
    assert_eq!((usual.events, usual.workspaces), (None, None));
    assert_eq!((usual.logs, usual.logs_max), (Some(days(30)), Some(10 << 30)));
}
