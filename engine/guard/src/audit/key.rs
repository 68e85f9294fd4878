//! The keys of the audit log: one signs checkpoints, one verifies them, one hides arguments.
//!
//! Files are PEM, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.
//! The private key is never shown.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The bytes of a public key before the key itself (RFC 8410 4).
const PUBLIC_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const PUBLIC_BYTES: usize = 32;
/// The bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 64;

/// A text that is no key. No part of the text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No private key.
    #[error(
        "no Ed25519 private key in PEM: make one with: openssl genpkey -algorithm ed25519 -out FILE"
    )]
    Private,
    /// No public key.
    #[error("no Ed25519 public key in PEM: corelane audit key prints it")]
    Public,
    /// No key for digests of arguments.
    #[error("not 32 bytes in base64: make them with: openssl rand -base64 32")]
    Arguments,
}

/// Signs checkpoints.
pub struct SigningKey(Ed25519KeyPair);

/// Verifies checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey([u8; PUBLIC_BYTES]);

/// Makes digests of arguments that cannot be guessed from a list of likely arguments.
pub struct ArgumentsKey(hmac::Key);

impl SigningKey {
    /// The key in a PEM text.
    ///
    /// # Errors
    /// The text is no Ed25519 private key.
    pub fn from_pem(text: &str) -> Result<SigningKey, KeyError> {
        let der = pem(text, "PRIVATE KEY").ok_or(KeyError::Private)?;
        let key = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| KeyError::Private)?;
        Ok(SigningKey(key))
    }

    /// The key that verifies the signatures.
    pub fn verifying_key(&self) -> VerifyingKey {
        let public = self.0.public_key().as_ref();
        VerifyingKey(public.try_into().expect("an Ed25519 key has 32 bytes"))
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signature = self.0.sign(message);
        let bytes = signature.as_ref().try_into();
        bytes.expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({:?})", self.verifying_key())
    }
}

impl VerifyingKey {
    /// The key in a PEM text.
    ///
    /// # Errors
    /// The text is no Ed25519 public key.
    pub fn from_pem(text: &str) -> Result<VerifyingKey, KeyError> {
        let der = pem(text, "PUBLIC KEY").ok_or(KeyError::Public)?;
        let key = der.strip_prefix(&PUBLIC_PREFIX).ok_or(KeyError::Public)?;
        key.try_into()
            .map(VerifyingKey)
            .map_err(|_| KeyError::Public)
    }

    /// The PEM text.
    pub fn to_pem(self) -> String {
        let der = STANDARD.encode([&PUBLIC_PREFIX[..], &self.0].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    /// The name in checkpoints: the start of the SHA-256 of the key.
    pub(super) fn id(self) -> [u8; 8] {
        let hash: [u8; 32] = Sha256::digest(self.0).into();
        *hash.first_chunk().expect("it is longer")
    }

    pub(super) fn verifies(self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        key.verify(message, signature).is_ok()
    }
}

impl ArgumentsKey {
    /// The key of 32 bytes in base64.
    ///
    /// # Errors
    /// The text is something else.
    pub fn from_base64(text: &str) -> Result<ArgumentsKey, KeyError> {
        let bytes = STANDARD.decode(text.trim_ascii()).ok();
        let bytes = bytes.filter(|bytes| bytes.len() == 32);
        let bytes = bytes.ok_or(KeyError::Arguments)?;
        Ok(ArgumentsKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// HMAC-SHA-256 of a digest.
    pub(super) fn digest(&self, digest: &[u8; 32]) -> [u8; 32] {
        let tag = hmac::sign(&self.0, digest);
        tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }
}

impl fmt::Debug for ArgumentsKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ArgumentsKey(..)")
    }
}

/// The contents of the only block of a PEM text, if that is its label (RFC 7468).
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let block = text.trim();
    let block = block.strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let block = block.strip_suffix(&format!("-----END {label}-----"))?;
    let base64: String = block.split_ascii_whitespace().collect();
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::{ArgumentsKey, KeyError, SigningKey, VerifyingKey};

    use crate::audit::test_key;

    /// The public key of [`test_key`] (RFC 8410 10.1).
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_read_and_the_public_one_is_written() {
        let private = SigningKey::from_pem(&test_key()).expect("a key");
        assert_eq!(private.verifying_key().to_pem(), PUBLIC);
        let public = VerifyingKey::from_pem(PUBLIC).expect("a key");
        assert_eq!(public, private.verifying_key());
        let signature = private.sign(b"text");
        assert!(public.verifies(b"text", &signature));
        assert!(!public.verifies(b"texts", &signature));
    }

    #[test]
    fn other_texts_are_refused_and_not_shown() {
        let private = test_key();
        let secret = private.lines().nth(1).expect("it has three lines");
        assert!(!format!("{:?}", SigningKey::from_pem(&private)).contains(secret));
        for text in ["", "x", PUBLIC, &private.replace("MC4", "MC5")] {
            let error = SigningKey::from_pem(text).expect_err(text);
            assert_eq!(error, KeyError::Private);
        }
        for text in ["", &private, &PUBLIC.replace("MCow", "MCox")] {
            let error = VerifyingKey::from_pem(text).expect_err(text);
            assert_eq!(error, KeyError::Public);
        }
    }

    #[test]
    fn digests_of_arguments_depend_on_the_key() {
        let key = |text: &str| ArgumentsKey::from_base64(text).map(|key| key.digest(&[1; 32]));
        let one = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let other = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(key(one), key(&format!("{one}\n")));
        assert_ne!(key(one), key(other));
        assert_eq!(key("AAAA"), Err(KeyError::Arguments));
    }
}
