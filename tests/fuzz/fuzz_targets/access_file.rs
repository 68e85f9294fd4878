//! The sections of the access file: no text panics, each fault names a line of the text, and a
//! policy explains its decisions as it makes them.
//!
//! The first byte chooses the section, the others are the text.
#![no_main]

use std::fmt::Display;

use corelane_guard::identity::Method;
use corelane_guard::limit::file::Limits;
use corelane_guard::policy::{Claims, Decision, EntryKind, Policy, Subject};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((part, input)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if part % 2 == 0 {
        match Policy::parse(text) {
            Ok(policy) => decide(&policy),
            Err(error) => check_lines(text, error.0.iter().map(|it| (it.line, &it.fault))),
        }
    } else {
        match Limits::parse(text) {
            Ok(limits) => {
                assert!(limits.tools.of("get_x").count() <= u16::MAX.into());
                assert_eq!(Limits::parse(text).as_ref(), Ok(&limits));
            }
            Err(error) => check_lines(text, error.0.iter().map(|it| (it.line, &it.fault))),
        }
    }
});

/// Each fault is on a line of the text and has a text of its own.
fn check_lines<'a, F: Display + 'a>(text: &str, faults: impl Iterator<Item = (usize, &'a F)>) {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let mut count = 0;
    for (line, fault) in faults {
        assert!(
            (1..=lines).contains(&line),
            "line {line} of {lines}: {fault}"
        );
        assert!(!fault.to_string().is_empty());
        count += 1;
    }
    assert!(count > 0, "a text is refused for nothing");
}

/// An identity without rights gets nothing, unless a rule is for it, and decisions are explained.
fn decide(policy: &Policy) {
    let roles = ["ops", "reader"];
    let scopes = policy.scopes_of(["mcp:read"]);
    let known = Claims {
        method: Method::Jwt,
        claim_roles: &roles,
        scopes,
        ..Claims::default()
    };
    for (claims, scopes) in [(known, scopes), (Claims::default(), Default::default())] {
        let subject = Subject {
            roles: policy.roles_of(&claims),
            scopes,
            ..Subject::default()
        };
        let class = policy.class_of(&subject);
        for kind in EntryKind::ALL {
            for name in ["get_x", "drop_x", "docs://a/b", "docs://a/../b", ""] {
                let decision = policy.decide(&class, kind, name);
                assert_eq!(policy.explain(&class, kind, name).decision, decision);
                if let Decision::Acquirable(grant) = decision {
                    assert!(policy.scope_names(grant).count() > 0, "nothing to acquire");
                }
            }
        }
    }
}
