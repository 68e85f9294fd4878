//! The client side of OAuth for MCP (MCP basic/authorization): the authorization server of an MCP
//! server, and access tokens of it.
//!
//! | module | part |
//! |---|---|
//! | `assertion` | the proof of a program's identity with a private key |
//! | `discovery` | the metadata of a server and of its authorization server |
//! | `exchange` | access tokens for which those of others are exchanged |
//! | `fetch` | requests to authorization servers |
//! | `service` | access tokens of a program for itself |
//! | `token` | requests of tokens |
//!
//! It deliberately lacks users, whose grants are the business of the client library, and a store.

#[cfg(feature = "grants")]
pub mod assertion;
#[cfg(feature = "grants")]
pub mod discovery;
#[cfg(feature = "grants")]
pub mod exchange;
#[cfg(feature = "grants")]
pub mod fetch;
#[cfg(feature = "grants")]
pub mod service;
#[cfg(feature = "grants")]
pub mod token;

#[cfg(feature = "grants")]
pub use reqwest::Url;

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
