//! Ids of requests: UUIDv7, made without asking the kernel for randomness each time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use router_core::record::RequestId;
use router_core::time::Timestamp;

/// Makes ids. Two makers never make the same one, but for a chance of 2^-62 in the same 250 ns.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// Keys of a keyed hash, from the kernel: who has seen ids cannot tell others.
    keys: RandomState,
    made: AtomicU64,
}

impl Ids {
    /// An id of this time. Its layout is RFC 9562's version 7: milliseconds, then (its method 3) the fraction of one in 12
    /// bits, so that ids made in order are in order down to a microsecond, then 62 bits of the hash of a count.
    pub(crate) fn next(&self, now: Timestamp) -> RequestId {
        let (ms, us) = (now.as_micros() / 1_000, now.as_micros() % 1_000);
        let random = self.keys.hash_one(self.made.fetch_add(1, Ordering::Relaxed));
        let high = (ms << 16) | (7 << 12) | ((us << 12) / 1_000);
        let low = (0b10 << 62) | (random >> 2);
        RequestId((u128::from(high) << 64) | u128::from(low))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_id_is_a_version_7_uuid_of_its_time() {
        let now = Timestamp::ZERO + Duration::from_micros(1_767_225_600_123_999);
        let id = uuid::Uuid::from_u128(Ids::default().next(now).0);
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos / 1_000_000), (1_767_225_600, 123));
    }

    #[test]
    fn ids_differ_and_are_in_the_order_of_their_microseconds() {
        let (one, other) = (Ids::default(), Ids::default());
        let at = |us| Timestamp::ZERO + Duration::from_micros(us);
        let ids: Vec<_> =
            (0..10_000).flat_map(|us| [one.next(at(us)), other.next(at(us)), one.next(at(us))]).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert!(ids.chunks(3).is_sorted_by(|a, b| a.iter().max() < b.iter().min()));
    }
}
