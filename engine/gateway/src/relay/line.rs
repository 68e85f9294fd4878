//! A message of an upstream on a connection with many requests: for which of them it is.

use std::ops::Range;

use corelane_protocol::jsonrpc::{MessageMembers, find_members};
use corelane_protocol::mcp::meta;
use serde::de::IgnoredAny;

/// A message on such a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineMessage {
    /// It answers the request with this id.
    Answer(u64),
    /// It reports progress of the request with this id.
    Progress(u64),
    /// Another notification, of the subscription with this id if it names one.
    Notification(Option<u64>),
    /// A request of the upstream.
    Request {
        /// Its id, a number or a string.
        id: Range<usize>,
        /// Whether it is `ping`.
        is_ping: bool,
    },
    /// It is no message, or answers nothing: programs print other text, too.
    Noise,
}

/// Reads for which request a line is. An answer and a notification are not checked any further:
/// [`read_message`](super::read_message) does that.
///
/// ```
/// use corelane_gateway::relay::{LineMessage, read_line};
/// let line = br#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
/// assert_eq!(read_line(line), LineMessage::Answer(7));
/// assert_eq!(read_line(b"listening on stdio"), LineMessage::Noise);
/// ```
pub fn read_line(text: &[u8]) -> LineMessage {
    read(text).unwrap_or(LineMessage::Noise)
}

fn read(text: &[u8]) -> Option<LineMessage> {
    let members = MessageMembers::read(text).ok()?;
    let number = |range: Range<usize>| str::from_utf8(&text[range]).ok()?.parse().ok();
    let Some(method) = members.method else {
        return members.id.and_then(number).map(LineMessage::Answer);
    };
    let method: String = serde_json::from_slice(&text[method]).ok()?;
    if let Some(id) = members.id {
        // Its id goes back to it.
        serde_json::from_slice::<IgnoredAny>(text).ok()?;
        let is_id = !matches!(text[id.start], b'{' | b'[' | b'n' | b't' | b'f');
        let is_ping = method == "ping";
        return is_id.then_some(LineMessage::Request { id, is_ping });
    }
    if method == "notifications/progress" {
        let params = members.params?;
        let [token] = find_members(text, params, ["progressToken"]).ok()?;
        return token.and_then(number).map(LineMessage::Progress);
    }
    let subscription = members.params.and_then(|params| {
        let [meta] = find_members(text, params, ["_meta"]).ok()?;
        let [id] = find_members(text, meta?, [meta::SUBSCRIPTION_ID]).ok()?;
        id.and_then(number)
    });
    Some(LineMessage::Notification(subscription))
}

/// The member of the response to `ping`.
pub const PONG: &str = r#""result":{}"#;
/// The member of the response to a request that the client has not declared, with the code of an
/// unknown method (JSON-RPC 2.0, 5.1).
pub const REFUSAL: &str = r#""error":{"code":-32601,"message":"this client has no such method"}"#;

/// Appends the response to a request of an upstream, whose id is the text `id`, with this member.
///
/// ```
/// use corelane_gateway::relay::{PONG, write_response};
/// let mut out = Vec::new();
/// write_response(&mut out, b"\"x\"", PONG);
/// assert_eq!(out, br#"{"jsonrpc":"2.0","id":"x","result":{}}"#);
/// ```
pub fn write_response(out: &mut Vec<u8>, id: &[u8], member: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id);
    out.push(b',');
    out.extend_from_slice(member.as_bytes());
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::{LineMessage, read_line};

    #[test]
    fn a_line_is_for_the_request_that_it_names() {
        let subscription = r#""_meta":{"io.modelcontextprotocol/subscriptionId":4}"#;
        for (text, expected) in [
            (r#"{"id":7,"result":{}}"#.to_owned(), LineMessage::Answer(7)),
            (r#"{"id":7,"error":{}}"#.to_owned(), LineMessage::Answer(7)),
            (
                r#"{"method":"notifications/progress","params":{"progressToken":9}}"#.to_owned(),
                LineMessage::Progress(9),
            ),
            (
                format!(r#"{{"method":"notifications/a","params":{{{subscription}}}}}"#),
                LineMessage::Notification(Some(4)),
            ),
            (
                r#"{"method":"notifications/a"}"#.to_owned(),
                LineMessage::Notification(None),
            ),
            (
                r#"{"id":"x","method":"ping"}"#.to_owned(),
                LineMessage::Request {
                    id: 6..9,
                    is_ping: true,
                },
            ),
        ] {
            assert_eq!(read_line(text.as_bytes()), expected, "{text}");
        }
        for noise in [
            "Starting the server",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"id":null,"error":{}}"#,
            r#"{"id":"7","result":{}}"#,
            r#"{"id":1,"id":2,"result":{}}"#,
            r#"{"id":{},"method":"ping"}"#,
            r#"{"id":1,"method":"ping""#,
            r#"{"method":"notifications/progress","params":{"progressToken":"a"}}"#,
            "\u{0}\u{1b}[2J",
        ] {
            assert_eq!(read_line(noise.as_bytes()), LineMessage::Noise, "{noise}");
        }
    }
}
