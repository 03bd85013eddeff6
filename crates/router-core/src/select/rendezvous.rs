//! Rendezvous hashing (Thaler and Ravishankar 1998): every session has its own order of the deployments, the same in every
//! replica and after every restart, without a table. A deployment that is out moves only the sessions that were its own,
//! and they return with it.

/// A session as a number.
pub(super) fn session(id: &str) -> u64 {
    fnv(id.as_bytes())
}

/// The draw of one deployment for a session, in 0 < u <= 1. The ledger holds decisions made with it: it never changes.
pub(super) fn draw(session: u64, deployment: &str) -> f64 {
    // The 53 upper bits are a float exactly.
    let bits = mix(session ^ mix(fnv(deployment.as_bytes()))) >> 11;
    (bits + 1) as f64 / (1_u64 << 53) as f64
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo).
fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): every input bit reaches every output bit.
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_a_constant_of_session_and_deployment() {
        let check = |id: &str, deployment: &str, expected: f64| {
            let drawn = draw(session(id), deployment);
            assert!((drawn - expected).abs() < 1e-15, "{id} {deployment}: {drawn:?}");
        };
        check("", "a/x", 0.266_523_820_592_647_34);
        check("s-1", "a/x", 0.283_117_151_536_811_4);
        check("s-1", "b/y", 0.720_709_558_342_967_3);
    }
}
