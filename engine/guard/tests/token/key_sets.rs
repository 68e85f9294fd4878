//! K6: a key that cannot be used is skipped, with its reason, and spoils no other.

use corelane_guard::token::jws::Algorithm;
use corelane_guard::token::keys::{IssuerKeys, KEY_SET_BYTES_MAX, KEYS_MAX, KeySetError, Skipped};

use crate::mint::{Claims, Mint, encode};

fn set(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn rsa(bytes: usize, first: u8, exponent: &[u8]) -> String {
    let mut modulus = vec![0xff; bytes];
    modulus[0] = first;
    format!(
        r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#,
        encode(modulus),
        encode(exponent)
    )
}

#[test]
fn k6_unusable_keys_are_skipped_and_the_others_stay() {
    let mint = Mint::new();
    let (ec, ed) = (mint.jwk("ec"), mint.jwk("ed"));
    let good = format!(r#"{{"kid":"good",{ec},"alg":"ES256","use":"sig","x5c":["a"]}}"#);
    let x = |bytes| encode(vec![1; bytes]);
    for (key, reason) in [
        (format!(r#"{{{ec},"use":"enc"}}"#), Skipped::Use),
        (format!(r#"{{{ec},"use":null}}"#), Skipped::Use),
        (format!(r#"{{{ec},"key_ops":["sign"]}}"#), Skipped::Use),
        (format!(r#"{{{ec},"key_ops":"verify"}}"#), Skipped::Use),
        (
            format!(r#"{{"kty":"oct","k":"{}"}}"#, x(32)),
            Skipped::Private,
        ),
        (format!(r#"{{{ec},"d":"{}"}}"#, x(32)), Skipped::Private),
        (format!(r#"{{{ed},"d":"{}"}}"#, x(32)), Skipped::Private),
        (format!(r#"{{{ec},"alg":"ES384"}}"#), Skipped::Algorithm),
        (format!(r#"{{{ec},"alg":"HS256"}}"#), Skipped::Algorithm),
        (format!(r#"{{{ed},"alg":"RS256"}}"#), Skipped::Algorithm),
        (format!(r#"{{{ec},"alg":"ECDH-ES"}}"#), Skipped::Algorithm),
        (format!(r#"{{{ec},"alg":1}}"#), Skipped::Algorithm),
        (ec_key("P-384", &x(32), &x(32)), Skipped::Numbers),
        (ec_key("P-256", &x(33), &x(32)), Skipped::Numbers),
        (ec_key("P-256", &x(32), "!"), Skipped::Numbers),
        (ec_key("P-521", &x(66), &x(66)), Skipped::Type),
        (ec_key("secp256k1", &x(32), &x(32)), Skipped::Type),
        (r#"{"kty":"EC","crv":"P-256"}"#.to_owned(), Skipped::Numbers),
        (
            format!(r#"{{"kty":"OKP","crv":"Ed448","x":"{}"}}"#, x(57)),
            Skipped::Type,
        ),
        (
            format!(r#"{{"kty":"OKP","crv":"X25519","x":"{}"}}"#, x(32)),
            Skipped::Type,
        ),
        (
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, x(31)),
            Skipped::Numbers,
        ),
        (rsa(128, 0xff, &[1, 0, 1]), Skipped::RsaSize),
        (rsa(256, 0x7f, &[1, 0, 1]), Skipped::RsaSize),
        (rsa(513, 0x01, &[1, 0, 1]), Skipped::RsaSize),
        (rsa(256, 0xff, &[2]), Skipped::RsaSize),
        (rsa(256, 0xff, &[1]), Skipped::RsaSize),
        (rsa(256, 0xff, &[0]), Skipped::RsaSize),
        (rsa(256, 0xff, &[1, 0, 0, 0, 1]), Skipped::RsaSize),
        (rsa(1, 0, &[3]), Skipped::Numbers),
        (format!(r#"{{{ec},"kid":1}}"#), Skipped::Id),
        (
            format!(r#"{{{ec},"kid":"{}"}}"#, "k".repeat(257)),
            Skipped::Id,
        ),
        (r#"{"kty":"XYZ"}"#.to_owned(), Skipped::Type),
        ("{}".to_owned(), Skipped::Type),
        ("1".to_owned(), Skipped::Type),
    ] {
        let text = set(&[key.clone(), good.clone()]);
        let keys = IssuerKeys::from_jwks(text.as_bytes()).expect("a set");
        assert_eq!(
            (keys.len(), keys.skipped()),
            (1, &[(0, reason)][..]),
            "{key}"
        );
        assert!(keys.find(Some("good"), Algorithm::Es256).is_some(), "{key}");
    }
}

#[test]
fn k6_rsa_keys_at_the_edges_are_used() {
    for key in [
        rsa(256, 0x80, &[3]),
        rsa(512, 0xff, &[1, 0, 1]),
        rsa(257, 0, &[0, 1, 0, 1]),
    ] {
        let keys = IssuerKeys::from_jwks(set(&[key]).as_bytes()).expect("a set");
        assert!(keys.find(None, Algorithm::Rs256).is_some());
    }
}

fn ec_key(curve: &str, x: &str, y: &str) -> String {
    format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#)
}

#[test]
fn k6_an_id_of_two_keys_names_neither() {
    let mint = Mint::new();
    let key = |kid: &str, of: &str| format!(r#"{{"kid":"{kid}",{}}}"#, mint.jwk(of));
    let text = set(&[key("a", "ec"), key("b", "ed"), key("a", "rsa")]);
    let keys = IssuerKeys::from_jwks(text.as_bytes()).expect("a set");
    assert_eq!(
        keys.skipped(),
        [(0, Skipped::RepeatedId), (2, Skipped::RepeatedId)]
    );
    assert!(keys.find(Some("a"), Algorithm::Es256).is_none());
    assert!(keys.find(Some("b"), Algorithm::EdDsa).is_some());
    assert!(keys.find(Some("b"), Algorithm::Es256).is_none());
}

#[test]
fn a_token_without_an_id_needs_the_only_key_of_its_algorithm() {
    let (mint, other) = (Mint::new(), Mint::new());
    let key = |mint: &Mint, kid: &str| format!(r#"{{"kid":"{kid}",{}}}"#, mint.jwk("ec"));
    let one = set(&[key(&mint, "a")]);
    let keys = IssuerKeys::from_jwks(one.as_bytes()).expect("a set");
    assert!(keys.find(None, Algorithm::Es256).is_some());
    let two = set(&[key(&mint, "a"), key(&other, "b")]);
    let keys = IssuerKeys::from_jwks(two.as_bytes()).expect("a set");
    assert!(keys.find(None, Algorithm::Es256).is_none());
}

#[test]
fn the_x_of_another_curve_or_axis_verifies_nothing() {
    let mint = Mint::new();
    let token = mint.token(&Claims::valid());
    let jws = corelane_guard::token::jws::Jws::read(token.as_bytes()).expect("a token");
    let members = mint
        .jwk("ec")
        .replace("\"x\"", "\"z\"")
        .replace("\"y\"", "\"x\"");
    let swapped = set(&[format!("{{{}}}", members.replace("\"z\"", "\"y\""))]);
    let keys = IssuerKeys::from_jwks(swapped.as_bytes()).expect("a set");
    // The point is not on the curve, which the check of a signature finds.
    let key = keys
        .find(None, Algorithm::Es256)
        .expect("its numbers have the right size");
    assert!(!jws.is_signed_with(key));
    let keys = mint.keys();
    assert!(jws.is_signed_with(keys.find(Some("ec"), Algorithm::Es256).expect("a key")));
    let other = keys.find(Some("rsa"), Algorithm::Rs256).expect("a key");
    assert!(!jws.is_signed_with(other));
}

#[test]
fn texts_that_are_no_key_set_are_refused() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        "{\"keys\":[]}}",
    ] {
        let found = IssuerKeys::from_jwks(text.as_bytes()).map(|_| ());
        assert_eq!(found, Err(KeySetError::Form), "{text}");
    }
    let many = |count| IssuerKeys::from_jwks(set(&vec!["{}".to_owned(); count]).as_bytes());
    assert_eq!(many(KEYS_MAX).expect("a set").skipped().len(), KEYS_MAX);
    assert_eq!(many(KEYS_MAX + 1).map(|_| ()), Err(KeySetError::TooMany));
    let long = |bytes: usize| {
        let text = format!(r#"{{"keys":[]}}{}"#, " ".repeat(bytes - 11));
        IssuerKeys::from_jwks(text.as_bytes()).map(|keys| keys.len())
    };
    assert_eq!(long(KEY_SET_BYTES_MAX), Ok(0));
    assert_eq!(long(KEY_SET_BYTES_MAX + 1), Err(KeySetError::TooLong));
}
