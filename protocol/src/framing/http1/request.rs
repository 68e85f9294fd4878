//! The contents of a request head: RFC 9112 sections 3, 5 and 6, RFC 9110 sections 7 to 10.
//!
//! A [`RequestHead`] is well formed, states exactly one body length within its limit, and has the
//! `Host` that its version requires. It owns nothing: every name and value is a slice of the
//! connection's input. Fields without a meaning here or in MCP are checked for their form only;
//! [`RequestHead::headers`] finds them again.

use std::mem::MaybeUninit;

use memchr::memchr;

use super::control::{BodyLength, Control};
use super::field::Field;
use super::refusal::{METHOD_BYTES_MAX, Refusal};
use super::target::{Target, is_host};
use crate::limits::{HEADERS_CAPACITY, HttpLimits};

/// The request method. Case-sensitive (RFC 9110 9.1): `post` is [`Method::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Opens a stream.
    Get,
    /// Carries a message.
    Post,
    /// Ends a session.
    Delete,
    /// Like GET; the response has no body.
    Head,
    /// Requests the methods that are allowed.
    Options,
    /// Any other token.
    Other,
}

/// The head of a request, borrowed from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: Method,
    /// The path as sent, percent-encoded, starting with a slash.
    pub path: &'a str,
    /// The part of the target after the first question mark.
    pub query: Option<&'a str>,
    /// Host and port of an absolute target. It overrides `host` (RFC 9112 3.2.2): see
    /// [`RequestHead::effective_host`].
    pub authority: Option<&'a str>,
    /// 0 or 1, of HTTP/1.0 and HTTP/1.1.
    pub version_minor: u8,
    /// Whether the client allows a further request on this connection (RFC 9112 9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body. Never set in
    /// HTTP/1.0 (RFC 9110 10.1.1).
    pub expect_continue: bool,
    /// Whether the client wants the connection to go on as a WebSocket (RFC 6455 4.1). The other
    /// fields of its handshake are in `headers`.
    pub upgrades_to_websocket: bool,
    /// Whether the head has at least one `Mcp-Param-*` field; the fields are in `headers`.
    pub has_mcp_param: bool,
    /// Whether the body is compressed or encoded in another way (RFC 9110 8.4).
    pub is_encoded: bool,
    /// `Host`; never [`Field::Repeated`], absent in HTTP/1.0 only.
    pub host: Field<'a>,
    /// `Origin`.
    pub origin: Field<'a>,
    /// `Content-Type`.
    pub content_type: Field<'a>,
    /// `Accept`.
    pub accept: Field<'a>,
    /// `Authorization`, repeated even if both have the same value.
    pub authorization: Field<'a>,
    /// `Last-Event-ID`.
    pub last_event_id: Field<'a>,
    /// `MCP-Protocol-Version`.
    pub mcp_protocol_version: Field<'a>,
    /// `MCP-Session-Id`.
    pub mcp_session_id: Field<'a>,
    /// `Mcp-Method`.
    pub mcp_method: Field<'a>,
    /// `Mcp-Name`.
    pub mcp_name: Field<'a>,
    /// `traceparent`, repeated even if both have the same value.
    pub trace_parent: Field<'a>,
    pub(super) body_length: BodyLength,
    raw: &'a [u8],
}

impl<'a> RequestHead<'a> {
    /// Reads a whole head: from the first byte of the request line to the empty line, inclusive.
    /// Every line feed in it follows a carriage return; the search for the end checked this. A head
    /// that was read before is read from its bytes, see [`RequestHead::bytes`].
    ///
    /// # Errors
    /// The fault for which the request is refused.
    pub fn parse(raw: &'a [u8], limits: &HttpLimits) -> Result<Self, Refusal> {
        #[cfg(test)]
        super::work::head_parsed();
        debug_assert!(raw.ends_with(b"\r\n\r\n"));
        let mut storage = [const { MaybeUninit::uninit() }; HEADERS_CAPACITY];
        let mut parsed = httparse::Request::new(&mut []);
        let limit = limits.headers_allowed();
        let complete = parsed
            .parse_with_uninit_headers(raw, &mut storage)
            .map_err(|error| refusal_of(error, limit))?;
        let (httparse::Status::Complete(_), Some(method), Some(target), Some(version_minor)) =
            (complete, parsed.method, parsed.path, parsed.version)
        else {
            // A head that ends in an empty line is never partial, unless it is that line only.
            return Err(Refusal::MalformedRequestLine);
        };
        if method.len() > METHOD_BYTES_MAX {
            return Err(Refusal::MethodTooLong);
        }
        if target.len() > limits.target_bytes_max {
            return Err(Refusal::TargetTooLong {
                limit_bytes: limits.target_bytes_max,
            });
        }
        if parsed.headers.len() > limit {
            return Err(Refusal::TooManyHeaders { limit });
        }
        let Target {
            path,
            query,
            authority,
        } = Target::parse(target)?;
        let mut head = Self {
            method: method_of(method),
            path,
            query,
            authority,
            version_minor,
            keep_alive: false,
            expect_continue: false,
            upgrades_to_websocket: false,
            has_mcp_param: false,
            is_encoded: false,
            host: Field::Absent,
            origin: Field::Absent,
            content_type: Field::Absent,
            accept: Field::Absent,
            authorization: Field::Absent,
            last_event_id: Field::Absent,
            mcp_protocol_version: Field::Absent,
            mcp_session_id: Field::Absent,
            mcp_method: Field::Absent,
            mcp_name: Field::Absent,
            trace_parent: Field::Absent,
            body_length: BodyLength::Bytes(0),
            raw,
        };
        let mut control = Control::default();
        for header in parsed.headers.iter() {
            head.place(header.name, header.value, &mut control);
        }
        head.check_host()?;
        head.keep_alive = control.keeps_alive(version_minor);
        head.upgrades_to_websocket = control.upgrades_to_websocket();
        head.expect_continue = control.expects_continue(version_minor)?;
        head.body_length = control.body_length(version_minor, limits)?;
        Ok(head)
    }

    /// The head as it was sent.
    pub fn bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// Every header field in the order sent: name as sent, value trimmed. It splits the raw head
    /// again, so it costs nothing unless it is called.
    pub fn headers(&self) -> Headers<'a> {
        Headers::of(self.raw)
    }

    /// The host the request is for: the authority of the target if it has one, else `Host`
    /// (RFC 9112 3.2.2). Empty or absent if the client named none.
    pub fn effective_host(&self) -> Option<&'a [u8]> {
        self.authority.map(str::as_bytes).or(self.host.value())
    }

    fn place(&mut self, name: &str, value: &'a [u8], control: &mut Control<'a>) {
        let name = name.as_bytes();
        // The length leaves at most three candidates before any byte is compared.
        match name.len() {
            4 if is_name(name, b"host") => self.host.add_only(value),
            6 if is_name(name, b"accept") => self.accept.add(value),
            6 if is_name(name, b"origin") => self.origin.add_single(value, 0),
            6 if is_name(name, b"expect") => control.add_expectation(value),
            7 if is_name(name, b"upgrade") => control.add_protocols(value),
            8 if is_name(name, b"mcp-name") => self.mcp_name.add(value),
            10 if is_name(name, b"connection") => control.add_connection_options(value),
            10 if is_name(name, b"mcp-method") => {
                self.mcp_method
                    .add_single(value, "tasks/get,tasks/get".len());
            }
            11 if is_name(name, b"traceparent") => self.trace_parent.add_only(value),
            12 if is_name(name, b"content-type") => {
                let list_bytes_min = "application/json,application/json".len();
                self.content_type.add_single(value, list_bytes_min);
            }
            13 if is_name(name, b"authorization") => self.authorization.add_only(value),
            13 if is_name(name, b"last-event-id") => self.last_event_id.add_single(value, 0),
            14 if is_name(name, b"content-length") => control.content_length.add_only(value),
            14 if is_name(name, b"mcp-session-id") => self.mcp_session_id.add_single(value, 0),
            16 if is_name(name, b"content-encoding") => {
                self.is_encoded |= !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
            }
            17 if is_name(name, b"transfer-encoding") => control.transfer_encoding.add_only(value),
            20 if is_name(name, b"mcp-protocol-version") => {
                let list_bytes_min = "2025-11-25,2025-11-25".len();
                self.mcp_protocol_version.add_single(value, list_bytes_min);
            }
            length if length > MCP_PARAM.len() => {
                self.has_mcp_param |= is_name(&name[..MCP_PARAM.len()], MCP_PARAM);
            }
            _ => {}
        }
    }

    /// RFC 9112 3.2: a request without `Host` (1.1), with several or with an invalid one is
    /// answered with 400.
    fn check_host(&self) -> Result<(), Refusal> {
        match self.host {
            Field::Absent if self.version_minor >= 1 => Err(Refusal::MissingHost),
            Field::Absent => Ok(()),
            Field::Once(value) if is_host(value) => Ok(()),
            Field::Once(_) => Err(Refusal::InvalidHost),
            Field::Repeated => Err(Refusal::RepeatedHost),
        }
    }
}

/// Walks the header fields of a head: name as sent, value trimmed of optional white space.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// The fields of a head as it was sent, up to the first line that is none. Only a head that was
    /// parsed is known to be well formed.
    pub fn of(raw: &'a [u8]) -> Headers<'a> {
        let fields_at = memchr(b'\n', raw).map_or(raw.len(), |at| at + 1);
        Headers {
            rest: &raw[fields_at..],
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let line_bytes = memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at(line_bytes + 1);
        self.rest = rest;
        // The empty line at the end of the head has no colon, and an accepted name is ASCII: both
        // conditions fail there and only there.
        let colon = memchr(b':', line)?;
        let name = std::str::from_utf8(&line[..colon]).ok()?;
        Some((name, line[colon + 1..].trim_ascii()))
    }
}

const MCP_PARAM: &[u8; 10] = b"mcp-param-";

/// Whether a field name is `known`, which is in small letters, digits and hyphens.
///
/// A name is a token, and of the bytes of a token only capitals become another byte of `known` when
/// bit 5 is set. That makes the comparison a few wide operations instead of one branch a byte.
fn is_name<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else {
        return false;
    };
    let mut difference = 0;
    for index in 0..N {
        difference |= (name[index] | 0x20) ^ known[index];
    }
    difference == 0
}

fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        _ => Method::Other,
    }
}

/// Maps a parse error to a refusal. The version was checked when the line was whole.
fn refusal_of(error: httparse::Error, limit: usize) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyHeaders { limit },
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            Refusal::MalformedHeader
        }
        _ => Refusal::MalformedRequestLine,
    }
}
