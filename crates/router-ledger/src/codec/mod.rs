//! A record as bytes: the payload of a frame. Frames, checksums and files are the spool's business.
//!
//! Version 2: a tag byte, then the record's fields in order. Integers are LEB128 varints (money zigzag), request ids 16
//! bytes little-endian, strings a length and UTF-8, an absent value a zero byte (strings: length plus one otherwise).
//! A reader ignores bytes after the fields it knows, so fields may be appended within a version; anything else needs a
//! new version byte. Version 1 had no budgets at the end of an open. Outcomes are written by name: their order in the source means nothing on disk.

mod read;

use std::collections::HashSet;
use std::sync::Arc;

use router_core::attempt::{FailureKind, Outcome};
use router_core::budget::BudgetUse;
use router_core::chat::Usage;
use router_core::money::Usd;
use router_core::record::{CloseRecord, LedgerRecord, OpenRecord, RequestRecord};

use read::Input;

/// The version this build writes.
pub(crate) const VERSION: u8 = 2;
/// The one before, which is still read: a process that died before an update left it.
const BEFORE: u8 = 1;
/// Labels longer than this are cut (at a character): a client must not decide how long our rows are.
const MAX_LABEL_BYTES: usize = 4096;
/// Distinct labels kept for sharing before the memory starts afresh.
const MAX_NAMES: usize = 4096;

/// The payload was not written by a build whose records we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The version byte found.
    pub(crate) version: u8,
}

/// Labels seen before, so that a million rows of one deployment share one string.
#[derive(Default)]
pub(crate) struct Names(HashSet<Arc<str>>);

impl Names {
    fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        if self.0.len() >= MAX_NAMES {
            self.0.clear();
        }
        let name: Arc<str> = name.into();
        self.0.insert(name.clone());
        name
    }
}

/// Appends the record's bytes.
pub(crate) fn encode(record: &LedgerRecord, out: &mut Vec<u8>) {
    match record {
        LedgerRecord::Open(open) => encode_open(open, out),
        LedgerRecord::Close(close) => encode_close(close, out),
        LedgerRecord::Request(request) => encode_request(request, out),
    }
}

/// The record these bytes hold.
pub(crate) fn decode(version: u8, payload: &[u8], names: &mut Names) -> Result<LedgerRecord, Unreadable> {
    let mut input = Input { left: payload, names, version };
    let record = match version {
        VERSION | BEFORE => input.record(),
        _ => None,
    };
    record.ok_or(Unreadable { version })
}

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const REQUEST: u8 = 3;

fn encode_open(open: &OpenRecord, out: &mut Vec<u8>) {
    out.push(OPEN);
    out.extend_from_slice(&open.request.0.to_le_bytes());
    put(out, open.attempt.into());
    put(out, open.at.as_micros());
    for label in [&open.deployment, &open.provider, &open.model] {
        put_label(out, label);
    }
    put_optional_label(out, open.key.as_deref());
    put(out, open.tags.len() as u64);
    for tag in &open.tags {
        put_label(out, tag);
    }
    put_optional_label(out, open.rule.as_deref());
    put_money(out, open.ceiling);
    put_label(out, &open.price_version);
    out.push(open.simulated.into());
    put(out, open.budgets.len() as u64);
    for BudgetUse { budget, start } in &open.budgets {
        put_label(out, budget);
        put(out, start.as_micros());
    }
}

fn encode_close(close: &CloseRecord, out: &mut Vec<u8>) {
    out.push(CLOSE);
    out.extend_from_slice(&close.request.0.to_le_bytes());
    put(out, close.attempt.into());
    put(out, close.at.as_micros());
    put_label(out, close.outcome.name());
    put_usage(out, &close.usage);
    put_money(out, close.cost);
    out.push(close.estimated.into());
    put_optional(out, close.first_byte_ms);
    put(out, close.total_ms.into());
    match close.provider_cost {
        None => out.push(0),
        Some(cost) => {
            out.push(1);
            put_money(out, cost);
        }
    }
}

fn encode_request(request: &RequestRecord, out: &mut Vec<u8>) {
    out.push(REQUEST);
    out.extend_from_slice(&request.request.0.to_le_bytes());
    put(out, request.at.as_micros());
    put(out, request.ended.as_micros());
    put_label(out, &request.model);
    for label in [&request.key, &request.client_request_id, &request.rule, &request.deployment] {
        put_optional_label(out, label.as_deref());
    }
    put_label(out, &request.outcome);
    put(out, request.attempts.into());
    put_usage(out, &request.usage);
    put_money(out, request.cost);
    put_money(out, request.reference_cost);
    put_optional(out, request.first_byte_ms);
    put(out, request.overhead_us.into());
    out.push(request.simulated.into());
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_money(out: &mut Vec<u8>, money: Usd) {
    let nano = money.nano();
    put(out, (nano.cast_unsigned() << 1) ^ (nano >> 63).cast_unsigned());
}

fn put_optional(out: &mut Vec<u8>, value: Option<u32>) {
    put(out, value.map_or(0, |v| u64::from(v) + 1));
}

fn put_label(out: &mut Vec<u8>, label: &str) {
    let label = cut(label);
    put(out, label.len() as u64);
    out.extend_from_slice(label.as_bytes());
}

fn put_optional_label(out: &mut Vec<u8>, label: Option<&str>) {
    let Some(label) = label else {
        return out.push(0);
    };
    let label = cut(label);
    put(out, label.len() as u64 + 1);
    out.extend_from_slice(label.as_bytes());
}

fn cut(label: &str) -> &str {
    label.get(..label.floor_char_boundary(MAX_LABEL_BYTES)).unwrap_or(label)
}

fn put_usage(out: &mut Vec<u8>, usage: &Usage) {
    for tokens in classes(usage) {
        put(out, tokens);
    }
}

/// Every class of usage, in the order of [`Usage`]'s fields: the order on disk and of the columns.
pub(crate) const fn classes(usage: &Usage) -> [u64; 10] {
    let Usage {
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        audio_input_tokens,
        cached_audio_input_tokens,
        image_input_tokens,
        output_tokens,
        reasoning_tokens,
        audio_output_tokens,
    } = *usage;
    [
        input_tokens,
        cached_input_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        audio_input_tokens,
        cached_audio_input_tokens,
        image_input_tokens,
        output_tokens,
        reasoning_tokens,
        audio_output_tokens,
    ]
}

/// The inverse of [`classes`].
pub(crate) const fn usage(classes: [u64; 10]) -> Usage {
    let [input, cached, write, write_1h, audio, cached_audio, image, output, reasoning, audio_output] =
        classes;
    Usage {
        input_tokens: input,
        cached_input_tokens: cached,
        cache_write_tokens: write,
        cache_write_1h_tokens: write_1h,
        audio_input_tokens: audio,
        cached_audio_input_tokens: cached_audio,
        image_input_tokens: image,
        output_tokens: output,
        reasoning_tokens: reasoning,
        audio_output_tokens: audio_output,
    }
}

/// The outcome of this name and, of a failure, its kind.
pub(crate) fn outcome(name: &str) -> Option<Outcome> {
    [Outcome::Success, Outcome::Cancelled, Outcome::Lost]
        .into_iter()
        .chain(FailureKind::ALL.into_iter().map(Outcome::Failure))
        .find(|outcome| outcome.name() == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::suite::any_record;

    fn round(record: &LedgerRecord) -> LedgerRecord {
        let mut bytes = Vec::new();
        encode(record, &mut bytes);
        decode(VERSION, &bytes, &mut Names::default()).unwrap()
    }

    proptest! {
        #[test]
        fn every_record_comes_back_as_it_was(record in any_record()) {
            prop_assert_eq!(round(&record), record);
        }

        #[test]
        fn bytes_of_a_later_version_of_the_same_layout_are_passed_over(record in any_record(), more in any::<[u8; 5]>()) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            bytes.extend(more);
            prop_assert_eq!(decode(VERSION, &bytes, &mut Names::default()), Ok(record));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in any::<u8>()) {
            let _ = decode(version, &bytes, &mut Names::default());
        }

        #[test]
        fn a_record_cut_anywhere_is_unreadable(record in any_record(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            bytes.truncate(cut.index(bytes.len()));
            prop_assert_eq!(decode(VERSION, &bytes, &mut Names::default()), Err(Unreadable { version: VERSION }));
        }
    }

    #[test]
    fn records_of_the_version_before_are_read() {
        let open = crate::suite::open(7, 1);
        let mut bytes = Vec::new();
        encode(&open, &mut bytes);
        assert_eq!(bytes.pop(), Some(0), "no budgets, which version 1 did not say");
        assert_eq!(decode(BEFORE, &bytes, &mut Names::default()), Ok(open.clone()));
        assert_eq!(decode(VERSION, &bytes, &mut Names::default()), Err(Unreadable { version: VERSION }));
        let close = crate::suite::close(7, 1, Outcome::Success, 3);
        bytes.clear();
        encode(&close, &mut bytes);
        assert_eq!(decode(BEFORE, &bytes, &mut Names::default()), Ok(close));
    }

    #[test]
    fn long_labels_are_cut_at_a_character() {
        let LedgerRecord::Request(mut request) = crate::suite::request(1, 1, "success") else {
            unreachable!()
        };
        request.client_request_id = Some("é".repeat(MAX_LABEL_BYTES).into());
        let LedgerRecord::Request(back) = round(&LedgerRecord::Request(request)) else { unreachable!() };
        assert_eq!(back.client_request_id.unwrap().len(), MAX_LABEL_BYTES);
    }

    #[test]
    fn every_outcome_has_its_own_name() {
        for kind in FailureKind::ALL {
            assert_eq!(outcome(kind.name()), Some(Outcome::Failure(kind)));
        }
        for other in [Outcome::Success, Outcome::Cancelled, Outcome::Lost] {
            assert_eq!(outcome(other.name()), Some(other));
        }
    }
}
