//! The values of configurations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use corelane_control::config::{Config, KeySource, ServerFacts};
use corelane_guard::peer::KnownPeer;
use corelane_guard::refusal::Refusal;
use corelane_guard::token::jws::Algorithm;
use corelane_guard::token::verify::{TokenKind, TypeProfile};

use super::{Folder, server};

fn config(text: &str, server: &ServerFacts) -> Config {
    let config = Folder::new(text).read(server);
    config.unwrap_or_else(|error| panic!("{error}"))
}

/// The configuration of the documentation, with one part of each kind.
const WHOLE: &str = r#"
[auth]
mode = "required"
resource = "https://mcp.example.com/mcp"
resource_name = "Example"
scopes_initial = ["mcp:read"]
scopes_supported = ["mcp:read", "mcp:write"]
scopes_required = ["mcp:read"]
trusted_proxies = ["10.0.0.0/8"]
[[auth.issuer]]
alias = "corp"
issuer = "https://login.example.com"
profile = "jwt"
algorithms = ["ES256", "RS256"]
roles_claim = "realm_access.roles"
groups_claim = "groups"
tenant_claim = "org"
claims = ["email"]
audiences_extra = ["api://1"]
[[auth.issuer]]
alias = "old"
issuer = "https://old.example.com"
algorithms = ["HS256"]
secret_file = "good"
[[auth.issuer]]
alias = "partner"
issuer = "https://partner.example.com"
introspection_endpoint = "https://partner.example.com/introspect"
client_id = "rs"
client_secret_file = "good"
audience_required = false
[auth.scope_implies]
"mcp:admin" = ["mcp:read", "mcp:write"]
[[auth.api_key]]
id = "ci"
sha256 = "abababababababababababababababababababababababababababababababab"
roles = ["ci"]
expires = 2027-06-30T00:00:00Z
[[auth.revoked]]
issuer = "corp"
subject = "mallory"
[[role]]
name = "reader"
scopes = ["mcp:read"]
[[grant]]
role = "reader"
tools = ["*"]
"#;

#[test]
fn each_key_has_its_value() {
    let config = config(WHOLE, &server(&["/mcp"]));
    assert!(config.requires_credential);
    let peer = |text: &str| KnownPeer {
        address: text.parse().ok(),
        ..KnownPeer::default()
    };
    assert!(config.trusted_proxies.contain(Some(&peer("10.1.2.3"))));
    assert!(!config.trusted_proxies.contain(Some(&peer("127.0.0.1"))));
    let [corp, old, partner] = &config.issuers[..] else {
        panic!("{:?}", config.issuers);
    };
    let issuer = &corp.issuer;
    assert_eq!(
        (&*issuer.alias, &*issuer.issuer),
        ("corp", "https://login.example.com")
    );
    assert_eq!(issuer.profile, TypeProfile::Jwt);
    assert_eq!(issuer.algorithms, [Algorithm::Es256, Algorithm::Rs256]);
    assert_eq!(issuer.roles_claim.as_deref(), Some("realm_access.roles"));
    assert_eq!(issuer.groups_claim.as_deref(), Some("groups"));
    assert_eq!(issuer.tenant_claim.as_deref(), Some("org"));
    assert_eq!(issuer.claims, ["email".into()]);
    assert_eq!(issuer.audiences_extra, ["api://1".into()]);
    assert_eq!(issuer.leeway_s, 60);
    assert!(matches!(corp.source, KeySource::Discovery { .. }));
    assert!(matches!(&old.source, KeySource::Local(keys) if keys.len() == 1));
    let kind = TokenKind::Opaque {
        audience_required: false,
    };
    assert_eq!(partner.issuer.kind, kind);
    let KeySource::Introspection(introspection) = &partner.source else {
        panic!("{:?}", partner.source);
    };
    assert_eq!(
        introspection.client_secret.expose(),
        "s".repeat(64).as_bytes()
    );
    assert!(
        !format!("{partner:?}{old:?}").contains("ssss"),
        "a secret is shown"
    );
}

#[test]
fn an_endpoint_has_its_challenge_its_metadata_and_its_scopes() {
    let config = config(WHOLE, &server(&["/mcp"]));
    let [endpoint] = &config.endpoints[..] else {
        panic!("{:?}", config.endpoints);
    };
    let answer = Refusal::NoCredential.answer(&endpoint.challenge, None);
    let expected = "Bearer resource_metadata=\"https://mcp.example.com/.well-known/\
                    oauth-protected-resource/mcp\", scope=\"mcp:read\"";
    assert_eq!(answer.www_authenticate.as_deref(), Some(expected));
    let metadata = endpoint.metadata.as_ref().expect("metadata");
    let root = "/.well-known/oauth-protected-resource";
    assert_eq!(metadata.paths, [format!("{root}/mcp").into(), root.into()]);
    let body = "{\"resource\":\"https://mcp.example.com/mcp\",\"authorization_servers\":[\
                \"https://login.example.com\",\"https://old.example.com\",\
                \"https://partner.example.com\"],\"bearer_methods_supported\":[\"header\"],\
                \"scopes_supported\":[\"mcp:read\",\"mcp:write\"],\"resource_name\":\"Example\"}";
    assert_eq!(String::from_utf8_lossy(&metadata.body), body);
    assert_eq!(endpoint.scopes, ["mcp:read".into()]);
    assert!(
        endpoint
            .scope_bits
            .is_subset_of(&config.policy.scopes_of(["mcp:admin"]))
    );
    assert!(
        !endpoint
            .scope_bits
            .is_subset_of(&config.policy.scopes_of(["mcp:write"]))
    );
}

#[test]
fn several_endpoints_share_an_origin_and_have_their_own_documents() {
    let text = WHOLE.replace(
        "[[role]]",
        "[[auth.endpoint]]\npath = \"/admin\"\nscopes_required = [\"mcp:admin\"]\n\
         root_metadata = true\n[[role]]",
    );
    let config = config(&text, &server(&["/mcp", "/admin", "/"]));
    let root = "/.well-known/oauth-protected-resource";
    let paths: Vec<Vec<&str>> = config
        .endpoints
        .iter()
        .map(|it| it.metadata.as_ref().expect("metadata"))
        .map(|it| it.paths.iter().map(|path| &**path).collect())
        .collect();
    let [mcp, admin] = [format!("{root}/mcp"), format!("{root}/admin")];
    assert_eq!(
        paths,
        [vec![mcp.as_str()], vec![admin.as_str(), root], vec![root]]
    );
    let resources: Vec<bool> = ["/mcp", "/admin", ""]
        .into_iter()
        .zip(&config.endpoints[..])
        .map(|(path, endpoint)| {
            let start = format!("{{\"resource\":\"https://mcp.example.com{path}\",");
            let body = &endpoint.metadata.as_ref().expect("metadata").body;
            body.starts_with(start.as_bytes())
        })
        .collect();
    assert_eq!(resources, [true; 3]);
    assert_eq!(config.endpoints[1].scopes, ["mcp:admin".into()]);
    assert_eq!(config.resources.len(), 3);
}

#[test]
fn a_proxy_may_change_the_path() {
    let text = WHOLE.replace("example.com/mcp", "example.com/public/mcp");
    let config = config(&text, &server(&["/mcp"]));
    let metadata = config.endpoints[0].metadata.as_ref().expect("metadata");
    let root = "/.well-known/oauth-protected-resource";
    let [own, public] = [format!("{root}/mcp"), format!("{root}/public/mcp")];
    assert_eq!(metadata.paths, [own.into(), public.into(), root.into()]);
}

#[test]
fn a_server_on_loopback_needs_no_resource() {
    let facts = ServerFacts {
        loopback_origin: Some("http://127.0.0.1:8080".to_owned()),
        ..server(&["/mcp"])
    };
    let text = "[policy]\ndefault = \"authenticated\"\n\
                [[auth.issuer]]\nalias = \"a\"\nissuer = \"http://localhost:1\"\n";
    let config = config(text, &facts);
    let body = &config.endpoints[0]
        .metadata
        .as_ref()
        .expect("metadata")
        .body;
    let start = "{\"resource\":\"http://127.0.0.1:8080/mcp\",";
    assert!(body.starts_with(start.as_bytes()));
}

#[test]
fn without_issuers_there_is_no_metadata_and_api_keys_need_no_resource() {
    let start = WHOLE.find("[[auth.api_key]]").expect("a key");
    let end = WHOLE.find("[[auth.revoked]]").expect("a revocation");
    let text = format!(
        "[policy]\ndefault = \"authenticated\"\n{}",
        &WHOLE[start..end]
    );
    let config = config(&text, &server(&["/mcp"]));
    assert!(config.endpoints[0].metadata.is_none());
    let answer = Refusal::NoCredential.answer(&config.endpoints[0].challenge, None);
    assert_eq!(answer.www_authenticate.as_deref(), Some("Bearer"));
}

#[test]
fn modes_differ_in_requests_without_a_credential() {
    use corelane_guard::identity::{Identity, Method};
    use corelane_guard::policy::{Decision, EntryKind, Subject};
    let policy = "[policy]\ndefault = \"authenticated\"\n";
    for (mode, rest, requires, allows_all) in [
        ("required", policy, true, false),
        ("optional", policy, false, false),
        ("none", "", false, true),
        ("none", policy, false, false),
    ] {
        let text = format!("[auth]\nmode = \"{mode}\"\n{rest}");
        let config = config(&text, &server(&["/mcp"]));
        assert_eq!(config.requires_credential, requires, "{mode}");
        let anonymous = Identity::new(Method::Anonymous, "", "").under(&config.policy);
        let class = config.policy.class_of(&Subject {
            roles: anonymous.roles,
            ..Subject::default()
        });
        let decision = config.policy.decide(&class, EntryKind::Tool, "x");
        assert_eq!(decision == Decision::Allowed, allows_all, "{mode} {rest}");
    }
}

#[test]
fn no_value_shows_its_secrets() {
    let secret = "canary-7f3a9c51d2e84b60-canary-canary";
    let folder = Folder::new(WHOLE);
    std::fs::remove_file(folder.path().join("good")).expect("it is there");
    folder.write("good", secret, 0o440);
    let config = folder.read(&server(&["/mcp"])).expect("valid");
    let bytes: Vec<String> = secret
        .bytes()
        .take(8)
        .map(|byte| byte.to_string())
        .collect();
    for text in [format!("{config:?}"), format!("{config:#?}")] {
        assert!(text.contains("partner"), "it shows the rest");
        let compact: String = text.split_whitespace().collect();
        for form in [secret, &STANDARD.encode(secret), &bytes.join(",")] {
            assert!(!text.contains(form) && !compact.contains(form), "{text}");
        }
    }
}

/// The first example of a page of the documentation.
fn example(page: &str) -> String {
    let path = format!("{}/../../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the page is there");
    let (_, rest) = text.split_once("```toml\n").expect("it has an example");
    let (example, _) = rest.split_once("```").expect("it ends");
    example.to_owned()
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    // One needs a policy, and the others add to it.
    let mut text = example("access.md");
    for page in ["policy.md", "limits.md", "audit.md"] {
        text += &example(page);
        config(&text, &server(&["/mcp"]));
    }
    config(&example("gateway.md"), &server(&["/mcp"]));
}
