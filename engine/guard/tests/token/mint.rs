//! Makes tokens, right and wrong.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corelane_guard::policy::Policy;
use corelane_guard::token::claims::Resource;
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::keys::IssuerKeys;
use corelane_guard::token::verify::{Circumstances, Issuer, Verified, Verifier};

pub(crate) const NOW_S: u64 = 1_000_000;
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";
pub(crate) const HEADER: &str = r#"{"alg":"ES256","kid":"ec","typ":"at+jwt"}"#;

/// Its scopes are mcp:read (0) and mcp:write (1), its roles ops (1) and staff (2).
const POLICY: &str = r#"
[[auth.issuer]]
roles_claim = "realm_access.roles"
groups_claim = "groups"
[[role]]
name = "ops"
claim_roles = ["ops"]
[[role]]
name = "staff"
groups = ["staff"]
[[grant]]
role = "ops"
tools = ["*"]
scopes = ["mcp:read", "mcp:write"]
[[grant]]
role = "staff"
tools = ["*"]
"#;

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer with a key of each kind.
pub(crate) struct Mint {
    pub(crate) p256: EcdsaKeyPair,
    pub(crate) p384: EcdsaKeyPair,
    pub(crate) ed25519: Ed25519KeyPair,
    pub(crate) rsa: RsaKeyPair,
}

impl Mint {
    pub(crate) fn new() -> Mint {
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING);
        Mint {
            p256: p256.expect("a key"),
            p384: p384.expect("a key"),
            ed25519: Ed25519KeyPair::generate().expect("a key"),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
        }
    }

    /// The members of the public key in a JWK.
    pub(crate) fn jwk(&self, kid: &str) -> String {
        let point = |key: &EcdsaKeyPair| {
            let (x, y) =
                key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
            format!(r#""x":"{}","y":"{}""#, encode(x), encode(y))
        };
        match kid {
            "ec" => format!(r#""kty":"EC","crv":"P-256",{}"#, point(&self.p256)),
            "ec384" => format!(r#""kty":"EC","crv":"P-384",{}"#, point(&self.p384)),
            "ed" => {
                let x = encode(self.ed25519.public_key().as_ref());
                format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#)
            }
            _ => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key());
                let (n, e) = (encode(public.n), encode(public.e));
                format!(r#""kty":"RSA","n":"{n}","e":"{e}""#)
            }
        }
    }

    /// All public keys, with ids.
    pub(crate) fn keys(&self) -> IssuerKeys {
        let jwks = ["ec", "ec384", "ed", "rsa"].map(|kid| {
            let members = self.jwk(kid);
            format!(r#"{{"kid":"{kid}",{members}}}"#)
        });
        let set = format!(r#"{{"keys":[{}]}}"#, jwks.join(","));
        let keys = IssuerKeys::from_jwks(set.as_bytes()).expect("a key set");
        assert_eq!(keys.len(), 4);
        keys
    }

    /// The DER of the public keys of ECDSA and RSA, for attacks that use them as secrets.
    pub(crate) fn public_der(&self) -> [Vec<u8>; 2] {
        let ec: PublicKeyX509Der<'_> = self.p256.public_key().as_der().expect("DER");
        let rsa: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().expect("DER");
        [ec.as_ref().to_vec(), rsa.as_ref().to_vec()]
    }

    /// The signature by this key, in the form of RFC 7518.
    pub(crate) fn sign(&self, kid: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |padding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa
                .sign(padding, &random, message, &mut signature)
                .expect("signs");
            signature
        };
        match kid {
            "ec" => self
                .p256
                .sign(&random, message)
                .expect("signs")
                .as_ref()
                .to_vec(),
            "ec384" => self
                .p384
                .sign(&random, message)
                .expect("signs")
                .as_ref()
                .to_vec(),
            "ed" => self.ed25519.sign(message).as_ref().to_vec(),
            "pss" => rsa(&RSA_PSS_SHA256),
            _ => rsa(&RSA_PKCS1_SHA256),
        }
    }

    /// A token of these texts, signed by this key.
    pub(crate) fn token_by(&self, kid: &str, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(kid, message.as_bytes());
        format!("{message}.{}", encode(signature))
    }

    /// A token with these claims, signed by the ECDSA key.
    pub(crate) fn token(&self, claims: &Claims) -> String {
        self.token_by("ec", HEADER.as_bytes(), claims.json().as_bytes())
    }

    /// A verifier with one issuer, which has the keys of this mint.
    pub(crate) fn verifier(&self, issuer: Issuer) -> Verifier {
        verifier().with_issuer(Arc::new(issuer), Some(Arc::new(self.keys())))
    }

    /// Verifies a token of this mint now, for the issuer with the defaults.
    pub(crate) fn verify(&self, token: &str) -> Result<Verified, TokenFault> {
        self.verifier(issuer()).verify(token.as_bytes(), &now())
    }
}

pub(crate) fn issuer() -> Issuer {
    Issuer::new("corp", ISSUER)
}

pub(crate) fn verifier() -> Verifier {
    let policy = Policy::parse(POLICY).expect("a policy");
    let resource = Resource::new(RESOURCE).expect("a URI");
    Verifier::new(Arc::new(policy)).with_resource(resource)
}

pub(crate) fn now() -> Circumstances<'static> {
    at(NOW_S)
}

pub(crate) fn at(now_s: u64) -> Circumstances<'static> {
    Circumstances {
        now_s,
        certificate: None,
        address: None,
    }
}

/// Claims as JSON: names, and values as they are written.
#[derive(Clone)]
pub(crate) struct Claims(Vec<(String, String)>);

impl Claims {
    pub(crate) fn valid() -> Claims {
        let claims = [
            ("iss", r#""https://issuer.example""#),
            ("aud", r#""https://mcp.example.com/mcp""#),
            ("exp", "1000600"),
            ("iat", "999990"),
            ("sub", r#""alice""#),
            ("client_id", r#""agent""#),
            ("scope", r#""mcp:read other""#),
            ("jti", r#""token-1""#),
        ];
        Claims(
            claims
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        )
    }

    pub(crate) fn without(mut self, name: &str) -> Claims {
        self.0.retain(|(own, _)| own != name);
        self
    }

    pub(crate) fn with(self, name: &str, value: &str) -> Claims {
        self.without(name).repeated(name, value)
    }

    /// Adds a member, also if there is one with this name.
    pub(crate) fn repeated(mut self, name: &str, value: &str) -> Claims {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn json(&self) -> String {
        let members = self
            .0
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}
