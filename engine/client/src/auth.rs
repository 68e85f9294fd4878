//! Credentials of a client over HTTP (MCP basic/authorization in both revisions).
//!
//! An [`Auth`] gives the `Authorization` of each request, and gets the challenge of a server that
//! refuses it. Credentials go to the server of the client's URL and to the authorization server
//! that it names, and nowhere else: redirections are not followed.

#[cfg(feature = "oauth")]
mod assertion;
#[cfg(feature = "oauth")]
mod authorization_url;
#[cfg(feature = "oauth")]
mod client_credentials;
#[cfg(feature = "oauth")]
mod discovery;
#[cfg(feature = "oauth")]
mod fetch;
#[cfg(feature = "oauth")]
mod interactive;
#[cfg(feature = "oauth")]
mod redirect;
#[cfg(feature = "oauth")]
mod registration;
#[cfg(feature = "oauth")]
mod scopes;
#[cfg(feature = "oauth")]
mod store;
#[cfg(feature = "oauth")]
mod token;

use std::future::Future;
use std::pin::Pin;

#[cfg(feature = "oauth")]
pub use client_credentials::ClientCredentials;
#[cfg(feature = "oauth")]
pub use interactive::Interactive;

/// The future of a method of [`Auth`].
pub type AuthFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AuthError>> + Send + 'a>>;

/// Why there are no credentials: the fact and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuthError(pub String);

/// A refusal of a server: status 401 or 403.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    /// 401: credentials are missing or not valid. 403: they do not suffice.
    pub status: u16,
    /// `resource_metadata` of `WWW-Authenticate`.
    pub resource_metadata: Option<String>,
    /// `scope` of `WWW-Authenticate`.
    pub scope: Option<String>,
    /// `error` of `WWW-Authenticate`.
    pub error: Option<String>,
    /// The `Authorization` that was refused.
    pub refused: Option<String>,
}

impl std::fmt::Debug for Challenge {
    /// The refused credentials stay out.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Challenge")
            .field("status", &self.status)
            .field("scope", &self.scope)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl Challenge {
    /// Reads the field `WWW-Authenticate` of an answer (RFC 9110 11.6.1). Parameters of any scheme
    /// count: servers of MCP have one scheme.
    #[must_use]
    pub fn read(status: u16, field: Option<&str>, refused: Option<String>) -> Challenge {
        let mut challenge = Challenge {
            status,
            refused,
            ..Challenge::default()
        };
        let mut rest = field.unwrap_or_default();
        while let Some(equals) = rest.find('=') {
            let name = rest[..equals].trim_end();
            let start = name.rfind([' ', ',', '\t']).map_or(0, |at| at + 1);
            let name = &name[start..];
            let (value, after) = parameter_value(rest[equals + 1..].trim_start());
            let place = match name.to_ascii_lowercase().as_str() {
                "resource_metadata" => Some(&mut challenge.resource_metadata),
                "scope" => Some(&mut challenge.scope),
                "error" => Some(&mut challenge.error),
                _ => None,
            };
            if let Some(place) = place {
                place.get_or_insert(value);
            }
            rest = after;
        }
        challenge
    }
}

/// The value at the start of a text, a token or a quoted string, and the text behind it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// Gives the credentials of each request.
///
/// ```
/// use corelane_client::{Auth, AuthError, AuthFuture, Challenge};
///
/// /// A token that another program renews.
/// struct FromFile(std::path::PathBuf);
///
/// impl Auth for FromFile {
///     fn header<'a>(&'a self, _server: &'a str) -> AuthFuture<'a, Option<String>> {
///         Box::pin(async {
///             let token = std::fs::read_to_string(&self.0);
///             let token = token.map_err(|error| AuthError(error.to_string()))?;
///             Ok(Some(format!("Bearer {}", token.trim())))
///         })
///     }
///
///     fn on_challenge<'a>(&'a self, _: &'a str, _: &'a Challenge) -> AuthFuture<'a, ()> {
///         Box::pin(async { Err(AuthError("the token is refused: renew it".to_owned())) })
///     }
/// }
/// ```
pub trait Auth: Send + Sync {
    /// The value of `Authorization` of a request to `server`; none to send it without.
    fn header<'a>(&'a self, server: &'a str) -> AuthFuture<'a, Option<String>>;

    /// Gets other credentials after a refusal; the request is then sent again, 3 times at most.
    fn on_challenge<'a>(&'a self, server: &'a str, challenge: &'a Challenge) -> AuthFuture<'a, ()>;
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn the_parameters_of_a_challenge_are_found() {
        let some = |text: &str| Some(text.to_owned());
        for (field, metadata, scope, error) in [
            ("", None, None, None),
            ("Bearer", None, None, None),
            ("Bearer scope=a", None, some("a"), None),
            (
                r#"Bearer error="insufficient_scope",scope="a b",resource_metadata="http://x/y?z""#,
                some("http://x/y?z"),
                some("a b"),
                some("insufficient_scope"),
            ),
            (
                r#"Basic realm="a=\"b", Bearer SCOPE = "c""#,
                None,
                some("c"),
                None,
            ),
            (
                r#"Bearer scope="a", scope="b", error="open"#,
                None,
                some("a"),
                some("open"),
            ),
            ("Bearer =,=\"", None, None, None),
        ] {
            let found = Challenge::read(401, Some(field), None);
            assert_eq!(
                (found.resource_metadata, found.scope, found.error),
                (metadata, scope, error),
                "{field}"
            );
        }
    }
}
