//! Where an upstream is.

use std::path::PathBuf;

use url::{Host, Url};

use super::Child;

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Streamable HTTP, or HTTP+SSE if `is_sse`, at this URL.
    Http {
        /// With the scheme `http` or `https`.
        url: Url,
        /// Whether it is the transport of 2024-11-05.
        is_sse: bool,
    },
    /// Streamable HTTP at the path `/mcp` of a server on a Unix socket.
    HttpOverUnix(PathBuf),
    /// Lines on a Unix socket.
    Unix(PathBuf),
    /// Lines on TCP, at this host and port.
    Tcp(Box<str>, u16),
    /// Lines on the standard input and output of a program.
    Child(Child),
}

/// An address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is none.
    #[error(
        "invalid address {0:?}: write https://HOST/PATH, sse+https://HOST/PATH, \
         http+unix:/PATH, unix:/PATH or tcp://HOST:PORT"
    )]
    Address(String),
    /// It has a name or a password.
    #[error("the address has a credential: give it in headers, from a file or the environment")]
    Credential,
    /// It is not secure.
    #[error(
        "{0:?} sends requests and credentials in the clear to another host: use https, or set \
         insecure_http = true"
    )]
    InTheClear(String),
}

impl Target {
    /// Reads an address. `http` to another host than this one must be allowed.
    pub(crate) fn parse(text: &str, allows_http: bool) -> Result<Target, TargetError> {
        let invalid = || TargetError::Address(text.to_owned());
        for (start, of_path) in [
            ("http+unix:", Target::HttpOverUnix as fn(PathBuf) -> Target),
            ("unix:", Target::Unix as fn(PathBuf) -> Target),
        ] {
            if let Some(path) = text.strip_prefix(start) {
                let path = path.strip_prefix("//").unwrap_or(path);
                let is_path = path.starts_with('/') && !path.contains('\0');
                return is_path.then(|| of_path(path.into())).ok_or_else(invalid);
            }
        }
        let (is_sse, of_http) = match text.strip_prefix("sse+") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let url = Url::parse(of_http).map_err(|_| invalid())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credential);
        }
        match url.scheme() {
            "tcp" if !is_sse => {
                let host = url.host_str().filter(|host| !host.is_empty());
                let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
                match (host, url.port()) {
                    (Some(host), Some(port)) if is_bare => Ok(Target::Tcp(host.into(), port)),
                    _ => Err(invalid()),
                }
            }
            "http" if !allows_http && !is_loopback(&url) => {
                Err(TargetError::InTheClear(text.to_owned()))
            }
            "http" | "https" if url.fragment().is_none() && url.has_host() => {
                Ok(Target::Http { url, is_sse })
            }
            _ => Err(invalid()),
        }
    }

    /// Whether it has a certificate.
    pub fn has_tls(&self) -> bool {
        matches!(self, Target::Http { url, .. } if url.scheme() == "https")
    }

    /// Whether requests to it have header fields.
    pub(super) fn has_fields(&self) -> bool {
        matches!(self, Target::Http { .. } | Target::HttpOverUnix(_))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}
