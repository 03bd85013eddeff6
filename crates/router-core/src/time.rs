//! Time as data: whoever calls core says what time it is.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A moment: microseconds since the Unix epoch. Never decreases within one process (the server's clock sees to it).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const ZERO: Self = Self(0);

    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Hour of the day in UTC, 0..=23.
    pub const fn hour_utc(self) -> u8 {
        ((self.as_secs() / 3_600) % 24) as u8
    }

    /// The beginning of its day in UTC.
    pub const fn midnight(self) -> Self {
        Self(self.0 - self.0 % 86_400_000_000)
    }

    /// Day of the month in UTC, 1..=31.
    pub const fn day_of_month_utc(self) -> u32 {
        civil_date(self.0 / 86_400_000_000).2 as u32
    }

    /// The moment as RFC 3339 text in UTC, to the microsecond: `2026-11-22T11:50:00.000000Z`. Later than the year 9999,
    /// which RFC 3339 cannot write: its last microsecond.
    pub const fn rfc3339(self) -> Rfc3339 {
        const LAST: u64 = 253_402_300_799_999_999;
        let micros = if self.0 > LAST { LAST } else { self.0 };
        let (secs, date) = (micros / 1_000_000, civil_date(micros / 86_400_000_000));
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let fields = [
            (0, 4, date.0),
            (5, 2, date.1),
            (8, 2, date.2),
            (11, 2, secs / 3_600 % 24),
            (14, 2, secs / 60 % 60),
            (17, 2, secs % 60),
            (20, 6, micros % 1_000_000),
        ];
        let mut at = 0;
        while at < fields.len() {
            let (start, width, value) = fields[at];
            put_digits(&mut text, start, width, value);
            at += 1;
        }
        Rfc3339(text)
    }

    /// Day of the week in UTC, ISO 8601: 1 = Monday .. 7 = Sunday. 1970-01-01 was a Thursday (4).
    pub const fn weekday_utc(self) -> u8 {
        ((self.as_secs() / 86_400 + 3) % 7 + 1) as u8
    }
}

/// Writes the last `width` decimal digits of `value` at `start`.
const fn put_digits(text: &mut [u8; 27], start: usize, width: usize, mut value: u64) {
    let mut left = width;
    while left > 0 {
        left -= 1;
        text[start + left] = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of the proleptic Gregorian calendar, from days since 1970-01-01.
///
/// Counts in 400-year eras of years that begin in March, so that a leap day comes last (Howard Hinnant,
/// "chrono-compatible low-level date algorithms", `civil_from_days`).
const fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month, day)
}

/// RFC 3339 text of a [`Timestamp`], without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339([u8; 27]);

impl Rfc3339 {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for Rfc3339 {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A moment in UTC, RFC 3339, to the microsecond.", "type": "string", "format": "date-time"
        })
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_fields_match_known_dates() {
        // 2026-11-22T11:50:00Z is a Sunday.
        let sunday = Timestamp::from_millis(1_795_348_200_000);
        assert_eq!((sunday.weekday_utc(), sunday.hour_utc()), (7, 11));
        assert_eq!(Timestamp::ZERO.weekday_utc(), 4);
    }

    #[test]
    fn rfc3339_matches_known_moments() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (1_795_348_200_000_000, "2026-11-22T11:50:00.000000Z"),
            (253_402_300_800_000_000, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp::from_micros(micros).rfc3339().as_str(), expected);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::ZERO - Duration::from_secs(1), Timestamp::ZERO);
        assert_eq!(Timestamp::ZERO.since(Timestamp::from_micros(5)), Duration::ZERO);
    }
}
