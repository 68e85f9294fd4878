//! Where a server is: a URL, and the address behind it.

use super::error::LoadError;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Streamable HTTP: each message is a request of its own.
    Http,
    /// WebSocket: all messages are on one channel.
    WebSocket,
}

/// An MCP endpoint without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The protocol.
    pub wire: Wire,
    /// The URL as it was given.
    pub url: String,
    /// The value of the `Host` field.
    pub authority: String,
    /// The request target, `/` first.
    pub path: String,
    /// Host and port to look up.
    host: (String, u16),
}

/// A text that is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Another scheme.
    #[error(
        "invalid URL {url:?}: corelane-load speaks HTTP and WebSocket without TLS, give \
         http://HOST[:PORT][/PATH] or ws://HOST[:PORT][/PATH]"
    )]
    Scheme {
        /// The text.
        url: String,
    },
    /// Not host, port and path.
    #[error("invalid URL {url:?}: give http://HOST[:PORT][/PATH] or ws://HOST[:PORT][/PATH]")]
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
        let (wire, rest) = match url.split_once("://") {
            Some(("http", rest)) => (Wire::Http, rest),
            Some(("ws", rest)) => (Wire::WebSocket, rest),
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
            _ => (authority, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || port == 0 {
            return Err(malformed());
        }
        Ok(Target {
            wire,
            url: url.to_owned(),
            authority: authority.to_owned(),
            path,
            host: (host.to_owned(), port),
        })
    }
}

impl Target {
    /// The address behind the host's name: the first one.
    ///
    /// # Errors
    /// [`LoadError::UnknownHost`].
    pub fn resolve(&self) -> Result<SocketAddr, LoadError> {
        let (host, port) = &self.host;
        let unknown = |reason: String| LoadError::UnknownHost {
            host: host.clone(),
            reason,
        };
        let mut addresses = (host.as_str(), *port)
            .to_socket_addrs()
            .map_err(|error| unknown(error.to_string()))?;
        addresses
            .next()
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
            assert_eq!(target.resolve().unwrap().to_string(), address);
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
        check("ws://[::1]/", "[::1]", "/", "[::1]:80");
    }

    #[test]
    fn a_wrong_url_is_an_error_of_one_line() {
        let check = |url: &str, message: &str| {
            let error = url.parse::<Target>().expect_err(url).to_string();
            assert!(error.contains(message), "{url}: {error}");
        };
        check("https://a/", "without TLS");
        check("127.0.0.1:80", "http://");
        check("http://", "HOST[:PORT]");
        check("http://a:b/", "HOST[:PORT]");
        check("http://a:0/", "HOST[:PORT]");
        check("http://a b/", "HOST[:PORT]");
        check("http://me@a/", "HOST[:PORT]");
    }
}
