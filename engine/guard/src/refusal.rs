//! The answers to requests that access control refuses: status, header fields and body.
//!
//! A refusal says as much as a client needs to get it right, and no more: all texts are from one
//! fixed table, and no byte of a token, a claim or a key is in them (RFC 6750 3, RFC 9728 5.1).
//!
//! It deliberately lacks the reason inside of a verifier: see `corelane token verify`.

use std::fmt::Write as _;

use crate::credential::RequestFault;

/// After how many seconds a client may retry while keys are unavailable.
const UNAVAILABLE_RETRY_S: u32 = 5;
const INVALID_REQUEST: i32 = -32600;
const INTERNAL_ERROR: i32 = -32603;

/// Why access control refuses a request. A variant for each row of the table in the documentation
/// of operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential, or a scheme other than `Bearer`: 401.
    NoCredential,
    /// The token is not valid here, for a reason that stays inside: 401.
    InvalidToken,
    /// Its signature holds, and it has expired: 401.
    Expired,
    /// Its signature holds, and it is not valid yet: 401.
    NotYetValid,
    /// The credential is malformed: 400.
    Request(RequestFault),
    /// A peer that is no trusted proxy names a principal in a header: 400.
    UntrustedProxy,
    /// Scopes are missing, and nothing else: 403 with all scopes of this operation, separated by
    /// spaces.
    InsufficientScope(Box<str>),
    /// A rule for the whole endpoint denies access: 403.
    Denied,
    /// The keys of the issuer, or the issuer, cannot be reached: 503.
    Unavailable,
    /// Too many failed credentials from this source: 429.
    TooManyFailures {
        /// When the source may try again, in seconds.
        retry_after_s: u32,
    },
}

/// The parts of a challenge that one endpoint has for all of its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// ` resource_metadata="..."`, or nothing.
    metadata: Box<str>,
    /// `scope="..."`, or nothing.
    scope: Box<str>,
}

/// A part of the configuration that cannot stand in a challenge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// It would end the quoted string.
    #[error("{0:?} is no scope: use visible ASCII without quotes and backslashes (RFC 6749 3.3)")]
    Scope(Box<str>),
    /// It would end the quoted string.
    #[error("{0:?} is no URL of metadata: use visible ASCII without quotes and backslashes")]
    Url(Box<str>),
}

/// An answer with a JSON body. Without a `WWW-Authenticate` value if the status needs none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The value of the field `WWW-Authenticate`: one challenge.
    pub www_authenticate: Option<String>,
    /// The value of the field `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// The body, a JSON-RPC error.
    pub body: String,
}

impl Challenge {
    /// The challenge of an endpoint with metadata at this absolute URL, if it has any, and the
    /// scopes that a client needs at first.
    ///
    /// # Errors
    /// A text cannot stand in a header field.
    pub fn new(metadata_url: Option<&str>, scopes: &[&str]) -> Result<Challenge, ChallengeError> {
        let is_quotable = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
        let is_word = |text: &str| !text.is_empty() && text.as_bytes().iter().all(is_quotable);
        if let Some(scope) = scopes.iter().find(|scope| !is_word(scope)) {
            return Err(ChallengeError::Scope((*scope).into()));
        }
        if let Some(url) = metadata_url.filter(|url| !is_word(url)) {
            return Err(ChallengeError::Url(url.into()));
        }
        let quote = |name: &str, value: &str| format!("{name}=\"{value}\"").into();
        Ok(Challenge {
            metadata: metadata_url.map_or_else(Box::default, |url| quote("resource_metadata", url)),
            scope: match scopes {
                [] => Box::default(),
                scopes => quote("scope", &scopes.join(" ")),
            },
        })
    }
}

impl Refusal {
    /// The answer to a request with this id, as JSON, at an endpoint with this challenge. The id is
    /// None if it was not read.
    ///
    /// ```
    /// use corelane_guard::refusal::{Challenge, Refusal};
    ///
    /// let url = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
    /// let challenge = Challenge::new(Some(url), &["mcp:read"])?;
    /// let answer = Refusal::NoCredential.answer(&challenge, None);
    /// assert_eq!(answer.status, 401);
    /// let expected = format!("Bearer resource_metadata=\"{url}\", scope=\"mcp:read\"");
    /// assert_eq!(answer.www_authenticate, Some(expected));
    /// # Ok::<(), corelane_guard::refusal::ChallengeError>(())
    /// ```
    pub fn answer(&self, challenge: &Challenge, id: Option<&str>) -> Answer {
        Answer {
            status: self.status(),
            www_authenticate: self.www_authenticate(challenge),
            retry_after_s: match self {
                Refusal::Unavailable => Some(UNAVAILABLE_RETRY_S),
                Refusal::TooManyFailures { retry_after_s } => Some(*retry_after_s),
                _ => None,
            },
            body: self.body(id),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::NoCredential
            | Refusal::InvalidToken
            | Refusal::Expired
            | Refusal::NotYetValid => 401,
            Refusal::Request(_) | Refusal::UntrustedProxy => 400,
            Refusal::InsufficientScope(_) | Refusal::Denied => 403,
            Refusal::Unavailable => 503,
            Refusal::TooManyFailures { .. } => 429,
        }
    }

    /// The word for this refusal in the audit log.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::NoCredential => "no_credential",
            Refusal::InvalidToken => "invalid_token",
            Refusal::Expired => "expired",
            Refusal::NotYetValid => "not_yet_valid",
            Refusal::Request(_) => "invalid_request",
            Refusal::UntrustedProxy => "untrusted_proxy",
            Refusal::InsufficientScope(_) => "scope_missing",
            Refusal::Denied => "denied",
            Refusal::Unavailable => "unavailable",
            Refusal::TooManyFailures { .. } => "blocked",
        }
    }

    /// The text for people: the message of the error and the `error_description`.
    fn description(&self) -> &'static str {
        match self {
            Refusal::NoCredential => "an access token is required",
            Refusal::InvalidToken => "the access token is not valid here",
            Refusal::Expired => "the access token has expired",
            Refusal::NotYetValid => "the access token is not valid yet",
            Refusal::Request(RequestFault::TwoFields) => "two Authorization fields",
            Refusal::Request(RequestFault::Empty) => "the access token is empty",
            Refusal::Request(RequestFault::TooLong) => "the access token is too long",
            Refusal::Request(RequestFault::Malformed) => "the Authorization field is malformed",
            Refusal::Request(RequestFault::InQuery) => "the access token must not be in the query",
            Refusal::UntrustedProxy => "only a trusted proxy may name the principal",
            Refusal::InsufficientScope(_) => "the access token lacks a scope",
            Refusal::Denied => "access is denied",
            Refusal::Unavailable => "authorization is unavailable",
            Refusal::TooManyFailures { .. } => "too many failed credentials",
        }
    }

    fn www_authenticate(&self, challenge: &Challenge) -> Option<String> {
        let described = format!("error_description=\"{}\"", self.description());
        let Challenge { metadata, scope } = challenge;
        let parts: [&str; 4] = match self {
            Refusal::NoCredential => [metadata, scope, "", ""],
            Refusal::InvalidToken | Refusal::Expired | Refusal::NotYetValid => {
                ["error=\"invalid_token\"", &described, metadata, scope]
            }
            Refusal::Request(_) => ["error=\"invalid_request\"", &described, metadata, ""],
            Refusal::InsufficientScope(needed) => {
                let needed = format!("scope=\"{needed}\"");
                let parts = [
                    "error=\"insufficient_scope\"",
                    &needed,
                    metadata,
                    &described,
                ];
                return Some(challenge_of(&parts));
            }
            Refusal::UntrustedProxy
            | Refusal::Denied
            | Refusal::Unavailable
            | Refusal::TooManyFailures { .. } => {
                return None;
            }
        };
        Some(challenge_of(&parts))
    }

    fn body(&self, id: Option<&str>) -> String {
        let code = match self.status() {
            429 | 503 => INTERNAL_ERROR,
            _ => INVALID_REQUEST,
        };
        let message = self.description();
        let mut body =
            format!("{{\"jsonrpc\":\"2.0\",\"error\":{{\"code\":{code},\"message\":\"{message}\"");
        let data = match self {
            Refusal::InsufficientScope(needed) => {
                format!(",\"data\":{{\"error\":\"insufficient_scope\",\"scope\":\"{needed}\"}}")
            }
            Refusal::Denied => ",\"data\":{\"error\":\"access_denied\"}".to_owned(),
            Refusal::Unavailable => {
                ",\"data\":{\"error\":\"authorization_unavailable\"}".to_owned()
            }
            _ => String::new(),
        };
        body.push_str(&data);
        body.push('}');
        if let Some(id) = id {
            write!(body, ",\"id\":{id}").expect("a string takes all");
        }
        body.push('}');
        body
    }
}

/// One challenge with these parameters, of which empty ones are left out.
fn challenge_of(parts: &[&str]) -> String {
    let present: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    match present.is_empty() {
        true => "Bearer".to_owned(),
        false => format!("Bearer {}", present.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Challenge, Refusal};
    use crate::credential::RequestFault;

    const RM: &str = "resource_metadata=\"https://h/.well-known/oauth-protected-resource/mcp\"";

    fn answer(refusal: &Refusal) -> Answer {
        let url = "https://h/.well-known/oauth-protected-resource/mcp";
        let challenge = Challenge::new(Some(url), &["mcp:read", "mcp:list"]).expect("valid");
        refusal.answer(&challenge, Some("7"))
    }

    #[track_caller]
    fn check(refusal: &Refusal, status: u16, challenge: Option<&str>, error: &str) {
        let found = answer(refusal);
        let challenge = challenge.map(|challenge| challenge.replace("RM", RM));
        assert_eq!((found.status, found.www_authenticate), (status, challenge));
        assert_eq!(
            found.body,
            format!("{{\"jsonrpc\":\"2.0\",\"error\":{error},\"id\":7}}")
        );
    }

    #[test]
    fn a_missing_or_bad_token_is_answered_with_401() {
        check(
            &Refusal::NoCredential,
            401,
            Some("Bearer RM, scope=\"mcp:read mcp:list\""),
            r#"{"code":-32600,"message":"an access token is required"}"#,
        );
        for (refusal, text) in [
            (Refusal::InvalidToken, "the access token is not valid here"),
            (Refusal::Expired, "the access token has expired"),
            (Refusal::NotYetValid, "the access token is not valid yet"),
        ] {
            let challenge = format!(
                "Bearer error=\"invalid_token\", error_description=\"{text}\", RM, \
                 scope=\"mcp:read mcp:list\""
            );
            let error = format!(r#"{{"code":-32600,"message":"{text}"}}"#);
            check(&refusal, 401, Some(&challenge), &error);
        }
    }

    #[test]
    fn a_malformed_credential_is_answered_with_400() {
        for (fault, text) in [
            (RequestFault::TwoFields, "two Authorization fields"),
            (RequestFault::Empty, "the access token is empty"),
            (RequestFault::TooLong, "the access token is too long"),
            (
                RequestFault::Malformed,
                "the Authorization field is malformed",
            ),
            (
                RequestFault::InQuery,
                "the access token must not be in the query",
            ),
        ] {
            let challenge =
                format!("Bearer error=\"invalid_request\", error_description=\"{text}\", RM");
            let error = format!(r#"{{"code":-32600,"message":"{text}"}}"#);
            check(&Refusal::Request(fault), 400, Some(&challenge), &error);
        }
    }

    #[test]
    fn a_missing_scope_is_answered_with_all_scopes_of_the_operation() {
        check(
            &Refusal::InsufficientScope("mcp:read mcp:write".into()),
            403,
            Some(
                "Bearer error=\"insufficient_scope\", scope=\"mcp:read mcp:write\", RM, \
                 error_description=\"the access token lacks a scope\"",
            ),
            "{\"code\":-32600,\"message\":\"the access token lacks a scope\",\
             \"data\":{\"error\":\"insufficient_scope\",\"scope\":\"mcp:read mcp:write\"}}",
        );
        let denied = "{\"code\":-32600,\"message\":\"access is denied\",\
             \"data\":{\"error\":\"access_denied\"}}";
        check(&Refusal::Denied, 403, None, denied);
    }

    #[test]
    fn overload_and_outage_say_when_to_retry() {
        let unavailable = "{\"code\":-32603,\"message\":\"authorization is unavailable\",\
             \"data\":{\"error\":\"authorization_unavailable\"}}";
        check(&Refusal::Unavailable, 503, None, unavailable);
        assert_eq!(answer(&Refusal::Unavailable).retry_after_s, Some(5));
        let refusal = Refusal::TooManyFailures { retry_after_s: 9 };
        let failures = r#"{"code":-32603,"message":"too many failed credentials"}"#;
        check(&refusal, 429, None, failures);
        assert_eq!(answer(&refusal).retry_after_s, Some(9));
        assert_eq!(answer(&Refusal::Denied).retry_after_s, None);
    }

    #[test]
    fn an_endpoint_without_metadata_and_scopes_has_a_bare_challenge() {
        let challenge = Challenge::new(None, &[]).expect("valid");
        let answer = Refusal::NoCredential.answer(&challenge, None);
        assert_eq!(answer.www_authenticate.as_deref(), Some("Bearer"));
        assert!(answer.body.ends_with("required\"}}"), "{}", answer.body);
    }

    #[test]
    fn texts_that_would_end_a_quoted_string_are_refused() {
        for text in ["a\"b", "a\\", "a b", "", "\u{e4}", "a\r\nb"] {
            assert!(Challenge::new(None, &[text]).is_err(), "{text:?}");
            assert!(Challenge::new(Some(text), &[]).is_err(), "{text:?}");
        }
    }
}
