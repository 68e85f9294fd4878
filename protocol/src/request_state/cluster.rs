//! Messages between the processes of a cluster, sealed with the keys that all of them have.
//!
//! A sealed message is
//!
//! | bytes | contents |
//! |---|---|
//! | 1 | the key |
//! | 24 | random nonce |
//! | the rest | the message, encrypted with XChaCha20-Poly1305, and a tag of 16 bytes |
//!
//! It lacks protection against replay: the reader knows the time and the number of a message.

use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use super::session::NONCE_BYTES;

/// Derives keys for messages: no other use shares them.
const LABEL: &[u8] = b"corelane cluster message";
/// Derives the fingerprint of a key.
const FINGERPRINT_LABEL: &[u8] = b"corelane key fingerprint";

/// A key for messages.
pub(super) struct ClusterKey {
    id: u8,
    cipher: XChaCha20Poly1305,
    /// The fingerprint of the key that it was derived from.
    pub(super) fingerprint: u64,
}

impl ClusterKey {
    /// The key for messages that belongs to a key for states.
    pub(super) fn derive(key: &[u8; 32]) -> ClusterKey {
        let derive = |label: &[u8]| -> [u8; 32] {
            let hasher = Sha256::new().chain_update(label).chain_update(key);
            hasher.finalize().into()
        };
        let (derived, print) = (derive(LABEL), derive(FINGERPRINT_LABEL));
        let (first, _) = print.split_first_chunk::<8>().expect("a hash is longer");
        ClusterKey {
            id: Sha256::digest(derived)[0],
            cipher: XChaCha20Poly1305::new((&derived).into()),
            fingerprint: u64::from_be_bytes(*first),
        }
    }

    /// Seals a message with a nonce that has not been used before.
    pub(super) fn seal(&self, nonce: [u8; NONCE_BYTES], message: &[u8]) -> Vec<u8> {
        let encrypted = self
            .cipher
            .encrypt(&XNonce::from(nonce), message)
            .expect("a message is far shorter than the cipher allows");
        [&[self.id], &nonce[..], &encrypted].concat()
    }
}

/// Opens a message with the key that sealed it, if that is among `keys`.
pub(super) fn open(keys: &[ClusterKey], sealed: &[u8]) -> Option<Vec<u8>> {
    let (id, rest) = sealed.split_first()?;
    let (nonce, encrypted) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let mut keys = keys.iter().filter(|key| key.id == *id);
    keys.find_map(|key| key.cipher.decrypt(&XNonce::from(*nonce), encrypted).ok())
}

#[cfg(test)]
mod tests {
    use crate::request_state::Sealer;

    #[test]
    fn messages_open_with_any_key_of_the_ring_and_not_when_changed() {
        let sealer = Sealer::new(&[[7; 32]]);
        let sealed = sealer.seal_message(b"alive");
        let both = Sealer::new(&[[8; 32], [7; 32]]);
        assert_eq!(both.open_message(&sealed).as_deref(), Some(&b"alive"[..]));
        assert_eq!(Sealer::new(&[[8; 32]]).open_message(&sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(both.open_message(&changed), None, "byte {at}");
            assert_eq!(both.open_message(&sealed[..at]), None, "{at} bytes");
        }
        assert_ne!(sealed, sealer.seal_message(b"alive"));
    }

    #[test]
    fn a_fingerprint_is_that_of_its_key_in_each_process() {
        let both = Sealer::new(&[[8; 32], [7; 32]]).fingerprints();
        let one = Sealer::new(&[[7; 32]]).fingerprints();
        assert_eq!((both.len(), both[1]), (2, one[0]));
        assert_ne!(both[0], both[1]);
    }
}
