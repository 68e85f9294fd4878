//! Headers and claims of tokens that are signed, and answers of introspection: no input panics, and
//! each one that is accepted obeys the rules.
//!
//! The first byte chooses the part. The rest is a header, a line end and claims, which are signed
//! here; or the answer of an issuer.
#![no_main]

use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corelane_guard::token::claims::Resource;
use corelane_guard::token::jws::Algorithm;
use corelane_guard::token::keys::IssuerKeys;
use corelane_guard::token::verify::{
    Circumstances, Issuer, TokenKind, TypeProfile, Verified, Verifier,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const SECRET: [u8; 32] = [0x5a; 32];
const NOW_S: u64 = 1000;
const LEEWAY_S: u64 = 60;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let keys = IssuerKeys::from_secret(&SECRET).expect("long enough");
    let mut signed = Issuer::new("i", "i");
    signed.algorithms = vec![Algorithm::Hs256];
    signed.profile = TypeProfile::Jwt;
    signed.leeway_s = LEEWAY_S;
    signed.roles_claim = Some("a.b".into());
    signed.groups_claim = Some("groups".into());
    signed.tenant_claim = Some("t".into());
    signed.claims = vec!["c".into()];
    let mut opaque = Issuer::new("o", "o");
    opaque.kind = TokenKind::Opaque {
        audience_required: true,
    };
    opaque.leeway_s = LEEWAY_S;
    let resource = Resource::new("https://h/mcp").expect("a URI");
    Verifier::new(Arc::default())
        .with_resource(resource)
        .with_issuer(Arc::new(signed), Some(Arc::new(keys)))
        .with_issuer(Arc::new(opaque), None)
});

const CIRCUMSTANCES: Circumstances<'static> = Circumstances {
    now_s: NOW_S,
    certificate: None,
    address: None,
};

fuzz_target!(|data: &[u8]| {
    let Some((part, input)) = data.split_first() else {
        return;
    };
    if part % 2 == 1 {
        if let Ok(verified) = VERIFIER.verify_introspection("o", input, NOW_S) {
            assert_eq!(members(input)["active"], Value::Bool(true));
            check(&verified, &members(input));
        }
        return;
    }
    let end = input.iter().position(|byte| *byte == b'\n');
    let (header, claims) = input.split_at(end.unwrap_or(input.len()));
    let claims = claims.get(1..).unwrap_or_default();
    let message = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    let token = format!("{message}.{tag}");
    if let Ok(verified) = VERIFIER.verify(token.as_bytes(), &CIRCUMSTANCES) {
        let header = members(header);
        assert_eq!(header["alg"], "HS256");
        for refused in ["crit", "b64", "zip", "enc", "cty"] {
            assert!(header.get(refused).is_none(), "{refused} was accepted");
        }
        let claims = members(claims);
        assert_eq!(claims["iss"], "i");
        let expires_s = claims["exp"].as_f64().expect("a number");
        assert!(expires_s + LEEWAY_S as f64 > NOW_S as f64, "expired");
        check(&verified, &claims);
    }
});

/// What each accepted text has.
fn check(verified: &Verified, claims: &Value) {
    let audience = &claims["aud"];
    let is_named = |value: &Value| value.as_str().is_some_and(is_resource);
    let is_among = audience
        .as_array()
        .is_some_and(|it| it.iter().any(is_named));
    let is_ours = is_named(audience) || is_among;
    assert!(is_ours, "the audience is another: {audience}");
    let subject = &verified.identity.subject;
    assert!(!subject.is_empty() && subject.len() <= 256, "{subject:?}");
    assert!(!subject.chars().any(char::is_control), "{subject:?}");
    for name in ["nbf", "iat"] {
        let start_s = claims[name].as_f64().unwrap_or_default();
        assert!(
            start_s <= (NOW_S + LEEWAY_S) as f64,
            "{name} is in the future"
        );
    }
    let expires_s = verified.identity.expires_s;
    assert!(
        expires_s.is_none_or(|end_s| end_s.saturating_add(LEEWAY_S) > NOW_S),
        "expired"
    );
    assert!(claims["cnf"].get("jkt").is_none(), "bound to another key");
}

/// Whether a text is the resource, with its scheme and host in any case.
fn is_resource(text: &str) -> bool {
    let origin = text.strip_suffix("/mcp");
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case("https://h"))
}

/// The object of an accepted text, by another reader.
fn members(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("an accepted text is JSON")
}
