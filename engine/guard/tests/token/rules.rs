//! One test for each rule about form, header, key, signature and type: the edge on both sides.

use std::sync::Arc;

use corelane_guard::bits::Bits256;
use corelane_guard::identity::Method;
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::jws::Algorithm;
use corelane_guard::token::keys::IssuerKeys;
use corelane_guard::token::verify::{Issuer, TypeProfile};

use crate::mint::{Claims, HEADER, Mint, NOW_S, at, encode, issuer, now, verifier};

#[test]
fn a_valid_token_becomes_an_identity() {
    let mint = Mint::new();
    let verified = mint.verify(&mint.token(&Claims::valid())).expect("valid");
    let identity = &verified.identity;
    assert_eq!(identity.principal_key(), "jwt:corp:alice");
    assert_eq!(
        (identity.method, identity.expires_s),
        (Method::Jwt, Some(1_000_600))
    );
    assert_eq!(identity.client.as_deref(), Some("agent"));
    assert_eq!(identity.scopes, Bits256::from_iter([0]));
    assert_eq!(identity.roles, Bits256::default());
}

#[test]
fn v1_only_the_compact_form_within_the_limit() {
    let mint = Mint::new();
    let token = mint.token(&Claims::valid());
    let limited = |bytes| mint.verifier(issuer()).with_token_bytes_max(bytes);
    let verify = |bytes| limited(bytes).verify(token.as_bytes(), &now()).map(|_| ());
    assert_eq!(verify(token.len()), Ok(()));
    assert_eq!(verify(token.len() - 1), Err(TokenFault::Form));
    for end in [".", ".a", "=", "\n", " "] {
        assert_eq!(
            mint.verify(&format!("{token}{end}")),
            Err(TokenFault::Form),
            "{end:?}"
        );
    }
}

#[test]
fn v2_headers_are_bounded_and_have_no_member_that_changes_the_meaning() {
    let mint = Mint::new();
    let verify = |members: &str| {
        let header = format!(r#"{{"alg":"ES256","kid":"ec","typ":"at+jwt"{members}}}"#);
        let token = mint.token_by("ec", header.as_bytes(), Claims::valid().json().as_bytes());
        mint.verify(&token).map(|_| ())
    };
    let many = |count| -> String { (0..count).map(|n| format!(",\"m{n}\":1")).collect() };
    for ignored in [
        "",
        ",\"jku\":\"https://evil\"",
        ",\"x5c\":[\"a\"]",
        ",\"a\":[[[]]]",
    ] {
        assert_eq!(verify(ignored), Ok(()), "{ignored}");
    }
    assert_eq!(
        (verify(&many(13)), verify(&many(14))),
        (Ok(()), Err(TokenFault::Header))
    );
    for refused in [
        ",\"a\":[[[[]]]]",
        ",\"alg\":\"ES256\"",
        ",\"crit\":[]",
        ",\"b64\":false",
        ",\"zip\":\"DEF\"",
        ",\"enc\":\"A128GCM\"",
        ",\"cty\":\"JWT\"",
    ] {
        assert_eq!(verify(refused), Err(TokenFault::Header), "{refused}");
    }
}

#[test]
fn v3_the_algorithm_is_allowed_and_is_that_of_the_key() {
    let mint = Mint::new();
    let claims = Claims::valid().json();
    for (alg, kid, signer) in [
        ("ES256", "ec", "ec"),
        ("ES384", "ec384", "ec384"),
        ("EdDSA", "ed", "ed"),
        ("RS256", "rsa", "rsa"),
        ("PS256", "rsa", "pss"),
    ] {
        let header = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"at+jwt"}}"#);
        let token = mint.token_by(signer, header.as_bytes(), claims.as_bytes());
        assert!(mint.verify(&token).is_ok(), "{alg}");
        let algorithm = Algorithm::from_name(alg).expect("known");
        let others = Algorithm::DEFAULTS
            .into_iter()
            .filter(|other| *other != algorithm);
        let algorithms = others.collect();
        let narrow = mint.verifier(Issuer {
            algorithms,
            ..issuer()
        });
        assert_eq!(
            narrow.verify(token.as_bytes(), &now()),
            Err(TokenFault::Algorithm),
            "{alg}"
        );
    }
    for name in ["none", "None", "nOnE", "", "es256", "HS256\0"] {
        assert_eq!(Algorithm::from_name(name), None, "{name:?}");
    }
}

#[test]
fn v4_a_key_is_of_its_issuer_and_found_by_its_id() {
    let (mint, other) = (Mint::new(), Mint::new());
    let keys = Some(Arc::new(other.keys()));
    let second = Issuer::new("other", "https://other.example");
    let both = mint.verifier(issuer()).with_issuer(Arc::new(second), keys);
    let verify = |mint: &Mint, header: &str, claims: &Claims| {
        let token = mint.token_by("ec", header.as_bytes(), claims.json().as_bytes());
        both.verify(token.as_bytes(), &now())
            .map(|verified| verified.identity.principal_key().to_owned())
    };
    let claims = Claims::valid();
    let of_other = Claims::valid().with("iss", r#""https://other.example""#);
    assert_eq!(
        verify(&mint, HEADER, &claims),
        Ok("jwt:corp:alice".to_owned())
    );
    assert_eq!(
        verify(&other, HEADER, &of_other),
        Ok("jwt:other:alice".to_owned())
    );
    assert_eq!(verify(&other, HEADER, &claims), Err(TokenFault::Signature));
    let without_id = r#"{"alg":"ES256","typ":"at+jwt"}"#;
    assert!(verify(&mint, without_id, &claims).is_ok());
    let kid = |kid: &str| format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#);
    for id in ["", "EC", "ec384", "../../etc/passwd", &"k".repeat(256)] {
        assert_eq!(
            verify(&mint, &kid(id), &claims),
            Err(TokenFault::UnknownKey),
            "{id}"
        );
    }
    assert_eq!(
        verify(&mint, &kid(&"k".repeat(257)), &claims),
        Err(TokenFault::Header)
    );
    let unloaded = verifier().with_issuer(Arc::new(issuer()), None);
    let token = mint.token(&claims);
    assert_eq!(
        unloaded.verify(token.as_bytes(), &now()),
        Err(TokenFault::KeysUnavailable)
    );
}

#[test]
fn v5_the_signature_is_checked_before_claims_and_claims_are_bounded() {
    let mint = Mint::new();
    let expired = Claims::valid().with("exp", "1");
    let token = mint.token(&expired);
    assert_eq!(mint.verify(&token), Err(TokenFault::Expired));
    let forged = Mint::new().token(&expired);
    assert_eq!(mint.verify(&forged), Err(TokenFault::Signature));
    let many = |count| {
        let start = Claims::valid();
        (0..count).fold(start, |claims, n| claims.repeated(&format!("m{n}"), "1"))
    };
    let verify = |claims: &Claims| mint.verify(&mint.token(claims)).map(|_| ());
    assert_eq!(
        (verify(&many(120)), verify(&many(121))),
        (Ok(()), Err(TokenFault::Claims))
    );
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(verify(&Claims::valid().with("a", &deep(7))), Ok(()));
    for value in [&deep(8), "\"\\ud800\"", "1e400", "\"", "NaN"] {
        assert_eq!(
            verify(&Claims::valid().with("a", value)),
            Err(TokenFault::Claims),
            "{value}"
        );
    }
    for name in ["iss", "aud", "exp", "sub", "scope", "jti"] {
        let twice = Claims::valid().repeated(name, "1");
        assert_eq!(verify(&twice), Err(TokenFault::Claims), "{name}");
    }
}

#[test]
fn v10_the_type_is_that_of_an_access_token() {
    let mint = Mint::new();
    for (typ, rfc9068, jwt) in [
        ("\"at+jwt\"", true, true),
        ("\"AT+JWT\"", true, true),
        ("\"application/at+jwt\"", true, true),
        ("\"JWT\"", false, true),
        ("", false, true),
        ("\"dpop+jwt\"", false, false),
        ("\"logout+jwt\"", false, false),
        ("\"secevent+jwt\"", false, false),
        ("\"\"", false, false),
        ("null", false, false),
        ("[\"at+jwt\"]", false, false),
    ] {
        let typ = if typ.is_empty() {
            String::new()
        } else {
            format!(",\"typ\":{typ}")
        };
        let header = format!(r#"{{"alg":"ES256","kid":"ec"{typ}}}"#);
        let token = mint.token_by("ec", header.as_bytes(), Claims::valid().json().as_bytes());
        for (profile, expected) in [(TypeProfile::Rfc9068, rfc9068), (TypeProfile::Jwt, jwt)] {
            let verifier = mint.verifier(Issuer {
                profile,
                ..issuer()
            });
            let found = verifier.verify(token.as_bytes(), &now());
            assert_eq!(found.is_ok(), expected, "{header} {profile:?}");
        }
    }
    let verifier = mint.verifier(Issuer {
        profile: TypeProfile::Jwt,
        ..issuer()
    });
    for name in ["nonce", "at_hash"] {
        let token = mint.token(&Claims::valid().with(name, "\"a\""));
        assert_eq!(
            verifier.verify(token.as_bytes(), &now()),
            Err(TokenFault::Type),
            "{name}"
        );
    }
}

#[test]
fn a_local_secret_verifies_hmac_only_where_it_is_configured() {
    let mint = Mint::new();
    let secret = [9; 32];
    let message = format!(
        "{}.{}",
        encode(r#"{"alg":"HS256","typ":"at+jwt"}"#),
        encode(Claims::valid().json())
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let signature = encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
    let token = format!("{message}.{signature}");
    let keys = IssuerKeys::from_secret(&secret).expect("long enough");
    assert!(IssuerKeys::from_secret(&secret[..31]).is_none());
    let symmetric = Issuer {
        algorithms: vec![Algorithm::Hs256],
        ..issuer()
    };
    let own = verifier().with_issuer(Arc::new(symmetric.clone()), Some(Arc::new(keys)));
    assert!(own.verify(token.as_bytes(), &now()).is_ok());
    assert_eq!(
        own.verify(mint.token(&Claims::valid()).as_bytes(), &at(NOW_S)),
        Err(TokenFault::Algorithm)
    );
    assert_eq!(mint.verify(&token), Err(TokenFault::Algorithm));
    let careless = mint.verifier(symmetric);
    assert_eq!(
        careless.verify(token.as_bytes(), &now()),
        Err(TokenFault::UnknownKey)
    );
}
