//! `requestState`, encrypted: the server gives it to a client in an `input_required` result, and
//! the client returns it unchanged (MCP 2026-07-28, "Multi Round-Trip Requests").
//!
//! A client may never come back, so a server keeps nothing for it: the state itself travels. A
//! returned state is untrusted input until it is opened. A [`Sealer`] encrypts and authenticates
//! the state together with its expiry, and binds it to its principal and to its call. The text is
//! URL-safe Base64 without padding of
//!
//! | bytes | contents |
//! |---|---|
//! | 1 | version, 1 |
//! | 24 | random nonce |
//! | 8 and the rest | expiry, big-endian, and contents, encrypted with XChaCha20-Poly1305 |
//! | 16 | tag |
//!
//! Invariant: opened contents were sealed with one of the keys for this [`Binding`] and have not
//! expired. It lacks protection against replay: within the expiry the same text opens any number of
//! times, and the caller must protect side effects. It reads no clock; random bits come from the
//! operating system.

mod cluster;
mod digest;
mod session;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use cluster::ClusterKey;
pub use digest::params_digest;
pub use session::{NONCE_BYTES, SESSION_SEAL_CHARS, SessionTerms};
use session::{SessionKey, TAG_BYTES};

/// The longest text that is opened, in bytes.
pub const REQUEST_STATE_BYTES_MAX: usize = 64 * 1024;
/// The longest contents that can be sealed, in bytes: their text is of
/// [`REQUEST_STATE_BYTES_MAX`].
pub const CONTENTS_BYTES_MAX: usize = REQUEST_STATE_BYTES_MAX / 4 * 3 - OVERHEAD_BYTES;
/// Keys of one sealer. A forged text is tried with each, so this bounds its cost.
pub const KEYS_MAX: usize = 8;

const VERSION: u8 = 1;
const EXPIRY_BYTES: usize = 8;
const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + EXPIRY_BYTES + TAG_BYTES;

/// The principal and the call that a state belongs to. They are authenticated, not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The principal, if the request has one. No principal differs from the empty name.
    pub principal: Option<&'a str>,
    /// The method of the request.
    pub method: &'a str,
    /// The digest of its params by [`params_digest`].
    pub params_digest: [u8; 32],
}

/// Why a text is refused. All reasons are the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestStateError {
    /// The text is no Base64 of the right shape and version.
    #[error("request state is malformed")]
    Malformed,
    /// It was changed, belongs to another principal or call, or was sealed with another key.
    #[error("request state was not issued for this request")]
    Forged,
    /// It is genuine, and its time is over.
    #[error("request state has expired")]
    Expired,
    /// It is longer than any sealed text.
    #[error("request state of {text_bytes} bytes exceeds limit of {text_bytes_max}")]
    TooLong {
        /// The length of the text.
        text_bytes: usize,
        /// [`REQUEST_STATE_BYTES_MAX`].
        text_bytes_max: usize,
    },
}

/// Derives the key for nonces of names: states, sessions and names share no key.
const NAME_LABEL: &[u8] = b"corelane name";

/// Seals states, names and the terms of sessions, and opens those that were sealed with one of its
/// keys.
pub struct Sealer {
    /// The first seals, all open.
    ciphers: Vec<XChaCha20Poly1305>,
    /// Of nonces of names, from the first key.
    name_key: [u8; 32],
    /// Of sessions, in the same order.
    sessions: Vec<SessionKey>,
    /// Of messages of a cluster, in the same order.
    messages: Vec<ClusterKey>,
}

impl Sealer {
    /// A sealer with the given keys: the first seals, all of them open. To change keys, put the new
    /// one first in every process and drop the old one when every state sealed with it has expired.
    ///
    /// # Panics
    /// If there is no key or more than [`KEYS_MAX`]: the reader of the keys checks this.
    pub fn new(keys: &[[u8; 32]]) -> Sealer {
        assert!(
            (1..=KEYS_MAX).contains(&keys.len()),
            "{} keys are not within 1 to {KEYS_MAX}",
            keys.len()
        );
        Sealer {
            ciphers: keys
                .iter()
                .map(|key| XChaCha20Poly1305::new(key.into()))
                .collect(),
            name_key: hash_of(&[NAME_LABEL, &keys[0]]),
            sessions: keys.iter().map(SessionKey::derive).collect(),
            messages: keys.iter().map(ClusterKey::derive).collect(),
        }
    }

    /// A sealer with a random key: no other process can open its states.
    ///
    /// # Panics
    /// If the operating system has no random bits: there is no safe way to continue.
    pub fn random() -> Sealer {
        Sealer::new(&[random_bytes()])
    }

    /// Seals `contents` until `expires_at_ms`, in unix milliseconds, when they are not opened any
    /// more. The text has at most [`REQUEST_STATE_BYTES_MAX`] bytes.
    ///
    /// # Panics
    /// If `contents` are longer than [`CONTENTS_BYTES_MAX`], since nothing would open them again,
    /// and if the operating system has no random bits to give.
    pub fn seal(&self, contents: &[u8], binding: &Binding<'_>, expires_at_ms: u64) -> String {
        assert!(
            contents.len() <= CONTENTS_BYTES_MAX,
            "request state of {} bytes exceeds limit of {CONTENTS_BYTES_MAX}",
            contents.len()
        );
        // Nonces of 24 random bytes do not repeat, however many states one key seals.
        let nonce = random_bytes::<NONCE_BYTES>();
        let plain = [&expires_at_ms.to_be_bytes(), contents].concat();
        self.encrypt(&plain, &associated_data(binding), nonce)
    }

    /// Seals `contents` for ever: the same text for the same contents and binding, as long as the
    /// first key is the same. [`Sealer::open`] opens it. A client sees by it that two messages
    /// are about one thing, so it serves as the name of a thing that another server has named.
    ///
    /// ```
    /// use corelane_protocol::request_state::{Binding, Sealer};
    ///
    /// let sealer = Sealer::random();
    /// let (principal, params_digest) = (Some("ann"), [0; 32]);
    /// let binding = Binding { principal, method: "tasks/get", params_digest };
    /// let name = sealer.seal_name(b"upstream and id", &binding);
    /// assert_eq!(name, sealer.seal_name(b"upstream and id", &binding));
    /// assert_eq!(sealer.open(&name, &binding, 0), Ok(b"upstream and id".to_vec()));
    /// let of_another = Binding { principal: Some("bob"), ..binding };
    /// assert!(sealer.open(&name, &of_another, 0).is_err());
    /// ```
    ///
    /// # Panics
    /// If `contents` are longer than [`CONTENTS_BYTES_MAX`].
    pub fn seal_name(&self, contents: &[u8], binding: &Binding<'_>) -> String {
        assert!(
            contents.len() <= CONTENTS_BYTES_MAX,
            "name of {} bytes exceeds limit of {CONTENTS_BYTES_MAX}",
            contents.len()
        );
        let plain = [&u64::MAX.to_be_bytes(), contents].concat();
        let aad = associated_data(binding);
        // A nonce that is a keyed hash of all that is sealed repeats with that only (RFC 8452 has
        // the same construction for another cipher).
        let hash = hash_of(&[&self.name_key, &aad, &plain]);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hash[..NONCE_BYTES]);
        self.encrypt(&plain, &aad, nonce)
    }

    fn encrypt(&self, plain: &[u8], aad: &[u8], nonce: [u8; NONCE_BYTES]) -> String {
        let payload = Payload { msg: plain, aad };
        let encrypted = self.ciphers[0]
            .encrypt(&XNonce::from(nonce), payload)
            .expect("contents within the limit are far shorter than the cipher allows");
        URL_SAFE_NO_PAD.encode([&[VERSION], &nonce[..], &encrypted].concat())
    }

    /// Opens a text of [`Sealer::seal`] at `now_ms`, in unix milliseconds.
    ///
    /// # Errors
    /// If the text is not a sealed state, was changed, was sealed for another binding or with none
    /// of the keys, or if `now_ms` has reached its expiry.
    pub fn open(
        &self,
        text: &str,
        binding: &Binding<'_>,
        now_ms: u64,
    ) -> Result<Vec<u8>, RequestStateError> {
        if text.len() > REQUEST_STATE_BYTES_MAX {
            return Err(RequestStateError::TooLong {
                text_bytes: text.len(),
                text_bytes_max: REQUEST_STATE_BYTES_MAX,
            });
        }
        let sealed = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| RequestStateError::Malformed)?;
        let (nonce, encrypted) = take_apart(&sealed).ok_or(RequestStateError::Malformed)?;
        let aad = associated_data(binding);
        let plain = self
            .ciphers
            .iter()
            .find_map(|cipher| {
                let (msg, aad) = (encrypted, &aad[..]);
                cipher.decrypt(nonce.into(), Payload { msg, aad }).ok()
            })
            .ok_or(RequestStateError::Forged)?;
        let (expires_at_ms, contents) = plain
            .split_first_chunk::<EXPIRY_BYTES>()
            .ok_or(RequestStateError::Malformed)?;
        if now_ms >= u64::from_be_bytes(*expires_at_ms) {
            return Err(RequestStateError::Expired);
        }
        Ok(contents.to_vec())
    }

    /// Seals the terms of a session of `principal`, of [`SESSION_SEAL_CHARS`] characters. No two
    /// sessions may have one `nonce`.
    ///
    /// ```
    /// use corelane_protocol::mcp::revision::Revision;
    /// use corelane_protocol::request_state::{Sealer, SessionTerms};
    ///
    /// let terms = SessionTerms {
    ///     revision: Revision::V2025_11_25,
    ///     capabilities: Default::default(),
    ///     lists: Default::default(),
    ///     created_s: 1_790_000_000,
    /// };
    /// let sealer = Sealer::random();
    /// let text = sealer.seal_session(&[7; 24], Some("ann"), terms);
    /// let open = |principal| sealer.open_session(&[7; 24], principal, text.as_bytes());
    /// assert_eq!((open(Some("ann")), open(Some("bob"))), (Some(terms), None));
    /// ```
    pub fn seal_session(
        &self,
        nonce: &[u8; NONCE_BYTES],
        principal: Option<&str>,
        terms: SessionTerms,
    ) -> String {
        self.sessions[0].seal(nonce, principal, terms)
    }

    /// Opens a text of [`Sealer::seal_session`]; nothing if it was changed, or belongs to another
    /// nonce or principal, or was sealed with none of the keys or by a later release.
    pub fn open_session(
        &self,
        nonce: &[u8; NONCE_BYTES],
        principal: Option<&str>,
        text: &[u8],
    ) -> Option<SessionTerms> {
        session::open(&self.sessions, nonce, principal, text)
    }

    /// Seals a message to the other processes of a cluster, of 41 bytes more.
    ///
    /// # Panics
    /// If the operating system has no random bits to give.
    ///
    /// ```
    /// use corelane_protocol::request_state::Sealer;
    ///
    /// let sealer = Sealer::random();
    /// let sealed = sealer.seal_message(b"alive");
    /// assert_eq!(sealer.open_message(&sealed).as_deref(), Some(&b"alive"[..]));
    /// assert_eq!(Sealer::random().open_message(&sealed), None);
    /// ```
    pub fn seal_message(&self, message: &[u8]) -> Vec<u8> {
        self.messages[0].seal(random_bytes(), message)
    }

    /// Opens a message of [`Sealer::seal_message`]; nothing if it was changed, or sealed with none
    /// of the keys.
    pub fn open_message(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        cluster::open(&self.messages, sealed)
    }

    /// The fingerprint of each key, in the order of the keys. It does not disclose the key.
    pub fn fingerprints(&self) -> Vec<u64> {
        self.messages.iter().map(|key| key.fingerprint).collect()
    }
}

/// Keys are not for logs.
impl fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sealer({} keys)", self.ciphers.len())
    }
}

/// The nonce and the encrypted part, if the version is known and the text is long enough.
fn take_apart(sealed: &[u8]) -> Option<(&[u8; NONCE_BYTES], &[u8])> {
    let rest = sealed.strip_prefix(&[VERSION])?;
    let (nonce, encrypted) = rest.split_first_chunk()?;
    (encrypted.len() >= EXPIRY_BYTES + TAG_BYTES).then_some((nonce, encrypted))
}

/// A digest of the version and the binding. Each part is preceded by its length, so that no two
/// bindings give the same bytes.
fn associated_data(binding: &Binding<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([VERSION, u8::from(binding.principal.is_some())]);
    for part in [binding.principal.unwrap_or_default(), binding.method] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(binding.params_digest);
    hasher.finalize().into()
}

/// The hash of parts of which all but the last have a fixed length.
fn hash_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

fn random_bytes<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("getrandom(2) fails only where it is absent");
    bytes
}

#[cfg(test)]
mod tests;
