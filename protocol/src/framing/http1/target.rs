//! The request target and the host: RFC 9112 section 3.2, RFC 3986 section 3.2.
//!
//! Splits, never decodes: percent-encoding stays as it was sent. Asterisk-form and authority-form
//! belong to requests this server never serves (`OPTIONS *`, `CONNECT`) and are refused.

use memchr::memchr;

use super::refusal::Refusal;

/// A request target, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) authority: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes origin-form and absolute-form.
    ///
    /// # Errors
    /// [`Refusal::UnsupportedTarget`] for every other form, for a fragment and for bytes outside
    /// ASCII; [`Refusal::InvalidHost`] for an authority that is empty or not `host[:port]`.
    pub(super) fn parse(target: &'a str) -> Result<Self, Refusal> {
        if target.bytes().any(|byte| byte == b'#' || !byte.is_ascii()) {
            return Err(Refusal::UnsupportedTarget);
        }
        if target.starts_with('/') {
            let (path, query) = split_query(target);
            return Ok(Self {
                path,
                query,
                authority: None,
            });
        }
        let after_scheme = strip_scheme(target).ok_or(Refusal::UnsupportedTarget)?;
        let authority_bytes = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
        let (authority, rest) = after_scheme.split_at(authority_bytes);
        // An http URI with an empty host is invalid (RFC 9110 4.2.1), user information is to be
        // treated as an attack (RFC 9110 4.2.4) and is no part of `host[:port]`.
        if authority.is_empty() || authority.starts_with(':') || !is_host(authority.as_bytes()) {
            return Err(Refusal::InvalidHost);
        }
        let (path, query) = split_query(rest);
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            path,
            query,
            authority: Some(authority),
        })
    }
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    match memchr(b'?', target.as_bytes()) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// Whether the bytes are `uri-host [ ":" port ]` (RFC 9110 7.2). Empty is a valid `Host`: it says
/// that the target has no authority.
pub(super) fn is_host(bytes: &[u8]) -> bool {
    if let Some(literal) = bytes.strip_prefix(b"[") {
        let Some(end) = literal.iter().position(|&byte| byte == b']') else {
            return false;
        };
        let address = &literal[..end];
        return !address.is_empty()
            && address
                .iter()
                .all(|&byte| IS_REG_NAME[byte as usize] || byte == b':')
            && is_port(&literal[end + 1..]);
    }
    let name_bytes = bytes
        .iter()
        .position(|&byte| !IS_REG_NAME[byte as usize])
        .unwrap_or(bytes.len());
    is_port(&bytes[name_bytes..])
}

/// Whether the bytes are nothing, or a colon and any number of digits (RFC 3986 3.2.3).
fn is_port(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        None => true,
        Some((b':', digits)) => digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

/// Bytes of a registered name (RFC 3986 3.2.2): unreserved, percent and sub-delims.
const IS_REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = matches!(
            byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!'
                | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::{Target, is_host};
    use crate::framing::http1::Refusal;

    fn check(target: &str, expected: Result<(&str, Option<&str>, Option<&str>), Refusal>) {
        let parsed = Target::parse(target).map(|t| (t.path, t.query, t.authority));
        assert_eq!(parsed, expected, "{target}");
    }

    #[test]
    fn splits_targets_and_refuses_other_forms() {
        check("/", Ok(("/", None, None)));
        check("/mcp?a=b?c", Ok(("/mcp", Some("a=b?c"), None)));
        check("/mcp?", Ok(("/mcp", Some(""), None)));
        check("//x/y", Ok(("//x/y", None, None)));
        check("/a%2Fb", Ok(("/a%2Fb", None, None)));
        check("http://h:80/mcp?q", Ok(("/mcp", Some("q"), Some("h:80"))));
        check("HTTPS://h", Ok(("/", None, Some("h"))));
        check("http://h?q", Ok(("/", Some("q"), Some("h"))));
        check("http://[::1]:80/", Ok(("/", None, Some("[::1]:80"))));
        for target in [
            "*",
            "example.org:443",
            "mcp",
            "ftp://h/",
            "http:/h",
            "/#f",
            "/\u{e4}",
        ] {
            check(target, Err(Refusal::UnsupportedTarget));
        }
        for target in [
            "http:///x",
            "http://",
            "http://:80/",
            "http://user@h/",
            "http://h:x/",
        ] {
            check(target, Err(Refusal::InvalidHost));
        }
    }

    #[test]
    fn distinguishes_hosts_from_other_text() {
        for host in [
            "",
            "h",
            "h:",
            "h:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:80",
            "a-b.c_d",
            "%41",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "h/", "a b", "u@h", "h:8x", "h:1:2", "[::1", "[]", "[::1]x", "h\\", "h\u{e4}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
