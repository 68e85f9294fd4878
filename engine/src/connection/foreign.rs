//! The first bytes of other protocols at a plain port: recognised, so that the log has the remedy.

use crate::meter::throttle::Throttle;

/// A protocol that is no HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForeignProtocol {
    /// A TLS handshake (RFC 8446 5.1).
    Tls,
    /// SSH (RFC 4253 4.2).
    Ssh,
    /// HTTP/2 with prior knowledge (RFC 9113 3.4).
    Http2,
    /// The PROXY protocol of HAProxy, version 1 or 2.
    Proxy,
}

/// The answer to HTTP/2: empty settings, and a GOAWAY with the error HTTP_1_1_REQUIRED (RFC 9113
/// 6.5, 6.8 and 7). An answer in HTTP/1.1 is a framing error to a client that speaks HTTP/2, which
/// then shows neither status nor text; this is a reason that it shows.
pub(super) const HTTP2_GOAWAY: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x14\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0duse HTTP/1.1";

impl ForeignProtocol {
    /// The protocol that the first bytes of a connection are of.
    pub(crate) fn of(input: &[u8]) -> Option<ForeignProtocol> {
        const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
        match input {
            [0x16, 0x03, ..] => Some(ForeignProtocol::Tls),
            _ if input.starts_with(b"SSH-") => Some(ForeignProtocol::Ssh),
            _ if input.starts_with(b"PRI * HTTP/2.0\r\n") => Some(ForeignProtocol::Http2),
            _ if input.starts_with(b"PROXY ") => Some(ForeignProtocol::Proxy),
            _ if input.len() > 4 && PROXY_V2.starts_with(&input[..input.len().min(12)]) => {
                Some(ForeignProtocol::Proxy)
            }
            _ => None,
        }
    }

    /// Logs the fact and the remedy, as often as `limit` allows.
    pub(crate) fn warn(self, limit: &Throttle, now_ms: u64) {
        if let Some(suppressed) = limit.admit(now_ms) {
            tracing::warn!(suppressed, "{}", self.explain());
        }
    }

    fn explain(self) -> &'static str {
        match self {
            ForeignProtocol::Tls => {
                "a client began TLS at a plain HTTP port: give clients an http:// address, serve \
                 https:// here (server.listen and [tls]), or put a proxy with TLS in front"
            }
            ForeignProtocol::Ssh => "a client began SSH at a plain HTTP port",
            ForeignProtocol::Http2 => {
                "a client began HTTP/2 at a port that serves HTTP/1.1: turn HTTP/2 with prior \
                 knowledge off in the client, or in the proxy for its servers"
            }
            ForeignProtocol::Proxy => {
                "a peer sent a header of the PROXY protocol that is not expected of it: name its \
                 network in server.proxy_protocol_from, or turn the header off in the proxy"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ForeignProtocol, HTTP2_GOAWAY};

    #[test]
    fn protocols_are_recognised_by_their_first_bytes() {
        for (bytes, expected) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], Some(ForeignProtocol::Tls)),
            (b"\x16\x04\x01", None),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Some(ForeignProtocol::Ssh)),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                Some(ForeignProtocol::Http2),
            ),
            (b"PRI * HTTP/1.1\r\n", None),
            (b"PROXY TCP4 1.2.3.4", Some(ForeignProtocol::Proxy)),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11",
                Some(ForeignProtocol::Proxy),
            ),
            (b"\r\n\r\n\0", Some(ForeignProtocol::Proxy)),
            (b"\r\n\r\n", None),
            (b"\r\n\r\nGET / HTTP/1.1", None),
            (b"GET / HTTP/1.1\r\n", None),
            (b"", None),
        ] {
            assert_eq!(ForeignProtocol::of(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_lengths_in_the_answer_to_http2_are_right() {
        let (settings, goaway) = HTTP2_GOAWAY.split_at(9);
        assert_eq!(settings[..3], [0, 0, 0]);
        let length = usize::from(goaway[2]);
        assert_eq!(goaway.len(), 9 + length);
        assert_eq!(goaway[9 + 7], 0xd);
    }
}
