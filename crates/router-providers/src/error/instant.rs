//! Times from now as providers write them: numbers, spans, dates. Text in, a wait out.

use std::time::{Duration, SystemTime};

/// Longest wait believed: daily quotas name up to a day.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// From here on a number of seconds is a time since the epoch, not a wait: 2001-09-09, or 32 years.
const EPOCH_SECS: f64 = 1e9;

/// From here on it counts milliseconds: the year 5138 in seconds.
const EPOCH_MILLIS: f64 = 1e11;

/// Milliseconds, whole or not.
pub(super) fn millis(text: &str) -> Option<Duration> {
    number(text).and_then(|ms| wait(ms / 1000.0))
}

/// A wait in any of the forms in use: seconds, whole or not; seconds or milliseconds since the epoch; a span such as `20ms`,
/// `6m0s` or `1h2m3.5s`; a date of HTTP (RFC 9110) or of RFC 3339. At most a day; what is past is now.
pub(super) fn until(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Some(number) = number(text) {
        let seconds = if number > EPOCH_MILLIS { number / 1000.0 } else { number };
        let date = |seconds| since_epoch(seconds).map_or(MAX_WAIT, |date| from(date, now));
        return if number > EPOCH_SECS { Some(date(seconds)) } else { wait(number) };
    }
    span(text)
        .or_else(|| httpdate::parse_http_date(text).ok().map(|date| from(date, now)))
        .or_else(|| date(text).map(|date| from(date, now)))
}

fn from(date: SystemTime, now: SystemTime) -> Duration {
    date.duration_since(now).unwrap_or_default().min(MAX_WAIT)
}

fn since_epoch(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// A plain decimal number: no sign, no exponent.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

fn wait(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.min(MAX_WAIT.as_secs_f64())).ok()
}

/// Parts of a number and a unit each.
fn span(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        let tail = rest.get(digits..)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(letters);
        total += number
            * match unit.trim_end() {
                "d" => 86_400.0,
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = next;
    }
    if text.is_empty() { None } else { wait(total) }
}

/// RFC 3339: `2026-11-22T15:00:00Z`, with a fraction or an offset.
fn date(text: &str) -> Option<SystemTime> {
    let (day, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, date] = numbers(day, '-')?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':')?;
    let legal = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&date)
        && hour < 24
        && minute < 60
        && second <= 60
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, rest) => {
            let [hours, minutes] = numbers(rest, ':')?;
            let seconds = (hours * 60 + minutes) * 60;
            (hours < 24 && minutes < 60).then_some(if sign == "-" { -seconds } else { seconds })?
        }
    };
    let seconds = days(year, month, date) * 86_400 + (hour * 60 + minute) * 60 + second - offset;
    let part: f64 = format!("0.{fraction}").parse().ok().filter(|_| legal)?;
    since_epoch(u64::try_from(seconds).ok()? as f64 + part)
}

fn numbers<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && (1..=4).contains(&part.len());
    let parts: Vec<i64> =
        text.split(between).map(|part| part.parse().ok().filter(|_| digits(part))).collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Days since the epoch of a date of the Gregorian calendar: years begin in March, so that the leap day is their last
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2027-01-15 08:00:00 UTC.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn forms() {
        let cases = [
            ("0", Some(0.0)),
            ("7", Some(7.0)),
            (" 1.5 ", Some(1.5)),
            ("59.70", Some(59.7)),
            ("1s", Some(1.0)),
            ("20ms", Some(0.02)),
            ("6m0s", Some(360.0)),
            ("1h2m", Some(3720.0)),
            ("1h2m3.5s", Some(3723.5)),
            ("1d", Some(86_400.0)),
            ("250us", Some(0.000_25)),
            ("1800000030", Some(30.0)),
            ("1800000030.5", Some(30.5)),
            ("1800000030250", Some(30.25)),
            ("1700000000", Some(0.0)),
            ("Fri, 15 Jan 2027 08:00:10 GMT", Some(10.0)),
            ("Wed, 15 Jan 2020 08:00:10 GMT", Some(0.0)),
            ("2027-01-15T08:00:30Z", Some(30.0)),
            ("2027-01-15T08:00:30.250Z", Some(30.25)),
            ("2027-01-15T10:00:30+02:00", Some(30.0)),
            ("2027-01-15T03:00:30-05:00", Some(30.0)),
            ("2027-01-15 08:01:00Z", Some(60.0)),
            ("2020-02-29T00:00:00Z", Some(0.0)),
            // Absurd ones are bounded.
            ("99999999", Some(86_400.0)),
            ("999999999999999999999999", Some(86_400.0)),
            ("9999-12-31T23:59:60Z", Some(86_400.0)),
            ("99999h", Some(86_400.0)),
            // None at all.
            ("", None),
            ("-1", None),
            ("+5", None),
            ("1e3", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("12parsecs", None),
            ("1.2.3", None),
            ("s", None),
            ("2027-01-15", None),
            ("2027-13-15T08:00:30Z", None),
            ("2027-01-15T08:00:30", None),
            ("2027-01-15T25:00:30Z", None),
        ];
        for (text, expected) in cases {
            assert_eq!(until(text, now()).map(|wait| wait.as_secs_f64()), expected, "{text:?}");
        }
        assert_eq!(millis("250"), Some(Duration::from_millis(250)));
        assert_eq!(millis("1e9"), None);
    }

    proptest! {
        #[test]
        fn a_date_is_the_same_in_both_forms(seconds in 0_u64..4_000_000_000) {
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let http = httpdate::fmt_http_date(date);
            let month = 1 + "JanFebMarAprMayJunJulAugSepOctNovDec".find(&http[8..11]).unwrap() / 3;
            let rfc = format!("{}-{month:02}-{}T{}Z", &http[12..16], &http[5..7], &http[17..25]);
            let before = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.saturating_sub(50));
            prop_assert_eq!(until(&rfc, before), until(&http, before), "{}", rfc);
        }

        #[test]
        fn any_text_is_a_bounded_wait_or_none(text in "[0-9a-zA-Z.:,+ -]{0,30}") {
            prop_assert!(until(&text, now()).is_none_or(|wait| wait <= MAX_WAIT));
        }
    }
}
