//! API keys: `clk_<id>_<secret>_<checksum>`, sent as a bearer token.
//!
//! The secret is 32 random bytes in base64url; the configuration has its SHA-256. A guess of 256
//! random bits needs no slow hash. The checksum is a CRC-32 in hexadecimal, so that scanners of
//! repositories recognise a leaked key, and a mistyped one is refused without a look-up.
//!
//! Keys are found by their id and compared in constant time. One id may have two keys, for a
//! rotation.

use std::collections::HashMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::network::Networks;

/// The start of each key.
pub const PREFIX: &[u8] = b"clk_";
/// Most keys of a configuration.
pub const API_KEYS_MAX: usize = 10_000;
/// Longest id, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Most keys with one id.
const KEYS_PER_ID_MAX: usize = 2;
/// Characters of a secret: 32 bytes in base64url.
const SECRET_CHARACTERS: usize = 43;
const CHECKSUM_CHARACTERS: usize = 8;

/// A key as it is configured.
#[derive(Clone, Debug, Default)]
pub struct ApiKey {
    /// The id: 1 to [`ID_BYTES_MAX`] lower-case letters, digits and hyphens.
    pub id: Box<str>,
    /// SHA-256 of the secret.
    pub sha256: [u8; 32],
    /// Its roles.
    pub roles: Vec<Box<str>>,
    /// Its scopes.
    pub scopes: Vec<Box<str>>,
    /// Its tenant.
    pub tenant: Option<Box<str>>,
    /// The first second in which it is not valid, since 1970.
    pub expires_s: Option<u64>,
    /// Where it may be used; anywhere if empty.
    pub addresses: Networks,
}

/// The keys of a configuration.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    by_id: HashMap<Box<str>, Vec<ApiKey>, foldhash::fast::RandomState>,
    count: usize,
}

/// A configuration of keys that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// An id with other characters.
    #[error("API key id {0:?}: use 1 to {ID_BYTES_MAX} lower-case letters, digits and hyphens")]
    Id(Box<str>),
    /// Too many keys with one id.
    #[error("API key id {0:?} has more than {KEYS_PER_ID_MAX} keys: remove the oldest")]
    TooManyOfId(Box<str>),
    /// Too many keys.
    #[error("more than {API_KEYS_MAX} API keys: use an issuer of tokens")]
    TooMany,
}

impl ApiKeys {
    /// Whether a key is limited to addresses.
    pub fn have_addresses(&self) -> bool {
        let mut keys = self.by_id.values().flatten();
        keys.any(|key| !key.addresses.is_empty())
    }

    /// The keys.
    ///
    /// # Errors
    /// An id is malformed, or there are too many.
    pub fn new(keys: impl IntoIterator<Item = ApiKey>) -> Result<ApiKeys, ApiKeyError> {
        let mut all = ApiKeys::default();
        for key in keys {
            all.insert(key)?;
        }
        Ok(all)
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Its id is malformed, or there are too many.
    pub fn insert(&mut self, key: ApiKey) -> Result<(), ApiKeyError> {
        if self.count >= API_KEYS_MAX {
            return Err(ApiKeyError::TooMany);
        }
        if !is_id(&key.id) {
            return Err(ApiKeyError::Id(key.id));
        }
        let of_id = self.by_id.entry(key.id.clone()).or_default();
        if of_id.len() >= KEYS_PER_ID_MAX {
            return Err(ApiKeyError::TooManyOfId(key.id));
        }
        of_id.push(key);
        self.count += 1;
        Ok(())
    }

    /// Whether there is a key with this id and this SHA-256 that has not expired.
    pub(crate) fn have(&self, id: &str, sha256: &[u8; 32], now_s: u64) -> bool {
        let mut of_id = self.by_id.get(id).into_iter().flatten();
        of_id.any(|key| {
            key.sha256 == *sha256 && key.expires_s.is_none_or(|expires_s| now_s < expires_s)
        })
    }

    /// The configured key that this text is, if it is valid now and at this address.
    pub fn find(&self, text: &[u8], now_s: u64, address: Option<IpAddr>) -> Option<&ApiKey> {
        let (id, secret) = parse(text)?;
        let digest = hash(secret);
        let of_id = self.by_id.get(id).map_or(&[][..], |keys| &keys[..]);
        let found = of_id
            .iter()
            .find(|key| bool::from(key.sha256.ct_eq(&digest)))?;
        let is_here = found.addresses.is_empty()
            || address.is_some_and(|address| found.addresses.contain(address));
        let is_current = found.expires_s.is_none_or(|expires_s| now_s < expires_s);
        (is_here && is_current).then_some(found)
    }
}

/// A new key with this id, and the SHA-256 of its secret, which are 32 random bytes.
///
/// # Errors
/// The id is malformed.
///
/// ```
/// use corelane_guard::api_key::{self, ApiKey, ApiKeys};
///
/// let (text, sha256) = api_key::create("ci", &[7; 32])?;
/// let keys = ApiKeys::new([ApiKey { id: "ci".into(), sha256, ..ApiKey::default() }])?;
/// assert!(keys.find(text.as_bytes(), 0, None).is_some());
/// # Ok::<(), corelane_guard::api_key::ApiKeyError>(())
/// ```
pub fn create(id: &str, random: &[u8; 32]) -> Result<(String, [u8; 32]), ApiKeyError> {
    if !is_id(id) {
        return Err(ApiKeyError::Id(id.into()));
    }
    let secret = URL_SAFE_NO_PAD.encode(random);
    let start = format!("clk_{id}_{secret}");
    let checksum = crc32(start.as_bytes());
    Ok((format!("{start}_{checksum:08x}"), hash(&secret)))
}

/// The id of a key and the SHA-256 of its secret, for the configuration. None if it is mistyped.
pub fn digest(text: &[u8]) -> Option<(&str, [u8; 32])> {
    let (id, secret) = parse(text)?;
    Some((id, hash(secret)))
}

/// The id and the secret of a key with the right checksum.
fn parse(text: &[u8]) -> Option<(&str, &str)> {
    let text = str::from_utf8(text).ok()?;
    let (start, checksum) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARACTERS)?)?;
    let start = start.strip_suffix('_')?;
    if checksum != format!("{:08x}", crc32(start.as_bytes())) {
        return None;
    }
    let names = start.strip_prefix("clk_")?;
    let (id, secret) = names.split_at_checked(names.len().checked_sub(SECRET_CHARACTERS)?)?;
    let id = id.strip_suffix('_')?;
    let is_secret = URL_SAFE_NO_PAD.decode(secret).is_ok();
    (is_id(id) && is_secret).then_some((id, secret))
}

fn is_id(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_allowed)
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// The CRC-32 of ISO-HDLC, as of zip and PNG.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    let add = |crc, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(u32::MAX, add)
}

#[cfg(test)]
mod tests {
    use super::{API_KEYS_MAX, ApiKey, ApiKeyError, ApiKeys, crc32, create, digest};
    use crate::network::Networks;

    fn key(id: &str, random: u8) -> (String, ApiKey) {
        let (text, sha256) = create(id, &[random; 32]).expect("valid");
        let id = id.into();
        (
            text,
            ApiKey {
                id,
                sha256,
                ..ApiKey::default()
            },
        )
    }

    #[test]
    fn a_key_has_its_published_form() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let (text, sha256) = create("ci-2", &[0; 32]).expect("valid");
        let start = format!("clk_ci-2_{}", "A".repeat(43));
        assert_eq!(text, format!("{start}_{:08x}", crc32(start.as_bytes())));
        assert_eq!(digest(text.as_bytes()), Some(("ci-2", sha256)));
        // Underscores in the secret do not end it.
        let (text, sha256) = create("a", &[0xff; 32]).expect("valid");
        assert!(text.starts_with("clk_a________"), "{text}");
        assert_eq!(digest(text.as_bytes()), Some(("a", sha256)));
    }

    #[test]
    fn both_keys_of_a_rotation_are_found_and_no_other() {
        let (old, old_key) = key("ci", 1);
        let (new, new_key) = key("ci", 2);
        let (foreign, _) = key("ci", 3);
        let (other, _) = key("cd", 1);
        let keys = ApiKeys::new([old_key, new_key]).expect("valid");
        for (text, expected) in [
            (&old, true),
            (&new, true),
            (&foreign, false),
            (&other, false),
        ] {
            assert_eq!(
                keys.find(text.as_bytes(), 0, None).is_some(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_with_any_other_byte_is_refused() {
        let (text, one) = key("ci", 1);
        let keys = ApiKeys::new([one]).expect("valid");
        for place in 0..text.len() {
            for other in [b'a', b'Z', b'_', b'=', 0xff] {
                let mut changed = text.clone().into_bytes();
                let is_same = std::mem::replace(&mut changed[place], other) == other;
                assert_eq!(
                    keys.find(&changed, 0, None).is_some(),
                    is_same,
                    "{place} {other}"
                );
            }
            assert!(keys.find(&text.as_bytes()[..place], 0, None).is_none());
        }
        assert!(keys.find(format!("{text}a").as_bytes(), 0, None).is_none());
    }

    #[test]
    fn a_key_is_refused_past_its_expiry_and_elsewhere() {
        let (text, one) = key("ci", 1);
        let addresses = Networks::new("addresses", &["10.0.0.0/8".to_owned()]).expect("valid");
        let expires_s = Some(100);
        let keys = ApiKeys::new([ApiKey {
            addresses,
            expires_s,
            ..one
        }])
        .expect("valid");
        let here = "10.1.2.3".parse().ok();
        for (now_s, address, expected) in [
            (99, here, true),
            (100, here, false),
            (99, "11.0.0.1".parse().ok(), false),
            (99, None, false),
        ] {
            let found = keys.find(text.as_bytes(), now_s, address);
            assert_eq!(found.is_some(), expected, "{now_s} {address:?}");
        }
    }

    #[test]
    fn ids_and_counts_have_limits() {
        for id in ["", "A", "a_b", "a b", "\u{e4}", &"a".repeat(65)] {
            assert_eq!(create(id, &[0; 32]), Err(ApiKeyError::Id(id.into())));
        }
        assert!(create(&"a".repeat(64), &[0; 32]).is_ok());
        let three = [1, 2, 3].map(|random| key("a", random).1);
        let error = ApiKeys::new(three).expect_err("three of one id");
        assert_eq!(error, ApiKeyError::TooManyOfId("a".into()));
        let many = |count| {
            ApiKeys::new((0..count).map(|number: usize| ApiKey {
                id: number.to_string().into(),
                ..ApiKey::default()
            }))
        };
        assert!(many(API_KEYS_MAX).is_ok());
        assert_eq!(
            many(API_KEYS_MAX + 1).expect_err("too many"),
            ApiKeyError::TooMany
        );
    }
}
