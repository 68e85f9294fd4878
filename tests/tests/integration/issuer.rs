//! An issuer of access tokens that exists in the test only: its keys are in a file.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey as _};
use serde_json::{Value, json};

/// The value of `iss`.
pub(crate) const ISSUER: &str = "https://issuer.example.com";
/// The resource of the servers in the tests, which is the audience of valid tokens.
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";
/// The URL of its metadata.
pub(crate) const METADATA: &str =
    "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

/// An issuer with one Ed25519 key, whose id is `k1`.
pub(crate) struct Issuer {
    key: KeyPair,
}

impl Issuer {
    pub(crate) fn new() -> Issuer {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        Issuer { key }
    }

    /// Its key set.
    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "kid": "k1", "alg": "EdDSA", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(self.key.public_key_raw()),
        }]})
    }

    /// Writes its key set, as a whole.
    pub(crate) fn write_keys(&self, path: &Path) {
        let next = path.with_extension("next");
        fs::write(&next, self.jwks().to_string()).expect("there is space");
        fs::rename(next, path).expect("the directory is there");
    }

    /// The header of a valid token.
    pub(crate) fn header() -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"})
    }

    /// The claims of a token that is valid for five minutes, with these scopes.
    pub(crate) fn claims(scope: &str) -> Value {
        let now_s = now_s();
        json!({
            "iss": ISSUER, "aud": RESOURCE, "sub": "ann", "client_id": "app",
            "iat": now_s, "exp": now_s + 300, "scope": scope,
        })
    }

    /// A valid token with these scopes.
    pub(crate) fn token(&self, scope: &str) -> String {
        self.sign(&Issuer::header(), &Issuer::claims(scope))
    }

    /// A token with this header and these claims, signed.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A value with one member replaced.
pub(crate) fn with(mut value: Value, member: &str, other: Value) -> Value {
    value[member] = other;
    value
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is after 1970").as_secs()
}
