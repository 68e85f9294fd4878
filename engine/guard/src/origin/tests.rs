//! Policies, and the requests that they accept.

use super::OriginRefusal::{
    HostMalformed, HostMissing, HostNotAllowed, OriginMalformed, OriginNotAllowed,
};
use std::net::SocketAddr;

use super::{CrossOrigin, NAME_BYTES_SHOWN_MAX, OriginPolicy, OriginRefusal};

fn policy(listen: &str, hosts: &[&str], origins: &[&str]) -> OriginPolicy {
    let listen: SocketAddr = listen.parse().expect("the test's own address is valid");
    OriginPolicy::new(listen, hosts, origins).expect("the test's own entries are valid")
}

#[track_caller]
fn check(
    policy: &OriginPolicy,
    host: impl Into<Option<&'static str>>,
    origin: impl Into<Option<&'static str>>,
    expected: Result<(), OriginRefusal>,
) {
    let (host, origin) = (host.into(), origin.into());
    let found = policy.check(host.map(str::as_bytes), origin.map(str::as_bytes));
    assert_eq!(
        found.map(drop),
        expected,
        "host {host:?}, origin {origin:?}"
    );
}

#[test]
fn loopback_accepts_its_own_names_with_any_port() {
    let policy = policy("127.0.0.1:8080", &[], &[]);
    for host in [
        "localhost:8080",
        "127.0.0.1:8080",
        "[::1]:8080",
        "localhost",
        "LocalHost:8080",
        // Behind a port forward.
        "localhost:9000",
        "127.0.0.1:80",
        "[::1]:9000",
    ] {
        check(&policy, host, None, Ok(()));
    }
    check(&policy, "[0:0:0:0:0:0:0:1]:8080", None, Ok(()));
    for host in ["evil.example.com", "evil.example.com:8080"] {
        check(&policy, host, None, Err(HostNotAllowed));
    }
    for host in [
        "localhost.evil.example.com",
        "127.0.0.2:8080",
        "localhost.",
        "0.0.0.0:8080",
    ] {
        check(&policy, host, None, Err(HostNotAllowed));
    }
    check(&policy, None, None, Err(HostMissing));
}

#[test]
fn every_loopback_address_has_the_loopback_names_and_its_own() {
    for listen in ["127.0.0.5:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        check(&policy(listen, &[], &[]), "localhost:1", None, Ok(()));
        check(
            &policy(listen, &[], &[]),
            "evil.example.com:1",
            None,
            Err(HostNotAllowed),
        );
    }
    check(
        &policy("127.0.0.5:1", &[], &[]),
        "127.0.0.5:1",
        None,
        Ok(()),
    );
}

#[test]
fn the_address_of_the_listener_is_always_allowed() {
    let hosts = ["mcp.example.com"];
    let named = policy("10.0.0.5:8080", &hosts, &[]);
    for host in [
        "10.0.0.5:8080",
        "10.0.0.5",
        "10.0.0.5:443",
        "mcp.example.com",
    ] {
        check(&named, host, None, Ok(()));
    }
    for host in ["10.0.0.6:8080", "localhost:8080", "evil.example.com"] {
        check(&named, host, None, Err(HostNotAllowed));
    }
    check(&named, "10.0.0.5:8080", "http://10.0.0.5:8080", Ok(()));
    check(
        &named,
        "10.0.0.5:8080",
        "http://10.0.0.5:3000",
        Err(OriginNotAllowed),
    );
    let v6 = policy("[2001:db8::1]:8080", &hosts, &[]);
    check(&v6, "[2001:db8:0::1]:8080", None, Ok(()));
    check(&v6, "[2001:db8::2]:8080", None, Err(HostNotAllowed));
}

#[test]
fn the_host_is_checked_on_loopback_and_where_hosts_are_named() {
    for (listen, hosts, checks) in [
        ("127.0.0.1:80", &[][..], true),
        ("[::1]:80", &[], true),
        ("0.0.0.0:80", &[], false),
        ("[::]:80", &[], false),
        ("10.0.0.5:80", &[], false),
        ("0.0.0.0:80", &["a.example"], true),
        ("10.0.0.5:80", &["a.example"], true),
    ] {
        let checked = match checks {
            true => Err(HostNotAllowed),
            false => Ok(()),
        };
        check(&policy(listen, hosts, &[]), "b.example", None, checked);
    }
}

#[test]
fn refuses_hosts_that_are_not_one_name_and_port() {
    let policy = policy("127.0.0.1:8080", &[], &[]);
    let malformed = [
        "",
        ":8080",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:08080x",
        "localhost:+8080",
        "localhost:808080",
        "localhost:8080:8080",
        "user@localhost:8080",
        "localhost:8080, evil.example.com",
        "localhost 8080",
        "http://localhost:8080",
        "localhost/",
        "[::1",
        "[::1]8080",
        "[::1%lo]:8080",
        "[localhost]:8080",
        "[]:8080",
        "l\u{f6}calhost",
    ];
    for host in malformed {
        check(&policy, host, None, Err(HostMalformed));
    }
    let long = "a".repeat(256);
    assert_eq!(
        policy.check(Some(long.as_bytes()), None),
        Err(HostMalformed)
    );
    assert_eq!(policy.check(Some(b"local\0host"), None), Err(HostMalformed));
}

#[test]
fn loopback_accepts_pages_of_its_own_only() {
    let policy = policy("127.0.0.1:8080", &[], &[]);
    let host = "localhost:8080";
    for origin in [
        "http://localhost:8080",
        "HTTP://LOCALHOST:8080",
        "http://[::1]:8080",
    ] {
        check(&policy, host, origin, Ok(()));
    }
    check(&policy, host, "http://127.0.0.1:8080", Ok(()));
    check(&policy, "localhost", "http://localhost", Ok(()));
    check(&policy, "localhost", "http://localhost:80", Ok(()));
    check(&policy, "localhost", "https://localhost:443", Ok(()));
    for origin in ["http://evil.example.com", "http://evil.example.com:8080"] {
        check(&policy, host, origin, Err(OriginNotAllowed));
    }
    for origin in [
        "http://localhost:3000",
        "http://localhost",
        "chrome-extension://abc",
    ] {
        check(&policy, host, origin, Err(OriginNotAllowed));
    }
    // Behind a port forward, a page of the server's own has the forwarded port.
    let forwarded = "localhost:9000";
    check(&policy, forwarded, "http://localhost:9000", Ok(()));
    check(
        &policy,
        forwarded,
        "http://localhost:3000",
        Err(OriginNotAllowed),
    );
    let evil = "evil.example.com:8080";
    check(
        &policy,
        evil,
        "http://evil.example.com:8080",
        Err(HostNotAllowed),
    );
}

#[test]
fn refuses_origins_that_are_null_or_not_one_origin() {
    let malformed = [
        "null",
        "",
        "localhost:8080",
        "http://",
        "http:///",
        "http://localhost:8080/",
        "http://localhost:8080/path",
        "http://localhost:8080 http://localhost:8080",
        "http://localhost:8080, http://evil.example.com",
        "http://user@localhost:8080",
        "http://localhost:port",
        "http:/localhost:8080",
        "://localhost:8080",
        "file://",
        "1http://localhost:8080",
        "ht tp://localhost:8080",
        "http://[::1",
    ];
    for policy in [
        policy("127.0.0.1:8080", &[], &[]),
        policy("0.0.0.0:8080", &[], &[]),
    ] {
        for origin in malformed {
            check(&policy, "localhost:8080", origin, Err(OriginMalformed));
        }
    }
}

#[test]
fn accepts_configured_hosts_and_origins_beside_its_own() {
    let hosts = [
        "MCP.example.com",
        "tunnel.example.com:9000",
        "tls.example.com:443",
    ];
    let origins = [
        "https://App.example.com",
        "http://localhost:6274",
        "vscode-webview://a1_b2",
    ];
    let policy = policy("127.0.0.1:8080", &hosts, &origins);
    for host in [
        "mcp.example.com",
        "mcp.example.com:1",
        "tunnel.example.com:9000",
    ] {
        check(&policy, host, None, Ok(()));
    }
    check(&policy, "tls.example.com", None, Ok(()));
    check(&policy, "tls.example.com:444", None, Err(HostNotAllowed));
    check(&policy, "tunnel.example.com", None, Err(HostNotAllowed));
    check(
        &policy,
        "tunnel.example.com:9001",
        None,
        Err(HostNotAllowed),
    );
    let host = "localhost:8080";
    for origin in ["https://app.example.com", "https://app.example.com:443"] {
        check(&policy, host, origin, Ok(()));
    }
    check(&policy, host, "http://localhost:6274", Ok(()));
    check(&policy, host, "vscode-webview://a1_b2", Ok(()));
    for origin in ["http://app.example.com", "https://app.example.com:8443"] {
        check(&policy, host, origin, Err(OriginNotAllowed));
    }
    check(
        &policy,
        "mcp.example.com",
        "https://mcp.example.com",
        Ok(()),
    );
}

#[test]
fn elsewhere_than_on_loopback_only_configured_hosts_are_checked() {
    let open = policy("0.0.0.0:8080", &[], &[]);
    for host in [
        "anything.example.com",
        "localhost:1",
        "192.0.2.1:8080",
        "not a host",
    ] {
        check(&open, host, None, Ok(()));
    }
    check(&open, None, None, Ok(()));
    check(&open, "mcp.example.com", "https://mcp.example.com", Ok(()));
    check(
        &open,
        "mcp.example.com:8080",
        "http://MCP.example.com:8080",
        Ok(()),
    );
    check(
        &open,
        "mcp.example.com",
        "https://evil.example.com",
        Err(OriginNotAllowed),
    );
    check(
        &open,
        "mcp.example.com:8080",
        "http://mcp.example.com",
        Err(OriginNotAllowed),
    );
    check(
        &open,
        "not a host",
        "http://not.example.com",
        Err(OriginNotAllowed),
    );
    check(&open, None, "http://mcp.example.com", Err(OriginNotAllowed));
    check(
        &open,
        "mcp",
        "chrome-extension://mcp",
        Err(OriginNotAllowed),
    );

    let named = policy("0.0.0.0:8080", &["mcp.example.com"], &[]);
    check(&named, "mcp.example.com", None, Ok(()));
    check(&named, "localhost:8080", None, Err(HostNotAllowed));
    check(&named, None, None, Err(HostMissing));
}

#[test]
fn refuses_entries_that_could_never_match() {
    let listen: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
    let none: [&str; 0] = [];
    for entry in ["", "*", "http://a", "a:", "a/b", "a b"] {
        let error = OriginPolicy::new(listen, &[entry], &none).expect_err(entry);
        let form = "is not of the form name or name:port, without a scheme";
        assert_eq!(error.to_string(), format!("allowed host {entry:?} {form}"));
    }
    for entry in [
        "",
        "*",
        "null",
        "a.example.com",
        "https://a/",
        "https://*.a",
    ] {
        let error = OriginPolicy::new(listen, &none, &[entry]).expect_err(entry);
        let form = "is not of the form scheme://name or scheme://name:port, without a path";
        assert_eq!(
            error.to_string(),
            format!("allowed origin {entry:?} {form}")
        );
    }
    let unbound: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let error = OriginPolicy::new(unbound, &none, &none).expect_err("no port");
    let message = "listener 127.0.0.1:0 has no port; the policy needs the address that was bound";
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_origin_of_another_host_is_named_as_browsers_spell_it() {
    let origins = ["HTTPS://App.example:443", "app://local"];
    let policy = policy("127.0.0.1:8080", &["mcp.example"], &origins);
    let spelled: Vec<_> = policy.cross_origins().collect();
    for (host, origin, expected) in [
        (
            "mcp.example",
            "https://app.example",
            Some("https://app.example"),
        ),
        ("mcp.example", "app://local", Some("app://local")),
        ("mcp.example", "http://mcp.example", None),
        ("mcp.example", "https://mcp.example", None),
        ("localhost:8080", "http://localhost:8080", None),
        (
            "127.0.0.1:8080",
            "http://localhost:8080",
            Some("http://localhost:8080"),
        ),
        (
            "localhost:9000",
            "https://[::1]:8080",
            Some("https://[::1]:8080"),
        ),
    ] {
        let found = policy.check(Some(host.as_bytes()), Some(origin.as_bytes()));
        let found = found.expect("an allowed origin");
        let named = found.map(|CrossOrigin(at)| &*spelled[usize::from(at)]);
        assert_eq!(named, expected, "{origin} at {host}");
    }
}

#[test]
fn a_refusal_names_the_host_and_the_setting() {
    let policy = policy("127.0.0.1:8080", &[], &[]);
    for (host, origin, expected) in [
        (
            "evil.example",
            None,
            "host \"evil.example\" is not allowed: add it to allowed_hosts, \
             or start with --allow-host",
        ),
        (
            "localhost",
            Some("http://a.example"),
            "origin \"http://a.example\" is not allowed: add it to allowed_origins",
        ),
        (
            "localhost",
            Some("null"),
            "origin header is malformed or null",
        ),
    ] {
        let (host, origin) = (Some(host.as_bytes()), origin.map(str::as_bytes));
        let refusal = policy.check(host, origin).expect_err("a refusal");
        assert_eq!(refusal.explain(host, origin), expected);
    }
    let long = "a".repeat(1000);
    let text = HostNotAllowed.explain(Some(long.as_bytes()), None);
    let shown = "a".repeat(NAME_BYTES_SHOWN_MAX);
    assert!(
        text.starts_with(&format!("host \"{shown}\" is not")),
        "{text}"
    );
    let forged = HostNotAllowed.explain(Some(b"a\"\n{}"), None);
    assert!(
        forged.starts_with("host \"a\\\"\\n{}\" is not allowed"),
        "{forged}"
    );
}
