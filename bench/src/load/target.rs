//! Where a server is: a URL, and the address behind it.

use super::error::LoadError;
use socket2::SockAddr;
use std::net::ToSocketAddrs;
use std::str::FromStr;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Streamable HTTP: each message is a request of its own.
    Http,
    /// WebSocket: all messages are on one channel.
    WebSocket,
    /// A channel with a message on each line.
    Lines,
}

/// An MCP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The protocol.
    pub wire: Wire,
    /// Whether messages are within TLS.
    pub has_tls: bool,
    /// The URL as it was given.
    pub url: String,
    /// The value of the `Host` field.
    pub authority: String,
    /// The request target, `/` first.
    pub path: String,
    place: Place,
}

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Host and port to look up.
    Host(String, u16),
    /// The path of a Unix socket, or an abstract name behind a zero byte.
    Unix(String),
}

/// A text that is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Another scheme.
    #[error(
        "invalid URL {url:?}: give http://, https://, ws:// or wss:// with HOST[:PORT][/PATH], \
         tcp:// or tcps:// with HOST:PORT, or unix:///PATH"
    )]
    Scheme {
        /// The text.
        url: String,
    },
    /// Not host, port and path.
    #[error(
        "invalid URL {url:?}: give http://HOST[:PORT][/PATH], ws://HOST[:PORT][/PATH], \
         tcp://HOST:PORT, each with s behind its name for TLS, or unix:///PATH"
    )]
    Malformed {
        /// The text.
        url: String,
    },
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Target, TargetError> {
        let malformed = || TargetError::Malformed {
            url: url.to_owned(),
        };
        let (wire, has_tls, rest) = match url.split_once("://") {
            Some(("http", rest)) => (Wire::Http, false, rest),
            Some(("https", rest)) => (Wire::Http, true, rest),
            Some(("ws", rest)) => (Wire::WebSocket, false, rest),
            Some(("wss", rest)) => (Wire::WebSocket, true, rest),
            Some(("tcp", rest)) => (Wire::Lines, false, rest),
            Some(("tcps", rest)) => (Wire::Lines, true, rest),
            Some(("unix", name)) => return of_unix(url, name).ok_or_else(malformed),
            _ => {
                let url = url.to_owned();
                return Err(TargetError::Scheme { url });
            }
        };
        let is_plain = rest
            .bytes()
            .all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'#');
        if !is_plain || rest.contains('@') {
            return Err(malformed());
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if rest.as_bytes()[at] == b'/' => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        // The last colon belongs to the port unless it is within the brackets of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| malformed())?)
            }
            _ if wire == Wire::Lines => return Err(malformed()),
            _ if has_tls => (authority, 443),
            _ => (authority, 80),
        };
        if wire == Wire::Lines && path != "/" {
            return Err(malformed());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || port == 0 {
            return Err(malformed());
        }
        Ok(Target {
            wire,
            has_tls,
            url: url.to_owned(),
            authority: authority.to_owned(),
            path,
            place: Place::Host(host.to_owned(), port),
        })
    }
}

/// A target with lines on a Unix socket: `/PATH` or `@NAME`.
fn of_unix(url: &str, name: &str) -> Option<Target> {
    let name = match name.strip_prefix('@') {
        Some(name) => format!("\0{name}"),
        None => name.starts_with('/').then(|| name.to_owned())?,
    };
    Some(Target {
        wire: Wire::Lines,
        has_tls: false,
        url: url.to_owned(),
        authority: String::new(),
        path: String::new(),
        place: Place::Unix(name),
    })
}

impl Target {
    /// The name of the server, without the brackets of an IPv6 address; empty for a Unix socket.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Host(host, _) => host,
            Place::Unix(_) => "",
        }
    }

    /// The address behind the host's name, the first one; or that of the Unix socket.
    ///
    /// # Errors
    /// [`LoadError::UnknownHost`].
    pub fn resolve(&self) -> Result<SockAddr, LoadError> {
        let unknown = |reason: String| LoadError::UnknownHost {
            host: self.url.clone(),
            reason,
        };
        let (host, port) = match &self.place {
            Place::Host(host, port) => (host, port),
            Place::Unix(name) => {
                return SockAddr::unix(name).map_err(|error| unknown(error.to_string()));
            }
        };
        let mut addresses = (host.as_str(), *port)
            .to_socket_addrs()
            .map_err(|error| unknown(error.to_string()))?;
        addresses
            .next()
            .map(SockAddr::from)
            .ok_or_else(|| unknown("it has no address".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_url_has_host_port_and_path() {
        let check = |url: &str, authority: &str, path: &str, address: &str| {
            let target: Target = url.parse().unwrap();
            assert_eq!(
                (&*target.authority, &*target.path),
                (authority, path),
                "{url}"
            );
            let resolved = target.resolve().unwrap().as_socket();
            assert_eq!(resolved.unwrap().to_string(), address);
        };
        check(
            "http://127.0.0.1:8080/mcp",
            "127.0.0.1:8080",
            "/mcp",
            "127.0.0.1:8080",
        );
        check("http://127.0.0.1", "127.0.0.1", "/", "127.0.0.1:80");
        check(
            "http://127.0.0.1:9?a=b",
            "127.0.0.1:9",
            "/?a=b",
            "127.0.0.1:9",
        );
        check("http://[::1]:81/a/b", "[::1]:81", "/a/b", "[::1]:81");
        check("http://[::1]/", "[::1]", "/", "[::1]:80");
        check("tcp://127.0.0.1:9", "127.0.0.1:9", "/", "127.0.0.1:9");
        check("ws://[::1]/", "[::1]", "/", "[::1]:80");
        check("wss://[::1]/", "[::1]", "/", "[::1]:443");
        check("https://127.0.0.1", "127.0.0.1", "/", "127.0.0.1:443");
        check("tcps://127.0.0.1:9", "127.0.0.1:9", "/", "127.0.0.1:9");
    }

    #[test]
    fn a_wrong_url_is_an_error_of_one_line() {
        let check = |url: &str, message: &str| {
            let error = url.parse::<Target>().expect_err(url).to_string();
            assert!(error.contains(message), "{url}: {error}");
        };
        check("ftp://a/", "https://");
        check("unix://relative", "unix:///PATH");
        check("tcp://127.0.0.1", "tcp://HOST:PORT");
        check("tcp://127.0.0.1:9/mcp", "tcp://HOST:PORT");
        check("tcps://127.0.0.1", "tcp://HOST:PORT");
        check("127.0.0.1:80", "http://");
        check("http://", "HOST[:PORT]");
        check("http://a:b/", "HOST[:PORT]");
        check("http://a:0/", "HOST[:PORT]");
        check("http://a b/", "HOST[:PORT]");
        check("http://me@a/", "HOST[:PORT]");
    }
}
