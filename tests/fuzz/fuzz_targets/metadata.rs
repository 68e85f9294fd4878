//! URLs of metadata: no text panics, each URL that is joined stays on its host, and no document of
//! an issuer leads to a refused address.
//!
//! The first byte chooses the part. The others are the URL of a resource; or the URL of an issuer,
//! a line end, and its metadata.
#![no_main]

use corelane_control::address::Reach;
use corelane_control::discovery::{keys_target, metadata_urls};
use corelane_control::fetch::Target;
use corelane_guard::metadata::{CanonicalUri, Publication, WELL_KNOWN};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((part, input)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if part % 2 == 0 {
        check_resource(text);
    } else {
        check_issuer(text);
    }
});

fn check_resource(text: &str) {
    let Ok(resource) = CanonicalUri::new(text) else {
        return;
    };
    assert_eq!(resource.as_str(), text);
    let origin = text.strip_suffix(resource.path()).expect("its end");
    let url = resource.metadata_url();
    assert_eq!(url, [origin, WELL_KNOWN, resource.path()].concat());
    assert!(!url.contains(['"', '\\', ' ', '?', '#', '@']), "{url}");
    assert!(resource.with_path("/other").as_str().starts_with(origin));
    let publication = Publication {
        issuers: vec!["https://issuer.example"],
        ..Publication::default()
    };
    let metadata = publication.metadata(&resource, "/mcp", true);
    let metadata = metadata.expect("there is an issuer");
    assert!(
        metadata
            .paths
            .iter()
            .all(|path| path.starts_with(WELL_KNOWN))
    );
    let body: serde_json::Value = serde_json::from_slice(&metadata.body).expect("JSON");
    assert_eq!(body["resource"], text);
}

fn check_issuer(text: &str) {
    let (name, document) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(url) = name.parse::<reqwest::Url>() else {
        return;
    };
    let Some(host) = url.host_str().map(str::to_owned) else {
        return;
    };
    for joined in metadata_urls(&url) {
        assert_eq!(
            (joined.scheme(), joined.host_str()),
            (url.scheme(), Some(&*host))
        );
        assert_eq!(joined.port_or_known_default(), url.port_or_known_default());
        assert!(joined.path().contains("/.well-known/"), "{joined}");
    }
    for reach in [Reach::Loopback, Reach::Configured, Reach::Found] {
        let issuer = Target {
            url: url.clone(),
            reach,
        };
        for allows_private in [false, true] {
            let Ok(keys) = keys_target(document.as_bytes(), name, &issuer, allows_private) else {
                continue;
            };
            assert!(keys.has_allowed_host(), "{}", keys.url);
            assert!(keys.url.username().is_empty() && keys.url.password().is_none());
            let is_here = reach == Reach::Loopback && keys.reach == Reach::Loopback;
            assert!(keys.url.scheme() == "https" || is_here, "{}", keys.url);
            let is_other = keys.url.host_str() != Some(&*host);
            let is_found = keys.reach == Reach::Found;
            assert!(
                allows_private || !is_other || is_found || is_here,
                "{}",
                keys.url
            );
        }
    }
}
