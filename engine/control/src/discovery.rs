//! The metadata of an issuer: where they are, and the URL of its keys in them (RFC 8414, OpenID
//! Connect Discovery 1.0).

use corelane_guard::metadata::is_loopback;
use reqwest::Url;
use serde::Deserialize;

use crate::address::Reach;
use crate::fetch::Target;

/// Longest metadata, in bytes.
pub const METADATA_BYTES_MAX: usize = 256 * 1024;

/// Metadata that are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Not the metadata of an issuer.
    #[error("the metadata are no JSON object with issuer and jwks_uri")]
    Form,
    /// Those of another issuer.
    #[error("the metadata are of issuer {0:?}: write this in [[auth.issuer]] if it is the same")]
    Issuer(Box<str>),
    /// An unusable URL.
    #[error("jwks_uri is no https URL on port 443 or that of the issuer")]
    KeysUrl,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// The URLs that may have the metadata of an issuer, in the order of MCP 2026-07-28
/// basic/authorization: RFC 8414, then OpenID Connect with the path at the end, then at the start.
///
/// ```
/// let issuer = "https://login.example.com/tenant".parse()?;
/// let urls = corelane_control::discovery::metadata_urls(&issuer);
/// let first = "https://login.example.com/.well-known/oauth-authorization-server/tenant";
/// assert_eq!(urls[0].as_str(), first);
/// assert_eq!(urls.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn metadata_urls(issuer: &Url) -> Vec<Url> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let path = issuer.path().trim_end_matches('/');
    let paths = match path {
        "" => vec![OAUTH.to_owned(), OPENID.to_owned()],
        path => vec![
            format!("{OAUTH}{path}"),
            format!("{OPENID}{path}"),
            format!("{path}{OPENID}"),
        ],
    };
    let with_path = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    paths.into_iter().map(with_path).collect()
}

/// The URL of the keys in the metadata of this issuer, which was configured as `name`.
///
/// # Errors
/// The metadata are of another issuer, or name a URL that is not allowed.
pub fn keys_target(
    metadata: &[u8],
    name: &str,
    issuer: &Target,
    allows_private: bool,
) -> Result<Target, DiscoveryError> {
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(|_| DiscoveryError::Form)?;
    if metadata.issuer != name {
        let other: String = metadata.issuer.chars().take(256).collect();
        return Err(DiscoveryError::Issuer(other.into()));
    }
    let url = Url::parse(&metadata.jwks_uri).map_err(|_| DiscoveryError::KeysUrl)?;
    let host = url.host_str().unwrap_or_default();
    let is_here = is_loopback(host.trim_matches(['[', ']']));
    let reach = match issuer.reach {
        Reach::Loopback if is_here => Reach::Loopback,
        _ if allows_private || url.host_str() == issuer.url.host_str() => Reach::Configured,
        _ => Reach::Found,
    };
    let is_protected =
        url.scheme() == "https" || (url.scheme() == "http" && reach == Reach::Loopback);
    let is_own_port = url.port_or_known_default() == issuer.url.port_or_known_default();
    let has_port = url.port_or_known_default() == Some(443) || is_own_port || is_here;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let target = Target { url, reach };
    let is_allowed = is_protected && has_port && is_plain && target.has_allowed_host();
    is_allowed.then_some(target).ok_or(DiscoveryError::KeysUrl)
}

#[cfg(test)]
mod tests {
    use super::{DiscoveryError, Reach, Target, keys_target, metadata_urls};

    fn target(url: &str, reach: Reach) -> Target {
        Target {
            url: url.parse().expect("a URL"),
            reach,
        }
    }

    #[test]
    fn metadata_are_looked_for_in_order() {
        let urls = |issuer: &str| {
            let urls = metadata_urls(&issuer.parse().expect("a URL"));
            urls.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let expected = [
            "https://h:1/.well-known/oauth-authorization-server",
            "https://h:1/.well-known/openid-configuration",
        ];
        assert_eq!(urls("https://h:1"), expected);
        assert_eq!(urls("https://h:1/"), expected);
        let expected = [
            "https://h/.well-known/oauth-authorization-server/a/b",
            "https://h/.well-known/openid-configuration/a/b",
            "https://h/a/b/.well-known/openid-configuration",
        ];
        assert_eq!(urls("https://h/a/b"), expected);
        assert_eq!(urls("https://h/a/b/"), expected);
    }

    #[test]
    fn the_keys_are_where_the_metadata_of_the_same_issuer_say() {
        let keys = |uri: &str, allows_private| {
            let text = format!(r#"{{"issuer":"https://h/","jwks_uri":"{uri}","x":1}}"#);
            let issuer = target("https://h/", Reach::Configured);
            keys_target(text.as_bytes(), "https://h/", &issuer, allows_private)
        };
        for (uri, allows_private, reach) in [
            ("https://h/keys", false, Reach::Configured),
            ("https://other/keys", false, Reach::Found),
            ("https://other/keys", true, Reach::Configured),
            ("https://8.8.8.8/keys", false, Reach::Found),
            ("https://10.0.0.1/keys", true, Reach::Configured),
        ] {
            assert_eq!(keys(uri, allows_private), Ok(target(uri, reach)), "{uri}");
        }
        for uri in [
            "http://h/keys",
            "https://h:8443/keys",
            "https://10.0.0.1/keys",
            "https://127.0.0.1/keys",
            "https://2130706433/keys",
            "https://169.254.169.254/keys",
            "https://[::ffff:10.0.0.1]/keys",
            "https://u@h/keys",
            "http://127.0.0.1/keys",
            "file:///keys",
            "/keys",
            "",
        ] {
            assert_eq!(keys(uri, false), Err(DiscoveryError::KeysUrl), "{uri}");
        }
    }

    #[test]
    fn metadata_of_another_issuer_are_refused() {
        let issuer = target("https://h", Reach::Configured);
        for other in ["https://h/", "https://H", "https://evil", ""] {
            let text = format!(r#"{{"issuer":"{other}","jwks_uri":"https://h/k"}}"#);
            let found = keys_target(text.as_bytes(), "https://h", &issuer, false);
            assert_eq!(found, Err(DiscoveryError::Issuer(other.into())));
        }
        for text in [
            "",
            "[]",
            "{}",
            r#"{"issuer":"https://h"}"#,
            r#"{"issuer":["https://h"],"jwks_uri":"https://h/k"}"#,
            r#"{"issuer":"https://h","issuer":"https://h","jwks_uri":"https://h/k"}"#,
        ] {
            let found = keys_target(text.as_bytes(), "https://h", &issuer, false);
            assert_eq!(found, Err(DiscoveryError::Form), "{text}");
        }
    }

    #[test]
    fn an_issuer_on_loopback_has_its_keys_there_or_anywhere_protected() {
        let issuer = target("http://127.0.0.1:3000", Reach::Loopback);
        let keys = |uri: &str| {
            let text = format!(r#"{{"issuer":"http://127.0.0.1:3000","jwks_uri":"{uri}"}}"#);
            keys_target(text.as_bytes(), "http://127.0.0.1:3000", &issuer, false)
        };
        let here = "http://127.0.0.1:3000/jwks";
        assert_eq!(keys(here), Ok(target(here, Reach::Loopback)));
        assert_eq!(keys("https://h/k"), Ok(target("https://h/k", Reach::Found)));
        assert_eq!(keys("http://h/k"), Err(DiscoveryError::KeysUrl));
    }
}
