//! Times, durations, ids and hashes.

use std::time::Duration;

use mozi_api::wire::{Hash, Object, SessionId, Span, TaskId, Time, parse_duration, show_duration};
use mozi_core::Timestamp;
use proptest::prelude::*;
use serde_json::json;

fn time(text: &str) -> Option<i64> {
    text.parse::<Time>().ok().map(|t| t.0.as_micros())
}

#[test]
fn times_need_a_zone() {
    assert_eq!(time("2026-08-01T12:00:00Z"), Some(1_785_585_600_000_000));
    assert_eq!(time("2026-08-01T20:00:00+08:00"), time("2026-08-01T12:00:00Z"));
    assert_eq!(time("2026-08-01T12:00:00.5Z"), Some(1_785_585_600_500_000));
    for bad in [
        "2026-08-01T12:00:00",
        "2026-08-01",
        "2026-08-01 12:00",
        "12:00",
        "tomorrow",
        "",
        "2026-08-01T12:00:00[Europe/Berlin]",
        "2026-08-01T12:00:00+02:00[Europe/Berlin]",
        "2026-13-01T12:00:00Z",
        "1785585600",
    ] {
        assert_eq!(time(bad), None, "{bad}");
    }
    let error = serde_json::from_value::<Time>(json!("2026-08-01T12:00:00")).expect_err("no zone");
    assert_eq!(
        error.to_string(),
        "is a time in RFC 3339 with its zone, like 2026-08-01T12:00:00Z or 2026-08-01T20:00:00+08:00, not \"2026-08-01T12:00:00\""
    );
    assert!(serde_json::from_value::<Time>(json!(1_785_585_600)).is_err(), "a number is no time");
}

#[test]
fn times_are_shown_in_utc_and_never_fail() {
    assert_eq!(
        json!(Time(Timestamp::from_micros(1_785_585_600_123_456))),
        json!("2026-08-01T12:00:00.123456Z")
    );
    assert_eq!(json!(Time(Timestamp::from_micros(0))), json!("1970-01-01T00:00:00Z"));
    for end in [i64::MIN, i64::MAX] {
        let shown = Time(Timestamp::from_micros(end)).to_string();
        assert!(shown.ends_with('Z'), "{shown}");
    }
}

#[test]
fn durations_have_units() {
    let read = |t: &str| parse_duration(t).ok().map(|d| d.as_millis());
    assert_eq!(read("10s"), Some(10_000));
    assert_eq!(read("5m"), Some(300_000));
    assert_eq!(read("1h30m"), Some(5_400_000));
    assert_eq!(read("1h 30m"), Some(5_400_000));
    assert_eq!(read("2d"), Some(172_800_000));
    assert_eq!(read("500ms"), Some(500));
    assert_eq!(read("1.5s"), Some(1_500));
    assert_eq!(read("0"), Some(0));
    assert_eq!(read("0s"), Some(0));
    for bad in ["", "10", "-5s", "5s ago", "s", "1y", "1 month", "ten seconds", "5 parsecs", "10s10"] {
        assert_eq!(read(bad), None, "{bad}");
    }
    let error = serde_json::from_value::<Span>(json!("10")).expect_err("no unit");
    assert_eq!(error.to_string(), "is a duration with its unit, like 90s, 5m, 1h30m or 2d, not \"10\"");
    assert_eq!(show_duration(Duration::from_secs(10)), "10s");
    assert_eq!(show_duration(Duration::from_mins(5)), "5m");
    assert_eq!(show_duration(Duration::from_mins(90)), "1h 30m");
    assert_eq!(show_duration(Duration::ZERO), "0s");
}

#[test]
fn hashes_are_64_hex_digits() {
    let hash = Hash::from(mozi_core::TokenHash([0xab; 32]));
    assert_eq!(json!(hash), json!("ab".repeat(32)));
    assert_eq!(serde_json::from_value::<Hash>(json!(hash)).expect("a hash"), hash);
    assert_eq!("AB".repeat(32).parse::<Hash>(), Ok(hash));
    for bad in ["", "ab", &"ab".repeat(33), &"zz".repeat(32), &"ab".repeat(31)] {
        assert!(bad.parse::<Hash>().is_err(), "{bad}");
    }
}

#[test]
fn sessions_are_uuids() {
    let id: SessionId = "6f9619ff-8b86-d011-b42d-00cf4fc964ff".parse().expect("a UUID");
    assert_eq!(json!(id), json!("6f9619ff-8b86-d011-b42d-00cf4fc964ff"));
    let error = "x".parse::<SessionId>().expect_err("no UUID");
    assert_eq!(error.to_string(), "is a UUID, not \"x\"");
}

#[test]
fn objects_keep_what_they_hold() {
    let given = json!({"a": [1, -1, 1.5, null, true, "x", {"b": {}}], "big": u64::MAX, "small": i64::MIN});
    let object: Object = serde_json::from_str(&given.to_string()).expect("an object");
    assert_eq!(object.clone().into_value(), given);
    assert_eq!(json!(object), given);
}

#[test]
fn long_values_are_cut_in_messages() {
    let error = "x".repeat(1_000_000).parse::<SessionId>().expect_err("no UUID");
    assert!(error.to_string().len() < 100, "{}", error.to_string().len());
}

proptest! {
    #[test]
    fn any_time_comes_back(micros in -62_135_596_800_000_000_i64..253_402_214_400_000_000) {
        let time = Time(Timestamp::from_micros(micros));
        prop_assert_eq!(serde_json::from_value::<Time>(json!(time)).expect("a time"), time);
    }

    #[test]
    fn any_duration_comes_back(millis in 0_u64..1_000_000_000_000) {
        let span = Span(Duration::from_millis(millis));
        prop_assert_eq!(serde_json::from_value::<Span>(json!(span)).expect("a duration"), span);
    }

    #[test]
    fn any_id_comes_back(id in "[A-Za-z0-9][A-Za-z0-9._-]{0,126}") {
        let parsed: TaskId = id.parse().expect("an id");
        prop_assert_eq!(json!(parsed), json!(id));
    }

    #[test]
    fn nothing_panics_on_any_text(text in "\\PC{0,40}") {
        drop((text.parse::<Time>(), text.parse::<Span>(), text.parse::<Hash>(), text.parse::<TaskId>()));
    }
}
