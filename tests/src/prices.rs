//! A price list of the tests' own, and what a call costs under it: whole numbers, exact, none of the router's code.

use crate::upstream::Call;

/// Rates in micro-USD per million tokens, the finest a configuration can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Input.
    pub input: u32,
    /// Input read from a prompt cache.
    pub cached: u32,
    /// Output.
    pub output: u32,
}

impl Price {
    /// As a configuration has it: USD per million tokens, as text.
    pub fn configured(self) -> serde_json::Value {
        let usd = |micro: u32| format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000);
        serde_json::json!({ "input": usd(self.input), "cached_input": usd(self.cached), "output": usd(self.output) })
    }

    /// What so many tokens cost, in nano-USD: each class at its rate, rounded once, half to even.
    ///
    /// A token at one micro-USD per million is 10^-12 USD, a thousandth of a nano-USD.
    pub fn cost_nanousd(self, input: u64, cached: u64, output: u64) -> i128 {
        let part = |tokens: u64, rate: u32| i128::from(tokens) * i128::from(rate);
        let thousandths =
            part(input - cached, self.input) + part(cached, self.cached) + part(output, self.output);
        let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
        let up = rest > 500 || (rest == 500 && whole % 2 == 1);
        whole + i128::from(up)
    }

    /// What a call costs that its upstream answered whole; one that it refused costs nothing.
    pub fn of_call(self, call: &Call) -> i128 {
        match call.ending {
            crate::upstream::Ending::Whole => {
                self.cost_nanousd(call.input_tokens, call.cached_tokens, call.output_tokens)
            }
            _ => 0,
        }
    }
}

/// Nano-USD from a decimal number of USD.
///
/// # Panics
/// When it is not one, or finer than a nano-USD.
pub fn nanousd(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 9, "{text}: finer than a nano-USD");
    let number = format!("{whole}{fraction:0<9}");
    sign * number.parse::<i128>().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A decimal number of USD from nano-USD, for people.
pub fn usd(nanousd: i128) -> String {
    let sign = if nanousd < 0 { "-" } else { "" };
    let nanousd = nanousd.unsigned_abs();
    format!("{sign}{}.{:09}", nanousd / 1_000_000_000, nanousd % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_exact_and_rounded_once_half_to_even() {
        let price = Price { input: 500, cached: 100, output: 1_500 };
        assert_eq!(price.configured()["input"], "0.000500");
        for (input, cached, output, expected) in
            [(1, 0, 0, 0), (3, 0, 0, 2), (5, 0, 0, 2), (1, 1, 1, 2), (2_000_000, 0, 0, 1_000_000)]
        {
            assert_eq!(price.cost_nanousd(input, cached, output), expected, "{input} {cached} {output}");
        }
    }

    #[test]
    fn amounts_are_read_and_written() {
        for (text, nano) in
            [("0", 0), ("0.00225", 2_250_000), ("-1.000000001", -1_000_000_001), ("12", 12_000_000_000)]
        {
            assert_eq!(nanousd(text), nano, "{text}");
        }
        assert_eq!(usd(-2_250_000), "-0.002250000");
    }
}
