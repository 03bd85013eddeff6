//! Frames: length, CRC32C, version, payload; and finding them again in bytes that were torn or damaged.
//!
//! `length` (u32, little-endian) counts the version byte and the payload; the checksum covers all three. It starts from
//! a seed made of the file's own name, so bytes of another file, or a client's text that looks like a frame, never pass.

use crate::codec;

/// Length and checksum.
const HEADER_BYTES: usize = 8;
/// The longest frame: what a reader must hold at once.
pub(crate) const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Where a file's checksums start.
pub(crate) fn seed(instance: &str, file_name: &str) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(instance.as_bytes()), file_name.as_bytes())
}

/// Appends one frame to `out`. False: the record is too long for a frame.
pub(crate) fn write(record: &router_core::record::LedgerRecord, seed: u32, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.push(codec::VERSION);
    codec::encode(record, out);
    let len = out.len() - start;
    let frame = out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<HEADER_BYTES>());
    let (Ok(length), Some((header, body))) = (u32::try_from(len - HEADER_BYTES), frame) else {
        return false;
    };
    let length = length.to_le_bytes();
    let sum = checksum(seed, length, body).to_le_bytes();
    for (to, from) in header.iter_mut().zip(length.into_iter().chain(sum)) {
        *to = from;
    }
    len <= MAX_FRAME_BYTES
}

fn checksum(seed: u32, length: [u8; 4], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &length), body)
}

/// What stands at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A whole frame.
    Frame {
        /// Its version.
        version: u8,
        /// Its payload.
        payload: &'a [u8],
        /// Its length in the file.
        len: usize,
    },
    /// Perhaps a frame, of which the end is not in these bytes.
    Partial,
    /// No frame.
    Nothing,
}

/// Looks at the start of `bytes`.
pub(crate) fn find(bytes: &[u8], seed: u32) -> Found<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return Found::Partial;
    };
    let body_len = u32::from_le_bytes(*length) as usize;
    if !(2..=MAX_FRAME_BYTES - HEADER_BYTES).contains(&body_len) {
        return Found::Nothing;
    }
    let Some((sum, rest)) = rest.split_first_chunk::<4>() else {
        return Found::Partial;
    };
    let Some(body) = rest.get(..body_len) else {
        return Found::Partial;
    };
    match body.split_first() {
        Some((version, payload)) if checksum(seed, *length, body) == u32::from_le_bytes(*sum) => {
            Found::Frame { version: *version, payload, len: HEADER_BYTES + body_len }
        }
        _ => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::suite::any_record;

    proptest! {
        #[test]
        fn a_frame_is_found_whole_and_never_in_part(record in any_record(), seed in any::<u32>()) {
            let mut bytes = Vec::new();
            prop_assert!(write(&record, seed, &mut bytes));
            let whole = matches!(find(&bytes, seed), Found::Frame { len, .. } if len == bytes.len());
            prop_assert!(whole);
            for end in 0..bytes.len() {
                prop_assert_eq!(find(&bytes[..end], seed), Found::Partial);
            }
        }

        #[test]
        fn a_flipped_bit_is_seen(record in any_record(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut bytes = Vec::new();
            write(&record, 7, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            let found = matches!(find(&bytes, 7), Found::Frame { .. });
            prop_assert!(!found);
        }

        #[test]
        fn a_frame_of_another_file_is_nothing(record in any_record()) {
            let mut bytes = Vec::new();
            write(&record, seed("a", "000-0000000001.log"), &mut bytes);
            prop_assert_eq!(find(&bytes, seed("a", "000-0000000002.log")), Found::Nothing);
        }
    }
}
