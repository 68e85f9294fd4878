//! The keys of an issuer, read from a JWK set (RFC 7517 5) or a local secret.
//!
//! A key that cannot be used is skipped with its reason and never spoils the others. An id that two
//! keys have names neither of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::json::{Bounds, Json};
use super::jws::{Algorithm, KID_BYTES_MAX, VerifyingKey};

/// Longest text of a key set, in bytes.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// Most keys of a set.
pub const KEYS_MAX: usize = 64;

const BOUNDS: Bounds = Bounds {
    depth_max: 6,
    members_max: 64,
};
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// Longest exponent of an RSA key, in bytes. Longer ones make a check slow.
const RSA_EXPONENT_BYTES_MAX: usize = 4;
/// Members of private and of symmetric keys (RFC 7518 6.2.2, 6.3.2, 6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const RSA: [Algorithm; 6] = [
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
];
const HMAC: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];

/// The keys of one issuer; an immutable snapshot.
#[derive(Clone, Debug, Default)]
pub struct IssuerKeys {
    keys: Vec<Key>,
    skipped: Vec<(usize, Skipped)>,
}

#[derive(Clone, Debug)]
struct Key {
    kid: Option<Box<str>>,
    /// The hash of its public bytes, by which caches recognise it in a later set.
    fingerprint: [u8; 32],
    /// The key for each algorithm that it may be used with: one, unless it names none.
    verifying: Vec<VerifyingKey>,
}

/// Why a key of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Skipped {
    /// Its type or curve has no supported algorithm.
    #[error("kty or crv is not supported")]
    Type,
    /// For encryption.
    #[error("use is not sig, or key_ops has no verify")]
    Use,
    /// A private or symmetric key has no place in a public set.
    #[error("it is private or symmetric")]
    Private,
    /// Its algorithm is unknown, or is not one of its type and curve.
    #[error("alg does not fit kty and crv")]
    Algorithm,
    /// Its numbers are malformed.
    #[error("its numbers are malformed")]
    Numbers,
    /// An RSA key outside of the range, or with an even exponent or 1.
    #[error("RSA needs 2048 to 4096 bits and an odd exponent of 3 to 2^32 - 1")]
    RsaSize,
    /// Another key has the same id.
    #[error("kid is repeated")]
    RepeatedId,
    /// No string, or too long.
    #[error("kid is no string of at most 256 bytes")]
    Id,
}

/// A text that is no key set at all; the previous one stays in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON with an array `keys`.
    #[error("not a JSON object with an array \"keys\", or a member is repeated")]
    Form,
    /// More than [`KEY_SET_BYTES_MAX`].
    #[error("longer than {KEY_SET_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`KEYS_MAX`].
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
}

impl IssuerKeys {
    /// Reads a JWK set. Unusable keys are skipped, see [`IssuerKeys::skipped`]. A set without a
    /// usable key is valid: all tokens of the issuer have an unknown key then.
    ///
    /// # Errors
    /// The text is no key set.
    ///
    /// ```
    /// use corelane_guard::token::keys::IssuerKeys;
    ///
    /// let keys = IssuerKeys::from_jwks(br#"{"keys":[{"kty":"oct","k":"AA"}]}"#)?;
    /// assert_eq!((keys.len(), keys.skipped().len()), (0, 1));
    /// # Ok::<(), corelane_guard::token::keys::KeySetError>(())
    /// ```
    pub fn from_jwks(text: &[u8]) -> Result<IssuerKeys, KeySetError> {
        if text.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLong);
        }
        let set = Json::object(text, BOUNDS).ok_or(KeySetError::Form)?;
        let Some(Json::Array(entries)) = set.member("keys") else {
            return Err(KeySetError::Form);
        };
        if entries.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let mut keys = IssuerKeys::default();
        let has_id = |entry: &Json, id: &str| entry.text_of("kid") == Some(id);
        for (index, entry) in entries.iter().enumerate() {
            let id = entry.text_of("kid");
            let holders = id.map_or(1, |id| entries.iter().filter(|it| has_id(it, id)).count());
            match Key::read(entry) {
                Ok(_) if holders > 1 => keys.skipped.push((index, Skipped::RepeatedId)),
                Ok(key) => keys.keys.push(key),
                Err(reason) => keys.skipped.push((index, reason)),
            }
        }
        Ok(keys)
    }

    /// The keys of an issuer that shares a secret with this server, for the HMAC algorithms whose
    /// hash is not longer than the secret. None if it is shorter than 32 bytes (RFC 7518 3.2).
    pub fn from_secret(secret: &[u8]) -> Option<IssuerKeys> {
        let verifying: Vec<VerifyingKey> = HMAC
            .into_iter()
            .filter_map(|algorithm| VerifyingKey::hmac(algorithm, secret))
            .collect();
        let key = Key {
            kid: None,
            fingerprint: Sha256::digest(secret).into(),
            verifying,
        };
        (!key.verifying.is_empty()).then(|| IssuerKeys {
            keys: vec![key],
            skipped: Vec::new(),
        })
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids of its keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.kid.as_deref())
    }

    /// Whether a usable key has this id.
    pub fn has_id(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Whether another set has the same usable keys, in any order.
    pub fn has_same_keys(&self, other: &IssuerKeys) -> bool {
        let is_there = |key: &Key| other.has(&key.fingerprint) && other.has_kid(&key.kid);
        self.keys.len() == other.keys.len() && self.keys.iter().all(is_there)
    }

    fn has_kid(&self, kid: &Option<Box<str>>) -> bool {
        self.keys.iter().any(|key| key.kid == *kid)
    }

    /// The places of the keys that were skipped, and why.
    pub fn skipped(&self) -> &[(usize, Skipped)] {
        &self.skipped
    }

    /// The key for a token: the one with this id, or, without an id, the only one that has the
    /// algorithm. A local secret, which has no id, is found by any.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        Some(self.find_with_fingerprint(kid, algorithm)?.0)
    }

    pub(super) fn find_with_fingerprint(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Option<(&VerifyingKey, [u8; 32])> {
        let mut found = self
            .keys
            .iter()
            .filter(|key| kid.is_none() || algorithm.is_symmetric() || key.kid.as_deref() == kid)
            .filter_map(|key| {
                let mut verifying = key.verifying.iter();
                let verifying = verifying.find(|key| key.algorithm() == algorithm)?;
                Some((verifying, key.fingerprint))
            });
        found.next().filter(|_| found.next().is_none())
    }

    pub(super) fn has(&self, fingerprint: &[u8; 32]) -> bool {
        self.keys.iter().any(|key| key.fingerprint == *fingerprint)
    }
}

impl Key {
    fn read(jwk: &Json) -> Result<Key, Skipped> {
        let kid = match jwk.member("kid") {
            None => None,
            Some(Json::Text(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
            Some(_) => return Err(Skipped::Id),
        };
        if PRIVATE_MEMBERS
            .iter()
            .any(|name| jwk.member(name).is_some())
        {
            return Err(Skipped::Private);
        }
        check_use(jwk)?;
        let own = match jwk.member("alg") {
            None => None,
            Some(Json::Text(name)) => Some(Algorithm::from_name(name).ok_or(Skipped::Algorithm)?),
            Some(_) => return Err(Skipped::Algorithm),
        };
        let number = |name| {
            let text = jwk.text_of(name).ok_or(Skipped::Numbers)?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| Skipped::Numbers)
        };
        let (possible, public, verifying) = match (jwk.text_of("kty"), jwk.text_of("crv")) {
            (Some("RSA"), None) => rsa(&number("n")?, &number("e")?)?,
            (Some("EC"), Some("P-256")) => {
                ecdsa(Algorithm::Es256, 32, &number("x")?, &number("y")?)?
            }
            (Some("EC"), Some("P-384")) => {
                ecdsa(Algorithm::Es384, 48, &number("x")?, &number("y")?)?
            }
            (Some("OKP"), Some("Ed25519")) => {
                let public = number("x")?;
                if public.len() != 32 {
                    return Err(Skipped::Numbers);
                }
                let key = VerifyingKey::eddsa(&public);
                (vec![Algorithm::EdDsa], public, vec![key])
            }
            _ => return Err(Skipped::Type),
        };
        if own.is_some_and(|own| !possible.contains(&own)) {
            return Err(Skipped::Algorithm);
        }
        let is_own = |key: &VerifyingKey| own.is_none_or(|own| own == key.algorithm());
        Ok(Key {
            kid,
            fingerprint: Sha256::digest(public).into(),
            verifying: verifying.into_iter().filter(is_own).collect(),
        })
    }
}

/// Checks `use` and `key_ops` (RFC 7517 4.2, 4.3).
fn check_use(jwk: &Json) -> Result<(), Skipped> {
    let is_for_signatures = match jwk.member("use") {
        None => true,
        Some(value) => value.text() == Some("sig"),
    };
    let verifies = match jwk.member("key_ops") {
        None => true,
        Some(Json::Array(all)) => all.iter().any(|one| one.text() == Some("verify")),
        Some(_) => false,
    };
    (is_for_signatures && verifies)
        .then_some(())
        .ok_or(Skipped::Use)
}

/// The algorithms that a key can have, its public bytes, and the key for each.
type Usable = (Vec<Algorithm>, Vec<u8>, Vec<VerifyingKey>);

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Usable, Skipped> {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = &modulus[zeros..];
    let first = modulus.first().ok_or(Skipped::Numbers)?;
    let bits = modulus.len() * 8 - first.leading_zeros() as usize;
    let zeros = exponent.iter().take_while(|byte| **byte == 0).count();
    let exponent = &exponent[zeros..];
    let last = exponent.last().ok_or(Skipped::RsaSize)?;
    let is_odd = last % 2 == 1 && exponent != [1] && exponent.len() <= RSA_EXPONENT_BYTES_MAX;
    if !RSA_BITS.contains(&bits) || !is_odd {
        return Err(Skipped::RsaSize);
    }
    let keys = RSA.map(|algorithm| VerifyingKey::rsa(algorithm, modulus, exponent));
    Ok((RSA.to_vec(), [exponent, modulus].concat(), keys.into()))
}

fn ecdsa(algorithm: Algorithm, bytes: usize, x: &[u8], y: &[u8]) -> Result<Usable, Skipped> {
    if x.len() != bytes || y.len() != bytes {
        return Err(Skipped::Numbers);
    }
    let point = [&[4], x, y].concat();
    let key = VerifyingKey::ecdsa(algorithm, &point);
    Ok((vec![algorithm], point, vec![key]))
}
