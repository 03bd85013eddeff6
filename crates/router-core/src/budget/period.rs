//! The span of time a budget is for, by the UTC calendar.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// How long a budget lasts before it begins anew. Times are UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight.
    Day,
    /// From Monday's midnight, as ISO 8601 has it.
    Week,
    /// From the first of the month.
    #[default]
    Month,
    /// For ever.
    Total,
}

impl Period {
    /// Its name, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The period with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Day, Self::Week, Self::Month, Self::Total].into_iter().find(|period| period.name() == name)
    }

    /// When the period that `now` lies in began; [`Timestamp::ZERO`] for one that has no end.
    pub fn start(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Day => now.midnight(),
            Self::Week => now.midnight() - DAY * u32::from(now.weekday_utc() - 1),
            Self::Month => now.midnight() - DAY * (now.day_of_month_utc() - 1),
            Self::Total => Timestamp::ZERO,
        }
    }

    /// When the next one begins; `None`: never.
    pub fn end(self, now: Timestamp) -> Option<Timestamp> {
        let start = self.start(now);
        match self {
            Self::Day => Some(start + DAY),
            Self::Week => Some(start + DAY * 7),
            // Every month is over after 31 days, and none begins twice in them.
            Self::Month => Some(self.start(start + DAY * 31)),
            Self::Total => None,
        }
    }
}

/// One budget in one period: what an attempt counts on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BudgetUse {
    /// The budget's name, as in the configuration; a key's own is `key:` and the key's name.
    pub budget: Arc<str>,
    /// When its period began ([`Period::start`]).
    pub start: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 was a Sunday.
    #[test]
    fn periods_begin_and_end_by_the_calendar() {
        let at = |text: &str| {
            let secs = |days: u64, secs: u64| Timestamp::from_millis((days * 86_400 + secs) * 1_000);
            match text {
                "2026-11-22 15:10" => secs(20_779, 54_600),
                "2026-11-22" => secs(20_779, 0),
                "2026-11-23" => secs(20_780, 0),
                "2026-11-16" => secs(20_773, 0),
                "2026-11-01" => secs(20_758, 0),
                "2026-12-01" => secs(20_788, 0),
                _ => Timestamp::ZERO,
            }
        };
        let check = |period: Period, start: &str, end: Option<&str>| {
            let now = at("2026-11-22 15:10");
            assert_eq!(period.start(now), at(start), "{period:?}");
            assert_eq!(period.end(now), end.map(at), "{period:?}");
            assert_eq!(period.start(period.start(now)), period.start(now), "{period:?}");
            assert_eq!(Period::named(period.name()), Some(period));
        };
        check(Period::Day, "2026-11-22", Some("2026-11-23"));
        check(Period::Week, "2026-11-16", Some("2026-11-23"));
        check(Period::Month, "2026-11-01", Some("2026-12-01"));
        check(Period::Total, "", None);
    }

    #[test]
    fn periods_leave_no_gap_and_do_not_overlap() {
        for period in [Period::Day, Period::Week, Period::Month] {
            // The year 2000: the first week of 1970 began before time did.
            let mut now = Timestamp::from_millis(946_684_800_000);
            for _ in 0..2_000 {
                let next = period.end(now).unwrap();
                assert_eq!(period.start(next), next, "{period:?}");
                assert_eq!(period.start(next - Duration::from_micros(1)), period.start(now), "{period:?}");
                now = next;
            }
        }
    }
}
