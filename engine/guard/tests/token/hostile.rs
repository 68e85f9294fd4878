//! Hostile tokens: each is refused, and by the rule that is meant to refuse it.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::verify::{Issuer, TypeProfile};

use crate::mint::{Claims, HEADER, Mint, encode, issuer, now};

/// The order of the group of P-256, big-endian (FIPS 186-4 D.1.2.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

struct Vectors {
    mint: Mint,
    count: usize,
}

impl Vectors {
    fn new() -> Vectors {
        Vectors {
            mint: Mint::new(),
            count: 0,
        }
    }

    /// The token is refused by this rule, for an issuer with the defaults.
    #[track_caller]
    fn refused(&mut self, what: &str, token: &str, fault: TokenFault) {
        assert_eq!(self.mint.verify(token).map(|_| ()), Err(fault), "{what}");
        self.count += 1;
    }

    /// A token with this header, signed by the key for it.
    fn with_header(&self, kid: &str, header: &str) -> String {
        let claims = Claims::valid().json();
        self.mint
            .token_by(kid, header.as_bytes(), claims.as_bytes())
    }

    /// A token with this signature in place of its own.
    fn with_signature(&self, signature: &[u8]) -> String {
        let token = self.mint.token(&Claims::valid());
        let (message, _) = token.rsplit_once('.').expect("three parts");
        format!("{message}.{}", encode(signature))
    }
}

/// A header with this member `alg`, as it is written.
fn alg(value: &str) -> String {
    format!(r#"{{"alg":{value},"kid":"ec","typ":"at+jwt"}}"#)
}

#[test]
fn algorithms_that_the_key_does_not_have() {
    let mut vectors = Vectors::new();
    for name in [
        "none", "None", "nOnE", "NONE", "", "es256", "ES521", "ES256K", "ES256 ",
    ] {
        let token = vectors.with_header("ec", &alg(&format!("\"{name}\"")));
        vectors.refused(name, &token, TokenFault::Algorithm);
        let (message, _) = token.rsplit_once('.').expect("three parts");
        vectors.refused(name, &format!("{message}."), TokenFault::Algorithm);
    }
    for value in ["null", "[\"ES256\"]", "{}", "1", "true"] {
        let token = vectors.with_header("ec", &alg(value));
        vectors.refused(value, &token, TokenFault::Header);
    }
    let absent = vectors.with_header("ec", r#"{"kid":"ec","typ":"at+jwt"}"#);
    vectors.refused("no alg", &absent, TokenFault::Header);
    for (kid, name, signer, fault) in [
        ("ec", "ES384", "ec384", TokenFault::UnknownKey),
        ("ec384", "ES256", "ec", TokenFault::UnknownKey),
        ("ed", "ES256", "ec", TokenFault::UnknownKey),
        ("ec", "EdDSA", "ed", TokenFault::UnknownKey),
        ("rsa", "ES256", "ec", TokenFault::UnknownKey),
        ("rsa", "PS256", "rsa", TokenFault::Signature),
        ("rsa", "RS256", "pss", TokenFault::Signature),
        ("rsa", "RS512", "rsa", TokenFault::Algorithm),
        ("ec", "ES256", "ec384", TokenFault::Signature),
    ] {
        let header = format!(r#"{{"alg":"{name}","kid":"{kid}","typ":"at+jwt"}}"#);
        let token = vectors.with_header(signer, &header);
        vectors.refused(&format!("{name} with {kid}"), &token, fault);
    }
    assert_eq!(vectors.count, 33);
}

#[test]
fn public_keys_as_secrets_of_hmac() {
    let mut vectors = Vectors::new();
    let mut secrets = Vec::new();
    for der in vectors.mint.public_der() {
        let text = STANDARD.encode(&der);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| str::from_utf8(line).expect("ASCII"))
            .collect();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
            lines.join("\n")
        );
        secrets.extend([der, format!("{pem}\n").into_bytes(), pem.into_bytes()]);
    }
    for kid in ["ec", "rsa"] {
        let members = vectors.mint.jwk(kid);
        secrets.push(format!("{{{members}}}").into_bytes());
        secrets.push(format!("{{\"kid\":\"{kid}\",{members}}}\n").into_bytes());
    }
    // Also for an issuer whose operator allows HMAC by mistake.
    let mut algorithms = issuer().algorithms;
    algorithms.push(corelane_guard::token::jws::Algorithm::Hs256);
    let careless = vectors.mint.verifier(Issuer {
        algorithms,
        ..issuer()
    });
    for secret in &secrets {
        for kid in ["", ",\"kid\":\"ec\"", ",\"kid\":\"rsa\""] {
            let header = encode(format!(r#"{{"alg":"HS256","typ":"at+jwt"{kid}}}"#));
            let message = format!("{header}.{}", encode(Claims::valid().json()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let token = format!("{message}.{}", encode(hmac::sign(&key, message.as_bytes())));
            vectors.refused("HS256", &token, TokenFault::Algorithm);
            let found = careless.verify(token.as_bytes(), &now());
            assert_eq!(found, Err(TokenFault::UnknownKey), "HS256 allowed");
        }
    }
    assert_eq!(vectors.count, 30);
}

#[test]
fn signatures_that_are_no_numbers_of_the_key() {
    let mut vectors = Vectors::new();
    let token = vectors.mint.token(&Claims::valid());
    let message = token.rsplit_once('.').expect("three parts").0.as_bytes();
    let right = vectors.mint.sign("ec", message);
    let (r, s) = right.split_at(32);
    let mut one = [0; 32];
    one[31] = 1;
    let mut above = ORDER;
    above[31] += 1;
    // DER instead of two numbers (RFC 7518 3.4).
    let der = [&[0x30, 0x46, 2, 33, 0], r, &[2, 33, 0], s].concat();
    let mut flipped = right.clone();
    flipped[63] ^= 1;
    for (what, signature) in [
        ("r = s = 0", vec![0; 64]),
        ("r = 0", [&[0; 32], s].concat()),
        ("s = 0", [r, &[0; 32]].concat()),
        ("r = s = 1", [one, one].concat()),
        ("r = n", [&ORDER[..], s].concat()),
        ("s = n", [r, &ORDER[..]].concat()),
        ("r = n + 1", [&above[..], s].concat()),
        ("r = s = 2^256 - 1", vec![0xff; 64]),
        ("swapped", [s, r].concat()),
        ("DER", der),
        ("a bit", flipped),
        ("empty", Vec::new()),
        ("short", right[..63].to_vec()),
        ("long", [&right[..], &[0]].concat()),
        ("leading zero", [&[0], &right[..]].concat()),
        ("twice", [&right[..], &right[..]].concat()),
    ] {
        let token = vectors.with_signature(&signature);
        vectors.refused(what, &token, TokenFault::Signature);
    }
    let (_, claims_and_signature) = token.split_once('.').expect("three parts");
    let other_header = encode(r#"{"kid":"ec","alg":"ES256","typ":"at+jwt"}"#);
    let moved = format!("{other_header}.{claims_and_signature}");
    vectors.refused("another header", &moved, TokenFault::Signature);
    let foreign = Mint::new().token(&Claims::valid());
    vectors.refused(
        "another key with the same id",
        &foreign,
        TokenFault::Signature,
    );
    assert_eq!(vectors.count, 18);
}

#[test]
fn keys_that_the_token_brings_along_are_not_used() {
    let mut vectors = Vectors::new();
    let attacker = Mint::new();
    let claims = Claims::valid().json();
    let jwk = attacker.jwk("ec");
    for member in [
        format!(r#""jwk":{{{jwk}}}"#),
        r#""jku":"http://127.0.0.1:1/keys""#.to_owned(),
        r#""x5u":"http://127.0.0.1:1/certificate""#.to_owned(),
        r#""x5c":["MIIB"]"#.to_owned(),
        r#""x5t":"AAAA""#.to_owned(),
        r#""x5t#S256":"AAAA""#.to_owned(),
    ] {
        for (kid, fault) in [
            (r#","kid":"ec""#, TokenFault::Signature),
            (r#","kid":"evil""#, TokenFault::UnknownKey),
            ("", TokenFault::Signature),
        ] {
            let header = format!(r#"{{"alg":"ES256","typ":"at+jwt",{member}{kid}}}"#);
            let token = attacker.token_by("ec", header.as_bytes(), claims.as_bytes());
            vectors.refused(&header, &token, fault);
        }
    }
    for kid in [
        "../../etc/passwd",
        "' OR '1'='1",
        "/dev/null",
        "http://127.0.0.1:1/",
        "ec\\u0000",
        "ec ",
        "EC",
        "",
    ] {
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#);
        let token = vectors.with_header("ec", &header);
        vectors.refused(kid, &token, TokenFault::UnknownKey);
    }
    for kid in ["[\"ec\"]", "1", "null", "{}"] {
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":{kid}}}"#);
        let token = vectors.with_header("ec", &header);
        vectors.refused(kid, &token, TokenFault::Header);
    }
    let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(1 << 20));
    let token = vectors.with_header("ec", &header);
    vectors.refused("a kid of 1 MiB", &token, TokenFault::Form);
    assert_eq!(vectors.count, 31);
}

#[test]
fn forms_that_are_no_compact_jws() {
    let mut vectors = Vectors::new();
    let token = vectors.mint.token(&Claims::valid());
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let padded = URL_SAFE.encode(HEADER);
    let other_alphabet = claims.replacen(&claims[8..9], "+", 1);
    let percent = token.replacen('.', "%2E", 1);
    let json =
        format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#);
    for (what, token) in [
        ("empty parts", "..".to_owned()),
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{token}.{signature}")),
        (
            "five parts, a JWE",
            format!("{header}.{header}.{header}.{claims}.{signature}"),
        ),
        ("a dot at the end", format!("{token}.")),
        ("a dot at the start", format!(".{token}")),
        ("padding", format!("{padded}=.{claims}.{signature}")),
        ("padding of the signature", format!("{token}==")),
        (
            "the other alphabet",
            format!("{header}.{other_alphabet}.{signature}"),
        ),
        ("a slash", format!("{header}.{claims}/.{signature}")),
        ("a newline", format!("{token}\n")),
        (
            "a newline inside",
            format!("{header}.\n{claims}.{signature}"),
        ),
        ("a tab", format!("\t{token}")),
        ("percent escapes", percent),
        ("a NUL", format!("{token}\0")),
        ("not ASCII", format!("{header}.{claims}.\u{e4}")),
        ("JSON serialisation", json),
        ("trailing bits", format!("{header}.{claims}.{signature}B")),
        ("1 MiB", "a".repeat(1 << 20)),
        ("8 KiB and one", "a".repeat(8193)),
    ] {
        let fault = if what == "empty parts" {
            TokenFault::Header
        } else {
            TokenFault::Form
        };
        vectors.refused(what, &token, fault);
    }
    assert_eq!(vectors.count, 21);
}

#[test]
fn headers_that_are_refused() {
    let mut vectors = Vectors::new();
    for (what, header) in [
        ("an empty header", ""),
        ("an array", "[]"),
        ("a string", "\"ES256\""),
        ("two objects", r#"{"alg":"ES256"}{}"#),
        ("not UTF-8", "\u{feff}{}"),
        (
            "alg twice, first right",
            r#"{"alg":"ES256","kid":"ec","typ":"at+jwt","alg":"none"}"#,
        ),
        (
            "alg twice, last right",
            r#"{"alg":"none","kid":"ec","typ":"at+jwt","alg":"ES256"}"#,
        ),
        (
            "kid twice",
            r#"{"alg":"ES256","kid":"ec","kid":"ec","typ":"at+jwt"}"#,
        ),
        (
            "an escaped alg twice",
            r#"{"alg":"ES256","kid":"ec","\u0061lg":"none"}"#,
        ),
        (
            "crit unknown",
            r#"{"alg":"ES256","kid":"ec","typ":"at+jwt","crit":["exp"]}"#,
        ),
        (
            "crit empty",
            r#"{"alg":"ES256","kid":"ec","typ":"at+jwt","crit":[]}"#,
        ),
        (
            "crit twice",
            r#"{"alg":"ES256","kid":"ec","crit":[],"crit":[]}"#,
        ),
        (
            "b64",
            r#"{"alg":"ES256","kid":"ec","typ":"at+jwt","b64":false}"#,
        ),
        (
            "zip",
            r#"{"alg":"ES256","kid":"ec","typ":"at+jwt","zip":"DEF"}"#,
        ),
        (
            "nested",
            r#"{"alg":"ES256","kid":"ec","typ":"at+jwt","cty":"JWT"}"#,
        ),
        (
            "enc",
            r#"{"alg":"ES256","kid":"ec","typ":"at+jwt","enc":"A256GCM"}"#,
        ),
    ] {
        let token = vectors.with_header("ec", header);
        vectors.refused(what, &token, TokenFault::Header);
    }
    assert_eq!(vectors.count, 16);
}

#[test]
fn payloads_that_are_no_claims() {
    let mut vectors = Vectors::new();
    let valid = Claims::valid().json();
    let nested = vectors.mint.token(&Claims::valid());
    let deep = format!("{}\"a\":1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let not_utf8 = [&valid.as_bytes()[..valid.len() - 1], b",\"a\":\"\xff\"}"].concat();
    for (what, payload) in [
        ("empty", &b""[..]),
        ("an array", b"[]"),
        ("null", b"null"),
        ("text", b"alice"),
        ("a nested token", nested.as_bytes()),
        ("not UTF-8", &not_utf8),
        ("two objects", format!("{valid}{valid}").as_bytes()),
        ("a comma at the end", valid.replace("}", ",}").as_bytes()),
        ("a comment", format!("/**/{valid}").as_bytes()),
        ("a NUL at the end", format!("{valid}\0").as_bytes()),
        ("a byte order mark", format!("\u{feff}{valid}").as_bytes()),
    ] {
        let token = vectors.mint.token_by("ec", HEADER.as_bytes(), payload);
        vectors.refused(what, &token, TokenFault::Claims);
    }
    for (name, first, last) in [
        (
            "iss",
            "\"https://issuer.example\"",
            "\"https://evil.example\"",
        ),
        (
            "aud",
            "\"https://mcp.example.com/mcp\"",
            "\"https://evil.example\"",
        ),
        ("exp", "1000600", "1"),
        ("sub", "\"alice\"", "\"root\""),
    ] {
        for (first, last) in [(first, last), (last, first)] {
            let claims = Claims::valid().with(name, first).repeated(name, last);
            let token = vectors.mint.token(&claims);
            vectors.refused(name, &token, TokenFault::Claims);
        }
    }
    let long = vectors
        .mint
        .token_by("ec", HEADER.as_bytes(), deep.as_bytes());
    let verifier = vectors
        .mint
        .verifier(issuer())
        .with_token_bytes_max(1 << 20);
    assert_eq!(
        verifier.verify(long.as_bytes(), &now()),
        Err(TokenFault::Claims)
    );
    assert_eq!(vectors.count, 19);
}

#[test]
fn tokens_of_other_uses() {
    let mint = Mint::new();
    let jwt = mint.verifier(Issuer {
        profile: TypeProfile::Jwt,
        ..issuer()
    });
    for typ in [
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "JWS",
        "id",
    ] {
        let header = format!(r#"{{"alg":"ES256","kid":"ec","typ":"{typ}"}}"#);
        let token = mint.token_by("ec", header.as_bytes(), Claims::valid().json().as_bytes());
        assert_eq!(
            jwt.verify(token.as_bytes(), &now()),
            Err(TokenFault::Type),
            "{typ}"
        );
        assert_eq!(mint.verify(&token), Err(TokenFault::Type), "{typ}");
    }
}
