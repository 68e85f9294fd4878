//! The proof of a program's identity with a private key (RFC 7523; OpenID Connect Core 9,
//! `private_key_jwt`).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use serde_json::{Value, json};

use crate::AuthError;

/// The value of `client_assertion_type`.
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is valid, in seconds.
const LIFETIME_S: u64 = 300;

/// The algorithms: of each the scheme, the name in a JWT (RFC 7518 3.1, RFC 8037 3.1), and the
/// bytes of one of the two numbers of its signature.
const ALGORITHMS: [(SignatureScheme, &str, Option<usize>); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, "ES256", Some(32)),
    (SignatureScheme::ECDSA_NISTP384_SHA384, "ES384", Some(48)),
    (SignatureScheme::ED25519, "EdDSA", None),
    (SignatureScheme::RSA_PKCS1_SHA256, "RS256", None),
];

/// A private key. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct PrivateKey(Arc<dyn SigningKey>);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PrivateKey").finish_non_exhaustive()
    }
}

impl PrivateKey {
    /// Reads a key in PEM: PKCS#8, PKCS#1 or SEC 1.
    ///
    /// # Errors
    /// It is no such key.
    pub fn from_pem(pem: &str) -> Result<PrivateKey, AuthError> {
        let unusable = || {
            let remedy = "give one of RSA, P-256, P-384 or Ed25519 in PEM";
            AuthError(format!("the private key cannot be used: {remedy}"))
        };
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| unusable())?;
        any_supported_type(&der)
            .map(PrivateKey)
            .map_err(|_| unusable())
    }

    /// A new assertion of this client for one issuer.
    ///
    /// # Errors
    /// The key does not sign, or there are no random numbers.
    pub fn assertion(&self, client_id: &str, issuer: &str) -> Result<String, AuthError> {
        let failed = || AuthError("the private key does not sign".to_owned());
        let random = [(); 2].map(|()| getrandom::u64());
        let [Ok(one), Ok(other)] = random else {
            return Err(failed());
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = now.unwrap_or_default().as_secs();
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "iat": now_s,
            "exp": now_s + LIFETIME_S,
            "jti": format!("{one:016x}{other:016x}"),
        });
        self.sign(&claims).ok_or_else(failed)
    }

    fn sign(&self, claims: &Value) -> Option<String> {
        for (scheme, name, number_bytes) in ALGORITHMS {
            let Some(signer) = self.0.choose_scheme(&[scheme]) else {
                continue;
            };
            let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let header = encoded(&json!({"alg": name, "typ": "JWT"}));
            let text = format!("{header}.{}", encoded(claims));
            let signature = signer.sign(text.as_bytes()).ok()?;
            let signature = match number_bytes {
                Some(bytes) => fixed(&signature, bytes)?,
                None => signature,
            };
            return Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)));
        }
        None
    }
}

/// The two numbers of an ECDSA signature in DER (RFC 3279 2.2.3), each in so many bytes (RFC 7518
/// 3.4).
fn fixed(der: &[u8], number_bytes: usize) -> Option<Vec<u8>> {
    // A signature of P-384 has less than 128 bytes, so each length is one byte.
    let mut rest = der.strip_prefix(&[0x30, u8::try_from(der.len().checked_sub(2)?).ok()?])?;
    let mut out = Vec::with_capacity(2 * number_bytes);
    for _ in 0..2 {
        let length = usize::from(*rest.strip_prefix(&[0x02])?.first()?);
        let number = rest.get(2..2 + length)?;
        rest = &rest[2 + length..];
        let number = match number {
            [0, more @ ..] if !more.is_empty() => more,
            all => all,
        };
        out.resize(out.len() + number_bytes.checked_sub(number.len())?, 0);
        out.extend_from_slice(number);
    }
    rest.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::{PrivateKey, fixed};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value;

    #[test]
    fn signatures_of_curves_become_two_numbers_of_one_length() {
        for (der, expected) in [
            (&[0x30, 6, 2, 1, 5, 2, 1, 7][..], Some(vec![0, 5, 0, 7])),
            (
                &[0x30, 8, 2, 2, 0, 0x80, 2, 2, 1, 2],
                Some(vec![0, 0x80, 1, 2]),
            ),
            (
                &[0x30, 9, 2, 3, 0, 0x81, 3, 2, 2, 1, 2],
                Some(vec![0x81, 3, 1, 2]),
            ),
            (&[0x30, 6, 2, 1, 0, 2, 1, 0], Some(vec![0; 4])),
            (&[0x30, 7, 2, 1, 5, 2, 1, 7], None),
            (&[0x30, 6, 2, 1, 5, 2, 2, 7], None),
            (&[0x30, 7, 2, 1, 5, 2, 1, 7, 9], None),
            (&[0x30, 9, 2, 3, 1, 2, 3, 2, 2, 1, 2], None),
            (&[0x30, 4, 2, 0, 2], None),
            (&[0x30], None),
            (&[], None),
        ] {
            assert_eq!(fixed(der, 2), expected, "{der:?}");
        }
    }

    #[test]
    fn an_assertion_names_the_client_the_issuer_and_its_end_and_is_new_each_time() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let key = PrivateKey::from_pem(&key.serialize_pem()).expect("a key");
        let sign = || {
            key.assertion("c", "https://as.example.com")
                .expect("a text")
        };
        let (one, other) = (sign(), sign());
        let parts: Vec<Vec<u8>> = one
            .split('.')
            .map(|part| URL_SAFE_NO_PAD.decode(part).expect("Base64"))
            .collect();
        let [header, claims, signature] = &parts[..] else {
            panic!("{one}");
        };
        let header: Value = serde_json::from_slice(header).expect("JSON");
        assert_eq!(header["alg"], "ES256");
        let claims: Value = serde_json::from_slice(claims).expect("JSON");
        assert_eq!((&claims["iss"], &claims["sub"]), (&"c".into(), &"c".into()));
        assert_eq!(claims["aud"], "https://as.example.com");
        let lifetime_s = claims["exp"].as_u64().zip(claims["iat"].as_u64());
        assert_eq!(lifetime_s.map(|(exp, iat)| exp - iat), Some(300));
        assert_eq!(signature.len(), 64);
        let claims_of = |text: &str| text.split('.').nth(1).map(str::to_owned);
        assert_ne!(claims_of(&one), claims_of(&other));
    }

    #[test]
    fn a_text_that_is_no_key_is_refused_without_it() {
        for text in [
            "",
            "canary",
            "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----",
        ] {
            let Err(error) = PrivateKey::from_pem(text) else {
                panic!("{text}");
            };
            let error = error.to_string();
            assert!(
                error.contains("in PEM") && !error.contains("canary"),
                "{error}"
            );
        }
    }
}
