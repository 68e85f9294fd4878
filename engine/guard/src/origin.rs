//! The check of `Host` and `Origin` that keeps foreign web pages out.
//!
//! A page in a browser can reach a server on its user's machine or network. `Origin` names the page
//! that sent a request (MCP 2025-11-25 basic/transports: servers validate it on every request and
//! answer 403 when it is present and invalid). A page whose own name was rebound to the server's
//! address is of the "same origin" for the browser; only `Host`, which still has the foreign name,
//! shows it. Hence both are checked:
//!
//! | listens on | `allowed_hosts` | `Host` must be |
//! |---|---|---|
//! | loopback | any | a loopback name, with any port, or an allowed host |
//! | an address | some | that address, with any port, or an allowed host |
//! | all addresses | some | an allowed host |
//! | elsewhere than on loopback | none | anything: a warning says that rebinding is possible |
//! | a Unix socket | none | anything: no page reaches one |
//! | a Unix socket | some | an allowed host: a proxy in front passes on the names that pages use |
//!
//! The port of the server's own names does not matter: a port forward changes it, and a rebound
//! page is recognised by its name.
//!
//! `Origin`, when present, must be an allowed origin, the origin of the request's `Host` (http or
//! https), or one of the server's own names with its port: another port is another page. `null` and
//! malformed values are refused. A request without `Origin` comes from no page and passes.
//!
//! A page of another origin than the request's `Host` reads an answer only if its browser is
//! allowed to show it: the check names such an origin, and the answer repeats it.
//!
//! Invariant: [`OriginPolicy::check`] allocates nothing and compares at most every entry once. It
//! deliberately lacks header parsing, CORS answers, and authentication.

mod authority;

use std::net::{IpAddr, SocketAddr};

use authority::{Authority, HTTP_PORT, HTTPS_PORT, Parsed, WebOrigin};

/// The names by which a browser on the same machine reaches a loopback listener.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Which hosts and origins one listener accepts; immutable, one copy for each shard.
#[derive(Clone, Debug)]
pub struct OriginPolicy {
    /// Hosts with the port they need, if any.
    hosts: Vec<Authority>,
    /// Origins accepted for every `Host`.
    origins: Vec<WebOrigin>,
    /// The server's own names with its port: of loopback, or its address.
    own: Vec<Authority>,
    /// The usual spellings of the server's own names with its port, as they stand in `Host`.
    own_spellings: Vec<Box<[u8]>>,
    /// Otherwise pages on other sites may reach the server through DNS rebinding.
    host_checked: bool,
}

/// An allowed origin that is not the origin of the request's `Host`: its place among those of
/// `OriginPolicy::cross_origins`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossOrigin(pub u8);

/// The schemes of web pages.
const WEB_SCHEMES: [&str; 2] = ["http", "https"];

/// An entry of the configuration that no request could ever match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginPolicyError {
    /// Not a host with an optional port.
    #[error("allowed host {entry:?} is not of the form name or name:port, without a scheme")]
    Host {
        /// The entry.
        entry: String,
    },
    /// Not a web origin.
    #[error(
        "allowed origin {entry:?} is not of the form scheme://name or scheme://name:port, \
         without a path"
    )]
    Origin {
        /// The entry.
        entry: String,
    },
    /// A listener that is not bound yet has no port to compare with.
    #[error("listener {listen} has no port; the policy needs the address that was bound")]
    Unbound {
        /// The address given.
        listen: SocketAddr,
    },
}

/// Why a request is refused. The peer's fault: 403, no part of the request is carried out, and the
/// connection may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginRefusal {
    /// `Host` is needed and absent.
    #[error("host header is missing")]
    HostMissing,
    /// `Host` is not a name with an optional port.
    #[error("host header is malformed")]
    HostMalformed,
    /// `Host` names another server.
    #[error("host is not allowed")]
    HostNotAllowed,
    /// `Origin` is `null` or not one web origin.
    #[error("origin header is malformed or null")]
    OriginMalformed,
    /// `Origin` is a page that may not call this server.
    #[error("origin is not allowed")]
    OriginNotAllowed,
    /// `Origin` has several values.
    #[error("origin header has values that differ")]
    OriginRepeated,
}

/// Bytes of a refused host or origin that a message repeats.
const NAME_BYTES_SHOWN_MAX: usize = 128;

impl OriginRefusal {
    /// Whether it is for `Host`, not for `Origin`.
    pub fn is_of_host(self) -> bool {
        use OriginRefusal::{HostMalformed, HostMissing, HostNotAllowed};
        matches!(self, HostMissing | HostMalformed | HostNotAllowed)
    }

    /// Names the refused value of a request with this `Host` and `Origin`, and the setting that
    /// would allow it.
    pub fn explain(self, host: Option<&[u8]>, origin: Option<&[u8]>) -> String {
        let shown = |value: Option<&[u8]>| {
            let value = value.unwrap_or_default();
            let shown = &value[..value.len().min(NAME_BYTES_SHOWN_MAX)];
            String::from_utf8_lossy(shown).into_owned()
        };
        match self {
            OriginRefusal::HostNotAllowed => format!(
                "host {:?} is not allowed: add it to allowed_hosts, or start with --allow-host",
                shown(host)
            ),
            OriginRefusal::OriginNotAllowed => format!(
                "origin {:?} is not allowed: add it to allowed_origins",
                shown(origin)
            ),
            other => other.to_string(),
        }
    }
}

impl OriginPolicy {
    /// The policy of the listener bound to `listen`, with its actual port; of a Unix socket, which
    /// no page can reach, without.
    ///
    /// An allowed host without a port matches any port; one with port 80 or 443 also matches a
    /// `Host` without a port. Names compare without regard to case; an origin's default port (80
    /// for http, 443 for https) need not be written.
    ///
    /// # Errors
    /// An entry that cannot be parsed, or a `listen` with port 0.
    pub fn new(
        listen: impl Into<Option<SocketAddr>>,
        allowed_hosts: &[impl AsRef<str>],
        allowed_origins: &[impl AsRef<str>],
    ) -> Result<Self, OriginPolicyError> {
        let listen = listen.into();
        if let Some(listen) = listen.filter(|listen| listen.port() == 0) {
            return Err(OriginPolicyError::Unbound { listen });
        }
        let hosts = allowed_hosts.iter().map(|entry| parse_host(entry.as_ref()));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let origins = allowed_origins.iter().map(|e| parse_origin(e.as_ref()));
        let origins = origins.collect::<Result<Vec<_>, _>>()?;
        let own = listen.map(own_authorities).unwrap_or_default();
        let is_loopback = |listen: SocketAddr| listen.ip().to_canonical().is_loopback();
        Ok(Self {
            host_checked: listen.is_some_and(is_loopback) || !hosts.is_empty(),
            hosts,
            origins,
            own_spellings: own.iter().map(Authority::spelling).collect(),
            own,
        })
    }

    /// The origins that requests of any `Host` may come from, as browsers spell them.
    pub fn cross_origins(&self) -> impl Iterator<Item = String> {
        let own = self.own.iter().flat_map(|own| {
            WEB_SCHEMES.map(|scheme| WebOrigin::of(scheme.as_bytes(), own.clone()).spelling())
        });
        self.origins.iter().map(WebOrigin::spelling).chain(own)
    }

    /// Checks a request by the values of its `Host` and `Origin` fields, without the white space
    /// around them. Returns its origin if that is an allowed one but not that of its host.
    ///
    /// # Errors
    /// The request must be refused with 403.
    pub fn check(
        &self,
        host: Option<&[u8]>,
        origin: Option<&[u8]>,
    ) -> Result<Option<CrossOrigin>, OriginRefusal> {
        if self.host_checked && !self.is_own_spelling(host) {
            let host = host.ok_or(OriginRefusal::HostMissing)?;
            let host = Parsed::host(host).ok_or(OriginRefusal::HostMalformed)?;
            if !self.allows_host(host) {
                return Err(OriginRefusal::HostNotAllowed);
            }
        }
        match origin {
            Some(origin) => self.check_origin(host, origin),
            None => Ok(None),
        }
    }

    /// Whether `host` is a usual spelling of an own name, which needs no parsing; nearly every
    /// request has one.
    fn is_own_spelling(&self, host: Option<&[u8]>) -> bool {
        host.is_some_and(|host| self.own_spellings.iter().any(|own| **own == *host))
    }

    fn check_origin(
        &self,
        host: Option<&[u8]>,
        origin: &[u8],
    ) -> Result<Option<CrossOrigin>, OriginRefusal> {
        let (scheme, named) = Parsed::origin(origin).ok_or(OriginRefusal::OriginMalformed)?;
        let default_port = authority::default_port(scheme);
        let port = named.port.or(default_port);
        if default_port.is_some()
            && let Some(host) = host.and_then(Parsed::host)
            && host.host.is(named.host)
            && host.port.or(default_port) == port
        {
            return Ok(None);
        }
        let mut origins = self.origins.iter();
        if let Some(at) = origins.position(|own| own.matches(scheme, named)) {
            return Ok(Some(CrossOrigin(at as u8)));
        }
        // Only web pages share an origin with a web server; other schemes must be listed.
        let is_scheme = |web: &&str| scheme.eq_ignore_ascii_case(web.as_bytes());
        let scheme_at = WEB_SCHEMES.iter().position(is_scheme);
        let is_own = |own: &Authority| own.host.is(named.host) && own.port == port;
        match (scheme_at, self.own.iter().position(is_own)) {
            (Some(scheme_at), Some(own_at)) => {
                let at = self.origins.len() + own_at * WEB_SCHEMES.len() + scheme_at;
                Ok(Some(CrossOrigin(at as u8)))
            }
            _ => Err(OriginRefusal::OriginNotAllowed),
        }
    }

    fn allows_host(&self, host: Parsed<'_>) -> bool {
        // A client leaves out the port its scheme implies, and the scheme is not in the request.
        let implied = |port| port == HTTP_PORT || port == HTTPS_PORT;
        let is_own = |own: &Authority| own.host.is(host.host);
        let is_allowed = |entry: &Authority| {
            let port_matches = entry
                .port
                .is_none_or(|port| host.port.map_or(implied(port), |named| named == port));
            entry.host.is(host.host) && port_matches
        };
        self.own.iter().any(is_own) || self.hosts.iter().any(is_allowed)
    }
}

/// The names of a listener with its port: those of loopback, or its address; none if it listens on
/// all addresses.
fn own_authorities(listen: SocketAddr) -> Vec<Authority> {
    let ip = listen.ip().to_canonical();
    if ip.is_unspecified() {
        return Vec::new();
    }
    let bound = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let loopback = LOOPBACK_NAMES.iter().copied().filter(|_| ip.is_loopback());
    let other = (!LOOPBACK_NAMES.contains(&bound.as_str())).then_some(bound.as_str());
    let parsed = loopback
        .chain(other)
        .filter_map(|name| Parsed::host(name.as_bytes()));
    let port = Some(listen.port());
    parsed
        .map(|name| Parsed { port, ..name }.to_authority())
        .collect()
}

fn parse_host(entry: &str) -> Result<Authority, OriginPolicyError> {
    let parsed = Parsed::host(entry.as_bytes());
    let authority = parsed.map(|parsed| parsed.to_authority());
    authority.ok_or_else(|| OriginPolicyError::Host {
        entry: entry.to_owned(),
    })
}

fn parse_origin(entry: &str) -> Result<WebOrigin, OriginPolicyError> {
    let parsed = Parsed::origin(entry.as_bytes());
    let origin = parsed.map(|(scheme, named)| WebOrigin::new(scheme, named));
    origin.ok_or_else(|| OriginPolicyError::Origin {
        entry: entry.to_owned(),
    })
}

#[cfg(test)]
mod tests;
