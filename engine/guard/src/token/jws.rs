//! The compact form of a signed token (RFC 7515 7.1): its parts, its header and its signature.
//!
//! The algorithm is a property of the key: a header only selects among keys that have it. Headers
//! that name a key or its address (`jku`, `jwk`, `x5u`, `x5c`, `x5t`) are never used.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;

use super::fault::TokenFault;
use super::json::{Bounds, Json};

/// Longest id of a key, in bytes.
pub const KID_BYTES_MAX: usize = 256;

const HEADER_BOUNDS: Bounds = Bounds {
    depth_max: 4,
    members_max: 16,
};
/// Members of a header that change the meaning of the token in ways that are not supported.
const REFUSED_MEMBERS: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];
/// Members of a header that offer a key. They are ignored, and counted.
const KEY_MEMBERS: [&str; 6] = ["jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"];

/// A signature algorithm (RFC 7518 3.1, RFC 8037 3.1). `none` is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum Algorithm {
    Es256,
    Es384,
    EdDsa,
    Ps256,
    Ps384,
    Ps512,
    Rs256,
    Rs384,
    Rs512,
    Hs256,
    Hs384,
    Hs512,
}

/// The algorithms, with their names.
const ALGORITHMS: [(Algorithm, &str, jsonwebtoken::Algorithm); 12] = [
    (Algorithm::Es256, "ES256", jsonwebtoken::Algorithm::ES256),
    (Algorithm::Es384, "ES384", jsonwebtoken::Algorithm::ES384),
    (Algorithm::EdDsa, "EdDSA", jsonwebtoken::Algorithm::EdDSA),
    (Algorithm::Ps256, "PS256", jsonwebtoken::Algorithm::PS256),
    (Algorithm::Ps384, "PS384", jsonwebtoken::Algorithm::PS384),
    (Algorithm::Ps512, "PS512", jsonwebtoken::Algorithm::PS512),
    (Algorithm::Rs256, "RS256", jsonwebtoken::Algorithm::RS256),
    (Algorithm::Rs384, "RS384", jsonwebtoken::Algorithm::RS384),
    (Algorithm::Rs512, "RS512", jsonwebtoken::Algorithm::RS512),
    (Algorithm::Hs256, "HS256", jsonwebtoken::Algorithm::HS256),
    (Algorithm::Hs384, "HS384", jsonwebtoken::Algorithm::HS384),
    (Algorithm::Hs512, "HS512", jsonwebtoken::Algorithm::HS512),
];

impl Algorithm {
    /// The algorithms of an issuer, unless the configuration has another list.
    pub const DEFAULTS: [Algorithm; 5] = [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
        Algorithm::Ps256,
        Algorithm::Rs256,
    ];

    /// Every algorithm, by its name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALGORITHMS.iter().map(|(_, name, _)| *name)
    }

    /// The algorithm with this name, in the exact case.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        let (algorithm, ..) = ALGORITHMS.iter().find(|(_, own, _)| *own == name)?;
        Some(*algorithm)
    }

    /// Whether its key is a secret that both sides have.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512)
    }

    fn of_library(self) -> jsonwebtoken::Algorithm {
        let found = ALGORITHMS.iter().find(|(own, ..)| *own == self);
        found.expect("every algorithm is in the table").2
    }
}

/// A token in compact form, decoded but for the meaning of its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Jws<'a> {
    /// The algorithm that the header names.
    pub algorithm: Algorithm,
    /// The id of the key, if the header has one.
    pub kid: Option<Box<str>>,
    /// The type of the token, if the header has one.
    pub typ: Option<Box<str>>,
    /// Whether the header offers a key, which is ignored.
    pub offers_key: bool,
    /// The bytes of the payload.
    pub payload: Vec<u8>,
    /// The bytes that are signed: the header and the payload in base64url.
    signed: &'a [u8],
    /// The signature in base64url.
    signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// It is no compact JWS ([`TokenFault::Form`], V1), or its header is refused
    /// ([`TokenFault::Header`], V2; [`TokenFault::Algorithm`], V3).
    pub fn read(token: &'a [u8]) -> Result<Jws<'a>, TokenFault> {
        let text = str::from_utf8(token).map_err(|_| TokenFault::Form)?;
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Form);
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Form);
        decode(signature)?;
        let payload_bytes = decode(payload)?;
        let header_json =
            Json::object(&decode(header)?, HEADER_BOUNDS).ok_or(TokenFault::Header)?;
        if REFUSED_MEMBERS
            .iter()
            .any(|name| header_json.member(name).is_some())
        {
            return Err(TokenFault::Header);
        }
        let optional = |name| match header_json.member(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(TokenFault::Header),
        };
        let kid = optional("kid")?;
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(TokenFault::Header);
        }
        let name = header_json.text_of("alg").ok_or(TokenFault::Header)?;
        Ok(Jws {
            algorithm: Algorithm::from_name(name).ok_or(TokenFault::Algorithm)?,
            kid,
            typ: optional("typ")?,
            offers_key: KEY_MEMBERS
                .iter()
                .any(|name| header_json.member(name).is_some()),
            payload: payload_bytes,
            signed: &token[..header.len() + 1 + payload.len()],
            signature,
        })
    }

    /// Whether the signature was made with this key and its algorithm.
    pub fn is_signed_with(&self, key: &VerifyingKey) -> bool {
        let algorithm = key.algorithm.of_library();
        let verified =
            jsonwebtoken::crypto::verify(self.signature, self.signed, &key.key, algorithm);
        self.algorithm == key.algorithm && verified.unwrap_or(false)
    }
}

/// A key with the one algorithm that it is for.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyingKey {
    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// An RSA key for an RSA algorithm: the big-endian bytes of the modulus and the exponent.
    pub(super) fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> VerifyingKey {
        let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
        VerifyingKey { algorithm, key }
    }

    /// An uncompressed point for an ECDSA algorithm.
    pub(super) fn ecdsa(algorithm: Algorithm, point: &[u8]) -> VerifyingKey {
        let key = DecodingKey::from_ec_der(point);
        VerifyingKey { algorithm, key }
    }

    /// An Ed25519 key of 32 bytes.
    pub(super) fn eddsa(public: &[u8]) -> VerifyingKey {
        VerifyingKey {
            algorithm: Algorithm::EdDsa,
            key: DecodingKey::from_ed_der(public),
        }
    }

    /// A secret for an HMAC algorithm. None if it is shorter than the hash, as RFC 7518 3.2
    /// demands.
    pub(super) fn hmac(algorithm: Algorithm, secret: &[u8]) -> Option<VerifyingKey> {
        let bytes_min = match algorithm {
            Algorithm::Hs256 => 32,
            Algorithm::Hs384 => 48,
            Algorithm::Hs512 => 64,
            _ => return None,
        };
        let key = DecodingKey::from_secret(secret).ok()?;
        (secret.len() >= bytes_min).then_some(VerifyingKey { algorithm, key })
    }
}
