//! The two clocks: the wall clock for what people read, `CLOCK_MONOTONIC` for every limit.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now as RFC 3339 text in UTC with microseconds: `2026-08-01T12:00:00.000000Z`.
pub(crate) fn wall_now() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the supervisor stands alone: nobody above it could hand it the time"
    )]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_micros())
}

/// Formats seconds since 1970 (no leap seconds) and microseconds as RFC 3339 in UTC.
fn rfc3339(seconds: u64, micros: u32) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Civil date from a day number; years counted from March so that the leap day comes last.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn known_instants() {
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(951_782_399, 999_999), "2000-02-28T23:59:59.999999Z");
        assert_eq!(rfc3339(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
        assert_eq!(rfc3339(1_709_251_199, 0), "2024-02-29T23:59:59.000000Z");
        assert_eq!(rfc3339(1_735_689_600, 0), "2025-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }
}
