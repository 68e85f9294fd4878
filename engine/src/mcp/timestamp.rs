//! Times on the wire: RFC 3339 in UTC, to the millisecond.

use std::fmt::Display;
use std::time::{Duration, UNIX_EPOCH};

/// The last millisecond of the year 9999, the last that RFC 3339 can write.
const UNIX_MS_MAX: u64 = 253_402_300_799_999;

/// The text of a time given in milliseconds since 1970, like `2026-11-21T17:20:00.123Z`. A time
/// after the year 9999 is written as the end of that year.
pub(crate) fn rfc3339(unix_ms: u64) -> impl Display {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_ms.min(UNIX_MS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::{UNIX_MS_MAX, rfc3339};

    #[test]
    fn times_are_written_to_the_millisecond_in_utc() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_281_600_123, "2026-11-21T17:20:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (UNIX_MS_MAX, "9999-12-31T23:59:59.999Z"),
            (UNIX_MS_MAX + 1, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(unix_ms).to_string(), text);
        }
    }
}
