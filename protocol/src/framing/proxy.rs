//! The PROXY protocol: the header that a proxy sends before the bytes of its client (HAProxy,
//! "The PROXY protocol", versions 1 and 2).
//!
//! Invariant: the result depends on the bytes alone, not on where they were split, and bytes that
//! are no header are refused at the first wrong one. It lacks the extensions of version 2, which
//! are skipped, and who may send a header: a header of anyone else must never be read.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most bytes of a header. That of version 1 has 107; version 2 has extensions, such as the name in
/// a certificate.
pub const HEADER_BYTES_MAX: usize = 4096;

/// The longest header of version 1 with its CRLF.
const V1_BYTES_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The start of version 2, the command, the family, and the length of the rest.
const V2_FIXED_BYTES: usize = 16;

/// The result of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The header is not whole.
    NeedMore,
    /// A whole header.
    Header {
        /// The address of the client; none if the proxy speaks for itself, or does not know it.
        client: Option<IpAddr>,
        /// Bytes of the header.
        consumed: usize,
    },
}

/// The bytes are no header. The fault is the peer's: its connection must be closed without an
/// answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// Neither version begins like this.
    #[error("the bytes are no header of the PROXY protocol")]
    NoHeader,
    /// The line of version 1 is malformed or too long.
    #[error("the header of version 1 is malformed")]
    MalformedV1,
    /// Command, family or length of version 2 is wrong.
    #[error("the header of version 2 is malformed")]
    MalformedV2,
    /// The header of version 2 is too long.
    #[error("the header of {bytes} bytes exceeds limit of {HEADER_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Reads the header at the start of `input`, the first bytes of a connection.
///
/// # Errors
/// The bytes are no header.
pub fn read(input: &[u8]) -> Result<Step, ProxyFault> {
    let begins = |start: &[u8]| {
        let bytes = input.len().min(start.len());
        input[..bytes] == start[..bytes]
    };
    if begins(V2_START) {
        read_v2(input)
    } else if begins(V1_START) {
        read_v1(input)
    } else {
        Err(ProxyFault::NoHeader)
    }
}

fn read_v1(input: &[u8]) -> Result<Step, ProxyFault> {
    let window = &input[..input.len().min(V1_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return match window.len() < V1_BYTES_MAX {
            true => Ok(Step::NeedMore),
            false => Err(ProxyFault::MalformedV1),
        };
    };
    let line = input[..end].strip_suffix(b"\r");
    let line = line.and_then(|line| str::from_utf8(line).ok());
    let rest = line.and_then(|line| line.strip_prefix("PROXY "));
    let rest = rest.ok_or(ProxyFault::MalformedV1)?;
    let client = if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        None
    } else {
        Some(client_of_v1(rest).ok_or(ProxyFault::MalformedV1)?)
    };
    let consumed = end + 1;
    Ok(Step::Header { client, consumed })
}

/// The client in the fields of a line: family, two addresses, two ports.
fn client_of_v1(rest: &str) -> Option<IpAddr> {
    let fields: Vec<&str> = rest.split(' ').collect();
    let &[family, client, server, client_port, server_port] = &fields[..] else {
        return None;
    };
    let is_port = |text: &str| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain && text.parse::<u16>().is_ok()
    };
    if !is_port(client_port) || !is_port(server_port) {
        return None;
    }
    match family {
        "TCP4" => {
            server.parse::<Ipv4Addr>().ok()?;
            client.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
        "TCP6" => {
            server.parse::<Ipv6Addr>().ok()?;
            client.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => None,
    }
}

fn read_v2(input: &[u8]) -> Result<Step, ProxyFault> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    let Some(command) = input.get(V2_START.len()) else {
        return Ok(Step::NeedMore);
    };
    if !matches!(*command, LOCAL | PROXY) {
        return Err(ProxyFault::MalformedV2);
    }
    let Some((&[.., family, high, low], rest)) = input.split_first_chunk::<V2_FIXED_BYTES>() else {
        return Ok(Step::NeedMore);
    };
    let rest_bytes = usize::from(u16::from_be_bytes([high, low]));
    let consumed = V2_FIXED_BYTES + rest_bytes;
    if consumed > HEADER_BYTES_MAX {
        return Err(ProxyFault::TooLong { bytes: consumed });
    }
    let Some(rest) = rest.get(..rest_bytes) else {
        return Ok(Step::NeedMore);
    };
    let client = match (*command, family) {
        // The proxy speaks for itself, as with a health check; addresses are to be skipped.
        (LOCAL, _) => None,
        (_, 0x11 | 0x12) => Some(IpAddr::from(source::<4>(rest, 12)?)),
        (_, 0x21 | 0x22) => Some(IpAddr::from(source::<16>(rest, 36)?)),
        // Of no family, or with the paths of Unix sockets.
        (_, 0x00 | 0x31 | 0x32) => None,
        _ => return Err(ProxyFault::MalformedV2),
    };
    Ok(Step::Header { client, consumed })
}

/// The source address, of N bytes, of two addresses and two ports of `bytes` in all.
fn source<const N: usize>(rest: &[u8], bytes: usize) -> Result<[u8; N], ProxyFault> {
    let addresses = rest.get(..bytes);
    let source = addresses.and_then(|addresses| addresses.first_chunk());
    source.copied().ok_or(ProxyFault::MalformedV2)
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES_MAX, ProxyFault, Step, V2_START, read};

    /// The input whole, with bytes after it, and every start of it.
    #[track_caller]
    fn check(input: &[u8], expected: Result<Option<&str>, ProxyFault>) {
        let expected = expected.map(|client| Step::Header {
            client: client.map(|client| client.parse().expect("an address")),
            consumed: input.len(),
        });
        assert_eq!(read(input), expected, "{input:?}");
        assert_eq!(read(&[input, b"GET /"].concat()), expected, "{input:?}");
        let mut is_refused = false;
        for end in 0..input.len() {
            match read(&input[..end]) {
                Ok(step) => assert!(!is_refused && step == Step::NeedMore, "{end} of {input:?}"),
                fault => {
                    assert_eq!(fault, expected, "{end} of {input:?}");
                    is_refused = true;
                }
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [V2_START, &[command, family], &length, rest].concat()
    }

    #[test]
    fn version_1_names_the_client() {
        for (line, client) in [
            ("TCP4 192.0.2.1 198.51.100.1 56324 443", Some("192.0.2.1")),
            ("TCP4 0.0.0.0 0.0.0.0 0 65535", Some("0.0.0.0")),
            ("TCP6 2001:db8::1 2001:db8::2 1 2", Some("2001:db8::1")),
            ("UNKNOWN", None),
            ("UNKNOWN ffff::1 anything at all", None),
        ] {
            check(format!("PROXY {line}\r\n").as_bytes(), Ok(client));
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "TCP4 192.0.2.1 198.51.100.1 56324",
            "TCP4 192.0.2.1 198.51.100.1 56324 443 1",
            "TCP4  192.0.2.1 198.51.100.1 1 2",
            "TCP4 2001:db8::1 2001:db8::2 1 2",
            "TCP6 192.0.2.1 198.51.100.1 1 2",
            "TCP4 192.0.2.256 198.51.100.1 1 2",
            "TCP4 192.0.2.1 198.51.100.1 65536 2",
            "TCP4 192.0.2.1 198.51.100.1 +1 2",
            "TCP4 192.0.2.1 198.51.100.1 -1 2",
            "UDP4 192.0.2.1 198.51.100.1 1 2",
            "UNKNOWNX",
            "",
        ] {
            let line = format!("PROXY {line}\r\n");
            check(line.as_bytes(), Err(ProxyFault::MalformedV1));
        }
        check(b"PROXY UNKNOWN\n", Err(ProxyFault::MalformedV1));
        let long = format!("PROXY UNKNOWN {}", "x".repeat(93));
        check(long.as_bytes(), Err(ProxyFault::MalformedV1));
    }

    #[test]
    fn version_2_names_the_client() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 1, 2, 3, 4];
        check(&v2(0x21, 0x11, &v4), Ok(Some("192.0.2.1")));
        check(&v2(0x20, 0x11, &v4), Ok(None));
        let extended = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
        check(&v2(0x21, 0x11, &extended), Ok(Some("192.0.2.1")));
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 1]);
        v6[15] = 7;
        check(&v2(0x21, 0x21, &v6), Ok(Some("2001::7")));
        check(&v2(0x21, 0x31, &[0; 216]), Ok(None));
        check(&v2(0x21, 0, &[]), Ok(None));
        check(&v2(0x20, 0, &[]), Ok(None));
    }

    #[test]
    fn malformed_headers_of_version_2_are_refused() {
        for input in [
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x41, &[0; 12]),
        ] {
            check(&input, Err(ProxyFault::MalformedV2));
        }
        let bytes = HEADER_BYTES_MAX + 1;
        let long = v2(0x21, 0x11, &vec![0; bytes - 16]);
        check(&long, Err(ProxyFault::TooLong { bytes }));
        check(&v2(0x21, 0, &vec![0; HEADER_BYTES_MAX - 16]), Ok(None));
    }

    #[test]
    fn other_bytes_are_refused_at_the_first_wrong_one() {
        for input in [
            &b"GET / HTTP/1.1"[..],
            b"PROXX ",
            b"\r\n\r\nGET",
            b"\x16\x03",
        ] {
            check(input, Err(ProxyFault::NoHeader));
        }
    }
}
