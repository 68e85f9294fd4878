//! The access token of a client, where it is exchanged for another one (RFC 8693).
//!
//! Everything else knows an identity and no token. Invariant: a token is in no key, no log and no
//! error, and is overwritten when it is dropped.

use std::fmt;

use secrecy::SecretString;

use crate::identity::Identity;
#[cfg(feature = "auth")]
use crate::identity::Method;

/// Which token it is: a digest of it.
pub type SubjectKey = [u8; 32];

/// The access token of a client, which the guard has verified.
#[derive(Clone)]
pub struct SubjectToken {
    key: SubjectKey,
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "nothing is exchanged")
    )]
    text: SecretString,
    /// When it expires, in seconds since 1970.
    expires_s: Option<u64>,
}

/// Shows no secret.
impl fmt::Debug for SubjectToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SubjectToken(..)")
    }
}

impl PartialEq for SubjectToken {
    fn eq(&self, other: &SubjectToken) -> bool {
        self.key == other.key
    }
}

impl Eq for SubjectToken {}

impl SubjectToken {
    /// The access token of a request with these header fields, by which this identity is known;
    /// none if it is known in another way.
    #[cfg(feature = "auth")]
    pub fn of<'a>(
        identity: &Identity,
        mut fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Option<SubjectToken> {
        use sha2::{Digest as _, Sha256};

        if !matches!(identity.method, Method::Jwt | Method::Introspected) {
            return None;
        }
        let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
        let token = crate::credential::read(&[value], b"", usize::MAX).ok()??;
        let token = token.as_bytes();
        Some(SubjectToken {
            key: Sha256::digest(token).into(),
            text: std::str::from_utf8(token).ok()?.into(),
            expires_s: identity.expires_s,
        })
    }

    /// A build without the feature `auth` knows no access tokens.
    #[cfg(not(feature = "auth"))]
    pub fn of<'a>(
        _: &Identity,
        _: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Option<SubjectToken> {
        None
    }

    /// Which token it is.
    pub fn key(&self) -> SubjectKey {
        self.key
    }

    /// The token.
    #[cfg(feature = "auth")]
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    /// When it expires, in seconds since 1970.
    pub fn expires_s(&self) -> Option<u64> {
        self.expires_s
    }
}

#[cfg(all(test, feature = "auth"))]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::SubjectToken;
    use crate::identity::{Identity, Method};

    fn of(method: Method, field: (&str, &str)) -> Option<SubjectToken> {
        let identity = Identity::new(method, "corp", "ann");
        let fields = [("host", &b"h"[..]), (field.0, field.1.as_bytes())];
        SubjectToken::of(&identity, fields.into_iter())
    }

    #[test]
    fn only_an_access_token_is_one_and_nothing_shows_it() {
        let field = ("AUTHORIZATION", "bearer a.b-c");
        let token = of(Method::Jwt, field).expect("a token");
        assert_eq!(token.text().expose_secret(), "a.b-c");
        assert_eq!(format!("{token:?}"), "SubjectToken(..)");
        let same = of(Method::Introspected, ("Authorization", "Bearer a.b-c"));
        assert_eq!(same.map(|it| it.key()), Some(token.key()));
        let other = of(Method::Jwt, ("Authorization", "Bearer a.b-d"));
        assert!(other.is_some_and(|it| it.key() != token.key()));
        for method in [Method::ApiKey, Method::ProxyHeader, Method::Certificate] {
            assert_eq!(of(method, field), None, "{method:?}");
        }
        for field in [("authorization", "Basic YTpi"), ("cookie", "Bearer a")] {
            assert_eq!(of(Method::Jwt, field), None, "{field:?}");
        }
    }
}
