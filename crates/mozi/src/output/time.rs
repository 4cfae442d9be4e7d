//! Points in time as people read and write them.

use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

use mozi_api::wire::{Time, parse_duration, show_duration};

/// This moment, as on the wire.
pub(crate) fn now() -> String {
    ZonedDateTime::now().timestamp().to_string()
}

/// A point of the wire in the local zone: the time alone for today, else with its date.
pub(crate) fn local(at: &str) -> String {
    match at.parse::<Timestamp>() {
        Ok(t) => show(&t.to_zoned_datetime(TimeZone::system()), &ZonedDateTime::now()),
        Err(_) => at.to_owned(),
    }
}

fn show(at: &ZonedDateTime, now: &ZonedDateTime) -> String {
    let format = if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    at.strftime(format).to_string()
}

/// A point in time that a person names: `+2h`, `14:30` (today or tomorrow), `2026-12-01`, `2026-12-01 14:30` in the
/// local zone, or RFC 3339.
pub(crate) fn parse_point(text: &str) -> Result<String, String> {
    point(text, &ZonedDateTime::now()).map(|t| t.to_string())
}

fn point(text: &str, now: &ZonedDateTime) -> Result<Timestamp, String> {
    let wrong = || {
        format!(
            "{text:?} is not a time: write +2h, 14:30, 2026-12-01, \"2026-12-01 14:30\" or 2026-12-01T14:30:00+08:00"
        )
    };
    if let Some(later) = text.strip_prefix('+') {
        let wait = parse_duration(later).map_err(|e| format!("the time after + {e}"))?;
        let span = jiff::SignedDuration::try_from(wait).map_err(|_| wrong())?;
        return now.timestamp().checked_add(span).map_err(|_| wrong());
    }
    if let Ok(t) = text.parse::<Timestamp>() {
        return Ok(t);
    }
    let here = |civil: jiff::civil::DateTime| {
        civil.to_zoned_datetime(now.time_zone().clone()).map(|z| z.timestamp())
    };
    // A text with a date would be taken for its time alone.
    let time = text.parse::<jiff::civil::Time>().ok().filter(|_| !text.contains('-'));
    if let Some(time) = time {
        let today = here(now.date().to_datetime(time)).map_err(|_| wrong())?;
        if today > now.timestamp() {
            return Ok(today);
        }
        let tomorrow = now.date().tomorrow().map_err(|_| wrong())?;
        return here(tomorrow.to_datetime(time)).map_err(|_| wrong());
    }
    let civil = text.parse::<jiff::civil::DateTime>().map_err(|_| wrong())?;
    here(civil).map_err(|_| wrong())
}

/// A point in time that has passed, as a person names it: `22:30` (today or yesterday), `2026-12-01`,
/// `2026-12-01 14:30` in the local zone, or RFC 3339.
pub(crate) fn parse_past(text: &str) -> Result<String, String> {
    past(text, &ZonedDateTime::now()).map(|t| t.to_string())
}

fn past(text: &str, now: &ZonedDateTime) -> Result<Timestamp, String> {
    let wrong = || {
        format!(
            "{text:?} is not a time that has passed: write 8h, 2d, 22:30, 2026-12-01 or \"2026-12-01 14:30\""
        )
    };
    if text.starts_with('+') {
        return Err(wrong());
    }
    let mut at = point(text, now).map_err(|_| wrong())?;
    // A time without a date is the last one.
    if at > now.timestamp() && !text.contains('-') {
        at = at.checked_sub(jiff::SignedDuration::from_hours(24)).map_err(|_| wrong())?;
        if at > now.timestamp() {
            at = at.checked_sub(jiff::SignedDuration::from_hours(24)).map_err(|_| wrong())?;
        }
    }
    if at > now.timestamp() { Err(wrong()) } else { Ok(at) }
}

/// How much time lies between two points, in its two largest units.
pub(crate) fn ago(from: Time, to: Time) -> String {
    span(to.0.since(from.0).as_secs())
}

/// So many seconds in their two largest units: `12s`, `3m 20s`, `5h 2m`, `3d 4h`.
pub(crate) fn span(seconds: u64) -> String {
    let (m, h, d) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |n: u64, unit: &str, rest: u64, of: &str| {
        if rest == 0 { format!("{n}{unit}") } else { format!("{n}{unit} {rest}{of}") }
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..600 => two(m, "m", seconds % 60, "s"),
        600..3600 => format!("{m}m"),
        3600..86_400 => two(h, "h", m % 60, "m"),
        _ => two(d, "d", h % 24, "h"),
    }
}

/// The time between two points of the wire, in whole seconds as people read them.
pub(crate) fn seconds(from: &str, to: &str) -> Option<String> {
    let (from, to): (Timestamp, Timestamp) = (from.parse().ok()?, to.parse().ok()?);
    let ms = u64::try_from(to.duration_since(from).as_millis()).ok()?;
    Some(if ms < 10_000 {
        format!("{}.{}s", ms / 1000, ms % 1000 / 100)
    } else {
        show_duration(std::time::Duration::from_secs(ms / 1000))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> ZonedDateTime {
        "2026-11-23T20:00:00+08:00[Asia/Shanghai]".parse().unwrap()
    }

    #[test]
    fn points_are_read_as_people_write_them() {
        for (text, at) in [
            ("+2h", "2026-11-23T14:00:00Z"),
            ("+1h30m", "2026-11-23T13:30:00Z"),
            ("21:30", "2026-11-23T13:30:00Z"),
            ("09:00", "2026-11-24T01:00:00Z"),
            ("2026-12-01", "2026-11-30T16:00:00Z"),
            ("2026-12-01 14:30", "2026-12-01T06:30:00Z"),
            ("2026-12-01T14:30:00+02:00", "2026-12-01T12:30:00Z"),
        ] {
            assert_eq!(point(text, &now()).map(|t| t.to_string()).as_deref(), Ok(at), "{text}");
        }
        for text in ["", "tomorrow", "+2", "25:00", "2026-13-01"] {
            assert!(point(text, &now()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_past_is_read_as_people_write_it() {
        for (text, at) in [
            ("19:30", "2026-11-23T11:30:00Z"),
            ("22:30", "2026-11-22T14:30:00Z"),
            ("2026-11-20", "2026-11-19T16:00:00Z"),
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
        ] {
            assert_eq!(past(text, &now()).map(|t| t.to_string()).as_deref(), Ok(at), "{text}");
        }
        for text in ["", "yesterday", "+2h", "2026-12-01", "2026-11-23T13:00:00Z"] {
            assert!(past(text, &now()).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let all =
            [(0, "0s"), (59, "59s"), (60, "1m"), (61, "1m 1s"), (601, "10m"), (3600, "1h"), (3661, "1h 1m")];
        for (seconds, text) in
            all.into_iter().chain([(86_399, "23h 59m"), (90_000, "1d 1h"), (172_800, "2d")])
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn today_needs_no_date() {
        let at: ZonedDateTime = "2026-11-23T07:05:09+08:00[Asia/Shanghai]".parse().unwrap();
        assert_eq!(show(&at, &now()), "07:05:09");
        let earlier: ZonedDateTime = "2026-11-22T07:05:09+08:00[Asia/Shanghai]".parse().unwrap();
        assert_eq!(show(&earlier, &now()), "2026-11-22 07:05");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(seconds("2026-01-01T00:00:00Z", "2026-01-01T00:00:01.25Z").as_deref(), Some("1.2s"));
        assert_eq!(seconds("2026-01-01T00:00:00Z", "2026-01-01T01:02:03Z").as_deref(), Some("1h 2m 3s"));
        assert_eq!(seconds("2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z"), None);
    }
}
