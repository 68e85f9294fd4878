//! Hosts, ports and web origins as bytes on the wire and as entries of a policy.
//!
//! Stricter than RFC 3986: no user, no percent-encoding, no path. All values of browsers and MCP
//! clients fit; the rest is refused before it is compared.

use std::net::Ipv6Addr;

/// The port that http implies (RFC 9110 4.2.1).
pub(super) const HTTP_PORT: u16 = 80;

/// The port that https implies (RFC 9110 4.2.2).
pub(super) const HTTPS_PORT: u16 = 443;

/// Longest host name, in bytes (RFC 1035 2.3.4).
const NAME_BYTES_MAX: usize = 255;

/// Longest scheme of an origin, in bytes; those of browsers and editors stay below.
const SCHEME_BYTES_MAX: usize = 32;

/// A host on the wire. Names compare without regard to case, IPv6 addresses by value, so that two
/// spellings of one address are one host.
#[derive(Clone, Copy, Debug)]
pub(super) enum HostRef<'a> {
    /// A name or an IPv4 address.
    Name(&'a [u8]),
    /// An address that stood in brackets.
    V6(Ipv6Addr),
}

/// A host and an optional port on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed<'a> {
    pub(super) host: HostRef<'a>,
    pub(super) port: Option<u16>,
}

/// A host of a policy.
#[derive(Clone, Debug)]
pub(super) enum Host {
    Name(Box<[u8]>),
    V6(Ipv6Addr),
}

/// A host and an optional port of a policy.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
}

/// A web origin of a policy; its port is absent only if its scheme has no default port.
#[derive(Clone, Debug)]
pub(super) struct WebOrigin {
    scheme: Box<[u8]>,
    authority: Authority,
}

impl HostRef<'_> {
    /// Whether both are the same host.
    pub(super) fn is(self, other: HostRef<'_>) -> bool {
        match (self, other) {
            (Self::Name(own), HostRef::Name(other)) => own.eq_ignore_ascii_case(other),
            (Self::V6(own), HostRef::V6(other)) => own == other,
            _ => false,
        }
    }
}

impl Host {
    /// Whether both are the same host.
    pub(super) fn is(&self, other: HostRef<'_>) -> bool {
        match self {
            Self::Name(name) => HostRef::Name(name).is(other),
            Self::V6(ip) => HostRef::V6(*ip).is(other),
        }
    }
}

impl<'a> Parsed<'a> {
    /// A `Host` field (RFC 9112 3.2): name, IPv4 or bracketed IPv6 address, and optional port.
    pub(super) fn host(value: &'a [u8]) -> Option<Self> {
        let (host, rest) = if let Some(bracketed) = value.strip_prefix(b"[") {
            let end = bracketed.iter().position(|&byte| byte == b']')?;
            let ip = std::str::from_utf8(&bracketed[..end]).ok()?.parse().ok()?;
            (HostRef::V6(ip), &bracketed[end + 1..])
        } else {
            let end = value.iter().position(|&byte| byte == b':');
            let (name, rest) = value.split_at(end.unwrap_or(value.len()));
            let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
            if !fits || !name.iter().copied().all(is_name_byte) {
                return None;
            }
            (HostRef::Name(name), rest)
        };
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// An `Origin` field (RFC 6454 7): scheme and host, with nothing after them. `null` is refused.
    pub(super) fn origin(value: &'a [u8]) -> Option<(&'a [u8], Self)> {
        let colon = value.iter().position(|&byte| byte == b':')?;
        let (scheme, rest) = value.split_at(colon);
        let named = Self::host(rest.strip_prefix(b"://")?)?;
        let fits = (1..=SCHEME_BYTES_MAX).contains(&scheme.len());
        let is_scheme = fits && scheme[0].is_ascii_alphabetic();
        let all = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        (is_scheme && scheme.iter().all(all)).then_some((scheme, named))
    }

    /// The same, owned.
    pub(super) fn to_authority(self) -> Authority {
        let host = match self.host {
            HostRef::Name(name) => Host::Name(name.into()),
            HostRef::V6(ip) => Host::V6(ip),
        };
        Authority {
            host,
            port: self.port,
        }
    }
}

impl Authority {
    /// As it stands in `Host`: an IPv6 address in brackets, the port behind a colon.
    pub(super) fn spelling(&self) -> Box<[u8]> {
        let mut spelling = match &self.host {
            Host::Name(name) => name.to_vec(),
            Host::V6(ip) => format!("[{ip}]").into_bytes(),
        };
        if let Some(port) = self.port {
            spelling.extend_from_slice(format!(":{port}").as_bytes());
        }
        spelling.into()
    }
}

impl WebOrigin {
    pub(super) fn new(scheme: &[u8], named: Parsed<'_>) -> Self {
        Self::of(scheme, named.to_authority())
    }

    pub(super) fn of(scheme: &[u8], authority: Authority) -> Self {
        let port = authority.port.or(default_port(scheme));
        Self {
            scheme: scheme.to_ascii_lowercase().into(),
            authority: Authority { port, ..authority },
        }
    }

    /// As browsers spell it (WHATWG HTML 7.1.1): in small letters, without a default port.
    pub(super) fn spelling(&self) -> String {
        let Authority { host, port } = self.authority.clone();
        let port = port.filter(|_| port != default_port(&self.scheme));
        let authority = Authority { host, port }.spelling().to_ascii_lowercase();
        let [scheme, authority] = [&self.scheme, &authority[..]].map(String::from_utf8_lossy);
        format!("{scheme}://{authority}")
    }

    /// Whether both are the same origin (RFC 6454 5).
    pub(super) fn matches(&self, scheme: &[u8], named: Parsed<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
            && self.authority.host.is(named.host)
            && self.authority.port == named.port.or(default_port(scheme))
    }
}

/// The port of a web scheme; other schemes have none.
pub(super) fn default_port(scheme: &[u8]) -> Option<u16> {
    if scheme.eq_ignore_ascii_case(b"http") {
        Some(HTTP_PORT)
    } else if scheme.eq_ignore_ascii_case(b"https") {
        Some(HTTPS_PORT)
    } else {
        None
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// A port of 1 to 5 digits, 1 to 65,535. No client sends an empty one, which RFC 3986 allows.
fn parse_port(digits: &[u8]) -> Option<u16> {
    if !(1..=5).contains(&digits.len()) {
        return None;
    }
    let mut port: u32 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).ok().filter(|&port| port != 0)
}
