//! Messages that are handled before others which arrived earlier.

use memchr::{memchr, memchr_iter};

/// Bytes of a message that are looked at: a method is named early, and a result that is large
/// begins early.
const LOOKED_AT_BYTES_MAX: usize = 256;

/// Whether the message at the start of `bytes`, in HTTP/1.1 or as a line, is a ping, a notification
/// or a response, as far as its first bytes show. These cost little, and others wait for them: a
/// cancellation ends work, a response lets a handler continue.
///
/// A wrong guess changes the order of two messages and nothing else, so nothing is decoded.
///
/// ```
/// use corelane_protocol::binding::precedence::goes_first;
///
/// assert!(goes_first(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
/// assert!(!goes_first(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#));
/// ```
#[must_use]
pub fn goes_first(bytes: &[u8]) -> bool {
    let message = match bytes {
        [b'{', ..] => bytes,
        // The fields of a head have no braces.
        [b'P', b'O', b'S', b'T', b' ', ..] => match memchr(b'{', bytes) {
            Some(start) => &bytes[start..],
            None => return false,
        },
        _ => return false,
    };
    let start = &message[..message.len().min(LOOKED_AT_BYTES_MAX)];
    for at in memchr_iter(b'"', start) {
        let rest = &start[at..];
        // The first byte rules out most strings at less cost than a comparison.
        if !matches!(rest.get(1), Some(b'm' | b'r' | b'e')) {
            continue;
        }
        if let Some(value) = value_of(rest, br#""method""#) {
            return value.starts_with(br#""ping""#) || value.starts_with(br#""notifications/"#);
        }
        if value_of(rest, br#""result""#)
            .or(value_of(rest, br#""error""#))
            .is_some()
        {
            return true;
        }
    }
    false
}

/// The text behind `key` and its colon, if `text` begins with them.
fn value_of<'t>(text: &'t [u8], key: &[u8]) -> Option<&'t [u8]> {
    let value = text.strip_prefix(key)?.trim_ascii_start();
    Some(value.strip_prefix(b":")?.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::goes_first;

    fn post(body: &str) -> String {
        format!("POST /mcp HTTP/1.1\r\nHost: a\r\n\r\n{body}")
    }

    #[test]
    fn pings_notifications_and_responses_go_first_in_each_framing() {
        for message in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"method" : "ping"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"id":1,"error":{"code":1,"message":"method"}}"#,
        ] {
            assert!(goes_first(message.as_bytes()), "{message}");
            assert!(goes_first(post(message).as_bytes()), "{message}");
        }
    }

    #[test]
    fn other_messages_and_parts_of_messages_wait() {
        let far = format!(r#"{{"{}":1,"result":{{}}}}"#, "x".repeat(300));
        for message in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping"}}"#,
            r#"{"method":"pings"}"#,
            r#"{"method"}"#,
            r#"{"method":"#,
            r#"{"jsonrpc":"2.0"}"#,
            &far,
            "",
        ] {
            assert!(!goes_first(message.as_bytes()), "{message}");
            assert!(!goes_first(post(message).as_bytes()), "{message}");
        }
        for bytes in ["POST /mcp HTTP/1.1\r\nHost: a\r\n", "GET /", "ping", "["] {
            assert!(!goes_first(bytes.as_bytes()), "{bytes}");
        }
    }
}
