//! The WebSocket binding: the opening handshake, and the subprotocol that names MCP.
//!
//! No revision of MCP defines this binding. By convention a client offers the subprotocol `mcp`,
//! each text message is one JSON-RPC message, and the rest is as of standard input and output.

use super::refusal::Reason;
use crate::framing::http1::RequestHead;
use crate::framing::websocket::{ACCEPT_BYTES, VERSION, accept_key};

/// The subprotocol of MCP.
pub const SUBPROTOCOL: &str = "mcp";

/// A handshake that the server completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: [u8; ACCEPT_BYTES],
    /// Whether the client offers the subprotocol, which the server selects then.
    pub is_mcp_offered: bool,
}

/// Reads the handshake in a GET request that upgrades to WebSocket (RFC 6455 4.2.1). Extensions
/// that the client offers are not used.
///
/// # Errors
/// 426 for another version, 400 for a key that is none and for subprotocols without [`SUBPROTOCOL`]
/// among them.
pub fn handshake<'a>(head: &RequestHead<'a>) -> Result<Handshake, Reason<'a>> {
    let version = sole(head, "sec-websocket-version");
    if head.version_minor == 0 || version != Some(VERSION.as_bytes()) {
        return Err(Reason::UpgradeRequired(
            "WebSocket is served over HTTP/1.1 in version 13",
        ));
    }
    let accept = sole(head, "sec-websocket-key").and_then(accept_key);
    let accept = accept.ok_or(Reason::Handshake(
        "needs one Sec-WebSocket-Key: 16 bytes in Base64",
    ))?;
    let mut offered = values(head, "sec-websocket-protocol")
        .flat_map(|list| list.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .peekable();
    let is_any_offered = offered.peek().is_some();
    let is_mcp_offered = offered.any(|name| name == SUBPROTOCOL.as_bytes());
    if is_any_offered && !is_mcp_offered {
        return Err(Reason::Handshake(
            "offers no subprotocol that is served: offer mcp, or none",
        ));
    }
    Ok(Handshake {
        accept,
        is_mcp_offered,
    })
}

/// The value of a field that must be there once; `name` is in small letters.
fn sole<'a>(head: &RequestHead<'a>, name: &'static str) -> Option<&'a [u8]> {
    let mut values = values(head, name);
    values.next().filter(|_| values.next().is_none())
}

/// The values of a field, in order.
fn values<'a>(head: &RequestHead<'a>, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let fields = head.headers();
    fields.filter_map(move |(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::{Handshake, handshake};
    use crate::binding::refusal::Reason;
    use crate::framing::http1::RequestHead;
    use crate::limits::HttpLimits;

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

    /// The result for a head with these lines; the text of a refusal.
    fn read(minor: u8, lines: &[&str]) -> Result<Handshake, String> {
        let head = format!(
            "GET /mcp HTTP/1.{minor}\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\
             Upgrade: h2c, WebSocket\r\n{}\r\n",
            lines.concat()
        );
        let head = RequestHead::parse(head.as_bytes(), &HttpLimits::DEFAULT).expect("a head");
        assert!(head.upgrades_to_websocket);
        handshake(&head).map_err(|reason: Reason<'_>| reason.to_string())
    }

    #[test]
    fn completes_the_handshake_of_the_rfc_with_and_without_the_subprotocol() {
        let accept = *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        for (protocols, is_mcp_offered) in [
            (&[][..], false),
            (&["Sec-WebSocket-Protocol: mcp\r\n"], true),
            (&["sec-websocket-protocol: other, mcp\r\n"], true),
            (
                &[
                    "Sec-WebSocket-Protocol: other\r\n",
                    "Sec-WebSocket-Protocol: mcp\r\n",
                ],
                true,
            ),
        ] {
            let lines = [&[KEY, VERSION], protocols].concat();
            let expected = Handshake {
                accept,
                is_mcp_offered,
            };
            assert_eq!(read(1, &lines), Ok(expected), "{protocols:?}");
        }
    }

    #[test]
    fn refuses_other_versions_keys_and_subprotocols() {
        let other = "Sec-WebSocket-Protocol: other\r\n";
        for (minor, lines, part) in [
            (0, &[KEY, VERSION][..], "version 13"),
            (1, &[KEY], "version 13"),
            (1, &[KEY, "Sec-WebSocket-Version: 8\r\n"], "version 13"),
            (1, &[KEY, VERSION, VERSION], "version 13"),
            (1, &[VERSION], "Sec-WebSocket-Key"),
            (1, &[VERSION, KEY, KEY], "Sec-WebSocket-Key"),
            (
                1,
                &[VERSION, "Sec-WebSocket-Key: x\r\n"],
                "Sec-WebSocket-Key",
            ),
            (1, &[VERSION, KEY, other], "offer mcp, or none"),
        ] {
            let refusal = read(minor, lines).expect_err(part);
            assert!(refusal.contains(part), "{lines:?}: {refusal}");
        }
    }

    #[test]
    fn an_upgrade_needs_both_of_its_fields() {
        for (lines, upgrades) in [
            ("Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
            ("Connection: Upgrade\r\nUpgrade: h2c\r\n", false),
            ("Connection: Upgrade\r\n", false),
            ("Upgrade: websocket\r\n", false),
            ("Connection: close\r\nUpgrade: websocket\r\n", false),
        ] {
            let head = format!("GET /mcp HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
            let head = RequestHead::parse(head.as_bytes(), &HttpLimits::DEFAULT).expect("a head");
            assert_eq!(head.upgrades_to_websocket, upgrades, "{lines}");
        }
    }
}
