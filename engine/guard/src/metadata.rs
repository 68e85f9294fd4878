//! Protected resource metadata: the documents by which a client finds the authorization server of
//! an endpoint (RFC 9728).
//!
//! Each endpoint has one document, made once from the configuration; nothing in it comes from a
//! request. It stands at the path form of its URL. The root form, at which clients look too, has
//! the document of one endpoint only: `resource` must equal the URL that the client uses (RFC 9728
//! 3.3).

use std::net::IpAddr;

use serde::Serialize;

use crate::access::Metadata;

/// The path of all metadata (RFC 9728 3).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The URL of an endpoint, as clients use it: the canonical URI of MCP 2026-07-28
/// basic/authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalUri {
    text: Box<str>,
    /// Where the path begins.
    path_at: usize,
}

/// A text that is no canonical URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalUriError {
    /// Not absolute, or with parts that it must not have.
    #[error(
        "{0:?} is no canonical URI: write https://host/path, with scheme and host in lower case, \
         without user, query and fragment"
    )]
    Form(Box<str>),
    /// The host alone with a slash.
    #[error("{0:?} ends with a slash that means nothing: write {1:?}")]
    Slash(Box<str>, Box<str>),
    /// HTTP without TLS, and not on this host.
    #[error("{0:?} sends tokens in clear text: write https, or http for a loopback host")]
    ClearText(Box<str>),
}

/// The parts of a document that all endpoints have in common.
#[derive(Clone, Debug, Default)]
pub struct Publication<'a> {
    /// The issuers, in order. Without one there is no document.
    pub issuers: Vec<&'a str>,
    /// The scopes for basic use.
    pub scopes_supported: Vec<&'a str>,
    /// The name of the server, for people.
    pub name: Option<&'a str>,
    /// The URL of its documentation, for people.
    pub documentation: Option<&'a str>,
    /// Whether tokens may be bound to the certificate of the client (RFC 8705 3.3).
    pub binds_certificates: bool,
}

/// Members in the order of RFC 9728 2.
#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    authorization_servers: &'a [&'a str],
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    scopes_supported: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_client_certificate_bound_access_tokens: bool,
}

impl CanonicalUri {
    /// The URI.
    ///
    /// # Errors
    /// It is not canonical, or not protected by TLS.
    ///
    /// ```
    /// use corelane_guard::metadata::CanonicalUri;
    ///
    /// let resource = CanonicalUri::new("https://mcp.example.com/mcp")?;
    /// let expected = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
    /// assert_eq!(resource.metadata_url(), expected);
    /// assert!(CanonicalUri::new("https://MCP.example.com/mcp").is_err());
    /// # Ok::<(), corelane_guard::metadata::CanonicalUriError>(())
    /// ```
    pub fn new(text: &str) -> Result<CanonicalUri, CanonicalUriError> {
        let form = || CanonicalUriError::Form(text.into());
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
        let path_at = text.len() - (rest.len() - authority.len());
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\<>?#@".contains(&byte);
        let is_host = !host(authority).is_empty()
            && !authority.ends_with(':')
            && !authority.bytes().any(|byte| byte.is_ascii_uppercase());
        if !is_host || !rest.bytes().all(is_allowed) {
            return Err(form());
        }
        if &text[path_at..] == "/" {
            return Err(CanonicalUriError::Slash(
                text.into(),
                text[..path_at].into(),
            ));
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(host(authority)) => {}
            "http" => return Err(CanonicalUriError::ClearText(text.into())),
            _ => return Err(form()),
        }
        let text = text.into();
        Ok(CanonicalUri { text, path_at })
    }

    /// The URI, byte for byte as it is configured.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path; empty for the host alone.
    pub fn path(&self) -> &str {
        &self.text[self.path_at..]
    }

    /// The URI of another path of the same host.
    pub fn with_path(&self, path: &str) -> CanonicalUri {
        let path = without_lone_slash(path);
        CanonicalUri {
            text: [&self.text[..self.path_at], path].concat().into(),
            path_at: self.path_at,
        }
    }

    /// The URL of its metadata, in the path form.
    pub fn metadata_url(&self) -> String {
        let (origin, path) = self.text.split_at(self.path_at);
        [origin, WELL_KNOWN, path].concat()
    }
}

impl Publication<'_> {
    /// The document of an endpoint with this URI and this path on the listener, which differs
    /// behind a proxy that changes paths. With `has_root` it stands at the root form too. None if
    /// there is no issuer.
    pub fn metadata(
        &self,
        resource: &CanonicalUri,
        path: &str,
        has_root: bool,
    ) -> Option<Metadata> {
        if self.issuers.is_empty() {
            return None;
        }
        let mut paths: Vec<Box<str>> = Vec::new();
        let root = has_root.then_some("");
        let suffixes = [without_lone_slash(path), resource.path()];
        for suffix in suffixes.into_iter().chain(root) {
            let path = [WELL_KNOWN, suffix].concat().into();
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        let document = Document {
            resource: resource.as_str(),
            authorization_servers: &self.issuers,
            bearer_methods_supported: ["header"],
            scopes_supported: &self.scopes_supported,
            resource_name: self.name,
            resource_documentation: self.documentation,
            tls_client_certificate_bound_access_tokens: self.binds_certificates,
        };
        let body = serde_json::to_vec(&document).expect("texts and booleans are JSON");
        Some(Metadata {
            paths,
            body: body.into(),
        })
    }
}

fn without_lone_slash(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

/// The host of an authority, without its port and the brackets of IPv6.
fn host(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// Whether a host is this one by its name or address (RFC 6761 6.3, RFC 8252 7.3).
pub fn is_loopback(host: &str) -> bool {
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::{CanonicalUri, CanonicalUriError, Publication};

    fn uri(text: &str) -> CanonicalUri {
        CanonicalUri::new(text).expect("canonical")
    }

    #[test]
    fn canonical_uris_have_one_form() {
        for (text, path) in [
            ("https://h", ""),
            ("https://h:8443/mcp", "/mcp"),
            ("https://h/a/b/", "/a/b/"),
            ("http://127.0.0.1:80/mcp", "/mcp"),
            ("http://localhost", ""),
            ("http://[::1]:1/mcp", "/mcp"),
        ] {
            assert_eq!((uri(text).as_str(), uri(text).path()), (text, path));
        }
        for text in [
            "",
            "mcp",
            "/mcp",
            "https://",
            "https:///mcp",
            "https://:1/mcp",
            "https://h:/mcp",
            "HTTPS://h/mcp",
            "https://H/mcp",
            "https://h/mcp#a",
            "https://h/mcp?a",
            "https://h?a",
            "https://u@h/mcp",
            "https://h/m cp",
            "https://h/\"mcp",
            "https://h/\u{e4}",
            "ftp://h/mcp",
        ] {
            let expected = Err(CanonicalUriError::Form(text.into()));
            assert_eq!(CanonicalUri::new(text), expected);
        }
        let slash = CanonicalUriError::Slash("https://h/".into(), "https://h".into());
        assert_eq!(CanonicalUri::new("https://h/"), Err(slash));
        for text in ["http://h/mcp", "http://10.0.0.1/mcp", "http://localhost.h"] {
            let expected = Err(CanonicalUriError::ClearText(text.into()));
            assert_eq!(CanonicalUri::new(text), expected);
        }
    }

    fn paths(resource: &str, path: &str, has_root: bool) -> Vec<String> {
        let publication = Publication {
            issuers: vec!["https://a"],
            ..Publication::default()
        };
        let metadata = publication.metadata(&uri(resource), path, has_root);
        let paths = metadata.expect("an issuer").paths;
        paths.into_iter().map(String::from).collect()
    }

    #[test]
    fn documents_stand_at_the_path_form_and_one_at_the_root() {
        let root = "/.well-known/oauth-protected-resource";
        let mcp = "/.well-known/oauth-protected-resource/mcp";
        let public = "/.well-known/oauth-protected-resource/public/mcp";
        assert_eq!(paths("https://h/mcp", "/mcp", false), [mcp]);
        assert_eq!(paths("https://h/mcp", "/mcp", true), [mcp, root]);
        assert_eq!(paths("https://h/public/mcp", "/mcp", false), [mcp, public]);
        assert_eq!(paths("https://h", "/", true), [root]);
        assert_eq!(
            uri("https://h").with_path("/").metadata_url(),
            format!("https://h{root}")
        );
        assert_eq!(
            uri("https://h/a").with_path("/mcp").metadata_url(),
            format!("https://h{mcp}")
        );
    }

    #[test]
    fn a_document_has_exact_bytes() {
        let least = Publication {
            issuers: vec!["https://login.example.com"],
            ..Publication::default()
        };
        let body = |publication: &Publication<'_>| {
            let metadata = publication.metadata(&uri("https://h/mcp"), "/mcp", false);
            metadata.map(|it| String::from_utf8(it.body.into()).expect("text"))
        };
        let expected = concat!(
            r#"{"resource":"https://h/mcp","authorization_servers":["https://login.example.com"],"#,
            r#""bearer_methods_supported":["header"]}"#
        );
        assert_eq!(body(&least).as_deref(), Some(expected));
        let most = Publication {
            issuers: vec!["https://a", "https://b/c"],
            scopes_supported: vec!["mcp:read", "x"],
            name: Some("A \"B\""),
            documentation: Some("https://d"),
            binds_certificates: true,
        };
        let expected = concat!(
            r#"{"resource":"https://h/mcp","authorization_servers":["https://a","https://b/c"],"#,
            r#""bearer_methods_supported":["header"],"scopes_supported":["mcp:read","x"],"#,
            r#""resource_name":"A \"B\"","resource_documentation":"https://d","#,
            r#""tls_client_certificate_bound_access_tokens":true}"#
        );
        assert_eq!(body(&most).as_deref(), Some(expected));
        assert_eq!(body(&Publication::default()), None);
    }
}
