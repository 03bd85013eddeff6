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

    /// From RFC 3339: a date-time with its offset, or a date alone, which is its midnight in UTC. `None` for anything else
    /// and for what lies before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        if text.len() == 10 {
            Self::parse_rfc3339(&format!("{text}T00:00:00Z"))
        } else {
            Self::parse_rfc3339(text)
        }
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

    /// From RFC 3339 text with any offset, to the microsecond: `2026-11-22T11:50:00Z`, `2026-11-22 12:50:00.5+01:00`. A leap
    /// second is the first of the next minute. `None`: it is none, or before 1970.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let field = |from: usize, to: usize| {
            let digits = text.get(from..to).filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse::<i64>().ok()
        };
        let sign = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|b| wanted.contains(b));
        let signs = [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
        if !signs.iter().all(|(at, wanted)| sign(*at, wanted)) {
            return None;
        }
        let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
        let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let days = days_of(year, month, day)?;
        let rest = text.get(19..)?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("0", rest),
        };
        let micros: i64 =
            format!("{fraction:0<6}").get(..6)?.parse().ok().filter(|_| !fraction.is_empty())?;
        let offset_mins = offset(zone)?;
        let minutes = (days * 24 + hour) * 60 + minute - offset_mins;
        u64::try_from((minutes * 60 + second) * 1_000_000 + micros).ok().map(Self)
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

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; `None`: there is no such day. The inverse of
/// [`civil_date`], from the same source (`days_from_civil`).
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let there = u64::try_from(days).ok().map(civil_date)?;
    (there == (u64::try_from(year).ok()?, u64::try_from(month).ok()?, u64::try_from(day).ok()?))
        .then_some(days)
}

/// Minutes east of UTC: `Z`, `+01:00`, `-0530`.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits: String = rest.split(':').collect();
    let number = digits.parse::<i64>().ok().filter(|_| digits.len() == 4 && rest.len() <= 5)?;
    let (hours, minutes) = (number / 100, number % 100);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
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
    fn moments_are_read_as_they_are_written() {
        for (text, expected) in [
            ("1970-01-01", Some("1970-01-01T00:00:00.000000Z")),
            ("2026-12-31", Some("2026-12-31T00:00:00.000000Z")),
            ("2024-02-29T23:59:59Z", Some("2024-02-29T23:59:59.000000Z")),
            ("2026-11-22t11:50:00.1234567z", Some("2026-11-22T11:50:00.123456Z")),
            ("2026-11-22 11:50:00.5+02:00", Some("2026-11-22T09:50:00.500000Z")),
            ("2026-01-01T00:30:00+01:00", Some("2025-12-31T23:30:00.000000Z")),
            ("2026-12-31T23:30:00-01:00", Some("2027-01-01T00:30:00.000000Z")),
            ("2026-06-30T23:59:60Z", Some("2026-07-01T00:00:00.000000Z")),
            ("2023-02-29", None),
            ("2026-04-31", None),
            ("2026-13-01", None),
            ("2026-00-10", None),
            ("1969-12-31", None),
            ("1970-01-01T00:00:00+00:01", None),
            ("2026-11-22T11:50:00", None),
            ("2026-11-22T11:50Z", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T11:50:00.Z", None),
            ("2026-11-22T11:50:00+2:00", None),
            ("2026-11-22T11:50:00Zx", None),
            ("2026/11/22", None),
            ("+026-11-22", None),
            ("20é6-11-22", None),
            ("90d", None),
            ("", None),
        ] {
            let read = Timestamp::from_rfc3339(text).map(|at| at.rfc3339().to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        for days in (0..200_000).step_by(13) {
            let at = Timestamp::from_millis(days * 86_400_000 + 1);
            assert_eq!(Timestamp::from_rfc3339(at.rfc3339().as_str()), Some(at));
        }
    }

    #[test]
    fn calendar_fields_match_known_dates() {
        // 2026-11-22T11:50:00Z is a Sunday.
        let sunday = Timestamp::from_millis(1_795_348_200_000);
        assert_eq!((sunday.weekday_utc(), sunday.hour_utc()), (7, 11));
        assert_eq!(Timestamp::ZERO.weekday_utc(), 4);
    }

    #[test]
    fn rfc3339_is_read_back() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(Timestamp::parse_rfc3339(text).map(Timestamp::as_micros), expected, "{text}");
        };
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-11-22T11:50:00Z", Some(1_795_348_200_000_000));
        check("2026-11-22T12:50:00.5+01:00", Some(1_795_348_200_500_000));
        check("2026-11-22t06:20:00.1234567-0530", Some(1_795_348_200_123_456));
        check("2024-02-29 00:00:00Z", Some(1_709_164_800_000_000));
        check("2016-12-31T23:59:60Z", Some(1_483_228_800_000_000));
        for wrong in [
            "",
            "2026-11-22",
            "2026-11-22T11:50:00",
            "2026-11-22T11:50Z",
            "2026-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-13-01T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T11:50:00.Z",
            "2026-11-22T11:50:00+1",
            "2026-11-22T11:50:00+01:00x",
            "2026-11-22T11:50:00+99:00",
            "+026-11-22T11:50:00Z",
            "2026-11-22T11:50:00é",
        ] {
            check(wrong, None);
        }
        for micros in [0, 1, 951_782_400_000_000, 253_402_300_799_999_999] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::parse_rfc3339(at.rfc3339().as_str()), Some(at));
        }
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
