//! Addresses that a server listens on, each with the protocol of its connections.
//!
//! An address is one text in a profile and on the command line. It has no options: those that
//! several addresses share are knobs of their sections.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::Error as _;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serializer};

use super::knobs::Value;

/// Most addresses of one process: each shard has a socket for each of them.
pub const LISTENERS_MAX: usize = 16;

/// Longest path or name of a Unix socket, in bytes: `sun_path` of unix(7), without the zero byte.
pub const UNIX_NAME_BYTES_MAX: usize = 107;

/// One address that is listened on, such as `http://127.0.0.1:8080`.
///
/// | text | transport | binding |
/// |---|---|---|
/// | `HOST:PORT`, `http://HOST:PORT`, `https://HOST:PORT` | TCP | Streamable HTTP |
/// | `ws://HOST:PORT`, `wss://HOST:PORT` | TCP | WebSocket |
/// | `tcp://HOST:PORT`, `tcps://HOST:PORT` | TCP | lines |
/// | `unix:///PATH`, `unix://@NAME` | Unix | lines |
/// | `http+unix:///PATH`, `http+unix://@NAME` | Unix | Streamable HTTP |
///
/// HOST is an IP address, IPv6 in brackets, or a name, which stands for its first address. PORT 0
/// takes a free one. `[::]` is every address, of IPv4 as well. `@NAME` is an abstract name.
///
/// ```
/// use corelane::ListenAddress;
///
/// let address: ListenAddress = "tcp://127.0.0.1:9000".parse()?;
/// assert_eq!(address.to_string(), "tcp://127.0.0.1:9000");
/// # Ok::<(), corelane::ListenAddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// The kind of socket, and its place.
    pub transport: Transport,
    /// The protocol of connections.
    pub binding: Binding,
    /// Whether TLS comes first.
    pub tls: bool,
}

/// The kind of a listening socket, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// tcp(7).
    Tcp(SocketAddr),
    /// unix(7).
    Unix(UnixName),
}

/// The name of a Unix socket, at most [`UNIX_NAME_BYTES_MAX`] long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixName {
    /// An absolute path.
    Path(PathBuf),
    /// A name that is no file and vanishes with its socket. Every process of the network namespace
    /// can connect to it, as any user.
    Abstract(String),
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Streamable HTTP.
    Http,
    /// One message on each line, as on standard input and output.
    Lines,
    /// One message in each text message.
    WebSocket,
}

/// The fault of an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// The part before `://` is none of those above.
    #[error(
        "{scheme:?} is no transport; give HOST:PORT or one of http://, https://, ws://, wss://, \
         tcp:// and tcps:// with HOST:PORT, or unix:// or http+unix:// with a path or @NAME"
    )]
    Scheme {
        /// The part before `://`.
        scheme: String,
    },
    /// Not a host and a port, or a name without an address.
    #[error("{reason}; give HOST:PORT, such as 127.0.0.1:8080 or [::1]:0")]
    Host {
        /// The reason of the system.
        reason: String,
    },
    /// There is something behind the port.
    #[error("{path:?} does not belong here; server.endpoint of the profile sets the path")]
    Path {
        /// From the slash on.
        path: String,
    },
    /// Neither an absolute path nor an abstract name.
    #[error("{name:?} is no absolute path; give one, such as unix:///run/corelane.sock")]
    UnixPath {
        /// The part behind `://`.
        name: String,
    },
    /// A path or a name that no socket can have.
    #[error(
        "the name of a Unix socket has {bytes} bytes, of 1 to {UNIX_NAME_BYTES_MAX} that are \
         possible; choose another one"
    )]
    UnixLength {
        /// Without the `@` of an abstract name.
        bytes: usize,
    },
}

impl ListenAddress {
    /// Streamable HTTP at this address, without TLS.
    #[must_use]
    pub const fn http(address: SocketAddr) -> ListenAddress {
        ListenAddress {
            transport: Transport::Tcp(address),
            binding: Binding::Http,
            tls: false,
        }
    }

    /// The IP address and port, of TCP.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.transport {
            Transport::Tcp(address) => Some(address),
            Transport::Unix(_) => None,
        }
    }

    fn scheme(&self) -> &'static str {
        match (&self.transport, self.binding, self.tls) {
            (Transport::Tcp(_), Binding::Http, false) => "http",
            (Transport::Tcp(_), Binding::Http, true) => "https",
            (Transport::Tcp(_), Binding::WebSocket, false) => "ws",
            (Transport::Tcp(_), Binding::WebSocket, true) => "wss",
            (Transport::Tcp(_), Binding::Lines, false) => "tcp",
            (Transport::Tcp(_), Binding::Lines, true) => "tcps",
            (Transport::Unix(_), Binding::Lines, _) => "unix",
            (Transport::Unix(_), Binding::Http, _) => "http+unix",
            (Transport::Unix(_), Binding::WebSocket, _) => "ws+unix",
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> ListenAddress {
        ListenAddress::http(address)
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<ListenAddress, ListenAddressError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            // Not the path behind a host and a port.
            None if text.contains(":/") => (text, ""),
            None => ("http", text),
        };
        let tcp = |binding, tls| {
            Ok(ListenAddress {
                transport: Transport::Tcp(parse_host(rest)?),
                binding,
                tls,
            })
        };
        let unix = |binding| {
            Ok(ListenAddress {
                transport: Transport::Unix(parse_unix(rest)?),
                binding,
                tls: false,
            })
        };
        match &*scheme.to_ascii_lowercase() {
            "http" => tcp(Binding::Http, false),
            "https" => tcp(Binding::Http, true),
            "ws" => tcp(Binding::WebSocket, false),
            "wss" => tcp(Binding::WebSocket, true),
            "tcp" => tcp(Binding::Lines, false),
            "tcps" => tcp(Binding::Lines, true),
            "unix" => unix(Binding::Lines),
            "http+unix" => unix(Binding::Http),
            _ => Err(ListenAddressError::Scheme {
                scheme: scheme.to_owned(),
            }),
        }
    }
}

fn parse_host(text: &str) -> Result<SocketAddr, ListenAddressError> {
    let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    if !matches!(path, "" | "/") {
        return Err(ListenAddressError::Path {
            path: path.to_owned(),
        });
    }
    let refused = |reason: String| ListenAddressError::Host { reason };
    if host.matches(':').count() > 1 && !host.starts_with('[') {
        let reason = format!("{host:?} is an IPv6 address without brackets");
        return Err(refused(reason));
    }
    if host.starts_with(':') {
        let reason = format!("{host:?} has no host, which is 0.0.0.0 or [::] for all addresses");
        return Err(refused(reason));
    }
    let mut addresses = host
        .to_socket_addrs()
        .map_err(|error| refused(error.to_string()))?;
    let first = addresses.next();
    first.ok_or_else(|| refused(format!("the name {host:?} has no address")))
}

fn parse_unix(text: &str) -> Result<UnixName, ListenAddressError> {
    let (name, bytes) = match text.strip_prefix('@') {
        Some(name) => (UnixName::Abstract(name.to_owned()), name.len()),
        None if text.starts_with('/') => (UnixName::Path(text.into()), text.len()),
        None => {
            return Err(ListenAddressError::UnixPath {
                name: text.to_owned(),
            });
        }
    };
    match bytes {
        1..=UNIX_NAME_BYTES_MAX => Ok(name),
        bytes => Err(ListenAddressError::UnixLength { bytes }),
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme();
        match &self.transport {
            Transport::Tcp(address) => write!(formatter, "{scheme}://{address}"),
            Transport::Unix(name) => write!(formatter, "{scheme}://{name}"),
        }
    }
}

impl UnixName {
    /// Its file, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            UnixName::Path(path) => Some(path),
            UnixName::Abstract(_) => None,
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnixName::Path(path) => path.display().fmt(formatter),
            UnixName::Abstract(name) => write!(formatter, "@{name}"),
        }
    }
}

impl Value for Vec<ListenAddress> {}

/// Reads one text or a list of texts.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<ListenAddress>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected an address or a list of addresses")]
    enum Texts {
        One(String),
        Several(Vec<String>),
    }
    let texts = match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::Several(texts) => texts,
    };
    let parse = |text: &String| {
        let address = text.parse();
        address.map_err(|error: ListenAddressError| D::Error::custom(format!("{text:?}: {error}")))
    };
    texts.iter().map(parse).collect()
}

/// Writes a list of one address as its text.
pub(super) fn serialize<S: Serializer>(
    addresses: &[ListenAddress],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if let [address] = addresses {
        return serializer.collect_str(address);
    }
    let mut texts = serializer.serialize_seq(Some(addresses.len()))?;
    for address in addresses {
        texts.serialize_element(&address.to_string())?;
    }
    texts.end()
}

/// Why a server cannot listen on all of `addresses`, if so.
pub(super) fn fault(addresses: &[ListenAddress]) -> Option<String> {
    if addresses.is_empty() {
        return Some("is empty; give an address, such as \"127.0.0.1:8080\"".to_owned());
    }
    let lacks_tls = |it: &&ListenAddress| it.tls && cfg!(not(feature = "tls"));
    if let Some(address) = addresses.iter().find(lacks_tls) {
        return Some(format!(
            "has {address}, for which the library must be built with its feature tls"
        ));
    }
    addresses.iter().enumerate().find_map(|(at, address)| {
        let mut before = addresses[..at].iter();
        let other = before.find(|other| overlaps(&other.transport, &address.transport))?;
        Some(format!(
            "has {other} and {address}, which are one place; remove one of them"
        ))
    })
}

/// Whether two sockets cannot both be listened on.
fn overlaps(one: &Transport, other: &Transport) -> bool {
    let (Transport::Tcp(one), Transport::Tcp(other)) = (one, other) else {
        return one == other;
    };
    // `[::]` takes the connections of IPv4 too.
    let takes = |one: &SocketAddr, other: &SocketAddr| {
        one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    let is_covered = one.ip() == other.ip() || takes(one, other) || takes(other, one);
    one.port() != 0 && one.port() == other.port() && is_covered
}

#[cfg(test)]
mod tests;
