//! The URL for the messages of a client of HTTP+SSE, which the server names in its stream (MCP
//! 2024-11-05 basic/transports, "HTTP with SSE").

use url::Url;

/// The longest URL, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 8 << 10;

/// Why a URL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointFault {
    /// It is none, or too long.
    #[error("the endpoint for messages is no URL of at most {ENDPOINT_BYTES_MAX} bytes")]
    Invalid,
    /// Messages and credentials would go to another server.
    #[error("the endpoint for messages has another origin than the url of the upstream")]
    Origin,
}

/// The request target of the URL `named`, which may be relative to that of the stream.
///
/// ```
/// use corelane_gateway::link::endpoint_target;
/// let stream = "https://h/a/sse";
/// assert_eq!(endpoint_target(stream, b"messages?id=1").as_deref(), Ok("/a/messages?id=1"));
/// assert!(endpoint_target(stream, b"https://other/messages").is_err());
/// ```
///
/// # Errors
/// [`EndpointFault`]: the stream is of no use.
pub fn endpoint_target(stream: &str, named: &[u8]) -> Result<Box<str>, EndpointFault> {
    let stream = Url::parse(stream).map_err(|_| EndpointFault::Invalid)?;
    let named = str::from_utf8(named).map_err(|_| EndpointFault::Invalid)?;
    let url = stream.join(named).map_err(|_| EndpointFault::Invalid)?;
    if url.origin() != stream.origin() {
        return Err(EndpointFault::Origin);
    }
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    match target.len() <= ENDPOINT_BYTES_MAX {
        true => Ok(target.into()),
        false => Err(EndpointFault::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::{ENDPOINT_BYTES_MAX, EndpointFault, endpoint_target};

    #[test]
    fn an_endpoint_of_the_same_origin_becomes_a_request_target() {
        let stream = "http://h:81/a/sse?k=v";
        for (named, target) in [
            ("/messages/?session_id=1", "/messages/?session_id=1"),
            ("messages", "/a/messages"),
            ("?id=2", "/a/sse?id=2"),
            ("http://h:81/m#part", "/m"),
            ("//h:81/m", "/m"),
            ("http://user:pass@h:81/m", "/m"),
            ("/a b\r\nX: 1", "/a%20bX:%201"),
            ("/\u{e9}", "/%C3%A9"),
            ("/../../m", "/m"),
        ] {
            let found = endpoint_target(stream, named.as_bytes());
            assert_eq!(found.as_deref(), Ok(target), "{named:?}");
        }
    }

    #[test]
    fn another_origin_and_no_url_are_refused() {
        let stream = "https://h/sse";
        for named in [
            "https://other/m",
            "http://h/m",
            "https://h:444/m",
            "//other/m",
            "https://h.other/m",
            "javascript:alert(1)",
            "\\\\other\\m",
            " //other/m",
        ] {
            let found = endpoint_target(stream, named.as_bytes());
            assert_eq!(found, Err(EndpointFault::Origin), "{named:?}");
        }
        let long = format!("/{}", "x".repeat(ENDPOINT_BYTES_MAX));
        for named in [&b"\xff"[..], b"https://[", long.as_bytes()] {
            let found = endpoint_target(stream, named);
            assert_eq!(found, Err(EndpointFault::Invalid), "{named:?}");
        }
    }
}
