//! The terms of a session, sealed, as the second part of its id: any process with the same keys can
//! serve the session from its id alone.
//!
//! The text is URL-safe Base64 without padding of
//!
//! | bytes | contents |
//! |---|---|
//! | 1 | the key |
//! | 8 | contents, encrypted with XChaCha20-Poly1305 |
//! | 16 | tag |
//!
//! The contents are the level of the format, the revision, the capabilities and the lists, a byte
//! each, and the creation in unix seconds, big-endian. The nonce is made of the first part of the
//! id, whose random bits never repeat, so a text belongs to one id. The principal is authenticated,
//! not stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::mcp::capability::ClientCapabilities;
use crate::mcp::era::Era;
use crate::mcp::revision::Revision;
use crate::mcp::subscription::ListKinds;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
pub(super) const TAG_BYTES: usize = 16;
/// The length of a text, in characters.
pub const SESSION_SEAL_CHARS: usize = (SEALED_BYTES * 4).div_ceil(3);

/// Contents of a later level are not opened.
const LEVEL: u8 = 1;
const CONTENTS_BYTES: usize = 8;
const SEALED_BYTES: usize = 1 + CONTENTS_BYTES + TAG_BYTES;
/// Derives keys for sessions: states and sessions share no key.
const LABEL: &[u8] = b"corelane session id";

/// What both sides agreed on in the handshake of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTerms {
    /// The revision, of the legacy era.
    pub revision: Revision,
    /// The capabilities of the client.
    pub capabilities: ClientCapabilities,
    /// The lists for which the server declared notifications of changes.
    pub lists: ListKinds,
    /// When the session was made, in unix seconds.
    pub created_s: u32,
}

/// A key for the terms of sessions.
pub(super) struct SessionKey {
    id: u8,
    cipher: XChaCha20Poly1305,
}

impl SessionKey {
    /// The key for sessions that belongs to a key for states.
    pub(super) fn derive(key: &[u8; 32]) -> SessionKey {
        let derived: [u8; 32] = Sha256::new()
            .chain_update(LABEL)
            .chain_update(key)
            .finalize()
            .into();
        SessionKey {
            id: Sha256::digest(derived)[0],
            cipher: XChaCha20Poly1305::new((&derived).into()),
        }
    }

    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        principal: Option<&str>,
        terms: SessionTerms,
    ) -> String {
        let [a, b, c, d] = terms.created_s.to_be_bytes();
        let (capabilities, lists) = (terms.capabilities.bits(), terms.lists.bits());
        let contents = [LEVEL, terms.revision as u8, capabilities, lists, a, b, c, d];
        let payload = Payload {
            msg: &contents,
            aad: &associated_data(principal),
        };
        let encrypted = self
            .cipher
            .encrypt(&XNonce::from(*nonce), payload)
            .expect("eight bytes are far shorter than the cipher allows");
        URL_SAFE_NO_PAD.encode([&[self.id], &encrypted[..]].concat())
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        principal: Option<&str>,
        encrypted: &[u8],
    ) -> Option<SessionTerms> {
        let payload = Payload {
            msg: encrypted,
            aad: &associated_data(principal),
        };
        let contents = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        let contents = <[u8; CONTENTS_BYTES]>::try_from(contents).ok()?;
        let [LEVEL, revision, capabilities, lists, created @ ..] = contents else {
            return None;
        };
        let revision = *Revision::ALL.get(usize::from(revision))?;
        Some(SessionTerms {
            revision: Some(revision).filter(|it| it.era() == Era::Legacy)?,
            capabilities: ClientCapabilities::from_bits(capabilities),
            lists: ListKinds::from_bits(lists),
            created_s: u32::from_be_bytes(created),
        })
    }
}

/// Opens a text with the key that sealed it, if that is among `keys`.
pub(super) fn open(
    keys: &[SessionKey],
    nonce: &[u8; NONCE_BYTES],
    principal: Option<&str>,
    text: &[u8],
) -> Option<SessionTerms> {
    if text.len() != SESSION_SEAL_CHARS {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (id, encrypted) = sealed.split_first()?;
    let mut keys = keys.iter().filter(|key| key.id == *id);
    keys.find_map(|key| key.open(nonce, principal, encrypted))
}

/// No principal differs from the empty name.
fn associated_data(principal: Option<&str>) -> Vec<u8> {
    match principal {
        None => Vec::new(),
        Some(name) => [b"=", name.as_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::{SESSION_SEAL_CHARS, SessionTerms};
    use crate::mcp::capability::ClientCapabilities;
    use crate::mcp::revision::Revision;
    use crate::mcp::subscription::ListKinds;
    use crate::request_state::Sealer;

    const KEY: [u8; 32] = [7; 32];
    const NONCE: [u8; 24] = [9; 24];

    fn terms(revision: Revision) -> SessionTerms {
        SessionTerms {
            revision,
            capabilities: ClientCapabilities::from_bits(0b10_0101),
            lists: ListKinds::from_bits(0b011),
            created_s: 0xfedc_ba98,
        }
    }

    fn opened(keys: &[[u8; 32]], principal: Option<&str>, text: &[u8]) -> Option<SessionTerms> {
        Sealer::new(keys).open_session(&NONCE, principal, text)
    }

    #[test]
    fn terms_open_for_their_id_and_principal_with_any_key_of_the_ring() {
        for revision in Revision::LEGACY {
            let terms = terms(*revision);
            for principal in [None, Some(""), Some("ann")] {
                let text = Sealer::new(&[KEY]).seal_session(&NONCE, principal, terms);
                let text = text.as_bytes();
                assert_eq!(text.len(), SESSION_SEAL_CHARS);
                assert_eq!(opened(&[[8; 32], KEY], principal, text), Some(terms));
                assert_eq!(opened(&[[8; 32]], principal, text), None);
                for other in [None, Some(""), Some("ann"), Some("bob")] {
                    let is_own = (other == principal).then_some(terms);
                    assert_eq!(opened(&[KEY], other, text), is_own, "{other:?}");
                }
                let other_id = Sealer::new(&[KEY]).open_session(&[8; 24], principal, text);
                assert_eq!(other_id, None);
            }
        }
        let modern = terms(Revision::V2026_07_28);
        let text = Sealer::new(&[KEY]).seal_session(&NONCE, None, modern);
        assert_eq!(opened(&[KEY], None, text.as_bytes()), None);
    }

    #[test]
    fn the_text_of_given_terms_stays_the_same() {
        let terms = terms(Revision::V2025_11_25);
        let text = Sealer::new(&[KEY]).seal_session(&NONCE, Some("ann"), terms);
        assert_eq!(text, "66VJFkWxJCQNDt6MK9OPN0pDFKJTfXDKiQ");
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let text = Sealer::new(&[KEY]).seal_session(&NONCE, None, terms(Revision::V2025_06_18));
        let text = text.as_bytes();
        for at in 0..text.len() {
            for byte in [b'A', b'_', b'=', b' ', 0xff] {
                let mut changed = text.to_vec();
                changed[at] = byte;
                if changed != text {
                    assert_eq!(opened(&[KEY], None, &changed), None, "{at}");
                }
            }
        }
        for other in [&text[1..], &text[..33], &[text, b"A"].concat(), b""] {
            assert_eq!(opened(&[KEY], None, other), None);
        }
    }
}
