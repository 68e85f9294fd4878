//! Decisions about entries, and their explanations.

use super::*;
use crate::identity::{Identity, Method};

fn policy(text: &str) -> Policy {
    Policy::parse(&format!("{text}{AUTH}")).unwrap()
}

const OPS: &str = r#"
[[role]]
name = "ops"
claim_roles = ["platform-ops"]
[[role]]
name = "auditor"
scopes = ["audit:read"]
[[grant]]
role = "ops"
tools = ["*"]
scopes = ["mcp:write", "mcp:read"]
[[grant]]
role = "ops"
tools = ["get_*"]
scopes = ["mcp:read"]
[[grant]]
role = "ops"
tools = ["free"]
[[grant]]
role = "auditor"
prompts = ["*"]
[[deny]]
role = "ops"
tools = ["drop_*"]
[auth.scope_implies]
"mcp:admin" = ["mcp:write"]
"mcp:write" = ["mcp:read"]
"#;

/// Decides for claims of the role of operators, with these scopes.
fn decide(policy: &Policy, roles: &[&str], scopes: &[&str], kind: EntryKind, name: &str) -> String {
    let scopes = policy.scopes_of(scopes.iter().copied());
    let claims = Claims {
        method: Method::Jwt,
        claim_roles: roles,
        scopes,
        ..Claims::default()
    };
    let class = class_of(policy, &claims);
    let explained = policy.explain(&class, kind, name);
    assert_eq!(explained.decision, policy.decide(&class, kind, name));
    explained.to_string()
}

#[test]
fn the_three_outcomes_have_their_reasons() {
    let policy = policy(OPS);
    let tool = |roles: &[&str], scopes: &[&str], name: &str| {
        decide(&policy, roles, scopes, EntryKind::Tool, name)
    };
    let ops = &["platform-ops"];
    assert_eq!(tool(ops, &[], "free"), "allowed: by the grant at line 17");
    assert_eq!(
        tool(ops, &["mcp:read"], "get_a"),
        "allowed: by the grant at line 13"
    );
    assert_eq!(
        tool(ops, &[], "get_a"),
        "acquirable: the grant at line 13 needs scopes mcp:read"
    );
    assert_eq!(
        tool(ops, &["mcp:read"], "put_a"),
        "acquirable: the grant at line 9 needs scopes mcp:write mcp:read"
    );
    assert_eq!(
        tool(ops, &["mcp:admin"], "put_a"),
        "allowed: by the grant at line 9"
    );
    assert_eq!(
        tool(ops, &["mcp:admin"], "drop_a"),
        "hidden: the deny at line 23 has the entry"
    );
    assert_eq!(
        tool(&["Platform-Ops"], &["mcp:admin"], "free"),
        "hidden: the grant at line 9 for role \"ops\" lacks its role; \
         the grant at line 17 for role \"ops\" lacks its role"
    );
    let prompt = |scopes: &[&str]| decide(&policy, &[], scopes, EntryKind::Prompt, "p");
    assert_eq!(prompt(&["audit:read"]), "allowed: by the grant at line 20");
    // The role is missing, not only a scope of the grant: no scope is named.
    assert!(prompt(&["AUDIT:READ", "audit", "audit:read2"]).starts_with("hidden: "));
    assert!(prompt(&[]).starts_with("hidden: "));
}

#[test]
fn the_default_for_known_identities_leaves_the_anonymous_out() {
    let text = "[policy]\ndefault = \"authenticated\"\n\
                [[role]]\nname = \"x\"\nsubjects = [\"bad\"]\n\
                [[deny]]\nrole = \"x\"\ntools = [\"*\"]\n";
    let policy = policy(text);
    for (method, subject, expected) in [
        (Method::Jwt, "good", Decision::Allowed),
        (Method::Jwt, "bad", Decision::Hidden),
        (Method::Anonymous, "", Decision::Hidden),
    ] {
        let claims = Claims {
            method,
            subject,
            ..Claims::default()
        };
        let class = class_of(&policy, &claims);
        assert_eq!(
            policy.decide(&class, EntryKind::Tool, "t"),
            expected,
            "{method:?} {subject}"
        );
    }
}

#[test]
fn tenants_and_addresses_bind_their_rules() {
    let text = r#"
[[role]]
name = "local"
methods = ["unix_peer", "jwt"]
[[grant]]
role = "local"
tools = ["acme"]
tenant = "acme"
[[grant]]
role = "local"
tools = ["inside", "not_there"]
addresses = ["10.0.0.0/8"]
[[grant]]
role = "local"
tools = ["anywhere"]
[[deny]]
role = "local"
tools = ["not_there", "anywhere"]
addresses = ["10.9.0.0/16"]
"#;
    let policy = policy(text);
    let claims = Claims {
        method: Method::Jwt,
        ..Claims::default()
    };
    let roles = policy.roles_of(&claims);
    for (tenant, address, allowed) in [
        (None, Some("192.0.2.1"), vec!["anywhere"]),
        (Some("acme"), Some("192.0.2.1"), vec!["acme", "anywhere"]),
        (Some("ACME"), Some("192.0.2.1"), vec!["anywhere"]),
        (
            Some("other"),
            Some("10.1.1.1"),
            vec!["inside", "not_there", "anywhere"],
        ),
        (
            None,
            Some("::ffff:10.1.1.1"),
            vec!["inside", "not_there", "anywhere"],
        ),
        (None, Some("10.9.1.1"), vec!["inside"]),
        (None, None, vec![]),
    ] {
        let address = address.map(|address| address.parse().unwrap());
        let class = policy.class_of(&Subject {
            roles,
            tenant,
            address,
            ..Subject::default()
        });
        let tools = ["acme", "inside", "not_there", "anywhere"].into_iter();
        let found: Vec<_> = tools
            .filter(|tool| policy.decide(&class, EntryKind::Tool, tool) == Decision::Allowed)
            .collect();
        assert_eq!(found, allowed, "{tenant:?} {address:?}");
    }
}

const CONDITIONS: &str = r#"
[[role]]
name = "r"
subjects = ["s"]
[[grant]]
role = "r"
tools = ["query"]
arguments = [{ name = "database", one_of = ["public", "test"] }, { name = "limit", max = 100 }]
[[grant]]
role = "r"
tools = ["query"]
scopes = ["all"]
[[deny]]
role = "r"
tools = ["query"]
arguments = [{ name = "sql", prefix = "DROP" }]
"#;

#[test]
fn arguments_take_part_in_calls() {
    let policy = policy(CONDITIONS);
    let claims = Claims {
        subject: "s",
        ..Claims::default()
    };
    let class = class_of(&policy, &claims);
    assert!(policy.has_conditions("query") && !policy.has_conditions("other"));
    assert_eq!(
        policy.decide(&class, EntryKind::Tool, "query"),
        Decision::Allowed
    );
    let (text, number) = (Argument::Text, Argument::Integer);
    let acquirable = Decision::Acquirable(GrantId(1));
    for (database, limit, sql, expected) in [
        (
            Some(text("public")),
            Some(number(100)),
            None,
            Decision::Allowed,
        ),
        (
            Some(text("public")),
            Some(number(100)),
            Some(text("SELECT")),
            Decision::Allowed,
        ),
        (Some(text("Public")), Some(number(100)), None, acquirable),
        (Some(text("public")), Some(number(101)), None, acquirable),
        (
            Some(text("public")),
            Some(Argument::Other),
            None,
            acquirable,
        ),
        (Some(text("public")), None, None, acquirable),
        (None, None, None, acquirable),
        (
            Some(text("public")),
            Some(number(1)),
            Some(text("DROP x")),
            Decision::ArgumentsDenied,
        ),
        (
            Some(text("public")),
            Some(number(1)),
            Some(Argument::Other),
            Decision::ArgumentsDenied,
        ),
    ] {
        let read = |name: &str| match name {
            "database" => database,
            "limit" => limit,
            "sql" => sql,
            _ => None,
        };
        let decision = policy.decide_call(&class, "query", &read);
        assert_eq!(decision, expected, "{database:?} {limit:?} {sql:?}");
        assert_eq!(policy.decide_call(&class, "other", &read), Decision::Hidden);
    }
}

#[test]
fn spellings_of_uris_pass_no_deny() {
    let text = "[[role]]\nname = \"r\"\nsubjects = [\"s\"]\n[[grant]]\nrole = \"r\"\n\
                resources = [\"docs://**\"]\n[[deny]]\nrole = \"r\"\n\
                resources = [\"docs://h/secret/**\"]\n";
    let policy = policy(text);
    let claims = Claims {
        subject: "s",
        ..Claims::default()
    };
    let class = class_of(&policy, &claims);
    let decide = |uri| policy.decide(&class, EntryKind::Resource, uri);
    for uri in ["docs://h/open", "docs://h/Secret", "docs://h/open/secret"] {
        assert_eq!(decide(uri), Decision::Allowed, "{uri}");
    }
    for uri in [
        "docs://h/secret",
        "docs://h/secret/x",
        "DOCS://h/secret/x",
        "docs://H/secret/x",
        "docs://h//secret/x",
        "docs://h/%73ecret/x",
        "docs://h/%2573ecret/x",
        "docs://h/secret%2Fx",
        "docs://h/open/../secret/x",
        "docs://h/open/%2e%2e/secret/x",
        "docs://h/./secret/x",
        "docs://h/secret?x",
        "docs://h/secret#x",
        "docs://h\\secret\\x",
        "docs://h/secret%00",
        "docs:h/secret",
    ] {
        assert_eq!(decide(uri), Decision::Hidden, "{uri}");
    }
}

#[test]
fn scopes_that_endpoints_require_are_known_without_a_rule() {
    let text = "[policy]\ndefault = \"authenticated\"\n\
                [auth]\nscopes_required = [\"a\"]\n\
                [auth.scope_implies]\n\"all\" = [\"a\"]\n\
                [[auth.endpoint]]\nscopes_required = [\"b\"]\n";
    let policy = Policy::parse(text).unwrap();
    let required = policy.scopes_of(["a"]);
    assert_eq!(required.count(), 1);
    assert!(required.is_subset_of(&policy.scopes_of(["all"])));
    assert!(
        !policy
            .scopes_of(["b"])
            .is_subset_of(&policy.scopes_of(["all"]))
    );
}

#[test]
fn a_subject_has_a_role_at_its_issuer_only() {
    let text = "[[auth.issuer]]\nalias = \"corp\"\n[[auth.issuer]]\nalias = \"other\"\n\
                [[role]]\nname = \"r\"\nsubjects = [\"ann\"]\nissuers = [\"corp\"]\n\
                [[grant]]\nrole = \"r\"\ntools = [\"*\"]\n";
    let policy = Policy::parse(text).unwrap();
    for (issuer, subject, expected) in [
        ("corp", "ann", Decision::Allowed),
        ("other", "ann", Decision::Hidden),
        ("", "ann", Decision::Hidden),
        ("corp", "bob", Decision::Hidden),
    ] {
        let identity = Identity::new(Method::Jwt, issuer, subject).under(&policy);
        let class = policy.class_of(&Subject {
            roles: identity.roles,
            ..Subject::default()
        });
        let found = policy.decide(&class, EntryKind::Tool, "t");
        assert_eq!(found, expected, "{issuer} {subject}");
    }
}
