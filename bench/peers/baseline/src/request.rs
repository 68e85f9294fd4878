//! Where a request ends: a line, or a head of HTTP and a body of `Content-Length` bytes (RFC 9112
//! 6.3).
//!
//! Reads two headers and keeps nothing. A head whose framing is in doubt (chunked, repeated or
//! malformed length) is refused, because a wrong guess would answer bytes of a body.

/// Header lines a request may have.
const HEADERS_MAX: usize = 32;
/// Bytes a request may have, head and body; bounds the memory of a partial one.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// The start of the received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed {
    /// A whole request of this many bytes.
    Whole(usize),
    /// The beginning of one.
    Partial,
    /// A request without a certain end, or with an end past [`REQUEST_BYTES_MAX`].
    Refused,
}

/// Finds the end of the line that `input` begins with.
pub fn frame_line(input: &[u8]) -> Framed {
    match memchr::memchr(b'\n', input) {
        Some(end) if end < REQUEST_BYTES_MAX => Framed::Whole(end + 1),
        None if input.len() < REQUEST_BYTES_MAX => Framed::Partial,
        _ => Framed::Refused,
    }
}

/// Finds the end of the request that `input` begins with.
pub fn frame(input: &[u8]) -> Framed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_bytes = match request.parse(input) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) if input.len() < REQUEST_BYTES_MAX => return Framed::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Framed::Refused,
    };
    end(head_bytes, request.headers, input.len())
}

/// Finds the end of the answer that `input` begins with. One without a length has no certain end.
pub fn frame_answer(input: &[u8]) -> Framed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(input) {
        Ok(httparse::Status::Complete(bytes)) => end(bytes, answer.headers, input.len()),
        Ok(httparse::Status::Partial) if input.len() < REQUEST_BYTES_MAX => Framed::Partial,
        Ok(httparse::Status::Partial) | Err(_) => Framed::Refused,
    }
}

/// Finds the end of the message with this head, of which there are `available` bytes.
fn end(head_bytes: usize, headers: &[httparse::Header<'_>], available: usize) -> Framed {
    let mut body_bytes = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            match (body_bytes, decimal(header.value)) {
                (None, Some(bytes)) => body_bytes = Some(bytes),
                (Some(_), _) | (_, None) => return Framed::Refused,
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Framed::Refused;
        }
    }
    match head_bytes + body_bytes.unwrap_or(0) {
        bytes if bytes > REQUEST_BYTES_MAX => Framed::Refused,
        bytes if bytes > available => Framed::Partial,
        bytes => Framed::Whole(bytes),
    }
}

/// A length in decimal digits; `None` for anything else and for more than six digits, which is past
/// every bound here and so never overflows.
fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 6 {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::{Framed, REQUEST_BYTES_MAX, frame, frame_answer, frame_line};

    fn check(input: &str, expected: Framed) {
        assert_eq!(frame(input.as_bytes()), expected, "{input:?}");
    }

    #[test]
    fn finds_the_end_of_a_request() {
        check("", Framed::Partial);
        check("POST /mcp HTTP/1.1\r\n", Framed::Partial);
        check("POST /mcp HTTP/1.1\r\n\r\n", Framed::Whole(22));
        check(
            "POST / HTTP/1.1\r\ncontent-LENGTH: 2\r\n\r\n{",
            Framed::Partial,
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
            Framed::Whole(40),
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}POST",
            Framed::Whole(40),
        );
    }

    #[test]
    fn finds_the_end_of_an_answer() {
        let check = |input: &str, expected: Framed| {
            assert_eq!(frame_answer(input.as_bytes()), expected, "{input:?}");
        };
        check("HTTP/1.1 200 OK\r\n", Framed::Partial);
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}H",
            Framed::Whole(40),
        );
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{",
            Framed::Partial,
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Framed::Refused,
        );
        check("POST / HTTP/1.1\r\n\r\n", Framed::Refused);
    }

    #[test]
    fn finds_the_end_of_a_line() {
        assert_eq!(frame_line(b""), Framed::Partial);
        assert_eq!(frame_line(b"{}"), Framed::Partial);
        assert_eq!(frame_line(b"{}\n{"), Framed::Whole(3));
        let endless = vec![b'a'; REQUEST_BYTES_MAX];
        assert_eq!(frame_line(&endless[1..]), Framed::Partial);
        assert_eq!(frame_line(&endless), Framed::Refused);
    }

    #[test]
    fn refuses_a_request_whose_end_is_in_doubt() {
        check("no request\r\n\r\n", Framed::Refused);
        check(
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            Framed::Refused,
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
            Framed::Refused,
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
            Framed::Refused,
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            Framed::Refused,
        );
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Framed::Refused,
        );
    }

    #[test]
    fn refuses_a_request_longer_than_the_limit() {
        let head = |bytes| format!("POST / HTTP/1.1\r\nContent-Length: {bytes}\r\n\r\n");
        let body_bytes_max = REQUEST_BYTES_MAX - head(REQUEST_BYTES_MAX).len();
        check(&head(body_bytes_max), Framed::Partial);
        check(&head(body_bytes_max + 1), Framed::Refused);
        let endless = format!("POST / HTTP/1.1\r\nA: {}", "b".repeat(REQUEST_BYTES_MAX));
        check(&endless[..REQUEST_BYTES_MAX - 1], Framed::Partial);
        check(&endless[..REQUEST_BYTES_MAX], Framed::Refused);
    }
}
