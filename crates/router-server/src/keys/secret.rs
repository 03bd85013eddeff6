//! New secrets, and their hashes: the only things of a secret that are kept.

use std::fs::File;
use std::io::{self, Read};

use router_core::config::Secret;
use sha2::{Digest, Sha256};

/// What a key of ours begins with: leak scanners and people see what it is.
const PREFIX: &str = "rk-";
/// 256 bits: beyond guessing, so a plain SHA-256 of it is safe to keep.
const RANDOM_BYTES: usize = 32;

/// A new secret, from the operating system's generator: hex, so that it stands in a header, a URL or a shell as it is.
///
/// # Errors
/// The generator cannot be read.
pub(crate) fn new() -> io::Result<Secret> {
    let mut random = [0; RANDOM_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(Secret::new(format!("{PREFIX}{}", hex(&random))))
}

/// What the ledger keeps of it.
pub(crate) fn hash(secret: &Secret) -> [u8; 32] {
    hash_text(secret.expose())
}

/// SHA-256.
pub(crate) fn hash_text(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// 32 bytes from 64 hex digits.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_random_and_never_the_same() {
        let (one, other) = (new().unwrap(), new().unwrap());
        assert_ne!(one.expose(), other.expose());
        for secret in [&one, &other] {
            let text = secret.expose();
            assert_eq!((text.len(), text.strip_prefix("rk-").and_then(from_hex).is_some()), (67, true));
            assert_eq!(from_hex(&hex(&hash(secret))), Some(hash(secret)));
        }
        assert_eq!(from_hex("zz"), None);
        assert_eq!(from_hex(&"g".repeat(64)), None);
    }
}
