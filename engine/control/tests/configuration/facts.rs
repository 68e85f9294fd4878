//! Configurations that a server with other listeners or another catalog refuses.

use std::sync::Arc;

use corelane_control::config::{Catalog, ServerFacts};
use corelane_guard::identity::Method;
use corelane_guard::policy::{Entries, EntryKind};

use super::{Folder, server};

const ALL: &str = "[policy]\ndefault = \"authenticated\"\n";

/// The faults of a configuration, or nothing.
fn faults(text: &str, facts: &ServerFacts) -> String {
    let read = Folder::new(text).read(facts).map(|_| ());
    read.err().unwrap_or_default()
}

#[test]
fn a_header_on_a_public_listener_needs_trusted_proxies() {
    let public = ServerFacts {
        has_public_header: true,
        ..server(&["/mcp"])
    };
    for mode in ["required", "optional", "none"] {
        let text = format!("{ALL}[auth]\nmode = \"{mode}\"\n");
        let error = faults(&text, &public);
        assert!(
            error.contains("write trusted_proxies = "),
            "{mode}: {error}"
        );
        assert_eq!(faults(&text, &server(&["/mcp"])), "", "{mode}");
        for list in ["[]", "[\"10.0.0.5\"]", "[\"unix\"]"] {
            let text = format!("{text}trusted_proxies = {list}\n");
            assert_eq!(faults(&text, &public), "", "{mode} {list}");
        }
    }
}

#[test]
fn subjects_need_a_method_if_there_are_several_ways_to_be_somebody() {
    let role = |keys: &str| {
        format!(
            "[[role]]\nname = \"r\"\nsubjects = [\"ann\"]\n{keys}\n\
             [[grant]]\nrole = \"r\"\ntools = [\"*\"]\n"
        )
    };
    let issuer = "[auth]\nresource = \"https://h/mcp\"\n[[auth.issuer]]\nalias = \"a\"\n\
                  issuer = \"https://a\"\njwks_file = \"keys.json\"\n";
    let key = format!(
        "[[auth.api_key]]\nid = \"ann\"\nsha256 = \"{}\"\n",
        "00".repeat(32)
    );
    let both = format!("{issuer}{key}");
    let with = |methods: &[Method]| ServerFacts {
        methods: methods.to_vec(),
        ..server(&["/mcp"])
    };
    let expected = "corelane.toml: line 2: role \"r\" is that of its subjects by any method";
    for (auth, methods, is_refused) in [
        (issuer, &[][..], false),
        (&key, &[], false),
        ("", &[Method::UnixPeer], false),
        (&both, &[], true),
        (issuer, &[Method::UnixPeer], true),
        (&key, &[Method::ProxyHeader], true),
        ("", &[Method::Certificate, Method::UnixPeer], true),
    ] {
        let error = faults(&format!("{}{auth}", role("")), &with(methods));
        let text = error
            .split_once("corelane.toml")
            .map_or("", |(_, rest)| rest);
        let found = format!("corelane.toml{text}");
        assert_eq!(found.starts_with(expected), is_refused, "{auth} {error}");
        assert_eq!(error.is_empty(), !is_refused, "{auth} {error}");
        let named = format!("{}{auth}", role("methods = [\"api_key\"]"));
        assert_eq!(faults(&named, &with(methods)), "", "{auth}");
    }
    let issued = format!("{}{both}", role("issuers = [\"a\"]"));
    assert_eq!(faults(&issued, &server(&["/mcp"])), "");
}

/// A catalog with one tool.
struct OneTool(&'static str);

impl Entries for OneTool {
    fn count(&self, kind: EntryKind) -> usize {
        usize::from(kind == EntryKind::Tool)
    }

    fn name(&self, _: EntryKind, _: usize) -> &str {
        self.0
    }
}

/// A server with the tool `drop_table`.
pub(super) fn with_catalog(is_open: bool) -> ServerFacts {
    ServerFacts {
        catalog: Some(Catalog {
            entries: Arc::new(OneTool("drop_table")),
            is_open,
        }),
        ..server(&["/mcp"])
    }
}

#[test]
fn a_pattern_without_an_entry_is_refused_whenever_the_file_is_read() {
    let deny = |pattern: &str| {
        format!(
            "{ALL}[[role]]\nname = \"r\"\nmethods = [\"unix_peer\"]\n\
             [[deny]]\nrole = \"r\"\ntools = [\"{pattern}\"]\n"
        )
    };
    assert_eq!(faults(&deny("drop_*"), &with_catalog(false)), "");
    let error = faults(&deny("dorp_*"), &with_catalog(false));
    let expected = "corelane.toml: line 8: pattern \"dorp_*\" matches no entry of the catalog: \
                    correct it";
    assert!(error.contains(expected), "{error}");
    // Entries of upstreams come later.
    let config = Folder::new(&deny("dorp_*")).read(&with_catalog(true));
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn challenges_and_metadata_have_the_scopes_that_each_request_needs() {
    use corelane_guard::refusal::Refusal;

    let text = format!(
        "{ALL}[auth]\nresource = \"https://h/mcp\"\nscopes_initial = [\"a\"]\n\
         scopes_required = [\"b\", \"a\"]\n\
         [[auth.issuer]]\nalias = \"a\"\nissuer = \"https://a\"\njwks_file = \"keys.json\"\n"
    );
    let config = Folder::new(&text).read(&server(&["/mcp"]));
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let endpoint = &config.endpoints[0];
    let answer = Refusal::NoCredential.answer(&endpoint.challenge, None);
    let challenge = answer.www_authenticate.expect("a challenge");
    assert!(challenge.ends_with(", scope=\"a b\""), "{challenge}");
    let body = &endpoint.metadata.as_ref().expect("metadata").body;
    let body = String::from_utf8_lossy(body);
    assert!(
        body.contains("\"scopes_supported\":[\"a\",\"b\"]"),
        "{body}"
    );
}

#[test]
fn a_file_that_every_user_can_write_is_refused() {
    let folder = Folder::new(ALL);
    for (mode, is_refused) in [(0o400, false), (0o664, false), (0o646, true), (0o666, true)] {
        folder.write("corelane.toml", ALL, mode);
        let error = folder.read(&server(&["/mcp"])).map(|_| ()).err();
        let error = error.unwrap_or_default();
        let expected = format!("run chmod o-w {}", folder.path().display());
        assert_eq!(error.contains(&expected), is_refused, "{mode:o} {error}");
    }
}
