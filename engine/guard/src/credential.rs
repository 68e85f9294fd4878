//! The credential of a request: the one `Authorization` field, or none.
//!
//! Tokens are taken from this field only (RFC 6750 2.1). A token in the query would stand in logs
//! and histories, so such a request is refused even if the field is right. Schemes are compared
//! without case (RFC 9110 11.1). A scheme other than `Bearer` is no credential here: the client is
//! answered with the scheme that it must use.
//!
//! Invariant: [`read`] allocates nothing and copies no byte of a token. It deliberately lacks the
//! form of tokens.

/// Longest access token, in bytes, unless the profile has another limit. A head with it is still
/// below the limit of heads.
pub const TOKEN_BYTES_MAX: usize = 8192;

const SCHEME: &[u8] = b"bearer";
const QUERY_PARAMETER: &[u8] = b"access_token";

/// The token of a request as it was received. Its `Debug` shows the length only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bearer<'a>(&'a [u8]);

impl<'a> Bearer<'a> {
    /// The bytes of the token: at least one, without spaces.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl std::fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bearer({} bytes)", self.0.len())
    }
}

/// The request is malformed: 400 with `invalid_request` (RFC 6750 3.1). The fault is the client's,
/// and the connection may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// One of two fields was added on the way, or two identities are tried.
    #[error("the request has two Authorization fields")]
    TwoFields,
    /// The scheme stands alone.
    #[error("the access token is empty")]
    Empty,
    /// More than `token_bytes_max`.
    #[error("the access token is too long")]
    TooLong,
    /// Neither a space nor the end follows the scheme, or a space is in the token.
    #[error("the Authorization field is malformed")]
    Malformed,
    /// `access_token` is a parameter of the query.
    #[error("the access token must be in the Authorization field, not in the query")]
    InQuery,
}

/// The bearer token of a request with these values of its `Authorization` fields, without the white
/// space around them, and with this query, without the question mark. None if there is no such
/// field, or if it has another scheme.
///
/// # Errors
/// The request must be refused with 400.
///
/// ```
/// use corelane_guard::credential::{read, RequestFault, TOKEN_BYTES_MAX};
///
/// let token = read(&[b"BEARER abc"], b"", TOKEN_BYTES_MAX)?.expect("a token");
/// assert_eq!(token.as_bytes(), b"abc");
/// assert_eq!(read(&[], b"a=1&access_token=x", 9), Err(RequestFault::InQuery));
/// # Ok::<(), RequestFault>(())
/// ```
pub fn read<'a>(
    values: &[&'a [u8]],
    query: &[u8],
    token_bytes_max: usize,
) -> Result<Option<Bearer<'a>>, RequestFault> {
    if query.split(|byte| *byte == b'&').any(is_access_token) {
        return Err(RequestFault::InQuery);
    }
    match values {
        [] => Ok(None),
        [value] => bearer(value, token_bytes_max),
        _ => Err(RequestFault::TwoFields),
    }
}

fn bearer(value: &[u8], token_bytes_max: usize) -> Result<Option<Bearer<'_>>, RequestFault> {
    let Some((scheme, rest)) = value.split_at_checked(SCHEME.len()) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Ok(None);
    }
    match rest.first() {
        None => return Err(RequestFault::Empty),
        Some(b' ') => {}
        Some(byte) if byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte) => {
            return Ok(None);
        }
        Some(_) => return Err(RequestFault::Malformed),
    }
    // RFC 9110 11.4: one or more spaces.
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    match &rest[spaces..] {
        [] => Err(RequestFault::Empty),
        token if token.len() > token_bytes_max => Err(RequestFault::TooLong),
        token if memchr::memchr(b' ', token).is_some() => Err(RequestFault::Malformed),
        token => Ok(Some(Bearer(token))),
    }
}

/// Whether the name of a parameter of a query is `access_token`, also with percent escapes.
fn is_access_token(parameter: &[u8]) -> bool {
    let mut rest = parameter;
    let matches = QUERY_PARAMETER.iter().all(|expected| {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => (hexadecimal(*high, *low), after),
            [byte, after @ ..] => (Some(*byte), after),
            [] => return false,
        };
        rest = after;
        byte == Some(*expected)
    });
    matches && matches!(rest, [] | [b'=', ..])
}

fn hexadecimal(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{RequestFault, read};

    fn token(value: &[u8]) -> Result<Option<&[u8]>, RequestFault> {
        Ok(read(&[value], b"", 8)?.map(|token| token.as_bytes()))
    }

    #[test]
    fn reads_bearer_tokens_in_any_case_of_the_scheme() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            let value = format!("{scheme} a.b.c");
            assert_eq!(token(value.as_bytes()), Ok(Some(&b"a.b.c"[..])));
        }
        assert_eq!(token(b"Bearer   12345678"), Ok(Some(&b"12345678"[..])));
    }

    #[test]
    fn other_schemes_and_no_field_are_no_credential() {
        for value in [
            &b""[..],
            b"Basic YTpi",
            b"DPoP a.b.c",
            b"Bearers a",
            b"Bear a",
            b"\xff",
        ] {
            assert_eq!(token(value), Ok(None), "{value:?}");
        }
        assert_eq!(read(&[], b"", 8), Ok(None));
    }

    #[test]
    fn malformed_credentials_are_refused() {
        for (value, fault) in [
            (&b"Bearer"[..], RequestFault::Empty),
            (b"Bearer ", RequestFault::Empty),
            (b"bearer    ", RequestFault::Empty),
            (b"Bearer\ta", RequestFault::Malformed),
            (b"Bearer,a", RequestFault::Malformed),
            (b"Bearer a b", RequestFault::Malformed),
            (b"Bearer 123456789", RequestFault::TooLong),
        ] {
            assert_eq!(token(value), Err(fault), "{value:?}");
        }
        let twice: [&[u8]; 2] = [b"Bearer a", b"Bearer a"];
        assert_eq!(read(&twice, b"", 8), Err(RequestFault::TwoFields));
    }

    #[test]
    fn tokens_in_the_query_are_refused() {
        let with = |query: &[u8]| read(&[b"Bearer a"], query, 8);
        for query in [
            &b"access_token=a"[..],
            b"access_token",
            b"a=b&access_token=",
            b"access%5Ftoken=a",
            b"%61ccess_toke%6e=a",
        ] {
            assert_eq!(with(query), Err(RequestFault::InQuery), "{query:?}");
        }
        for query in [
            &b""[..],
            b"access_tokens=a",
            b"a=access_token",
            b"access%5",
            b"access_toke",
        ] {
            assert!(with(query).is_ok(), "{query:?}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = read(&[b"Bearer secret"], b"", 8);
        assert_eq!(format!("{token:?}"), "Ok(Some(Bearer(6 bytes)))");
    }
}
