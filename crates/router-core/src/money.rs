//! Money as integers: costs in nano-USD, list prices in micro-USD per million tokens. No float ever holds money.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A cost or a limit in nano-USD (10^-9 USD). Arithmetic saturates: money never wraps round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i64);

/// Not a decimal number of USD with at most nine decimals inside the range of [`Usd`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an amount of USD: a decimal number with at most 9 decimals, below 9223372036")]
pub struct NotUsd(String);

impl Usd {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// More than anybody has.
    pub const MAX: Self = Self(i64::MAX);

    /// From nano-USD.
    pub const fn from_nano(nano: i64) -> Self {
        Self(nano)
    }

    /// In nano-USD.
    pub const fn nano(self) -> i64 {
        self.0
    }

    /// As a float, for scores and for JSON fields whose type is a number (`usage.cost`). Never for sums.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The product with a whole number.
    #[must_use]
    pub const fn times(self, n: i64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Usd {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

/// A plain decimal without exponent or superfluous zeros: `0.000012345`, `3`, `-0.5`.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From the last digit back, in a buffer on the stack: money stands six times in what a request leaves behind, and
        // padded formatting costs several times as much. Sign, ten digits, point, nine digits.
        let mut text = [0; 21];
        let mut start = text.len();
        let mut put = |byte: u8| {
            start -= 1;
            text[start] = byte;
        };
        let (mut whole, mut nano) =
            (self.0.unsigned_abs() / 1_000_000_000, self.0.unsigned_abs() % 1_000_000_000);
        let digit = |n: u64| b'0' + (n % 10) as u8;
        if nano > 0 {
            let mut places = 9;
            while nano % 10 == 0 {
                nano /= 10;
                places -= 1;
            }
            for _ in 0..places {
                put(digit(nano));
                nano /= 10;
            }
            put(b'.');
        }
        put(digit(whole));
        while whole >= 10 {
            whole /= 10;
            put(digit(whole));
        }
        if self.0 < 0 {
            put(b'-');
        }
        f.write_str(std::str::from_utf8(&text[start..]).unwrap_or_default())
    }
}

/// Reads a decimal with `decimals` fixed places into an integer; `None` when it has more, is no number or is too big.
fn fixed(text: &str, decimals: usize) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // value = digits x 10^shift, in units of 10^-decimals
    let shift = exponent
        .checked_add(i32::try_from(decimals).ok()?)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let kept = if shift >= 0 {
        if shift > 19 {
            return None;
        }
        format!("{digits}{}", "0".repeat(shift.unsigned_abs() as usize))
    } else {
        let cut = digits.len().checked_sub(shift.unsigned_abs() as usize)?;
        if digits[cut..].bytes().any(|b| b != b'0') {
            return None;
        }
        digits[..cut].to_owned()
    };
    let value: i64 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    Some(if negative { -value } else { value })
}

impl FromStr for Usd {
    type Err = NotUsd;

    fn from_str(text: &str) -> Result<Self, NotUsd> {
        fixed(text.trim(), 9).map(Self).ok_or_else(|| NotUsd(text.to_owned()))
    }
}

/// A list price in micro-USD per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerMillion(u64);

/// Not a price: negative, no number, or finer than a micro-USD per million tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a price: USD per million tokens, zero or more, with at most 6 decimals")]
pub struct NotPrice(String);

impl PerMillion {
    /// From micro-USD per million tokens.
    pub const fn from_micro(micro: u64) -> Self {
        Self(micro)
    }

    /// In micro-USD per million tokens.
    pub const fn micro(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Usd(i64::try_from(self.0).unwrap_or(i64::MAX).saturating_mul(1_000)), f)
    }
}

impl FromStr for PerMillion {
    type Err = NotPrice;

    fn from_str(text: &str) -> Result<Self, NotPrice> {
        let micro = fixed(text.trim(), 6).and_then(|v| u64::try_from(v).ok());
        micro.map(Self).ok_or_else(|| NotPrice(text.to_owned()))
    }
}

/// A number or a decimal string, as text. Numbers arrive as `f64`, whose shortest decimal form is the one typed.
#[derive(Deserialize)]
#[serde(untagged)]
enum Typed {
    Whole(i64),
    Number(f64),
    Text(String),
}

impl Typed {
    fn text(self) -> String {
        match self {
            Self::Whole(n) => n.to_string(),
            Self::Number(n) => n.to_string(),
            Self::Text(text) => text,
        }
    }
}

macro_rules! decimal_serde {
    ($type:ty, $name:literal, $description:literal, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Typed::deserialize(deserializer)?.text().parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": $description,
                    "anyOf": [{ "type": "number" }, { "type": "string", "pattern": $pattern }]
                })
            }
        }
    };
}

decimal_serde!(
    Usd,
    "Usd",
    "USD: a number or a decimal string with at most 9 decimals.",
    r"^-?\d+(\.\d{1,9})?$"
);
decimal_serde!(
    PerMillion,
    "UsdPerMillion",
    "USD per million tokens: a number or a decimal string with at most 6 decimals, zero or more.",
    r"^\d+(\.\d{1,6})?$"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        for (text, nano) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("0.000000001", 1),
            ("-2.5", -2_500_000_000),
            ("1e-9", 1),
            ("0.10", 100_000_000),
        ] {
            assert_eq!(text.parse::<Usd>().unwrap().nano(), nano, "{text}");
        }
        for text in [
            "",
            ".",
            "abc",
            "1e400",
            "0.0000000001",
            "NaN",
            "inf",
            "99999999999999999999",
            "--1",
            "1e99999999999",
        ] {
            assert!(text.parse::<Usd>().is_err(), "{text}");
        }
    }

    #[test]
    fn configuration_takes_numbers_and_strings() {
        assert_eq!(
            serde_json::from_str::<Usd>("0.1").unwrap(),
            serde_json::from_str::<Usd>("\"0.1\"").unwrap()
        );
        assert_eq!(serde_json::from_str::<PerMillion>("2.5").unwrap().micro(), 2_500_000);
        assert!(serde_json::from_str::<PerMillion>("-1").is_err());
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(nano in any::<i64>().prop_filter("negation", |n| *n != i64::MIN)) {
            prop_assert_eq!(Usd(nano).to_string().parse::<Usd>().unwrap(), Usd(nano));
        }

        #[test]
        fn nothing_typed_makes_it_panic(text in "\\PC{0,24}") {
            let _ = text.parse::<Usd>();
            let _ = text.parse::<PerMillion>();
        }
    }
}
