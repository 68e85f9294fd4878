//! One test for each rule about claims: the edge on both sides.

use std::sync::Arc;

use corelane_guard::bits::Bits256;
use corelane_guard::identity::Claim;
use corelane_guard::token::claims::Resource;
use corelane_guard::token::fault::TokenFault;
use corelane_guard::token::verify::{Circumstances, DenyList, Issuer};

use crate::mint::{Claims, ISSUER, Mint, at, encode, issuer, now};

/// Tokens with these values of a claim have these outcomes.
#[track_caller]
fn check_claim(name: &str, issuer: &Issuer, cases: &[(&str, Result<(), TokenFault>)]) {
    let mint = Mint::new();
    let verifier = mint.verifier(issuer.clone());
    for (value, expected) in cases {
        let token = mint.token(&Claims::valid().with(name, value));
        let found = verifier.verify(token.as_bytes(), &now());
        assert_eq!(found.map(|_| ()), *expected, "{name}: {value}");
    }
    let required = ["iss", "aud", "exp", "sub"].contains(&name);
    let absent = mint.token(&Claims::valid().without(name));
    assert_eq!(
        verifier.verify(absent.as_bytes(), &now()).is_err(),
        required,
        "without {name}"
    );
}

#[test]
fn v6_the_issuer_is_one_string_byte_by_byte() {
    let refused = Err(TokenFault::Issuer);
    check_claim(
        "iss",
        &issuer(),
        &[
            (&format!("\"{ISSUER}\""), Ok(())),
            (&format!("\"{ISSUER}/\""), refused),
            (&format!("[\"{ISSUER}\"]"), refused),
            ("\"https://issuer.exampl\"", refused),
            ("\"HTTPS://issuer.example\"", refused),
            ("\"https://\u{456}ssuer.example\"", refused),
            ("\"\"", refused),
            ("null", refused),
        ],
    );
}

#[test]
fn v7_one_audience_is_this_resource() {
    let refused = Err(TokenFault::Audience);
    let here = "\"https://mcp.example.com/mcp\"";
    let seventeen = format!("[{}{here}]", "\"a\",".repeat(16));
    let sixteen = format!("[{}{here}]", "\"a\",".repeat(15));
    let audiences_extra = vec!["api://1".into()];
    check_claim(
        "aud",
        &Issuer {
            audiences_extra,
            ..issuer()
        },
        &[
            (here, Ok(())),
            ("\"HTTPS://MCP.Example.COM/mcp\"", Ok(())),
            (&sixteen, Ok(())),
            (&seventeen, refused),
            ("\"api://1\"", Ok(())),
            ("\"API://1\"", refused),
            ("\"https://mcp.example.com/mcp/\"", refused),
            ("\"https://mcp.example.com/MCP\"", refused),
            ("\"https://mcp.example.com/mc\"", refused),
            ("\"https://mcp.example.com/mcp2\"", refused),
            ("\"https://mcp.example.com\"", refused),
            ("\"https://mcp.example.com.evil.example/mcp\"", refused),
            ("\"https://m\u{441}p.example.com/mcp\"", refused),
            ("\"http://mcp.example.com/mcp\"", refused),
            ("\"\"", refused),
            ("[]", refused),
            ("null", refused),
            ("[1]", refused),
            ("{}", refused),
        ],
    );
}

#[test]
fn v7_each_resource_of_the_server_is_an_audience() {
    let mint = Mint::new();
    let one = mint.verifier(issuer());
    let admin = Resource::new("https://mcp.example.com/admin").expect("a URI");
    let both = one.clone().with_resource(admin);
    for (path, of_one, of_both) in [
        ("mcp", Ok(()), Ok(())),
        ("admin", Err(TokenFault::Audience), Ok(())),
        (
            "other",
            Err(TokenFault::Audience),
            Err(TokenFault::Audience),
        ),
    ] {
        let audience = format!("\"https://mcp.example.com/{path}\"");
        let token = mint.token(&Claims::valid().with("aud", &audience));
        for (verifier, expected) in [(&one, of_one), (&both, of_both)] {
            let found = verifier.verify(token.as_bytes(), &now()).map(|_| ());
            assert_eq!(found, expected, "{path}");
        }
    }
}

#[test]
fn v8_the_expiry_is_a_number_and_has_leeway() {
    let form = Err(TokenFault::ExpiryForm);
    check_claim(
        "exp",
        &issuer(),
        &[
            ("999941", Ok(())),
            ("999940.5", Ok(())),
            ("999940", Err(TokenFault::Expired)),
            ("0", Err(TokenFault::Expired)),
            ("-1", Err(TokenFault::Expired)),
            ("9223372036854775808", Ok(())),
            ("18446744073709551616", Ok(())),
            ("1e300", Ok(())),
            ("\"1000600\"", form),
            ("null", form),
            ("true", form),
            ("[1000600]", form),
        ],
    );
}

#[test]
fn v9_neither_nbf_nor_iat_is_in_the_future() {
    let future = Err(TokenFault::NotYetValid);
    let form = Err(TokenFault::TimeForm);
    let cases = [
        ("1000060", Ok(())),
        ("1000061", future),
        ("1e300", future),
        ("\"1\"", form),
        ("null", form),
    ];
    check_claim("nbf", &issuer(), &cases);
    check_claim("iat", &issuer(), &cases);
    let strict = Issuer {
        leeway_s: 0,
        token_age_max_s: Some(100),
        ..issuer()
    };
    let mint = Mint::new();
    let verifier = mint.verifier(strict);
    for (claims, expected) in [
        (Claims::valid().with("iat", "999900"), Ok(())),
        (
            Claims::valid().with("iat", "999899"),
            Err(TokenFault::TooOld),
        ),
        (Claims::valid().without("iat"), Err(TokenFault::TooOld)),
        (Claims::valid().with("iat", "1000001"), future),
    ] {
        let found = verifier
            .verify(mint.token(&claims).as_bytes(), &now())
            .map(|_| ());
        assert_eq!(found, expected, "{}", claims.json());
    }
    let lenient = mint.verifier(Issuer {
        leeway_s: 9_999,
        ..issuer()
    });
    let token = mint.token(&Claims::valid());
    assert!(lenient.verify(token.as_bytes(), &at(1_000_899)).is_ok());
    assert_eq!(
        lenient.verify(token.as_bytes(), &at(1_000_900)),
        Err(TokenFault::Expired)
    );
}

#[test]
fn v11_the_subject_is_a_visible_name() {
    let refused = Err(TokenFault::Subject);
    check_claim(
        "sub",
        &issuer(),
        &[
            ("\"auth0|1\"", Ok(())),
            ("\"J\u{fc}rg M\"", Ok(())),
            (&format!("\"{}\"", "a".repeat(200)), Ok(())),
            (&format!("\"{}\"", "a".repeat(201)), refused),
            ("\"\"", refused),
            ("\"a\\nb\"", refused),
            ("\"a\\u0000\"", refused),
            ("\"a\\u0085\"", refused),
            ("1", refused),
            ("null", refused),
        ],
    );
}

#[test]
fn v12_scopes_are_a_list_of_bounded_names() {
    let refused = Err(TokenFault::Scope);
    let list = |count| format!("\"{}\"", vec!["s"; count].join(" "));
    let text_cases = [
        ("\"\"", Ok(())),
        ("\"a  b \"", Ok(())),
        (&*list(128), Ok(())),
        (&*list(129), refused),
        (&format!("\"{}\"", "s".repeat(128)), Ok(())),
        (&format!("\"{}\"", "s".repeat(129)), refused),
        ("\"a\\tb\"", refused),
        ("\"a\\nb\"", refused),
        ("\"a\\\"b\"", refused),
        ("null", refused),
        ("1", refused),
    ];
    check_claim("scope", &issuer(), &text_cases);
    check_claim("scope", &issuer(), &[("[\"mcp:read\"]", refused)]);
    let mint = Mint::new();
    let scopes = |claims: Claims| {
        let verified = mint.verify(&mint.token(&claims));
        verified.map(|it| it.identity.scopes.iter().map(|bit| 1 << bit).sum::<u64>())
    };
    let base = Claims::valid().without("scope");
    for (claims, expected) in [
        (base.clone(), Ok(0)),
        (base.clone().with("scope", r#""mcp:read mcp:write""#), Ok(3)),
        (base.clone().with("scope", r#""mcp:read mcp:read""#), Ok(1)),
        (
            base.clone()
                .with("scope", r#""MCP:READ mcp:rea mcp:read2""#),
            Ok(0),
        ),
        (base.clone().with("scp", r#""mcp:write""#), Ok(2)),
        (base.clone().with("scp", r#"["mcp:write","x"]"#), Ok(2)),
        (
            base.clone().with("scp", r#"["mcp:read mcp:write"]"#),
            Err(TokenFault::Scope),
        ),
        (
            base.clone().with("scp", r#"["mcp:read",1]"#),
            Err(TokenFault::Scope),
        ),
        // `scope` wins, so that `scp` cannot add to it.
        (
            base.with("scope", r#""mcp:read""#)
                .with("scp", r#""mcp:write""#),
            Ok(1),
        ),
    ] {
        assert_eq!(scopes(claims.clone()), expected, "{}", claims.json());
    }
}

#[test]
fn v13_roles_groups_tenant_and_claims_come_from_configured_paths() {
    let issuer = Issuer {
        roles_claim: Some("realm_access.roles".into()),
        groups_claim: Some("groups".into()),
        tenant_claim: Some("org".into()),
        claims: vec![
            "email".into(),
            "https://e.example/x".into(),
            "absent".into(),
        ],
        ..issuer()
    };
    let mint = Mint::new();
    let verifier = mint.verifier(issuer);
    let verify = |claims: Claims| verifier.verify(mint.token(&claims).as_bytes(), &now());
    let valid = Claims::valid()
        .with("realm_access", r#"{"roles":["ops","unknown"]}"#)
        .with("groups", r#"["staff","ops"]"#)
        .with("org", "\"acme\"")
        .with("email", "\"a@b\"")
        .with("https://e.example/x", "\"y\"");
    let identity = verify(valid.clone()).expect("valid").identity;
    assert_eq!(identity.roles, Bits256::from_iter([1, 2]));
    assert_eq!(identity.tenant.as_deref(), Some("acme"));
    let claims: [Claim; 2] = [
        ("email".into(), "a@b".into()),
        ("https://e.example/x".into(), "y".into()),
    ];
    assert_eq!(identity.claims, claims);
    // Roles at another path are none, and a group is no role.
    let elsewhere = Claims::valid()
        .with("roles", r#"["ops"]"#)
        .with("groups", r#"["ops"]"#);
    let elsewhere = verify(elsewhere).expect("valid");
    assert_eq!(
        (
            elsewhere.identity.roles,
            elsewhere.identity.tenant.as_deref()
        ),
        (Bits256::default(), None)
    );
    for (name, value) in [
        ("realm_access", r#"{"roles":[1]}"#),
        ("realm_access", r#"{"roles":{}}"#),
        ("groups", r#"[["staff"]]"#),
        ("org", "1"),
        ("org", "\"\""),
        ("org", r#""x\n9 9 tenant:acme""#),
        ("groups", r#"["a\u0000"]"#),
        ("org", "[\"acme\",\"other\"]"),
        ("email", &format!("\"{}\"", "a".repeat(1_020))),
        ("client_id", "1"),
    ] {
        let found = verify(valid.clone().with(name, value));
        assert_eq!(
            found.map(|_| ()),
            Err(TokenFault::Selected),
            "{name}: {value}"
        );
    }
}

#[test]
fn v14_a_bound_token_needs_its_certificate() {
    let mint = Mint::new();
    let verifier = mint.verifier(issuer());
    let thumbprint = format!(r#"{{"x5t#S256":"{}"}}"#, encode([7; 32]));
    let verify = |cnf: &str, certificate: Option<&[u8; 32]>| {
        let token = mint.token(&Claims::valid().with("cnf", cnf));
        let circumstances = Circumstances {
            certificate,
            ..now()
        };
        verifier
            .verify(token.as_bytes(), &circumstances)
            .map(|_| ())
    };
    let refused = Err(TokenFault::Binding);
    assert_eq!(verify(&thumbprint, Some(&[7; 32])), Ok(()));
    assert_eq!(verify(&thumbprint, Some(&[8; 32])), refused);
    assert_eq!(verify(&thumbprint, None), refused);
    let both = format!(r#"{{"x5t#S256":"{}","jkt":"a"}}"#, encode([7; 32]));
    for cnf in [
        "{}",
        "null",
        r#"{"jkt":"a"}"#,
        r#"{"x5t#S256":"a"}"#,
        r#"{"jwk":{}}"#,
        &both,
    ] {
        assert_eq!(verify(cnf, Some(&[7; 32])), refused, "{cnf}");
    }
}

#[test]
fn v15_a_revoked_token_or_subject_is_refused() {
    let mint = Mint::new();
    let token = mint.token(&Claims::valid());
    let verify = |revoke: fn(&mut DenyList) -> bool| {
        let mut denied = DenyList::default();
        assert!(revoke(&mut denied));
        let verifier = mint.verifier(issuer()).with_deny_list(Arc::new(denied));
        verifier.verify(token.as_bytes(), &now()).map(|_| ())
    };
    let refused = Err(TokenFault::Revoked);
    assert_eq!(
        verify(|denied| denied.revoke_token("corp", "token-1")),
        refused
    );
    assert_eq!(
        verify(|denied| denied.revoke_subject("corp", "alice")),
        refused
    );
    assert_eq!(
        verify(|denied| denied.revoke_token("corp", "alice")),
        Ok(())
    );
    assert_eq!(
        verify(|denied| denied.revoke_subject("other", "alice")),
        Ok(())
    );
    let mut denied = DenyList::default();
    let fits = |denied: &mut DenyList, n: usize| denied.revoke_token("corp", &n.to_string());
    assert!((0..100_000).all(|n| fits(&mut denied, n)));
    assert!(!fits(&mut denied, 100_000) && fits(&mut denied, 0));
}
