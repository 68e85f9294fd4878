//! Addresses as texts and lists, and their faults.

use std::net::SocketAddr;

use super::{Binding, ListenAddress, Transport, UnixName};
use crate::profile::Profile;

#[track_caller]
fn check(text: &str, transport: Transport, binding: Binding, tls: bool) {
    let expected = ListenAddress {
        transport,
        binding,
        tls,
    };
    let address: ListenAddress = text.parse().expect(text);
    assert_eq!(address, expected, "{text}");
    let written = address.to_string();
    assert_eq!(written.parse(), Ok(expected), "{written}");
}

#[test]
fn a_text_says_the_transport_the_binding_and_whether_tls_comes_first() {
    let tcp = |address: &str| Transport::Tcp(address.parse().expect("an address"));
    let path = |path: &str| Transport::Unix(UnixName::Path(path.into()));
    let name = |name: &str| Transport::Unix(UnixName::Abstract(name.to_owned()));
    for (text, transport, binding, tls) in [
        ("127.0.0.1:80", tcp("127.0.0.1:80"), Binding::Http, false),
        ("http://[::1]:0", tcp("[::1]:0"), Binding::Http, false),
        ("http://[::]:1/", tcp("[::]:1"), Binding::Http, false),
        ("https://0.0.0.0:1", tcp("0.0.0.0:1"), Binding::Http, true),
        (
            "ws://1.2.3.4:5",
            tcp("1.2.3.4:5"),
            Binding::WebSocket,
            false,
        ),
        (
            "wss://1.2.3.4:5",
            tcp("1.2.3.4:5"),
            Binding::WebSocket,
            true,
        ),
        ("tcp://1.2.3.4:5", tcp("1.2.3.4:5"), Binding::Lines, false),
        ("tcps://1.2.3.4:5", tcp("1.2.3.4:5"), Binding::Lines, true),
        ("unix:///run/a b", path("/run/a b"), Binding::Lines, false),
        ("unix://@a/b", name("a/b"), Binding::Lines, false),
        ("http+unix:///a", path("/a"), Binding::Http, false),
        ("http+unix://@a", name("a"), Binding::Http, false),
    ] {
        check(text, transport, binding, tls);
    }
    let localhost: ListenAddress = "tcp://localhost:7".parse().expect("every host has it");
    let address = localhost.socket_addr().expect("it is of TCP");
    assert!(address.ip().is_loopback() && address.port() == 7);
}

#[test]
fn a_wrong_address_is_refused_with_the_remedy() {
    let long = format!("unix:///{}", "x".repeat(107));
    for (text, expected) in [
        ("", "give HOST:PORT"),
        ("8080", "give HOST:PORT"),
        (
            ":8080",
            "\":8080\" has no host, which is 0.0.0.0 or [::] for",
        ),
        ("127.0.0.1", "give HOST:PORT"),
        ("http://127.0.0.1:99999", "give HOST:PORT"),
        (
            "ftp://127.0.0.1:21",
            "\"ftp\" is no transport; give HOST:PORT or one of",
        ),
        ("unix:/run/a", "\"unix:/run/a\" is no transport"),
        ("fd00::2:80", "\"fd00::2:80\" is an IPv6 address without"),
        ("tcp://::1:80", "\"::1:80\" is an IPv6 address without"),
        (
            "http://127.0.0.1:80/mcp",
            "server.endpoint of the profile sets the path",
        ),
        ("tcp://127.0.0.1:80/x", "\"/x\" does not belong here"),
        (
            "unix://run/a",
            "\"run/a\" is no absolute path; give one, such as",
        ),
        ("unix://", "is no absolute path"),
        ("unix://@", "has 0 bytes, of 1 to 107"),
        (&long, "has 108 bytes, of 1 to 107"),
    ] {
        let error = text.parse::<ListenAddress>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(long[..long.len() - 1].parse::<ListenAddress>().is_ok());
}

fn read(listen: &str) -> Result<Vec<ListenAddress>, String> {
    let profile = Profile::from_toml(&format!("[server]\nlisten = {listen}"));
    let profile = profile.map_err(|error| error.to_string())?;
    Ok(profile.server.listen)
}

#[test]
fn a_profile_has_one_address_or_a_list() {
    let one: SocketAddr = "127.0.0.1:80".parse().expect("an address");
    assert_eq!(read("\"127.0.0.1:80\""), Ok(vec![one.into()]));
    assert_eq!(read("[\"127.0.0.1:80\"]"), Ok(vec![one.into()]));
    let several = read("[\"127.0.0.1:80\", \"tcp://[::1]:0\"]").expect("a list");
    let texts: Vec<String> = several.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["http://127.0.0.1:80", "tcp://[::1]:0"]);
    let mut profile = Profile::default();
    profile.server.listen = several;
    let text = toml::to_string(&profile).expect("a profile is a table");
    assert_eq!(Profile::from_toml(&text).expect("as written"), profile);
}

#[test]
fn a_list_that_cannot_be_listened_on_is_refused_with_the_remedy() {
    let many: Vec<String> = (1..=17).map(|port| format!("127.0.0.1:{port}")).collect();
    let many = format!("{many:?}");
    for (listen, expected) in [
        ("[]", "line 2: server.listen is empty; give an address"),
        ("7", "an address or a list of addresses"),
        ("\"x\"", "\"x\": "),
        (
            "[\"127.0.0.1:80\", \"ftp://x\"]",
            "\"ftp://x\": \"ftp\" is no transport",
        ),
        (
            &many,
            "server.listen entries = 17 is outside the allowed range 0 to 16",
        ),
        (
            "[\"127.0.0.1:80\", \"tcp://127.0.0.1:80\"]",
            "has http://127.0.0.1:80 and tcp://127.0.0.1:80, which are one place",
        ),
        (
            "[\"0.0.0.0:80\", \"127.0.0.1:80\"]",
            "which are one place; remove one",
        ),
        ("[\"[::]:80\", \"127.0.0.1:80\"]", "which are one place"),
        ("[\"[::1]:80\", \"[::]:80\"]", "which are one place"),
    ] {
        let error = read(listen).expect_err(listen);
        assert!(error.contains(expected), "{listen}: {error}");
    }
    for listen in [
        "[\"127.0.0.1:0\", \"127.0.0.1:0\"]",
        "[\"0.0.0.0:80\", \"[::1]:80\"]",
        "[\"127.0.0.1:80\", \"127.0.0.2:80\", \"[::1]:80\"]",
        "[\"ws://127.0.0.1:80\", \"https://127.0.0.1:443\", \"wss://127.0.0.1:444\"]",
    ] {
        assert!(read(listen).is_ok(), "{listen}");
    }
}
