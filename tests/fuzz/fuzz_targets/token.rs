//! Credentials, tokens, key sets and API keys: no input panics, and none is accepted that has no
//! signature.
//!
//! The first byte chooses the part, the others are the input.
#![no_main]

use std::sync::{Arc, LazyLock};

use corelane_guard::api_key::{self, ApiKeys};
use corelane_guard::credential;
use corelane_guard::token::claims::Resource;
use corelane_guard::token::jws::Algorithm;
use corelane_guard::token::keys::{IssuerKeys, KEYS_MAX};
use corelane_guard::token::verify::{Circumstances, Issuer, Verifier};
use libfuzzer_sys::fuzz_target;

const TOKEN_BYTES_MAX: usize = 256;

/// A verifier for tokens that the input cannot sign: the secret is not in it.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let secret: [u8; 32] = std::array::from_fn(|place| place as u8 ^ 0x5a);
    let keys = IssuerKeys::from_secret(&secret).expect("long enough");
    let mut issuer = Issuer::new("i", "i");
    issuer.algorithms = vec![Algorithm::Hs256];
    let resource = Resource::new("https://h/mcp").expect("a URI");
    Verifier::new(Arc::default())
        .with_resource(resource)
        .with_issuer(Arc::new(issuer), Some(Arc::new(keys)))
});

const CIRCUMSTANCES: Circumstances<'static> = Circumstances {
    now_s: 1000,
    certificate: None,
    address: None,
};

fuzz_target!(|data: &[u8]| {
    let Some((part, input)) = data.split_first() else {
        return;
    };
    match part % 4 {
        0 => check_credential(input),
        1 => assert!(VERIFIER.verify(input, &CIRCUMSTANCES).is_err()),
        2 => check_key_set(input),
        _ => {
            assert!(ApiKeys::default().find(input, 0, None).is_none());
            if let Some((id, _)) = api_key::digest(input) {
                assert!((1..=api_key::ID_BYTES_MAX).contains(&id.len()));
            }
        }
    }
});

/// The input is a query, a newline, and the value of the field.
fn check_credential(input: &[u8]) {
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let (query, value) = input.split_at(end);
    let value = value.get(1..).unwrap_or_default();
    let found = credential::read(&[value], query, TOKEN_BYTES_MAX);
    if let Ok(Some(token)) = found {
        let token = token.as_bytes();
        assert!((1..=TOKEN_BYTES_MAX).contains(&token.len()) && !token.contains(&b' '));
        assert!(value.ends_with(token));
        assert!(!query.starts_with(b"access_token="));
    }
}

fn check_key_set(input: &[u8]) {
    let Ok(keys) = IssuerKeys::from_jwks(input) else {
        return;
    };
    assert!(keys.len() + keys.skipped().len() <= KEYS_MAX);
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        assert!(
            keys.find(None, algorithm).is_none(),
            "a secret in a public set"
        );
    }
}
