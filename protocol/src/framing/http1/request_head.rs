//! The head of a request, written into a buffer of the caller.
//!
//! Invariant: no value can end its field or the head: CR, LF, NUL and other control bytes are
//! refused, and a refused field leaves the buffer as it was. It lacks knowledge of the fields: the
//! binding decides which there are.

use super::grammar::{is_field_name, is_text_byte};

/// A field that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFieldError {
    /// The name is no token (RFC 9110 5.1).
    #[error("the name of a header field must be letters, digits and hyphens")]
    Name,
    /// The value has a control byte (RFC 9110 5.5).
    #[error("the value of a header field has a line end or another control character")]
    Value,
    /// The request target is empty, or has white space or a control byte.
    #[error("the request target has white space or a control character, or is empty")]
    Target,
}

/// Appends `METHOD target HTTP/1.1` and `Host`; fields follow, then [`end_request_head`].
///
/// # Errors
/// [`RequestFieldError`] for a method, target or host with bytes that would end them.
///
/// ```
/// use corelane_protocol::framing::http1::{begin_request_head, end_request_head, write_field};
/// let mut out = Vec::new();
/// begin_request_head(&mut out, "POST", "/mcp", "localhost")?;
/// write_field(&mut out, "Content-Type", b"application/json")?;
/// end_request_head(&mut out, Some(2));
/// assert!(out.ends_with(b"Content-Length: 2\r\n\r\n"));
/// # Ok::<(), corelane_protocol::framing::http1::RequestFieldError>(())
/// ```
pub fn begin_request_head(
    out: &mut Vec<u8>,
    method: &str,
    target: &str,
    host: &str,
) -> Result<(), RequestFieldError> {
    let is_target = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_target {
        return Err(RequestFieldError::Target);
    }
    if !is_field_name(method) {
        return Err(RequestFieldError::Name);
    }
    if !host.bytes().all(is_text_byte) {
        return Err(RequestFieldError::Value);
    }
    for part in [method, " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

/// Appends one field.
///
/// # Errors
/// [`RequestFieldError`] if the name is no token or the value has a control byte.
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), RequestFieldError> {
    if !is_field_name(name) {
        return Err(RequestFieldError::Name);
    }
    if !value.iter().copied().all(is_text_byte) {
        return Err(RequestFieldError::Value);
    }
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// Ends a head; with `Content-Length` if a body of that many bytes follows.
pub fn end_request_head(out: &mut Vec<u8>, body_bytes: Option<usize>) {
    if let Some(bytes) = body_bytes {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::{RequestFieldError, begin_request_head, end_request_head, write_field};
    use crate::framing::http1::{Framer, Step};
    use crate::limits::HttpLimits;

    #[test]
    fn the_framer_reads_the_head_that_was_written() {
        let mut out = Vec::new();
        begin_request_head(&mut out, "POST", "/mcp?a=b", "example.com:80").unwrap();
        write_field(&mut out, "Mcp-Method", b"tools/call").unwrap();
        write_field(&mut out, "Mcp-Param-Empty", b"").unwrap();
        end_request_head(&mut out, Some(2));
        out.extend_from_slice(b"{}");
        let mut framer = Framer::default();
        let step = framer.step(&mut out, &HttpLimits::DEFAULT);
        let Ok(Step::Request { head, body, .. }) = step else {
            panic!("{step:?}");
        };
        assert_eq!((head.path, body), ("/mcp", &b"{}"[..]));
        let fields: Vec<_> = head.headers().collect();
        assert!(
            fields.contains(&("Mcp-Method", &b"tools/call"[..])),
            "{fields:?}"
        );
        assert!(
            fields.contains(&("Mcp-Param-Empty", &b""[..])),
            "{fields:?}"
        );
    }

    #[test]
    fn nothing_is_written_of_a_field_that_would_forge_others() {
        let mut out = Vec::new();
        for (name, value, error) in [
            ("A", &b"x\r\nB: y"[..], RequestFieldError::Value),
            ("A", b"x\ny", RequestFieldError::Value),
            ("A", b"x\0", RequestFieldError::Value),
            ("A: x\r\nB", b"y", RequestFieldError::Name),
            ("", b"y", RequestFieldError::Name),
            ("\u{e9}", b"y", RequestFieldError::Name),
        ] {
            assert_eq!(write_field(&mut out, name, value), Err(error), "{name:?}");
        }
        for (method, target, host) in [
            ("GET", "/a b", "x"),
            ("GET", "/a\r\nB: c", "x"),
            ("GET", "", "x"),
            ("G T", "/", "x"),
            ("GET", "/", "x\r\nB: c"),
        ] {
            assert!(
                begin_request_head(&mut out, method, target, host).is_err(),
                "{target:?}"
            );
        }
        assert!(out.is_empty());
    }
}
