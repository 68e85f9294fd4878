//! The principal of a request, named by the proxy in front in a header.
//!
//! A proxy such as oauth2-proxy, Envoy or nginx with auth_request authenticates clients and puts
//! the name into a header, `X-Forwarded-User` or `X-Auth-Request-User`. The header is as
//! trustworthy as the proxy: it must remove the header from the requests of clients, and no client
//! may bypass it. A request without the header is anonymous.
//!
//! Names are compared byte by byte and have no further meaning. White space and invisible
//! characters are refused: a proxy that joins two lines of one header puts a comma and a space
//! between them, and then neither of the two is the principal.
//!
//! Invariant: [`PrincipalHeader::read`] allocates nothing unless it refuses, and looks at each
//! field once. It deliberately lacks passwords, tokens, and roles.

/// Longest name of a principal, in bytes: an e-mail address has at most 254 (RFC 5321 4.5.3.1).
pub const PRINCIPAL_BYTES_MAX: usize = 256;

/// The header that names the principal; one copy for each shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalHeader {
    name: Box<str>,
}

/// Why a request is refused. The fault is the proxy's, or the client's if it bypassed the proxy:
/// 400, no part of the request is carried out, and the connection may live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalRefusal {
    /// The header has several lines; one of them was added on the way.
    #[error("header {name} is repeated")]
    Repeated {
        /// The header.
        name: Box<str>,
    },
    /// An anonymous request leaves the header out.
    #[error("header {name} is empty")]
    Empty {
        /// The header.
        name: Box<str>,
    },
    /// More than any name needs.
    #[error("header {name} of {bytes} bytes exceeds limit of {PRINCIPAL_BYTES_MAX}")]
    TooLong {
        /// The header.
        name: Box<str>,
        /// Length of its value.
        bytes: usize,
    },
    /// Not UTF-8, or with white space or control characters in it.
    #[error("header {name} is not visible UTF-8 without white space")]
    Malformed {
        /// The header.
        name: Box<str>,
    },
}

impl PrincipalHeader {
    /// The header called `name`, in any case.
    pub fn new(name: &str) -> PrincipalHeader {
        PrincipalHeader { name: name.into() }
    }

    /// The principal among the header fields of a request, each a name and a value without the
    /// white space around it. None if there is no such field: the request is anonymous.
    ///
    /// # Errors
    /// The request must be refused with 400.
    pub fn read<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Option<&'a str>, PrincipalRefusal> {
        let is_it = |(name, _): &(&str, &[u8])| name.eq_ignore_ascii_case(&self.name);
        let mut found = fields.into_iter().filter(is_it);
        let Some((_, value)) = found.next() else {
            return Ok(None);
        };
        let name = || self.name.clone();
        if found.next().is_some() {
            return Err(PrincipalRefusal::Repeated { name: name() });
        }
        if value.is_empty() {
            return Err(PrincipalRefusal::Empty { name: name() });
        }
        if value.len() > PRINCIPAL_BYTES_MAX {
            let bytes = value.len();
            return Err(PrincipalRefusal::TooLong {
                name: name(),
                bytes,
            });
        }
        match str::from_utf8(value) {
            Ok(principal) if is_principal(principal) => Ok(Some(principal)),
            _ => Err(PrincipalRefusal::Malformed { name: name() }),
        }
    }
}

/// Whether a text can be the name of a principal: 1 to [`PRINCIPAL_BYTES_MAX`] bytes, without white
/// space and control characters.
///
/// ```
/// use corelane_guard::principal::is_principal;
///
/// assert!(is_principal("ann@example.com"));
/// assert!(!is_principal("ann, bob"));
/// ```
pub fn is_principal(name: &str) -> bool {
    let is_hidden = |character: char| character.is_control() || character.is_whitespace();
    (1..=PRINCIPAL_BYTES_MAX).contains(&name.len()) && !name.contains(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::{PRINCIPAL_BYTES_MAX, PrincipalHeader, PrincipalRefusal};

    const NAME: &str = "X-Forwarded-User";

    fn read<'a>(
        fields: &[(&'a str, &'a [u8])],
    ) -> std::result::Result<Option<&'a str>, PrincipalRefusal> {
        PrincipalHeader::new(NAME).read(fields.iter().copied())
    }

    #[track_caller]
    fn refused(value: &[u8], expected: &str) {
        let refusal = read(&[("host", b"h"), (NAME, value)]).unwrap_err();
        assert_eq!(refusal.to_string(), expected, "{value:?}");
    }

    #[test]
    fn reads_the_principal_header_in_any_case() {
        for spelling in [NAME, "x-forwarded-user", "X-FORWARDED-USER"] {
            for value in ["a", "alice@example.com", "CN=a,O=b", "J\u{fc}rg", "0|1"] {
                let fields = [("Host", &b"h"[..]), (spelling, value.as_bytes())];
                assert_eq!(read(&fields), Ok(Some(value)));
            }
        }
        let longest = "x".repeat(PRINCIPAL_BYTES_MAX);
        assert_eq!(read(&[(NAME, longest.as_bytes())]), Ok(Some(&*longest)));
    }

    #[test]
    fn a_request_without_the_header_is_anonymous() {
        assert_eq!(read(&[]), Ok(None));
        let others = ["x_forwarded_user", "x-forwarded-users", "forwarded-user"];
        assert_eq!(read(&others.map(|name| (name, &b"a"[..]))), Ok(None));
    }

    #[test]
    fn refuses_ambiguous_principals() {
        let malformed = "header X-Forwarded-User is not visible UTF-8 without white space";
        refused(b"", "header X-Forwarded-User is empty");
        for value in [
            &b"a b"[..],
            b"alice, mallory",
            b"a\tb",
            b"a\0",
            b"a\x7f",
            b"\xff",
            b"J\xfcrg",
            "a\u{a0}b".as_bytes(),
            "a\u{85}".as_bytes(),
            "a\u{2028}b".as_bytes(),
        ] {
            refused(value, malformed);
        }
        refused(
            &[b'x'; PRINCIPAL_BYTES_MAX + 1],
            "header X-Forwarded-User of 257 bytes exceeds limit of 256",
        );
        for second in [&b"bob"[..], b"alice", b""] {
            let twice = read(&[(NAME, b"alice"), ("x-forwarded-user", second)]);
            assert_eq!(twice, Err(PrincipalRefusal::Repeated { name: NAME.into() }));
        }
    }
}
